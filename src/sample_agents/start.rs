//! Starts the six agents: all listeners first, so that a taken port leaves nothing half started.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::agent::Agent;
use super::model::Model;
use super::options::Options;
use super::routes::{Served, routes};
use super::tasks::Tasks;
use super::{card, connection};
use crate::a2a::Card;

/// Why the agents did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else listens on the port.
    #[error("cannot start {agent}: port {port} on {host} is taken; stop what listens there or choose another port (0 takes any free one)")]
    PortTaken {
        /// The agent that wanted it.
        agent: &'static str,
        /// The address.
        host: IpAddr,
        /// The port.
        port: u16,
    },
    /// The address cannot be listened on.
    #[error("cannot start {agent}: cannot listen on {address}")]
    Listen {
        /// The agent that wanted it.
        agent: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The model cannot be set up.
    #[error("cannot use the model: {0}")]
    Model(String),
}

/// Agents that are running until their shutdown token is cancelled.
#[derive(Debug)]
pub struct Running {
    /// The agents in the order of their ports.
    pub agents: Vec<RunningAgent>,
    /// The servers; done when all have drained after shutdown.
    pub join: TaskTracker,
}

impl Running {
    /// Waits until all agents have stopped.
    pub async fn stopped(&self) {
        self.join.wait().await;
    }
}

/// One agent that answers.
#[derive(Debug, Clone)]
pub struct RunningAgent {
    /// Its name.
    pub name: &'static str,
    /// Its base URL, without a slash at the end.
    pub url: String,
    /// The A2A card it serves at `/.well-known/agent-card.json`.
    pub card: Value,
    /// The prototype's card it serves at `/agent-card`.
    pub plain_card: Value,
}

/// Binds all ports, then serves until `shutdown` is cancelled.
pub async fn start(options: Options, shutdown: CancellationToken) -> Result<Running, Error> {
    let model = options.model.map(Model::new).transpose().map_err(Error::Model)?.map(Arc::new);
    let mut bound = Vec::new();
    for (agent, port) in Agent::all(model.as_ref()).into_iter().zip(options.ports) {
        let (listener, address) = listen(agent.name, options.host, port).await?;
        bound.push((agent, listener, address));
    }
    let join = TaskTracker::new();
    let mut agents = Vec::new();
    for (agent, listener, address) in bound {
        let url = base_url(address);
        let card = card::card(&agent, &url);
        agents.push(running(&agent, &url, &card));
        // Tasks that outlive their calls are stopped once the connections have drained.
        let stop = CancellationToken::new();
        let served = Arc::new(Served::new(agent, &card, Tasks::new(join.clone(), stop.clone())));
        let serving = connection::serve(listener, routes(served), shutdown.clone());
        join.spawn(async move {
            let _stop = stop.drop_guard();
            serving.await;
        });
    }
    join.close();
    Ok(Running { agents, join })
}

/// The agents as they would be at these addresses, with their cards, without starting them.
pub fn cards(host: IpAddr, ports: [u16; 6]) -> Vec<RunningAgent> {
    let at = |(agent, port): (&Agent, u16)| {
        let url = base_url(SocketAddr::new(host, port));
        running(agent, &url, &card::card(agent, &url))
    };
    Agent::all(None).iter().zip(ports).map(at).collect()
}

fn running(agent: &Agent, url: &str, card: &Card) -> RunningAgent {
    RunningAgent { name: agent.name, url: url.to_owned(), card: card.to_json(), plain_card: card.to_plain_json() }
}

async fn listen(agent: &'static str, host: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), Error> {
    let address = SocketAddr::new(host, port);
    let fail = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AddrInUse => Error::PortTaken { agent, host, port },
        _ => Error::Listen { agent, address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}

/// The URL callers on this machine use; an unspecified address is reached by loopback.
fn base_url(address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    format!("http://{}", SocketAddr::new(host, address.port()))
}
