//! Whom `gantry send` and `gantry task` call: from a URL and flags to an agent's A2A methods, with one deadline for all of it.

use std::time::Duration;

use clap::ValueEnum;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::answer::word;
use super::exit::{Exit, Failure};
use super::surroundings::agent_options;
use super::terminal::printable;
use crate::a2a::{Card, Dialect, ErrorCode, Interface, PLAIN_CARD_PATH};
use crate::agent::{self, Client, Direct, ErrorKind};
use crate::config::{self, Config};

/// Headers that belong to the connection, not to the caller.
const OWN_HEADERS: [&str; 5] = ["connection", "content-length", "content-type", "host", "transfer-encoding"];

/// Which agent, and how it is reached.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct CalleeArguments {
    /// The agent: its address, or the URL of its card; with --dialect the very URL that is called
    #[arg(value_name = "URL")]
    pub(super) url: String,
    /// `auto` does as the agent's card says; `1.0` and `0.3` call URL as it is, without a card
    #[arg(long, value_name = "DIALECT", default_value = "auto")]
    dialect: DialectChoice,
    /// The variable of the environment that holds the bearer token
    #[arg(long, value_name = "VARIABLE")]
    token_env: Option<String>,
    /// A further header, given more than once for several
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
}

/// How an agent is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DialectChoice {
    Auto,
    #[value(name = "1.0")]
    V1,
    #[value(name = "0.3")]
    V03,
}

/// An agent that may be called.
pub(super) struct Callee {
    /// Its methods.
    pub(super) agent: Direct,
    /// Its card, when it was asked for one.
    pub(super) card: Option<Card>,
    /// The URL as the user wrote it with the flags that reach the agent, for commands that are suggested.
    pub(super) url: String,
    timeout: Option<(Duration, Instant)>,
}

impl Callee {
    /// Finds out how the agent is called. The timeout is for this and everything after it.
    pub(super) async fn find(arguments: &CalleeArguments, config: &Config, timeout: Option<Duration>) -> Result<Self, Failure> {
        let timeout = timeout.map(|timeout| (timeout, Instant::now() + timeout));
        let url = parse(&arguments.url)?;
        let hosts = authorities(&url);
        let mut options = agent_options(config);
        let has_secrets = arguments.add_secrets(&hosts, &mut options)?;
        let client = Client::new(options);
        let direct = match arguments.dialect {
            _ if is_card(&url) => None,
            DialectChoice::Auto => None,
            DialectChoice::V1 => Some(Dialect::A2a1),
            DialectChoice::V03 => Some(Dialect::A2a03),
        };
        let (name, interface, card) = match direct {
            Some(dialect) => (url.to_string(), Interface { url: url.to_string(), dialect, tenant: None }, None),
            None => {
                let card = within(timeout, client.fetch_card(url.as_str())).await?.map_err(|error| no_card(error, arguments))?;
                let interface = arguments.interface(&card)?;
                (card.name.clone(), interface, Some(card))
            }
        };
        if has_secrets && !parse(&interface.url).is_ok_and(|called| hosts.contains(&authority(&called))) {
            let called = printable(&interface.url).into_owned();
            return Err(Failure::usage(format!(
                "the card of `{}` sends callers to {called}, another host than the token and the headers are for",
                arguments.url
            ))
            .hint(format!("if that host is meant to have them, name it: {called} with --dialect 1.0 or 0.3")));
        }
        let id = format!("gantry-{}", Uuid::new_v4().simple());
        let agent = client.direct(&name, &interface, &id).map_err(failure)?;
        Ok(Self { agent, card, url: arguments.again(), timeout })
    }

    /// Waits for a call, but not beyond the deadline.
    pub(super) async fn within<T>(&self, call: impl Future<Output = Result<T, agent::Error>>) -> Result<T, Failure> {
        within(self.timeout, call).await?.map_err(failure)
    }
}

