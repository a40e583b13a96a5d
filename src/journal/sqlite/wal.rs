//! The write-ahead file as a crash left it: whether its last write was torn, or something before that is damaged. SQLite cuts either without
//! a word; here the one is told and the other refused.
//!
//! Reads the files alone, before the database is opened. The format: <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.
//!
//! Each transaction is on the disk before the next is written, so that a crash tears no more than the last. The checksum of a frame goes on
//! from the one that stands in the frame before: also behind a bad frame it shows which frames were written one after the other. Where two
//! of those end a transaction, the first of them was on the disk with all that stands before it. Frames that go on from nothing are of
//! writes that failed, and were begun anew in the same place: of each at most one end is left.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit says in which order checksums read their words.
const MAGIC: u32 = 0x377f_0682;
/// What a disk writes whole.
const SECTOR: u64 = 512;

/// How the file ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With the last transaction, or there is none. What an earlier round left behind in the file is no part of this one.
    Whole,
    /// So many bytes were written after the last whole transaction: what SQLite is about to cut.
    Torn(u64),
    /// Its header is none, and the database has what stands behind: SQLite takes nothing of so many bytes.
    Void(u64),
    /// From this byte on something is not as it was written, and more than the last transaction would be cut with it.
    Damaged(u64),
}

/// The write-ahead file of a database.
pub(super) fn of(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// Whether the file has something while the database has nothing. Whoever makes a journal begins with the database, and has it on the disk
/// before this file is there.
pub(super) fn is_alone(database: &Path) -> io::Result<bool> {
    // In this order, for who looks while the journal is made.
    Ok(bytes(&of(database))? > 0 && bytes(database)? == 0)
}

/// How the write-ahead file of a database ends.
pub(super) fn end(database: &Path) -> io::Result<End> {
    let mut file = match File::open(of(database)) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(End::Whole),
        Err(error) => return Err(error),
    };
    let bytes = file.get_ref().metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if bytes == 0 {
        return Ok(End::Whole);
    }
    if read(&mut file, &mut header)? < HEADER_BYTES {
        return Ok(End::Torn(bytes));
    }
    let Some(Round { page_bytes, salts, mut sum }) = Round::of(&header) else {
        return Ok(if hides(&mut file, &header, database)? { End::Damaged(0) } else { End::Void(bytes) });
    };
    let (mut at, mut committed) = (HEADER_BYTES as u64, HEADER_BYTES as u64);
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let is_torn = loop {
        let found = read(&mut file, &mut frame)?;
        let start: [u8; 16] = frame[..16].try_into().expect("these are sixteen bytes");
        let of_this_round = found >= 16 && start[8..] == salts;
        if found < frame.len() || !of_this_round || sum.with(&frame) != sum.written(&frame[16..]) {
            let behind = if found < frame.len() { None } else { ends_behind(&mut file, &mut frame, at, &salts, sum)? };
            if behind.is_some_and(|ends| ends > 1) {
                return Ok(End::Damaged(at));
            }
            // Space that was made for a write which never came is empty.
            let is_empty = found > 0 && start[..found.min(16)].iter().all(|byte| *byte == 0);
            break of_this_round || is_empty || at > committed || behind.is_some();
        }
        sum = sum.with(&frame);
        at += frame.len() as u64;
        if ends(&frame) {
            committed = at;
        }
    };
    Ok(if is_torn { End::Torn(bytes - committed) } else { End::Whole })
}

/// Makes ready for SQLite what ends so: what is taken for written is on the disk before anything follows from it, also when the process
/// that wrote it ended before it was. A header that is none is blank, since SQLite would begin its next round with the salts in it, to which
/// the frames behind may belong.
pub(super) fn settle(database: &Path, end: &End) -> io::Result<()> {
    let mut file = match OpenOptions::new().write(true).open(of(database)) {
        Ok(file) => file,
        // Who had the journal before may only now be through with closing it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if file.metadata()?.len() == 0 {
        return Ok(());
    }
    if matches!(end, End::Void(_)) {
        file.write_all(&[0; HEADER_BYTES])?;
    }
    file.sync_data()
}

/// How many transactions end at most in frames that were written one after the other, from the one on that is not as it was written. None
/// when no frame is of this round.
///
/// That this one ends one itself is believed where its header lies in one sector, and where the next goes on from its content.
fn ends_behind(file: &mut impl Read, frame: &mut [u8], mut at: u64, salts: &[u8], before: Sum) -> io::Result<Option<usize>> {
    let has_salts = |frame: &[u8]| frame[8..16] == *salts;
    let is_one_piece = |frame: &[u8], at: u64| has_salts(frame) && at % SECTOR + FRAME_HEADER_BYTES as u64 <= SECTOR;
    let (bad_ends, mut instead, mut before) = (ends(frame), Some(before.with(frame)), before.written(&frame[16..]));
    let mut is_ours = has_salts(frame) || instead == Some(before);
    let mut found = usize::from(bad_ends && (instead == Some(before) || is_one_piece(frame, at)));
    let mut most = is_ours.then_some(found);
    while read(file, frame)? == frame.len() {
        at += frame.len() as u64;
        let written = before.written(&frame[16..]);
        let mut follows = is_ours && before.with(frame) == written;
        if !follows {
            found = 0;
        }
        if instead.take().is_some_and(|sum| sum.with(frame) == written) {
            (follows, found) = (true, usize::from(bad_ends));
        }
        found += usize::from(ends(frame) && (follows || is_one_piece(frame, at)));
        (before, is_ours) = (written, follows || has_salts(frame));
        most = most.max(is_ours.then_some(found));
    }
    Ok(most)
}

