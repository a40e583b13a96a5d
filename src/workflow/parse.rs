//! YAML text to a workflow and every diagnostic, in one pass.

use super::check::check;
use super::node::Node;
use super::report::Report;
use super::{Diagnostic, Severity, Workflow, codes, yaml};

/// What came out of a text.
#[derive(Debug)]
pub struct Parsed {
    /// The workflow, when there is no error among the diagnostics.
    pub workflow: Option<Workflow>,
    /// Errors and warnings, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// How many more there are, beyond [`crate::limits::DIAGNOSTICS_MAX`].
    pub omitted: usize,
}

impl Parsed {
    /// The diagnostics that keep the workflow from running.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|one| one.severity == Severity::Error)
    }
}

/// Parses and checks a workflow.
pub fn parse(text: &str) -> Parsed {
    let mut report = Report::new(text);
    let root = yaml::read(text, &mut report);
    let workflow = root.and_then(|root| {
        check_schema(&root, &mut report);
        check(&root, &mut report)
    });
    let (diagnostics, omitted) = report.finish();
    Parsed { workflow, diagnostics, omitted }
}

/// Parses and checks a workflow that comes as bytes, from a file or a registry. Bytes that are not UTF-8 are a diagnostic.
pub fn parse_bytes(bytes: &[u8]) -> Parsed {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text),
        Err(error) => {
            let (valid, _) = bytes.split_at(error.valid_up_to());
            let text = std::str::from_utf8(valid).unwrap_or_default();
            let mut report = Report::new(text);
            let at = text.len();
            let message = format!("byte {at} is not UTF-8 text");
            report.add(&codes::INVALID_ENCODING, at..at, message, "save the file as UTF-8");
            let (diagnostics, omitted) = report.finish();
            Parsed { workflow: None, diagnostics, omitted }
        }
    }
}

/// Holds the `input` schema against the meta-schema of its draft.
fn check_schema(root: &Node, report: &mut Report<'_>) {
    let Some(input) = root.get("input") else { return };
    let schema = input.to_json();
    if !schema.is_object() {
        return;
    }
    if let Err(error) = jsonschema::meta::validate(&schema) {
        let place = error.instance_path().as_str().to_owned();
        let node = input.nearest(place.split('/').skip(1));
        let message = format!("`input` is not a valid JSON Schema: {error}");
        report.add(&codes::INVALID_SCHEMA, node.span.clone(), message, "see json-schema.org for what a schema may say");
    }
}
