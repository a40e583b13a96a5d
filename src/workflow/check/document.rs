//! The document itself: `metadata`, `input`, `output`, `steps`, `error_handling`, `limits`.

use std::sync::Arc;

use super::fields::{find, is_extension};
use super::reach::Arm;
use super::{Checker, SchemaNode};
use crate::ids::WorkflowId;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::{ErrorHandling, Limits, Metadata, OnFailure, Workflow};

const KEYS: &[&str] = &["metadata", "input", "output", "steps", "error_handling", "limits"];
const METADATA_KEYS: &[&str] = &["id", "name", "version", "description", "tags", "examples"];
const ERROR_HANDLING_KEYS: &[&str] = &["retry", "on_failure", "on_success", "on_error", "on_cancel", "always"];
const LIMITS_KEYS: &[&str] = &["max_duration", "max_agent_calls", "max_payload"];

impl Checker<'_, '_> {
    /// Reads the whole document.
    pub(super) fn document(&mut self, root: &Node) -> Option<Workflow> {
        if root.kind == Kind::Null {
            let hint = "a workflow has `metadata` (id, name, version) and `steps`";
            self.add(&codes::MISSING_KEY, &root.span, "the file is empty".to_owned(), hint);
            return None;
        }
        let entries = self.known_map(root, "the workflow", KEYS)?;
        let metadata = match find(entries, "metadata") {
            Some(node) => {
                let text = |key: &str| match node.get(key).map(|value| &value.kind) {
                    Some(Kind::Text(text)) => Some(text.clone()),
                    _ => None,
                };
                if let Some(id) = text("id") {
                    // `latest` is what a reference without a tag means.
                    let tags = text("version").into_iter().chain(["latest".to_owned()]);
                    self.own_references = tags.map(|tag| format!("{id}:{tag}")).chain([id.clone()]).collect();
                }
                self.metadata(node)
            }
            None => {
                self.missing(root, "metadata", "the workflow", "add `metadata:` with id, name and version");
                None
            }
        };
        let input = find(entries, "input").and_then(|node| self.input(node));
        let steps = match find(entries, "steps") {
            Some(node) => {
                if matches!(&node.kind, Kind::Null) || matches!(&node.kind, Kind::List(items) if items.is_empty()) {
                    let hint = "the run completes at once with a null result; add a step if that is not meant";
                    self.add(&codes::EMPTY_STEPS, &node.span, "the workflow has no steps".to_owned(), hint);
                }
                self.steps(node, None, Arm::Main, "`steps`")
            }
            None => {
                self.missing(root, "steps", "the workflow", "add `steps:` with a list of steps; it may be empty");
                None
            }
        };
        let error_handling = match find(entries, "error_handling") {
            Some(node) => self.error_handling(node),
            None => Some(ErrorHandling::default()),
        };
        let limits = match find(entries, "limits") {
            Some(node) => self.limits(node),
            None => Some(Limits::default()),
        };
        let output = match find(entries, "output") {
            Some(node) => Some(self.tree(node)?),
            None => None,
        };
        Some(Workflow { metadata: metadata?, input, output, steps: steps?, error_handling: error_handling?, limits: limits? })
    }

    fn metadata(&mut self, node: &Node) -> Option<Metadata> {
        let entries = self.known_map(node, "`metadata`", METADATA_KEYS)?;
        let id = self.required(node, entries, "id").and_then(|id| self.workflow_id(id));
        let name = self.required(node, entries, "name").and_then(|name| self.filled_text(name, "`metadata.name`")).map(str::to_owned);
        let version = self.required(node, entries, "version").and_then(|version| self.version(version));
        let description =
            find(entries, "description").and_then(|text| self.text(text, "`metadata.description`")).map(|text| text.trim_end().to_owned());
        let tags = find(entries, "tags").and_then(|tags| self.texts(tags, "`metadata.tags`")).unwrap_or_default();
        let examples = find(entries, "examples").and_then(|examples| self.texts(examples, "`metadata.examples`")).unwrap_or_default();
        Some(Metadata { id: id?, name: name?, version: version?, description, tags, examples })
    }

