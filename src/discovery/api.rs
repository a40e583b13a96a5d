//! The face of the module: what callers ask, over one registry or several.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tracing::warn;

use super::agents::{self, Given, Offers};
use super::awaited::Awaited;
use super::origin::{Origin, read_plan};
use super::slot::Tasks;
use super::{AgentEntry, Error, FoundAgent, FoundWorkflow, WorkflowEntry, push, workflows};
use crate::a2a::Card;
use crate::ids::Digest;
use crate::limits;
use crate::plan::Plan;
use crate::registry::{self, Pushed, Reference, Store, digest};

/// Opens the registry at a host that a reference names.
pub type Opener = Arc<dyn Fn(&str) -> Result<Arc<dyn Store>, registry::Error> + Send + Sync>;

/// How discovery behaves.
#[derive(Clone)]
pub struct Options {
    /// How long a tag or list that was read is trusted. A store that counts its changes is known to be unchanged without it.
    pub ttl: Duration,
    /// `host[:port]` under which the store itself is known, beside the host in its location: `localhost:5000`.
    pub hosts: Vec<String>,
    /// Opens other registries. Without it a reference to another host is refused: whoever may write a reference must not thereby
    /// choose where this process connects to.
    pub open: Option<Opener>,
}

impl Default for Options {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(5), hosts: Vec::new(), open: None }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("ttl", &self.ttl).field("hosts", &self.hosts).field("open", &self.open.is_some()).finish()
    }
}

/// Turns names into things. Cheap to share: put it in an `Arc`. Dropping it stops the lookups that are under way.
#[derive(Debug)]
pub struct Discovery {
    home: Arc<Origin>,
    others: Mutex<Vec<(String, Arc<Origin>)>>,
    given: RwLock<Arc<Given>>,
    tasks: Arc<Tasks>,
    awaited: Awaited,
    options: Options,
}

impl Discovery {
    /// Looks things up in `store`. Asks nothing yet, so that a registry that is down does not hinder the start.
    pub fn new(store: Arc<dyn Store>, options: Options) -> Self {
        let tasks = Arc::new(Tasks::default());
        let home = Arc::new(Origin::new(store, options.ttl, Arc::clone(&tasks)));
        Self { home, others: Mutex::default(), given: RwLock::default(), tasks, awaited: Awaited::default(), options }
    }

    /// Says that the registry did not answer when the process began, or that it has answered since.
    pub fn await_registry(&self, awaited: bool) {
        self.awaited.set(awaited);
    }

    /// Whether the registry has not answered since the process began: what fails for want of it may be waited for.
    pub fn awaits_registry(&self) -> bool {
        self.awaited.is_set()
    }

    /// Waits until it has answered; not at all when it was there from the beginning. Safe to drop.
    pub async fn registry_answers(&self) {
        self.awaited.is_over().await;
    }

    /// Reads a plan from text that is not in a registry. The plan is pinned by the text's digest.
    pub fn plan_from_text(&self, name: &str, text: &[u8]) -> Result<Arc<Plan>, Error> {
        read_plan(name, text, digest::sha256(text)).map(Arc::new)
    }

    /// The plan of a run that is in the journal: its text, pinned by the digest it was started with. Not checked against the text,
    /// since the digest may be a manifest's.
    pub fn plan_pinned(&self, text: &str, digest: &Digest) -> Result<Arc<Plan>, Error> {
        read_plan("journal", text.as_bytes(), digest.clone()).map(Arc::new)
    }

    /// `id`, `id:tag`, `id@sha256:…`, `host/repo:tag`, or the `metadata.id` of a workflow in a repository of another name.
    ///
    /// Of several versions an exact tag wins; a version that is no tag but the content's `metadata.version` is found too. Without a
    /// tag the highest semantic version is meant (pre-releases only when there is no release), without any version `latest`, without
    /// that the last tag by name. [`FoundWorkflow::choice`] says which rule decided, and whether the registry could be asked.
    ///
    /// A workflow that is cached goes on being found while the registry is away.
    pub async fn workflow(&self, reference: &str) -> Result<FoundWorkflow, Error> {
        let parsed = Reference::parse(reference).map_err(|error| Error::BadName(error.to_string()))?;
        let origin = match &parsed.registry {
            Some(host) if !self.is_home(host) => self.other(reference, host)?,
            _ => Arc::clone(&self.home),
        };
        workflows::find(&origin, reference, &parsed).await
    }

    /// Every workflow, one line each, by id.
    pub async fn workflows(&self) -> Result<Vec<WorkflowEntry>, Error> {
        Ok(self.workflow_list().await?.to_vec())
    }

    /// The same list, shared: cheap to ask for on every request.
    pub async fn workflow_list(&self) -> Result<Arc<[WorkflowEntry]>, Error> {
        Ok(workflows::list(&self.home, &self.home.ask()).await?.value)
    }

    /// The agent for a skill; `pin` as a step's `agent:`.
    ///
    /// Of several agents the choice is deterministic: a card given by hand, then the first by name. Does not wait while what is
    /// remembered is fresh.
    pub async fn agent(&self, skill: &str, pin: Option<&str>) -> Result<FoundAgent, Error> {
        let given = self.given();
        agents::find(&self.home, &given, skill, pin).await
    }

