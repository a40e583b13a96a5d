//! The build agent: `generate_code` writes a program from a plan.
//!
//! The stand-in knows a small catalogue of programs, each complete and tested; for anything else it writes a runnable skeleton with
//! the documented signature, and says so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::brief::{self, Brief, Language};
use super::material::Material;
use super::skill::{Skill, StandInResult, Words};
use super::{SOURCE, words};

/// The skills of the build agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![Skill::new::<Input, Program>(
        Words {
            id: "generate_code",
            name: "Generate code",
            description: "Writes a program with tests from a plan or from requirements",
            tags: &["code-generation"],
            examples: &["Write a Rust function that calculates Fibonacci numbers", "Generate a palindrome checker in Python"],
            prompt: include_str!("prompts/generate_code.md"),
        },
        generate_code,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["plan"]}, {"required": ["requirements"]}, {"required": ["request"]}, {"required": ["text"]}]))]
struct Input {
    /// A plan: text, or the object `create_plan` returns.
    plan: Option<Material>,
    /// What is wanted, in plain words.
    requirements: Option<Material>,
    /// The same, as routers name it.
    request: Option<Material>,
    /// The same, as text workflows name it.
    text: Option<Material>,
    /// The programming language; otherwise the plan's, otherwise what the requirements name, otherwise Python.
    language: Option<String>,
}

/// A program.
#[derive(Serialize, JsonSchema)]
struct Program {
    /// The source text, tests included.
    code: String,
    /// Its programming language.
    language: String,
    /// A file name for it.
    filename: String,
    /// What it does.
    description: String,
    /// Whether it does what was asked; false for a skeleton.
    complete: bool,
    /// Who wrote it.
    source: String,
    /// What to know about how it was made.
    note: String,
}

fn generate_code(input: Input) -> StandInResult<Program> {
    let material = Material::first(&[&input.requirements, &input.request, &input.text, &input.plan])
        .ok_or("`plan` and `requirements` are empty; say what is wanted")?;
    let text = wanted(material);
    let brief = Brief::read(&text);
    let asked = input.language.as_deref().or_else(|| input.plan.as_ref().and_then(|plan| plan.field("language")));
    let mut notes = Vec::new();
    let language = choose_language(asked, &brief, &mut notes);
    let stem = brief.entry.map_or(brief.function.as_str(), |entry| entry.id);
    let filename = format!("{stem}.{}", language.extension);
    let known = brief.entry.and_then(|entry| Some((entry, entry.program(language.id)?)));
    let (code, description) = match known {
        Some((entry, code)) => {
            notes.push(format!("a ready program for `{}` from its catalogue, with tests", entry.id));
            (code.to_owned(), format!("A program that {}", entry.what))
        }
        None => {
            notes.push(
                "a skeleton that runs but does not do the work yet, because this is not in its catalogue; configure a model for real code"
                    .to_owned(),
            );
            let criteria = criteria(input.plan.as_ref());
            (skeleton(language, &brief.function, &text, &criteria), format!("A skeleton for: {}", words::shorten(text.trim(), 200)))
        }
    };
    Ok(Program {
        code,
        language: language.id.to_owned(),
        filename,
        description,
        complete: known.is_some(),
        source: SOURCE.to_owned(),
        note: format!("This code comes from the {SOURCE}: {}", notes.join("; ")),
    })
}

/// The requirements inside a plan tell more than the whole plan.
fn wanted(material: &Material) -> String {
    let inner = ["requirements", "title", "summary"].iter().find_map(|field| material.field(field));
    inner.map_or_else(|| material.text().into_owned(), str::to_owned)
}

fn choose_language(asked: Option<&str>, brief: &Brief, notes: &mut Vec<String>) -> Language {
    let known = asked.and_then(brief::language_of);
    if let (Some(asked), None) = (asked, known) {
        notes.push(format!("`{}` is not a language it knows", words::shorten(asked, 40)));
    }
    let wanted = known.or(brief.language).unwrap_or_else(brief::default_language);
    let written = matches!(wanted.id, "python" | "rust" | "javascript" | "bash");
    if written && !(wanted.id == "bash" && brief.entry.is_some()) {
        return wanted;
    }
    notes.push(format!("it cannot write this in {}, so this is {}", wanted.id, brief::default_language().id));
    brief::default_language()
}

fn criteria(plan: Option<&Material>) -> Vec<String> {
    let listed = plan.and_then(|plan| plan.value().get("acceptance_criteria")?.as_array());
    listed.into_iter().flatten().filter_map(|criterion| criterion.as_str()).take(20).map(|text| one_line(text, 200)).collect()
}

/// Text that may stand in a line comment or string of any language: no line breaks, quotes, backslashes or comment marks.
fn one_line(text: &str, chars_max: usize) -> String {
    let plain: String = text
        .chars()
        .map(|c| match c {
            '"' | '`' => '\'',
            '\\' => '/',
            '$' | '{' | '}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect();
    let joined = plain.replace("*/", "* /").split_whitespace().collect::<Vec<_>>().join(" ");
    words::shorten(&joined, chars_max)
}

fn skeleton(language: Language, function: &str, text: &str, criteria: &[String]) -> String {
    let (form, prefix) = match language.id {
        "rust" => (include_str!("build/skeletons/skeleton.rs"), "//! "),
        "javascript" => (include_str!("build/skeletons/skeleton.js"), "// "),
        "bash" => (include_str!("build/skeletons/skeleton.sh"), "# "),
        _ => (include_str!("build/skeletons/skeleton.py"), ""),
    };
    let listed: String = criteria.iter().map(|criterion| format!("{prefix}- {criterion}\n")).collect();
    // What callers wrote comes last, so that marks in it stay as they are.
    let (named, what) = (form.replace("__FUNCTION__", function), one_line(text, 300));
    let (head, tail) = named.split_once("__CRITERIA__").unwrap_or((&named, ""));
    format!("{}{listed}{}", head.replace("__WHAT__", &what), tail.replace("__WHAT__", &what))
}

#[cfg(test)]
mod tests;
