//! From arguments to the subcommand that carries them out.

use super::arguments::{Command, Global};
use super::exit::{Exit, Failure, chain};
use super::{Terminal, agent, completions, registry, replay, run, runs, sample_agents, send, serve, task, up, workflow};
use crate::config::Config;
use crate::files;
use crate::shutdown::Shutdown;

/// The configuration, with the flags of every subcommand over it.
pub fn load_config(global: &Global) -> Result<Config, Failure> {
    let mut config = Config::load(global.config.as_deref()).map_err(|error| Failure::usage(chain(&error)))?;
    global.apply(&mut config);
    Ok(config)
}

/// Carries out a subcommand. Those that hold something drain at the first signal, the others end; a second signal ends all of them.
pub async fn dispatch(command: Command, config: Config, terminal: Terminal) -> Result<Exit, Failure> {
    let shutdown = Shutdown::listen().map_err(|error| Failure::internal(format!("cannot listen for signals: {error}")))?;
    let drains = matches!(command, Command::Up(_) | Command::Serve(_) | Command::Run(_) | Command::SampleAgents(_) | Command::Registry(_));
    if drains {
        // They call many, or are called by many.
        files::raise();
    }
    let leave = if drains { shutdown.aborted() } else { shutdown.requested() };
    let work = async {
        match command {
            Command::Up(arguments) => up::execute(arguments, config, &shutdown).await,
            Command::Serve(arguments) => serve::execute(arguments, config, terminal, &shutdown).await,
            Command::Run(arguments) => run::execute(arguments, config, terminal, &shutdown).await,
            Command::Send(arguments) => send::execute(arguments, &config, terminal).await,
            Command::Task(command) => task::execute(command, &config, terminal).await,
            Command::Runs(command) => runs::execute(command, config, terminal).await,
            Command::Replay(arguments) => replay::execute(arguments, terminal).await,
            Command::Workflow(command) => workflow::execute(command, config, terminal).await,
            Command::Agent(command) => agent::execute(command, config, terminal).await,
            Command::SampleAgents(arguments) => sample_agents::execute(arguments, config, &shutdown).await,
            Command::Registry(command) => registry::execute(command, config, &shutdown).await,
            Command::Completions(arguments) => completions::execute(&arguments),
        }
    };
    tokio::select! {
        outcome = work => outcome,
        () = leave.cancelled() => Err(Failure::new(Exit::Interrupted, "interrupted")),
    }
}
