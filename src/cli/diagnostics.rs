//! Workflow files that are read, and what is wrong with them for people: snippets on a terminal and elsewhere alike.

use std::io::Read;
use std::path::Path;

use super::exit::{Exit, Failure};
use super::terminal::Terminal;
use crate::limits::WORKFLOW_BYTES_MAX;
use crate::workflow::{self, Diagnostic, Severity};

/// The text of a workflow file, bounded.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(WORKFLOW_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::unavailable(format!("there is no file `{}`", path.display())));
        }
        Err(error) => return Err(Failure::usage(format!("cannot read `{}`: {error}", path.display()))),
        Ok(_) if bytes.len() > WORKFLOW_BYTES_MAX => {
            return Err(Failure::new(Exit::Failed, format!("`{}` is larger than {WORKFLOW_BYTES_MAX} bytes", path.display())));
        }
        Ok(_) => {}
    }
    String::from_utf8(bytes).map_err(|_| Failure::new(Exit::Failed, format!("`{}` is not UTF-8 text", path.display())))
}

/// Every diagnostic with its snippet.
pub(super) fn render(name: &str, text: &str, diagnostics: &[Diagnostic], terminal: Terminal) -> String {
    workflow::render(name, text, diagnostics, terminal.color_err)
}

/// The failure that an invalid workflow is.
pub(super) fn invalid(name: &str, text: &str, diagnostics: Vec<Diagnostic>, terminal: Terminal) -> Failure {
    let message = format!("workflow `{name}` is invalid: {}", count(&diagnostics));
    let rendered = format!("{}error: {message}", render(name, text, &diagnostics, terminal));
    Failure { rendered: Some(rendered), diagnostics, ..Failure::new(Exit::Failed, message) }
}

/// `2 errors, 1 warning`.
pub(super) fn count(diagnostics: &[Diagnostic]) -> String {
    let of = |severity: Severity, word: &str| match diagnostics.iter().filter(|one| one.severity == severity).count() {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    let parts: Vec<String> = [of(Severity::Error, "error"), of(Severity::Warning, "warning")].into_iter().flatten().collect();
    if parts.is_empty() { "no problems".to_owned() } else { parts.join(", ") }
}
