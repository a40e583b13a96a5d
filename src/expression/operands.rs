//! What is to be done to the operands of `*`, `+` and `~`, where the engine by itself would do the wrong thing.
//!
//! It repeats lists without end (`[1] * 99999999`) and joins them (`a + a + …`) without using up fuel, some of it already when it compiles, and
//! writes lists and null as text that is not JSON (`~`). No hook exists for operators, so each operand is passed through a filter, which binds
//! tighter than any operator: `a ~ b` is compiled as `a|__text ~ b|__text`.

use super::token::{Kind, Token};

/// What an operand is passed through. Authors cannot write these: they are not among the filters there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Of `*`: numbers only.
    Number,
    /// Of `+`: lists are paid for.
    Counted,
    /// Of `~`: as the text that is pasted everywhere.
    Text,
}

impl Pass {
    pub(super) fn filter(self) -> &'static str {
        match self {
            Self::Number => "__number",
            Self::Counted => "__counted",
            Self::Text => "__text",
        }
    }
}

/// For each token, what the operand that ends with it is passed through.
pub(super) fn passes(source: &str, tokens: &[Token]) -> Vec<Option<Pass>> {
    let words = Words { source, tokens };
    let mut passes = vec![None; tokens.len()];
    for start in (0..tokens.len()).filter(|at| words.starts_operand(*at)) {
        let end = words.operand_end(start);
        if end == start {
            continue;
        }
        let around = [start.checked_sub(1).map_or("", |before| words.text(before)), words.text(end)];
        let beside = |sign: &str| around.contains(&sign);
        passes[end - 1] = if beside("*") {
            Some(Pass::Number)
        } else if ["/", "//", "%", "**"].into_iter().any(beside) {
            None
        } else if beside("~") {
            Some(Pass::Text)
        } else if beside("+") {
            Some(Pass::Counted)
        } else {
            None
        };
    }
    passes
}

struct Words<'s> {
    source: &'s str,
    tokens: &'s [Token],
}

impl Words<'_> {
    /// The text of a token; empty beyond the last.
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &self.source[token.span.clone()])
    }

    fn kind(&self, at: usize) -> Option<Kind> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Whether an operand may start here: at the beginning, and after an operator, a word such as `and`, or an opening bracket.
    /// The `-` of a negative number belongs to the operand; then the operand starts at the first `-`.
    fn starts_operand(&self, at: usize) -> bool {
        let Some(before) = at.checked_sub(1) else { return true };
        match (self.kind(before), self.text(before)) {
            (Some(Kind::Sign), ")" | "]" | "}" | "." | "|") => false,
            (Some(Kind::Sign), "-") => !self.starts_operand(before),
            (Some(Kind::Sign), _) => true,
            (Some(Kind::Name), "and" | "or" | "in" | "if" | "else") => before == 0 || self.text(before - 1) != ".",
            (Some(Kind::Name), "not") => before == 0 || !matches!(self.text(before - 1), "." | "is"),
            _ => false,
        }
    }

    /// Where the operand that starts at `at` ends, its keys, filters and tests included.
    fn operand_end(&self, at: usize) -> usize {
        let mut end = self.keys_end(at);
        while end > at {
            let name = match self.text(end) {
                "|" => end + 1,
                "is" => end + 1 + usize::from(self.text(end + 1) == "not"),
                _ => return end,
            };
            if self.kind(name) != Some(Kind::Name) {
                return end;
            }
            let next = name + 1;
            let takes_operand = match (self.kind(next), self.text(next)) {
                (Some(Kind::Name), word) => !matches!(word, "and" | "or" | "else" | "is"),
                (Some(Kind::Text | Kind::Integer | Kind::Number), _) | (Some(Kind::Sign), "-" | "[" | "{") => true,
                _ => false,
            };
            end = match self.text(next) {
                "(" => self.bracket_end(next),
                _ if self.text(end) == "is" && takes_operand => self.keys_end(next).max(next),
                _ => next,
            };
        }
        end
    }

    /// Where a value with its keys ends: `-a.b["c"][d]`.
    fn keys_end(&self, at: usize) -> usize {
        let mut start = at;
        while self.text(start) == "-" {
            start += 1;
        }
        let mut end = match (self.kind(start), self.text(start)) {
            (Some(Kind::Sign), "(" | "[" | "{") => self.bracket_end(start),
            (None | Some(Kind::Sign), _) => return at,
            _ => start + 1,
        };
        // Texts that follow each other are one.
        while self.kind(start) == Some(Kind::Text) && self.kind(end) == Some(Kind::Text) {
            end += 1;
        }
        loop {
            end = match self.text(end) {
                "." => end + 2,
                "[" | "(" => self.bracket_end(end),
                _ => return end.min(self.tokens.len()),
            };
        }
    }

    /// What follows the bracket that closes the one at `at`. The tokens are known to be balanced.
    fn bracket_end(&self, at: usize) -> usize {
        let mut depth = 0usize;
        for index in at..self.tokens.len() {
            match (self.kind(index), self.text(index)) {
                (Some(Kind::Sign), "(" | "[" | "{") => depth += 1,
                (Some(Kind::Sign), ")" | "]" | "}") => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return index + 1;
            }
        }
        self.tokens.len()
    }
}
