//! Opening the history with care: looked at after an unclean end, copied before it is changed,
//! and set aside when it is damaged.
//!
//! Nothing is ever deleted here: what was set aside lies in a folder of its
//! own, with a report of what was found.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Rescued, Store, StoreError, rescue, reserve, wal};

/// Is there while a host uses the history: one that finds it knows that the last end was none. Where
/// it is not empty, it names the folder that a damaged history was put into, and the rescued one is
/// not settled yet.
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
    match open_once(data, now) {
        Ok(opened) => {
            reserve::keep(data);
            Ok(opened)
        }
        Err(error) if error.is_full() && reserve::give_up(data) => {
            tracing::warn!("the disk is full: the room that was kept in reserve is used");
            open_once(data, now)
        }
        Err(error) => Err(error),
    }
}

fn open_once(data: &Path, now: &str) -> Result<Opened, StoreError> {
    let place = Place { data, aside: data.join(DAMAGED).join(now) };
    let path = data.join("nod.db");
    let mark = data.join(MARK);
    let unclean = mark.exists();
    let begun = place.finish_rescue(&path)?;
    if begun.is_none() {
        fs::write(&mark, "").or_else(|error| place.took(&mark, Err(error)))?;
    }
    let was_begun = begun.is_some();
    let mut findings = vec![];
    let lost = if unclean { wal::lost(&path.with_extension("db-wal")) } else { None };
    if let Some(lost) = lost {
        place.copy_aside()?;
        findings.push(format!(
            "the newest part of the history was damaged, and {lost} of the last changes could not \
             be read; a copy lies in {}",
            place.aside.display()
        ));
    }
    let (store, rescued) = match checked(&path, unclean) {
        Ok(store) => (store, was_begun),
        Err(error) if error.is_damage() => {
            let found = std::mem::take(&mut findings);
            findings = place.rescue(&path, &error, found)?;
            (Store::open(&path)?, true)
        }
        Err(error) => return Err(error),
    };
    if lost.is_some() {
        // What turned one off may be among what is lost.
        rescue::forget_settings(&store.connection)?;
    }
    place.write_report(&findings)?;
    findings.splice(0..0, begun.into_iter().flatten());
    Ok(Opened { store, findings, unclean: unclean || rescued, rescued })
}

/// Notes that a host has ended in order. One that met damage leaves the next one to look.
pub(crate) fn close(data: &Path) {
    // The next one may need it.
    reserve::keep(data);
    if super::damage_was_seen() {
        return;
    }
    if let Err(error) = fs::remove_file(data.join(MARK)) {
        tracing::warn!("the next start will check the history without need: {error}");
    }
}

/// Notes that what a rescue lost was looked for elsewhere, and put back where it was found.
pub(crate) fn settled(data: &Path) {
    if let Err(error) = fs::write(data.join(MARK), "") {
        tracing::warn!("the next start will look again for what the history lost: {error}");
    }
}

/// Has the next opening look through the history, as after an unclean end.
pub(crate) fn suspect(data: &Path) -> io::Result<()> {
    // What it says already stays.
    OpenOptions::new().append(true).create(true).open(data.join(MARK)).map(drop)
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
    /// Returns all that was found.
    ///
    /// Each step leaves what [`Place::finish_rescue`] needs to go on, should it be the last one.
    fn rescue(
        &self,
        path: &Path,
        error: &StoreError,
        mut findings: Vec<String>,
    ) -> Result<Vec<String>, StoreError> {
        let fresh = self.data.join(RESCUE);
        for old in with_companions(&fresh) {
            remove(&old).or_else(|error| self.took(&old, Err(error)))?;
        }
        let rescued = rescue::rescue(path, &fresh)?;
        self.took(&fresh, sync(&fresh))?;
        findings.push(self.report(error, &rescued));
        self.make_aside()?;
        self.write_report(&findings)?;
        let mark = self.data.join(MARK);
        let name = self.aside.file_name().unwrap_or_default();
        self.took(&mark, fs::write(&mark, name.as_encoded_bytes()).and_then(|()| sync(&mark)))?;
        self.move_aside(path)?;
        self.put_in_place(&fresh, path)?;
        Ok(findings)
    }

    /// Goes on with a rescue whose host died in the middle of it, and returns what that had found;
    /// nothing where there is none, or it is to begin anew.
    fn finish_rescue(&self, path: &Path) -> Result<Option<Vec<String>>, StoreError> {
        let fresh = self.data.join(RESCUE);
        let name = fs::read_to_string(self.data.join(MARK)).unwrap_or_default();
        let is_named = !name.is_empty();
        let aside = match (path.exists(), fresh.exists()) {
            (true, false) if is_named => self.data.join(DAMAGED).join(name),
            (false, true) if is_named => self.data.join(DAMAGED).join(name),
            // An earlier version wrote no name.
            (false, true) => match self.last_aside() {
                Some(aside) => aside,
                None => return Ok(None),
            },
            (true, _) | (false, false) => return Ok(None),
        };
        let earlier = Place { data: self.data, aside };
        if !path.exists() {
            // First: SQLite would put the log of the damaged history into the rescued one.
            earlier.move_aside(path)?;
            earlier.put_in_place(&fresh, path)?;
        }
        let report = earlier.aside.join(REPORT);
        if let Ok(report) = fs::read_to_string(&report) {
            return Ok(Some(report.lines().map(str::to_owned).collect()));
        }
        let found = vec![format!(
            "the history was damaged: it was set aside in {}; what could be read of it is kept",
            earlier.aside.display()
        )];
        earlier.write_report(&found)?;
        Ok(Some(found))
    }

    fn last_aside(&self) -> Option<PathBuf> {
        let folders = fs::read_dir(self.data.join(DAMAGED)).into_iter().flatten().flatten();
        folders.map(|folder| folder.path()).max()
    }

    /// Moves the damaged history, or what is left of it, into its folder.
    fn move_aside(&self, path: &Path) -> Result<(), StoreError> {
        for file in with_companions(path) {
            let name = file.file_name().expect("a database has a name");
            match fs::rename(&file, self.aside.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                moved => self.took(&file, moved)?,
            }
        }
        self.took(&self.aside, sync(&self.aside))?;
        self.took(self.data, sync(self.data))
    }

    fn put_in_place(&self, fresh: &Path, path: &Path) -> Result<(), StoreError> {
        self.took(path, fs::rename(fresh, path))?;
        self.took(self.data, sync(self.data))
    }

    fn write_report(&self, findings: &[String]) -> Result<(), StoreError> {
        if findings.is_empty() {
            return Ok(());
        }
        let report = self.aside.join(REPORT);
        self.took(&report, fs::write(&report, findings.join("\n") + "\n"))
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

/// Has a file, or the names in a folder, survive a power cut.
fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
