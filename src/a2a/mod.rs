//! The A2A data model: the 1.0 wire types, the 0.3 dialect, and agent cards of every kind that is met in practice.
//!
//! Words only: no I/O. Used by `agent` (calling), `server` (being called) and `discovery` (cards).
//! The types are gantry's own rather than a crate's: enums are closed, so that a new variant breaks the build; `null`
//! reads as absent, as ProtoJSON asks; and data parts are shared, so that a payload is never copied on its way.

mod error;
mod event;
mod lenient;
mod message;
mod method;
mod params;
mod task;

mod agent_card;
mod card;
mod card_read;
mod card_write;
pub mod extension;

mod number;
mod skill;
mod value;

pub mod v03;

pub use agent_card::{AgentCapabilities, AgentCard, AgentExtension, AgentInterface, AgentProvider, AgentSkill};
pub use card::{Card, CardError, Dialect, Interface, Skill};
pub use error::{ERROR_DOMAIN, ErrorCode, FieldViolation, RpcError};
pub use event::{SendMessageResponse, StreamResponse, TaskArtifactUpdate, TaskStatusUpdate};
pub use message::{Message, Part, PartContent, Role};
pub use method::Method;
pub use number::normalize_numbers;
pub use params::{
    AuthenticationInfo, CancelTaskParams, GetExtendedAgentCardParams, GetTaskParams, ListPushConfigsParams, ListPushConfigsResult,
    ListTasksParams, ListTasksResult, PushConfigIdParams, SendMessageConfiguration, SendMessageParams, SubscribeToTaskParams,
    TaskPushNotificationConfig,
};
pub use skill::{Addressed, SKILL_EXTENSION, SKILL_SCHEMAS_EXTENSION, SOLACE_SCHEMAS_EXTENSION, address, takes_data};
pub use task::{Artifact, Task, TaskState, TaskStatus};
pub(crate) use value::within_depth;
pub use value::{Shape, parts_value, reply_value, value_parts};

/// The header that names the version of the protocol. Absent or empty means 0.3.
pub const VERSION_HEADER: &str = "A2A-Version";
/// The header that lists the extensions a caller speaks.
pub const EXTENSIONS_HEADER: &str = "A2A-Extensions";
/// Where an agent's card is served.
pub const CARD_PATH: &str = "/.well-known/agent-card.json";
/// Where the prototype's agents serve their card.
pub const PLAIN_CARD_PATH: &str = "/agent-card";
