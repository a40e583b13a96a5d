//! Conditions: `when`, `condition`, `while`, `until`. Judged on values; the text of a value never becomes part of an expression.

use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use super::evaluate::Expression;
use super::scanner::{self, Opening, Piece, pieces};
use super::{Error, Reference, Scope, Subtraction, SyntaxError, Template};

/// A condition, bare or wrapped: `steps.a.outputs.ok`, `{{ steps.a.outputs.ok }}` or `{{ steps.a.outputs.result }} == 'yes'`.
///
/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Condition {
    source: Arc<str>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Constant(Arc<Value>),
    Expression(Arc<Parsed>),
    Text(Template),
}

#[derive(Debug)]
struct Parsed {
    expression: Expression,
    references: Vec<Reference>,
    subtractions: Vec<Subtraction>,
}

impl Condition {
    /// Parses a condition, with or without `{{ }}`.
    ///
    /// Where `{{ … }}` is only a part of it, as in `{{ steps.a.outputs.result }} == 'yes'`, the whole is read as one expression in which each
    /// `{{ … }}` is a bracketed part: `(steps.a.outputs.result) == 'yes'`. Within quotes, as in `'{{ … }}' == 'yes'`, it stands for the text of its
    /// value. So a value is compared as a value, whatever characters are in it.
    pub fn parse(source: &str) -> Result<Self, SyntaxError> {
        let (text, places) = rewrite(source)?;
        if text.trim().is_empty() {
            return Err(SyntaxError::new("a condition is missing", 0..source.len()).hint("such as `steps.plan.outputs.ok == true`"));
        }
        // Places are of the rewritten text; leading space is kept in it, for the engine does not mind.
        let expression = Expression::parse(&text).map_err(|error| SyntaxError { span: places.of(&error.span), ..error })?;
        let references = expression.references(|span| places.of(span)).collect();
        let subtractions = expression.subtractions(|span| places.of(span)).collect();
        Ok(Self { source: Arc::from(source), form: Form::Expression(Arc::new(Parsed { expression, references, subtractions })) })
    }

    /// Parses the condition of a `switch`: as [`parse`](Self::parse), except that text with expressions in it, such as `{{ a }}-{{ b }}`, is a text.
    pub fn parse_value(source: &str) -> Result<Self, SyntaxError> {
        let pieces = pieces(source)?;
        let blank = |piece: &Piece| matches!(piece, Piece::Text(range) if source[range.clone()].trim().is_empty());
        let expressions = pieces.iter().filter(|piece| matches!(piece, Piece::Expression(_))).count();
        match expressions {
            0 => Self::parse(source),
            1 if pieces.iter().all(|piece| matches!(piece, Piece::Expression(_)) || blank(piece)) => Self::parse(source),
            _ => Template::parse(source).map(|template| Self { source: Arc::from(source), form: Form::Text(template) }),
        }
    }

    /// A condition that is a plain boolean or number in the YAML.
    pub fn constant(value: Value) -> Self {
        Self { source: Arc::from(value.to_string()), form: Form::Constant(Arc::new(value)) }
    }

    /// The text as written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Every static path the condition reads.
    pub fn references(&self) -> &[Reference] {
        match &self.form {
            Form::Constant(_) => &[],
            Form::Expression(parsed) => &parsed.references,
            Form::Text(template) => template.references(),
        }
    }

    /// Every subtraction that looks like a name with a `-` in it.
    pub fn subtractions(&self) -> &[Subtraction] {
        match &self.form {
            Form::Constant(_) => &[],
            Form::Expression(parsed) => &parsed.subtractions,
            Form::Text(template) => template.subtractions(),
        }
    }

    /// The value of the condition (for `switch`, where it is compared by its [`text_of`](super::text_of)).
    pub fn value(&self, scope: &Scope<'_>) -> Result<Arc<Value>, Error> {
        match &self.form {
            Form::Constant(value) => Ok(value.clone()),
            Form::Expression(parsed) => parsed.expression.evaluate(scope),
            Form::Text(template) => template.evaluate(scope),
        }
    }

    /// Whether the condition holds: false, null, 0, "", [] and {} do not, everything else does.
    ///
    /// Neither does a text that says `false` and nothing else (space and case aside): agents often answer so. Any other text holds, `no` and `0`
    /// too; compare those. Only the final value is judged this way: within an expression, as in `not x`, each text but the empty one is true.
    pub fn holds(&self, scope: &Scope<'_>) -> Result<bool, Error> {
        Ok(match &*self.value(scope)? {
            Value::Null => false,
            Value::Bool(holds) => *holds,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !matches!(text.trim(), "") && !text.trim().eq_ignore_ascii_case("false"),
            Value::Array(items) => !items.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
        })
    }
}

