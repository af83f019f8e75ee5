//! Reading a log whose oldest part may have been given back to the disk.
//!
//! A shim punches holes into a log that grows past its bound. The file itself says where they
//! are: lseek(2), `SEEK_DATA` and `SEEK_HOLE`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// Returns up to `limit` bytes that are on the disk from `offset` on, and where they begin.
pub(crate) fn kept(file: &File, offset: u64, limit: usize) -> io::Result<(u64, Vec<u8>)> {
    loop {
        let Some(start) = data_from(file, offset)? else { return Ok((offset, Vec::new())) };
        let Some(end) = hole_from(file, start)? else { continue };
        let room = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        let mut bytes = read_at(file, start, limit.min(room))?;
        // The shim may have made a hole of it meanwhile, and then these are not what was printed.
        match hole_from(file, start)? {
            Some(now) if now < start + bytes.len() as u64 => {
                bytes.truncate(usize::try_from(now - start).unwrap_or(0));
                if !bytes.is_empty() {
                    return Ok((start, bytes));
                }
            }
            Some(_) => return Ok((start, bytes)),
            None => {}
        }
    }
}

/// Returns where the data at or after `offset` begins; nothing when there is none.
fn data_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(offset)) {
        Ok(start) => Ok(Some(start)),
        Err(Errno::NXIO) => Ok(None),
        // A file system without holes, or something that is no file.
        Err(Errno::INVAL | Errno::SPIPE) => Ok(Some(offset)),
        Err(error) => Err(error.into()),
    }
}

/// Returns where the hole after the data at `offset` begins, the end of the file at the latest;
/// nothing when there is no data any more.
fn hole_from(file: &File, offset: u64) -> io::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Hole(offset)) {
        Ok(end) if end > offset => Ok(Some(end)),
        Ok(_) | Err(Errno::NXIO) => Ok(None),
        Err(Errno::INVAL | Errno::SPIPE) => Ok(Some(u64::MAX)),
        Err(error) => Err(error.into()),
    }
}

fn read_at(file: &File, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let mut filled = 0;
    while filled < limit {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rustix::fs::FallocateFlags;

    use super::*;

    fn log_with_hole(hole: std::ops::Range<u64>) -> File {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..1_000_000).map(|at: u32| b'a' + (at % 26) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, hole.start, hole.end - hole.start).unwrap();
        file
    }

    #[test]
    fn a_hole_is_stepped_over_and_offsets_stay_true() {
        let file = log_with_hole(65_536..524_288);
        let (start, head) = kept(&file, 65_530, 100).unwrap();
        assert_eq!((start, head.len()), (65_530, 6));
        for inside in [65_536, 65_537, 524_287] {
            let (start, bytes) = kept(&file, inside, 3).unwrap();
            let letter = |at: u64| b'a' + (at % 26) as u8;
            assert_eq!((start, bytes), (524_288, (524_288..524_291).map(letter).collect()));
        }
        assert_eq!(kept(&file, 1_000_000, 10).unwrap(), (1_000_000, vec![]));
        assert_eq!(kept(&file, 2_000_000, 10).unwrap(), (2_000_000, vec![]));
    }

    #[test]
    fn bytes_that_are_zero_are_no_hole() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[0; 100_000], 0).unwrap();
        assert_eq!(kept(&file, 10, 50_000).unwrap(), (10, vec![0; 50_000]));
    }

    #[test]
    fn what_is_no_file_on_a_disk_can_be_read() {
        let file = File::open("/proc/self/status").unwrap();
        assert!(!kept(&file, 0, 100).unwrap().1.is_empty());
    }
}
