//! What is said to somebody who named a thing that is not there: the nearest name, and what there is, cut to a readable length.

use std::fmt::Write as _;

use crate::limits;

/// ": did you mean `plan`? There are `plan`, `test`", or empty when there is nothing. `names` are sorted by the caller.
pub(super) fn instead_of(asked: &str, names: &[&str]) -> String {
    let mut hint = match nearest(asked, names) {
        Some(name) => format!(": did you mean `{name}`?"),
        None if names.is_empty() => return String::new(),
        None => ":".to_owned(),
    };
    let verb = if names.len() == 1 { "is" } else { "are" };
    write!(hint, " there {verb} {}", listed(names)).expect("writing to a string cannot fail");
    hint
}

/// `a`, `b` and 7 more.
pub(super) fn listed(names: &[&str]) -> String {
    let mut text = names.iter().take(limits::HINT_NAMES_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > limits::HINT_NAMES_MAX {
        write!(text, " and {} more", names.len() - limits::HINT_NAMES_MAX).expect("writing to a string cannot fail");
    }
    text
}

/// The name that was probably meant: few letters differ, or one holds the other.
fn nearest<'a>(asked: &str, names: &[&'a str]) -> Option<&'a str> {
    let differ_max = (asked.chars().count() / 3).max(1);
    let by_letters = names.iter().map(|&name| (strsim::damerau_levenshtein(asked, name), name)).min()?;
    if by_letters.0 <= differ_max {
        return Some(by_letters.1);
    }
    const TELLING_BYTES_MIN: usize = 4;
    let holds = |name: &&&str| {
        asked.len() >= TELLING_BYTES_MIN && (name.contains(asked) || (name.len() >= TELLING_BYTES_MIN && asked.contains(**name)))
    };
    names.iter().find(holds).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_suggested_and_listed() {
        let check = |asked: &str, names: &[&str], expected: &str| assert_eq!(instead_of(asked, names), expected);
        check("x", &[], "");
        check("plam", &["plan"], ": did you mean `plan`? there is `plan`");
        check(
            "code-generation",
            &["code-generation-v1", "other"],
            ": did you mean `code-generation-v1`? there are `code-generation-v1`, `other`",
        );
        check("zebra", &["plan", "test"], ": there are `plan`, `test`");
        let many: Vec<_> = (0..20).map(|n| format!("skill-number-{n:02}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let hint = instead_of("zebra", &many);
        assert!(hint.ends_with("`skill-number-07` and 12 more"), "{hint}");
    }
}
