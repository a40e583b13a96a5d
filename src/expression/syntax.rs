//! What an expression means before it runs: the static paths it reads, what it may not contain, and the text the engine compiles.

use std::ops::Range;
use std::sync::Arc;

use super::SyntaxError;
use super::error::closest;
use super::filters::{FILTERS, TESTS};
use super::operands::passes;
use super::path::{Key, Path};
use super::token::{Kind, Token, tokens};

/// A static path that an expression reads, such as `steps.plan.outputs.result`: for checks before the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The names and constant keys, root first. Ends before the first key that is computed.
    pub path: Vec<String>,
    /// Where it stands, in bytes of the template's source.
    pub span: Range<usize>,
    /// True when a missing value is handled there (`| default(…)`, `is defined`), or when the same expression asks elsewhere whether the path is defined.
    pub optional: bool,
}

/// A subtraction that was probably meant to be a name with a `-` in it: `steps.my-step.outputs`.
///
/// Only who knows the real names can tell: if `name` is one (a step's id after `steps`), report this, with `instead` as the hint, in place of the
/// [`Reference`]s whose spans lie within `span`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtraction {
    /// The names before the one with the `-`: `["steps"]`.
    pub parent: Vec<String>,
    /// The name that was probably meant: `my-step`.
    pub name: String,
    /// How to write it: `steps["my-step"].outputs`.
    pub instead: String,
    /// Where it stands, in bytes of the template's source.
    pub span: Range<usize>,
}

/// An expression taken apart. Spans are in bytes of the expression.
#[derive(Debug)]
pub(super) struct Syntax {
    pub(super) uses: Vec<Use>,
    pub(super) subtractions: Vec<Subtraction>,
    /// True if there is nothing but one path.
    pub(super) is_path: bool,
    /// The expression with its paths replaced by the variables `r0`, `r1`, …, so that the engine never looks up a name or a key of a scope by itself.
    pub(super) rewritten: String,
    pub(super) tokens: Vec<Token>,
    /// Where each token ends in `rewritten`.
    pub(super) ends: Vec<usize>,
}

/// One place where a path is read.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) path: Path,
    pub(super) span: Range<usize>,
    /// A missing value is handled right there.
    pub(super) guarded: bool,
    /// As [`Reference::optional`].
    pub(super) optional: bool,
}

/// Takes an expression apart; refuses calls and unknown filters and tests. What is left must still be compiled.
pub(super) fn syntax(source: &str) -> Result<Syntax, SyntaxError> {
    let mut reader = Reader { source, tokens: tokens(source)?, uses: Vec::new(), asked: Vec::new() };
    reader.read()?;
    let Reader { tokens, mut uses, asked, .. } = reader;
    for place in &mut uses {
        place.optional =
            place.guarded || asked.iter().any(|asked| place.path.root == asked.root && place.path.keys.starts_with(&asked.keys));
    }
    let is_path = matches!(&uses[..], [only] if tokens.first().map(|first| first.span.start) == Some(only.span.start)
        && tokens.last().map(|last| last.span.end) == Some(only.span.end));
    let subtractions = subtractions(source, &tokens, &uses);
    let (rewritten, ends) = rewrite(source, &tokens, &uses);
    Ok(Syntax { uses, subtractions, is_path, rewritten, tokens, ends })
}

/// Writes the text for the engine, and for each token where it ends in it.
fn rewrite(source: &str, tokens: &[Token], uses: &[Use]) -> (String, Vec<usize>) {
    let mut rewritten = String::with_capacity(source.len());
    let mut ends = Vec::with_capacity(tokens.len());
    let passes = passes(source, tokens);
    let (mut copied, mut next_use) = (0, 0);
    for (token, pass) in tokens.iter().zip(passes) {
        match uses.get(next_use) {
            // The variable stands where the first token of the path stood; the other tokens of it are left out.
            Some(used) if used.span.start == token.span.start => {
                rewritten.push_str(&source[copied..token.span.start]);
                rewritten.push('r');
                rewritten.push_str(&next_use.to_string());
                copied = used.span.end;
            }
            _ if token.span.start < copied => {}
            _ => {
                rewritten.push_str(&source[copied..token.span.end]);
                copied = token.span.end;
            }
        }
        if copied == token.span.end && uses.get(next_use).is_some_and(|used| used.span.end == copied) {
            next_use += 1;
        }
        if let Some(pass) = pass {
            rewritten.push('|');
            rewritten.push_str(pass.filter());
        }
        ends.push(rewritten.len());
    }
    (rewritten, ends)
}

