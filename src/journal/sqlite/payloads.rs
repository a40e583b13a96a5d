//! Large values of events: split off when an event is written, kept once each by digest, put back and checked when it is read.
//!
//! They stand in the same database as the events and are stored in the same transaction, so that an event never names a value that is
//! not on disk, and a value that nothing names does not outlive the transaction that forgot its last run. An event's body has `null`
//! where a value was; where that is stands in a table of its own, so that nothing in the data can be taken for a reference.

use std::io::{self, Write};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::ids::RunId;
use crate::interpreter::Event;
use crate::journal::Error;
use crate::{json, limits};

/// An event as it is written.
#[derive(Debug)]
pub(super) struct Stored {
    body: Vec<u8>,
    payloads: Vec<Payload>,
}

/// A value that was split off.
#[derive(Debug)]
struct Payload {
    /// A JSON pointer into the event.
    place: String,
    digest: [u8; 32],
    body: Vec<u8>,
}

/// An event as it is found, before it is checked.
#[derive(Debug)]
pub(super) struct Found {
    body: Vec<u8>,
    /// How many values were split off when it was written.
    expected: usize,
    payloads: Vec<FoundPayload>,
}

/// A value that was split off, as it is found.
#[derive(Debug)]
struct FoundPayload {
    place: String,
    digest: Vec<u8>,
    /// None when it is not there.
    body: Option<Vec<u8>>,
}

/// Writes an event down. One that is small, as almost all are, is written once.
pub(super) fn encode(event: &Event) -> Result<Stored, Error> {
    let mut payloads = Vec::new();
    let is_large = event.values().any(|(_, value)| json::weighs_more_than(value, limits::PAYLOAD_INLINE_BYTES_MAX));
    let slim = is_large.then(|| without_large_values(event, &mut payloads));
    let body = write_down(slim.as_ref().unwrap_or(event), &mut payloads);
    body.map(|body| Stored { body, payloads }).map_err(|error| Error::Failed(format!("an event cannot be written: {error}")))
}

/// The event without its large values. Only what stays beside them is copied.
fn without_large_values(event: &Event, payloads: &mut Vec<Payload>) -> Event {
    let mut slim = event.clone();
    for (place, value) in slim.values_mut() {
        if let Some(rest) = split(value, &mut place.to_owned(), payloads).rest {
            *value = Arc::new(rest);
        }
    }
    slim
}

/// The JSON of an event. When it is large though none of its values is, those of its parts that are stand aside.
fn write_down(event: &Event, payloads: &mut Vec<Payload>) -> serde_json::Result<Vec<u8>> {
    let mut small = Small { body: Vec::with_capacity(256), is_full: false };
    match serde_json::to_writer(&mut small, event) {
        Ok(()) => return Ok(small.body),
        Err(_) if small.is_full => {}
        Err(error) => return Err(error),
    }
    let mut value = serde_json::to_value(event)?;
    if let Value::Object(members) = &mut value {
        for (name, member) in members {
            if let Some(rest) = split(member, &mut format!("/{}", escaped(name)), payloads).rest {
                *member = rest;
            }
        }
    }
    serde_json::to_vec(&value)
}

/// Takes writes as long as they stay within the limit.
struct Small {
    body: Vec<u8>,
    is_full: bool,
}

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.body.len() + bytes.len() > limits::PAYLOAD_INLINE_BYTES_MAX {
            self.is_full = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A value of which what is too large stands aside.
struct Split {
    /// How many bytes stay, escapes not counted.
    bytes: usize,
    /// What stays, with `null` where something stood; none when all of it does.
    rest: Option<Value>,
}

/// Splits off the smallest values that are too large, from the inside out, so that a text passed on in another object is the same
/// value. Depth is bounded by whoever read the value.
fn split(value: &Value, place: &mut String, payloads: &mut Vec<Payload>) -> Split {
    let end = place.len();
    let (mut bytes, mut rest) = (json::weight_alone(value), None);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(items) => {
            let mut kept: Option<Vec<Value>> = None;
            for (index, item) in items.iter().enumerate() {
                place.push_str(&format!("/{index}"));
                let inner = split(item, place, payloads);
                place.truncate(end);
                bytes += usize::from(index > 0) + inner.bytes;
                match (inner.rest, &mut kept) {
                    (Some(rest), kept) => kept.get_or_insert_with(|| items[..index].to_vec()).push(rest),
                    (None, Some(kept)) => kept.push(item.clone()),
                    (None, None) => {}
                }
            }
            rest = kept.map(Value::Array);
        }
        Value::Object(members) => {
            let mut kept: Option<Map<String, Value>> = None;
            for (index, (name, member)) in members.iter().enumerate() {
                place.push('/');
                place.push_str(&escaped(name));
                let inner = split(member, place, payloads);
                place.truncate(end);
                bytes += json::weight_of_text(name) + 1 + usize::from(index > 0) + inner.bytes;
                let before = || members.iter().take(index).map(|(name, member)| (name.clone(), member.clone())).collect();
                match (inner.rest, &mut kept) {
                    (Some(rest), kept) => drop(kept.get_or_insert_with(before).insert(name.clone(), rest)),
                    (None, Some(kept)) => drop(kept.insert(name.clone(), member.clone())),
                    (None, None) => {}
                }
            }
            rest = kept.map(Value::Object);
        }
    }
    if bytes <= limits::PAYLOAD_INLINE_BYTES_MAX {
        return Split { bytes, rest };
    }
    let body = json::bytes(rest.as_ref().unwrap_or(value));
    payloads.push(Payload { place: place.clone(), digest: Sha256::digest(&body).into(), body });
    Split { bytes: json::weight_alone(&Value::Null), rest: Some(Value::Null) }
}

