//! Cuts an expression into tokens, the same way the engine does, so that static paths can be found and taken out of it.

use std::ops::Range;

use super::SyntaxError;
use crate::limits::{EXPRESSION_BRACKETS_MAX, EXPRESSION_TOKENS_MAX};

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or a word such as `and`.
    Name,
    /// Digits only.
    Integer,
    /// Any other number.
    Number,
    /// A quoted text, with its quotes.
    Text,
    /// An operator or bracket.
    Sign,
}

/// A token and where it stands, in bytes of the expression.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Range<usize>,
}

/// The tokens of `source`. Bounded in number and in nesting, so that whoever reads them next may recurse.
pub(super) fn tokens(source: &str) -> Result<Vec<Token>, SyntaxError> {
    let bytes = source.as_bytes();
    let mut tokens: Vec<Token> = Vec::new();
    let mut brackets: Vec<(u8, usize)> = Vec::new();
    let mut at = 0;
    while let Some(next) = source[at..].chars().next() {
        if next.is_whitespace() {
            at += next.len_utf8();
            continue;
        }
        let after_dot = tokens.last().is_some_and(|last| &source[last.span.clone()] == "." && last.span.end == at);
        let (kind, length) = match bytes[at] {
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Name, run(&bytes[at..], |byte| byte.is_ascii_alphanumeric() || byte == b'_')),
            b'0'..=b'9' => number(&bytes[at..], after_dot),
            quote @ (b'\'' | b'"') => (Kind::Text, text(&bytes[at..], quote).ok_or_else(|| unclosed_quote(at))?),
            byte => {
                nest(&mut brackets, byte, at)?;
                (Kind::Sign, sign(&bytes[at..]).ok_or_else(|| unexpected(at, next))?)
            }
        };
        tokens.push(Token { kind, span: at..at + length });
        if tokens.len() > EXPRESSION_TOKENS_MAX {
            return Err(SyntaxError::new(
                format!("an expression may have {EXPRESSION_TOKENS_MAX} words and signs, this one has more"),
                0..at + length,
            )
            .hint("compute parts of it in steps of their own"));
        }
        at += length;
    }
    match brackets.last() {
        Some((bracket, at)) => Err(SyntaxError::new(format!("`{}` is never closed", char::from(*bracket)), *at..*at + 1)),
        None => Ok(tokens),
    }
}

/// Keeps the open brackets; refuses a bracket that closes another kind, and nesting beyond the limit.
fn nest(brackets: &mut Vec<(u8, usize)>, byte: u8, at: usize) -> Result<(), SyntaxError> {
    match byte {
        b'(' | b'[' | b'{' => {
            brackets.push((byte, at));
            if brackets.len() > EXPRESSION_BRACKETS_MAX {
                return Err(SyntaxError::new(format!("brackets are nested more than {EXPRESSION_BRACKETS_MAX} deep"), at..at + 1));
            }
        }
        b')' | b']' | b'}' => {
            let expected = match byte {
                b')' => b'(',
                b']' => b'[',
                _ => b'{',
            };
            if brackets.pop().map(|(open, _)| open) != Some(expected) {
                return Err(SyntaxError::new(format!("`{}` closes nothing", char::from(byte)), at..at + 1));
            }
        }
        _ => {}
    }
    Ok(())
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes.iter().take_while(|byte| belongs(**byte)).count()
}

/// A number; after a dot it is an index and has no fraction: `a.1.0` is `a[1][0]`.
fn number(bytes: &[u8], after_dot: bool) -> (Kind, usize) {
    if matches!(bytes, [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', ..]) {
        return (Kind::Number, 2 + run(&bytes[2..], |byte| byte.is_ascii_alphanumeric() || byte == b'_'));
    }
    let digit_or_line = |byte: u8| byte.is_ascii_digit() || byte == b'_';
    let whole = run(bytes, digit_or_line);
    let mut length = whole;
    if !after_dot && bytes.get(length) == Some(&b'.') && bytes.get(length + 1).is_some_and(u8::is_ascii_digit) {
        length += 1 + run(&bytes[length + 1..], digit_or_line);
    }
    if !after_dot && matches!(bytes.get(length), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(length + 1), Some(b'+' | b'-')));
        if bytes.get(length + 1 + sign).is_some_and(u8::is_ascii_digit) {
            length += 1 + sign + run(&bytes[length + 1 + sign..], digit_or_line);
        }
    }
    let kind = if length == whole && bytes[..whole].iter().all(u8::is_ascii_digit) { Kind::Integer } else { Kind::Number };
    (kind, length)
}

fn text(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut index = 1;
    loop {
        match bytes.get(index)? {
            b'\\' => index += 2,
            byte if *byte == quote => return Some(index + 1),
            _ => index += 1,
        }
    }
}

fn sign(bytes: &[u8]) -> Option<usize> {
    match bytes {
        // Known from other languages; the engine would see a filter without a name.
        [b'|', b'|', ..] => None,
        [b'=' | b'!' | b'<' | b'>', b'=', ..] | [b'/', b'/', ..] | [b'*', b'*', ..] => Some(2),
        [
            b'+' | b'-' | b'*' | b'/' | b'%' | b'~' | b'|' | b'.' | b',' | b':' | b'=' | b'<' | b'>' | b'(' | b')' | b'[' | b']' | b'{'
            | b'}',
            ..,
        ] => Some(1),
        _ => None,
    }
}

fn unclosed_quote(at: usize) -> SyntaxError {
    SyntaxError::new("a quote is never closed", at..at + 1).hint("`\\'` is a quote in a quoted text")
}

fn unexpected(at: usize, found: char) -> SyntaxError {
    let error = SyntaxError::new(format!("unexpected character `{}`", found.escape_debug()), at..at + found.len_utf8());
    match found {
        '&' => error.hint("write `and`"),
        '|' => error.hint("write `or`"),
        '!' => error.hint("write `not`"),
        '?' => error.hint("write `a if condition else b`"),
        _ if found.is_alphabetic() => error.hint("names have ASCII letters; reach other keys with `[\"…\"]`"),
        _ => error,
    }
}
