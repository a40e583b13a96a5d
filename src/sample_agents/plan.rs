//! The plan agent: `create_plan` turns requirements into steps and acceptance criteria.
//!
//! The stand-in splits the text into requirements and orders the usual steps around them; it invents nothing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::brief::{self, Brief};
use super::material::Material;
use super::skill::{Skill, StandInResult, Words};
use super::{SOURCE, words};
use crate::limits;

/// The skills of the plan agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![Skill::new::<Input, Plan>(
        Words {
            id: "create_plan",
            name: "Create plan",
            description: "Splits requirements into numbered steps and acceptance criteria, and names language and function",
            tags: &["planning", "code-generation"],
            examples: &["Create a function to calculate prime numbers", "Plan a command-line tool that counts words"],
            prompt: include_str!("prompts/create_plan.md"),
        },
        create_plan,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["requirements"]}, {"required": ["request"]}, {"required": ["text"]}]))]
struct Input {
    /// What is wanted, in plain words.
    requirements: Option<Material>,
    /// The same, as routers name it.
    request: Option<Material>,
    /// The same, as text workflows name it.
    text: Option<Material>,
    /// The programming language, if the requirements do not name it.
    language: Option<String>,
    /// Anything the result must respect.
    constraints: Option<Material>,
}

/// A plan for a piece of work.
#[derive(Serialize, JsonSchema)]
struct Plan {
    /// A short title.
    title: String,
    /// The requirements as they were given.
    requirements: String,
    /// The programming language to use.
    language: String,
    /// A name for the main function.
    function: String,
    /// What to do, in order.
    steps: Vec<Step>,
    /// How to tell that it is done.
    acceptance_criteria: Vec<String>,
    /// What the requirements leave open and how it is taken.
    assumptions: Vec<String>,
    /// Who made this plan.
    source: String,
    /// What to know about how it was made.
    note: String,
}

/// One step of a plan.
#[derive(Serialize, JsonSchema)]
struct Step {
    /// 1, 2, …
    number: usize,
    /// What to do, in a few words.
    title: String,
    /// What that means here.
    detail: String,
}

fn create_plan(input: Input) -> StandInResult<Plan> {
    let material =
        Material::first(&[&input.requirements, &input.request, &input.text]).ok_or("`requirements` is empty; say what is wanted")?;
    let text = material.text();
    let brief = Brief::read(&text);
    let requirements = split_requirements(&text);
    let mut assumptions = Vec::new();
    let language = match input.language.as_deref().and_then(brief::language_of).or(brief.language) {
        Some(language) => language,
        None => {
            let default = brief::default_language();
            assumptions.push(match input.language.as_deref().map(str::trim).filter(|asked| !asked.is_empty()) {
                Some(asked) => format!("`{}` is not a language known here, so {} is used", words::shorten(asked, 40), default.id),
                None => format!("No language is named, so {} is used", default.id),
            });
            default
        }
    };
    if let Some(constraints) = &input.constraints {
        assumptions.push(format!("Constraint: {}", words::shorten(&constraints.text(), 500)));
    }
    Ok(Plan {
        title: title(&text),
        requirements: words::shorten(&text, 20_000),
        language: language.id.to_owned(),
        steps: steps(&brief, &requirements, language.id),
        acceptance_criteria: criteria(&brief, &requirements),
        function: brief.function,
        assumptions,
        source: SOURCE.to_owned(),
        note: format!("This plan comes from the {SOURCE}: it orders what the requirements say and adds no design of its own"),
    })
}

fn title(text: &str) -> String {
    let first = words::sentences(text).first().copied().unwrap_or(text).trim_end_matches(['.', '!', ':']);
    words::shorten(first.lines().next().unwrap_or(first).trim_start_matches(['#', '-', '*', ' ']), 80)
}

/// The single demands: list items and sentences, and the parts of a sentence that are joined by "; " or " and then ".
fn split_requirements(text: &str) -> Vec<String> {
    words::sentences(text)
        .into_iter()
        .flat_map(|sentence| sentence.split("; "))
        .flat_map(|part| part.split(" and then "))
        .flat_map(|part| part.split(", then "))
        .map(|part| part.trim().trim_start_matches(['-', '*', '•', '#', ' ']).trim_end_matches(['.', ',', ';']))
        .filter(|part| part.contains(char::is_alphabetic))
        .map(|part| words::shorten(part, 300))
        .take(limits::SAMPLE_LIST_MAX)
        .collect()
}

fn steps(brief: &Brief, requirements: &[String], language: &str) -> Vec<Step> {
    let subject = if brief.subject.is_empty() { "the task" } else { &brief.subject };
    let mut steps = vec![
        ("Fix the interface".to_owned(), format!("Write the signature and documentation of `{}` in {language}", brief.function)),
        ("Refuse bad input".to_owned(), format!("Decide which input for {subject} is invalid and what happens then")),
    ];
    match brief.entry {
        Some(entry) => steps.push((format!("Implement `{}`", entry.function), format!("Write the code that {}", entry.what))),
        None => steps.extend(
            requirements.iter().map(|requirement| (format!("Implement: {}", words::shorten(requirement, 60)), requirement.clone())),
        ),
    }
    steps.push(("Write tests".to_owned(), "Cover an ordinary case, the edges and refused input".to_owned()));
    steps.push(("Review".to_owned(), "Check syntax, readability and the acceptance criteria".to_owned()));
    steps.into_iter().enumerate().map(|(index, (title, detail))| Step { number: index + 1, title, detail }).collect()
}

fn criteria(brief: &Brief, requirements: &[String]) -> Vec<String> {
    let mut criteria: Vec<String> = match brief.entry {
        Some(entry) => entry.criteria.iter().map(|&criterion| criterion.to_owned()).collect(),
        None => requirements.iter().map(|requirement| format!("It does what was asked: {requirement}")).collect(),
    };
    criteria.push("The code parses and its tests pass".to_owned());
    criteria
}

#[cfg(test)]
mod tests;
