//! A machine that ends in the middle of a write: what had been acknowledged is there, the write is there whole or not at all.
//!
//! The journal's files are recorded after every acknowledged write. Between two of them the disk has some of what was written last, in
//! sectors and in any order, but nothing out of turn around what SQLite waits for: the write-ahead file is flushed before the database
//! is touched, and its new head before what follows it. Each seed chooses a write and what of it came to the disk.
//!
//! `GANTRY_CRASH_SEEDS` says how many there are; `GANTRY_SEED` runs a single one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gantry::ids::{Digest, RunId};
use gantry::interpreter::{Event, RunStatus, SEMANTICS};
use gantry::journal::{Header, Journal, Retention, Sqlite};
use gantry::limits;
use gantry::time::Timestamp;
use serde_json::json;

use super::random::Random;

const SEEDS: u64 = 100;
/// How long what was written may take to come into the database.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a disk writes whole.
const SECTOR: usize = 512;
/// The head of the write-ahead file.
const HEAD: usize = 32;
const FILES: [&str; 2] = ["journal.sqlite3", "journal.sqlite3-wal"];

/// The write that forgets runs, in the place of an event.
const FORGETS: usize = 33;

/// A file in pieces, shared with the states before as far as they are the same.
type Pieces = Vec<Arc<[u8]>>;

/// The journal after an acknowledged write.
struct State {
    database: Pieces,
    log: Pieces,
    /// Every run with its status and events, as text.
    content: Vec<String>,
}

fn pieces(bytes: &[u8], before: &Pieces) -> Pieces {
    let piece = |(index, piece): (usize, &[u8])| match before.get(index) {
        Some(same) if **same == *piece => Arc::clone(same),
        _ => Arc::from(piece),
    };
    bytes.chunks(SECTOR).enumerate().map(piece).collect()
}

fn whole(pieces: &Pieces) -> Vec<u8> {
    pieces.iter().map(|piece| &**piece).collect::<Vec<_>>().concat()
}

fn digest() -> Digest {
    Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap()
}

fn run(n: usize) -> RunId {
    RunId::parse(&format!("run-{n}")).unwrap()
}

async fn content(journal: &Sqlite) -> Vec<String> {
    let mut content = Vec::new();
    for record in journal.list().await.unwrap() {
        let events = journal.events(&record.header.run).await.unwrap_or_else(|error| panic!("{error}"));
        // Values are told by their step: their digest was checked when they were read.
        let events: Vec<String> = events.iter().map(|event| format!("{:?} at {}", event.path(), event.at().unix_ms())).collect();
        content.push(format!("{} {:?} {events:?}", record.header.run, record.status));
    }
    content.sort();
    content
}

/// One write, and the next: starts, events, ends, large values, and runs that are forgotten.
async fn write(journal: &Sqlite, n: usize) {
    let at = Timestamp::from_unix_ms(n as i64);
    if n == FORGETS {
        let retention = Retention { ended_before: None, runs_max: Some(2) };
        assert!(journal.prune(retention).await.unwrap() > 0);
        return;
    }
    if n.is_multiple_of(5) {
        let header = Header {
            run: run(n),
            workflow: "w".into(),
            version: "1.0.0".into(),
            digest: digest(),
            source: Arc::from("steps: []"),
            idempotency_key: Some(format!("key {n}")),
            labels: Default::default(),
            note: None,
            started_at: at,
        };
        let (workflow, input) = (digest(), Arc::new(json!({"n": n})));
        let first = Event::Started { run: run(n), workflow, semantics: SEMANTICS, input, ancestry: vec![], work: None, at };
        journal.create(header, first).await.unwrap();
        return;
    }
    let bytes = if n % 3 == 1 { 600_000 } else { 300 };
    let path = gantry::plan::Path::new(format!("/0:s{n}"));
    let value = Arc::new(json!(format!("{n}{}", "v".repeat(bytes))));
    let event = Event::Replied { path, attempt: 1, value, by: None, inputs: None, at };
    let status = if n % 5 == 4 { RunStatus::Completed } else { RunStatus::Running };
    journal.append(&run(n - n % 5), &[event], status).await.unwrap();
}

