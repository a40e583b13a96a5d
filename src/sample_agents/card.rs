//! The agent's card, from which `a2a` writes both shapes: the prototype's, and A2A's for readers of 1.0 and 0.3.

use super::agent::Agent;
use crate::a2a::{Card, Dialect, Interface, Skill};
use crate::ids::SkillId;

/// The card of an agent at this base URL.
pub(super) fn card(agent: &Agent, url: &str) -> Card {
    let interface = |dialect, url: String| Interface { url, dialect, tenant: None };
    Card {
        name: agent.name.to_owned(),
        description: agent.description.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        interfaces: vec![
            interface(Dialect::A2a1, format!("{url}/")),
            interface(Dialect::A2a03, format!("{url}/")),
            interface(Dialect::Plain, url.to_owned()),
        ],
        streaming: true,
        push_notifications: false,
        input_modes: vec!["application/json".to_owned(), "text/plain".to_owned()],
        required_extensions: Vec::new(),
        skills: agent.skills.iter().map(|skill| self::skill(skill)).collect(),
    }
}

fn skill(skill: &super::skill::Skill) -> Skill {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Skill {
        id: SkillId::parse(skill.words.id).expect("the ids of the sample skills are constants and tested"),
        name: skill.words.name.to_owned(),
        description: skill.words.description.to_owned(),
        tags: owned(skill.words.tags),
        examples: owned(skill.words.examples),
        input_schema: Some(skill.input.value().clone()),
        output_schema: Some(skill.output.value().clone()),
        input_modes: Vec::new(),
    }
}