struct Reader<'s> {
    source: &'s str,
    tokens: Vec<Token>,
    uses: Vec<Use>,
    /// Paths that are asked for with `is defined`.
    asked: Vec<Path>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), SyntaxError> {
        let mut at = 0;
        while at < self.tokens.len() {
            at = match (self.tokens[at].kind, self.text(at), at.checked_sub(1).map(|before| self.text(before))) {
                (
                    Kind::Name,
                    "and" | "or" | "not" | "in" | "if" | "else" | "true" | "True" | "false" | "False" | "none" | "None",
                    before,
                ) if before != Some(".") => at + 1,
                (Kind::Name, "is", before) if before != Some(".") => self.test(at + 1)?,
                (Kind::Name, _, Some("|")) => self.filter(at)?,
                (Kind::Name, name, Some(".")) if self.text(at + 1) == "(" => return Err(self.method(name, at)),
                (Kind::Name, _, Some(".")) => at + 1,
                // The name of an argument, as in `map(attribute='x')`.
                (Kind::Name, ..) if self.text(at + 1) == "=" => at + 1,
                (Kind::Name, ..) => self.path(at)?,
                (Kind::Sign, "*" | "**", Some("(" | ",")) => return Err(self.error("a list cannot be spread over arguments", at)),
                (Kind::Sign, "(", Some(")" | "]" | "}")) => return Err(self.error("a value cannot be called", at)),
                _ if self.tokens[at].kind == Kind::Sign && self.text(at) == "(" && at > 0 && self.tokens[at - 1].kind == Kind::Text => {
                    return Err(self.error("a text cannot be called", at));
                }
                _ => at + 1,
            };
        }
        Ok(())
    }

    /// The text of a token; empty beyond the last.
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &self.source[token.span.clone()])
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn error(&self, message: impl Into<String>, at: usize) -> SyntaxError {
        SyntaxError::new(message, self.tokens[at].span.clone())
    }

    /// What follows `is`.
    fn test(&self, at: usize) -> Result<usize, SyntaxError> {
        let at = if self.text(at) == "not" { at + 1 } else { at };
        if self.kind(at) != Some(Kind::Name) {
            return Ok(at);
        }
        self.known("test", &TESTS, at)
    }

    fn filter(&self, at: usize) -> Result<usize, SyntaxError> {
        self.known("filter", &FILTERS, at)
    }

    fn known(&self, kind: &str, known: &[&str], at: usize) -> Result<usize, SyntaxError> {
        let name = self.text(at);
        if !known.contains(&name) {
            let error = self.error(format!("there is no {kind} `{name}`"), at);
            return Err(match suggest_or_all(name, known) {
                Ok(name) => error.hint(format!("did you mean `{name}`?")),
                Err(all) => error.hint(format!("there are: {all}")),
            });
        }
        if self.text(at + 1) == "." {
            return Err(self
                .error(format!("a `.` cannot follow the {kind} `{name}`"), at + 1)
                .hint(format!("put brackets around it: `(… | {name}).key`")));
        }
        Ok(at + 1)
    }

    fn method(&self, name: &str, at: usize) -> SyntaxError {
        let error = self.error(format!("`.{name}(…)`: values have no methods"), at);
        match FILTERS.contains(&name) {
            true => error.hint(format!("use the filter: `… | {name}`")),
            false => error.hint(format!("use filters, such as `… | upper`: {}", FILTERS.join(", "))),
        }
    }

    /// Reads the longest static path that starts at `at`.
    fn path(&mut self, at: usize) -> Result<usize, SyntaxError> {
        let (mut keys, mut end) = (Vec::new(), at + 1);
        while let Some((key, next)) = self.key(end) {
            if self.text(next) == "(" {
                return Err(self.method(&key.to_string(), next - 1));
            }
            keys.push(key);
            end = next;
        }
        let path = Path { root: Arc::from(self.text(at)), keys };
        if self.text(end) == "(" {
            let hint = format!("there are no functions; values are changed with filters: {}", FILTERS.join(", "));
            return Err(self.error(format!("`{path}(…)` is a call"), at).hint(hint));
        }
        let (guarded, asked) = self.guard(at, end);
        if asked {
            self.asked.push(path.clone());
        }
        let span = self.tokens[at].span.start..self.tokens[end - 1].span.end;
        self.uses.push(Use { path, span, guarded, optional: false });
        Ok(end)
    }

    /// The constant key that starts at `at`, and where it ends.
    fn key(&self, at: usize) -> Option<(Key, usize)> {
        let name = |text: &str| Key::Name(Arc::from(text));
        match (self.text(at), self.kind(at + 1)?, self.text(at + 1), self.text(at + 2)) {
            (".", Kind::Name, text, _) => Some((name(text), at + 2)),
            (".", Kind::Integer, digits, _) => Some((Key::Index(digits.parse().ok()?), at + 2)),
            // Escapes are left to the engine: such a key is looked up as a computed one.
            ("[", Kind::Text, text, "]") if !text.contains('\\') => Some((name(&text[1..text.len() - 1]), at + 3)),
            ("[", Kind::Integer, digits, "]") => Some((Key::Index(digits.parse().ok()?), at + 3)),
            ("[", Kind::Sign, "-", digits) if self.kind(at + 2) == Some(Kind::Integer) && self.text(at + 3) == "]" => {
                Some((Key::Index(digits.parse::<i64>().ok()?.checked_neg()?), at + 4))
            }
            _ => None,
        }
    }

    /// Whether a missing value is handled right after the path from `start` to `end`, which may stand in brackets; and whether by `is defined`.
    fn guard(&self, start: usize, end: usize) -> (bool, bool) {
        let (mut start, mut end) = (start, end);
        while start > 0 && self.text(start - 1) == "(" && self.text(end) == ")" && !self.is_call(start - 1) {
            (start, end) = (start - 1, end + 1);
        }
        let word = if self.text(end + 1) == "not" { end + 2 } else { end + 1 };
        let asked = self.text(end) == "is" && matches!(self.text(word), "defined" | "undefined");
        (asked || (self.text(end) == "|" && self.text(end + 1) == "default"), asked)
    }

    /// Whether the bracket at `at` holds the arguments of a filter or test.
    fn is_call(&self, at: usize) -> bool {
        at >= 2 && self.kind(at - 1) == Some(Kind::Name) && matches!(self.text(at - 2), "|" | "is" | "not")
    }
}

