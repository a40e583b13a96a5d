//! Diagnostics for people: with the text around them for a terminal, or one line each for editors and logs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report};

use super::{Diagnostic, Severity};

/// Columns of a rendered diagnostic.
const WIDTH: usize = 120;
/// A longer line is not drawn but quoted in part: drawn once for each of a hundred mistakes it would fill the screen for minutes.
const LINE_BYTES_MAX: usize = 1_000;
/// Characters quoted of such a line on either side of the mistake.
const QUOTE_CHARS: usize = 40;

/// Renders all diagnostics with file, line, column, the text around them and hints. `name` is the file's name.
pub fn render(name: &str, text: &str, diagnostics: &[Diagnostic], color: bool) -> String {
    let theme = match color {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(WIDTH).with_links(false);
    let text = tame(text);
    let source = Arc::new(NamedSource::new(name, text.clone().into_owned()));
    let mut rendered = String::new();
    for one in diagnostics {
        let report = match has_long_line(&text, one) {
            true => Report::new(quoting(name, &text, one)),
            false => Report::new(as_miette(one)).with_source_code(Arc::clone(&source)),
        };
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
    text.chars().map(|character| if steers(character) { ' ' } else { character }).collect()
}

/// The text as a terminal may see it: what would steer one is replaced by as many bytes that do not, so that places stay true.
/// Line ends and tabs are drawn as they are.
fn tame(text: &str) -> Cow<'_, str> {
    let harmful = |at: usize, character: char| match character {
        '\n' | '\t' => false,
        '\r' => !text[at..].starts_with("\r\n"),
        other => steers(other),
    };
    if !text.char_indices().any(|(at, character)| harmful(at, character)) {
        return Cow::Borrowed(text);
    }
    let replaced = |(at, character): (usize, char)| match (harmful(at, character), character.len_utf8()) {
        (false, _) => character,
        (true, 1) => '?',
        (true, 2) => '·',
        (true, _) => char::REPLACEMENT_CHARACTER,
    };
    Cow::Owned(text.char_indices().map(replaced).collect())
}

/// Control characters, and those that turn the direction of what stands around them.
fn steers(character: char) -> bool {
    character.is_control() || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether one of the lines that would be drawn is too long for that: the mistake's, the one before, the one after.
fn has_long_line(text: &str, one: &Diagnostic) -> bool {
    let (before, after) = text.split_at(text.floor_char_boundary(one.span.start));
    let mut above = before.rsplit('\n');
    let mut below = after.split('\n');
    let here = above.next().map_or(0, str::len) + below.next().map_or(0, str::len);
    [here, above.next().map_or(0, str::len), below.next().map_or(0, str::len)].into_iter().any(|length| length > LINE_BYTES_MAX)
}

/// The diagnostic with its place and a piece of its line in the message.
fn quoting(name: &str, text: &str, one: &Diagnostic) -> MietteDiagnostic {
    let (before, after) = text.split_at(text.floor_char_boundary(one.span.start));
    let begin = before.rsplit('\n').next().unwrap_or_default().chars().rev().take(QUOTE_CHARS).collect::<Vec<_>>();
    let end = after.split('\n').next().unwrap_or_default().chars().take(QUOTE_CHARS);
    let quoted = one_line(&begin.into_iter().rev().chain(end).collect::<String>());
    let place = format!("{name}:{}:{}", one.line, one.column);
    let message = format!("{} at {place}, in the long line `…{}…`", one_line(&one.message), quoted.trim());
    let labelled = as_miette(one);
    MietteDiagnostic { message, labels: None, ..labelled }
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
