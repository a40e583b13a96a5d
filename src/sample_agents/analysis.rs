//! The analysis agent: five skills on text, one file each.

mod aggregate;
mod entities;
mod request;
mod sentiment;
mod topics;

use schemars::JsonSchema;
use serde::Deserialize;

use super::material::Material;
use super::skill::{Skill, Words};

/// The skills of the analysis agent.
pub(super) fn skills() -> Vec<Skill> {
    vec![sentiment_skill(), entities_skill(), topics_skill(), request_skill(), aggregate_skill()]
}

fn sentiment_skill() -> Skill {
    Skill::new::<TextInput, sentiment::Sentiment>(
        Words {
            id: "analyze_sentiment",
            name: "Analyze sentiment",
            description: "Tells how positive or negative a text is, as a whole and sentence by sentence",
            tags: &["text", "sentiment"],
            examples: &["Is this review positive? I love the new keyboard", "How do customers feel about the update?"],
            prompt: include_str!("prompts/analyze_sentiment.md"),
        },
        |input| Ok(sentiment::analyze(&input.read()?)),
    )
}

fn entities_skill() -> Skill {
    Skill::new::<TextInput, entities::Entities>(
        Words {
            id: "extract_entities",
            name: "Extract entities",
            description: "Finds names, organisations' acronyms, dates, money, numbers, email addresses, URLs, mentions and hashtags, with their places",
            tags: &["text", "entities"],
            examples: &["Who and what is named in this text?", "Find all dates and amounts in this contract"],
            prompt: include_str!("prompts/extract_entities.md"),
        },
        |input| Ok(entities::extract(&input.read()?)),
    )
}

fn topics_skill() -> Skill {
    Skill::new::<TextInput, topics::Topics>(
        Words {
            id: "classify_topics",
            name: "Classify topics",
            description: "Scores a text against a small set of topics, with the words that speak for each, and lists its keywords",
            tags: &["text", "topics"],
            examples: &["What is this article about?", "Classify this support ticket"],
            prompt: include_str!("prompts/classify_topics.md"),
        },
        |input| Ok(topics::classify(&input.read()?)),
    )
}

fn request_skill() -> Skill {
    Skill::new::<TextInput, request::Request>(
        Words {
            id: "analyze_request",
            name: "Analyze request",
            description: "Tells whether a request asks for code, for data analysis or for a text, so that it can be routed",
            tags: &["routing", "text"],
            examples: &["Write a Python function that sorts a list", "Analyze this CSV", "Write a blog post about remote work"],
            prompt: include_str!("prompts/analyze_request.md"),
        },
        |input| Ok(request::analyze(&input.read()?)),
    )
}

fn aggregate_skill() -> Skill {
    Skill::new::<aggregate::Input, aggregate::Summary>(
        Words {
            id: "aggregate_results",
            name: "Aggregate results",
            description: "Joins any number of named results, such as those of parallel steps, into one summary",
            tags: &["aggregation", "text"],
            examples: &["Combine sentiment, entities and topics", "Summarise the results of all branches"],
            prompt: include_str!("prompts/aggregate_results.md"),
        },
        aggregate::aggregate,
    )
}

/// A text to analyse.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{"required": ["text"]}, {"required": ["request"]}, {"required": ["content"]}, {"required": ["requirements"]}]))]
struct TextInput {
    /// The text.
    text: Option<Material>,
    /// The same, as routers name it.
    request: Option<Material>,
    /// The same, as content workflows name it.
    content: Option<Material>,
    /// The same, as code workflows name it.
    requirements: Option<Material>,
}

impl TextInput {
    fn read(&self) -> Result<String, String> {
        let material = Material::first(&[&self.text, &self.request, &self.content, &self.requirements]);
        material.map(|material| material.text().into_owned()).ok_or_else(|| "`text` is empty; give the text to analyse".to_owned())
    }
}

#[cfg(test)]
mod tests;
