//! The agent card: built from the template at the top of the project, with the real URL, what the options say, and every
//! workflow of the registry as a skill of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ask::WORKFLOW_PREFIX;
use super::error::Failure;
use super::options::{CardOptions, Options, WorkflowSkills};
use super::tasks::RUN_EXTENSION;
use crate::a2a::{AgentCard, AgentExtension, Card, Dialect, ErrorCode, Interface, Skill};
use crate::discovery::{Discovery, WorkflowEntry};
use crate::ids::SkillId;

/// The built-in template.
const TEMPLATE: &str = include_str!("../../agent-card.json");
/// Largest template.
const TEMPLATE_BYTES_MAX: u64 = 1024 * 1024;
/// Workflows that become skills. A card is read by models and people; beyond this it is neither.
const WORKFLOW_SKILLS_MAX: usize = 200;

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CardFault {
    /// Not readable.
    #[error("cannot read the agent card `{path}`: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a card.
    #[error("`{path}` is not an agent card: {message}")]
    Form {
        /// Which file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

type Workflows = Option<Arc<[WorkflowEntry]>>;

/// The cards, built when asked for.
#[derive(Debug)]
pub(super) struct Cards {
    /// What is known of the card without the registry.
    card: Card,
    /// The same with the members that only A2A 1.0 has.
    agent_card: AgentCard,
    options: CardOptions,
    /// The template says that there is an extended card.
    declares_extended: bool,
    /// With the list of workflows that is in it: discovery hands out the same one until something changes.
    built: Mutex<Option<(Workflows, Arc<Built>)>>,
}

/// A card as it is served.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) json: Bytes,
    /// In the prototype's shape.
    pub(super) plain: Bytes,
    pub(super) etag: String,
    /// When it last changed.
    pub(super) modified: SystemTime,
}

impl Cards {
    pub(super) fn new(options: &Options, url: &str, asks_for_tokens: bool) -> Result<Self, CardFault> {
        let (path, text) = template(&options.card)?;
        let fault = |message: String| CardFault::Form { path: path.clone(), message };
        let mut card = Card::parse(text.as_bytes()).map_err(|error| fault(error.to_string()))?;
        let mut agent_card: AgentCard = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        let chosen = &options.card;
        if let Some(name) = &chosen.name {
            card.name.clone_from(name);
        }
        let interface = |dialect| Interface { url: url.to_owned(), dialect, tenant: None };
        card.interfaces = vec![interface(Dialect::A2a1), interface(Dialect::A2a03)];
        card.streaming = chosen.streaming;
        card.push_notifications = chosen.push_notifications;
        card.required_extensions.clone_from(&chosen.required_extensions);
        let declares_extended = agent_card.capabilities.extended_agent_card;
        if asks_for_tokens {
            let schemes = json!({
                "bearer": { "httpAuthSecurityScheme": { "scheme": "Bearer" } },
                "apiKey": { "apiKeySecurityScheme": { "location": "header", "name": "X-API-Key" } },
            });
            agent_card.security_schemes = schemes.as_object().cloned().unwrap_or_default();
            agent_card.security_requirements = vec![json!({ "schemes": { "bearer": {} } }), json!({ "schemes": { "apiKey": {} } })];
        }
        Ok(Self { card, agent_card, options: chosen.clone(), declares_extended, built: Mutex::default() })
    }

    /// Whether parts of this media type are taken.
    pub(super) fn takes(&self, media_type: &str) -> bool {
        let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let modes = &self.card.input_modes;
        modes.is_empty()
            || modes.iter().any(|mode| match mode.strip_suffix("/*") {
                Some("*") => true,
                Some(kind) => essence.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')),
                None => *mode == essence,
            })
    }

    /// The card that anyone may read.
    pub(super) async fn public(&self, discovery: &Discovery) -> Arc<Built> {
        let workflows = workflows(discovery, self.options.workflow_skills == WorkflowSkills::Public).await;
        let known = self.built.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((of, built)) = &known
            && match (of, &workflows) {
                (Some(of), Some(workflows)) => Arc::ptr_eq(of, workflows),
                (None, None) => true,
                _ => false,
            }
        {
            return Arc::clone(built);
        }
        let card = self.with_workflows(discovery, workflows.as_deref()).await;
        let json = Bytes::from(self.write(&card).to_string());
        let etag = format!("\"{}\"", hex::encode(&Sha256::digest(&json)[..16]));
        let built = match known {
            Some((_, built)) if built.etag == etag => built,
            _ => Arc::new(Built { json, plain: Bytes::from(card.to_plain_json().to_string()), etag, modified: whole_seconds() }),
        };
        *self.built.lock().unwrap_or_else(PoisonError::into_inner) = Some((workflows, Arc::clone(&built)));
        built
    }

    /// Whether there is an extended card.
    pub(super) fn offers_extended(&self) -> Result<(), Failure> {
        match (self.options.extended, self.declares_extended) {
            (true, _) => Ok(()),
            (false, true) => {
                Err(Failure::new(ErrorCode::ExtendedAgentCardNotConfigured, "an extended card is declared but not configured"))
            }
            (false, false) => Err(Failure::new(ErrorCode::UnsupportedOperation, "there is no extended card")),
        }
    }

    /// The card for authenticated callers.
    pub(super) async fn extended(&self, discovery: &Discovery) -> Result<Value, Failure> {
        self.offers_extended()?;
        let workflows = workflows(discovery, self.options.workflow_skills != WorkflowSkills::Off).await;
        let card = self.with_workflows(discovery, workflows.as_deref()).await;
        Ok(self.write(&card))
    }

    async fn with_workflows(&self, discovery: &Discovery, workflows: Option<&[WorkflowEntry]>) -> Card {
        let mut card = self.card.clone();
        for workflow in workflows.unwrap_or_default().iter().take(WORKFLOW_SKILLS_MAX) {
            let Ok(id) = SkillId::parse(&format!("{WORKFLOW_PREFIX}{}", workflow.id)) else { continue };
            let found = discovery.workflow(&workflow.id).await.ok();
            card.skills.push(Skill {
                id,
                name: workflow.name.clone(),
                description: workflow.description.clone(),
                tags: if workflow.tags.is_empty() { vec!["workflow".to_owned()] } else { workflow.tags.clone() },
                examples: workflow.examples.clone(),
                input_schema: found.and_then(|found| found.plan.workflow().input.as_deref().cloned()),
                output_schema: None,
                input_modes: Vec::new(),
            });
        }
        card
    }

    fn write(&self, card: &Card) -> Value {
        let mut written = card.to_agent_card();
        let template = &self.agent_card;
        written.default_output_modes.clone_from(&template.default_output_modes);
        written.provider.clone_from(&template.provider);
        written.documentation_url.clone_from(&template.documentation_url);
        written.icon_url.clone_from(&template.icon_url);
        written.security_schemes.clone_from(&template.security_schemes);
        written.security_requirements.clone_from(&template.security_requirements);
        written.capabilities.extended_agent_card = self.options.extended || self.declares_extended;
        let runs = AgentExtension {
            uri: RUN_EXTENSION.to_owned(),
            description: "Names run, workflow and steps in metadata; takes depth and ancestry of the runs above".to_owned(),
            ..AgentExtension::default()
        };
        let known: Vec<String> = written.capabilities.extensions.iter().map(|extension| extension.uri.clone()).collect();
        let more = template.capabilities.extensions.iter().cloned().chain([runs]);
        written.capabilities.extensions.extend(more.filter(|extension| !known.contains(&extension.uri)));
        if self.options.older_members {
            return card.with_older_members(&written);
        }
        serde_json::to_value(written).unwrap_or_default()
    }
}

/// The workflows for a card; none when they are not wanted or the registry does not answer.
async fn workflows(discovery: &Discovery, wanted: bool) -> Workflows {
    // Whoever asks for the card must not wait for a registry that has not answered yet.
    if !wanted || discovery.awaits_registry() {
        return None;
    }
    match discovery.workflow_list().await {
        Ok(workflows) => Some(workflows),
        Err(error) => {
            tracing::warn!(%error, "the card lists no workflows: the registry did not answer");
            None
        }
    }
}

fn template(options: &CardOptions) -> Result<(PathBuf, String), CardFault> {
    let Some(path) = &options.template else { return Ok((PathBuf::from("agent-card.json"), TEMPLATE.to_owned())) };
    let read = || {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > TEMPLATE_BYTES_MAX {
            return Err(std::io::Error::other(format!("it has {bytes} bytes, {TEMPLATE_BYTES_MAX} is the most")));
        }
        std::fs::read_to_string(path)
    };
    read().map(|text| (path.clone(), text)).map_err(|source| CardFault::Read { path: path.clone(), source })
}

/// HTTP dates have no fractions; one would make every card newer than its own date.
fn whole_seconds() -> SystemTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}
