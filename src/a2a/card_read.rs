//! Reads agent cards as they are met: A2A 1.0, A2A 0.3, both in one, and the prototype's.
//!
//! Lenient about what gantry does not need, strict about what a call needs, and the error names the member.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::card::{Card, CardError, Dialect, Interface, Skill};
use super::card_write::PLAIN_BINDING;
use super::skill::{SKILL_SCHEMAS_EXTENSION, SOLACE_SCHEMAS_EXTENSION};
use crate::ids::SkillId;
use crate::limits::{CARD_BYTES_MAX, VALUE_DEPTH_MAX};

/// Most skills of one card. Real ones have a dozen.
const SKILLS_MAX: usize = 1_000;
/// Most interfaces of one card.
const INTERFACES_MAX: usize = 64;

type Object = Map<String, Value>;

pub(super) fn parse(bytes: &[u8]) -> Result<Card, CardError> {
    if bytes.len() > CARD_BYTES_MAX {
        return Err(CardError::TooLarge { bytes_max: CARD_BYTES_MAX });
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| CardError::Form(error.to_string()))?;
    if !super::value::within_depth(&value, VALUE_DEPTH_MAX) {
        return Err(CardError::Form(format!("nested deeper than {VALUE_DEPTH_MAX}")));
    }
    let Value::Object(card) = &value else {
        return Err(CardError::Form("not a JSON object".to_owned()));
    };
    let capabilities = member(card, "capabilities").and_then(Value::as_object);
    let extensions = capabilities.map(|c| objects(c, "extensions")).unwrap_or_default();
    Ok(Card {
        name: required_text(card, "name", "name", "steps and errors name an agent by it")?.to_owned(),
        description: text(card, "description"),
        version: text(card, "version"),
        interfaces: interfaces(card)?,
        streaming: capabilities.is_some_and(|c| flag(c, "streaming")),
        push_notifications: capabilities.is_some_and(|c| flag(c, "pushNotifications")),
        input_modes: texts(card, "defaultInputModes"),
        required_extensions: extensions.iter().filter(|e| flag(e, "required")).map(|e| text(e, "uri")).collect(),
        skills: skills(card, &Schemas::declared(&extensions))?,
    })
}

/// The interfaces that gantry speaks, best first. None at all is an error; none that is spoken is found out at the call.
fn interfaces(card: &Object) -> Result<Vec<Interface>, CardError> {
    let mut found = Vec::new();
    let supported = member(card, "supportedInterfaces").and_then(Value::as_array);
    for (at, entry) in supported.into_iter().flatten().enumerate() {
        let path = format!("supportedInterfaces[{at}]");
        let Some(entry) = entry.as_object() else {
            return Err(CardError::Invalid { field: path, why: "is not an object".to_owned() });
        };
        let path = format!("{path}.url");
        let url = url(entry, &path)?;
        if let Some(dialect) = dialect(&text(entry, "protocolBinding"), &text(entry, "protocolVersion"), Dialect::A2a1) {
            let tenant = Some(text(entry, "tenant")).filter(|tenant| !tenant.is_empty());
            absolute(url, &path)?;
            found.push(Interface { url: base(url, dialect), dialect, tenant });
        }
    }
    if card.contains_key("url") {
        found.extend(interfaces_of_url(card, supported.is_some())?);
    } else if supported.is_none_or(Vec::is_empty) {
        return Err(CardError::Missing { field: "supportedInterfaces".to_owned(), why: "nor a `url`, so the agent cannot be called" });
    }
    if found.len() > INTERFACES_MAX {
        return Err(CardError::Invalid { field: "supportedInterfaces".to_owned(), why: format!("has more than {INTERFACES_MAX} entries") });
    }
    found.sort_by_key(|interface| interface.dialect);
    let mut distinct: Vec<Interface> = Vec::with_capacity(found.len());
    for interface in found {
        if !distinct.contains(&interface) {
            distinct.push(interface);
        }
    }
    Ok(distinct)
}

/// What a card with a `url` offers: 0.3 and its predecessors say more about themselves than the prototype does.
fn interfaces_of_url(card: &Object, has_supported: bool) -> Result<Vec<Interface>, CardError> {
    const A2A_MEMBERS: [&str; 6] =
        ["protocolVersion", "preferredTransport", "additionalInterfaces", "capabilities", "defaultInputModes", "defaultOutputModes"];
    let own = url(card, "url")?;
    if !A2A_MEMBERS.iter().any(|name| member(card, name).is_some()) {
        // Beside `supportedInterfaces` a bare `url` is a leftover, not an offer.
        if has_supported {
            return Ok(Vec::new());
        }
        absolute(own, "url")?;
        return Ok(vec![Interface { url: base(own, Dialect::Plain), dialect: Dialect::Plain, tenant: None }]);
    }
    let version = text(card, "protocolVersion");
    let mut offers = vec![(own, text(card, "preferredTransport"), "url".to_owned())];
    for (at, entry) in objects(card, "additionalInterfaces").into_iter().enumerate() {
        let path = format!("additionalInterfaces[{at}].url");
        offers.push((url(entry, &path)?, text(entry, "transport"), path));
    }
    let mut found = Vec::new();
    for (url, transport, path) in offers {
        if let Some(dialect) = dialect(&transport, &version, Dialect::A2a03) {
            absolute(url, &path)?;
            found.push(Interface { url: url.to_owned(), dialect, tenant: None });
        }
    }
    Ok(found)
}