impl CalleeArguments {
    /// Puts token and headers under the hosts they are for; whether there are any.
    fn add_secrets(&self, hosts: &[String], options: &mut agent::Options) -> Result<bool, Failure> {
        if let Some(variable) = &self.token_env {
            let token = config::variable(variable).ok_or_else(|| {
                Failure::usage(format!("the environment has no variable `{variable}`")).hint(format!("set it: export {variable}=…"))
            })?;
            let token = agent::Secret::new(token.expose());
            options.credentials.extend(hosts.iter().map(|host| (host.clone(), token.clone())));
        }
        if !self.headers.is_empty() {
            let mut headers = HeaderMap::new();
            for header in &self.headers {
                let (name, value) = read_header(header)?;
                headers.append(name, value);
            }
            options.headers.extend(hosts.iter().map(|host| (host.clone(), headers.clone())));
        }
        Ok(self.token_env.is_some() || !self.headers.is_empty())
    }

    /// URL and flags once more. Headers are left out: their values may be secrets.
    fn again(&self) -> String {
        let mut words = word(&self.url);
        match self.dialect {
            DialectChoice::Auto => {}
            DialectChoice::V1 => words.push_str(" --dialect 1.0"),
            DialectChoice::V03 => words.push_str(" --dialect 0.3"),
        }
        if let Some(variable) = &self.token_env {
            words.push_str(" --token-env ");
            words.push_str(&word(variable));
        }
        words
    }

    /// The interface of a card that is called.
    fn interface(&self, card: &Card) -> Result<Interface, Failure> {
        let is_wanted = |interface: &&Interface| match self.dialect {
            DialectChoice::Auto => interface.dialect != Dialect::Plain,
            DialectChoice::V1 => interface.dialect == Dialect::A2a1,
            DialectChoice::V03 => interface.dialect == Dialect::A2a03,
        };
        card.interfaces.iter().find(is_wanted).cloned().ok_or_else(|| {
            let name = printable(&card.name);
            let what = match self.dialect {
                DialectChoice::Auto => "A2A 1.0 or 0.3 over JSON-RPC",
                DialectChoice::V1 => "A2A 1.0 over JSON-RPC",
                DialectChoice::V03 => "A2A 0.3 over JSON-RPC",
            };
            Failure::unavailable(format!("the card of agent `{name}` offers no {what}"))
                .hint("`gantry run --agent-card URL` calls agents of plain JSON-RPC as steps of a workflow")
        })
    }
}

/// What an error of a call is for the one at the command line.
pub(super) fn failure(error: agent::Error) -> Failure {
    let exit = match error.kind {
        _ if is(&error, ErrorCode::TaskNotFound) => Exit::Unavailable,
        // What was sent is not what the agent takes: an answer that does not fit, an input that a workflow cannot have.
        _ if is(&error, ErrorCode::InvalidParams) => Exit::Usage,
        ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Refused | ErrorKind::CircuitOpen => {
            Exit::Unavailable
        }
        ErrorKind::AgentError | ErrorKind::Rejected | ErrorKind::InvalidReply | ErrorKind::TooLarge | ErrorKind::Canceled => Exit::Failed,
    };
    let hint = if error.message.starts_with("HTTP 401") || error.message.starts_with("HTTP 403") {
        Some("name the variable that holds your token with --token-env, or send a --header")
    } else if is(&error, ErrorCode::TaskNotFound) {
        Some("`gantry task list URL` shows the tasks that are yours")
    } else if is(&error, ErrorCode::MethodNotFound) || is(&error, ErrorCode::VersionNotSupported) {
        Some("--dialect chooses another version of A2A")
    } else if is(&error, ErrorCode::ExtensionSupportRequired) {
        Some("name the extension with --header 'A2A-Extensions: URI'")
    } else {
        None
    };
    Failure { hint: hint.map(str::to_owned), ..Failure::new(exit, error.to_string()) }
}

