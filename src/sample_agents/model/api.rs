//! Asks a model over HTTP, in the words of OpenAI, Anthropic or Ollama.
//!
//! Errors repeat status and the start of the reply, never the prompt and never the key.

use genai::adapter::AdapterKind;
use genai::chat::{ChatMessage, ChatRequest};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ServiceTarget};

use super::super::options::{ApiKey, Provider};
use super::super::words::shorten;
use super::prompt::Prompt;
use crate::{http_client, limits};

/// Characters of an error reply that are repeated.
const REPLY_CHARS_MAX: usize = 300;

/// A model behind an API.
pub(super) struct Api {
    client: Client,
    target: ServiceTarget,
    key: String,
}

impl Api {
    /// A model; without a base URL, at its provider's own.
    pub(super) fn new(provider: Provider, model: String, base_url: Option<String>, api_key: Option<ApiKey>) -> Result<Self, String> {
        let (kind, home) = match provider {
            Provider::OpenAi => (AdapterKind::OpenAI, "https://api.openai.com/v1/"),
            Provider::Anthropic => (AdapterKind::Anthropic, "https://api.anthropic.com/v1/"),
            Provider::Ollama => (AdapterKind::Ollama, "http://localhost:11434/"),
        };
        let key = api_key.map(ApiKey::into_text).unwrap_or_default();
        let endpoint = Endpoint::from_owned(base_url.unwrap_or_else(|| home.to_owned()));
        let target = ServiceTarget { endpoint, auth: AuthData::Key(key.clone()), model: ModelIden::new(kind, model) };
        // Whoever came first may have installed the same provider.
        _ = rustls::crypto::ring::default_provider().install_default();
        let http = http_client::patient(reqwest::Client::builder())
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .timeout(limits::SAMPLE_SKILL_TIMEOUT)
            // A redirect would carry prompt and key elsewhere.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| format!("cannot set up HTTP: {error}"))?;
        let client = Client::builder().with_reqwest(http).build().map_err(|_| "cannot set up the model client".to_owned())?;
        Ok(Self { client, target, key })
    }

    /// Asks once.
    pub(super) async fn ask(&self, prompt: &Prompt) -> Result<String, String> {
        let request = ChatRequest::new(vec![ChatMessage::system(&prompt.instructions), ChatMessage::user(&prompt.data)]);
        let response = self.client.exec_chat(self.target.clone(), request, None).await.map_err(|error| self.describe(error))?;
        response.content.into_joined_texts().ok_or_else(|| "the answer holds no text".to_owned())
    }

    fn describe(&self, error: genai::Error) -> String {
        use genai::webc::Error as Web;
        let cause = match error {
            genai::Error::WebModelCall { webc_error, .. } | genai::Error::WebAdapterCall { webc_error, .. } => webc_error,
            _ => return "the service's reply is not what its API promises".to_owned(),
        };
        let said = match cause {
            Web::ResponseFailedStatus { status, body, .. } => format!("HTTP {status}: {}", shorten(body.trim(), REPLY_CHARS_MAX)),
            Web::ResponseFailedNotJson { content_type, .. } => format!("the reply is {}, not JSON", shorten(&content_type, 80)),
            Web::ResponseFailedInvalidJson { .. } | Web::JsonValueExt(_) => "the reply is not what its API promises".to_owned(),
            Web::Reqwest(error) if error.is_timeout() => "no answer in time".to_owned(),
            Web::Reqwest(error) if error.is_connect() => "the service cannot be reached; check its base URL and that it runs".to_owned(),
            Web::Reqwest(_) => "the connection broke".to_owned(),
        };
        let plain: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // Some services repeat the key they refuse.
        if self.key.len() < 4 { plain } else { plain.replace(&self.key, "…") }
    }
}
