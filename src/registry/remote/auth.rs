//! Who asks: credentials, and the tokens that registries give for them.
//!
//! Nothing is sent before the registry asks for it, except a bearer token that the user named. A password goes to the
//! registry's own host, or to one that the user allows, never to whatever realm an answer names.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;
use tokio::sync::{Mutex as AsyncMutex, OnceCell};
use tokio::time::Instant;
use url::Url;

use super::super::Error;
use super::addresses::check;
use super::answer::Answer;
use super::challenge::{Challenge, challenge};
use super::options::{Credential, RemoteOptions, Secret};
use super::transport::{Ask, unreachable};
use crate::http_client::HttpClient;
use crate::limits;

/// What a token must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope<'a> {
    /// Reading a repository.
    Pull(&'a str),
    /// Writing to it.
    Push(&'a str),
    /// Listing repositories.
    Catalog,
}

/// What is known of one registry.
#[derive(Debug)]
pub(super) struct Auth {
    /// As credentials are stored under.
    registry: String,
    credential: Credential,
    login: OnceCell<Login>,
    known: Mutex<Known>,
    // One login at a time: thirty requests that meet a 401 together ask for one token.
    renewing: AsyncMutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    basic: Option<HeaderValue>,
    tokens: HashMap<String, (HeaderValue, Instant)>,
}

#[derive(Debug, Clone)]
enum Login {
    Anonymous,
    Password(String, Secret),
    /// A token that is exchanged for others (OAuth2 refresh token).
    Identity(Secret),
    Bearer(HeaderValue),
}

/// Most tokens kept for one registry, one for each repository and kind of access.
const TOKENS_MAX: usize = 1000;
/// A token that says nothing of its life lives so long (token specification of the distribution project).
const TOKEN_LIFE: Duration = Duration::from_secs(60);

impl Auth {
    pub(super) fn new(registry: &str, credential: Credential) -> Result<Self, Error> {
        let login = OnceCell::new();
        if let Credential::Token(token) = &credential {
            let bearer = bearer(registry, token.expose())?;
            login.set(Login::Bearer(bearer)).expect("the cell is new");
        }
        let (known, renewing) = (Mutex::new(Known::default()), AsyncMutex::new(()));
        Ok(Self { registry: registry.to_owned(), credential, login, known, renewing })
    }

    /// What is sent with a request before the registry asks.
    pub(super) fn known(&self, scope: &Scope<'_>) -> Option<HeaderValue> {
        if let Some(Login::Bearer(token)) = self.login.get() {
            return Some(token.clone());
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let token = known.tokens.get(&scope.text()).filter(|(_, until)| *until > Instant::now());
        token.map(|(token, _)| token.clone()).or_else(|| known.basic.clone())
    }

    /// What is sent after the registry refused `used`.
    pub(super) async fn renew(
        &self,
        http: &HttpClient,
        options: &RemoteOptions,
        ask: &Ask<'_>,
        used: Option<&HeaderValue>,
        refusal: &Answer,
    ) -> Result<HeaderValue, Error> {
        let _renewing = self.renewing.lock().await;
        if let Some(by_another) = self.known(&ask.scope).filter(|known| Some(known) != used) {
            return Ok(by_another);
        }
        let denied = |reason: &str| Error::Unauthorized { what: ask.what.to_owned(), reason: reason.to_owned() };
        let login = self.login.get_or_init(|| self.log_in()).await.clone();
        if matches!(login, Login::Bearer(_)) {
            return Err(denied("the registry refused the token that was given"));
        }
        match challenge(&refusal.headers) {
            None => Err(denied("the registry says no and not what it wants to see")),
            Some(Challenge::Basic) => {
                let Login::Password(user, password) = &login else {
                    return Err(denied("the registry wants a user and a password; log in with docker, podman or oras"));
                };
                let value = basic(user, password);
                if used == Some(&value) {
                    return Err(denied("the registry refused the user or the password"));
                }
                self.known.lock().unwrap_or_else(PoisonError::into_inner).basic = Some(value.clone());
                Ok(value)
            }
            Some(Challenge::Bearer { realm, service, scope }) => {
                let realm = self.check_realm(ask, options, refusal, &realm, !matches!(login, Login::Anonymous))?;
                let scope = scope.unwrap_or_else(|| ask.scope.text());
                let request = token_request(http, realm, service.as_deref(), &scope, &login);
                let (token, life) = fetch_token(ask.what, request).await?;
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                if known.tokens.len() >= TOKENS_MAX {
                    known.tokens.clear();
                }
                // A little early, so that a token does not die on the way.
                known.tokens.insert(ask.scope.text(), (token.clone(), Instant::now() + life.mul_f64(0.9)));
                Ok(token)
            }
        }
    }

    // Where tokens are fetched is said by whoever answered, so it is checked before anything is sent there.
    fn check_realm(&self, ask: &Ask<'_>, options: &RemoteOptions, refusal: &Answer, realm: &str, secret: bool) -> Result<Url, Error> {
        let shown: String = realm.chars().filter(|c| !c.is_control()).take(100).collect();
        let refused = |why: &str| Error::Unauthorized { what: ask.what.to_owned(), reason: format!("its login address {shown} {why}") };
        let url = Url::parse(realm).map_err(|_| refused("is not a URL"))?;
        let same_host = url.host_str() == refusal.url.host_str();
        let plain = url.scheme() == "http" && refusal.url.scheme() == "http" && same_host;
        if url.scheme() != "https" && !plain {
            return Err(refused("is not HTTPS, so no login is sent there"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Error::Unauthorized { what: ask.what.to_owned(), reason: "its login address holds a user name".to_owned() });
        }
        check(&options.addresses, &url).map_err(|why| refused(&format!("may not be used: {why}")))?;
        let host = url.host_str().unwrap_or_default();
        let known_pair = KNOWN_TOKEN_HOSTS.contains(&(self.registry.as_str(), host));
        if secret && !same_host && !known_pair && !options.token_hosts.iter().any(|allowed| allowed == host) {
            return Err(refused("is on another host than the registry; allow that host for logins if it is right"));
        }
        Ok(url)
    }

    // Asking may run a helper program of the user's, which may be slow: it runs on a thread where that is no harm.
    async fn log_in(&self) -> Login {
        match &self.credential {
            Credential::Anonymous => Login::Anonymous,
            Credential::Password { user, password } => Login::Password(user.clone(), password.clone()),
            // Set when this was made.
            Credential::Token(_) => Login::Anonymous,
            Credential::Docker => {
                let registry = self.registry.clone();
                tokio::task::spawn_blocking(move || stored(&registry)).await.unwrap_or(Login::Anonymous)
            }
        }
    }
}

/// Registries whose tokens come from another host of the same house.
const KNOWN_TOKEN_HOSTS: [(&str, &str); 2] = [("docker.io", "auth.docker.io"), ("registry.gitlab.com", "gitlab.com")];

impl Scope<'_> {
    fn text(&self) -> String {
        match self {
            Self::Pull(repository) => format!("repository:{repository}:pull"),
            Self::Push(repository) => format!("repository:{repository}:pull,push"),
            Self::Catalog => "registry:catalog:*".to_owned(),
        }
    }
}

fn stored(registry: &str) -> Login {
    let key = if registry == "docker.io" { "https://index.docker.io/v1/" } else { registry };
    let found =
        docker_credential::get_credential(key).or_else(|first| docker_credential::get_podman_credential(registry).map_err(|_| first));
    match found {
        Ok(DockerCredential::IdentityToken(token)) => Login::Identity(Secret::new(token)),
        Ok(DockerCredential::UsernamePassword(user, password)) => Login::Password(user, Secret::new(password)),
        Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
            // Its output may hold secrets.
            tracing::warn!(registry, helper, "the credential helper failed; going on without a login");
            Login::Anonymous
        }
        Err(_) => Login::Anonymous,
    }
}

fn token_request(http: &HttpClient, realm: Url, service: Option<&str>, scope: &str, login: &Login) -> reqwest::RequestBuilder {
    let pairs = [("service", service), ("scope", Some(scope))];
    let pairs = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
    if let Login::Identity(token) = login {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "refresh_token").append_pair("client_id", "gantry").append_pair("refresh_token", token.expose());
        let form = form.extend_pairs(pairs).finish();
        return http
            .of(&realm)
            .request(Method::POST, realm.clone())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form));
    }
    let mut url = realm;
    url.query_pairs_mut().extend_pairs(pairs);
    let request = http.of(&url).request(Method::GET, url.clone());
    match login {
        Login::Password(user, password) => request.header(header::AUTHORIZATION, basic(user, password)),
        _ => request,
    }
}

