//! How a remote registry is reached, and as whom.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;

use crate::limits;

/// Options of a [`Remote`](super::Remote).
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// HTTP or HTTPS.
    pub scheme: Scheme,
    /// Who asks.
    pub credential: Credential,
    /// Hosts beside the registry's own that may be given the credential in exchange for a token.
    pub token_hosts: Vec<String>,
    /// Which addresses may be dialled.
    pub addresses: Addresses,
    /// How long one operation may take, retries and redirects included.
    pub timeout: Duration,
    /// Pause before the first retry. It doubles with each, and a random part is taken off.
    pub retry_pause: Duration,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self {
            scheme: Scheme::ByHost,
            credential: Credential::Docker,
            token_hosts: Vec::new(),
            addresses: Addresses::Any,
            timeout: limits::REGISTRY_TIMEOUT,
            retry_pause: Duration::from_millis(250),
        }
    }
}

/// HTTP or HTTPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP for `localhost`, `127.0.0.0/8` and `[::1]`, HTTPS for all others.
    ByHost,
    /// HTTP, as was asked for.
    Http,
    /// HTTPS, even for this machine.
    Https,
}

/// Who asks.
#[derive(Debug, Clone)]
pub enum Credential {
    /// What docker, podman or oras have stored for the registry, if anything.
    Docker,
    /// Nobody in particular.
    Anonymous,
    /// A user. Sent only when the registry asks for it.
    Password {
        /// Name.
        user: String,
        /// Password or access token.
        password: Secret,
    },
    /// A bearer token, sent as it is with every request to the registry.
    Token(Secret),
}

/// Which addresses may be dialled.
#[derive(Debug, Clone)]
pub enum Addresses {
    /// All of them: for registries that the user of this machine names.
    Any,
    /// Those of the public internet, and these networks: for registries that strangers name.
    Public {
        /// Networks that may be dialled although they are private.
        allowed: Vec<IpNet>,
    },
}

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
