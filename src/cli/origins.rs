//! Where a process finds the agents of its runs, and how another one finds them there.
//!
//! It is noted in the data directory, so that a hint after the process has ended names a command that goes on with its runs. Whatever is
//! noted can be shown: an address that holds a secret is left out.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::exit::Failure;
use super::local::has_registry;
use crate::config::REGISTRY_PORT;
use crate::journal::DataDir;
use crate::sample_agents::ModelOptions;

/// What stands for the address of a registry that is not told.
const UNTOLD_REGISTRY: &str = "URL";
/// What stands for the place of a card that is not told.
const UNTOLD_CARD: &str = "CARD";

/// What stands for a model that is not told.
const UNTOLD_MODEL: &str = "MODEL";

/// Where the agents of runs are found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Origins {
    from: From,
    /// Cards given by hand: files by their whole path, and addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cards: Vec<String>,
    /// What the built-in agents ask, when it was given by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum From {
    /// `gantry up`: the registry of the data directory, and the built-in agents.
    Up,
    /// What is built in.
    Embedded,
    /// The registry at this address.
    Registry(String),
}

impl Origins {
    /// Those of `gantry up`.
    pub(super) fn up() -> Self {
        Self { from: From::Up, cards: Vec::new(), model: None }
    }

    /// The built-in agents.
    pub(super) fn built_in() -> Self {
        Self { from: From::Embedded, cards: Vec::new(), model: None }
    }

    /// Those of a registry.
    pub(super) fn registry(url: &str) -> Self {
        Self { from: From::Registry(told(url, UNTOLD_REGISTRY)), cards: Vec::new(), model: None }
    }

    /// The same, and agents by their cards in files or at addresses.
    pub(super) fn with_cards(self, cards: &[String]) -> Self {
        let whole = |card: &String| match std::path::absolute(card) {
            _ if is_address(card) => told(card, UNTOLD_CARD),
            Ok(path) => path.display().to_string(),
            Err(_) => card.clone(),
        };
        Self { cards: cards.iter().map(whole).collect(), ..self }
    }

    /// The same, with the model that the built-in agents ask. One behind an API is told; a command is its owner's, however it is spelled.
    pub(super) fn with_model(self, model: Option<&str>) -> Self {
        let shown = |model: &str| match ModelOptions::parse(model, None) {
            Ok(ModelOptions::Api { .. }) => told(model, UNTOLD_MODEL),
            Ok(ModelOptions::Command { .. }) | Err(_) => UNTOLD_MODEL.to_owned(),
        };
        Self { model: model.map(shown), ..self }
    }

    /// Notes it in a data directory that is held.
    pub(super) fn note(&self, directory: &mut DataDir) -> Result<(), Failure> {
        directory.note(&self.line()?).map_err(|error| Failure::of_journal(&error))
    }

    fn line(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| Failure::internal(error.to_string()))
    }

    /// What the last holder of a data directory noted; an older one noted nothing.
    pub(super) fn noted(path: &Path) -> Option<Self> {
        serde_json::from_str(&DataDir::noted(path)?).ok()
    }

    /// What to do so that the runs go on with the same agents: "start `gantry serve --embedded --data-dir D`", and what must come before.
    pub(super) fn start(&self, data_dir: &Path) -> String {
        let directory = word(&data_dir.display().to_string());
        let model = self.model.as_ref().map(|model| format!("--model {} ", word(model))).unwrap_or_default();
        let (serve, registry) = match &self.from {
            // Its own registry is there, and the built-in agents are, too.
            From::Up => return format!("start `gantry up {model}--data-dir {directory}`"),
            // It takes a model, and `gantry serve` does not.
            From::Embedded if self.cards.is_empty() && (self.model.is_some() || has_registry(data_dir)) => {
                return Self { from: From::Up, ..self.clone() }.start(data_dir);
            }
            From::Embedded if self.cards.is_empty() => return format!("start `gantry serve --embedded --data-dir {directory}`"),
            // No server takes cards by hand, so that they need a registry, with the built-in agents beside them.
            From::Embedded => {
                let registry = format!("http://localhost:{REGISTRY_PORT}");
                (format!("gantry serve --registry {registry} --port 0 --data-dir {directory}"), registry)
            }
            From::Registry(url) => (format!("gantry serve --registry {} --data-dir {directory}", word(url)), word(url)),
        };
        let (addresses, files): (Vec<&String>, Vec<&String>) = self.cards.iter().partition(|card| is_address(card) || *card == UNTOLD_CARD);
        let mut steps = Vec::new();
        if self.from == From::Embedded {
            steps.push(format!("start `gantry up {model}--ephemeral`"));
        }
        if !files.is_empty() {
            let files = files.iter().map(|file| word(file)).collect::<Vec<_>>().join(" ");
            steps.push(format!("`gantry agent push {files} --registry {registry}`"));
        }
        for address in addresses {
            steps.push(format!("`gantry agent push FILE --registry {registry}` with the card of {address} in FILE"));
        }
        steps.push(format!("start `{serve}`"));
        steps.join(", then ")
    }
}

/// What to do so that the runs of a directory go on, by what its last holder noted.
pub(super) fn start(runs: &Path, data_dir: &Path) -> String {
    match Origins::noted(runs) {
        Some(origins) => origins.start(data_dir),
        // `gantry up` keeps a registry of its own there, with the agents that its runs call.
        None if has_registry(data_dir) => Origins::up().start(data_dir),
        None => format!("start `gantry serve --data-dir {}`", word(&data_dir.display().to_string())),
    }
}

