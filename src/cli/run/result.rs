//! What a step's value is for a reader: text, code, or data. Shared by what is shown and what is saved.
//!
//! A value is data for ever: nothing in it is followed as a path or command, only shown and stored.

use serde_json::Value;

/// A value, seen by a reader.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form<'a> {
    /// A text.
    Text(&'a str),
    /// An object that carries source code.
    Code {
        /// The code.
        code: Code<'a>,
        /// The object without the code; empty when there is nothing else.
        rest: Vec<(&'a str, &'a Value)>,
    },
    /// Anything else.
    Data(&'a Value),
}

/// Source code, and what is said of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Code<'a> {
    /// The code.
    pub(super) text: &'a str,
    /// Its language, when one is named.
    pub(super) language: Option<&'a str>,
    /// A name for a file, as the agent gave it: not to be trusted.
    pub(super) filename: Option<&'a str>,
}

/// Wrappings that hold one value are looked through this deep: the step's `outputs` name, then the reply's own.
const WRAPPING_MAX: usize = 4;

impl<'a> Form<'a> {
    /// Looks at a value.
    pub(super) fn of(value: &'a Value) -> Self {
        let mut value = value;
        for _ in 0..WRAPPING_MAX {
            match value {
                Value::String(text) => return Self::Text(text),
                Value::Object(fields) => {
                    if let Some(code) = Code::of(fields) {
                        let rest = fields.iter().filter(|(key, _)| !Code::KEYS.contains(&key.as_str()));
                        return Self::Code { code, rest: rest.map(|(key, value)| (key.as_str(), value)).collect() };
                    }
                    match fields.values().next() {
                        Some(inner) if fields.len() == 1 => value = inner,
                        _ => break,
                    }
                }
                _ => break,
            }
        }
        Self::Data(value)
    }

    /// The code in it: an object's, or the first fenced block of a text.
    pub(super) fn code(&self) -> Option<Code<'a>> {
        match self {
            Self::Text(text) => fenced(text),
            Self::Code { code, .. } => Some(code.clone()),
            Self::Data(_) => None,
        }
    }
}

impl<'a> Code<'a> {
    const KEYS: [&'static str; 3] = ["code", "language", "filename"];

    fn of(fields: &'a serde_json::Map<String, Value>) -> Option<Self> {
        let text = |key| fields.get(key).and_then(Value::as_str).filter(|text: &&str| !text.is_empty());
        let code = Self { text: text("code")?, language: text("language"), filename: text("filename") };
        // Models like to fence even what is already a field of its own.
        match fenced(code.text) {
            Some(inner) if code.text.trim_start().starts_with("```") => {
                Some(Self { text: inner.text, language: code.language.or(inner.language), filename: code.filename })
            }
            _ => Some(code),
        }
    }

    /// The name of a file for it: the agent's own reduced to a safe last part, else `stem` with the language's extension.
    pub(super) fn file_name(&self, stem: &str) -> String {
        self.filename.and_then(safe_name).unwrap_or_else(|| format!("{stem}.{}", self.extension()))
    }

    fn extension(&self) -> &'static str {
        match self.language.unwrap_or_default().to_ascii_lowercase().as_str() {
            "python" | "py" | "python3" => "py",
            "rust" | "rs" => "rs",
            "javascript" | "js" | "node" => "js",
            "typescript" | "ts" => "ts",
            "bash" | "sh" | "shell" | "zsh" => "sh",
            "go" | "golang" => "go",
            "java" => "java",
            "kotlin" => "kt",
            "swift" => "swift",
            "c" => "c",
            "c++" | "cpp" => "cpp",
            "c#" | "csharp" => "cs",
            "ruby" | "rb" => "rb",
            "php" => "php",
            "sql" => "sql",
            "html" => "html",
            "css" => "css",
            "json" => "json",
            "yaml" | "yml" => "yaml",
            "toml" => "toml",
            "markdown" | "md" => "md",
            _ => "txt",
        }
    }
}

/// The last part of a name, when it is made of letters, digits, `.`, `_` and `-` and is not hidden.
fn safe_name(name: &str) -> Option<String> {
    let name = name.rsplit(['/', '\\']).next()?;
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    let fits = (1..=128).contains(&name.len()) && name.chars().all(plain) && !name.starts_with(['.', '-']) && !name.ends_with('.');
    fits.then(|| name.to_owned())
}

/// The first fenced block of a Markdown text.
fn fenced(text: &str) -> Option<Code<'_>> {
    let open = if text.starts_with("```") { 0 } else { text.find("\n```")? + 1 };
    let after = &text[open + 3..];
    let (info, body) = after.split_once('\n')?;
    let end = if body.starts_with("```") { 0 } else { body.find("\n```")? + 1 };
    let language =
        info.split_whitespace().next().filter(|word| word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '#' | '-')));
    (end > 0).then_some(Code { text: &body[..end], language, filename: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn name_of(value: &Value) -> Option<String> {
        Form::of(value).code().map(|code| code.file_name("2-build"))
    }

    #[test]
    fn code_is_found_and_its_file_is_named_safely() {
        for (value, expected) in [
            (json!({"result": {"code": "x = 1", "language": "Python"}}), Some("2-build.py")),
            (json!({"code": "x", "language": "python", "filename": "primes.py"}), Some("primes.py")),
            (json!({"code": "x", "filename": "../../etc/passwd"}), Some("passwd")),
            (json!({"code": "x", "filename": "C:\\tmp\\a.rs"}), Some("a.rs")),
            (json!({"code": "x", "filename": "/"}), Some("2-build.txt")),
            (json!({"code": "x", "filename": ".bashrc", "language": "sh"}), Some("2-build.sh")),
            (json!({"code": "x", "filename": "..", "language": "sh"}), Some("2-build.sh")),
            (json!({"code": "x", "filename": "a b"}), Some("2-build.txt")),
            (json!({"code": "x", "filename": "é.py"}), Some("2-build.txt")),
            (json!({"code": "x", "filename": "-rf"}), Some("2-build.txt")),
            (json!({"code": "x", "filename": "a\u{0}.py"}), Some("2-build.txt")),
            (json!({"code": "", "language": "python"}), None),
            (json!({"code": 3}), None),
            (json!("Here:\n```rust\nfn main() {}\n```\nDone."), Some("2-build.rs")),
            (json!("```\nplain\n```"), Some("2-build.txt")),
            (json!("``` not closed"), None),
            (json!("no code"), None),
            (json!({"a": 1, "b": 2}), None),
        ] {
            assert_eq!(name_of(&value).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn wrappings_of_one_value_are_looked_through() {
        assert_eq!(Form::of(&json!({"result": {"text": "hello"}})), Form::Text("hello"));
        assert_eq!(Form::of(&json!({"a": 1, "b": "x"})), Form::Data(&json!({"a": 1, "b": "x"})));
        assert_eq!(Form::of(&json!({"result": [1]})), Form::Data(&json!([1])));
        assert_eq!(Form::of(&json!({})), Form::Data(&json!({})));
    }

    #[test]
    fn a_fence_inside_a_code_field_is_taken_off() {
        let value = json!({"code": "```python\nx = 1\n```", "note": "n"});
        let Form::Code { code, rest } = Form::of(&value) else { panic!("code") };
        assert_eq!((code.text, code.language), ("x = 1\n", Some("python")));
        assert_eq!(rest, [("note", &json!("n"))]);
    }
}
