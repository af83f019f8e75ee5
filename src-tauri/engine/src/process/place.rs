//! Which folder it is that has a name now, so that another in its place is noticed.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// A folder, by what no rename changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    inode: u64,
    /// When it was made, in nanoseconds since 1970; a number alone is given again. Nothing where
    /// the file system does not keep it. The device's number is not kept: another boot changes it.
    #[serde(default)]
    made: Option<u64>,
}

impl Place {
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let folder = fs::metadata(folder)?;
        let made = folder.created().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let made = made.and_then(|made| u64::try_from(made.as_nanos()).ok());
        Ok(Self { inode: folder.ino(), made })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_the_place_of_another_is_not_the_same() {
        let root = tempfile::tempdir().unwrap();
        let (work, old) = (root.path().join("work"), root.path().join("old"));
        fs::create_dir(&work).unwrap();
        let before = Place::of(&work).unwrap();
        fs::write(work.join("file"), "").unwrap();
        assert_eq!(Place::of(&work).unwrap(), before);
        fs::rename(&work, &old).unwrap();
        fs::create_dir(&work).unwrap();
        assert_ne!(Place::of(&work).unwrap(), before);
        assert_eq!(Place::of(&old).unwrap(), before);
    }
}
