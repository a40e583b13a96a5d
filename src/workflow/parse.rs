//! YAML text to a workflow and every diagnostic, in one pass.

use jsonschema::error::ValidationErrorKind;

use super::check::{SchemaNode, check_into};
use super::node::Node;
use super::report::Report;
use super::{Diagnostic, Parsed, codes, yaml};

/// Parses and checks a workflow.
pub fn parse(text: &str) -> Parsed {
    let mut report = Report::new(text);
    let root = yaml::read(text, &mut report);
    let workflow = root.and_then(|root| {
        let (workflow, schemas) = check_into(&root, &mut report);
        for schema in &schemas {
            check_schema(schema, &mut report);
        }
        workflow.filter(|_| !report.has_errors())
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

/// Reads YAML as plain values, within the bounds of a workflow: for inputs and other documents that are not workflows.
pub fn read_yaml(text: &str) -> Result<Node, Vec<Diagnostic>> {
    let mut report = Report::new(text);
    let root = yaml::read(text, &mut report);
    match root.filter(|_| !report.has_errors()) {
        Some(root) => Ok(root),
        None => Err(report.finish().0),
    }
}

/// Compiles a schema: its draft's meta-schema, its references and patterns. Nothing is fetched.
fn check_schema(one: &SchemaNode, report: &mut Report<'_>) {
    let validator = match jsonschema::validator_for(&one.schema.to_json()) {
        Ok(validator) => validator,
        Err(error) => {
            let place = error.instance_path().as_str().to_owned();
            let node = one.schema.nearest(place.split('/').skip(1));
            let message = format!("{} is not a valid JSON Schema: {error}", one.what);
            let hint = match error.kind() {
                ValidationErrorKind::Referencing(_) => "other files and hosts are not asked: put what it refers to below `$defs`",
                _ => "see json-schema.org for what a schema may say",
            };
            report.add(&codes::INVALID_SCHEMA, node.span.clone(), message, hint);
            return;
        }
    };
    let Some(example) = &one.example else { return };
    if let Err(error) = validator.validate(&example.to_json()) {
        let place = error.instance_path().as_str().to_owned();
        let node = example.nearest(place.split('/').skip(1));
        let message = format!("`default` is not what {} allows: {error}", one.what);
        report.add(&codes::INVALID_DEFAULT, node.span.clone(), message, "change one of them: an answer is checked, and so is this one");
    }
}
