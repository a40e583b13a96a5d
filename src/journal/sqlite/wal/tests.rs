//! What a crash leaves is taken, and what no crash leaves is refused. Journals that were really written, and files that are made here
//! frame by frame for what is left only where writes fail or a disk tears them in a rare place.

use std::path::Path;

use rusqlite::Connection;

use super::*;
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::sqlite::tests::{cancel, header, started};
use crate::journal::sqlite::{FILE, Sqlite};
use crate::journal::{Journal, Retention};

/// The page size of journals.
const PAGE: usize = 4096;
const FRAME: usize = FRAME_HEADER_BYTES + PAGE;

/// The database and its write-ahead file.
type Files = [Vec<u8>; 2];

fn files(dir: &Path) -> Files {
    let database = dir.join(FILE);
    [std::fs::read(&database).unwrap(), std::fs::read(of(&database)).unwrap()]
}

fn put(files: &Files) -> tempfile::TempDir {
    let shared = Path::new("/dev/shm");
    let dir = if shared.is_dir() { tempfile::tempdir_in(shared).unwrap() } else { tempfile::tempdir().unwrap() };
    std::fs::write(dir.path().join(FILE), &files[0]).unwrap();
    std::fs::write(of(&dir.path().join(FILE)), &files[1]).unwrap();
    dir
}

async fn store(journal: &Sqlite, n: usize) {
    let (id, at) = (format!("run-{n}"), 10 + i64::try_from(n).unwrap());
    journal.create(header(&id, Some(&id)), started(&id)).await.unwrap();
    journal.append(&RunId::parse(&id).unwrap(), &[cancel(at)], RunStatus::Canceled).await.unwrap();
}

/// Every run with the number of its events.
async fn content(journal: &Sqlite) -> Vec<String> {
    let mut content = Vec::new();
    for record in journal.list().await.unwrap() {
        let events = journal.events(&record.header.run).await.unwrap().len();
        content.push(format!("{} {:?} {events}", record.header.run, record.status));
    }
    content.sort();
    content
}

