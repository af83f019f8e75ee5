//! Carrying out the ladder: which processes get which signal, and which of them refuse.

use std::collections::BTreeSet;

use nod_core::shim::{ProcessIdentity, ShimStop};
use nod_core::task::StopStage;
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use super::clock::{self, Moment};
use super::ladder::{Ladder, Rung, Step};
use super::processes::{self, Process};

/// How long a process that refuses SIGKILL may hold up the end.
const REFUSAL_WAIT_MS: u64 = 2000;
/// How often at once to look for processes that were born while others were signalled.
const MOST_LOOKS: usize = 20;
const MOST_NAMES: usize = 5;
/// What a person who is at the terminal would do.
pub(crate) const CTRL_C: &str = "Ctrl-C";

/// The ending of a task's processes.
pub(crate) struct Stopping {
    main: i32,
    ladder: Ladder,
    stage: Option<StopStage>,
    /// Processes of other users, which this one may not signal.
    refused: Vec<ProcessIdentity>,
    /// The main process hears Ctrl-C from its terminal.
    typed: bool,
}

impl Stopping {
    /// Returns a ladder on whose first rung Ctrl-C is `typed` by the caller, instead of a signal.
    pub(crate) fn new(main: i32, ladder: Ladder, typed: bool) -> Self {
        Self { main, ladder, stage: None, refused: Vec::new(), typed }
    }

    pub(crate) fn cause(&self) -> ShimStop {
        self.ladder.cause
    }

    pub(crate) fn stage(&self) -> Option<(ShimStop, StopStage)> {
        self.stage.clone().map(|stage| (self.ladder.cause, stage))
    }

    /// Returns whether the first signal was sent.
    pub(crate) fn has_begun(&self) -> bool {
        self.stage.is_some()
    }

    pub(crate) fn next_moment(&self) -> Moment {
        self.ladder.next_moment()
    }

    /// Does what is due, and returns the stage if it is a new one.
    pub(crate) fn advance(&mut self, now: Moment, main_ended: bool) -> Option<StopStage> {
        let step = self.ladder.step(now, main_ended)?;
        let Step::Climb(rung) = step else {
            self.kill();
            return None;
        };
        let waits_for = match rung {
            Rung::Interrupt => self.interrupt(),
            Rung::Terminate => self.terminate(),
            Rung::Kill => self.kill(),
        };
        let is_typed = self.typed && rung == Rung::Interrupt;
        let stage = StopStage {
            signal: if is_typed { CTRL_C } else { rung.signal_name() }.to_owned(),
            next_at: self.ladder.grace_after(rung).map(|grace| clock::now().plus(grace)),
            waits_for,
            refused: self.refused.iter().map(|process| cannot_kill(process.pid)).collect(),
        };
        self.stage = Some(stage.clone());
        Some(stage)
    }

    /// Kills again, if it has come to that: who ends may have had a child first.
    pub(crate) fn follow_up(&mut self) {
        if self.ladder.killed_at().is_some() {
            self.kill();
        }
    }

    /// Returns whether SIGKILL has had the time that it needs at most, but for those who refuse.
    pub(crate) fn may_give_up(&self, now: Moment) -> bool {
        !self.refused.is_empty()
            && self.ladder.killed_at().is_some_and(|at| at.plus(REFUSAL_WAIT_MS) <= now)
    }

    /// Returns whether nothing but processes that refuse SIGKILL is left, and has been for long.
    pub(crate) fn gives_up_on(&self, remaining: &[Process], now: Moment) -> bool {
        let refuses = |process: &Process| self.refused.contains(&process.identity());
        self.may_give_up(now) && remaining.iter().all(refuses)
    }

    /// Interrupts the main process's group, as Ctrl-C in a terminal does.
    fn interrupt(&mut self) -> Vec<String> {
        let main = self.main;
        let members = processes::in_group(main);
        let is_spared = |pid: &i32| *pid != main && processes::is_guarded(*pid);
        let is_shared = members.iter().any(is_spared);
        let mut found: Vec<Process> = if is_shared {
            // What is below a host in the group is the host's, not the task's.
            let all = processes::descendants(main);
            all.into_iter().filter(|process| process.group == main).collect()
        } else {
            members.into_iter().filter_map(processes::read).collect()
        };
        found.retain(|process| process.alive);
        if self.typed {
            found.iter().for_each(|process| self.wake(process));
        } else if is_shared {
            found.iter().for_each(|process| self.send(process, Signal::INT));
        } else {
            self.signal_group(main, Signal::INT);
            found.iter().for_each(|process| self.wake(process));
        }
        found.iter().take(MOST_NAMES).map(title).collect()
    }

