//! `exit.json`: how the attempt ended, whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use crate::contract::shim::{EXIT_FILE, Report};
use rustix::fs::FallocateFlags;
use rustix::io::Errno;

const PART: &str = "exit.json.part";
/// Holds every report but those with extreme paths in them.
const RESERVED: u64 = 4096;

/// Room on the disk for the report, taken while there was some.
pub(crate) struct ExitFile {
    file: File,
}

impl ExitFile {
    pub(crate) fn reserve() -> io::Result<Self> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(PART)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, RESERVED) {
            Ok(()) => {}
            // The file system cannot reserve: as posix_fallocate(3) does, write.
            Err(error) if error == Errno::OPNOTSUPP => {
                file.write_all(&[0; RESERVED as usize])?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Self { file })
    }

    /// Puts the report in place.
    pub(crate) fn write(&mut self, report: &Report) -> io::Result<()> {
        let content = serde_json::to_vec(report)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&content)?;
        self.file.set_len(content.len() as u64)?;
        fs::rename(PART, EXIT_FILE)
    }

    /// Waits until the report survives a power cut.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()?;
        File::open(".")?.sync_all()
    }
}
