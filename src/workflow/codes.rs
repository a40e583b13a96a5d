//! Every code a diagnostic can have: the one list that fixtures, documentation and editors rely on.

use super::Severity;

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// As it is shown: `unknown-key`.
    pub name: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in one sentence.
    pub about: &'static str,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $severity:ident, $about:literal;)*) => {
        $(pub(crate) static $name: Code = Code { name: $text, severity: Severity::$severity, about: $about };)*
        /// All of them, in the order of the layers that find them.
        pub static CODES: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    // The text.
    TOO_LARGE = "too-large", Error, "The file is larger than a workflow may be.";
    INVALID_ENCODING = "invalid-encoding", Error, "The file is not UTF-8 text.";
    INVALID_YAML = "invalid-yaml", Error, "The text is not YAML.";
    MULTIPLE_DOCUMENTS = "multiple-documents", Error, "The file holds more than one YAML document.";
    TOO_COMPLEX = "too-complex", Error, "Nesting, aliases or the number of values exceed what is read.";
    DUPLICATE_KEY = "duplicate-key", Error, "A map has the same key twice.";
    INVALID_KEY = "invalid-key", Error, "A key of a map is not text, a number, a boolean or null.";
    INVALID_MERGE = "invalid-merge", Error, "A merge key (<<) does not name a map.";

    // The shape.
    UNKNOWN_KEY = "unknown-key", Error, "The language has no such key at this place.";
    MISPLACED_KEY = "misplaced-key", Error, "The key belongs to another type of step.";
    MISSING_KEY = "missing-key", Error, "A required key is missing.";
    WRONG_TYPE = "wrong-type", Error, "A value has another type than its key wants.";
    INVALID_VALUE = "invalid-value", Error, "A value is outside the range or set that its key allows.";
    INVALID_ID = "invalid-id", Error, "An identifier does not have the form it needs.";
    INVALID_VERSION = "invalid-version", Error, "metadata.version is not a semantic version.";
    INVALID_DURATION = "invalid-duration", Error, "A duration cannot be read.";
    INVALID_SIZE = "invalid-size", Error, "A size in bytes cannot be read.";
    INVALID_SCHEMA = "invalid-schema", Error, "What should be a JSON Schema is not one.";
    INVALID_DEFAULT = "invalid-default", Error, "The default of an input step is not what its schema allows.";
    INVALID_TEMPLATE = "invalid-template", Error, "An expression cannot be parsed.";
    DUPLICATE_STEP = "duplicate-step", Error, "Two steps have the same id.";
    UNKNOWN_STEP_TYPE = "unknown-step-type", Error, "The language has no such type of step.";
    TOO_MANY_STEPS = "too-many-steps", Error, "The workflow has more steps, or nests them deeper, than is allowed.";

    // The meaning.
    UNKNOWN_NAME = "unknown-name", Error, "An expression reads a name that is not in scope.";
    UNDEFINED_STEP = "undefined-step", Error, "An expression reads a step that does not exist.";
    STEP_NOT_RUN = "step-not-run", Error, "An expression reads a step that cannot have run yet.";
    UNKNOWN_PATH = "unknown-path", Error, "An expression reads something that this object never has.";
    UNDEFINED_OUTPUT = "undefined-output", Error, "An expression reads an output that the step does not have.";
    HYPHEN_IN_PATH = "hyphen-in-path", Error, "A hyphen in a path is read as a subtraction.";
    UNKNOWN_INPUT = "unknown-input", Warning, "An expression reads an input that the input schema does not have.";
    MAY_NOT_HAVE_RUN = "may-not-have-run", Warning, "An expression reads outputs of a step that is not run in every case.";
    WORKFLOW_CYCLE = "workflow-cycle", Error, "The workflows that this one refers to lead back to where they came from.";
    NESTED_TOO_DEEP = "nested-too-deep", Error, "The workflows that this one refers to nest deeper, or are more, than is allowed.";
    EMPTY_STEPS = "empty-steps", Warning, "There are no steps to run.";
}