fn suggest_or_all<'k>(name: &str, known: &[&'k str]) -> Result<&'k str, String> {
    closest(name, known.iter().copied()).ok_or_else(|| known.join(", "))
}

/// Finds `a.b-c` without space around the `-`, which reads as a name with a `-` in it but subtracts.
fn subtractions(source: &str, tokens: &[Token], uses: &[Use]) -> Vec<Subtraction> {
    let mut found = Vec::new();
    let mut skip_until = 0;
    for place in uses {
        let Some((Key::Name(last), parents)) = place.path.keys.split_last() else { continue };
        // After `["b"]` the `-` cannot be part of the name.
        if place.span.start < skip_until || !source[..place.span.end].ends_with(&**last) {
            continue;
        }
        let Some(mut at) = tokens.iter().position(|token| token.span.start == place.span.end) else { continue };
        let (mut name, mut end) = (last.to_string(), place.span.end);
        while let [minus, part, ..] = &tokens[at..]
            && &source[minus.span.clone()] == "-"
            && minus.span.start == end
            && part.span.start == minus.span.end
            && matches!(part.kind, Kind::Name | Kind::Integer)
        {
            name.push('-');
            name.push_str(&source[part.span.clone()]);
            end = part.span.end;
            at += 2;
            if at >= tokens.len() {
                break;
            }
        }
        if name.len() == last.len() {
            continue;
        }
        let parent = Path { root: place.path.root.clone(), keys: parents.to_vec() };
        let name_end = end;
        // After a number the keys stand alone; after a name they are of its path.
        while let [dot, key, ..] = &tokens[at..]
            && &source[dot.span.clone()] == "."
            && key.kind == Kind::Name
        {
            end = key.span.end;
            at += 2;
        }
        // The keys after the name, as far as the engine took them to belong to the last part.
        if let Some(rest) = uses.iter().find(|other| other.span.start < end && other.span.end > end) {
            end = rest.span.end;
        }
        skip_until = end;
        found.push(Subtraction {
            parent: std::iter::once(parent.root.to_string()).chain(parents.iter().map(Key::to_string)).collect(),
            instead: format!("{parent}[{name:?}]{}", &source[name_end..end]),
            name,
            span: place.span.start..end,
        });
    }
    found
}

impl Use {
    /// The public form, `shift` bytes further on or wherever `place` puts it.
    pub(super) fn reference(&self, place: impl Fn(&Range<usize>) -> Range<usize>) -> Reference {
        let keys = self.path.keys.iter().map(Key::to_string);
        Reference {
            path: std::iter::once(self.path.root.to_string()).chain(keys).collect(),
            span: place(&self.span),
            optional: self.optional,
        }
    }
}
