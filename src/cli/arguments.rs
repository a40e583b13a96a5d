//! The command line as a type. Flags that are settings go over the configuration here; what a subcommand alone takes stands with it.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::exit::EXIT_CODES;
use super::{agent, completions, registry, replay, run, runs, sample_agents, send, serve, task, up, workflow};
use crate::config::{AgentPorts, Config, LogFormat};
use crate::engine::embedded::Choice;

/// Runs workflows whose steps call A2A agents by skill.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = EXIT_CODES, help_template = HELP, max_term_width = 120, arg_required_else_help = true)]
pub struct Arguments {
    /// What holds for every subcommand.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The help with the subcommands in groups, which clap has no words for. A test compares it with the subcommands themselves.
const HELP: &str = "\
{about-with-newline}
{usage-heading} {usage}

Workflows:
  run            Run a workflow and show what it made
  runs           List, show, follow, cancel, retry, answer, export and forget runs
  replay         Run an exported run again against its recorded answers
  workflow       List, show, push, pull and check workflows

Agents:
  send           Send a message to any A2A agent
  task           Get, cancel, follow and list the tasks of any A2A agent
  agent          List, show and push agent cards

Servers:
  up             Start everything: orchestrator, registry, sample agents, example workflows
  serve          Serve gantry as an A2A agent
  sample-agents  Start the six sample agents alone
  registry       Serve the embedded registry alone

Shell:
  completions    Print completions for a shell
  help           Print this message or the help of the given subcommand(s)

Options:
{options}{after-help}";

/// What holds for every subcommand.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file instead of the platform's place
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// Log lines on standard error, as filters: `info`, `gantry=debug` [default: warn, and error for run]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Global options")]
    pub log: Option<String>,
    /// How log lines are written [default: text]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Global options")]
    pub log_format: Option<LogFormat>,
}

impl Global {
    /// Puts these flags over the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        if self.log.is_some() {
            config.log.clone_from(&self.log);
        }
        if let Some(format) = self.log_format {
            config.log_format = format;
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start everything: orchestrator, registry, sample agents, example workflows
    Up(up::UpArguments),
    /// Serve gantry as an A2A agent
    Serve(serve::ServeArguments),
    /// Run a workflow and show what it made
    Run(run::RunArguments),
    /// Send a message to any A2A agent
    Send(send::SendArguments),
    /// Get, cancel, follow and list the tasks of any A2A agent
    #[command(subcommand, arg_required_else_help = true)]
    Task(task::TaskCommand),
    /// List, show, follow, cancel, retry, answer, export and forget runs
    #[command(subcommand, arg_required_else_help = true)]
    Runs(runs::RunsCommand),
    /// Run an exported run again against its recorded answers
    Replay(replay::ReplayArguments),
    /// List, show, push, pull and check workflows
    #[command(subcommand, arg_required_else_help = true)]
    Workflow(workflow::WorkflowCommand),
    /// List, show and push agent cards
    #[command(subcommand, arg_required_else_help = true)]
    Agent(agent::AgentCommand),
    /// Start the six sample agents alone
    SampleAgents(sample_agents::SampleAgentsArguments),
    /// Serve the embedded registry alone
    #[command(subcommand, arg_required_else_help = true)]
    Registry(registry::RegistryCommand),
    /// Print completions for a shell
    Completions(completions::CompletionsArguments),
}

impl Command {
    /// The log filter when nobody chose one. A run tells its user of failed attempts itself, so its warnings would be said twice.
    pub fn default_log(&self) -> &'static str {
        match self {
            Self::Run(_) => "error",
            Self::Up(_)
            | Self::Serve(_)
            | Self::Send(_)
            | Self::Task(_)
            | Self::Runs(_)
            | Self::Replay(_)
            | Self::Workflow(_)
            | Self::Agent(_)
            | Self::SampleAgents(_)
            | Self::Registry(_)
            | Self::Completions(_) => "warn",
        }
    }
}

/// Which registry a command works with.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct RegistryChoice {
    /// The registry, such as `http://localhost:5000` [default: a running one on this machine, else what is built in]
    #[arg(long, value_name = "URL")]
    pub(super) registry: Option<String>,
    /// Use what is built into gantry, even when a registry is configured or running
    #[arg(long, conflicts_with = "registry")]
    pub(super) embedded: bool,
}

/// How the sample agents answer.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ModelChoice {
    /// The model the sample agents ask: `command:claude -p`, `openai:MODEL[@URL]`, `anthropic:MODEL`, `ollama:MODEL`
    #[arg(long, value_name = "MODEL")]
    pub(super) model: Option<String>,
}

/// How agents are called.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct CallsChoice {
    /// Which of several agents for a skill is called: first, round_robin, least_busy [default: first]
    #[arg(long, value_name = "HOW")]
    pub(super) agent_choice: Option<Choice>,
    /// Call nobody else when an agent is away
    #[arg(long)]
    pub(super) no_failover: bool,
    /// Most calls in flight to one agent; more wait [default: 10000]
    #[arg(long, value_name = "COUNT")]
    pub(super) calls_per_agent_max: Option<NonZeroUsize>,
    /// Most calls in flight to all agents; more wait [default: 20000, or three quarters of the files that may be open]
    #[arg(long, value_name = "COUNT")]
    pub(super) calls_max: Option<NonZeroUsize>,
}

/// Where servers listen.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ListenChoice {
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) host: Option<IpAddr>,
    /// Write the real addresses to this file as JSON once everything answers
    #[arg(long, value_name = "FILE")]
    pub(super) ready_file: Option<PathBuf>,
}

/// The sample agents' ports.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct AgentPortsChoice {
    /// Six ports, the first of six in a row, or 0 to let the system choose [default: 8001]
    #[arg(long, value_name = "PORTS", visible_alias = "ports")]
    pub(super) agent_ports: Option<AgentPorts>,
}

impl ModelChoice {
    /// Puts the flag over the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(model) = &self.model {
            config.model = Some(model.clone());
        }
    }
}

impl CallsChoice {
    /// Puts the flags over the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        config.agent_choice = self.agent_choice.unwrap_or(config.agent_choice);
        config.agent_failover &= !self.no_failover;
        config.calls_per_agent_max = self.calls_per_agent_max.unwrap_or(config.calls_per_agent_max);
        config.calls_max = self.calls_max.or(config.calls_max);
    }
}

impl ListenChoice {
    /// Puts the flag over the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(host) = self.host {
            config.host = host;
        }
    }
}

impl AgentPortsChoice {
    /// Puts the flag over the configuration.
    pub(super) fn apply(&self, config: &mut Config) {
        if let Some(ports) = self.agent_ports {
            config.agent_ports = ports;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_has_every_subcommand_as_it_is() {
        let mut listed: Vec<&str> = HELP.lines().filter(|line| line.starts_with("  ") && !line.starts_with("  help ")).collect();
        for subcommand in Arguments::command().get_subcommands() {
            let line = format!("  {:<15}{}", subcommand.get_name(), subcommand.get_about().unwrap());
            assert!(listed.contains(&line.as_str()), "{line}");
            listed.retain(|other| *other != line);
        }
        assert_eq!(listed, Vec::<&str>::new());
    }
}