/// What a process leaves that is killed, and the content before its last write, which takes several frames, and after.
async fn killed(runs: usize) -> (Files, [Vec<String>; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    for n in 0..runs {
        store(&journal, n).await;
    }
    let before = content(&journal).await;
    journal.create(header("last", Some("last")), started("last")).await.unwrap();
    (files(dir.path()), [before, content(&journal).await])
}

/// Where transactions end: the numbers of their last frames.
fn last_frames(log: &[u8]) -> Vec<usize> {
    let frames = log[HEADER_BYTES..].chunks_exact(FRAME);
    frames.enumerate().filter(|(_, frame)| ends(frame)).map(|(n, _)| n).collect()
}

fn refusal(files: &Files, about: &str) {
    let dir = put(files);
    let error = Sqlite::open(dir.path()).map(drop).expect_err(about).to_string();
    for part in ["is damaged at byte", "journal.sqlite3-wal", "Nothing was changed"] {
        assert!(error.contains(part), "{about}: {error}");
    }
    assert!(self::files(dir.path()) == *files, "{about}: it was touched");
}

#[tokio::test]
async fn a_changed_byte_is_refused_wherever_it_is_but_in_the_last_transaction() {
    let (files, [before, after]) = killed(2).await;
    let ends = last_frames(&files[1]);
    let (count, last) = (ends.len(), ends[ends.len() - 2] + 1);
    assert!(count > 8 && ends[count - 1] > last, "{ends:?}");
    let changed = |at: usize, by: u8| {
        let mut files = files.clone();
        files[1][at] ^= by;
        files
    };
    for at in 0..HEADER_BYTES {
        for by in [1, 0x80, 0xff] {
            refusal(&changed(at, by), &format!("byte {at} of the header by {by}"));
        }
    }
    // The page, the size at the end of a transaction, both salts, both sums, and the content from its first byte to its last.
    let bytes = [0, 3, 4, 7, 8, 12, 15, 16, 19, 20, 23, 24, 25, 1000, FRAME - 1];
    for frame in 0..last {
        for byte in bytes {
            refusal(&changed(HEADER_BYTES + frame * FRAME + byte, 0xff), &format!("byte {byte} of frame {frame} of {last}"));
        }
    }
    // That is what a write leaves that was torn. But none leaves an end in its middle, which is what a changed size looks like.
    for frame in last..=ends[count - 1] {
        let is_end = frame == ends[count - 1];
        for byte in bytes.into_iter().filter(|byte| is_end || !(4..8).contains(byte)) {
            let dir = put(&changed(HEADER_BYTES + frame * FRAME + byte, 0xff));
            let journal = Sqlite::open(dir.path()).unwrap();
            let (about, found) = (format!("byte {byte} of frame {frame}"), content(&journal).await);
            assert!(found == before && journal.cut_bytes().is_some(), "{about}: {found:?}");
        }
    }
    let dir = put(&files);
    let journal = Sqlite::open(dir.path()).unwrap();
    assert!(content(&journal).await == after && journal.cut_bytes().is_none());
}

#[tokio::test]
async fn a_block_that_is_lost_is_refused() {
    let (files, _) = killed(6).await;
    let end = HEADER_BYTES + last_frames(&files[1])[4] * FRAME;
    for (start, byte) in [0, 4096, 8192, 3 * 4096].into_iter().flat_map(|start| [(start, 0), (start, 0xa5)]) {
        assert!(start < end);
        for bytes in [512, 4096] {
            let mut files = files.clone();
            files[1][start..start + bytes].fill(byte);
            refusal(&files, &format!("{bytes} times {byte} from {start}"));
        }
    }
}

#[tokio::test]
async fn a_header_that_was_torn_over_what_the_database_has_is_none_and_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    for n in 0..6 {
        store(&journal, n).await;
    }
    let (old, before) = (files(dir.path()), content(&journal).await);
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    let bring_in = || db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2)).unwrap();
    assert!(bring_in() > 12);
    let in_the_database = files(dir.path());
    assert!(in_the_database[1] == old[1] && in_the_database[0] != old[0]);
    store(&journal, 6).await;
    let new = files(dir.path())[1][..HEADER_BYTES].to_vec();
    assert!(new[16..24] != old[1][16..24], "it is of a new round");
    for bytes in 1..HEADER_BYTES {
        let mut files = in_the_database.clone();
        files[1][..bytes].copy_from_slice(&new[..bytes]);
        let dir = put(&files);
        let journal = Sqlite::open(dir.path()).unwrap_or_else(|error| panic!("{bytes} bytes: {error}"));
        assert_eq!(content(&journal).await, before, "{bytes} bytes");
        // The next round begins in the same place, and a crash then leaves what was behind the header behind it.
        store(&journal, 6).await;
        let left = put(&self::files(dir.path()));
        let journal = Sqlite::open(left.path()).unwrap_or_else(|error| panic!("{bytes} bytes, and a crash: {error}"));
        assert_eq!(content(&journal).await.len(), before.len() + 1, "{bytes} bytes");
    }
    // The same header where the database does not have it yet, but for where it is the old one still.
    for bytes in (1..25).filter(|bytes| new[..*bytes] != old[1][..*bytes]) {
        let mut files = old.clone();
        files[1][..bytes].copy_from_slice(&new[..bytes]);
        refusal(&files, &format!("{bytes} bytes"));
    }
}

#[tokio::test]
async fn a_write_ahead_file_without_its_database_is_refused_by_whoever_opens_it() {
    let (files, _) = killed(2).await;
    for is_there in [true, false] {
        let dir = put(&[Vec::new(), files[1].clone()]);
        let path = dir.path().join(FILE);
        if !is_there {
            std::fs::remove_file(&path).unwrap();
        }
        for opened in [Sqlite::open(dir.path()).map(drop), Sqlite::open_to_read(dir.path()).map(drop)] {
            let error = opened.unwrap_err().to_string();
            for part in ["journal.sqlite3-wal has runs", &format!("move the whole directory {} away", dir.path().display())] {
                assert!(error.contains(part), "{error}");
            }
            assert_eq!(path.exists(), is_there);
            assert!(std::fs::read(of(&path)).unwrap() == files[1]);
        }
    }
    // Under a process that has it open.
    let dir = put(&files);
    let path = dir.path().join(FILE);
    let journal = Sqlite::open(dir.path()).unwrap();
    std::fs::File::create(&path).unwrap();
    assert!(journal.prune(Retention { ended_before: None, runs_max: Some(0) }).await.is_err());
    assert!(std::fs::read(of(&path)).unwrap() == files[1]);
}

