//! Opening the history with care: looked at after an unclean end, copied before it is changed,
//! and set aside when it is damaged.
//!
//! Nothing is ever deleted here: what was set aside lies in a folder of its
//! own, with a report of what was found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Rescued, Store, StoreError, rescue, wal};

/// Is there while a host uses the history: one that finds it knows that the last end was none.
const MARK: &str = "nod.db-in-use";

/// What a rescue is written to until it is whole.
const RESCUE: &str = "nod.db-rescue";

/// Holds what was set aside.
pub(crate) const DAMAGED: &str = "damaged";

/// The report beside what was set aside.
pub(crate) const REPORT: &str = "report.txt";

/// A history that is open.
pub(crate) struct Opened {
    pub(crate) store: Store,
    /// What a person should know, a sentence each.
    pub(crate) findings: Vec<String>,
    /// The last host did not end in order.
    pub(crate) unclean: bool,
    /// Some of the history is gone, so that its newest task may not be the newest there was.
    pub(crate) rescued: bool,
}

/// Opens the history of a data directory, and repairs what can be repaired.
///
/// `now` names what is set aside.
pub(crate) fn open(data: &Path, now: &str) -> Result<Opened, StoreError> {
    let place = Place { data, aside: data.join(DAMAGED).join(now) };
    let path = data.join("nod.db");
    let mark = data.join(MARK);
    let unclean = mark.exists();
    let mut findings = vec![];
    // A rescue that was finished by a host that died just then.
    if !path.exists() && data.join(RESCUE).exists() && data.join(DAMAGED).exists() {
        place.took(&data.join(RESCUE), fs::rename(data.join(RESCUE), &path))?;
    }
    fs::write(&mark, "").or_else(|error| place.took(&mark, Err(error)))?;
    if unclean && let Some(lost) = wal::lost(&path.with_extension("db-wal")) {
        place.copy_aside()?;
        findings.push(format!(
            "the newest part of the history was damaged, and {lost} of the last changes could not \
             be read; a copy lies in {}",
            place.aside.display()
        ));
    }
    let (store, rescued) = match checked(&path, unclean) {
        Ok(store) => (store, false),
        Err(error) if error.is_damage() => {
            let rescued = place.rescue(&path)?;
            findings.push(place.report(&error, &rescued));
            (Store::open(&path)?, true)
        }
        Err(error) => return Err(error),
    };
    if !findings.is_empty() {
        let report = place.aside.join(REPORT);
        place.took(&report, fs::write(&report, findings.join("\n") + "\n"))?;
    }
    Ok(Opened { store, findings, unclean, rescued })
}

/// Notes that a host has ended in order. One that met damage leaves the next one to look.
pub(crate) fn close(data: &Path) {
    if super::damage_was_seen() {
        return;
    }
    if let Err(error) = fs::remove_file(data.join(MARK)) {
        tracing::warn!("the next start will check the history without need: {error}");
    }
}

/// Has the next opening look through the history, as after an unclean end.
pub(crate) fn suspect(data: &Path) -> io::Result<()> {
    fs::write(data.join(MARK), "")
}

/// Looks through a history that may be in use, changes nothing, and says what it is like.
pub(crate) fn examine(path: &Path) -> Result<String, StoreError> {
    let connection = super::open_reader(path)?;
    let version = super::version(&connection)?;
    if version > super::MIGRATIONS.len() {
        return Err(StoreError::Newer(path.to_owned()));
    }
    super::write::check(&connection)?;
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    Ok(format!("it is sound ({} MiB, schema {version})", bytes >> 20))
}

fn checked(path: &Path, unclean: bool) -> Result<Store, StoreError> {
    let store = Store::open(path)?;
    if unclean {
        store.check()?;
    }
    Ok(store)
}

/// Where things are put.
struct Place<'a> {
    data: &'a Path,
    /// The folder for what is set aside now.
    aside: PathBuf,
}

impl Place<'_> {
    /// Builds a new history of what can be read, and puts it into the place of the damaged one.
    fn rescue(&self, path: &Path) -> Result<Rescued, StoreError> {
        let fresh = self.data.join(RESCUE);
        for old in with_companions(&fresh) {
            remove(&old).or_else(|error| self.took(&old, Err(error)))?;
        }
        let rescued = rescue::rescue(path, &fresh)?;
        self.make_aside()?;
        for file in with_companions(path) {
            let name = file.file_name().expect("a database has a name");
            match fs::rename(&file, self.aside.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => self.took(&file, moved)?,
            }
        }
        self.took(path, fs::rename(&fresh, path))?;
        Ok(rescued)
    }

    fn copy_aside(&self) -> Result<(), StoreError> {
        self.make_aside()?;
        for file in with_companions(&self.data.join("nod.db")) {
            let name = file.file_name().expect("a database has a name");
            match fs::copy(&file, self.aside.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => self.took(&file, copied.map(drop))?,
            }
        }
        Ok(())
    }

    fn make_aside(&self) -> Result<(), StoreError> {
        self.took(&self.aside, fs::create_dir_all(&self.aside))
    }

    fn report(&self, error: &StoreError, rescued: &Rescued) -> String {
        format!(
            "the history was damaged ({error}): it was set aside in {}; {} of its tasks could be \
             read and are kept{}",
            self.aside.display(),
            rescued.tasks,
            if rescued.lost == 0 {
                String::new()
            } else {
                format!(", {} rows could not", rescued.lost)
            }
        )
    }

    fn took(&self, path: &Path, result: io::Result<()>) -> Result<(), StoreError> {
        result.map_err(|source| StoreError::Aside { path: path.to_owned(), source })
    }
}

/// Returns a database and what SQLite keeps beside it.
fn with_companions(path: &Path) -> [PathBuf; 3] {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [path.to_owned(), beside("-wal"), beside("-shm")]
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
