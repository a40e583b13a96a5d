//! What a path below `/v2/` names. Read from its end, since a repository name may itself hold `tags` or `manifests`.

use super::super::check_repository;

/// One of the ends of distribution-spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/v2/`: is this a registry?
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(String),
    /// `/v2/<name>/manifests/<tag or digest>`
    Manifest(String, String),
    /// `/v2/<name>/blobs/<digest>`
    Blob(String, String),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(String),
    /// `/v2/<name>/blobs/uploads/<id>`
    Upload(String, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(String, String),
}

/// Why a path names nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// No such end.
    Unknown,
    /// The repository name is not one.
    Name(String),
}

impl Route {
    pub(super) fn parse(path: &str) -> Result<Self, NoRoute> {
        let path = decode(path).ok_or(NoRoute::Unknown)?;
        let rest = path.strip_prefix("/v2").ok_or(NoRoute::Unknown)?;
        match rest {
            "" | "/" => return Ok(Self::Base),
            "/_catalog" | "/_catalog/" => return Ok(Self::Catalog),
            _ => {}
        }
        let rest = rest.strip_prefix('/').ok_or(NoRoute::Unknown)?;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return named(name).map(Self::Tags);
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return named(name).map(Self::Uploads);
        }
        let (head, last) = rest.rsplit_once('/').ok_or(NoRoute::Unknown)?;
        let last = last.to_owned();
        if last.is_empty() {
            return Err(NoRoute::Unknown);
        }
        if let Some(name) = head.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(named(name)?, last));
        }
        match head.rsplit_once('/') {
            Some((name, "manifests")) => Ok(Self::Manifest(named(name)?, last)),
            Some((name, "blobs")) => Ok(Self::Blob(named(name)?, last)),
            Some((name, "referrers")) => Ok(Self::Referrers(named(name)?, last)),
            _ => Err(NoRoute::Unknown),
        }
    }
}

fn named(name: &str) -> Result<String, NoRoute> {
    check_repository(name).map(|()| name.to_owned()).map_err(|error| NoRoute::Name(error.to_string()))
}

// Clients may write `sha256%3A…`. What does not decode to text names nothing.
fn decode(path: &str) -> Option<String> {
    if !path.contains('%') {
        return Some(path.to_owned());
    }
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || (rest.next()? as char).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_things() {
        let (x, d) = (|| "a/x".to_owned(), || "sha256:00".to_owned());
        for (path, expected) in [
            ("/v2", Ok(Route::Base)),
            ("/v2/", Ok(Route::Base)),
            ("/v2/_catalog", Ok(Route::Catalog)),
            ("/v2/a/x/tags/list", Ok(Route::Tags(x()))),
            ("/v2/a/x/manifests/v1", Ok(Route::Manifest(x(), "v1".to_owned()))),
            ("/v2/a/x/manifests/sha256%3a00", Ok(Route::Manifest(x(), d()))),
            ("/v2/a/x/manifests/1.0+b", Ok(Route::Manifest(x(), "1.0+b".to_owned()))),
            ("/v2/a/x/blobs/sha256:00", Ok(Route::Blob(x(), d()))),
            ("/v2/a/x/blobs/uploads/", Ok(Route::Uploads(x()))),
            ("/v2/a/x/blobs/uploads", Ok(Route::Uploads(x()))),
            ("/v2/a/x/blobs/uploads/id", Ok(Route::Upload(x(), "id".to_owned()))),
            ("/v2/a/x/referrers/sha256:00", Ok(Route::Referrers(x(), d()))),
            // Names that look like ends.
            ("/v2/tags/manifests/manifests/list", Ok(Route::Manifest("tags/manifests".to_owned(), "list".to_owned()))),
            ("/v2/a/manifests/tags/list", Ok(Route::Tags("a/manifests".to_owned()))),
            ("/v2/a/x/manifests/", Err(NoRoute::Unknown)),
            ("/v2/x", Err(NoRoute::Unknown)),
            ("/v2x", Err(NoRoute::Unknown)),
            ("/", Err(NoRoute::Unknown)),
            ("/v2/%zz/tags/list", Err(NoRoute::Unknown)),
            ("/v2/%ff/tags/list", Err(NoRoute::Unknown)),
            ("/v2/a%2", Err(NoRoute::Unknown)),
        ] {
            assert_eq!(Route::parse(path), expected, "{path}");
        }
        for path in [
            "/v2/A/tags/list",
            "/v2/../x/tags/list",
            "/v2/a/%2e%2e/b/manifests/v1",
            "/v2//tags/list",
            "/v2/a/blobs/b/tags/list",
            "/v2/.lock/tags/list",
        ] {
            assert!(matches!(Route::parse(path), Err(NoRoute::Name(_))), "{path}");
        }
    }
}
