//! What a caller of [`start`](super::start) may choose. Data only: whoever reads the environment hands it in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

/// The agents, in the order of their ports.
pub const AGENT_NAMES: [&str; 6] = ["plan-agent", "build-agent", "test-agent", "analysis-agent", "content-agent", "data-agent"];
/// The ports they take when nobody says otherwise.
pub const PORTS: [u16; 6] = [8001, 8002, 8003, 8004, 8005, 8006];

/// How the sample agents are started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address to listen on.
    pub host: IpAddr,
    /// One port for each of [`AGENT_NAMES`]; 0 lets the system choose.
    pub ports: [u16; 6],
    /// The model to ask; without one the deterministic stand-ins answer.
    pub model: Option<ModelOptions>,
}

impl Default for Options {
    fn default() -> Self {
        Self { host: IpAddr::V4(Ipv4Addr::LOCALHOST), ports: PORTS, model: None }
    }
}

/// Where a command gets its prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// On standard input.
    Stdin,
    /// As the last argument.
    Argument,
}

/// Which service a model is asked through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// OpenAI, and every server that speaks its chat completions.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// A local Ollama.
    Ollama,
}

/// The model the agents ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelOptions {
    /// A program that answers on standard output, such as `claude -p`.
    Command {
        /// The program and its arguments; never passed through a shell.
        argv: Vec<String>,
        /// How it gets the prompt.
        prompt: Prompt,
    },
    /// A model behind an HTTP API.
    Api {
        /// The kind of API.
        provider: Provider,
        /// The model's name there.
        model: String,
        /// The API's base URL; without one, the provider's own.
        base_url: Option<String>,
        /// The key, if the API wants one.
        api_key: Option<ApiKey>,
    },
}

/// A secret that never shows in logs or errors.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Wraps the key.
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// Why a text does not name a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelOptionsError {
    /// The part before the colon is none of the known ones.
    #[error(
        "`{0}` does not name a model: write `command:claude -p`, `command-argument:PROGRAM …`, `openai:MODEL[@URL]`, `anthropic:MODEL[@URL]` or `ollama:MODEL[@URL]`"
    )]
    Form(String),
    /// A command without a program.
    #[error("`{0}` names no program after the colon")]
    NoProgram(String),
    /// A quote that is opened and not closed.
    #[error("a quote in `{0}` is not closed")]
    OpenQuote(String),
    /// A base URL that is not one.
    #[error("`{0}` is not an http or https URL")]
    Url(String),
}

impl ModelOptions {
    /// Reads `command:claude -p` (prompt on standard input), `command-argument:program --flag` (prompt as last argument),
    /// `openai:gpt-4o`, `openai:local-model@http://127.0.0.1:8080/v1/`, `anthropic:…`, `ollama:llama3`.
    ///
    /// Arguments are split at blanks; quotes keep them together. The key is handed in, because only the configuration reads the
    /// environment.
    pub fn parse(text: &str, api_key: Option<ApiKey>) -> Result<Self, ModelOptionsError> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| ModelOptionsError::Form(text.to_owned()))?;
        let provider = match kind.trim() {
            "command" => return Self::command(text, rest, Prompt::Stdin),
            "command-argument" => return Self::command(text, rest, Prompt::Argument),
            "openai" => Provider::OpenAi,
            "anthropic" => Provider::Anthropic,
            "ollama" => Provider::Ollama,
            _ => return Err(ModelOptionsError::Form(text.to_owned())),
        };
        let (model, base_url) = match rest.split_once('@') {
            Some((model, url)) => (model.trim(), Some(base_url(url.trim())?)),
            None => (rest.trim(), None),
        };
        if model.is_empty() {
            return Err(ModelOptionsError::Form(text.to_owned()));
        }
        Ok(Self::Api { provider, model: model.to_owned(), base_url, api_key })
    }

    fn command(text: &str, rest: &str, prompt: Prompt) -> Result<Self, ModelOptionsError> {
        let argv = split_arguments(rest).ok_or_else(|| ModelOptionsError::OpenQuote(text.to_owned()))?;
        if argv.first().is_none_or(String::is_empty) {
            return Err(ModelOptionsError::NoProgram(text.to_owned()));
        }
        Ok(Self::Command { argv, prompt })
    }

    /// What is asked, for people: `openai gpt-4o` or the program's name. Holds no arguments and no key.
    pub fn label(&self) -> String {
        match self {
            Self::Command { argv, .. } => {
                let program = argv.first().map_or("", String::as_str);
                format!("command {}", program.rsplit('/').next().unwrap_or(program))
            }
            Self::Api { provider, model, .. } => {
                let provider = match provider {
                    Provider::OpenAi => "openai",
                    Provider::Anthropic => "anthropic",
                    Provider::Ollama => "ollama",
                };
                format!("{provider} {model}")
            }
        }
    }
}

