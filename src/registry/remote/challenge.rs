//! `WWW-Authenticate`: what a registry wants to see (RFC 9110, section 11.6.1).

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};

/// Most challenges and parameters that are read of one answer.
const PARTS_MAX: usize = 64;

/// One way in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A user and a password.
    Basic,
    /// A token from the realm.
    Bearer {
        /// Where tokens are.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// For what.
        scope: Option<String>,
    },
}

/// The way in that is taken: a token where there is one.
pub(super) fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let values = headers.get_all(header::WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let mut all: Vec<Challenge> = values.flat_map(read).collect();
    let bearer = all.iter().position(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    match bearer {
        Some(at) => Some(all.swap_remove(at)),
        None => all.into_iter().next(),
    }
}

fn read(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, BTreeMap<String, String>)> = Vec::new();
    let mut rest = text;
    for _ in 0..PARTS_MAX {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let end = rest.find([' ', '\t', ',', '=']).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            break;
        }
        let Some(value) = after.trim_start().strip_prefix('=') else {
            found.push((word.to_ascii_lowercase(), BTreeMap::new()));
            rest = after;
            continue;
        };
        let (value, after) = read_value(value.trim_start());
        if let Some((_, parameters)) = found.last_mut() {
            parameters.insert(word.to_ascii_lowercase(), value);
        }
        rest = after;
    }
    found
        .into_iter()
        .filter_map(|(scheme, mut parameters)| match scheme.as_str() {
            "basic" => Some(Challenge::Basic),
            "bearer" => Some(Challenge::Bearer {
                realm: parameters.remove("realm")?,
                service: parameters.remove("service"),
                scope: parameters.remove("scope"),
            }),
            _ => None,
        })
        .collect()
}

// A quoted text or a word.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into), scope: scope.map(Into::into) })
        };
        for (text, expected) in [
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            (
                r#"Bearer realm="https://a/t",service="r,x",scope="repository:a/b:pull,push""#,
                bearer("https://a/t", Some("r,x"), Some("repository:a/b:pull,push")),
            ),
            (r#"Basic realm="a", bearer realm = "https://a/t" , service=s"#, bearer("https://a/t", Some("s"), None)),
            (r#"Bearer realm="a\"b"#, bearer("a\"b", None, None)),
            ("Bearer service=x", None),
            ("Negotiate", None),
            ("realm=x", None),
            ("=,=,\"", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(challenge(&headers), expected, "{text}");
        }
    }
}
