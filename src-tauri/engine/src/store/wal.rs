//! Looking into a write-ahead log before SQLite does.
//!
//! SQLite reads a log up to the first frame that is not whole, and passes over
//! the rest without a word. After a crash that is what was being written; a
//! commit that lies behind such a frame was whole once, so the log is damaged.
//! The layout is that of "WAL-mode file format" in SQLite's documentation.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
const MAGIC: u32 = 0x377f_0682;

/// Returns how many commits lie behind a damaged frame; nothing when there is none.
pub(crate) fn lost(path: &Path) -> Option<u32> {
    // A log that is not there or not begun loses nothing; one that cannot be read SQLite reports.
    let lost = File::open(path).and_then(|file| count_lost(BufReader::new(file))).ok()?;
    (lost > 0).then_some(lost)
}

fn count_lost(mut log: impl Read) -> io::Result<u32> {
    let mut header = [0; HEADER];
    log.read_exact(&mut header)?;
    let magic = word(&header, 0);
    if magic & !1 != MAGIC {
        return Ok(0);
    }
    let big_endian = magic & 1 == 1;
    let page = word(&header, 8) as usize;
    let mut sum = checksum(big_endian, (0, 0), &header[..24]);
    if sum != (word(&header, 24), word(&header, 28)) || !(512..=65_536).contains(&page) {
        return Ok(0);
    }
    let mut frame = vec![0; FRAME_HEADER + page];
    let (mut whole, mut lost) = (true, 0);
    while read_whole(&mut log, &mut frame)? {
        // Frames of an earlier round of the log bear other salts, and so may a damaged one.
        if frame[8..16] != header[16..24] {
            whole = false;
            continue;
        }
        if whole {
            sum = checksum(big_endian, sum, &frame[..8]);
            sum = checksum(big_endian, sum, &frame[FRAME_HEADER..]);
            whole = sum == (word(&frame, 16), word(&frame, 20));
            if whole {
                continue;
            }
        }
        lost += u32::from(word(&frame, 4) != 0);
    }
    // The one that is not whole itself may be the commit that was being written.
    Ok(lost.saturating_sub(1))
}

fn read_whole(log: &mut impl Read, frame: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(frame) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn checksum(big_endian: bool, (mut a, mut b): (u32, u32), bytes: &[u8]) -> (u32, u32) {
    let read = |bytes: &[u8]| {
        let four = [bytes[0], bytes[1], bytes[2], bytes[3]];
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(read(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(read(&pair[4..])).wrapping_add(a);
    }
    (a, b)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use rusqlite::Connection;

    use super::*;

    /// Returns a log of five commits, as a killed process leaves it.
    fn log(folder: &Path) -> PathBuf {
        let path = folder.join("a.db");
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.execute("CREATE TABLE t (x)", []).unwrap();
        for text in ["a", "b", "c", "d"] {
            connection.execute("INSERT INTO t VALUES (?1)", [text.repeat(5_000)]).unwrap();
        }
        let copy = folder.join("copy-wal");
        fs::copy(folder.join("a.db-wal"), &copy).unwrap();
        copy
    }

    #[test]
    fn a_whole_log_and_one_that_was_being_written_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        assert_eq!(lost(&path), None);
        let bytes = fs::read(&path).unwrap();
        for cut in [1, 4_096, 5_000, bytes.len() - 40, bytes.len()] {
            fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
            assert_eq!(lost(&path), None, "cut by {cut}");
        }
        assert_eq!(lost(Path::new("/nowhere")), None);
    }

    #[test]
    fn commits_behind_a_damaged_frame_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = log(folder.path());
        let mut bytes = fs::read(&path).unwrap();
        let frame = FRAME_HEADER + 4_096;
        // A byte of the third frame's page, or of its salt: what follows it is lost.
        for at in [FRAME_HEADER + 100, 9] {
            bytes[HEADER + 2 * frame + at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(lost(&path).is_some_and(|lost| lost >= 3), "{at}: {:?}", lost(&path));
            bytes[HEADER + 2 * frame + at] ^= 1;
        }
    }
}
