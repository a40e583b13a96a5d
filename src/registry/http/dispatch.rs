//! From a request to the function that answers it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::super::Layout;
use super::options::{Options, Writes};
use super::query::Query;
use super::reply::{Refusal, Reply, json};
use super::route::{NoRoute, Route};
use super::{blobs, lists, manifests, uploads};

/// What every answer needs.
#[derive(Debug, Clone)]
pub(super) struct Registry {
    pub(super) layout: Arc<Layout>,
    pub(super) options: Arc<Options>,
}

/// A request without its body. Bodies cannot be shared between threads, and this is while answers are awaited.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
}

/// The `/v2/` API. It answers every path, those that are not its own with 404.
pub fn router(layout: Arc<Layout>, options: Options) -> Router {
    Router::new().fallback(dispatch).with_state(Registry { layout, options: Arc::new(options) })
}

async fn dispatch(State(registry): State<Registry>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let route = Route::parse(parts.uri.path());
    let asked = Asked { method: parts.method, headers: parts.headers, query: Query::of(&parts.uri) };
    tracing::debug!(method = %asked.method, path = parts.uri.path(), "registry request");
    let mut reply = match answer(&registry, route, &asked, body).await {
        Ok(reply) => reply,
        Err(refusal) => refusal.into_reply(),
    };
    let headers = reply.headers_mut();
    headers.insert(HeaderName::from_static("docker-distribution-api-version"), HeaderValue::from_static("registry/2.0"));
    // What strangers push is shown by no browser as a page.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

async fn answer(registry: &Registry, route: Result<Route, NoRoute>, asked: &Asked, body: Body) -> Result<Reply, Refusal> {
    let route = route.map_err(|no| match no {
        NoRoute::Unknown => Refusal::new(StatusCode::NOT_FOUND, "UNSUPPORTED", "this is a registry; its API begins at /v2/"),
        NoRoute::Name(why) => Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", why),
    })?;
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    if !reads {
        may_write(&registry.options.writes, &asked.headers)?;
    }
    match route {
        Route::Base if reads => Ok(base(&registry.options.writes)),
        Route::Catalog if reads => lists::catalog(registry, asked).await,
        Route::Tags(name) if reads => lists::tags(registry, &name, asked).await,
        Route::Referrers(name, digest) if reads => lists::referrers(registry, &name, &digest, asked).await,
        Route::Manifest(name, at) => match asked.method {
            Method::GET | Method::HEAD => manifests::get(registry, &name, &at, asked).await,
            Method::PUT => manifests::put(registry, &name, &at, asked, body).await,
            Method::DELETE => manifests::delete(registry, &name, &at).await,
            _ => Err(not_allowed("GET, HEAD, PUT, DELETE")),
        },
        Route::Blob(name, digest) => match asked.method {
            Method::GET | Method::HEAD => blobs::get(registry, &name, &digest, asked).await,
            Method::DELETE => blobs::delete(registry, &name, &digest).await,
            _ => Err(not_allowed("GET, HEAD, DELETE")),
        },
        Route::Uploads(name) => match asked.method {
            Method::POST => uploads::begin(registry, &name, asked, body).await,
            _ => Err(not_allowed("POST")),
        },
        Route::Upload(name, id) => match asked.method {
            Method::GET | Method::HEAD => uploads::status(registry, &name, &id).await,
            Method::PATCH => uploads::patch(registry, &name, &id, asked, body).await,
            Method::PUT => uploads::finish(registry, &name, &id, asked, body).await,
            Method::DELETE => uploads::cancel(registry, &name, &id).await,
            _ => Err(not_allowed("GET, PATCH, PUT, DELETE")),
        },
        Route::Base | Route::Catalog | Route::Tags(_) | Route::Referrers(..) => Err(not_allowed("GET, HEAD")),
    }
}

fn may_write(writes: &Writes, headers: &HeaderMap) -> Result<(), Refusal> {
    match writes {
        Writes::Open => {
            // Registry clients send no Origin; a web page that writes to a port of this machine does.
            if headers.contains_key(header::ORIGIN) {
                return Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", "web pages may not write to this registry"));
            }
            Ok(())
        }
        Writes::Off(why) => Err(Refusal::new(StatusCode::FORBIDDEN, "DENIED", *why)),
        Writes::Token(token) if token.is_in(headers) => Ok(()),
        Writes::Token(_) => {
            let message = "writing to this registry needs its write token, as the password of any user";
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", message).with(header::WWW_AUTHENTICATE, CHALLENGE))
        }
    }
}

const CHALLENGE: &str = r#"Basic realm="gantry registry""#;

fn base(writes: &Writes) -> Reply {
    let mut reply = json("application/json", &serde_json::json!({}));
    if matches!(writes, Writes::Token(_)) {
        // Some clients decide from this answer alone whether they will ever send what they have.
        reply.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
    }
    reply
}

fn not_allowed(allowed: &'static str) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", format!("only {allowed} are known here")).with(header::ALLOW, allowed)
}