/// As a shell reads it as one word.
pub(super) fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:@%+=,-".contains(&byte) || byte >= 0x80;
    if !text.is_empty() && text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Whether a card is given by its address; else it is in a file.
pub(super) fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

/// The address, unless a name, a password or a token may stand in it.
fn told(address: &str, instead: &str) -> String {
    let tells = !address.contains(['@', '?', '#']) && !address.contains(char::is_control);
    if tells { address.to_owned() } else { instead.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_that_goes_on_has_the_same_agents() {
        let site = tempfile::tempdir().unwrap();
        let (plain, of_up) = (site.path().join("plain"), site.path().join("up"));
        std::fs::create_dir_all(of_up.join("registry")).unwrap();
        let cards = ["/c/one.json", "http://127.0.0.1:9/"].map(str::to_owned);
        let serve = "start `gantry serve --registry http://localhost:5000 --port 0";
        let push = "`gantry agent push /c/one.json --registry";
        let fetched = "with the card of http://127.0.0.1:9/ in FILE";
        for (origins, data_dir, expected) in [
            (Origins::up(), &plain, "start `gantry up".to_owned()),
            (Origins::built_in(), &plain, "start `gantry serve --embedded".to_owned()),
            (Origins::built_in(), &of_up, "start `gantry up".to_owned()),
            (Origins::registry("http://r:1"), &of_up, "start `gantry serve --registry http://r:1".to_owned()),
            (Origins::up().with_model(Some("ollama:m")), &plain, "start `gantry up --model ollama:m".to_owned()),
            (Origins::built_in().with_model(Some("ollama:a b")), &plain, "start `gantry up --model 'ollama:a b'".to_owned()),
            (Origins::built_in().with_model(Some("command:x --key y")), &plain, "start `gantry up --model MODEL".to_owned()),
            (Origins::registry("https://name:word@r:1"), &plain, "start `gantry serve --registry URL".to_owned()),
            (Origins::registry("r:1").with_cards(&cards[..1]), &plain, format!("{push} r:1`, then start `gantry serve --registry r:1")),
            (
                Origins::built_in().with_cards(&cards),
                &plain,
                format!(
                    "start `gantry up --ephemeral`, then {push} http://localhost:5000`, then `gantry agent push FILE --registry \
                     http://localhost:5000` {fetched}, then {serve}"
                ),
            ),
        ] {
            let expected = format!("{expected} --data-dir {}`", data_dir.display());
            assert_eq!(origins.start(data_dir), expected);
            origins.note(&mut DataDir::lock(&data_dir.join("runs")).unwrap()).unwrap();
            assert_eq!(start(&data_dir.join("runs"), data_dir), expected, "noted");
        }
    }

    #[test]
    fn nothing_secret_is_noted() {
        let site = tempfile::tempdir().unwrap();
        let mut held = DataDir::lock(site.path()).unwrap();
        let cards = ["http://me:hidden@a/", "https://a/?token=hidden"].map(str::to_owned);
        let models = [
            "command:ask --key hidden",
            "command :ask --key hidden",
            " command:ask --key hidden",
            "command-argument:ask --key hidden",
            "command:ask 'hidden",
            "hidden",
            "openai:m@https://hidden/",
        ];
        let of_models = models.map(|model| Origins::up().with_model(Some(model)));
        for origins in
            of_models.into_iter().chain([Origins::registry("http://me:hidden@r:5000"), Origins::registry("r:1").with_cards(&cards)])
        {
            origins.note(&mut held).unwrap();
            let lock = std::fs::read_to_string(site.path().join("lock")).unwrap();
            assert!(lock.contains("agents {") && !lock.contains("hidden"), "{lock}");
        }
        assert!(Origins::noted(site.path()).unwrap().start(site.path()).contains("with the card of CARD in FILE"));
    }

    #[test]
    fn a_place_with_a_blank_is_one_word() {
        let cards = ["/my cards/o'ne.json".to_owned()];
        let hint = Origins::registry("r:1").with_cards(&cards).start(Path::new("/my data"));
        let expected =
            r"`gantry agent push '/my cards/o'\''ne.json' --registry r:1`, then start `gantry serve --registry r:1 --data-dir '/my data'`";
        assert_eq!(hint, expected);
    }

    #[test]
    fn a_directory_of_which_nothing_is_noted_goes_on_as_well_as_can_be_told() {
        let site = tempfile::tempdir().unwrap();
        let (runs, data_dir) = (site.path().join("runs"), site.path());
        std::fs::create_dir(&runs).unwrap();
        for lock in ["", "process 7\n", "process 7\nagents nonsense\n", "process 7\nagents {\"from\":\"elsewhere\"}\n"] {
            std::fs::write(runs.join("lock"), lock).unwrap();
            assert_eq!(start(&runs, data_dir), format!("start `gantry serve --data-dir {}`", data_dir.display()), "{lock:?}");
        }
        std::fs::create_dir(data_dir.join("registry")).unwrap();
        assert_eq!(start(&runs, data_dir), format!("start `gantry up --data-dir {}`", data_dir.display()));
    }
}
