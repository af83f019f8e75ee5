//! The configuration that is in force: the file, or the last good version of it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Config;

/// The copy of the last version that could be read.
const LAST_GOOD: &str = "config.last-good.toml";

/// Why a config file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("failed to read {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has an error: {what}", path.display())]
    Parse { path: PathBuf, what: String },
    #[error("failed to keep {}: {source}", path.display())]
    Keep { path: PathBuf, source: io::Error },
}

/// What is in force at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    /// What is wrong with the file, where it is not what is in force.
    pub(crate) error: Option<String>,
}

impl Snapshot {
    /// Returns what a person should be told of the file.
    pub(crate) fn note(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(format!("{error}\nthe last good configuration stays in force"))
    }
}

/// The file, and what of it is in force.
#[derive(Debug, Clone)]
pub(crate) struct CurrentConfig {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    /// The data directory.
    data: PathBuf,
    seen: Option<Version>,
    now: Snapshot,
}

/// Which version of the file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    Missing,
    File { inode: u64, size: u64, modified: (i64, i64) },
    Unreadable,
}

impl CurrentConfig {
    /// Reads the file; where it has an error, the last version that had none.
    pub(crate) fn load(path: &Path, data: &Path) -> Result<Self, ConfigError> {
        let now = Snapshot { config: Arc::default(), error: None };
        let mut inner = Inner { path: path.to_owned(), data: data.to_owned(), seen: None, now };
        match inner.last_good() {
            Ok(config) => inner.now.config = Arc::new(config),
            Err(error) => tracing::warn!("{error}; what it said is forgotten"),
        }
        inner.refresh();
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Returns what is in force, after a look at whether the file is another one by now; and
    /// whether that has changed anything.
    pub(crate) fn refresh(&self) -> (Snapshot, bool) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = inner.refresh();
        (inner.now.clone(), changed)
    }

    /// Returns what is in force, without a look at the file.
    pub(crate) fn current(&self) -> Snapshot {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).now.clone()
    }

    /// Returns where the file lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).path.clone()
    }

    /// Returns the folder of the file.
    pub(crate) fn folder(&self) -> Option<PathBuf> {
        self.path().parent().map(Path::to_owned)
    }
}

impl Inner {
    fn refresh(&mut self) -> bool {
        let version = version(&self.path);
        if self.seen == Some(version) {
            return false;
        }
        self.seen = Some(version);
        match self.read() {
            Ok((config, text)) => self.take(config, &text),
            Err(error) => {
                tracing::error!("{error}; the last good configuration stays in force");
                self.now.error = Some(error.to_string());
            }
        }
        true
    }

    fn read(&self) -> Result<(Config, String), ConfigError> {
        let text = read_text(&self.path)?;
        let config = Config::parse(&text)
            .map_err(|what| ConfigError::Parse { path: self.path.clone(), what })?;
        Ok((config, text))
    }

    /// Puts a good version in force.
    fn take(&mut self, config: Config, text: &str) {
        self.now.config = Arc::new(config);
        self.now.error = None;
        if let Err(error) = keep(&self.data.join(LAST_GOOD), text) {
            tracing::error!("{error}");
        }
    }

    fn last_good(&self) -> Result<Config, ConfigError> {
        let path = self.data.join(LAST_GOOD);
        let text = read_text(&path)?;
        // One that an older version of Nod took may be none any more.
        let parsed = Config::parse(&text);
        parsed.map_err(|what| ConfigError::Parse { path, what })
    }
}

fn version(path: &Path) -> Version {
    match fs::metadata(path) {
        Ok(file) => Version::File {
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Version::Missing,
        Err(_) => Version::Unreadable,
    }
}

/// Returns the text of a file; nothing of one that is not there.
fn read_text(path: &Path) -> Result<String, ConfigError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(source) => Err(ConfigError::Read { path: path.to_owned(), source }),
    }
}

fn keep(path: &Path, content: &str) -> Result<(), ConfigError> {
    let failed = |source| ConfigError::Keep { path: path.to_owned(), source };
    if fs::read_to_string(path).is_ok_and(|kept| kept == content) {
        return Ok(());
    }
    let fresh = path.with_extension("new");
    fs::write(&fresh, content).and_then(|()| fs::rename(&fresh, path)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place {
        folder: tempfile::TempDir,
    }

    impl Place {
        fn write(&self, text: &str) {
            // Another file each time, as editors do it: no clock tells the versions apart.
            let fresh = self.folder.path().join("fresh");
            fs::write(&fresh, text).unwrap();
            fs::rename(fresh, self.path()).unwrap();
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("config.toml")
        }

        fn load(&self) -> CurrentConfig {
            CurrentConfig::load(&self.path(), self.folder.path()).unwrap()
        }
    }

    fn place() -> Place {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    fn slots(snapshot: &Snapshot) -> u32 {
        snapshot.config.groups()["default"]
    }

    #[test]
    fn a_change_takes_effect_and_a_mistake_leaves_the_last_good_version_in_force() {
        let place = place();
        let current = place.load();
        assert_eq!(slots(&current.refresh().0), 64);
        place.write("[groups.default]\nslots = 2\n");
        let (now, changed) = current.refresh();
        assert_eq!((slots(&now), changed, now.note()), (2, true, None));
        place.write("[groups.default]\nslotz = 3\n");
        let (now, _) = current.refresh();
        let note = now.note().unwrap();
        assert_eq!(slots(&now), 2);
        assert!(note.contains("config.toml") && note.contains("line 2"), "{note}");
        assert!(note.contains("expected `slots`"), "{note}");
        // Also for a host that never saw the good one.
        let (now, _) = place.load().refresh();
        assert_eq!((slots(&now), now.error.is_some()), (2, true));
        place.write("");
        assert_eq!(current.refresh().0.note(), None);
    }
}
