//! `gantry workflow push`.

use std::path::PathBuf;

use bytes::Bytes;
use serde_json::json;

use super::super::arguments::RegistryChoice;
use super::super::diagnostics;
use super::super::exit::{Exit, Failure};
use super::super::replaced::Version;
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, table};
use super::references::Files;
use crate::config::Config;
use crate::workflow::parse;

/// Arguments of `gantry workflow push`.
#[derive(Debug, clap::Args)]
pub struct PushArguments {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Tag them beside their version; given more than once for several
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Push to this repository instead of `workflows/<id>`
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: PushArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    if arguments.repository.is_some() && arguments.files.len() > 1 {
        return Err(Failure::usage("--repository takes one file").hint("push the files one by one"));
    }
    let surroundings = Surroundings::require(&arguments.registry, config, terminal).await?;
    // All are checked before any is pushed, so that a mistake in the last does not leave half of them there.
    let (mut checked, mut known) = (Vec::new(), Files::default());
    for file in &arguments.files {
        let name = file.display().to_string();
        let text = diagnostics::read(file)?;
        let parsed = parse(&text);
        match parsed.workflow {
            Some(workflow) => checked.push((name, known.add(workflow, &text), text)),
            None => return Err(diagnostics::invalid(&name, &text, parsed.diagnostics, terminal)),
        }
    }
    for (name, plan, text) in &checked {
        if let Some(found) = known.check_with(plan, &surroundings.discovery).await {
            return Err(diagnostics::invalid(name, text, vec![found], terminal));
        }
    }
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for (name, plan, text) in checked {
        let (id, version) = (plan.workflow().metadata.id.to_string(), plan.workflow().metadata.version.to_string());
        let repository = match arguments.repository.as_deref().unwrap_or(&id) {
            path if path.contains('/') => path.to_owned(),
            name => format!("workflows/{name}"),
        };
        let before = Version::look_up(&surroundings.discovery, &repository, &version).await;
        let pushed = surroundings.discovery.push_workflow(&name, Bytes::from(text), arguments.repository.as_deref(), &arguments.tags).await;
        let pushed = pushed.map_err(|error| surroundings.failure(error))?;
        let replaced = before.and_then(|before| before.moved_by(&pushed, &id, "metadata.version"));
        objects.push(json!({
            "file": name, "id": id, "repository": repository, "tags": pushed.tags, "digest": pushed.digest, "replaced": replaced
        }));
        rows.push(vec![name, repository, pushed.tags.join(","), pushed.digest.to_string()]);
    }
    if arguments.json {
        terminal::json(&objects)?;
    } else {
        terminal::data(&table(&["FILE", "REPOSITORY", "TAGS", "DIGEST"], &rows))?;
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}
