//! Halting all processes of a task, and letting them go on.

use nod_core::shim::ProcessIdentity;
use rustix::process::Signal;

use super::processes::{self, Process};

/// How often at once to look for processes that were born while others were halted.
const MOST_LOOKS: usize = 20;

/// What was halted, and what had halted by itself before.
#[derive(Debug)]
pub(crate) struct Pause {
    before: Vec<ProcessIdentity>,
    halted: Vec<ProcessIdentity>,
}

impl Pause {
    /// Halts the task whose main process is `main`.
    pub(crate) fn begin(main: i32) -> Self {
        let mut pause = Self { before: Vec::new(), halted: Vec::new() };
        for look in 0..MOST_LOOKS {
            let found = processes::descendants(main);
            if look == 0 {
                let stopped = found.iter().filter(|process| process.stopped);
                pause.before = stopped.map(Process::identity).collect();
            }
            let mut is_new = false;
            for process in found.iter().filter(|process| !process.stopped) {
                let identity = process.identity();
                if !pause.halted.contains(&identity) {
                    is_new = true;
                    pause.halted.push(identity);
                }
                // One of another user goes on, and the task's own wait for it.
                processes::signal(process, Signal::STOP).ok();
            }
            // A child can be born between the look and the signal: whoever halts has none after it.
            if !is_new {
                break;
            }
        }
        pause
    }

    /// Lets go on what [`Self::begin`] halted.
    pub(crate) fn end(self, main: i32) {
        for process in processes::descendants(main) {
            let identity = process.identity();
            // One that is still in the kernel stops later, unless it is told now not to.
            let is_ours = process.stopped || self.halted.contains(&identity);
            if is_ours && !self.before.contains(&identity) {
                processes::signal(&process, Signal::CONT).ok();
            }
        }
    }
}
