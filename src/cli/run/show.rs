//! A finished run for people: each result under its step's name, then the outcome.

use std::fmt::Write;
use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::Value;

use super::super::terminal::{Terminal, one_line, place, printable, with_code};
use super::report::Report;
use super::result::Form;
use crate::interpreter::RunStatus;
use crate::time::humanize;

/// Lines of one result that are shown, and characters of one line; the whole is in the saved file.
const LINES_MAX: usize = 100;
const LINE_CHARACTERS_MAX: usize = 400;
/// A value that repeats what was shown above is only named from this length of its JSON on.
const REPEATED_BYTES_MIN: usize = 80;

/// Every result, then the output where it says something that the results did not.
pub(super) fn results(report: &Report, terminal: Terminal) -> String {
    let mut text = String::new();
    let mut shown: Vec<(&str, &Value)> = Vec::new();
    for step in report.results() {
        let heading = format!("{} · {}", step.id, one_line(step.skill.as_deref().unwrap_or_default(), 80));
        section(&mut text, &heading, &body(&step.outputs, &[]), terminal);
        shown.extend(parts(&step.outputs).into_iter().map(|part| (step.id.as_str(), part)));
    }
    if let Some(output) = &report.output {
        let repeats = shown.iter().any(|(_, part)| *part == &**output);
        if !repeats && !output.is_null() {
            section(&mut text, "output", &body(output, &shown), terminal);
        }
    }
    text
}

/// A step's value as an output may take it up: all of it, its named result, and the fields of that.
fn parts(outputs: &Value) -> Vec<&Value> {
    let mut parts = vec![outputs];
    for field in outputs.as_object().into_iter().flat_map(serde_json::Map::values) {
        parts.push(field);
        parts.extend(field.as_object().into_iter().flat_map(serde_json::Map::values));
    }
    parts
}

/// The step under which a value was shown already, when it is long enough to be worth a reference.
fn shown_under<'a>(value: &Value, shown: &[(&'a str, &Value)]) -> Option<&'a str> {
    let (step, _) = shown.iter().find(|(_, part)| *part == value)?;
    (value.to_string().len() >= REPEATED_BYTES_MIN).then_some(step)
}

/// The output alone, whole: a text as it is, anything else as JSON.
pub(super) fn output(report: &Report) -> Option<String> {
    let output = report.output.as_ref()?;
    Some(match &**output {
        Value::String(text) => text.clone(),
        value => format!("{value:#}"),
    })
}

/// One line that says how the run ended, and what to do when it failed.
pub(super) fn outcome(report: &Report, terminal: Terminal) -> String {
    let took = report.duration_ms.map(|ms| humanize(Duration::from_millis(ms))).unwrap_or_default();
    let what = format!("{} {}", report.workflow.id, report.workflow.version);
    let paint = |text: &str, good: bool| match (terminal.color_err, good) {
        (false, _) => text.to_owned(),
        (true, true) => text.green().to_string(),
        (true, false) => text.red().to_string(),
    };
    let mut text = match report.status {
        RunStatus::Completed => format!("{} {what} completed in {took} · run {}", paint("✓", true), report.run_id),
        RunStatus::Canceled => format!("{} {what} was canceled after {took} · run {}", paint("✗", false), report.run_id),
        RunStatus::Failed => format!("{} {what} failed after {took} · run {}", paint("✗", false), report.run_id),
        RunStatus::Running | RunStatus::InputRequired => format!("{} {what} has not ended · run {}", paint("✗", false), report.run_id),
    };
    if let Some(error) = &report.error {
        let place = place(error, Some(&report.workflow.reference));
        let message = printable(&error.message).into_owned();
        // That a canceled run was canceled stands in the line above.
        let message = if report.status == RunStatus::Canceled { message } else { with_code(&message, error) };
        let _ = write!(text, "\n  {place}{message}");
        if let Some(agent) = &error.agent
            && !error.message.contains(agent.as_str())
        {
            let _ = write!(text, "\n  agent: {}", one_line(agent, 120));
        }
        if let Some(hint) = &error.hint {
            let _ = write!(text, "\n  hint: {}", printable(hint));
        }
    }
    text
}

