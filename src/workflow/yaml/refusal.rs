//! Syntax errors of the parser, with what to do about them.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use crate::limits;
use crate::workflow::codes;
use crate::workflow::report::Report;

/// The hint for whatever is too deep, too many or too much.
pub(super) const SIMPLER: &str = "nest less deeply and repeat less: a workflow written by hand stays far below this";

pub(super) fn too_deep() -> String {
    format!("values are nested more than {} deep", limits::VALUE_DEPTH_MAX)
}

/// Reports the error that ended the reading, at a byte of the text.
pub(super) fn refuse(error: &ScanError, at: usize, report: &mut Report<'_>) {
    let span = at..at + 1;
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => report.add(&codes::TOO_COMPLEX, span, too_deep(), SIMPLER),
        kind => {
            let next = report.source().slice(&span).chars().next();
            report.add(&codes::INVALID_YAML, span, error.info(), hint(kind, next));
        }
    }
}

fn hint(kind: &ErrorKind, next: Option<char>) -> &'static str {
    match kind {
        ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation | ErrorKind::TabInIndentation | ErrorKind::TabAtBlockScalarStart => {
            "indent with spaces: YAML allows no tabs there"
        }
        ErrorKind::UnknownAnchor => "define it before with `&name`, or put the text in quotes if the `*` is part of it",
        ErrorKind::UnclosedFlowCollection { .. }
        | ErrorKind::ExpectedFlowMappingSeparator
        | ErrorKind::ExpectedFlowSequenceSeparator
        | ErrorKind::UnexpectedEofFlowMapping
        | ErrorKind::UnexpectedEofImplicitFlowMapping
        | ErrorKind::UnexpectedEofFlowSequence => {
            "close the bracket here or above; a text with `{`, `[`, `}`, `]` or `,` in it needs quotes"
        }
        ErrorKind::UnclosedQuotedScalar => "close the quotes",
        ErrorKind::UnknownQuotedScalarEscape => "write `\\\\` for a backslash, or use single quotes",
        ErrorKind::UnexpectedCharacter { .. } if matches!(next, Some('@' | '`' | '%')) => "put the text in quotes",
        ErrorKind::UnexpectedCharacter { .. } => "remove the character, or write it as an escape in double quotes: \"\\x07\"",
        _ if next == Some(':') => "put a text that contains `: ` in quotes; else check the indentation",
        // The parser has some sixty kinds and adds more; what helps with the others is to look.
        _ => "check the indentation and quotes of this line and the one above",
    }
}
