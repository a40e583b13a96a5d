//! The 0.3 dialect: the same model in other words.
//!
//! [`V03`] around a type of the 1.0 model reads and writes it as 0.3 JSON; both the client (calling agents that speak only
//! 0.3) and the server (when the version header is absent) use it. `GetTask`, `CancelTask` and `SubscribeToTask` have
//! parameters of one shape in both dialects and need no wrapper. Pure conversions: no I/O, nothing else.

mod message;
mod params;
mod task;

/// A type of the 1.0 model as it stands in 0.3 JSON.
///
/// ```
/// use gantry::a2a::{Part, v03::V03};
/// let json = serde_json::to_value(V03(&Part::text("hi"))).unwrap();
/// assert_eq!(json, serde_json::json!({ "kind": "text", "text": "hi" }));
/// let V03::<Part>(part) = serde_json::from_value(json).unwrap();
/// assert_eq!(part, Part::text("hi"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct V03<T>(pub T);

#[cfg(test)]
mod tests;
