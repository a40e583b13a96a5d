//! `host/repository:tag`, `repository@sha256:…`, as people write them.
//!
//! The grammar is that of distribution-spec ("Pulling manifests") with the bounds that registries share. Used by the
//! store, the client, the HTTP face and whoever reads a reference from a user. Must not touch the network.

use std::fmt;
use std::str::FromStr;

use crate::ids::Digest;

/// Longest repository name that registries accept.
const REPOSITORY_BYTES_MAX: usize = 255;
/// Longest tag (distribution-spec).
const TAG_BYTES_MAX: usize = 128;
/// Longest reference: a host name, a repository, a tag and a sha512 digest fit.
const REFERENCE_BYTES_MAX: usize = 1024;

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// A tag.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

/// A name in a registry, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `host[:port]`, when written.
    pub registry: Option<String>,
    /// `workflows/code-generation`.
    pub repository: String,
    /// Tag or digest, when written. Where both are written the digest stands, for it pins the content.
    pub at: Option<At>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text is empty.
    #[error("a reference cannot be empty: write id, id:tag, id@sha256:… or host/repository:tag")]
    Empty,
    /// A part is too long.
    #[error("the {part} is longer than {bytes_max} bytes")]
    TooLong {
        /// Which part.
        part: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// A part does not have its form.
    #[error("`{text}` is not a valid {part}: {rule}")]
    Form {
        /// Which part.
        part: &'static str,
        /// The offending text, cut to a readable length.
        text: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A user name or password stands before the host. Not repeated here, since it may be a secret.
    #[error("a reference must not hold a user name or password: log in with docker, podman or oras instead")]
    Credentials,
}

impl Reference {
    /// Parses a reference (distribution-spec, "Pulling manifests").
    ///
    /// ```
    /// use gantry::registry::{At, Reference};
    /// let reference = Reference::parse("localhost:5000/workflows/plan:v1").expect("a reference");
    /// assert_eq!(reference.registry.as_deref(), Some("localhost:5000"));
    /// assert_eq!(reference.repository, "workflows/plan");
    /// assert_eq!(reference.at, Some(At::Tag("v1".to_owned())));
    /// ```
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.len() > REFERENCE_BYTES_MAX {
            return Err(ReferenceError::TooLong { part: "reference", bytes_max: REFERENCE_BYTES_MAX });
        }
        if text.contains("://") {
            return Err(form("reference", text, "leave out the scheme (http://, https://, oci://)"));
        }
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(parse_digest(digest)?)),
            None => (text, None),
        };
        let (registry, rest) = split_registry(name)?;
        // Behind the registry only a tag brings a colon, and a tag holds no slash.
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        check_repository(repository)?;
        if let Some(tag) = tag {
            check_tag(tag)?;
        }
        let at = digest.map(At::Digest).or_else(|| tag.map(|tag| At::Tag(tag.to_owned())));
        Ok(Self { registry: registry.map(str::to_owned), repository: repository.to_owned(), at })
    }
}

impl At {
    /// Reads what stands behind `/manifests/` in a URL: a digest when there is a colon, else a tag.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') {
            return parse_digest(text).map(Self::Digest);
        }
        check_tag(text)?;
        Ok(Self::Tag(text.to_owned()))
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        match &self.at {
            Some(At::Tag(tag)) => write!(f, ":{tag}"),
            Some(At::Digest(digest)) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// Checks a repository name: lower-case path components joined by `/`, and none that an image layout uses for itself.
pub fn check_repository(name: &str) -> Result<(), ReferenceError> {
    if name.len() > REPOSITORY_BYTES_MAX {
        return Err(ReferenceError::TooLong { part: "repository name", bytes_max: REPOSITORY_BYTES_MAX });
    }
    let all_components = !name.is_empty() && name.split('/').all(is_component);
    if !all_components {
        let rule = "it is made of a-z 0-9 with single . _ - (also __) between them, in parts joined by /";
        return Err(form("repository name", name, rule));
    }
    if name.split('/').any(|part| matches!(part, "blobs" | "index.json" | "oci-layout")) {
        return Err(form("repository name", name, "no part may be blobs, index.json or oci-layout"));
    }
    Ok(())
}

/// Checks a tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}`.
pub fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    if tag.len() > TAG_BYTES_MAX {
        return Err(ReferenceError::TooLong { part: "tag", bytes_max: TAG_BYTES_MAX });
    }
    let fits = !tag.is_empty()
        && tag.bytes().enumerate().all(|(at, b)| b.is_ascii_alphanumeric() || b == b'_' || (at > 0 && (b == b'.' || b == b'-')));
    if fits {
        return Ok(());
    }
    Err(form("tag", tag, "it must match [A-Za-z0-9_][A-Za-z0-9._-]* (write + of a version as _)"))
}

/// The tag of a version: `1.2.0+linux` is tagged `1.2.0_linux`, since a tag cannot hold a `+`.
pub fn tag_of_version(version: &str) -> Result<String, ReferenceError> {
    let tag = version.replace('+', "_");
    check_tag(&tag)?;
    Ok(tag)
}

/// A tag that is a semantic version: `1.2.0`, `v1.2.0`, `1.2.0_linux`.
pub(super) fn tag_is_version(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag).replace('_', "+");
    semver::Version::parse(&version).is_ok()
}

// The first part is a registry when it could not be part of a repository (as docker decides it).
fn split_registry(name: &str) -> Result<(Option<&str>, &str), ReferenceError> {
    let Some((first, rest)) = name.split_once('/') else { return Ok((None, name)) };
    if !(first.contains(['.', ':']) || first == "localhost" || first.starts_with('[')) {
        return Ok((None, name));
    }
    check_registry(first)?;
    Ok((Some(first), rest))
}