async fn fetch_token(what: &str, request: reqwest::RequestBuilder) -> Result<(HeaderValue, Duration), Error> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u64>,
    }
    let response = request.send().await.map_err(|error| unreachable(what, &error))?;
    let answer = Answer::read(what, response, limits::MANIFEST_BYTES_MAX as u64).await?;
    if answer.status.is_redirection() {
        return Err(Error::Unauthorized { what: what.to_owned(), reason: "its login address redirects, which is not followed".to_owned() });
    }
    let answer = match answer.status.as_u16() {
        400 | 404 => {
            return Err(Error::Unauthorized {
                what: what.to_owned(),
                reason: format!("the login failed with HTTP {}", answer.status.as_u16()),
            });
        }
        _ => answer.expect(what, &[reqwest::StatusCode::OK])?,
    };
    // Not `answer.json`: its error could repeat a piece of the token.
    let unreadable = || Error::invalid(what, "the login's answer holds no token");
    let token: Token = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
    let text = token.token.or(token.access_token).filter(|token| !token.is_empty()).ok_or_else(unreadable)?;
    let life = token.expires_in.map_or(TOKEN_LIFE, Duration::from_secs).clamp(Duration::from_secs(5), Duration::from_secs(24 * 3600));
    Ok((bearer(what, &text)?, life))
}

fn basic(user: &str, password: &Secret) -> HeaderValue {
    let encoded = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
    sensitive(&format!("Basic {encoded}")).expect("base64 fits into a header")
}

// A token with a line break or the like would end the header and begin another.
fn bearer(what: &str, token: &str) -> Result<HeaderValue, Error> {
    sensitive(&format!("Bearer {token}")).ok_or_else(|| Error::invalid(what, "the registry's token holds characters that no token has"))
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Headers that tell which media types are understood.
pub(super) fn accept(media_types: &[&str]) -> HeaderMap {
    let value = HeaderValue::from_str(&media_types.join(", ")).expect("media types fit into a header");
    HeaderMap::from_iter([(header::ACCEPT, value)])
}
