//! The end of the write-ahead file as a crash left it: whether the last write was torn. SQLite cuts it without a word; here it is told.
//!
//! Reads the file alone, before the database is opened. The format: <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The last bit says in which order checksums read their words.
const MAGIC: u32 = 0x377f_0682;

/// Bytes after the last whole transaction that were written after it: what SQLite is about to cut. None when the last write was whole.
/// What an earlier round left behind in the file is no part of this one.
pub(super) fn torn_bytes(path: &Path) -> io::Result<Option<u64>> {
    let mut file = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.get_ref().metadata()?.len();
    let mut header = [0; HEADER_BYTES];
    if bytes == 0 {
        return Ok(None);
    }
    if read(&mut file, &mut header)? < HEADER_BYTES {
        return Ok(Some(bytes));
    }
    let big_endian = word(&header, 0) == MAGIC | 1;
    let page_bytes = word(&header, 8) as usize;
    let mut sum = Sum { big_endian, words: (0, 0) };
    sum.add(&header[..24]);
    let is_whole = word(&header, 0) & !1 == MAGIC && sum.is(&header[24..]);
    if !is_whole || !page_bytes.is_power_of_two() || !(512..=65536).contains(&page_bytes) {
        return Ok(Some(bytes));
    }
    let (mut at, mut committed) = (HEADER_BYTES as u64, HEADER_BYTES as u64);
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
    let is_torn = loop {
        let found = read(&mut file, &mut frame)?;
        let of_this_round = found >= 16 && frame[8..16] == header[16..24];
        sum.add(&frame[..8]);
        sum.add(&frame[FRAME_HEADER_BYTES..]);
        if found < frame.len() || !of_this_round || !sum.is(&frame[16..24]) {
            // Space that was made for a write which never came is empty.
            break of_this_round || (found > 0 && frame[..found.min(16)].iter().all(|byte| *byte == 0)) || at > committed;
        }
        at += frame.len() as u64;
        if word(&frame, 4) != 0 {
            committed = at;
        }
    };
    Ok(is_torn.then(|| bytes - committed))
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
struct Sum {
    big_endian: bool,
    words: (u32, u32),
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let read = |bytes: &[u8]| {
            let word = word(bytes, 0);
            if self.big_endian { word } else { word.swap_bytes() }
        };
        let (mut first, mut second) = self.words;
        for pair in bytes.chunks_exact(8) {
            first = first.wrapping_add(read(pair)).wrapping_add(second);
            second = second.wrapping_add(read(&pair[4..])).wrapping_add(first);
        }
        self.words = (first, second);
    }

    /// Whether it is what is written there.
    fn is(&self, written: &[u8]) -> bool {
        self.words == (word(written, 0), word(written, 4))
    }
}
