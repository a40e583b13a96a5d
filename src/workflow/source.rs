//! The text of a document: bytes to lines and columns, and from a scalar's value back to its bytes.

use std::ops::Range;

use crate::limits;

/// A text with an index of its lines.
#[derive(Debug)]
pub(crate) struct Source<'a> {
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    /// Indexes the lines of a text; of one that is too large, nothing, for it is refused at its first byte.
    pub(crate) fn new(text: &'a str) -> Self {
        let indexed = if text.len() > limits::WORKFLOW_BYTES_MAX { "" } else { text };
        let breaks = indexed.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, line_starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// The bytes of a span, cut to what exists.
    pub(crate) fn slice(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or("")
    }

    /// Line, from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at).max(1)
    }

    /// Line and column, from 1, the column in characters. Reads the line up to there, which may be all of the text.
    pub(crate) fn position(&self, at: usize) -> (usize, usize) {
        let at = floor(self.text, at);
        let line = self.line(at);
        let start = self.line_starts[line - 1];
        let characters = self.text[start..at].chars().filter(|character| *character != '\u{feff}').count();
        (line, characters + 1)
    }

    /// The byte at a line and column (of a parser that knows no bytes), both from 1.
    #[cfg(feature = "service")]
    pub(crate) fn offset(&self, line: usize, column: usize) -> usize {
        let Some(start) = self.line_starts.get(line.saturating_sub(1)).copied() else { return self.text.len() };
        let rest = self.text[start..].strip_prefix('\u{feff}').unwrap_or(&self.text[start..]);
        let skipped = self.text.len() - rest.len();
        rest.char_indices().nth(column.saturating_sub(1)).map_or(self.text.len(), |(at, _)| skipped + at)
    }

    /// A span cut to the text, so that it can be shown.
    pub(crate) fn clamp(&self, span: Range<usize>) -> Range<usize> {
        let start = floor(self.text, span.start);
        start..floor(self.text, span.end).max(start)
    }

    /// Where a part of a scalar's value stands in the text.
    ///
    /// The line of the value that holds the part is looked for in the scalar as written. It is there once, unless
    /// quotes, escapes or folding changed it; then the whole scalar is the answer.
    pub(crate) fn within(&self, scalar: &Range<usize>, value: &str, part: &Range<usize>) -> Range<usize> {
        let start = floor(value, part.start);
        let line_start = value[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = value[start..].find('\n').map_or(value.len(), |at| start + at);
        let line = &value[line_start..line_end];
        let raw = self.slice(scalar);
        let mut found = raw.match_indices(line);
        match (found.next(), found.next()) {
            (Some((at, _)), None) if !line.is_empty() => {
                let base = scalar.start + at;
                base + (start - line_start)..base + (floor(value, part.end).clamp(start, line_end) - line_start)
            }
            _ => scalar.clone(),
        }
    }
}

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_go_both_ways() {
        let text = "\u{feff}é: ü\r\nb: [ü, ]\n";
        let source = Source::new(text);
        for (part, line, column) in [("é", 1, 1), ("ü\r", 1, 4), ("b:", 2, 1), ("]", 2, 8)] {
            let at = text.find(part).expect(part);
            assert_eq!(source.position(at), (line, column), "{part}");
            assert_eq!(source.offset(line, column), at, "{part}");
        }
        assert_eq!(source.position(1000), (3, 1));
        assert_eq!(source.offset(99, 1), text.len());
    }

    #[test]
    fn a_part_of_a_scalar_is_found_when_it_is_there_as_written() {
        for (text, value, part, expected) in [
            ("a: x {{ y }}", "x {{ y }}", "y", "y"),
            ("a: 'x {{ y }}'", "x {{ y }}", "y", "y"),
            ("a: \"x {{ y }}\"", "x {{ y }}", "y", "y"),
            ("a: |\n  one\n  {{ y }}\n", "one\n{{ y }}\n", "y", "y"),
            ("a: 'it''s {{ y }}'", "it's {{ y }}", "y", "'it''s {{ y }}'"),
        ] {
            let source = Source::new(text);
            let at = value.find(part).expect(part);
            let found = source.within(&(3..text.len()), value, &(at..at + part.len()));
            assert_eq!(&text[found], expected, "{text}");
        }
    }
}