fn section(text: &mut String, heading: &str, body: &str, terminal: Terminal) {
    let lines: Vec<&str> = body.trim_end().lines().collect();
    let _ = writeln!(text, "{}", rule(heading, terminal));
    for line in lines.iter().take(LINES_MAX) {
        match line.char_indices().nth(LINE_CHARACTERS_MAX) {
            Some((end, _)) => {
                let _ = writeln!(text, "{}…", &line[..end]);
            }
            None => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    if lines.len() > LINES_MAX {
        let _ = writeln!(text, "… {} more lines", lines.len() - LINES_MAX);
    }
    text.push('\n');
}

/// A heading across the page.
pub(in crate::cli) fn rule(heading: &str, terminal: Terminal) -> String {
    let rule = format!("── {heading} ");
    let rule = format!("{rule}{}", "─".repeat(72_usize.saturating_sub(rule.chars().count())));
    if terminal.color { rule.bold().to_string() } else { rule }
}

fn body(value: &Value, shown: &[(&str, &Value)]) -> String {
    match Form::of(value) {
        Form::Text(text) => printable(text).into_owned(),
        Form::Data(Value::Object(fields)) if fields.values().any(|field| shown_under(field, shown).is_some()) => {
            let lines = fields.iter().map(|(key, field)| self::field(key, field, shown));
            lines.collect::<Vec<_>>().join("\n")
        }
        Form::Data(value) => printable(&format!("{value:#}")).into_owned(),
        Form::Code { code, rest } => {
            let mut lines: Vec<String> = rest.into_iter().map(|(key, value)| field(key, value, shown)).collect();
            let whole = Value::String(code.text.to_owned());
            match shown_under(&whole, shown) {
                Some(step) => lines.push(format!("code: as shown under {step}")),
                None => {
                    let language = one_line(code.language.unwrap_or_default(), 20);
                    lines.push(format!("```{language}\n{}\n```", printable(code.text.trim_end())));
                }
            }
            lines.join("\n")
        }
    }
}

/// A value of somebody who is not a step: code as code, a text as it is, anything else as all of its JSON.
pub(in crate::cli) fn whole(value: &Value) -> String {
    match (value, Form::of(value)) {
        (Value::String(_), _) | (_, Form::Code { .. }) => body(value, &[]),
        (_, Form::Text(_) | Form::Data(_)) => printable(&format!("{value:#}")).into_owned(),
    }
}

fn field(key: &str, value: &Value, shown: &[(&str, &Value)]) -> String {
    let value = match (shown_under(value, shown), value) {
        (Some(step), _) => format!("as shown under {step}"),
        (None, Value::String(text)) => text.clone(),
        (None, value) => value.to_string(),
    };
    format!("{}: {}", one_line(key, 60), printable(&value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn results_read_well() {
        for (value, expected) in [
            (json!({"result": "hello\nworld"}), "hello\nworld"),
            (json!({"code": "x = 1\n", "language": "python", "note": "short"}), "note: short\n```python\nx = 1\n```"),
            (json!({"a": 1, "b": 2}), "{\n  \"a\": 1,\n  \"b\": 2\n}"),
            (json!("esc \u{1b}[2J"), "esc \u{fffd}[2J"),
        ] {
            assert_eq!(body(&value, &[]), expected, "{value}");
        }
    }

    #[test]
    fn long_results_are_cut() {
        let mut text = String::new();
        let long = "x".repeat(LINE_CHARACTERS_MAX + 1);
        section(
            &mut text,
            "x",
            &format!("{long}\n{}", "line\n".repeat(LINES_MAX + 39)),
            Terminal { color: false, color_err: false, live: false },
        );
        assert_eq!(text.lines().filter(|line| *line == "line").count(), LINES_MAX - 1);
        assert!(text.contains(&format!("{}…\n", "x".repeat(LINE_CHARACTERS_MAX))), "{text}");
        assert!(text.contains("… 40 more lines"), "{text}");
    }

    #[test]
    fn what_was_shown_is_named() {
        let program = json!({"code": "x = 1\n".repeat(20), "language": "python"});
        let outputs = json!({"result": program});
        let shown: Vec<(&str, &Value)> = parts(&outputs).into_iter().map(|part| ("build", part)).collect();
        for (value, expected) in [
            (json!({"program": program, "n": 1}), "program: as shown under build\nn: 1"),
            (json!({"code": program["code"], "ok": true}), "ok: true\ncode: as shown under build"),
            (json!({"language": "python"}), "python"),
        ] {
            assert_eq!(body(&value, &shown), expected, "{value}");
        }
    }
}
