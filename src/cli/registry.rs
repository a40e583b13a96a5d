//! `gantry registry serve`: the embedded registry alone.

use std::net::SocketAddr;

use serde_json::json;

use super::arguments::ListenChoice;
use super::exit::{Exit, Failure};
use super::local::Local;
use super::terminal::{self, say};
use super::up::{ReadyFile, StorageChoice, url};
use crate::config::Config;
use crate::shutdown::Shutdown;

/// `gantry registry …`.
#[derive(Debug, clap::Subcommand)]
pub enum RegistryCommand {
    /// Serve the embedded registry, without agents and example workflows
    Serve(ServeArguments),
}

/// Arguments of `gantry registry serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// The port; 0 lets the system choose [default: 5000]
    #[arg(long, value_name = "PORT", visible_alias = "registry-port")]
    port: Option<u16>,
    #[command(flatten)]
    listen: ListenChoice,
    #[command(flatten)]
    storage: StorageChoice,
}

pub(super) async fn execute(command: RegistryCommand, mut config: Config, shutdown: &Shutdown) -> Result<Exit, Failure> {
    let RegistryCommand::Serve(arguments) = command;
    arguments.listen.apply(&mut config);
    let data_dir = arguments.storage.directory(&config)?;
    let mut local = Local::open(data_dir.as_deref())?;
    let port = arguments.port.unwrap_or(config.registry_port);
    let registry = url(local.serve_registry(SocketAddr::new(config.host, port), &config).await?);
    terminal::data(&format!("registry at {registry}\nCtrl-C stops it."))?;
    let addresses = json!({"pid": std::process::id(), "url": registry, "registry": registry, "data_dir": data_dir});
    let ready = arguments.listen.ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose()?;
    shutdown.requested().cancelled().await;
    say("stopping; interrupt again to leave at once");
    drop(ready);
    local.shutdown().await;
    Ok(Exit::Ok)
}
