//! Noticing a shim that does not answer any more, and what is done about it.
//!
//! A deadline and a cancel are the shim's to enforce, and a shim that is stopped, be it by its own
//! task, enforces nothing. So once it should have done something it is asked whether it is there.
//! One that is stopped is let go on; one that stays silent for longer than the signals of a cancel
//! may take is killed, and what it leaves is swept as that of any lost attempt.

use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nod_core::shim::{ProcessIdentity, SPEC_FILE, Spec, ToShim};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::process::{self, connect_shim};

/// How long after it should have done something a shim is asked.
const SOON: Duration = Duration::from_secs(1);

/// How long a shim may take to answer, on a machine that is busy.
const ANSWER: Duration = Duration::from_secs(5);

/// How often one that was found silent is asked at the most while its task is being ended.
const ASKED: u32 = 16;

/// What is waited for from one shim.
pub(super) struct Answering {
    shim: Shim,
    /// When to ask, because it was told to do something or said that it would.
    due: Option<Instant>,
    /// When its task's time is up, and how much that is from the start on.
    deadline: Option<Instant>,
    limit: Option<Duration>,
    asking: JoinSet<()>,
    gave_up: Arc<AtomicBool>,
}

/// Where a shim is found.
#[derive(Debug, Clone)]
struct Shim {
    folder: PathBuf,
    /// Where this host started it.
    child: Option<u32>,
}

/// What was found of a shim that does not answer, for a person.
type Tell = Box<dyn Fn(String) + Send + Sync>;

impl Answering {
    /// Begins to wait for a shim whose task's time is up after `limit`; and soon, if it is being
    /// ended already.
    pub(super) fn new(
        folder: PathBuf,
        child: Option<u32>,
        limit: Option<Duration>,
        is_ending: bool,
    ) -> Self {
        let now = Instant::now();
        Self {
            shim: Shim { folder, child },
            due: is_ending.then(|| now + SOON),
            deadline: limit.and_then(|limit| now.checked_add(limit + SOON)),
            limit,
            asking: JoinSet::new(),
            gave_up: Arc::default(),
        }
    }

    /// Notes that the task's process exists from now on.
    pub(super) fn started(&mut self) {
        self.deadline = self.limit.and_then(|limit| Instant::now().checked_add(limit + SOON));
    }

    /// Notes that the shim is told something.
    pub(super) fn told(&mut self, order: &ToShim) {
        match order {
            ToShim::Stop => self.due = Some(Instant::now() + SOON),
            ToShim::Deadline { at_boot_ms } => {
                let left = |at: u64| at.saturating_sub(process::since_boot_ms());
                let left = at_boot_ms.map(|at| Duration::from_millis(left(at)) + SOON);
                self.deadline = left.and_then(|left| Instant::now().checked_add(left));
            }
            ToShim::Acknowledge
            | ToShim::Pause
            | ToShim::Resume
            | ToShim::Input { .. }
            | ToShim::Resize { .. } => {}
        }
    }

    /// Notes that the shim ends its task, and does the next thing about it after `next`.
    pub(super) fn ends(&mut self, next: Duration) {
        self.deadline = None;
        self.due = Instant::now().checked_add(next + SOON);
    }