/// A name within a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Stores an event. A value that is there already is not stored again, but looked at: what was damaged since is made good, also for the
/// runs that have it from before.
pub(super) fn insert(db: &Connection, id: i64, seq: i64, event: &Stored) -> rusqlite::Result<()> {
    let count = event.payloads.len() as i64;
    db.prepare_cached("INSERT INTO events (id, seq, body, payloads) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![id, seq, event.body, count])?;
    for payload in &event.payloads {
        let mut look = db.prepare_cached("SELECT body = ?2 FROM blobs WHERE digest = ?1")?;
        let is_whole = look.query_row(params![payload.digest, payload.body], |row| row.get::<_, bool>(0)).optional()?;
        let write = match is_whole {
            Some(true) => None,
            None => Some("INSERT INTO blobs (digest, body) VALUES (?1, ?2)"),
            Some(false) => {
                tracing::warn!(digest = %hex::encode(payload.digest), "a value in the journal was damaged, and is written anew");
                Some("UPDATE blobs SET body = ?2 WHERE digest = ?1")
            }
        };
        if let Some(write) = write {
            db.prepare_cached(write)?.execute(params![payload.digest, payload.body])?;
        }
        db.prepare_cached("INSERT INTO payloads (id, seq, place, digest) VALUES (?1, ?2, ?3, ?4)")?.execute(params![
            id,
            seq,
            payload.place,
            payload.digest
        ])?;
    }
    Ok(())
}

/// Forgets the events of a run, and the values that no other event has.
pub(super) fn delete(db: &Connection, id: i64) -> rusqlite::Result<()> {
    let digests: Vec<Vec<u8>> = db
        .prepare_cached("SELECT DISTINCT digest FROM payloads WHERE id = ?1")?
        .query_map([id], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    db.prepare_cached("DELETE FROM payloads WHERE id = ?1")?.execute([id])?;
    db.prepare_cached("DELETE FROM events WHERE id = ?1")?.execute([id])?;
    for digest in digests {
        db.prepare_cached("DELETE FROM blobs WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM payloads WHERE payloads.digest = ?1)")?
            .execute([digest])?;
    }
    Ok(())
}

/// The first events of a run, up to `count`, as of one moment.
pub(super) fn select(db: &Connection, run: &str, count: i64) -> rusqlite::Result<Vec<Found>> {
    // One moment for both queries: otherwise a run that is forgotten between them would be seen without its values.
    let moment = db.unchecked_transaction()?;
    let mut statement = moment.prepare_cached(
        "SELECT body, payloads FROM events JOIN runs ON runs.id = events.id WHERE run = ?1 AND events.seq < ?2 ORDER BY events.seq",
    )?;
    let rows = statement.query_map(params![run, count], |row| {
        Ok(Found { body: row.get(0)?, expected: row.get::<_, i64>(1)?.try_into().unwrap_or(usize::MAX), payloads: Vec::new() })
    })?;
    let mut events: Vec<Found> = rows.collect::<rusqlite::Result<_>>()?;
    if events.iter().all(|event| event.expected == 0) {
        return Ok(events);
    }
    // By place: what was split off around a value comes before the value.
    let mut statement = moment.prepare_cached(
        "SELECT payloads.seq, place, payloads.digest, blobs.body FROM payloads JOIN runs ON runs.id = payloads.id \
         LEFT JOIN blobs ON blobs.digest = payloads.digest WHERE run = ?1 AND payloads.seq < ?2 ORDER BY payloads.seq, place",
    )?;
    let mut rows = statement.query(params![run, count])?;
    while let Some(row) = rows.next()? {
        let seq = usize::try_from(row.get::<_, i64>(0)?).unwrap_or(usize::MAX);
        if let Some(event) = events.get_mut(seq) {
            event.payloads.push(FoundPayload { place: row.get(1)?, digest: row.get(2)?, body: row.get(3)? });
        }
    }
    Ok(events)
}

/// Reads an event. What is not as it was written is refused, never guessed.
pub(super) fn decode(run: &RunId, seq: usize, found: Found) -> Result<Event, Error> {
    let damaged = |what: String| Error::Damaged { run: run.clone(), what };
    let unreadable = |error: serde_json::Error| damaged(format!("event {seq} cannot be read: {error}"));
    if found.expected == 0 {
        return serde_json::from_slice(&found.body).map_err(unreadable);
    }
    let mut value: Value = serde_json::from_slice(&found.body).map_err(unreadable)?;
    let about = match value.get("path").and_then(Value::as_str) {
        Some(path) => format!("event {seq}, of step `{path}`"),
        None => format!("event {seq}"),
    };
    if found.payloads.len() != found.expected {
        let (there, expected) = (found.payloads.len(), found.expected);
        return Err(damaged(format!("of {expected} large values of {about}, {there} are known")));
    }
    for payload in found.payloads {
        let name = format!("the value sha256:{} of {about}, `{}`,", hex::encode(&payload.digest), payload.place);
        let body = payload.body.ok_or_else(|| damaged(format!("{name} is missing")))?;
        if *Sha256::digest(&body) != *payload.digest {
            return Err(damaged(format!("{name} is not what its digest says")));
        }
        let restored = serde_json::from_slice(&body).map_err(|error| damaged(format!("{name} cannot be read: {error}")))?;
        *value.pointer_mut(&payload.place).ok_or_else(|| damaged(format!("{name} has no place")))? = restored;
    }
    serde_json::from_value(value).map_err(unreadable)
}

#[cfg(test)]
mod tests;