/// Turns a condition with `{{ … }}` in it into one expression. Text is only moved here as the author wrote it; no value is known yet.
fn rewrite(source: &str) -> Result<(String, Places), SyntaxError> {
    let mut writer = Writer { source, text: String::with_capacity(source.len()), places: Places(Vec::new()) };
    if let [Piece::Expression(only)] = &pieces(source.trim()).unwrap_or_default()[..] {
        let shift = source.len() - source.trim_start().len();
        writer.copy(only.start + shift..only.end + shift);
        return Ok((writer.text, writer.places));
    }
    let bytes = source.as_bytes();
    let (mut at, mut copied) = (0, 0);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'{' if matches!(scanner::opening(source, at)?, Opening::Expression) => {
                writer.copy(copied..at);
                at = writer.part(at)?;
                copied = at;
            }
            b'\'' | b'"' => {
                writer.copy(copied..at);
                at = writer.quoted(at, byte)?;
                copied = at;
            }
            _ => at += 1,
        }
    }
    writer.copy(copied..source.len());
    Ok((writer.text, writer.places))
}

struct Writer<'s> {
    source: &'s str,
    text: String,
    places: Places,
}

impl Writer<'_> {
    fn copy(&mut self, range: Range<usize>) {
        self.places.0.push((self.text.len(), range.start));
        self.text.push_str(&self.source[range]);
    }

    /// The `{{ … }}` at `at`, in brackets. It must be an expression by itself, so that it cannot reach beyond its brackets. Returns where it ends.
    fn part(&mut self, at: usize) -> Result<usize, SyntaxError> {
        let (content, end) = scanner::expression(self.source, at)?;
        Expression::parse(&self.source[content.clone()])
            .map_err(|error| SyntaxError { span: content.start + error.span.start..content.start + error.span.end, ..error })?;
        self.text.push('(');
        self.copy(content);
        self.text.push(')');
        Ok(end)
    }

    /// The quoted text at `at`: as it is, or as the sum of its pieces if there are `{{ … }}` in it. Returns where it ends.
    fn quoted(&mut self, at: usize, quote: u8) -> Result<usize, SyntaxError> {
        let bytes = self.source.as_bytes();
        let (mut end, mut parts) = (at + 1, Vec::new());
        loop {
            match bytes.get(end) {
                None => return Err(SyntaxError::new("a quote is never closed", at..at + 1).hint("`\\'` is a quote in a quoted text")),
                Some(b'\\') => end += 2,
                Some(b'{') if bytes.get(end + 1) == Some(&b'{') => {
                    let (_, close) = scanner::expression(self.source, end)?;
                    parts.push(end..close);
                    end = close;
                }
                Some(byte) if *byte == quote => break,
                Some(_) => end += 1,
            }
        }
        if parts.is_empty() {
            self.copy(at..end + 1);
            return Ok(end + 1);
        }
        let mut literal_start = at + 1;
        self.text.push('(');
        for (index, part) in parts.iter().enumerate() {
            self.text.push_str(if index > 0 { " ~ " } else { "" });
            self.literal(literal_start..part.start, quote);
            self.part(part.start)?;
            self.text.push_str("|string");
            literal_start = part.end;
        }
        self.text.push_str(" ~ ");
        self.literal(literal_start..end, quote);
        self.text.truncate(self.text.trim_end_matches(" ~ ").len());
        self.text.push(')');
        Ok(end + 1)
    }

    /// A piece of a quoted text, quoted by itself and followed by a `~`; nothing if it is empty.
    fn literal(&mut self, range: Range<usize>, quote: u8) {
        if !range.is_empty() {
            self.text.push(char::from(quote));
            self.copy(range);
            self.text.push(char::from(quote));
            self.text.push_str(" ~ ");
        }
    }
}

/// Which byte of a rewritten text comes from which byte of the source, in order of the text.
struct Places(Vec<(usize, usize)>);

impl Places {
    fn of(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.at(span.start);
        // The last byte, not the end: what follows may come from elsewhere.
        start..if span.is_empty() { start } else { self.at(span.end - 1) + 1 }.max(start)
    }

    fn at(&self, byte: usize) -> usize {
        let from = self.0.partition_point(|(text, _)| *text <= byte).checked_sub(1).and_then(|index| self.0.get(index));
        from.map_or(0, |(text, source)| source + (byte - text))
    }
}
