//! Reads answers within bounds: content type first, then bytes up to a limit, counted after decompression.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};

use super::error::{ErrorKind, Failure, Reach};

/// `ENOMEM`, `ENFILE`, `EMFILE`: this machine's trouble, whoever is called.
const LOCAL_TROUBLE: [i32; 3] = [12, 23, 24];

/// What is copied rather than kept: a small answer would keep the connection from using its buffer again.
const COPIED_BYTES_MAX: usize = 4 * 1024;

/// What a content type announces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Json,
    EventStream,
    Other(String),
}

impl Content {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Self::Other(String::new()) };
        if value == "application/json" {
            return Self::Json;
        }
        let value = value.to_str().unwrap_or("unreadable");
        let media = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media.split_once('/') {
            Some(("application", kind)) if kind == "json" || kind.ends_with("+json") => Self::Json,
            Some(("text", "event-stream")) => Self::EventStream,
            _ => Self::Other(media),
        }
    }

    /// The failure of an answer that is neither JSON nor a stream that was asked for.
    pub(super) fn refused(&self, wanted: &str) -> Failure {
        let found = match self {
            Self::Json => "JSON".to_owned(),
            Self::EventStream => "an event stream".to_owned(),
            Self::Other(media) if media.is_empty() => "no content type".to_owned(),
            Self::Other(media) => format!("content type `{media}`"),
        };
        Failure::invalid(format!("the answer has {found} instead of {wanted}"))
    }
}

/// Reads a body to its end, or refuses it at the limit. Only what was read before the limit is ever held.
pub(super) async fn read(mut response: Response, bytes_max: usize) -> Result<Bytes, Failure> {
    let too_large = || Failure::new(ErrorKind::TooLarge, format!("the answer is larger than {bytes_max} bytes"));
    let announced = usize::try_from(response.content_length().unwrap_or(0)).unwrap_or(usize::MAX);
    if announced > bytes_max {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
        if body.len().max(first.len()) + chunk.len() > bytes_max {
            return Err(too_large());
        }
        if first.is_empty() && body.is_empty() && chunk.len() > COPIED_BYTES_MAX {
            // Most large answers are one chunk, which need not be copied.
            first = chunk;
            continue;
        }
        if body.is_empty() {
            body.reserve(announced.max(first.len() + chunk.len()));
            body.extend_from_slice(&first);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(if body.is_empty() { first } else { body.into() })
}

/// Reads at most so many bytes and lets go of the rest. For the texts of errors.
pub(super) async fn read_some(mut response: Response, bytes_max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = bytes_max - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= bytes_max {
            break;
        }
    }
    body
}

/// A connection that failed, was refused by the guard, or broke. The URL is left out: it may hold what is secret.
pub(super) fn transport(error: &reqwest::Error) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut deepest = String::new();
    let begins = error.is_connect();
    let mut reach = if begins { Reach::NotBegun } else { Reach::Unknown };
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<super::dial::NotPublic>() {
            return Failure::new(ErrorKind::Refused, refused.to_string());
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>().filter(|error| is_local(error)) {
            // Ports: the system says the same of an address that it has no way to, which may hide what the next address said.
            reach = if begins && has_no_room(error) { Reach::NoSocket } else { Reach::Nowhere };
        }
        if error.downcast_ref::<reqwest::Error>().is_none() {
            deepest = error.to_string();
        }
        cause = error.source();
    }
    let what = if error.is_connect() {
        "cannot connect"
    } else if error.is_decode() || error.is_body() {
        "the connection broke in the middle of the answer"
    } else {
        "the connection broke before an answer"
    };
    let message = if deepest.is_empty() { what.to_owned() } else { format!("{what}: {deepest}") };
    Failure::new(ErrorKind::Unavailable, message).reaching(reach)
}

/// No file descriptors, memory or ports are left here.
fn is_local(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrNotAvailable || has_no_room(error)
}

fn has_no_room(error: &std::io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| LOCAL_TROUBLE.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io;
    use std::sync::Arc;

    use super::*;
    use crate::agent::dial::Lookup;
    use crate::agent::{Client, Options};

    fn answer(sizes: &[usize]) -> (Response, Vec<u8>) {
        let chunks: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(n, size)| vec![b'a' + n as u8; *size]).collect();
        let whole = chunks.concat();
        let stream = futures_util::stream::iter(chunks.into_iter().map(|chunk| Ok::<_, Infallible>(Bytes::from(chunk))));
        (Response::from(axum::http::Response::new(reqwest::Body::wrap_stream(stream))), whole)
    }

    #[tokio::test]
    async fn an_answer_is_its_chunks_in_their_order_up_to_the_limit() {
        let (small, large) = (10, COPIED_BYTES_MAX + 1);
        for sizes in [
            &[][..],
            &[0],
            &[small],
            &[large],
            &[0, large],
            &[large, 0],
            &[small, small],
            &[small, large],
            &[large, small],
            &[large, large, small],
            &[small, large, small, large],
        ] {
            let (response, whole) = answer(sizes);
            assert!(read(response, whole.len()).await.unwrap() == whole, "{sizes:?}");
            if !whole.is_empty() {
                let (response, whole) = answer(sizes);
                assert_eq!(read(response, whole.len() - 1).await.unwrap_err().kind, ErrorKind::TooLarge, "{sizes:?}");
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn what_this_machine_lacks_is_held_against_no_agent() {
        for (code, what, local) in [
            (12, "no memory", true),
            (23, "no files in the system", true),
            (24, "no files in the process", true),
            (99, "no ports", true),
            (1, "not permitted", false),
            (11, "not yet", false),
            (32, "a broken pipe", false),
            (104, "reset", false),
            (110, "timed out", false),
            (111, "refused", false),
            (113, "no route", false),
        ] {
            assert_eq!(is_local(&io::Error::from_raw_os_error(code)), local, "{what}");
            let lookup: Arc<Lookup> = Arc::new(move |_| Box::pin(async move { Err(io::Error::from_raw_os_error(code)) }));
            let error = Client::with_lookup(Options::default(), lookup).fetch_card("http://agent.example/").await.unwrap_err();
            let reach = match code {
                12 | 23 | 24 => Reach::NoSocket,
                _ if local => Reach::Nowhere,
                _ => Reach::NotBegun,
            };
            assert_eq!((error.kind, error.reach, error.is_outage()), (ErrorKind::Unavailable, reach, !local), "{what}: {error}");
        }
        assert!(is_local(&io::ErrorKind::AddrNotAvailable.into()), "whatever the system's number for it is");
        assert!(!is_local(&io::Error::other("24")));
    }

    #[tokio::test]
    async fn of_an_error_no_more_is_read_than_is_asked_for() {
        for (sizes, bytes_max, expected) in [(&[][..], 10, 0), (&[4], 10, 4), (&[4, 6], 10, 10), (&[4, 7], 10, 10), (&[11], 10, 10)] {
            let (response, whole) = answer(sizes);
            assert_eq!(read_some(response, bytes_max).await, whole[..expected], "{sizes:?}");
        }
    }
}