/// The dialect of a binding and a version; `None` for what gantry does not speak.
fn dialect(binding: &str, version: &str, unsaid: Dialect) -> Option<Dialect> {
    if binding == PLAIN_BINDING {
        return Some(Dialect::Plain);
    }
    if !(binding.is_empty() || binding.eq_ignore_ascii_case("JSONRPC") || binding.eq_ignore_ascii_case("JSON-RPC")) {
        return None;
    }
    match version.trim_start_matches('v').split('.').next() {
        Some("") | None => Some(unsaid),
        Some("0") => Some(Dialect::A2a03),
        Some("1") => Some(Dialect::A2a1),
        Some(_) => None,
    }
}

fn base(url: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Plain => {
            let url = url.trim_end_matches('/');
            url.strip_suffix("/execute").unwrap_or(url).to_owned()
        }
        Dialect::A2a1 | Dialect::A2a03 => url.to_owned(),
    }
}

/// The `url` of an object, as text. Its scheme and host are judged where it is dialled.
fn url<'a>(object: &'a Object, path: &str) -> Result<&'a str, CardError> {
    required_text(object, "url", path, "the agent cannot be called")
}

/// Refuses what cannot be an address of an interface that is spoken.
fn absolute(url: &str, path: &str) -> Result<(), CardError> {
    let why = match url::Url::parse(url) {
        Ok(parsed) if matches!(parsed.scheme(), "http" | "https") => return Ok(()),
        Ok(parsed) => format!("has the scheme `{}`; http or https is needed", parsed.scheme()),
        Err(error) => format!("is not an absolute URL: {error}"),
    };
    Err(CardError::Invalid { field: path.to_owned(), why })
}

fn skills(card: &Object, schemas: &Schemas<'_>) -> Result<Vec<Skill>, CardError> {
    let entries = match member(card, "skills") {
        None => return Ok(Vec::new()),
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(CardError::Invalid { field: "skills".to_owned(), why: "is not a list".to_owned() }),
    };
    if entries.len() > SKILLS_MAX {
        return Err(CardError::Invalid { field: "skills".to_owned(), why: format!("has more than {SKILLS_MAX} entries") });
    }
    let mut ids = BTreeSet::new();
    let mut found = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let path = format!("skills[{at}]");
        let Some(entry) = entry.as_object() else {
            return Err(CardError::Invalid { field: path, why: "is not an object".to_owned() });
        };
        let field = format!("{path}.id");
        let id = SkillId::parse(required_text(entry, "id", &field, "steps name a skill by it")?)
            .map_err(|error| CardError::Invalid { field: field.clone(), why: format!("is refused: {error}") })?;
        if !ids.insert(id.clone()) {
            return Err(CardError::Invalid { field, why: format!("repeats `{id}`") });
        }
        found.push(skill(id, entry, schemas));
    }
    Ok(found)
}

fn skill(id: SkillId, entry: &Object, schemas: &Schemas<'_>) -> Skill {
    let name = text(entry, "name");
    Skill {
        name: if name.is_empty() { id.as_str().to_owned() } else { name },
        description: text(entry, "description"),
        tags: texts(entry, "tags"),
        examples: texts(entry, "examples"),
        input_schema: schemas.of(&id, entry, Side::Input).cloned(),
        output_schema: schemas.of(&id, entry, Side::Output).cloned(),
        input_modes: texts(entry, "inputModes"),
        id,
    }
}

#[derive(Clone, Copy)]
enum Side {
    Input,
    Output,
}

/// Where schemas may be declared: ours by skill, Solace's for the whole agent, the prototype's on the skill itself.
struct Schemas<'a> {
    ours: Option<&'a Object>,
    solace: Option<&'a Object>,
}

impl<'a> Schemas<'a> {
    fn declared(extensions: &[&'a Object]) -> Self {
        let params =
            |uri: &str| extensions.iter().find(|e| text(e, "uri") == uri).and_then(|e| member(e, "params")).and_then(Value::as_object);
        Self { ours: params(SKILL_SCHEMAS_EXTENSION), solace: params(SOLACE_SCHEMAS_EXTENSION) }
    }

    fn of(&self, id: &SkillId, entry: &'a Object, side: Side) -> Option<&'a Value> {
        let (short, long) = match side {
            Side::Input => ("input", "inputSchema"),
            Side::Output => ("output", "outputSchema"),
        };
        let ours = self.ours.and_then(|skills| skills.get(id.as_str())).and_then(Value::as_object);
        ours.and_then(|skill| member(skill, short))
            .or_else(|| member(entry, long))
            .or_else(|| self.solace.and_then(|agent| member(agent, long)))
            .filter(|schema| schema.is_object())
    }
}

/// The member under its camelCase or snake_case name; `null` is absent.
fn member<'a>(object: &'a Object, camel: &str) -> Option<&'a Value> {
    object.get(camel).or_else(|| object.get(&snake(camel))).filter(|value| !value.is_null())
}

fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

fn text(object: &Object, name: &str) -> String {
    member(object, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn required_text<'a>(object: &'a Object, name: &str, path: &str, why: &'static str) -> Result<&'a str, CardError> {
    match member(object, name) {
        None => Err(CardError::Missing { field: path.to_owned(), why }),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
        Some(Value::String(_)) => Err(CardError::Invalid { field: path.to_owned(), why: "is empty".to_owned() }),
        Some(_) => Err(CardError::Invalid { field: path.to_owned(), why: "is not a text".to_owned() }),
    }
}

fn texts(object: &Object, name: &str) -> Vec<String> {
    let items = member(object, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn objects<'a>(object: &'a Object, name: &str) -> Vec<&'a Object> {
    let items = member(object, name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(Value::as_object).collect()
}

fn flag(object: &Object, name: &str) -> bool {
    member(object, name).and_then(Value::as_bool).unwrap_or(false)
}

#[cfg(test)]
mod tests;
