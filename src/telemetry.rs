//! Log lines: `tracing` to standard error, as text or as one JSON object a line.
//!
//! Set up once by `main`. Says nothing of runs to their user: that is the CLI's part, and works with logging off.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
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
        builder.json().flatten_event(true).finish().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).finish().try_init()
    };
    Ok(())
}

/// Reads a filter.
pub fn filter(text: &str) -> Result<EnvFilter, Error> {
    EnvFilter::builder().parse(text).map_err(|error| Error::Filter { filter: text.to_owned(), message: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = init(&Options { filter: "gantry=loud".to_owned(), json: false }).unwrap_err();
        assert!(error.to_string().contains("gantry=loud"), "{error}");
    }
}