/// Whether what is in the write-ahead file is yet to come into the database, which happens after the last write that made it too long was
/// acknowledged. Read from the index of the file: <https://www.sqlite.org/walformat.html#the_wal_index_header>.
fn is_brought_in_late(dir: &Path) -> bool {
    let index = std::fs::read(dir.join(format!("{}-shm", FILES[0]))).unwrap();
    let word = |at: usize| u32::from_ne_bytes(index[at..at + 4].try_into().unwrap());
    let (pages, brought_in) = (word(16), word(96));
    pages >= limits::JOURNAL_WAL_PAGES.unsigned_abs() && brought_in < pages
}

/// The states of a journal, in order.
async fn record() -> Vec<State> {
    let dir = folder();
    let journal = Sqlite::open(dir.path()).unwrap();
    let mut states: Vec<State> = Vec::new();
    let empty = Pieces::new();
    for n in 0..50 {
        write(&journal, n).await;
        let patience = Instant::now() + PATIENCE;
        while is_brought_in_late(dir.path()) {
            assert!(Instant::now() < patience, "nothing brings what was written into the database");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let (database, log) = states.last().map_or((&empty, &empty), |last| (&last.database, &last.log));
        let (database, log) = (pieces(&read(FILES[0]), database), pieces(&read(FILES[1]), log));
        states.push(State { database, log, content: content(&journal).await });
    }
    states
}

/// In memory where there is such a place: what a crash leaves is made here, not by the disk.
fn folder() -> tempfile::TempDir {
    let shared: PathBuf = "/dev/shm".into();
    if shared.is_dir() { tempfile::tempdir_in(shared).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// What of `after` came to the disk that had `before`: any sectors, or a part of the last one.
fn torn(before: &Pieces, after: &Pieces, from: usize, random: &mut Random) -> Vec<u8> {
    let (mut bytes, after) = (whole(before), whole(after));
    let length = bytes.len().max(random.below(after.len() + 1));
    bytes.resize(length, 0);
    let chance = *random.pick(&[0, 10, 50, 90, 99, 100]);
    // In order, as most writes are, up to some byte; or in any order.
    let end = if random.percent(50) { random.below(after.len() + 1) } else { after.len() };
    for start in (from..after.len().min(length)).step_by(SECTOR) {
        let stop = (start + SECTOR).min(after.len()).min(length).min(end);
        if start < stop && (end < after.len() || random.percent(chance)) {
            bytes[start..stop].copy_from_slice(&after[start..stop]);
        }
    }
    bytes
}

/// The files as the machine left them between two acknowledged writes, and whether the second was acknowledged already.
fn crash(before: &State, after: &State, random: &mut Random) -> ([Vec<u8>; 2], bool) {
    let head = |state: &State| state.log.first().map(|sector| sector[..HEAD.min(sector.len())].to_vec());
    let checkpointed = before.database != after.database;
    if checkpointed && random.percent(60) {
        // What was committed is flushed and acknowledged, and is being copied to the database.
        return ([torn(&before.database, &after.database, 0, random), whole(&after.log)], true);
    }
    let database = whole(&before.database);
    if head(before) == head(after) {
        return ([database, torn(&before.log, &after.log, 0, random)], false);
    }
    // A new round: its head is flushed before anything that follows it.
    let mut log = whole(&before.log);
    let new = head(after).unwrap_or_default();
    match random.below(3) {
        0 => log[..HEAD / 2].copy_from_slice(&new[..HEAD / 2]),
        1 => log[..HEAD].copy_from_slice(&new),
        _ => {
            log[..HEAD].copy_from_slice(&new);
            log = torn(&pieces(&log, &Vec::new()), &after.log, HEAD, random);
        }
    }
    ([database, log], false)
}

fn put(dir: &Path, files: &[Vec<u8>; 2]) {
    for (name, bytes) in FILES.iter().zip(files) {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Whether something was cut, and whether the write is there.
async fn check(states: &[State], seed: u64) -> (bool, bool) {
    let mut random = Random::new(seed);
    let index = random.below(states.len() - 1);
    let (before, after) = (&states[index], &states[index + 1]);
    let dir = folder();
    let (files, is_acknowledged) = crash(before, after, &mut random);
    put(dir.path(), &files);
    let about = || format!("seed {seed}, within write {}: GANTRY_SEED={seed} cargo test --test simulation torn", index + 1);
    let journal = Sqlite::open(dir.path()).unwrap_or_else(|error| panic!("{}: {error}", about()));
    let (found, cut) = (content(&journal).await, journal.cut_bytes().is_some());
    let is_there = found == after.content;
    assert!(is_there || found == before.content, "{}: neither before nor after the write", about());
    assert!(is_there || !is_acknowledged, "{}: it was acknowledged", about());
    // It is written to as if nothing had happened, and opened again.
    let next = states.len() + 5 - states.len() % 5;
    write(&journal, next).await;
    drop(journal);
    let again = Sqlite::open(dir.path()).unwrap_or_else(|error| panic!("{}: {error}", about()));
    assert_eq!(again.list().await.unwrap().len(), found.len() + 1, "{}", about());
    assert_eq!(again.events(&run(next)).await.unwrap().len(), 1, "{}", about());
    (cut, is_there)
}

/// Every seed, shared among threads: how often something was cut, and how often the write was there.
fn every(states: &[State], seeds: u64) -> (u64, u64) {
    let next = AtomicU64::new(0);
    let share = || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut cut, mut there) = (0, 0);
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return (cut, there);
            }
            let (was_cut, is_there) = runtime.block_on(check(states, seed));
            cut += u64::from(was_cut);
            there += u64::from(is_there);
            assert!(!(was_cut && is_there), "seed {seed}: what was cut is there");
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        let shares = running.into_iter().map(|thread| thread.join().unwrap_or_else(|cause| std::panic::resume_unwind(cause)));
        shares.fold((0, 0), |(cut, there), (more_cut, more_there)| (cut + more_cut, there + more_there))
    })
}

#[tokio::test]
async fn a_torn_write_is_cut_and_what_was_acknowledged_before_is_there() {
    let states = record().await;
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{name}: {text}")));
    if let Some(seed) = number("GANTRY_SEED") {
        check(&states, seed).await;
        return;
    }
    let rounds = states.windows(2).filter(|pair| pair[0].database != pair[1].database).count();
    assert!(rounds > 1, "the journal was checkpointed {rounds} times");
    let seeds = number("GANTRY_CRASH_SEEDS").unwrap_or(SEEDS);
    let (cut, there) = every(&states, seeds);
    eprintln!("{seeds} crashes, {rounds} checkpoints: {cut} torn ends were cut and told, {there} writes were there whole");
    assert!(cut * 20 > seeds && there * 20 > seeds, "the crashes are too much alike: {cut} cut, {there} whole");
}

#[tokio::test]
async fn a_log_cut_at_any_byte_opens_with_every_whole_write() {
    let states = record().await;
    // The last round: every length that it ever had, and the bytes around.
    let last = states.last().unwrap();
    let log = whole(&last.log);
    let first = states.iter().position(|state| state.log.first() == last.log.first() && state.database == last.database).unwrap();
    let mut random = Random::new(7);
    let mut lengths: Vec<usize> = (0..40).map(|_| random.below(log.len() + 1)).collect();
    lengths.extend([0, 1, HEAD - 1, HEAD, HEAD + 1, log.len() - 1, log.len()]);
    lengths.sort_unstable();
    let mut newest = 0;
    for length in lengths {
        let dir = folder();
        put(dir.path(), &[whole(&last.database), log[..length].to_vec()]);
        let found = content(&Sqlite::open(dir.path()).unwrap_or_else(|error| panic!("{length} bytes: {error}"))).await;
        let state = states.iter().rposition(|state| state.content == found).unwrap_or_else(|| panic!("{length} bytes: no state ever"));
        assert!(state >= newest, "{length} bytes: more of the log holds no less");
        newest = state;
    }
    assert!(newest == states.len() - 1 && first < newest, "the whole log has everything");
}
