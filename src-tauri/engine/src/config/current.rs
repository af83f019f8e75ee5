//! The configuration that is in force: the file, or the last good version of it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Config;

/// The copy of the last version that could be read.
const LAST_GOOD: &str = "config.last-good.toml";

/// How many links are followed from one to the next, as many as the system does.
const LINKS: usize = 40;

/// A folder in which a change of the config file shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    pub(crate) folder: PathBuf,
    /// The file or a link to it is in it; otherwise the folder for it may come.
    pub(crate) holds_file: bool,
}

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
    /// What is in force and is not kept for the next host yet.
    unkept: Option<String>,
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
        let (path, data) = (path.to_owned(), data.to_owned());
        let mut inner = Inner { path, data, seen: None, now, unkept: None };
        match inner.last_good() {
            Ok(config) => inner.now.config = Arc::new(config),
            Err(error) => tracing::warn!("{error}; what it said is forgotten"),
        }
        inner.refresh();
        Ok(Self { inner: Arc::new(Mutex::new(inner)) })
    }

    /// Returns what is in force, after a look at whether the file is another one by now. Whoever
    /// finds a change tells of it before anybody else can go by it.
    pub(crate) fn refresh(&self, tell: impl FnOnce(&Snapshot)) -> Snapshot {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.refresh() {
            tell(&inner.now);
        }
        inner.now.clone()
    }

    /// Returns what is in force, without a look at the file.
    pub(crate) fn current(&self) -> Snapshot {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).now.clone()
    }

    /// Returns where the file lies.
    pub(crate) fn path(&self) -> PathBuf {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).path.clone()
    }

    /// Returns where a change of the file shows: its folder, those of what it is a link to, and
    /// where one is not there yet, the nearest one above it.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        let mut path = self.path();
        let mut watched = Vec::new();
        for _ in 0..LINKS {
            let Some(folder) = path.parent() else { break };
            let is_there = |folder: &&Path| folder.is_dir();
            if let Some(nearest) = folder.ancestors().find(is_there) {
                let holds_file = nearest == folder;
                watched.push(Watched { folder: nearest.to_owned(), holds_file });
            }
            let Ok(target) = fs::read_link(&path) else { break };
            path = folder.join(target);
        }
        watched
    }
}

impl Inner {
    fn refresh(&mut self) -> bool {
        let version = version(&self.path);
        if self.seen == Some(version) {
            // The disk may have had no room for it.
            if self.keep().is_ok() {
                self.unkept = None;
            }
            return false;
        }
        self.seen = Some(version);
        match read(&self.path) {
            Ok((config, text)) => self.take(config, &text),
            Err(error) => {
                tracing::error!("{error}; the last good configuration stays in force");
                self.now.error = Some(error.to_string());
            }
        }
        true
    }

    /// Puts a good version in force.
    fn take(&mut self, config: Config, text: &str) {
        self.now.config = Arc::new(config);
        self.now.error = None;
        self.unkept = Some(text.to_owned());
        match self.keep() {
            Ok(()) => self.unkept = None,
            Err(error) => tracing::error!("{error}; it will be tried again"),
        }
    }

    /// Keeps for the next host what is in force.
    fn keep(&self) -> Result<(), ConfigError> {
        let Some(text) = &self.unkept else { return Ok(()) };
        keep(&self.data.join(LAST_GOOD), text)
    }

    fn last_good(&self) -> Result<Config, ConfigError> {
        // One that an older version of Nod took may be none any more.
        read(&self.data.join(LAST_GOOD)).map(|(config, _)| config)
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

/// Returns whether a config file can be used, or why not.
pub(crate) fn check(path: &Path) -> Result<(), ConfigError> {
    read(path).map(drop)
}

fn read(path: &Path) -> Result<(Config, String), ConfigError> {
    let text = read_text(path)?;
    let config =
        Config::parse(&text).map_err(|what| ConfigError::Parse { path: path.to_owned(), what })?;
    Ok((config, text))
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
        assert_eq!(slots(&current.refresh(|_| panic!("nothing has changed"))), 64);
        place.write("[groups.default]\nslots = 2\n");
        let mut changed = false;
        let now = current.refresh(|_| changed = true);
        assert_eq!((slots(&now), changed, now.note()), (2, true, None));
        place.write("[groups.default]\nslotz = 3\n");
        let now = current.refresh(|_| ());
        let note = now.note().unwrap();
        assert_eq!(slots(&now), 2);
        assert!(note.contains("config.toml") && note.contains("line 2"), "{note}");
        assert!(note.contains("expected `slots`"), "{note}");
        // Also for a host that never saw the good one.
        let now = place.load().refresh(|_| ());
        assert_eq!((slots(&now), now.error.is_some()), (2, true));
        place.write("");
        assert_eq!(current.refresh(|_| ()).note(), None);
    }

    #[test]
    fn what_could_not_be_kept_at_first_is_kept_later() {
        let place = place();
        let current = place.load();
        place.write("[groups.default]\nslots = 2\n");
        let in_the_way = place.folder.path().join(LAST_GOOD).with_extension("new");
        fs::create_dir(&in_the_way).unwrap();
        assert_eq!(slots(&current.refresh(|_| ())), 2);
        fs::remove_dir(&in_the_way).unwrap();
        current.refresh(|_| panic!("nothing has changed"));
        place.write("[groups.default]\nslotz = 3\n");
        assert_eq!(slots(&place.load().current()), 2);
    }

    #[test]
    fn a_change_shows_where_the_file_will_be_and_where_its_links_lead() {
        let place = place();
        let root = fs::canonicalize(place.folder.path()).unwrap();
        let current = CurrentConfig::load(&root.join("a/b/config.toml"), &root).unwrap();
        let watched = |folder: &Path, holds_file| Watched { folder: folder.to_owned(), holds_file };
        assert_eq!(current.watched(), [watched(&root, false)]);
        fs::create_dir_all(root.join("a/b")).unwrap();
        assert_eq!(current.watched(), [watched(&root.join("a/b"), true)]);
        let link = |target: &str, at: &str| std::os::unix::fs::symlink(target, root.join(at));
        link("../second", "a/b/config.toml").unwrap();
        link("dotfiles/nod.toml", "a/second").unwrap();
        let expected = [
            watched(&root.join("a/b"), true),
            watched(&root.join("a/b/.."), true),
            watched(&root.join("a/b/.."), false),
        ];
        assert_eq!(current.watched(), expected);
    }
}
