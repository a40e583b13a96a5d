//! What a manifest says of its content, so that lists need no blobs: written from the content on push, read as claims.
//!
//! A claim is believed in a list and checked when the content is loaded: a contradiction in id, version or skills is an error.
//! Keys of our own stand under `dev.gantry`, never under `org.opencontainers` (image-spec, annotations.md).

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Error;
use super::versions::version_of;
use crate::a2a::{Card, Dialect};
use crate::plan::Plan;

/// Annotations of a manifest.
pub(super) type Annotations = BTreeMap<String, String>;

const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";
const DESCRIPTION: &str = "org.opencontainers.image.description";
const ID: &str = "dev.gantry.id";
const TAGS: &str = "dev.gantry.tags";
const EXAMPLES: &str = "dev.gantry.examples";
const SKILLS: &str = "dev.gantry.skills";
const INPUTS: &str = "dev.gantry.inputs";
const URL: &str = "dev.gantry.url";
const PROTOCOL_VERSIONS: &str = "dev.gantry.protocol-versions";

/// What a list says of a workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WorkflowFacts {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) description: String,
    pub(super) tags: Vec<String>,
    pub(super) examples: Vec<String>,
    /// Sorted, each once.
    pub(super) skills: Vec<String>,
    /// Names of the inputs, as far as the schema names them.
    pub(super) inputs: Vec<String>,
}

impl WorkflowFacts {
    /// From the content.
    pub(super) fn of(plan: &Plan) -> Self {
        let metadata = &plan.workflow().metadata;
        let properties = plan.workflow().input.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        Self {
            id: metadata.id.to_string(),
            name: metadata.name.clone(),
            version: metadata.version.to_string(),
            description: metadata.description.clone().unwrap_or_default(),
            tags: metadata.tags.clone(),
            examples: metadata.examples.clone(),
            skills: plan.skills().into_iter().map(ToString::to_string).collect(),
            inputs: properties.map(|names| names.keys().cloned().collect()).unwrap_or_default(),
        }
    }

    /// From the annotations, when they say what a list needs.
    pub(super) fn claimed(annotations: &Annotations) -> Option<Self> {
        let text = |key: &str| annotations.get(key).filter(|text| !text.is_empty()).cloned();
        Some(Self {
            id: text(ID)?,
            name: text(TITLE)?,
            version: text(VERSION)?,
            description: text(DESCRIPTION).unwrap_or_default(),
            tags: list(annotations, TAGS).unwrap_or_default(),
            examples: list(annotations, EXAMPLES).unwrap_or_default(),
            skills: sorted(list(annotations, SKILLS)?),
            inputs: list(annotations, INPUTS).unwrap_or_default(),
        })
    }

    /// As annotations. Nothing that differs between two pushes of the same content, so that its digest is the same too.
    pub(super) fn annotations(&self) -> Annotations {
        let mut annotations = Annotations::from([
            (ID.to_owned(), self.id.clone()),
            (TITLE.to_owned(), self.name.clone()),
            (VERSION.to_owned(), self.version.clone()),
            (SKILLS.to_owned(), json(&self.skills)),
        ]);
        let rest = [
            (DESCRIPTION, self.description.clone()),
            (TAGS, json(&self.tags)),
            (EXAMPLES, json(&self.examples)),
            (INPUTS, json(&self.inputs)),
        ];
        annotations
            .extend(rest.into_iter().filter(|(_, value)| !value.is_empty() && value != "[]").map(|(key, value)| (key.to_owned(), value)));
        annotations
    }

    /// Refuses content whose manifest claims another id, version or other skills. `place` names the manifest.
    pub(super) fn agree(&self, annotations: &Annotations, place: &str) -> Result<(), Error> {
        let claimed_version = annotations.get(VERSION).filter(|claimed| version_of(claimed) != version_of(&self.version));
        contradiction(place, ID, "id", annotations.get(ID), &self.id)?;
        contradiction(place, VERSION, "version", claimed_version, &self.version)?;
        skills_agree(annotations, place, &self.skills)
    }
}

/// The annotations of a card, derived from it.
pub(super) fn of_card(card: &Card) -> Annotations {
    let mut protocols: Vec<_> = card.interfaces.iter().filter_map(|interface| protocol(interface.dialect)).collect();
    protocols.dedup();
    let url = card.interfaces.first().map(|interface| interface.url.clone()).unwrap_or_default();
    let all = [
        (ID, card.name.clone()),
        (TITLE, card.name.clone()),
        (VERSION, card.version.clone()),
        (DESCRIPTION, card.description.clone()),
        (URL, url),
        (PROTOCOL_VERSIONS, if protocols.is_empty() { String::new() } else { json(&protocols) }),
        (SKILLS, json(&skills_of(card))),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Refuses a card whose manifest claims another name, version or other skills.
pub(super) fn card_agrees(card: &Card, annotations: &Annotations, place: &str) -> Result<(), Error> {
    contradiction(place, ID, "name", annotations.get(ID), &card.name)?;
    let version = annotations.get(VERSION).filter(|_| !card.version.is_empty());
    contradiction(place, VERSION, "version", version, &card.version)?;
    skills_agree(annotations, place, &skills_of(card))
}

/// The annotations of a manifest's bytes; none when it has none that can be read.
pub(super) fn of_manifest(bytes: &[u8]) -> Annotations {
    #[derive(Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: Option<Annotations>,
    }
    serde_json::from_slice::<Annotated>(bytes).ok().and_then(|manifest| manifest.annotations).unwrap_or_default()
}

fn protocol(dialect: Dialect) -> Option<&'static str> {
    match dialect {
        Dialect::A2a1 => Some("1.0"),
        Dialect::A2a03 => Some("0.3"),
        Dialect::Plain => None,
    }
}

fn skills_of(card: &Card) -> Vec<String> {
    sorted(card.skills.iter().map(|skill| skill.id.to_string()).collect())
}

fn skills_agree(annotations: &Annotations, place: &str, skills: &[String]) -> Result<(), Error> {
    let claimed = list(annotations, SKILLS).map(sorted).filter(|claimed| claimed != skills);
    contradiction(place, SKILLS, "skills", claimed.map(|claimed| json(&claimed)).as_ref(), &json(skills))
}

fn contradiction(place: &str, key: &str, what: &str, claimed: Option<&String>, real: &str) -> Result<(), Error> {
    match claimed {
        Some(claimed) if claimed != real => Err(Error::Contradiction(format!(
            "{place} contradicts itself: the annotation `{key}` says `{}`, the content's {what} `{}`",
            short(claimed),
            short(real)
        ))),
        _ => Ok(()),
    }
}

/// A claim may be as long as a manifest; an error is for reading.
fn short(text: &str) -> &str {
    const BYTES_MAX: usize = 200;
    &text[..text.floor_char_boundary(BYTES_MAX)]
}

fn list(annotations: &Annotations, key: &str) -> Option<Vec<String>> {
    serde_json::from_str(annotations.get(key)?).ok()
}

fn json(list: &[impl serde::Serialize]) -> String {
    serde_json::to_string(list).expect("a list of texts is JSON")
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list.dedup();
    list
}
