//! `retry`, `on_error` and sizes.

use std::num::NonZeroU32;

use super::Checker;
use super::document::flatten;
use super::fields::{find, shorten};
use super::reach::Arm;
use crate::limits;
use crate::workflow::codes;
use crate::workflow::node::{Kind, Node};
use crate::workflow::{OnError, Retry, RetryOn};

const RETRY_KEYS: &[&str] = &["max_attempts", "initial", "factor", "max", "jitter", "on"];
const RETRY_ON: &[(&str, RetryOn)] = &[
    ("timeout", RetryOn::Timeout),
    ("unavailable", RetryOn::Unavailable),
    ("rate_limited", RetryOn::RateLimited),
    ("agent_error", RetryOn::AgentError),
];
/// Largest factor between two delays. More is surely a duration in the wrong place.
const FACTOR_MAX: f64 = 100.0;

impl Checker<'_, '_> {
    /// `retry:`; keys that are left out have the defaults of [`Retry`].
    pub(super) fn retry(&mut self, node: &Node) -> Option<Retry> {
        let entries = self.known_map(node, "`retry`", RETRY_KEYS)?;
        let attempts_max = u64::from(limits::ATTEMPTS_MAX);
        let max_attempts = find(entries, "max_attempts").map(|node| self.integer(node, "`max_attempts`", 1, attempts_max));
        let initial = find(entries, "initial").map(|node| self.duration(node, "`initial`"));
        let factor = find(entries, "factor").map(|node| self.factor(node));
        let max = find(entries, "max").map(|node| self.duration(node, "`max`"));
        let jitter = find(entries, "jitter").map(|node| self.boolean(node, "`jitter`"));
        let on = find(entries, "on").map(|node| self.retry_on(node));
        let default = Retry::default();
        let max_attempts = match flatten(max_attempts)? {
            Some(attempts) => NonZeroU32::new(u32::try_from(attempts).ok()?)?,
            None => default.max_attempts,
        };
        let initial = flatten(initial)?.unwrap_or(default.initial);
        let max = match flatten(max)? {
            Some(max) if max < initial => {
                let span = find(entries, "max").map_or(0..0, |node| node.span.clone());
                let message = "`max` is shorter than `initial`, the first delay".to_owned();
                self.add(&codes::INVALID_VALUE, &span, message, "make `max` at least as long as `initial`");
                return None;
            }
            Some(max) => max,
            // An author who begins with a long delay has not asked for a shorter one.
            None => default.max.max(initial),
        };
        Some(Retry {
            max_attempts,
            initial,
            factor: flatten(factor)?.unwrap_or(default.factor),
            max,
            jitter: flatten(jitter)?.unwrap_or(default.jitter),
            on: flatten(on)?.unwrap_or(default.on),
        })
    }

    fn factor(&mut self, node: &Node) -> Option<f64> {
        let Kind::Number(number) = &node.kind else { return self.wrong(node, "`factor`", "a number", "") };
        match number.as_f64() {
            Some(factor) if (1.0..=FACTOR_MAX).contains(&factor) => Some(factor),
            _ => {
                let message = format!("`factor` must be from 1 to {FACTOR_MAX}, found {number}");
                self.add(&codes::INVALID_VALUE, &node.span, message, "2 doubles every delay");
                None
            }
        }
    }

    fn retry_on(&mut self, node: &Node) -> Option<Vec<RetryOn>> {
        let items = self.list(node, "`on`", "write `[timeout, unavailable]`")?;
        let kinds: Vec<_> = items.iter().map(|item| self.word(item, "an item of `on`", RETRY_ON)).collect();
        let mut unique = Vec::with_capacity(RETRY_ON.len());
        for kind in kinds {
            let kind = kind?;
            if !unique.contains(&kind) {
                unique.push(kind);
            }
        }
        Some(unique)
    }

    /// `on_error:` of a step.
    pub(super) fn on_error(&mut self, node: &Node, step: Option<usize>) -> Option<OnError> {
        const RULE: &str = "write `fail`, `continue`, or `steps:` with the steps to run instead";
        match &node.kind {
            Kind::Text(_) => {
                let continued = self.word(node, "`on_error`", &[("fail", false), ("continue", true)])?;
                Some(if continued { OnError::Continue } else { OnError::Fail })
            }
            Kind::Map(_) => {
                let entries = self.known_map(node, "`on_error`", &["steps"])?;
                match find(entries, "steps") {
                    Some(steps) => self.steps(steps, step, Arm::Catch, "`on_error.steps`").map(OnError::Catch),
                    None => {
                        self.missing(node, "steps", "`on_error`", RULE);
                        None
                    }
                }
            }
            _ => self.wrong(node, "`on_error`", "`fail`, `continue` or a map", RULE),
        }
    }

    /// A size in bytes: `1048576`, `1MiB`, `500 kB`.
    pub(super) fn size(&mut self, node: &Node, what: &str) -> Option<u64> {
        let bytes = match &node.kind {
            Kind::Number(number) => number.as_u64(),
            Kind::Text(text) => parse_size(text),
            _ => return self.wrong(node, what, "a size", "write bytes (1048576) or a size with a unit (1MiB)"),
        };
        match bytes {
            Some(bytes) if bytes > 0 => Some(bytes),
            _ => {
                let message = format!("{what} is not a size: {}", shorten(self.report.source().slice(&node.span)));
                self.add(&codes::INVALID_SIZE, &node.span, message, "write bytes (1048576) or a size with a unit (512KiB, 1MiB, 2MB)");
                None
            }
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = text[..digits].parse().ok()?;
    let unit = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "kib" | "k" => 1 << 10,
        "mb" => 1_000_000,
        "mib" | "m" => 1 << 20,
        "gb" => 1_000_000_000,
        "gib" | "g" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn sizes_as_authors_write_them() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("1MiB", Some(1 << 20)),
            ("512 KiB", Some(512 << 10)),
            ("2MB", Some(2_000_000)),
            ("1gib", Some(1 << 30)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("1 parsec", None),
            ("99999999999999999999", None),
            ("18446744073709551615GiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text}");
        }
    }
}
