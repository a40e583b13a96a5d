//! What a request for code asks for, as far as words tell: language, subject, a known task, a name for the function.
//!
//! Used by the plan, build and analysis agents, so that they agree.

use super::catalogue::{self, Entry};
use super::words;

/// A programming language the agents can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Language {
    /// As written in results.
    pub(super) id: &'static str,
    /// File name extension.
    pub(super) extension: &'static str,
    /// Words and code marks that name it.
    names: &'static [&'static str],
}

/// Python comes first: it is the default.
const LANGUAGES: &[Language] = &[
    Language { id: "python", extension: "py", names: &["python", "python3", "py", "pytest", "django", "flask"] },
    Language { id: "rust", extension: "rs", names: &["rust", "rs", "cargo"] },
    Language { id: "javascript", extension: "js", names: &["javascript", "js", "node", "nodejs", "ecmascript"] },
    Language { id: "bash", extension: "sh", names: &["bash", "shell", "sh"] },
    Language { id: "typescript", extension: "ts", names: &["typescript", "ts"] },
    Language { id: "go", extension: "go", names: &["golang"] },
    Language { id: "java", extension: "java", names: &["java"] },
    Language { id: "c++", extension: "cpp", names: &["c++", "cpp"] },
    Language { id: "c#", extension: "cs", names: &["c#", "csharp"] },
    Language { id: "ruby", extension: "rb", names: &["ruby"] },
    Language { id: "php", extension: "php", names: &["php"] },
    Language { id: "swift", extension: "swift", names: &["swift"] },
    Language { id: "kotlin", extension: "kt", names: &["kotlin"] },
];

/// Words of a request that name neither subject nor function.
const REQUEST_WORDS: &[&str] = &[
    "algorithm",
    "build",
    "class",
    "code",
    "create",
    "design",
    "develop",
    "function",
    "generate",
    "given",
    "help",
    "implement",
    "input",
    "method",
    "module",
    "program",
    "provide",
    "return",
    "returning",
    "returns",
    "script",
    "simple",
    "small",
    "snippet",
    "takes",
    "taking",
    "write",
];

/// Most telling words of a request that is taken for a task of the catalogue.
const TASK_WORDS_MAX: usize = 8;

/// What was understood of a request.
#[derive(Debug, Clone)]
pub(super) struct Brief {
    /// The language asked for; `None` if the request names none.
    pub(super) language: Option<Language>,
    /// A task of the catalogue, if the request is one.
    pub(super) entry: Option<&'static Entry>,
    /// A few words that say what it is about; empty if nothing does.
    pub(super) subject: String,
    /// A name for the function, in snake case.
    pub(super) function: String,
}

impl Brief {
    /// Reads a request.
    pub(super) fn read(text: &str) -> Self {
        let all = words::words(text);
        let language = named_language(&all);
        let content: Vec<&str> = all
            .iter()
            .map(String::as_str)
            .filter(|word| !words::is_stop_word(word) && !REQUEST_WORDS.contains(word) && language_of(word).is_none())
            .collect();
        // A long request that mentions sorting among much else is not one for a sort function.
        let entry = if content.len() <= TASK_WORDS_MAX { catalogue::find(&all) } else { None };
        let content = &content[..content.len().min(4)];
        let function = match entry {
            Some(entry) => entry.function.to_owned(),
            None => function_name(content),
        };
        Self { language, entry, subject: words::shorten(&content.join(" "), 120), function }
    }
}

/// The language with this name, ignoring case.
pub(super) fn language_of(name: &str) -> Option<Language> {
    LANGUAGES
        .iter()
        .find(|language| language.id.eq_ignore_ascii_case(name) || language.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
        .copied()
}

/// The default language.
pub(super) fn default_language() -> Language {
    LANGUAGES[0]
}

fn named_language(words: &[String]) -> Option<Language> {
    // "in go", "using go": the bare word is too common to count elsewhere.
    let go = || words.windows(2).any(|pair| matches!(pair[0].as_str(), "in" | "using" | "with") && pair[1] == "go");
    words.iter().find_map(|word| if word == "go" { None } else { language_of(word) }).or_else(|| go().then(|| language_of("go")).flatten())
}

fn function_name(content: &[&str]) -> String {
    let mut name = String::new();
    for word in content {
        let ascii: String = word.chars().filter(char::is_ascii_alphanumeric).collect();
        if !ascii.is_empty() {
            if !name.is_empty() {
                name.push('_');
            }
            name.push_str(&ascii);
        }
    }
    name.truncate(48);
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "task_");
    }
    // A name on its own such as `import` would be a keyword somewhere.
    if name.is_empty() {
        "solve".to_owned()
    } else if name.contains('_') {
        name
    } else {
        format!("handle_{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood() {
        for (text, language, entry, function) in [
            ("Create a function to calculate prime numbers", None, Some("primes"), "primes_up_to"),
            ("Write a Rust program for Fibonacci numbers", Some("rust"), Some("fibonacci"), "fibonacci"),
            ("sort a list in JavaScript", Some("javascript"), Some("sorting"), "merge_sort"),
            ("Parse log lines, in Go please", Some("go"), None, "parse_log_lines"),
            ("go and fetch invoices", None, None, "fetch_invoices"),
            ("", None, None, "solve"),
            ("import", None, None, "handle_import"),
            ("2 fast 2 furious", None, None, "task_2_fast_2_furious"),
        ] {
            let brief = Brief::read(text);
            assert_eq!(brief.language.map(|language| language.id), language, "{text}");
            assert_eq!(brief.entry.map(|entry| entry.id), entry, "{text}");
            assert_eq!(brief.function, function, "{text}");
        }
    }
}
