//! Cuts a string into text and `{{ … }}`. Knows quotes and braces, nothing else of the expression language.
//!
//! Statements and comments of template languages (`{%`, `{#`) are refused, because authors who know Jinja would expect them to work.

use std::ops::Range;

use super::SyntaxError;
use crate::limits::{TEMPLATE_BYTES_MAX, TEMPLATE_EXPRESSIONS_MAX, TEMPLATE_TEXT_BYTES_MAX};

/// A piece of a string. Ranges are in bytes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Text that stands for itself.
    Text(Range<usize>),
    /// What is between `{{` and `}}`, without the space around it.
    Expression(Range<usize>),
}

/// What starts at an opening brace.
pub(super) enum Opening {
    /// `{{`
    Expression,
    /// A brace like any other.
    Brace,
}

/// Cuts `source` into pieces, in order and without gaps but the delimiters. Never fails for text without `{{`, `{%` and `{#`.
pub(super) fn pieces(source: &str) -> Result<Vec<Piece>, SyntaxError> {
    let mut pieces = Vec::new();
    let (mut text_start, mut at, mut expressions) = (0, 0, 0);
    while let Some(found) = source[at..].find('{') {
        at += found;
        match opening(source, at)? {
            Opening::Brace => at += 1,
            Opening::Expression => {
                let (content, end) = expression(source, at)?;
                if text_start < at {
                    pieces.push(Piece::Text(text_start..at));
                }
                pieces.push(Piece::Expression(content));
                expressions += 1;
                if expressions > TEMPLATE_EXPRESSIONS_MAX {
                    return Err(SyntaxError::new(format!("more than {TEMPLATE_EXPRESSIONS_MAX} expressions in one string"), at..end)
                        .hint("compute parts of it in steps of their own"));
                }
                at = end;
                text_start = end;
            }
        }
    }
    if text_start < source.len() {
        pieces.push(Piece::Text(text_start..source.len()));
    }
    if expressions > 0 && source.len() > TEMPLATE_TEXT_BYTES_MAX {
        return Err(SyntaxError::new(
            format!("a string with expressions may have {TEMPLATE_TEXT_BYTES_MAX} bytes, this one has {}", source.len()),
            0..0,
        )
        .hint("pass long texts in as input, or split the string"));
    }
    Ok(pieces)
}

/// Says what the brace at `at` opens; refuses `{%` and `{#`.
pub(super) fn opening(source: &str, at: usize) -> Result<Opening, SyntaxError> {
    let refused = match source.as_bytes().get(at + 1) {
        Some(b'{') => return Ok(Opening::Expression),
        Some(b'%') => ("statements such as `{% if %}` do not exist here", "{%", "use a `conditional` step, or `{{ a if b else c }}`"),
        Some(b'#') => ("comments such as `{# … #}` do not exist here", "{#", "use a YAML comment"),
        _ => return Ok(Opening::Brace),
    };
    let (message, sign, instead) = refused;
    Err(SyntaxError::new(message, at..at + 2).hint(format!("{instead}; to write `{sign}` as text: `{{{{ '{sign}' }}}}`")))
}

/// The content of the `{{ … }}` that starts at `at`, trimmed, and where it ends.
pub(super) fn expression(source: &str, at: usize) -> Result<(Range<usize>, usize), SyntaxError> {
    let end = match closing(source, at + 2) {
        Ok(end) => end,
        Err(quote) => {
            let error = SyntaxError::new("`{{` is never closed", at..at + 2);
            return Err(error.hint(match quote {
                None => "close it with `}}`; to write `{{` as text: `{{ '{{' }}`",
                Some(_) => "a quote inside it is not closed either; `\\'` is a quote in a quoted text",
            }));
        }
    };
    let inside = &source[at + 2..end];
    if inside.starts_with('-') && inside[1..].starts_with(char::is_whitespace) {
        return Err(space_control(at..at + 3));
    }
    if inside.ends_with('-') {
        return Err(space_control(end - 1..end + 2));
    }
    let start = at + 2 + (inside.len() - inside.trim_start().len());
    let content = start..start.max(at + 2 + inside.trim_end().len());
    if content.is_empty() {
        return Err(SyntaxError::new("an expression is missing between `{{` and `}}`", at..end + 2)
            .hint("such as `{{ workflow.input.requirements }}`"));
    }
    if content.len() > TEMPLATE_BYTES_MAX {
        return Err(SyntaxError::new(
            format!("an expression may have {TEMPLATE_BYTES_MAX} bytes, this one has {}", content.len()),
            at..at + 2,
        )
        .hint("compute parts of it in steps of their own"));
    }
    Ok((content, end + 2))
}

fn space_control(span: Range<usize>) -> SyntaxError {
    SyntaxError::new("`{{-` and `-}}`, which trim the space around, do not exist here", span).hint("fold the text in YAML: `>-` or `|-`")
}

/// Where the `}}` is that closes an expression which starts at `at`; else the quote that is open at the end of the string.
fn closing(source: &str, at: usize) -> Result<usize, Option<u8>> {
    let bytes = source.as_bytes();
    let (mut quote, mut depth, mut index) = (None, 0usize, at);
    while let Some(&byte) = bytes.get(index) {
        match (quote, byte) {
            (Some(_), b'\\') => index += 1,
            (Some(open), _) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(index + 1) == Some(&b'}') => return Ok(index),
            (None, _) => {}
        }
        index += 1;
    }
    Err(quote)
}
