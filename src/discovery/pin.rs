//! Which agent a step asks for: `name`, `name:tag` or `name@sha256:…`.

use crate::ids::Digest;
use crate::registry::check_tag;

/// A step's `agent:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pin<'a> {
    /// The card's name, or its repository with or without `agents/`.
    pub(super) name: &'a str,
    pub(super) at: At<'a>,
}

/// Which version of the card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At<'a> {
    /// The one that is chosen for everybody.
    Best,
    Tag(&'a str),
    Digest(Digest),
}

impl<'a> Pin<'a> {
    /// Every text is a pin: what does not end like a tag or digest belongs to the name.
    pub(super) fn parse(text: &'a str) -> Self {
        if let Some((name, digest)) = text.rsplit_once('@')
            && let Ok(digest) = Digest::parse(digest)
        {
            // `name:tag@digest`: the digest stands, for it pins the content.
            return Self { name: Self::tagged(name).map_or(name, |(name, _)| name), at: At::Digest(digest) };
        }
        match Self::tagged(text) {
            Some((name, tag)) => Self { name, at: At::Tag(tag) },
            None => Self { name: text, at: At::Best },
        }
    }

    fn tagged(text: &'a str) -> Option<(&'a str, &'a str)> {
        text.rsplit_once(':').filter(|(name, tag)| !name.is_empty() && check_tag(tag).is_ok())
    }
}

/// A card's name as the last part of a repository name: `Plan Agent` → `plan-agent`. Empty when nothing is left of it.
pub(super) fn repository_part(name: &str) -> String {
    const BYTES_MAX: usize = 128;
    let mut part = String::with_capacity(name.len());
    for letter in name.chars() {
        let letter = letter.to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() {
            part.push(letter);
        } else if !part.is_empty() && !part.ends_with('-') {
            part.push('-');
        }
        if part.len() == BYTES_MAX {
            break;
        }
    }
    part.truncate(part.trim_end_matches('-').len());
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_names_tags_and_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let at_digest = || At::Digest(Digest::parse(&digest).unwrap());
        let cases = [
            ("plan-agent".to_owned(), "plan-agent", At::Best),
            ("plan-agent:v1".to_owned(), "plan-agent", At::Tag("v1")),
            (format!("plan-agent@{digest}"), "plan-agent", at_digest()),
            (format!("plan-agent:v1@{digest}"), "plan-agent", at_digest()),
            ("Plan Agent: the second".to_owned(), "Plan Agent: the second", At::Best),
            ("a@b".to_owned(), "a@b", At::Best),
            (":v1".to_owned(), ":v1", At::Best),
            (String::new(), "", At::Best),
        ];
        for (text, name, at) in cases {
            assert_eq!(Pin::parse(&text), Pin { name, at }, "{text}");
        }
    }

    #[test]
    fn names_become_repository_parts() {
        let cases = [("Plan Agent", "plan-agent"), ("plan_agent", "plan-agent"), ("  A -- b!", "a-b"), ("Ünïcode", "n-code"), ("日本", "")];
        for (name, part) in cases {
            assert_eq!(repository_part(name), part, "{name}");
        }
        assert_eq!(repository_part(&"x".repeat(500)).len(), 128);
    }
}