/// Checks the URL and ends it with a slash, because paths are joined to it.
fn base_url(text: &str) -> Result<String, ModelOptionsError> {
    let url = url::Url::parse(text).map_err(|_| ModelOptionsError::Url(text.to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(ModelOptionsError::Url(text.to_owned()));
    }
    let mut url = url.to_string();
    if !url.ends_with('/') {
        url.push('/');
    }
    Ok(url)
}

/// Splits at blanks, keeping quoted parts together. `None` if a quote stays open.
fn split_arguments(text: &str) -> Option<Vec<String>> {
    let (mut arguments, mut current, mut quote) = (Vec::new(), None::<String>, None);
    for character in text.chars() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '"' | '\'') => {
                quote = Some(character);
                current.get_or_insert_default();
            }
            (None, blank) if blank.is_whitespace() => arguments.extend(current.take()),
            (_, other) => current.get_or_insert_default().push(other),
        }
    }
    arguments.extend(current);
    quote.is_none().then_some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<ModelOptions, ModelOptionsError>) {
        assert_eq!(ModelOptions::parse(text, None), expected, "{text}");
    }

    fn command(argv: &[&str], prompt: Prompt) -> Result<ModelOptions, ModelOptionsError> {
        Ok(ModelOptions::Command { argv: argv.iter().map(|&part| part.to_owned()).collect(), prompt })
    }

    fn api(provider: Provider, model: &str, base_url: Option<&str>) -> Result<ModelOptions, ModelOptionsError> {
        Ok(ModelOptions::Api { provider, model: model.to_owned(), base_url: base_url.map(str::to_owned), api_key: None })
    }

    #[test]
    fn models_are_read() {
        check("command:claude -p", command(&["claude", "-p"], Prompt::Stdin));
        check("command:sh -c 'cat \"$0\"' \"a b\" ''", command(&["sh", "-c", "cat \"$0\"", "a b", ""], Prompt::Stdin));
        check("command-argument:llm", command(&["llm"], Prompt::Argument));
        check("openai:gpt-4o", api(Provider::OpenAi, "gpt-4o", None));
        check("openai:m@http://127.0.0.1:9/v1", api(Provider::OpenAi, "m", Some("http://127.0.0.1:9/v1/")));
        check("ollama:llama3:8b", api(Provider::Ollama, "llama3:8b", None));
        check("anthropic: claude ", api(Provider::Anthropic, "claude", None));
    }

    #[test]
    fn what_names_no_model_is_refused() {
        check("gpt-4o", Err(ModelOptionsError::Form("gpt-4o".to_owned())));
        check("openai:", Err(ModelOptionsError::Form("openai:".to_owned())));
        check("bard:x", Err(ModelOptionsError::Form("bard:x".to_owned())));
        check("command:  ", Err(ModelOptionsError::NoProgram("command:  ".to_owned())));
        check("command:''", Err(ModelOptionsError::NoProgram("command:''".to_owned())));
        check("command:sh 'x", Err(ModelOptionsError::OpenQuote("command:sh 'x".to_owned())));
        check("openai:m@ftp://x/", Err(ModelOptionsError::Url("ftp://x/".to_owned())));
        check("openai:m@nowhere", Err(ModelOptionsError::Url("nowhere".to_owned())));
    }

    #[test]
    fn labels_and_debug_output_hold_no_secrets() {
        let options = ModelOptions::parse("openai:m", Some(ApiKey::new("sk-123"))).unwrap();
        assert!(!format!("{options:?}").contains("sk-123"));
        assert_eq!(options.label(), "openai m");
        assert_eq!(ModelOptions::parse("command:/usr/bin/llm --key sk", None).unwrap().label(), "command llm");
    }
}
