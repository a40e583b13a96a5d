//! Where output goes: data to standard output, everything else to standard error; and how text of others is made safe to show.
//!
//! A reader that has seen enough (`gantry … | head`) is no error: writing then stops in silence.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde::Serialize;

use super::exit::Failure;
use crate::interpreter::StepError;

/// What the process talks to.
#[derive(Debug, Clone, Copy)]
pub struct Terminal {
    /// Standard output shows colours.
    pub color: bool,
    /// Standard error shows colours.
    pub color_err: bool,
    /// Standard error is a terminal that can be redrawn.
    pub live: bool,
}

impl Terminal {
    /// Looks at the standard streams; `no_color` as in <https://no-color.org>.
    pub fn detect(no_color: bool) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { color: out && !no_color, color_err: err && !no_color, live: err }
    }
}

/// Writes data, with a line end.
pub(super) fn data(text: &str) -> Result<(), Failure> {
    piece(text)?;
    if text.ends_with('\n') { Ok(()) } else { piece("\n") }
}

/// Writes a piece of data that others follow.
pub(super) fn piece(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::internal(format!("cannot write to standard output: {error}"))),
    }
}

/// Writes one JSON value, readable.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::internal(format!("cannot write JSON: {error}")))?;
    data(&text)
}

/// Writes one JSON value on one line.
pub(super) fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    data(&serde_json::to_string(value).map_err(|error| Failure::internal(format!("cannot write JSON: {error}")))?)
}

/// Says something to the person at the terminal. A closed standard error is nobody's problem.
pub(super) fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _nobody_listens = err.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { err.write_all(b"\n") });
}

/// Writes a file that appears whole or not at all, readable as any file a program makes: the umask decides.
pub(super) fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".gantry-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(directory).map_err(without_name)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// What the system said of a file that is made for a moment, without the name of that file: nobody has heard of it.
pub(super) fn without_name(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.split_once(" at path ") {
        Some((said, _)) => io::Error::new(error.kind(), said),
        None => error,
    }
}

/// Text of agents, registries and files without what a terminal would obey: escape sequences, control characters, and marks
/// that reorder what is seen. Line ends and tabs stay.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\r\n", "\n").chars().map(|character| if is_printable(character) { character } else { '\u{fffd}' }).collect())
}

fn is_printable(character: char) -> bool {
    let reorders = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    matches!(character, '\n' | '\t') || !(character.is_control() || reorders)
}

/// A message with the code of its error behind it, unless it ends with that.
pub(super) fn with_code(message: &str, error: &StepError) -> String {
    match error.code_after(message) {
        Some(code) => format!("{message} ({})", one_line(code, 60)),
        None => message.to_owned(),
    }
}

/// Where a run failed, to stand before the message: the step and its line in the workflow's text, which is this file if that is known.
pub(super) fn place(error: &StepError, file: Option<&str>) -> String {
    match (&error.step, error.line, file) {
        (Some(step), Some(line), Some(file)) => format!("step `{step}` ({file}:{line}): "),
        (Some(step), Some(line), None) => format!("step `{step}` (line {line}): "),
        (Some(step), None, _) => format!("step `{step}`: "),
        (None, ..) => String::new(),
    }
}

/// The same on one line, cut to at most `characters_max`.
pub(super) fn one_line(text: &str, characters_max: usize) -> String {
    let line = printable(text).split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= characters_max {
        return line;
    }
    line.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

/// Columns under headings, two blanks apart, without blanks at line ends.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([headings[column].chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let headings = headings.iter().map(|heading| (*heading).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headings).chain(rows) {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_taken_out() {
        for (text, expected) in [
            ("plain\n\ttext", "plain\n\ttext"),
            ("a\u{1b}[31mred", "a\u{fffd}[31mred"),
            ("a\r\nb", "a\nb"),
            ("bell\u{7}", "bell\u{fffd}"),
            ("c1\u{9b}2J", "c1\u{fffd}2J"),
            ("\u{202e}evil", "\u{fffd}evil"),
        ] {
            assert_eq!(printable(text), expected, "{text:?}");
        }
        assert_eq!(one_line("a\n b\u{1b}", 10), "a b\u{fffd}");
        assert_eq!(one_line("abcdef", 4), "abc…");
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_owned(), "long cell".to_owned()], vec!["longer".to_owned(), String::new()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID      NAME\na       long cell\nlonger\n");
    }
}
