//! Digests of bytes, at once or as they come.
//!
//! Used by everything here that stores or reads content. Only sha256 and sha512, the registered algorithms of OCI.

use sha2::{Digest as _, Sha256, Sha512};

use crate::ids::Digest;

/// The sha256 digest of bytes.
pub fn sha256(bytes: &[u8]) -> Digest {
    written("sha256", &Sha256::digest(bytes))
}

/// The sha512 digest of bytes.
pub fn sha512(bytes: &[u8]) -> Digest {
    written("sha512", &Sha512::digest(bytes))
}

/// The digest of bytes by the algorithm of another digest, to compare with it.
pub fn same_algorithm(as_in: &Digest, bytes: &[u8]) -> Digest {
    if as_in.algorithm() == "sha512" { sha512(bytes) } else { sha256(bytes) }
}

/// A digest that is computed while bytes pass by.
#[derive(Debug, Clone)]
pub struct Hasher(Algorithm);

#[derive(Debug, Clone)]
enum Algorithm {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// Begins with sha256.
    pub fn sha256() -> Self {
        Self(Algorithm::Sha256(Sha256::new()))
    }

    /// Begins with the algorithm of a digest that is expected in the end.
    pub fn like(expected: &Digest) -> Self {
        if expected.algorithm() == "sha512" { Self(Algorithm::Sha512(Sha512::new())) } else { Self::sha256() }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Algorithm::Sha256(hasher) => hasher.update(bytes),
            Algorithm::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of all that was taken.
    pub fn finish(self) -> Digest {
        match self.0 {
            Algorithm::Sha256(hasher) => written("sha256", &hasher.finalize()),
            Algorithm::Sha512(hasher) => written("sha512", &hasher.finalize()),
        }
    }
}

fn written(algorithm: &str, hash: &[u8]) -> Digest {
    Digest::parse(&format!("{algorithm}:{}", hex::encode(hash))).expect("a hash in lower-case hex is a digest")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_known_texts() {
        let empty = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
        assert_eq!(sha256(b"{}").as_str(), empty);
        assert!(sha512(b"abc").as_str().starts_with("sha512:ddaf35a193617abacc417349ae204131"));
        for expected in [sha256(b"abc"), sha512(b"abc")] {
            let mut hasher = Hasher::like(&expected);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), expected);
            assert_eq!(same_algorithm(&expected, b"abc"), expected);
        }
    }
}
