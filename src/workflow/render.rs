//! Diagnostics for people: with the text around them for a terminal, or one line each for editors and logs.

use std::fmt::Write as _;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use super::{Diagnostic, Severity};

/// Columns of a rendered diagnostic.
const WIDTH: usize = 120;

/// Renders all diagnostics with file, line, column, the text around them and hints. `name` is the file's name.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let theme = match color {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    let mut rendered = String::new();
    for one in diagnostics {
        let report = Report::new(as_miette(one)).with_source_code(NamedSource::new(name, text.to_owned()));
        if handler.render_report(&mut rendered, report.as_ref()).is_err() {
            // The snippet could not be drawn; the facts still can.
            rendered.push_str(&short_line(name, one));
        }
        rendered.push('\n');
    }
    rendered
}

/// One line for each diagnostic: `file:line:column: error[code]: message (hint)`.
pub fn render_short(name: &str, diagnostics: &[Diagnostic]) -> String {
    diagnostics.iter().fold(String::new(), |all, one| all + &short_line(name, one))
}

fn short_line(name: &str, one: &Diagnostic) -> String {
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut line = format!("{name}:{}:{}: {severity}[{}]: {}", one.line, one.column, one.code, one_line(&one.message));
    if let Some(hint) = &one.hint {
        let _ = write!(line, " ({})", one_line(hint));
    }
    line.push('\n');
    line
}

/// Texts of an author appear in messages: none of them may start a new line or steer a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn as_miette(one: &Diagnostic) -> MietteDiagnostic {
    let severity = match one.severity {
        Severity::Error => miette::Severity::Error,
        Severity::Warning => miette::Severity::Warning,
    };
    let label = LabeledSpan::new(Some("here".to_owned()), one.span.start, one.span.len());
    let diagnostic = MietteDiagnostic::new(one_line(&one.message)).with_code(one.code).with_severity(severity).with_label(label);
    match &one.hint {
        Some(hint) => diagnostic.with_help(one_line(hint)),
        None => diagnostic,
    }
}
