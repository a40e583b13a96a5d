//! A value's digest and size: what a run records of what it asks with, and what is told of it afterwards.
//!
//! The value is written as JSON once, and nowhere: neither takes memory.

use std::io::{self, BufWriter, Write};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::ids::Digest;
use crate::interpreter::Payload;
use crate::json;

/// So many bytes are passed on at once.
const GATHERED_BYTES: usize = 512;

/// The digest of a value's JSON, and its size. Members count in their order.
pub(super) fn of(value: &Value) -> Payload {
    let mut through = Through { bytes: 0, hasher: Some(Sha256::new()) };
    through.pass(value);
    let mut digest = *b"sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let hash = through.hasher.unwrap_or_default().finalize();
    hex::encode_to_slice(hash, &mut digest["sha256:".len()..]).expect("a hash has 32 bytes");
    let digest = std::str::from_utf8(&digest).expect("hex is text");
    Payload { digest: Digest::parse(digest).expect("SHA-256 in hex is a digest"), bytes: through.bytes }
}

/// How many bytes a value has as JSON.
pub(super) fn bytes(value: &Value) -> u64 {
    let mut through = Through { bytes: 0, hasher: None };
    through.pass(value);
    through.bytes
}

/// Whether a value has more bytes as JSON than these. No more of it is looked at than it takes to know.
pub(super) fn exceeds(value: &Value, bytes_max: usize) -> bool {
    struct Room(usize);
    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    json::write(&mut Room(bytes_max), value).is_err()
}

/// Takes every byte, and keeps none.
struct Through {
    bytes: u64,
    hasher: Option<Sha256>,
}

impl Through {
    fn pass(&mut self, value: &Value) {
        // Every brace is a write of its own: they are taken together.
        let mut gathered = BufWriter::with_capacity(GATHERED_BYTES, self);
        json::write(&mut gathered, value).expect("it takes everything");
        gathered.flush().expect("it takes everything");
    }
}

impl Write for Through {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digest_and_size_are_those_of_the_json() {
        for value in [json!(null), json!({"b": [1, 2.5, "é\n"], "a": {}}), json!("x".repeat(100_000))] {
            let text = value.to_string();
            let digest = format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())));
            assert_eq!((of(&value).digest.as_str(), of(&value).bytes), (digest.as_str(), text.len() as u64));
            assert_eq!(bytes(&value), text.len() as u64);
            assert_eq!((exceeds(&value, text.len()), exceeds(&value, text.len() - 1)), (false, true));
        }
        assert_ne!(of(&json!({"a": 1, "b": 2})).digest, of(&json!({"b": 2, "a": 1})).digest, "order counts");
    }
}