/// What the making of a journal leaves when it is interrupted.
#[tokio::test]
async fn a_journal_that_was_being_made_is_made() {
    let made = tempfile::tempdir().unwrap();
    let _journal = Sqlite::open(made.path()).unwrap();
    let [database, log] = files(made.path());
    assert!(database.len() == PAGE && log.len() > 20 * FRAME, "{} bytes and {}", database.len(), log.len());
    let lengths = (0..log.len()).step_by(777).map(|length| [database.clone(), log[..length].to_vec()]);
    for files in [[Vec::new(), Vec::new()]].into_iter().chain(lengths) {
        let (dir, length) = (put(&files), files[1].len());
        assert!(Sqlite::open_to_read(dir.path()).is_ok_and(|journal| journal.is_none()) || length > 8 * FRAME, "{length} bytes");
        let journal = Sqlite::open(dir.path()).unwrap_or_else(|error| panic!("{length} bytes: {error}"));
        store(&journal, 1).await;
        assert_eq!(content(&journal).await.len(), 1, "{length} bytes");
    }
    let dir = put(&[Vec::new(), Vec::new()]);
    std::fs::remove_file(dir.path().join(FILE)).unwrap();
    assert!(Sqlite::open_to_read(dir.path()).unwrap().is_none());
    store(&Sqlite::open(dir.path()).unwrap(), 1).await;
}

#[tokio::test]
async fn what_is_refused_stays_as_it_is_with_its_write_ahead_file() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Sqlite::open(dir.path()).unwrap();
    store(&journal, 1).await;
    let db = Connection::open(dir.path().join(FILE)).unwrap();
    db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    store(&journal, 2).await;
    // A page that is in the database alone, and a format that is in the write-ahead file alone.
    let mut damaged = files(dir.path());
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'runs_of_parent'";
    let page = usize::try_from(db.query_row(root, [], |row| row.get::<_, i64>(0)).unwrap()).unwrap();
    let written: Vec<_> = damaged[1][HEADER_BYTES..].chunks_exact(FRAME).take_while(|frame| frame[8..16] == damaged[1][16..24]).collect();
    assert!(!written.is_empty() && written.iter().all(|frame| word(frame, 0) as usize != page));
    damaged[0][(page - 1) * PAGE..page * PAGE].fill(0xff);
    db.pragma_update(None, "user_version", 99).unwrap();
    for (files, expected) in [(damaged, "it is damaged"), (files(dir.path()), "format 99")] {
        let dir = put(&files);
        let error = Sqlite::open(dir.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        assert!(self::files(dir.path()) == files, "{expected}: it was touched");
    }
}

/// Who looks sees no table in such a journal.
#[tokio::test]
async fn a_journal_whose_header_hides_every_table_is_not_taken_for_an_empty_one() {
    let (mut files, _) = killed(2).await;
    files[1][1] ^= 1;
    let dir = put(&files);
    let error = Sqlite::open_to_read(dir.path()).map(drop).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte 0"), "{error}");
    assert!(self::files(dir.path()) == files);
}

/// A write-ahead file that is made here. Bytes are given by what is written, so that frames of different writes differ.
struct Made {
    bytes: Vec<u8>,
    round: u8,
    sum: Sum,
}

impl Made {
    fn new(round: u8) -> Self {
        let words = [MAGIC, 3_007_000, PAGE as u32, u32::from(round)];
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).chain([round; 8]).collect();
        let sum = Sum { big_endian: false, words: (0, 0) }.over(&bytes);
        bytes.extend([sum.words.0, sum.words.1].iter().flat_map(|word| word.to_be_bytes()));
        Self { bytes, round, sum }
    }

    /// The frames of a transaction that goes on from here, each with this in its page.
    fn frames(&self, content: u8, count: usize) -> (Vec<u8>, Sum) {
        let (mut frames, mut sum) = (Vec::new(), self.sum);
        for n in 1..=count {
            let size = if n == count { 500 } else { 0 };
            let mut frame: Vec<u8> = [n as u32, size].iter().flat_map(|word| word.to_be_bytes()).chain([self.round; 8]).collect();
            frame.extend([0; 8]);
            frame.extend([content; PAGE]);
            sum = sum.with(&frame);
            frame[16..20].copy_from_slice(&sum.words.0.to_be_bytes());
            frame[20..24].copy_from_slice(&sum.words.1.to_be_bytes());
            frames.extend(frame);
        }
        (frames, sum)
    }

    fn write(&mut self, content: u8, count: usize) {
        let (frames, sum) = self.frames(content, count);
        self.bytes.extend(frames);
        self.sum = sum;
    }

    fn end(&self) -> End {
        let dir = put(&[vec![1; PAGE], self.bytes.clone()]);
        end(&dir.path().join(FILE)).unwrap()
    }
}

