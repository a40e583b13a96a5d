//! Log lines: `tracing` to standard error, as text or as one JSON object a line.
//!
//! Set up once by `main`. Says nothing of runs to their user: that is the CLI's part, and works with logging off.

use std::io::IsTerminal;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// What is written and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// `tracing` filters, such as `warn` or `gantry=debug,warn`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter cannot be read.
    #[error("`{filter}` is not a log filter: {message}")]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Sends log lines to standard error from now on. Later calls change nothing.
pub fn init(options: &Options) -> Result<(), Error> {
    let filter = filter(&options.filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call in one process (tests do it) finds the first one's choice in place, which is as good.
    let _already_set = if options.json {
        builder.json().flatten_event(true).finish().with(without_bodies()).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).finish().with(without_bodies()).try_init()
    };
    Ok(())
}

/// Reads a filter.
pub fn filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder().parse(text).map_err(|error| Error::Filter { filter: text.to_owned(), message: error.to_string() })
}

/// Whatever a filter asks for, jsonrpsee says nothing at `trace`: there it writes whole requests and answers, with the
/// credentials of webhooks in them. To be laid over a subscriber with a [`filter`].
pub fn without_bodies() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| *metadata.level() != Level::TRACE || !metadata.target().starts_with("jsonrpsee"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes through of a library's line at each level.
    fn heard(asked: &str) -> Vec<&'static str> {
        let subscriber = tracing_subscriber::registry().with(filter(asked).unwrap()).with(without_bodies());
        tracing::subscriber::with_default(subscriber, || {
            let _span = tracing::info_span!(target: "gantry", "request", run_id = "r").entered();
            [
                (tracing::enabled!(target: "jsonrpsee-server", Level::TRACE), "bodies"),
                (tracing::enabled!(target: "jsonrpsee-server", Level::DEBUG), "connections"),
                (tracing::enabled!(target: "hyper", Level::TRACE), "hyper"),
            ]
            .into_iter()
            .filter_map(|(heard, what)| heard.then_some(what))
            .collect()
        })
    }

    #[test]
    fn jsonrpsee_is_heard_as_asked_but_never_with_bodies() {
        for (asked, expected) in [
            ("warn", &[][..]),
            ("gantry=trace,warn", &[]),
            ("debug", &["connections"]),
            ("trace", &["connections", "hyper"]),
            ("jsonrpsee-server=trace,warn", &["connections"]),
            ("[request]=trace", &["connections", "hyper"]),
        ] {
            assert_eq!(heard(asked), expected, "{asked}");
        }
    }

    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = init(&Options { filter: "gantry=loud".to_owned(), json: false }).unwrap_err();
        assert!(error.to_string().contains("gantry=loud"), "{error}");
    }
}