    /// Returns once the shim is to be asked; never when that is not so.
    pub(super) async fn due(&self) {
        match self.due.into_iter().chain(self.deadline).min() {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Asks the shim, beside everything else, and sees to it where it does not answer.
    pub(super) fn ask(&mut self, tell: Tell) {
        (self.due, self.deadline) = (None, None);
        while self.asking.try_join_next().is_some() {}
        if self.asking.is_empty() {
            let (shim, gave_up) = (self.shim.clone(), Arc::clone(&self.gave_up));
            self.asking.spawn(async move { shim.see_to_it(ANSWER, &gave_up, &tell).await });
        }
    }

    /// Returns whether the shim was killed, since it did not answer.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }
}

impl Shim {
    /// Asks for as long as it takes until the shim answers at once, or is killed.
    async fn see_to_it(self, answer: Duration, gave_up: &AtomicBool, tell: &Tell) {
        let patience = self.graces() + answer;
        let mut silent_since: Option<Instant> = None;
        let mut was_stopped = false;
        loop {
            let process = self.process();
            let is_stopped = process.is_some_and(process::is_stopped);
            if !is_stopped && self.answers(answer).await {
                if silent_since.is_none() {
                    return;
                }
                // Whoever stopped it may do so again before it has come to anything.
                silent_since = None;
            } else {
                let since = *silent_since.get_or_insert_with(Instant::now);
                if is_stopped && !std::mem::replace(&mut was_stopped, true) {
                    tell(format!("{}: it is let go on", named(process, "was stopped")));
                }
                let Some(process) = process else { return };
                if since.elapsed() >= patience {
                    tell(format!("{}: it is killed", named(Some(process), "does not answer")));
                    gave_up.store(true, Ordering::Relaxed);
                    return report(process, process::kill_exactly(process));
                }
                report(process, process::let_go_on(process));
            }
            sleep((patience / ASKED).max(answer / ASKED)).await;
        }
    }

    /// Returns whether the shim answers, or is gone, which its connection tells by itself.
    async fn answers(&self, within: Duration) -> bool {
        let folder = self.folder.clone();
        let asked = tokio::task::spawn_blocking(move || greeted(&folder, within)).await;
        match asked {
            Ok(Ok(is_there)) => is_there,
            Ok(Err(error)) => {
                let is_silent =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                !is_silent
            }
            Err(_ended) => true,
        }
    }

    /// Returns the shim's process; nothing where that is not known.
    fn process(&self) -> Option<ProcessIdentity> {
        process::claimant(&self.folder).or_else(|| process::identity(self.child?.cast_signed()))
    }

    /// Returns how long the signals of a cancel may take to work.
    fn graces(&self) -> Duration {
        let spec = std::fs::read(self.folder.join(SPEC_FILE)).unwrap_or_default();
        let grace = serde_json::from_slice::<Spec>(&spec).map_or(0, |spec| spec.grace_ms);
        Duration::from_millis(grace.saturating_mul(2))
    }
}

/// Returns whether a shim says where it stands, as it does first on each connection.
fn greeted(folder: &Path, within: Duration) -> io::Result<bool> {
    let shim = connect_shim(folder)?;
    shim.set_read_timeout(Some(within))?;
    Ok(BufReader::new(shim).read_line(&mut String::new())? > 0)
}

fn named(process: Option<ProcessIdentity>, what: &str) -> String {
    match process {
        Some(process) => format!("its shim (process {}) {what}", process.pid),
        None => format!("its shim {what}"),
    }
}

fn report(process: ProcessIdentity, done: io::Result<()>) {
    if let Err(error) = done {
        tracing::error!("failed to reach the shim of process {}: {error}", process.pid);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::process::{Child, Command};
    use std::sync::Mutex;

    use nod_core::shim::{CLAIM_FILE, Claimant, SHIM_SOCKET};

    use super::*;

    /// Something that listens as a shim does, and never says a word.
    struct Silent {
        folder: tempfile::TempDir,
        process: Child,
        _listener: UnixListener,
    }

    impl Silent {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(folder.path().join(SHIM_SOCKET)).unwrap();
            let process = Command::new("sleep").arg("8801").spawn().unwrap();
            let known = process::identity(process.id().cast_signed()).unwrap();
            let (pid, start_time) = (known.pid, known.start_time);
            let claim = Claimant { pid, start_time, boot_id: process::boot_id() };
            std::fs::write(folder.path().join(CLAIM_FILE), serde_json::to_vec(&claim).unwrap())
                .unwrap();
            Self { folder, process, _listener: listener }
        }

        fn shim(&self) -> Shim {
            Shim { folder: self.folder.path().to_owned(), child: None }
        }
    }

    impl Drop for Silent {
        fn drop(&mut self) {
            self.process.kill().ok();
            self.process.wait().ok();
        }
    }

    fn told() -> (Arc<Mutex<Vec<String>>>, Tell) {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&told);
        (told, Box::new(move |what| kept.lock().unwrap().push(what)))
    }

    #[tokio::test]
    async fn a_shim_that_never_answers_is_killed_and_that_is_told() {
        let mut silent = Silent::new();
        let (told, tell) = told();
        let gave_up = AtomicBool::new(false);
        silent.shim().see_to_it(Duration::from_millis(30), &gave_up, &tell).await;
        assert!(gave_up.load(Ordering::Relaxed));
        assert!(!silent.process.wait().unwrap().success());
        let told = told.lock().unwrap();
        let expected =
            format!("its shim (process {}) does not answer: it is killed", silent.process.id());
        assert_eq!(*told, [expected]);
    }

    #[tokio::test]
    async fn a_process_that_has_the_number_of_a_shim_that_is_gone_is_not_touched() {
        let mut silent = Silent::new();
        let path = silent.folder.path().join(CLAIM_FILE);
        let claim: Claimant = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let another_start = Claimant { start_time: claim.start_time + 1, ..claim.clone() };
        // Start times count from the boot, so that they come round with the numbers.
        let another_boot = Claimant { boot_id: "the one before".to_owned(), ..claim };
        for claim in [another_start, another_boot] {
            std::fs::write(&path, serde_json::to_vec(&claim).unwrap()).unwrap();
            let (told, tell) = told();
            let gave_up = AtomicBool::new(false);
            silent.shim().see_to_it(Duration::from_millis(30), &gave_up, &tell).await;
            assert!(!gave_up.load(Ordering::Relaxed), "{claim:?}");
            assert_eq!(*told.lock().unwrap(), [] as [String; 0], "{claim:?}");
            assert!(silent.process.try_wait().unwrap().is_none(), "{claim:?}");
        }
    }
}
