//! The content agent: `create_content` drafts a text on a topic in the format, tone and length asked for.
//!
//! The stand-in lays out a draft from the topic and the points it was given. It states no facts of its own.

mod draft;
mod topic;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::material::Material;
use super::skill::{Skill, StandInResult, Words};
use super::{SOURCE, words};
use draft::{Format, Length, Tone};
use topic::Topic;

/// The skills of the content agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![Skill::new::<Input, Content>(
        Words {
            id: "create_content",
            name: "Create content",
            description: "Drafts an article, blog post, email, social post or report on a topic, in the tone and length asked for",
            tags: &["content", "writing"],
            examples: &["Write a blog post about remote work", "Draft a friendly email that invites the team to a workshop"],
            prompt: include_str!("prompts/create_content.md"),
        },
        create_content,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["topic"]}, {"required": ["request"]}, {"required": ["text"]}, {"required": ["requirements"]}]))]
struct Input {
    /// What the text is about, or a whole request such as "write a short email about …".
    topic: Option<Material>,
    /// The same, as routers name it.
    request: Option<Material>,
    /// The same, as text workflows name it.
    text: Option<Material>,
    /// The same, as code workflows name it.
    requirements: Option<Material>,
    /// `article`, `blog post`, `email`, `social post` or `report`.
    format: Option<String>,
    /// `neutral`, `friendly`, `formal` or `enthusiastic`.
    tone: Option<String>,
    /// `short`, `medium`, `long`, or a number of words.
    length: Option<Material>,
    /// Whom the text addresses.
    audience: Option<String>,
    /// Points it must cover.
    points: Option<Vec<String>>,
}

/// A draft.
#[derive(Serialize, JsonSchema)]
struct Content {
    /// Its title, or the subject of an email.
    title: String,
    /// `article`, `blog post`, `email`, `social post` or `report`.
    format: String,
    /// `neutral`, `friendly`, `formal` or `enthusiastic`.
    tone: String,
    /// The headings, in order.
    outline: Vec<String>,
    /// The text in Markdown.
    body: String,
    /// Words of the body.
    word_count: usize,
    /// Who wrote it.
    source: String,
    /// What to know about how it was made.
    note: String,
}

fn create_content(input: Input) -> StandInResult<Content> {
    let material = Material::first(&[&input.topic, &input.request, &input.text, &input.requirements])
        .ok_or("`topic` is empty; say what the text is about")?;
    let request = material.text();
    let mut notes = Vec::new();
    let format = Format::choose(input.format.as_deref(), &request, &mut notes);
    let tone = Tone::choose(input.tone.as_deref(), &request, &mut notes);
    let length = Length::choose(input.length.as_ref(), &request, format, &mut notes);
    let topic = Topic::read(&request, input.audience.as_deref(), input.points.unwrap_or_default());
    let draft = draft::write(&topic, format, tone, length);
    notes.insert(0, format!("This draft comes from the {SOURCE}: it gives structure around the topic and states no facts of its own"));
    Ok(Content {
        word_count: draft.body.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count(),
        title: draft.title,
        format: format.name().to_owned(),
        tone: tone.name().to_owned(),
        outline: draft.outline,
        body: draft.body,
        source: SOURCE.to_owned(),
        note: words::shorten(&notes.join("; "), 1_000),
    })
}

#[cfg(test)]
mod tests;
