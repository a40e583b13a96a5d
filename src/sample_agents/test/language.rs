//! Which language a piece of code is written in, and its grammar.

use std::time::{Duration, Instant};

use tree_sitter::{ParseOptions, Parser, Tree};

use super::super::brief;
use super::super::material::Material;
use super::super::words::shorten;

/// Longest code that is parsed.
const CODE_BYTES_MAX: usize = 512 * 1024;
/// Longest time for parsing; grammars with ambiguities can take long on hostile text.
const PARSE_TIME_MAX: Duration = Duration::from_secs(10);

/// A language with a grammar.
#[derive(Clone, Copy)]
pub(super) struct Grammar {
    pub(super) id: &'static str,
    language: fn() -> tree_sitter::Language,
    /// Nodes that are functions.
    pub(super) functions: &'static [&'static str],
    /// Nodes that nest what is inside them.
    pub(super) nests: &'static [&'static str],
    /// Text that speaks for this language, as starts of trimmed lines.
    starts: &'static [&'static str],
}

const GRAMMARS: &[Grammar] = &[
    Grammar {
        id: "python",
        language: || tree_sitter_python::LANGUAGE.into(),
        functions: &["function_definition"],
        nests: &["if_statement", "for_statement", "while_statement", "with_statement", "try_statement", "match_statement"],
        starts: &["def ", "import ", "from ", "elif ", "print(", "async def ", "class ", "if __name__", "@", "except"],
    },
    Grammar {
        id: "rust",
        language: || tree_sitter_rust::LANGUAGE.into(),
        functions: &["function_item"],
        nests: &["if_expression", "for_expression", "while_expression", "loop_expression", "match_expression"],
        starts: &["fn ", "pub ", "use ", "let mut ", "impl ", "#[", "struct ", "enum ", "mod ", "//!", "///", "println!", "trait "],
    },
    Grammar {
        id: "javascript",
        language: || tree_sitter_javascript::LANGUAGE.into(),
        functions: &[
            "function_declaration",
            "function_expression",
            "arrow_function",
            "method_definition",
            "generator_function_declaration",
            "generator_function",
        ],
        nests: &[
            "if_statement",
            "for_statement",
            "for_in_statement",
            "while_statement",
            "do_statement",
            "switch_statement",
            "try_statement",
        ],
        starts: &[
            "function ",
            "const ",
            "var ",
            "console.",
            "export ",
            "module.exports",
            "\"use strict\"",
            "async function",
            "} else",
            "let ",
        ],
    },
    Grammar {
        id: "bash",
        language: || tree_sitter_bash::LANGUAGE.into(),
        functions: &["function_definition"],
        nests: &["if_statement", "for_statement", "c_style_for_statement", "while_statement", "case_statement"],
        starts: &["#!/bin/", "echo ", "fi", "done", "esac", "set -", "export ", "if [", "while [", "local ", "then"],
    },
];

impl Grammar {
    /// Parses; `None` if it takes too long.
    pub(super) fn parse(&self, code: &str) -> Option<Tree> {
        let mut parser = Parser::new();
        parser.set_language(&(self.language)()).expect("the grammars fit the linked tree-sitter");
        let started = Instant::now();
        let mut progress = |_: &tree_sitter::ParseState| {
            if started.elapsed() > PARSE_TIME_MAX { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
        };
        let bytes = code.as_bytes();
        let mut read = |offset: usize, _| bytes.get(offset..).unwrap_or_default();
        parser.parse_with_options(&mut read, None, Some(ParseOptions::new().progress_callback(&mut progress)))
    }
}

/// Code and its language.
pub(super) struct Source {
    pub(super) code: String,
    pub(super) language: &'static Grammar,
}

impl Source {
    /// Takes the code out of what was given and finds out its language.
    pub(super) fn read(material: &Material, given: Option<&str>) -> Result<Self, String> {
        let text = material.text();
        let (code, fence) = unfenced(&text);
        if code.len() > CODE_BYTES_MAX {
            return Err(format!("the code has {} bytes; at most {CODE_BYTES_MAX} are reviewed", code.len()));
        }
        let extension = material.field("filename").and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
        let named = [given, material.field("language"), fence, extension].into_iter().flatten().find(|name| !name.trim().is_empty());
        let language = match named {
            Some(name) => of_name(name)?,
            None => guess(code),
        };
        Ok(Self { code: code.to_owned(), language })
    }
}

fn of_name(name: &str) -> Result<&'static Grammar, String> {
    let id = brief::language_of(name.trim()).map(|language| language.id);
    GRAMMARS.iter().find(|grammar| Some(grammar.id) == id).ok_or_else(|| {
        let known: Vec<_> = GRAMMARS.iter().map(|grammar| grammar.id).collect();
        format!("there is no parser for `{}` here; `language` may be one of {}", shorten(name, 40), known.join(", "))
    })
}

/// The inside of the first fenced block and the language named there; the whole text if there is no such block.
fn unfenced(text: &str) -> (&str, Option<&str>) {
    let fenced = || {
        let open = if text.starts_with("```") { 0 } else { text.find("\n```")? + 1 };
        let (info, body) = text[open + 3..].split_once('\n')?;
        let end = body.find("\n```").map_or_else(|| body.strip_suffix("```").map(str::len), |at| Some(at + 1))?;
        Some((&body[..end], Some(info.trim()).filter(|info| !info.is_empty())))
    };
    fenced().unwrap_or((text, None))
}

/// The language most lines speak for; without any such line, the one with the fewest syntax errors.
fn guess(code: &str) -> &'static Grammar {
    let cues = |grammar: &Grammar| {
        let speaks = |line: &&str| grammar.starts.iter().any(|start| line.trim_start().starts_with(start));
        code.lines().take(500).filter(speaks).count()
    };
    let shebang = code.lines().next().filter(|line| line.starts_with("#!"));
    let interpreter = shebang.and_then(|line| line.rsplit(['/', ' ']).next()).and_then(|name| of_name(name).ok());
    if let Some(grammar) = interpreter {
        return grammar;
    }
    let best = GRAMMARS.iter().rev().max_by_key(|grammar| cues(grammar)).unwrap_or(&GRAMMARS[0]);
    if cues(best) > 0 {
        return best;
    }
    let start: String = code.chars().take(4_000).collect();
    let errors = |grammar: &&Grammar| grammar.parse(&start).map_or(usize::MAX, |tree| super::syntax::error_count(&tree));
    GRAMMARS.iter().min_by_key(errors).unwrap_or(&GRAMMARS[0])
}
