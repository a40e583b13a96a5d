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
    let what = one_line(text, 300);
    let listed = |prefix: &str| criteria.iter().map(|criterion| format!("{prefix}- {criterion}\n")).collect::<String>();
    match language.id {
        "rust" => format!(
            "//! {what}\n//!\n//! A skeleton: `{function}` has its place, its work is still to be written.\n{criteria}\n/// {what}\n///\n/// # Errors\n/// Says that the work is not written yet.\nfn {function}(input: &str) -> Result<String, String> {{\n    Err(format!(\"{function} is not written yet; it got {{}} bytes\", input.len()))\n}}\n\nfn main() {{\n    let input = std::env::args().skip(1).collect::<Vec<_>>().join(\" \");\n    match {function}(&input) {{\n        Ok(output) => println!(\"{{output}}\"),\n        Err(error) => eprintln!(\"{{error}}\"),\n    }}\n}}\n\n#[cfg(test)]\nmod tests {{\n    use super::*;\n\n    #[test]\n    fn says_that_it_is_not_written() {{\n        assert!({function}(\"\").is_err());\n    }}\n}}\n",
            criteria = listed("//! "),
        ),
        "javascript" => format!(
            "// {what}\n//\n// A skeleton: `{function}` has its place, its work is still to be written.\n{criteria}\"use strict\";\n\n/** {what} */\nfunction {function}(input) {{\n  throw new Error(`{function} is not written yet; it got ${{input.length}} characters`);\n}}\n\nmodule.exports = {{ {function} }};\n\nif (require.main === module) {{\n  try {{\n    console.log({function}(process.argv.slice(2).join(\" \")));\n  }} catch (error) {{\n    console.error(error.message);\n  }}\n}}\n",
            criteria = listed("// "),
        ),
        "bash" => format!(
            "#!/usr/bin/env bash\n# {what}\n#\n# A skeleton: {function} has its place, its work is still to be written.\n{criteria}set -euo pipefail\n\n# {what}\n{function}() {{\n  echo \"{function} is not written yet; it got $# arguments\" >&2\n}}\n\n{function} \"$@\"\n",
            criteria = listed("# "),
        ),
        _ => format!(
            "\"\"\"{what}\n\nA skeleton: `{function}` has its place, its work is still to be written.\n{criteria}\"\"\"\n\nimport sys\n\n\ndef {function}(text: str) -> str:\n    \"\"\"{what}\"\"\"\n    raise NotImplementedError(f\"{function} is not written yet; it got {{len(text)}} characters\")\n\n\ndef main() -> None:\n    \"\"\"Pass the arguments on and print what comes back.\"\"\"\n    try:\n        print({function}(\" \".join(sys.argv[1:])))\n    except NotImplementedError as error:\n        print(error, file=sys.stderr)\n\n\nif __name__ == \"__main__\":\n    main()\n",
            criteria = listed(""),
        ),
    }
}

#[cfg(test)]
mod tests;
