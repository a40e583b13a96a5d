//! Finds runs by workflow, status, time, label and the beginning of their id, the latest first.
//!
//! Runs under way have no index by time, since every event would change it; there is one of ended runs for each status and workflow. So a
//! query is asked in parts, each of which has an index that knows its order, and the parts are merged.

use rusqlite::Connection;
use rusqlite::types::Value;

use super::{SELECT, records};
use crate::interpreter::RunStatus;
use crate::journal::{Found, Query};

/// As in the condition of the partial indices, word for word: otherwise they are not used.
const ENDED: &str = "status NOT IN ('running', 'input_required')";
const UNFINISHED: &str = "status IN ('running', 'input_required')";

pub(super) fn select(db: &Connection, query: &Query) -> rusqlite::Result<Found> {
    // All parts are of one moment: a run that ends meanwhile is in one of them.
    let db = db.unchecked_transaction()?;
    let (parts, more, values) = conditions(query);
    let runs_max = query.runs_max.map_or(-1, |runs| i64::try_from(runs).unwrap_or(i64::MAX));
    let mut found = Found { records: Vec::new(), total: 0 };
    for part in &parts {
        let count = format!("SELECT count(*) FROM runs WHERE {part}{more}");
        let count: i64 = db.prepare_cached(&count)?.query_row(rusqlite::params_from_iter(&values), |row| row.get(0))?;
        found.total += usize::try_from(count).unwrap_or(usize::MAX);
        let (place, mut values) = (if query.before.is_some() { " AND (changed_at, run) < (?, ?)" } else { "" }, values.clone());
        values.extend(query.before.iter().flat_map(|(at, run)| [Value::from(at.unix_ms()), Value::from(run.clone())]));
        found.records.append(&mut records(&db, &latest(part, &format!("{more}{place}"), runs_max), &values)?);
    }
    found.records.sort_by(|a, b| (b.changed_at, &b.header.run).cmp(&(a.changed_at, &a.header.run)));
    found.records.truncate(query.runs_max.unwrap_or(usize::MAX));
    Ok(found)
}

fn latest(part: &str, more: &str, runs_max: i64) -> String {
    format!("{SELECT} WHERE {part}{more} ORDER BY changed_at DESC, run DESC LIMIT {runs_max}")
}

/// The parts, what must hold in each of them as well, and the values of that.
fn conditions(query: &Query) -> (Vec<String>, String, Vec<Value>) {
    let ended = |status: RunStatus| format!("status = '{}' AND {ENDED}", status.as_str());
    let parts = match (query.status, query.unfinished, &query.run_begins, &query.workflow) {
        (Some(status), true, ..) if status.is_terminal() => Vec::new(),
        (Some(status), ..) if status.is_terminal() => vec![ended(status)],
        (Some(status), ..) => vec![format!("status = '{}' AND {UNFINISHED}", status.as_str())],
        (None, true, ..) => vec![UNFINISHED.to_owned()],
        (None, false, Some(_), _) => vec!["true".to_owned()],
        (None, false, None, Some(_)) => vec![UNFINISHED.to_owned(), ENDED.to_owned()],
        (None, false, None, None) => {
            let of = [RunStatus::Completed, RunStatus::Failed, RunStatus::Canceled].map(ended);
            [UNFINISHED.to_owned()].into_iter().chain(of).collect()
        }
    };
    let (mut more, mut values) = (String::new(), Vec::new());
    let mut must = |condition: &str, given: Vec<Value>| {
        more.push_str(" AND ");
        more.push_str(condition);
        values.extend(given);
    };
    if let Some(workflow) = &query.workflow {
        must("workflow = ?", vec![workflow.clone().into()]);
    }
    match query.rests {
        None => {}
        Some(true) => must("rests_until IS NOT NULL", Vec::new()),
        Some(false) => must("rests_until IS NULL", Vec::new()),
    }
    match query.asks_access {
        None => {}
        Some(true) => must("rests_until < 0", Vec::new()),
        Some(false) => must("(rests_until IS NULL OR rests_until >= 0)", Vec::new()),
    }
    if let Some(after) = query.changed_after {
        must("changed_at > ?", vec![after.unix_ms().into()]);
    }
    for (name, value) in &query.labels {
        let is_it = "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)";
        must(is_it, vec![name.clone().into(), value.clone().into()]);
    }
    if let Some(name) = &query.labelled {
        must("EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ?)", vec![name.clone().into()]);
    }
    if let Some(text) = &query.run_begins {
        must("run >= ? AND run < ? || char(1114111)", vec![text.clone().into(), text.clone().into()]);
    }
    (parts, more, values)
}

#[cfg(test)]
mod tests;
