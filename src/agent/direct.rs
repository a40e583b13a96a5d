//! An agent's A2A methods as they are: messages, tasks and events, not the values of skills.
//!
//! Used by the client commands of `cli`. The same HTTP, guard, bounds and dialects as [`Client::call`]; but nothing is
//! repeated, followed or canceled on its own, and nobody but the caller sets a deadline.

use std::sync::Arc;

use url::Url;

use super::client::Client;
use super::endpoint::{Endpoint, Opened as Answered, Wire};
use super::error::{Error, ErrorKind, Failure};
use super::stream::Events;
use crate::a2a::{
    Dialect, Interface, ListTasksParams, ListTasksResult, Method, SendMessageParams, SendMessageResponse, StreamResponse, Task,
};

/// One A2A interface of an agent.
pub struct Direct {
    endpoint: Arc<Endpoint>,
    client: Client,
    url: Url,
    agent: String,
}

/// What a message that asked for a stream was answered with. Agents may answer at once instead.
pub enum Opened {
    /// A stream.
    Updates(Updates),
    /// The whole answer.
    Reply(SendMessageResponse),
}

/// The events of a stream.
pub struct Updates {
    endpoint: Arc<Endpoint>,
    events: Events,
    id: String,
    at: Place,
}

impl Client {
    /// The methods of one interface. `agent` is what errors call it; `id` begins the ids of the requests, so that logs on
    /// both sides meet.
    pub fn direct(&self, agent: &str, interface: &Interface, id: &str) -> Result<Direct, Error> {
        let build = || {
            let wire = match interface.dialect {
                Dialect::A2a1 => Wire::V1,
                Dialect::A2a03 => Wire::V03,
                Dialect::Plain => {
                    let why = "it speaks plain JSON-RPC, which has no messages and tasks; only A2A 1.0 and 0.3 have";
                    return Err(Failure::new(ErrorKind::Refused, why));
                }
            };
            let http = self.http();
            let url = http.url(&interface.url)?;
            Ok((Arc::new(Endpoint::new(http, wire, interface, id)?), url))
        };
        let (endpoint, url) = build().map_err(|failure| failure.at(agent, Method::SendMessage.v1()))?;
        Ok(Direct { endpoint, client: self.clone(), url: url.as_ref().clone(), agent: agent.to_owned() })
    }
}

impl Direct {
    /// `SendMessage`. The interface's tenant is put in where the parameters have none.
    pub async fn send_message(&self, params: SendMessageParams) -> Result<SendMessageResponse, Error> {
        let at = self.place(Method::SendMessage);
        match self.endpoint.send(&self.with_tenant(params), false).await.map_err(|failure| at.error(failure))? {
            Answered::Reply(reply) => Ok(reply),
            Answered::Stream(..) => Err(at.error(Failure::invalid("a stream that nobody asked for"))),
        }
    }

    /// `SendStreamingMessage`.
    pub async fn stream(&self, params: SendMessageParams) -> Result<Opened, Error> {
        let at = self.place(Method::SendStreamingMessage);
        match self.endpoint.send(&self.with_tenant(params), true).await.map_err(|failure| at.error(failure))? {
            Answered::Reply(reply) => Ok(Opened::Reply(reply)),
            Answered::Stream(events, id) => Ok(Opened::Updates(Updates { endpoint: Arc::clone(&self.endpoint), events, id, at })),
        }
    }

    /// `SubscribeToTask`.
    pub async fn subscribe(&self, task_id: &str) -> Result<Updates, Error> {
        let at = self.place(Method::SubscribeToTask);
        let (events, id) = self.endpoint.subscribe(task_id).await.map_err(|failure| at.error(failure))?;
        Ok(Updates { endpoint: Arc::clone(&self.endpoint), events, id, at })
    }

    /// `GetTask`. How many messages of its history are wanted: unset as the agent likes, 0 none.
    pub async fn get_task(&self, task_id: &str, history_length: Option<u32>) -> Result<Task, Error> {
        let found = self.endpoint.task_with(task_id, history_length).await;
        found.map(|(task, _)| task).map_err(|failure| self.place(Method::GetTask).error(failure))
    }

    /// `CancelTask`.
    pub async fn cancel_task(&self, task_id: &str) -> Result<Task, Error> {
        self.endpoint.cancel(task_id).await.map_err(|failure| self.place(Method::CancelTask).error(failure))
    }

    /// `ListTasks`, one page. 0.3 has no such method.
    pub async fn list_tasks(&self, mut params: ListTasksParams) -> Result<ListTasksResult, Error> {
        params.tenant = params.tenant.or_else(|| self.endpoint.tenant());
        self.endpoint.list(&params).await.map_err(|failure| self.place(Method::ListTasks).error(failure))
    }

    fn with_tenant(&self, mut params: SendMessageParams) -> SendMessageParams {
        params.tenant = params.tenant.or_else(|| self.endpoint.tenant());
        params
    }

    fn place(&self, method: Method) -> Place {
        Place { client: self.client.clone(), url: self.url.clone(), agent: self.agent.clone(), method }
    }
}

impl Updates {
    /// The next event; `None` at the end. Safe to drop between events only: an event that was being read is lost with it.
    pub async fn next(&mut self) -> Result<Option<StreamResponse>, Error> {
        let read = async {
            match self.events.next().await? {
                Some(data) => self.endpoint.event(&data, &self.id).map(Some),
                None => Ok(None),
            }
        };
        read.await.map_err(|failure| self.at.error(failure))
    }
}

/// Where something failed. An agent may repeat our credential in its error; ours must not.
struct Place {
    client: Client,
    url: Url,
    agent: String,
    method: Method,
}

impl Place {
    fn error(&self, failure: Failure) -> Error {
        self.client.hidden(failure, &self.url).at(&self.agent, self.method.v1())
    }
}
