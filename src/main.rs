//! The program: reads arguments and configuration, sets up logging, carries out one subcommand, and says how it ended.

mod allocator;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use gantry::cli::{self, Arguments, Exit, Failure, Terminal};
use gantry::config::LogFormat;
use gantry::telemetry;

/// Threads that are still busy (a file being read, a name being resolved) are not waited for any longer at the end.
const LEAVE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads any more (`gantry --help | head -1`) is no error.
            let _closed = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() };
        }
    };
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            let _closed = writeln!(std::io::stderr(), "{failure}");
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let config = cli::load_config(&arguments.global)?;
    let filter = config.log.clone().unwrap_or_else(|| arguments.command.default_log().to_owned());
    telemetry::init(&telemetry::Options { filter, json: config.log_format == LogFormat::Json })
        .map_err(|error| Failure::usage(error.to_string()))?;
    let terminal = Terminal::detect(config.no_color);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::internal(format!("cannot start the runtime: {error}")))?;
    // Ends with the runtime.
    let _giving = runtime.spawn(allocator::give_back_when_quiet());
    let outcome = runtime.block_on(cli::dispatch(arguments.command, config, terminal));
    runtime.shutdown_timeout(LEAVE);
    outcome
}
