//! `gantry workflow show`: metadata, the tree of steps, and why this version.

use std::fmt::Write;

use serde_json::{Value, json};

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, one_line, printable};
use crate::config::Config;
use crate::discovery::FoundWorkflow;
use crate::plan::{CatchOrNot, Handler, Node, NodeKind, Plan, ReduceBy, SequenceIndex};
use crate::time::humanize;

/// Arguments of `gantry workflow show`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// The workflow: `id`, `id:tag`, `id@sha256:…`, `host/repository:tag`
    workflow: String,
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HANDLERS: [Handler; 4] = [Handler::OnSuccess, Handler::OnError, Handler::OnCancel, Handler::Always];

pub(super) async fn execute(arguments: ShowArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_show(&arguments.registry, config, terminal, Some(&arguments.workflow)).await?;
    let found = surroundings.discovery.workflow(&arguments.workflow).await.map_err(|error| surroundings.failure(error))?;
    if arguments.json {
        terminal::json(&object(&found))?;
    } else {
        terminal::data(&text(&found, &surroundings.location))?;
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}

fn text(found: &FoundWorkflow, location: &str) -> String {
    let plan = &found.plan;
    let metadata = &plan.workflow().metadata;
    let skills: Vec<&str> = plan.skills().into_iter().map(crate::ids::SkillId::as_str).collect();
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<13}{}", printable(value));
        }
    };
    field("id", metadata.id.as_str());
    field("name", &metadata.name);
    field("version", &metadata.version.to_string());
    field("description", metadata.description.as_deref().unwrap_or_default().trim());
    field("tags", &metadata.tags.join(", "));
    field("examples", &metadata.examples.join("\n             "));
    field("repository", &format!("{} in {location}", found.repository));
    field("tag", found.tag.as_deref().unwrap_or_default());
    field("choice", &found.choice);
    field("digest", plan.digest().as_str());
    field("skills", &skills.join(", "));
    field("inputs", &inputs(plan).join(", "));
    text.push_str("steps\n");
    tree(plan, plan.root(), 1, &mut text);
    for handler in HANDLERS {
        if let Some(sequence) = plan.handler(handler) {
            let _ = writeln!(text, "{}", handler.name());
            tree(plan, sequence, 1, &mut text);
        }
    }
    text
}

/// The input's properties, required ones first marked so.
fn inputs(plan: &Plan) -> Vec<String> {
    let Some(schema) = &plan.workflow().input else { return Vec::new() };
    let required: Vec<&str> = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let name = |key: &String| if required.contains(&key.as_str()) { format!("{key} (required)") } else { key.clone() };
    properties.into_iter().flat_map(|properties| properties.keys().map(name)).collect()
}

fn tree(plan: &Plan, sequence: SequenceIndex, depth: usize, text: &mut String) {
    for index in &plan.sequence(sequence).steps {
        let node = plan.node(*index);
        let _ = writeln!(text, "{}{}", "  ".repeat(depth), line(node));
        for (label, body) in bodies(node) {
            // A branch of one unnamed step needs no line of its own.
            let name = label.unwrap_or_else(|| plan.sequence(body).name.to_string());
            let steps = &plan.sequence(body).steps;
            if steps.is_empty() {
                continue;
            }
            let is_its_only_step = steps.len() == 1 && plan.node(steps[0]).id.as_str() == name;
            if !is_its_only_step {
                let _ = writeln!(text, "{}{}:", "  ".repeat(depth + 1), one_line(&name, 80));
            }
            tree(plan, body, depth + if is_its_only_step { 1 } else { 2 }, text);
        }
    }
}

fn line(node: &Node) -> String {
    let mut line = format!("{}  {}", node.id, node.kind.name());
    if let NodeKind::Call(call) = &node.kind {
        line = format!("{}  {}", node.id, one_line(call.skill.as_str(), 80));
        if let Some(agent) = &call.agent {
            let _ = write!(line, "  by {}", one_line(agent, 80));
        }
    }
    if let Some(timeout) = node.timeout {
        let _ = write!(line, "  timeout {}", humanize(timeout));
    }
    if let Some(retry) = &node.retry {
        let _ = write!(line, "  attempts {}", retry.max_attempts);
    }
    if node.when.is_some() {
        line.push_str("  guarded");
    }
    if node.on_error == CatchOrNot::Continue {
        line.push_str("  goes on after a failure");
    }
    line
}

/// The lists of steps below a node, with a label where the sequence's own name does not say it.
fn bodies(node: &Node) -> Vec<(Option<String>, SequenceIndex)> {
    let mut bodies: Vec<(Option<String>, SequenceIndex)> = match &node.kind {
        NodeKind::Call(_)
        | NodeKind::Workflow { .. }
        | NodeKind::Wait(_)
        | NodeKind::Input { .. }
        | NodeKind::Set(_)
        | NodeKind::Fail(_) => Vec::new(),
        NodeKind::Map { body, reduce, .. } => {
            let reducer = if let Some((_, ReduceBy::Steps(steps))) = reduce { Some((None, *steps)) } else { None };
            [(Some("each item".to_owned()), *body)].into_iter().chain(reducer).collect()
        }
        NodeKind::Loop { body, .. } => vec![(Some("each iteration".to_owned()), *body)],
        NodeKind::Parallel { branches, .. } | NodeKind::Race { branches } => branches.iter().map(|branch| (None, *branch)).collect(),
        NodeKind::Conditional { if_true, if_false, .. } => vec![(None, *if_true), (None, *if_false)],
        NodeKind::Switch { cases, default, .. } => cases.iter().copied().chain(*default).map(|case| (None, case)).collect(),
    };
    if let CatchOrNot::Catch(sequence) = node.on_error {
        bodies.push((Some("on_error".to_owned()), sequence));
    }
    bodies
}

fn object(found: &FoundWorkflow) -> Value {
    let plan = &found.plan;
    let metadata = &plan.workflow().metadata;
    let handlers: serde_json::Map<String, Value> =
        HANDLERS.into_iter().filter_map(|handler| Some((handler.name().to_owned(), steps(plan, plan.handler(handler)?)))).collect();
    json!({
        "id": metadata.id,
        "name": metadata.name,
        "version": metadata.version.to_string(),
        "description": metadata.description,
        "tags": metadata.tags,
        "examples": metadata.examples,
        "repository": found.repository,
        "tag": found.tag,
        "choice": found.choice,
        "digest": plan.digest(),
        "skills": plan.skills(),
        "input": plan.workflow().input,
        "steps": steps(plan, plan.root()),
        "handlers": handlers,
    })
}

fn steps(plan: &Plan, sequence: SequenceIndex) -> Value {
    let one = |node: &Node| {
        let branches: Vec<Value> = bodies(node)
            .into_iter()
            .map(|(label, body)| json!({"name": label.unwrap_or_else(|| plan.sequence(body).name.to_string()), "steps": steps(plan, body)}))
            .collect();
        let skill = if let NodeKind::Call(call) = &node.kind { Some(&call.skill) } else { None };
        let timeout_ms = node.timeout.map(|timeout| timeout.as_millis() as u64);
        json!({"id": node.id, "kind": node.kind.name(), "skill": skill, "line": node.line, "timeout_ms": timeout_ms, "branches": branches})
    };
    plan.sequence(sequence).steps.iter().map(|index| one(plan.node(*index))).collect()
}
