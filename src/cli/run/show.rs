//! A finished run for people: each result under its step's name, then the outcome.

use std::fmt::Write;
use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::Value;

use super::super::terminal::{Terminal, one_line, printable};
use super::report::Report;
use super::result::Form;
use crate::interpreter::RunStatus;
use crate::time::humanize;

/// Lines of one result that are shown; the whole is in the saved file.
const LINES_MAX: usize = 60;

/// Every result, then the output when it says something that the last result did not.
pub(super) fn results(report: &Report, terminal: Terminal) -> String {
    let mut text = String::new();
    let mut last = None;
    for step in report.results() {
        let heading = format!("{} · {}", step.id, one_line(step.skill.as_deref().unwrap_or_default(), 80));
        section(&mut text, &heading, &step.outputs, terminal);
        last = Some(&step.outputs);
    }
    if let Some(output) = &report.output {
        let repeats = last.is_some_and(|last| last == output || Form::of(last) == Form::of(output));
        if !repeats && !output.is_null() {
            section(&mut text, "output", output, terminal);
        }
    }
    text
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
        RunStatus::Failed | RunStatus::Running | RunStatus::InputRequired => {
            format!("{} {what} failed after {took} · run {}", paint("✗", false), report.run_id)
        }
    };
    if let Some(error) = &report.error {
        let place = match (&error.step, error.line) {
            (Some(step), Some(line)) => format!("step `{step}` ({}:{line}): ", report.workflow.reference),
            (Some(step), None) => format!("step `{step}`: "),
            (None, _) => String::new(),
        };
        let _ = write!(text, "\n  {place}{} ({})", printable(&error.message), error.code.code());
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

fn section(text: &mut String, heading: &str, value: &Value, terminal: Terminal) {
    let rule = format!("── {heading} ");
    let rule = format!("{rule}{}", "─".repeat(72_usize.saturating_sub(rule.chars().count())));
    let rule = if terminal.color { rule.bold().to_string() } else { rule };
    let body = body(value);
    let lines: Vec<&str> = body.trim_end().lines().collect();
    let _ = writeln!(text, "{rule}");
    for line in lines.iter().take(LINES_MAX) {
        let _ = writeln!(text, "{line}");
    }
    if lines.len() > LINES_MAX {
        let _ = writeln!(text, "… {} more lines", lines.len() - LINES_MAX);
    }
    text.push('\n');
}

fn body(value: &Value) -> String {
    match Form::of(value) {
        Form::Text(text) => printable(text).into_owned(),
        Form::Data(value) => printable(&format!("{value:#}")).into_owned(),
        Form::Code { code, rest } => {
            let mut text = String::new();
            for (key, value) in rest {
                let value = match value {
                    Value::String(text) => text.clone(),
                    value => value.to_string(),
                };
                let _ = writeln!(text, "{}: {}", one_line(key, 60), printable(&value));
            }
            let language = one_line(code.language.unwrap_or_default(), 20);
            let _ = write!(text, "```{language}\n{}\n```", printable(code.text.trim_end()));
            text
        }
    }
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
            assert_eq!(body(&value), expected, "{value}");
        }
    }

    #[test]
    fn long_results_are_cut() {
        let mut text = String::new();
        let value = json!("line\n".repeat(100));
        section(&mut text, "x", &value, Terminal { color: false, color_err: false, live: false });
        assert_eq!(text.lines().filter(|line| *line == "line").count(), LINES_MAX);
        assert!(text.contains("… 40 more lines"), "{text}");
    }
}