    /// Everybody who offers a skill, in the order in which [`Self::agent`] would choose. For who must choose by more than that.
    pub async fn offers(&self, skill: &str) -> Result<Offers, Error> {
        agents::offers(&self.home, self.given(), skill).await
    }

    /// One of them, by its place. Its card is looked at again when a call to it has failed lately; none when it offers the skill no
    /// longer.
    pub async fn take(&self, offers: &Offers, place: usize) -> Option<FoundAgent> {
        agents::take(&self.home, offers, place).await
    }

    /// Every agent, one line each, by name.
    pub async fn agents(&self) -> Result<Vec<AgentEntry>, Error> {
        let given = self.given();
        let read = agents::index(&self.home, &self.home.ask()).await?;
        Ok(agents::entries(&given, &read.value))
    }

    /// Adds a card beside the registry's; it goes before theirs. It takes the place of one that was added with the same name. Runs know it
    /// by the digest of what gantry would write of it.
    pub fn add_card(&self, card: Card) {
        let digest = digest::sha256(card.to_json().to_string().as_bytes());
        self.add_card_read(card, digest);
    }

    /// The same for a card that was read from bytes with this digest, by which runs know it.
    pub fn add_card_read(&self, card: Card, digest: Digest) {
        let mut given = self.given.write().unwrap_or_else(PoisonError::into_inner);
        let name = card.name.clone();
        match given.with(card, digest) {
            Some(more) => *given = Arc::new(more),
            None => warn!(agent = %name, limit = limits::AGENTS_MAX, "too many cards were given, this one is left out"),
        }
    }

    /// A call to this agent failed in a way that a moved agent or updated card explains: look again next time.
    ///
    /// Cheap and without effect for agents that are not known; however often it is called, the registry is asked about one agent at
    /// most once in [`limits::LOOK_AGAIN_PAUSE`].
    pub fn forget_agent(&self, name: &str) {
        agents::forget(&self.home, name);
    }

    /// Checks and pushes a workflow to `workflows/<id>`, or to another repository, under its version and the tags given.
    ///
    /// `latest` moves too, unless a higher version is there. A repository without `/` is put under `workflows/`. Pushing the same
    /// content again gives the same digest.
    pub async fn push_workflow(&self, name: &str, text: Bytes, repository: Option<&str>, tags: &[String]) -> Result<Pushed, Error> {
        push::workflow(&self.home, name, text, repository, tags).await
    }

    /// What a tag of a repository points at now, whatever was known before; none when there is no such tag.
    pub async fn tagged(&self, repository: &str, tag: &str) -> Result<Option<Digest>, Error> {
        Ok(self.home.digest(repository, tag, &self.home.ask_within(Duration::ZERO)).await?.value)
    }

    /// Checks and pushes a card to `agents/<name>`, or to another repository, under its version, if it has one that is semantic, and
    /// the tags given. `latest` moves as for workflows.
    pub async fn push_card(&self, json: Bytes, repository: Option<&str>, tags: &[String]) -> Result<Pushed, Error> {
        push::card(&self.home, json, repository, tags).await
    }

    /// Where [`push_card`](Self::push_card) puts the card of an agent of this name.
    pub fn repository_of_card(&self, name: &str, repository: Option<&str>) -> Result<String, Error> {
        push::repository_of_card(name, repository)
    }

    fn given(&self) -> Arc<Given> {
        Arc::clone(&self.given.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_home(&self, host: &str) -> bool {
        let location = self.home.store.location();
        let authority = location.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
        let host = same_loopback(host);
        self.options.hosts.iter().map(String::as_str).chain(authority).any(|known| same_loopback(known) == host)
    }

    fn other(&self, reference: &str, host: &str) -> Result<Arc<Origin>, Error> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, origin)) = others.iter().find(|(known, _)| known == host) {
            return Ok(Arc::clone(origin));
        }
        let Some(open) = &self.options.open else {
            return Err(
                self.unfit(reference, &format!("the registry `{host}` is another one, and references to others are not allowed here"))
            );
        };
        if others.len() == limits::REGISTRIES_MAX {
            return Err(self.unfit(reference, &format!("{} other registries are in use, which is the limit", limits::REGISTRIES_MAX)));
        }
        let origin = Arc::new(Origin::new(open(host)?, self.options.ttl, Arc::clone(&self.tasks)));
        others.push((host.to_owned(), Arc::clone(&origin)));
        Ok(origin)
    }

    fn unfit(&self, reference: &str, why: &str) -> Error {
        let reference = reference[..reference.floor_char_boundary(limits::ID_BYTES_MAX)].to_owned();
        Error::NoWorkflow { reference, location: self.home.store.location(), hint: format!(": {why}") }
    }
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

/// The names of this machine are one name.
fn same_loopback(host: &str) -> String {
    for name in ["localhost", "[::1]"] {
        if let Some(rest) = host.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with(':'))
        {
            return format!("127.0.0.1{rest}");
        }
    }
    host.to_ascii_lowercase()
}