    fn required<'n>(&mut self, node: &Node, entries: &'n [Entry], key: &str) -> Option<&'n Node> {
        let found = find(entries, key);
        if found.is_none() {
            let hint = match key {
                "id" => "add `id: my-workflow-v1`",
                "name" => "add `name:` with a name for people",
                _ => "add `version: 1.0.0`",
            };
            self.missing(node, key, "`metadata`", hint);
        }
        found
    }

    fn workflow_id(&mut self, node: &Node) -> Option<WorkflowId> {
        let text = self.text(node, "`metadata.id`")?;
        match WorkflowId::parse(text) {
            Ok(id) => Some(id),
            Err(error) => {
                let lower = text.trim().to_lowercase();
                let proposal: String = lower.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
                let proposal = proposal.trim_matches(['-', '_']);
                let hint = match WorkflowId::parse(proposal) {
                    Ok(id) => format!("write `{id}`"),
                    Err(_) => "use lower-case letters, digits, `-` and `_`".to_owned(),
                };
                self.add(&codes::INVALID_ID, &node.span, error.to_string(), hint);
                None
            }
        }
    }

    fn version(&mut self, node: &Node) -> Option<semver::Version> {
        // `1.0` is a number in YAML; that is the most likely mistake, and the answer is not to quote it.
        let written = match &node.kind {
            Kind::Text(text) => text.clone(),
            Kind::Number(_) => self.report.source().slice(&node.span).to_owned(),
            _ => return self.wrong(node, "`metadata.version`", "a semantic version", "write three numbers: 1.0.0"),
        };
        match semver::Version::parse(written.trim()) {
            Ok(version) => Some(version),
            Err(error) => {
                let bare = written.trim().trim_start_matches(['v', 'V']);
                let proposals = [bare.to_owned(), format!("{bare}.0"), format!("{bare}.0.0")];
                let hint = match proposals.iter().find(|text| semver::Version::parse(text).is_ok()) {
                    Some(proposal) => format!("write `{proposal}`"),
                    None => "a version has three numbers: 1.0.0 (see semver.org)".to_owned(),
                };
                let written = super::fields::shorten(&written);
                self.add(&codes::INVALID_VERSION, &node.span, format!("`{written}` is not a semantic version: {error}"), hint);
                None
            }
        }
    }

    fn input(&mut self, node: &Node) -> Option<Arc<serde_json::Value>> {
        self.schema(node, "`input`", None)
    }

    /// A JSON Schema. It is kept for whoever can compile it, with an example that it must allow.
    pub(super) fn schema(&mut self, node: &Node, what: &str, example: Option<&Node>) -> Option<Arc<serde_json::Value>> {
        self.map(node, what)?;
        self.schemas.push(SchemaNode { what: what.to_owned(), schema: node.clone(), example: example.cloned() });
        Some(Arc::new(node.to_json()))
    }

    fn error_handling(&mut self, node: &Node) -> Option<ErrorHandling> {
        let entries = self.known_map(node, "`error_handling`", ERROR_HANDLING_KEYS)?;
        let retry = find(entries, "retry").map(|node| self.retry(node));
        let words = [("fail", OnFailure::Fail), ("continue", OnFailure::Continue)];
        let on_failure = find(entries, "on_failure").map(|node| self.word(node, "`on_failure`", &words));
        let mut handler = |key: &str, arm: Arm| match find(entries, key) {
            Some(node) => self.steps(node, None, arm, &format!("`error_handling.{key}`")),
            None => Some(Vec::new()),
        };
        let on_success = handler("on_success", Arm::Handler(0));
        let on_error = handler("on_error", Arm::Handler(1));
        let on_cancel = handler("on_cancel", Arm::Handler(2));
        let always = handler("always", Arm::Always);
        Some(ErrorHandling {
            retry: flatten(retry)?,
            on_failure: flatten(on_failure)?.unwrap_or_default(),
            on_success: on_success?,
            on_error: on_error?,
            on_cancel: on_cancel?,
            always: always?,
        })
    }

    fn limits(&mut self, node: &Node) -> Option<Limits> {
        let entries = self.known_map(node, "`limits`", LIMITS_KEYS)?;
        let max_duration = find(entries, "max_duration").map(|node| self.positive_duration(node, "`max_duration`"));
        let max_agent_calls = find(entries, "max_agent_calls").map(|node| self.integer(node, "`max_agent_calls`", 1, u64::MAX));
        let max_payload_bytes = find(entries, "max_payload").map(|node| self.size(node, "`max_payload`"));
        Some(Limits {
            max_duration: flatten(max_duration)?,
            max_agent_calls: flatten(max_agent_calls)?,
            max_payload_bytes: flatten(max_payload_bytes)?,
        })
    }

    /// Ids in a part of the document that could not be understood, so that references to them are not called undefined.
    pub(super) fn shadow(&mut self, node: &Node) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| self.shadow(item)),
            Kind::Map(entries) => {
                for entry in entries.iter().filter(|entry| !is_extension(&entry.key)) {
                    match &entry.value.kind {
                        Kind::Text(id) if entry.key == "id" => {
                            self.shadowed.insert(id.clone());
                        }
                        _ => self.shadow(&entry.value),
                    }
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) => {}
        }
    }
}

/// A key that is absent is fine (`Some(None)`); one that could not be read is not (`None`).
pub(super) fn flatten<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        None => Some(None),
        Some(None) => None,
        Some(Some(value)) => Some(Some(value)),
    }
}
