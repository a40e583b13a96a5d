//! Identifiers, each a newtype that is checked once where it enters.
//!
//! Used by every floor. Must not know where an id comes from: time and randomness arrive as data.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use crate::limits;

/// Why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The text is empty.
    #[error("{0} is empty")]
    Empty(&'static str),
    /// The text is longer than the limit.
    #[error("{what} is longer than {bytes_max} bytes")]
    TooLong {
        /// The kind of identifier.
        what: &'static str,
        /// The limit.
        bytes_max: usize,
    },
    /// The text does not have the form of this identifier.
    #[error("`{text}` is not a valid {what}: {rule}")]
    Form {
        /// The kind of identifier.
        what: &'static str,
        /// The offending text.
        text: String,
        /// The rule it breaks.
        rule: &'static str,
    },
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the text and wraps it.
            pub fn parse(text: &str) -> Result<Self, Error> {
                if text.is_empty() {
                    return Err(Error::Empty($what));
                }
                if text.len() > limits::ID_BYTES_MAX {
                    return Err(Error::TooLong { what: $what, bytes_max: limits::ID_BYTES_MAX });
                }
                let check: fn(&str) -> bool = $check;
                if !check(text) {
                    return Err(Error::Form { what: $what, text: text.to_owned(), rule: $rule });
                }
                Ok(Self(Arc::from(text)))
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self, Error> {
                Self::parse(&text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::parse(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// `metadata.id` of a workflow.
    WorkflowId, "workflow id", "it must match [a-z0-9][a-z0-9_-]*", |text| {
        text.bytes().enumerate().all(|(at, byte)| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || (at > 0 && (byte == b'_' || byte == b'-'))
        })
    }
);
id!(
    /// `id` of a step, unique in its workflow.
    StepId, "step id", "it must match [A-Za-z_][A-Za-z0-9_-]*", |text| {
        text.bytes().enumerate().all(|(at, byte)| {
            byte.is_ascii_alphabetic() || byte == b'_' || (at > 0 && (byte.is_ascii_digit() || byte == b'-'))
        })
    }
);
id!(
    /// The id of a skill that an agent offers.
    SkillId, "skill id", "it must be visible text without spaces at its ends", |text| {
        text.trim() == text && !text.chars().any(char::is_control)
    }
);
id!(
    /// The id of one run. At least 122 random bits, so that it cannot be guessed.
    RunId, "run id", "it must match [A-Za-z0-9_-]+", |text| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    }
);
id!(
    /// A content digest, `sha256:<64 hex digits>` or `sha512:<128 hex digits>` (OCI image-spec, descriptor.md#digests).
    Digest, "digest", "it must be sha256:<64 lower-case hex digits> or sha512:<128>", |text| {
        let length = match text.split_once(':') {
            Some(("sha256", hex)) => (hex, 64),
            Some(("sha512", hex)) => (hex, 128),
            _ => return false,
        };
        length.0.len() == length.1 && length.0.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }
);

impl Digest {
    /// The algorithm, `sha256` or `sha512`.
    pub fn algorithm(&self) -> &str {
        self.0.split_once(':').map_or("", |(algorithm, _)| algorithm)
    }

    /// The hex digits.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }

    /// The first twelve hex digits, for people.
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_accept_their_form_and_refuse_others() {
        for text in ["plan", "a-b_c", "0x"] {
            assert!(WorkflowId::parse(text).is_ok(), "{text}");
        }
        for text in ["", "Plan", "-a", "a b", "a/b"] {
            assert!(WorkflowId::parse(text).is_err(), "{text}");
        }
        assert!(StepId::parse("my-step").is_ok());
        assert!(StepId::parse("1step").is_err());
        assert!(Digest::parse(&format!("sha256:{}", "0".repeat(64))).is_ok());
        for text in ["sha256:00", "md5:00", "sha256", &format!("sha256:{}", "G".repeat(64))] {
            assert!(Digest::parse(text).is_err(), "{text}");
        }
    }
    #[test]
    fn every_id_has_one_longest_length() {
        let (longest, over) = ("a".repeat(limits::ID_BYTES_MAX), "a".repeat(limits::ID_BYTES_MAX + 1));
        type Parse = fn(&str) -> Result<(), Error>;
        let kinds: [(&str, Parse); 4] = [
            ("workflow id", |text| WorkflowId::parse(text).map(drop)),
            ("step id", |text| StepId::parse(text).map(drop)),
            ("skill id", |text| SkillId::parse(text).map(drop)),
            ("run id", |text| RunId::parse(text).map(drop)),
        ];
        for (what, parse) in kinds {
            assert_eq!(parse(&longest), Ok(()), "{what}");
            let error = parse(&over).unwrap_err();
            assert_eq!(error, Error::TooLong { what, bytes_max: 200 });
            assert!(error.to_string().contains(what) && error.to_string().contains("200"), "{error}");
        }
        assert!(matches!(Digest::parse(&over), Err(Error::TooLong { .. })), "before its form is looked at");
    }
}