/// Checks `host[:port]`.
pub(super) fn check_registry(text: &str) -> Result<(), ReferenceError> {
    const RULE: &str = "write host or host:port";
    if text.contains('@') {
        return Err(ReferenceError::Credentials);
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(|| form("registry", text, RULE))?;
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(form("registry", text, "an address in brackets must be IPv6"));
            }
            (None, port.strip_prefix(':').map_or_else(|| if port.is_empty() { Ok(None) } else { Err(()) }, |port| Ok(Some(port))))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Ok(Some(port))),
            None => (Some(text), Ok(None)),
        },
    };
    let port = port.map_err(|()| form("registry", text, RULE))?;
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return Err(form("registry", text, "the port is a number up to 65535"));
    }
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    if host.is_some_and(|host| host.len() > 253 || !host.split('.').all(label)) {
        return Err(form("registry", text, RULE));
    }
    Ok(())
}

fn parse_digest(text: &str) -> Result<Digest, ReferenceError> {
    Digest::parse(text).map_err(|_| {
        // `user:password@host/…` also has an @: what stands behind it then is no secret, and neither is a digest.
        if text.contains('/') {
            return ReferenceError::Credentials;
        }
        form("digest", text, "it must be sha256:<64 lower-case hex digits> or sha512:<128>")
    })
}

// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
fn is_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    bytes
        .split(|b| alphanumeric(*b))
        .filter(|separator| !separator.is_empty())
        .all(|separator| matches!(separator, b"." | b"_" | b"__") || separator.iter().all(|b| *b == b'-'))
}

fn form(part: &'static str, text: &str, rule: &'static str) -> ReferenceError {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(80).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    ReferenceError::Form { part, text: shown, rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    #[test]
    fn references_are_read_and_written_back() {
        let tag = |tag: &str| Some(At::Tag(tag.to_owned()));
        let digest = || Some(At::Digest(Digest::parse(SHA).expect("a digest")));
        let cases: Vec<(String, Option<&str>, &str, Option<At>)> = vec![
            ("plan".into(), None, "plan", None),
            ("plan:v1".into(), None, "plan", tag("v1")),
            ("code-generation:1.0.0_b.2".into(), None, "code-generation", tag("1.0.0_b.2")),
            (format!("plan@{SHA}"), None, "plan", digest()),
            ("workflows/plan".into(), None, "workflows/plan", None),
            ("a__b/c--d.e_f:x".into(), None, "a__b/c--d.e_f", tag("x")),
            ("localhost:5000/workflows/plan:v1".into(), Some("localhost:5000"), "workflows/plan", tag("v1")),
            ("localhost/x".into(), Some("localhost"), "x", None),
            ("ghcr.io/acme/workflows/x:latest".into(), Some("ghcr.io"), "acme/workflows/x", tag("latest")),
            ("[::1]:5000/x:1".into(), Some("[::1]:5000"), "x", tag("1")),
            (format!("10.0.0.1:80/a/b@{SHA}"), Some("10.0.0.1:80"), "a/b", digest()),
            // As docker reads it: without a slash there is no registry.
            ("localhost:5000".into(), None, "localhost", tag("5000")),
        ];
        for (text, registry, repository, at) in cases {
            let parsed = Reference::parse(&text).expect(&text);
            assert_eq!((parsed.registry.as_deref(), parsed.repository.as_str(), &parsed.at), (registry, repository, &at), "{text}");
            assert_eq!(parsed.to_string(), text);
        }
        // A digest pins; the tag beside it is dropped.
        let both = Reference::parse(&format!("ghcr.io/a/b:v1@{SHA}")).expect("both");
        assert_eq!(both.to_string(), format!("ghcr.io/a/b@{SHA}"));
    }

    #[test]
    fn what_is_no_reference_is_refused_with_a_reason() {
        let long_name = format!("{}/x", "a".repeat(254));
        let long_tag = format!("x:{}", "a".repeat(129));
        let huge = "a".repeat(2000);
        for (text, part) in [
            ("", "empty"),
            ("Plan", "repository name"),
            ("a//b", "repository name"),
            ("/a", "repository name"),
            ("a/", "repository name"),
            ("a/../b", "repository name"),
            ("a/.b", "repository name"),
            ("a/_b", "repository name"),
            ("a/b_", "repository name"),
            ("a..b/c/d", "registry"),
            ("x/a..b", "repository name"),
            ("x/a___b", "repository name"),
            ("x/blobs/y", "no part may be blobs"),
            ("index.json", "no part may be"),
            ("x/oci-layout", "no part may be"),
            ("a b", "repository name"),
            ("a\u{0}b", "repository name"),
            ("a\n", "repository name"),
            ("plan:", "tag"),
            ("plan:.x", "tag"),
            ("plan:1.0+b", "tag"),
            ("plan:a/b", "registry"),
            ("plan@sha256:00", "digest"),
            ("plan@md5:d41d8cd98f00b204e9800998ecf8427e", "digest"),
            ("plan@", "digest"),
            ("localhost:99999/x", "port"),
            ("localhost:/x", "port"),
            ("[::g]/x", "brackets"),
            ("[::1]5000/x", "registry"),
            ("-a.b/x", "registry"),
            ("http://localhost:5000/x", "scheme"),
            ("user:hunter2@localhost/x", "user name or password"),
            (&long_name, "longer than 255"),
            (&long_tag, "longer than 128"),
            (&huge, "longer than 1024"),
        ] {
            let error = Reference::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.len() < 300 && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_version_becomes_a_tag() {
        assert_eq!(tag_of_version("1.2.0-rc.1+build.5").expect("a tag"), "1.2.0-rc.1_build.5");
        assert!(tag_of_version("one two").is_err());
    }
}
