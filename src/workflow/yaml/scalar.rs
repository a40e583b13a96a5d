//! What a scalar means: the core schema of YAML 1.2 (§10.3.2), where `yes`, `no` and `on` are texts.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Number;
use serde_yaml::granit_parser::{ScalarStyle, Tag};

use super::Reader;
use crate::workflow::codes;
use crate::workflow::node::Kind;

impl Reader<'_, '_> {
    pub(super) fn scalar(&mut self, text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>, span: &Range<usize>) -> Kind {
        let Some(tag) = tag else {
            return match style {
                ScalarStyle::Plain => self.plain(text, span),
                _ => Kind::Text(text.into_owned()),
            };
        };
        if tag.is_yaml_core_schema_tag("str") || tag.original() == "!" {
            return Kind::Text(text.into_owned());
        }
        let kind = self.plain(text, span);
        let wanted = match &kind {
            Kind::Null => "null",
            Kind::Bool(_) => "bool",
            Kind::Number(number) if !number.is_f64() && tag.is_yaml_core_schema_tag("int") => "int",
            Kind::Number(_) => "float",
            Kind::Text(_) | Kind::List(_) | Kind::Map(_) => "str",
        };
        if !tag.is_yaml_core_schema_tag(wanted) {
            self.unknown_tag(tag, span);
        }
        kind
    }

    fn plain(&mut self, text: Cow<'_, str>, span: &Range<usize>) -> Kind {
        match text.as_ref() {
            "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
            "true" | "True" | "TRUE" => return Kind::Bool(true),
            "false" | "False" | "FALSE" => return Kind::Bool(false),
            _ => {}
        }
        match number(&text) {
            Read::Number(number) => Kind::Number(number),
            Read::Text => Kind::Text(text.into_owned()),
            Read::Refused(message) => {
                self.report.add(&codes::INVALID_VALUE, span.clone(), message.to_owned(), "put it in quotes to pass it on as text");
                Kind::Text(text.into_owned())
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Read {
    Number(Number),
    Text,
    Refused(&'static str),
}

fn number(text: &str) -> Read {
    const TOO_BIG: Read = Read::Refused("the number does not fit 64 bits");
    const NOT_FINITE: Read = Read::Refused("the number is not finite, and JSON has no such number");
    if let ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN" | ".NAN" = text {
        return NOT_FINITE;
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix).filter(|digits| digits.bytes().all(|byte| (byte as char).is_digit(radix))) {
            return match u64::from_str_radix(digits, radix) {
                Ok(value) => Read::Number(value.into()),
                Err(_) if digits.is_empty() => Read::Text,
                Err(_) => TOO_BIG,
            };
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') || !has_number_form(unsigned) {
        return Read::Text;
    }
    // `007` is 7 in YAML 1.2 and octal in 1.1. As text nothing is lost.
    if unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.as_bytes()[1].is_ascii_digit() {
        return Read::Text;
    }
    if unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let positive = text.strip_prefix('+').unwrap_or(text);
        return match (positive.parse::<u64>(), positive.parse::<i64>()) {
            (Ok(value), _) => Read::Number(value.into()),
            (_, Ok(value)) => Read::Number(value.into()),
            _ => TOO_BIG,
        };
    }
    match text.parse::<f64>().ok().map(Number::from_f64) {
        Some(Some(number)) => Read::Number(number),
        Some(None) => NOT_FINITE,
        None => Read::Text,
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn has_number_form(text: &str) -> bool {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent_fits = exponent.is_none_or(|digits| {
        let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
        !digits.is_empty() && is_digits(digits)
    });
    is_digits(whole) && is_digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Read, number};

    #[test]
    fn numbers_of_the_core_schema_and_texts_that_look_like_them() {
        for (text, expected) in [
            ("0", json!(0)),
            ("-5", json!(-5)),
            ("+3", json!(3)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("0x1F", json!(31)),
            ("0o14", json!(12)),
            ("1.0", json!(1.0)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-.5e-3", json!(-0.0005)),
            ("1e3", json!(1000.0)),
        ] {
            assert_eq!(number(text), Read::Number(expected.as_number().expect(text).clone()), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "+",
            "e3",
            "1e",
            "1e+",
            "1_000",
            "007",
            "-010",
            "12:30",
            "2026-11-23",
            "0x",
            "0xG",
            "0b1",
            "1.2.3",
            "inf",
            "nan",
            "Infinity",
            "--1",
        ] {
            assert_eq!(number(text), Read::Text, "{text}");
        }
        for text in ["18446744073709551616", "-9223372036854775809", "0xFFFFFFFFFFFFFFFFF", ".inf", "-.INF", ".nan", "1e999"] {
            assert!(matches!(number(text), Read::Refused(_)), "{text}");
        }
    }
}