    /// Asks every process once: for many programs a second SIGTERM means "at once".
    fn terminate(&mut self) -> Vec<String> {
        let mut asked: Vec<ProcessIdentity> = Vec::new();
        let mut waits_for = Vec::new();
        for _ in 0..MOST_LOOKS {
            let mut found = processes::descendants(self.main);
            found.retain(|process| !asked.contains(&process.identity()));
            if found.is_empty() {
                break;
            }
            waits_for.extend(found.iter().take(MOST_NAMES - waits_for.len()).map(title));
            found.iter().for_each(|process| self.send(process, Signal::TERM));
            asked.extend(found.iter().map(Process::identity));
        }
        waits_for
    }

    /// Kills until a look finds nobody new: whoever is told to die can no longer fork.
    fn kill(&mut self) -> Vec<String> {
        let mut killed: Vec<ProcessIdentity> = Vec::new();
        let mut waits_for = Vec::new();
        let mut strangers = BTreeSet::new();
        for _ in 0..MOST_LOOKS {
            // A process that forks and ends faster than the whole of /proc can be read is hit
            // only at the very moment it is seen.
            let main = self.main;
            processes::see_descendants(main, &mut strangers, |process| {
                self.send(process, Signal::KILL);
            });
            let found = processes::descendants(self.main);
            if found.iter().all(|process| killed.contains(&process.identity())) {
                break;
            }
            if waits_for.is_empty() {
                waits_for = found.iter().take(MOST_NAMES).map(title).collect();
            }
            self.kill_groups(&found);
            found.iter().for_each(|process| self.send(process, Signal::KILL));
            killed = found.iter().map(Process::identity).collect();
        }
        waits_for
    }

    /// Kills group by group: that reaches also the child of a member that forks and ends faster
    /// than /proc can be read. A group of which a part is not the task's own is left out.
    fn kill_groups(&self, found: &[Process]) {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mut groups: Vec<i32> = found.iter().map(|process| process.group).collect();
        groups.sort_unstable();
        groups.dedup();
        groups.retain(|group| *group > 1 && *group != own);
        let mut pids: Vec<i32> = found.iter().map(|process| process.pid).collect();
        pids.sort_unstable();
        processes::for_each_with_group(|pid, group| {
            if let Ok(index) = groups.binary_search(&group)
                && pids.binary_search(&pid).is_err()
                && processes::read(pid).is_some_and(|process| process.alive)
            {
                groups.remove(index);
            }
        });
        for group in groups {
            self.signal_group(group, Signal::KILL);
        }
    }

    fn signal_group(&self, group: i32, signal: Signal) {
        if let Some(group) = Pid::from_raw(group) {
            // Its members are looked at one by one as well, so what this misses is not missed.
            rustix::process::kill_process_group(group, signal).ok();
        }
    }

    fn send(&mut self, process: &Process, signal: Signal) {
        let identity = process.identity();
        if processes::signal(process, signal) == Err(Errno::PERM)
            && !self.refused.contains(&identity)
        {
            self.refused.push(identity);
        }
        self.wake(process);
    }

    /// A stopped process would keep the signal for later.
    fn wake(&self, process: &Process) {
        if process.stopped {
            // One that must not be continued by us must not be signalled either, which is noted.
            processes::signal(process, Signal::CONT).ok();
        }
    }
}

/// Returns the words for a process that takes no signal from this user.
fn cannot_kill(pid: i32) -> String {
    let user = processes::foreign_user(pid).unwrap_or_else(|| "another user".to_owned());
    format!("cannot kill pid {pid} of {user}")
}

fn title(process: &Process) -> String {
    format!("{} ({})", processes::name(process.pid), process.pid)
}