/// Puts bytes over others, beyond which those before are left.
fn over(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    let length = bytes.len().max(at + new.len());
    bytes.resize(length, 0);
    bytes[at..at + new.len()].copy_from_slice(new);
}

/// What could not be flushed was begun anew in the same place, time and again, and shorter.
#[test]
fn what_failed_writes_left_behind_a_torn_one_is_no_damage() {
    let mut made = Made::new(1);
    (1..=3).for_each(|content| made.write(content, 2));
    let at = made.bytes.len();
    for (content, count) in [(10, 9), (11, 7), (12, 5)] {
        let (frames, _) = made.frames(content, count);
        over(&mut made.bytes, at, &frames);
    }
    let whole = made.bytes.clone();
    let left = (whole.len() - at) as u64;
    let (torn, _) = made.frames(13, 3);
    // Any sectors of the last write, and the first byte that is missing.
    for lost in (0..torn.len()).step_by(SECTOR as usize) {
        made.bytes.clone_from(&whole);
        over(&mut made.bytes, at, &torn);
        let stop = (lost + SECTOR as usize).min(torn.len());
        made.bytes[at + lost..at + stop].copy_from_slice(&whole[at + lost..at + stop]);
        assert_eq!(made.end(), End::Torn(left), "from {lost}");
    }
    // Once it is whole it counts, and what is left behind it does not.
    made.bytes.clone_from(&whole);
    over(&mut made.bytes, at, &torn);
    assert_eq!(made.end(), End::Torn(left - torn.len() as u64));
    // The same frames behind two writes of which the first was damaged.
    made.bytes.clone_from(&whole);
    over(&mut made.bytes, at, &torn);
    made.bytes[HEADER_BYTES + 4 * FRAME + 100] ^= 1;
    assert_eq!(made.end(), End::Damaged((HEADER_BYTES + 4 * FRAME) as u64));
}

/// The header of a frame may lie in two sectors. The one that did not come has the end of a transaction of the round before.
#[test]
fn a_header_of_which_one_part_is_of_another_round_tells_no_end() {
    let mut old = Made::new(1);
    (0..80).for_each(|content| old.write(content, 1));
    for (in_the_first, frame) in [(8, 41), (16, 62)] {
        let at = HEADER_BYTES + frame * FRAME;
        assert_eq!((at + in_the_first) % SECTOR as usize, 0);
        let mut new = Made::new(2);
        new.write(100, frame);
        let committed = new.bytes.len();
        assert_eq!(committed, at);
        new.write(101, 5);
        let tail = old.bytes[new.bytes.len()..].to_vec();
        new.bytes.extend(tail);
        new.bytes[at..at + in_the_first].copy_from_slice(&old.bytes[at..at + in_the_first]);
        assert_eq!(new.end(), End::Torn((old.bytes.len() - committed) as u64), "{in_the_first} bytes of frame {frame}");
    }
}

/// What an earlier round left ends many transactions, one after the other.
#[test]
fn what_an_earlier_round_left_is_no_part_of_this_one() {
    let mut old = Made::new(1);
    (0..20).for_each(|content| old.write(content, 1));
    let mut new = Made::new(2);
    new.write(100, 3);
    new.bytes.extend(&old.bytes[new.bytes.len()..]);
    assert_eq!(new.end(), End::Whole);
    // One frame of it with its salts damaged, in the middle of this round and at its end.
    for (frame, expected) in
        [(0, End::Damaged(HEADER_BYTES as u64)), (4, End::Damaged((HEADER_BYTES + 4 * FRAME) as u64)), (5, End::Torn(15 * FRAME as u64))]
    {
        let mut new = Made::new(2);
        (100..106).for_each(|content| new.write(content, 1));
        new.bytes.extend(&old.bytes[new.bytes.len()..]);
        new.bytes[HEADER_BYTES + frame * FRAME + 9] ^= 1;
        assert_eq!(new.end(), expected, "frame {frame}");
    }
}
