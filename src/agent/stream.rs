//! Server-sent events (WHATWG HTML, section 9.2), bounded: chunks in, the data of whole events out.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Response;

use super::body;
use super::error::{ErrorKind, Failure};

/// A stream that says nothing for so long is taken for dead; agents send a comment every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// The events of a response.
pub(super) struct Events {
    response: Response,
    parser: Parser,
    ready: VecDeque<Vec<u8>>,
    /// Why looking ahead found no event; told where that event would be.
    failure: Option<Failure>,
}

impl Events {
    pub(super) fn new(response: Response, event_bytes_max: usize) -> Self {
        Self { response, parser: Parser::new(event_bytes_max), ready: VecDeque::new(), failure: None }
    }

    /// Waits until the next event is there, or it is clear that there is none.
    pub(super) async fn look_ahead(&mut self) {
        match self.next().await {
            Ok(Some(event)) => self.ready.push_front(event),
            // Read again, a response at its end is at its end.
            Ok(None) => {}
            Err(failure) => self.failure = Some(failure),
        }
    }

    /// The data of the next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk())
                .await
                .map_err(|_| Failure::new(ErrorKind::Unavailable, format!("its stream was silent for {SILENCE_MAX:?}")))?;
            match chunk.map_err(|error| body::transport(&error))? {
                Some(chunk) => self.parser.push(&chunk, &mut self.ready)?,
                // An event without its empty line was cut off, and is dropped.
                None => return Ok(None),
            }
        }
    }
}

/// Lines end with LF, CR or both; `data` lines of one event are joined by LF; comments and other fields are skipped.
struct Parser {
    bytes_max: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
}

impl Parser {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, line: Vec::new(), data: Vec::new(), has_data: false, after_cr: false, at_start: true }
    }

    fn push(&mut self, mut chunk: &[u8], ready: &mut VecDeque<Vec<u8>>) -> Result<(), Failure> {
        while let Some(&first) = chunk.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.hold(chunk);
            };
            self.hold(&chunk[..end])?;
            self.after_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            if let Some(event) = self.end_line() {
                ready.push_back(event);
            }
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if self.line.len() + self.data.len() + bytes.len() > self.bytes_max {
            return Err(Failure::new(ErrorKind::TooLarge, format!("an event of its stream is larger than {} bytes", self.bytes_max)));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Option<Vec<u8>> {
        let mut line = self.line.as_slice();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        let event = if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            std::mem::take(&mut self.has_data).then_some(data)
        } else {
            let value = match line.strip_prefix(b"data") {
                Some([]) => Some(&[][..]),
                Some([b':', value @ ..]) => Some(value.strip_prefix(b" ").unwrap_or(value)),
                Some(_) | None => None,
            };
            if let Some(value) = value {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
                self.has_data = true;
            }
            None
        };
        self.line.clear();
        event
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use tokio::time::Instant;

    use super::*;

    fn events(chunks: &[&[u8]]) -> Result<Vec<String>, ErrorKind> {
        let mut parser = Parser::new(32);
        let mut ready = VecDeque::new();
        for chunk in chunks {
            parser.push(chunk, &mut ready).map_err(|failure| failure.kind)?;
        }
        Ok(ready.into_iter().map(|event| String::from_utf8(event).unwrap()).collect())
    }

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        for (text, expected) in [
            ("data: a\n\n", vec!["a"]),
            ("data:a\r\n\r\ndata: b\r\r", vec!["a", "b"]),
            (": keep-alive\n\ndata: a\n\n", vec!["a"]),
            ("data: a\ndata: b\ndata\n\n", vec!["a\nb\n"]),
            ("event: x\nid: 1\nretry: 5\ndata: a\n\n", vec!["a"]),
            ("\u{feff}data: a\n\n", vec!["a"]),
            ("data: a\n\ndata: cut off\n", vec!["a"]),
            ("database: x\n\n", vec![]),
            ("data:  two\n\n", vec![" two"]),
            ("data\n\n", vec![""]),
            ("\n\n\n", vec![]),
        ] {
            let bytes = text.as_bytes();
            assert_eq!(events(&[bytes]).unwrap(), expected, "{text:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(events(&single).unwrap(), expected, "{text:?} byte by byte");
            for at in 0..bytes.len() {
                assert_eq!(events(&[&bytes[..at], &bytes[at..]]).unwrap(), expected, "{text:?} cut at {at}");
            }
        }
    }

    #[test]
    fn an_event_has_a_bound_however_it_grows() {
        assert_eq!(events(&[&[b'x'; 33]]), Err(ErrorKind::TooLarge));
        let lines: Vec<&[u8]> = vec![b"data: 0123456789\n"; 4];
        assert_eq!(events(&lines), Err(ErrorKind::TooLarge));
        let many: Vec<&[u8]> = vec![b"data: 0123456789\n\n"; 100];
        assert_eq!(events(&many).unwrap().len(), 100);
        // Empty data lines add a byte each, which the bound must see as well.
        let empty: Vec<&[u8]> = vec![b"data\n"; 64];
        assert_eq!(events(&empty), Err(ErrorKind::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_dead_after_a_minute_of_silence_and_a_comment_is_none() {
        let said = [(0, "data: a\n\n"), (59, ":\n\n"), (59, ":\n\n"), (59, "data: b\n\n")];
        let chunks = stream::iter(said).then(async |(after, text)| {
            tokio::time::sleep(Duration::from_secs(after)).await;
            Ok::<_, Infallible>(Bytes::from_static(text.as_bytes()))
        });
        let body = reqwest::Body::wrap_stream(chunks.chain(stream::pending()));
        let mut events = Events::new(axum::http::Response::new(body).into(), 32);
        let begun = Instant::now();
        for (event, at) in [("a", 0), ("b", 3 * 59)] {
            assert_eq!(events.next().await.unwrap().unwrap(), event.as_bytes());
            assert_eq!(begun.elapsed().as_secs(), at);
        }
        let failure = events.next().await.unwrap_err();
        assert_eq!((failure.kind, failure.message.as_str()), (ErrorKind::Unavailable, "its stream was silent for 60s"));
        assert_eq!(begun.elapsed().as_secs(), 3 * 59 + 60);
    }
}