/// Whether transactions stand behind a header that is none which the database does not have. The frames that a new round was about to
/// overwrite it has, so that nothing is lost with the header of that round.
fn hides(file: &mut BufReader<File>, header: &[u8], database: &Path) -> io::Result<bool> {
    let mut database = File::open(database)?;
    let mut head = [0; 18];
    let found = read(&mut database, &mut head)?;
    let page_bytes = match u16::from_be_bytes([head[16], head[17]]) {
        1 => 65536,
        bytes => usize::from(bytes),
    };
    if found < head.len() || !is_page(page_bytes) {
        return Ok(false);
    }
    let (mut here, mut there) = (vec![0; page_bytes], vec![0; page_bytes]);
    for big_endian in [false, true] {
        for (page, at) in pages_behind(file, header, page_bytes, big_endian)? {
            file.seek(SeekFrom::Start(at))?;
            database.seek(SeekFrom::Start(u64::from(page - 1) * page_bytes as u64))?;
            let found = (read(file, &mut here)?, read(&mut database, &mut there)?);
            if found != (page_bytes, page_bytes) || here != there {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The pages as the last transaction left them that stands in one chain behind such a header, and where they are. The chain goes on from
/// the sum in the header, or from what that should be; where the first frame's is lost as well, it may begin anywhere.
fn pages_behind(file: &mut (impl Read + Seek), header: &[u8], page_bytes: usize, big_endian: bool) -> io::Result<HashMap<u32, u64>> {
    let nothing = Sum { big_endian, words: (0, 0) };
    let mut before = [nothing.written(&header[24..]), nothing.over(&header[..24])];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let (mut pages, mut of_this_write, mut count, mut is_begun) = (HashMap::new(), Vec::new(), 0, false);
    let mut at = file.seek(SeekFrom::Start(HEADER_BYTES as u64))?;
    while read(file, &mut frame)? == frame.len() {
        let (page, written) = (word(&frame, 0), nothing.written(&frame[16..]));
        if page > 0 && before.iter().any(|sum| sum.with(&frame) == written) {
            is_begun = true;
            of_this_write.push((page, at + FRAME_HEADER_BYTES as u64));
            if ends(&frame) {
                count = word(&frame, 4);
                pages.extend(of_this_write.drain(..));
            }
        } else if is_begun {
            break;
        }
        before = [written; 2];
        at += frame.len() as u64;
    }
    pages.retain(|page, _| *page <= count);
    Ok(pages)
}

/// What the header says of the frames that belong to it.
struct Round {
    page_bytes: usize,
    salts: [u8; 8],
    sum: Sum,
}

impl Round {
    /// None when the header is not as one is written.
    fn of(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (magic, page_bytes) = (word(header, 0), word(header, 8) as usize);
        let sum = Sum { big_endian: magic == MAGIC | 1, words: (0, 0) }.over(&header[..24]);
        let is_one = magic & !1 == MAGIC && is_page(page_bytes) && sum == sum.written(&header[24..]);
        is_one.then(|| Self { page_bytes, salts: header[16..24].try_into().expect("these are eight bytes"), sum })
    }
}

fn is_page(bytes: usize) -> bool {
    bytes.is_power_of_two() && (512..=65536).contains(&bytes)
}

/// Whether a transaction ends with this frame.
fn ends(frame: &[u8]) -> bool {
    word(frame, 4) != 0
}

/// How large a file is. One that is not there has nothing in it.
fn bytes(path: &Path) -> io::Result<u64> {
    match std::fs::metadata(path) {
        Ok(found) => Ok(found.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// Fills the buffer as far as the file goes.
fn read(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut found = 0;
    while found < buffer.len() {
        match file.read(&mut buffer[found..])? {
            0 => break,
            bytes => found += bytes,
        }
    }
    Ok(found)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The running checksum of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Sum {
    big_endian: bool,
    words: (u32, u32),
}

impl Sum {
    /// What comes of it when the frame follows.
    fn with(self, frame: &[u8]) -> Self {
        self.over(&frame[..8]).over(&frame[FRAME_HEADER_BYTES..])
    }

    fn over(self, bytes: &[u8]) -> Self {
        let read = |bytes: &[u8]| {
            let word = word(bytes, 0);
            if self.big_endian { word } else { word.swap_bytes() }
        };
        let (mut first, mut second) = self.words;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(read(pair)).wrapping_add(second);
            second = second.wrapping_add(read(&pair[4..])).wrapping_add(first);
        }
        Self { words: (first, second), ..self }
    }

    /// The one that is written there.
    fn written(self, bytes: &[u8]) -> Self {
        Self { words: (word(bytes, 0), word(bytes, 4)), ..self }
    }
}

#[cfg(test)]
mod tests;