/// Whether an agent answered with this code.
pub(super) fn is(error: &agent::Error, code: ErrorCode) -> bool {
    error.code == Some(i64::from(code.number()))
}

fn no_card(error: agent::Error, arguments: &CalleeArguments) -> Failure {
    let answered = matches!(error.kind, ErrorKind::Rejected | ErrorKind::InvalidReply);
    let failure = Failure { exit: Exit::Unavailable, ..failure(error) };
    if answered && failure.hint.is_none() {
        let url = &arguments.url;
        return failure.hint(format!("give the URL of its card, or call {url} without one: --dialect 1.0 or --dialect 0.3"));
    }
    failure
}

async fn within<T>(timeout: Option<(Duration, Instant)>, work: impl Future<Output = T>) -> Result<T, Failure> {
    match timeout {
        None => Ok(work.await),
        Some((timeout, deadline)) => tokio::time::timeout_at(deadline, work).await.map_err(|_| {
            Failure::unavailable(format!("no answer within {}", crate::time::humanize(timeout))).hint("--timeout gives it longer")
        }),
    }
}

/// A URL as people write it: `localhost:8000` is one.
fn parse(text: &str) -> Result<Url, Failure> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    Url::parse(&whole).map_err(|error| Failure::usage(format!("`{text}` is not a URL: {error}")).hint("for example http://localhost:8000"))
}

fn is_card(url: &Url) -> bool {
    url.path().ends_with(".json") || url.path().ends_with(PLAIN_CARD_PATH)
}

fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

/// The host of a URL under all its names: those of this machine's loopback are one host.
fn authorities(url: &Url) -> Vec<String> {
    const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];
    match url.host_str() {
        Some(host) if LOOPBACK.contains(&host) => {
            LOOPBACK.iter().map(|host| format!("{host}:{}", url.port_or_known_default().unwrap_or_default())).collect()
        }
        _ => vec![authority(url)],
    }
}

/// Errors name the header, never its value: that may be a secret.
fn read_header(text: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let (name, value) =
        text.split_once(':').ok_or_else(|| Failure::usage("a --header has no colon").hint("for example --header 'X-API-Key: …'"))?;
    let (name, value) = (name.trim(), value.trim());
    let wrong = |why: &str| Failure::usage(format!("the header `{name}` cannot be sent: {why}"));
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("that is not the name of a header"))?;
    if OWN_HEADERS.contains(&key.as_str()) {
        return Err(wrong("it belongs to the connection"));
    }
    let value = HeaderValue::from_str(value).map_err(|_| wrong("its value holds characters that a header cannot"))?;
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_as_people_write_them() {
        for (text, expected) in [
            ("localhost:8000", Some("localhost:8000")),
            ("http://127.0.0.1:1/a", Some("127.0.0.1:1")),
            ("https://agent.example", Some("agent.example:443")),
            ("http://", None),
            ("a b", None),
        ] {
            assert_eq!(parse(text).ok().map(|url| authority(&url)).as_deref(), expected, "{text}");
        }
        let loopback = authorities(&parse("http://127.0.0.1:8000").unwrap());
        assert!(loopback.contains(&"localhost:8000".to_owned()) && loopback.len() == 3, "{loopback:?}");
        assert_eq!(authorities(&parse("https://agent.example/x").unwrap()), ["agent.example:443"]);
    }

    #[test]
    fn headers_that_cannot_be_sent_do_not_show_their_value() {
        assert!(read_header("X-Api-Key:  canary ").is_ok_and(|(name, value)| name == "x-api-key" && value == "canary"));
        for (text, part) in [
            ("canary", "no colon"),
            ("a b: canary", "not the name of a header"),
            ("Host: canary", "belongs to the connection"),
            ("X: canary\r\nY: 1", "cannot be sent"),
        ] {
            let failure = read_header(text).unwrap_err().to_string();
            assert!(failure.contains(part) && !failure.contains("canary"), "{failure}");
        }
    }
}
