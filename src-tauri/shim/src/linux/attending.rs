//! The task's processes while it runs: who has ended, who is to be, and when nobody is left.

use nod_core::shim::{FromShim, LeftProcess, ShimStop};

use super::clock::{Moment, Reading};
use super::ladder::Ladder;
use super::pausing::Pause;
use super::processes::{self, Process};
use super::stopping::{self, Stopping};
use super::supervise::{MainEnd, Phase, Supervisor};
use super::system::{self, Reaped};

impl Supervisor {
    /// Begins to end the task. A second reason changes nothing about the first.
    pub(super) fn stop(&mut self, cause: ShimStop, now: Moment) {
        self.asked_to_stop |= cause != ShimStop::LeftProcesses;
        let Some(process) = self.process else { return };
        if self.phase == Phase::Running && self.stopping.is_none() {
            let ladder = Ladder::new(cause, self.spec.grace_ms, now);
            self.stopping = Some(Stopping::new(process.pid, ladder, self.input.is_some()));
        }
    }

    /// Halts the task. One that is being ended is not halted on its way.
    pub(super) fn pause(&mut self) {
        let Some(process) = self.process else { return };
        if self.phase == Phase::Running && self.stopping.is_none() && self.pause.is_none() {
            self.pause = Some(Pause::begin(process.pid));
            self.connections.send(&FromShim::Paused { paused: true });
        }
    }

    pub(super) fn resume(&mut self) {
        if let Some((pause, process)) = self.pause.take().zip(self.process) {
            pause.end(process.pid);
            self.connections.send(&FromShim::Paused { paused: false });
        }
    }

    pub(super) fn attend_processes(&mut self, child_ended: bool, now: Moment) {
        // Whoever has ended by itself is taken in before anybody is made to.
        let child_ended = child_ended || self.is_about_to_stop(now);
        let no_children = child_ended && self.reap();
        if self.main_end.is_some() && self.is_about_to_stop(now) {
            // What asked for it came too late; what is left is ended for its own reason.
            self.stopping = None;
        }
        if self.deadline_has_come(now) {
            self.timed_out = true;
            self.stop(ShimStop::TimedOut, now);
        }
        if no_children {
            self.has_survivors = false;
            self.processes_are_gone();
            return;
        }
        if child_ended && let Some(stopping) = &mut self.stopping {
            stopping.follow_up();
        }
        if child_ended && self.main_end.is_some() {
            self.look_for_the_rest(now);
        }
        let main_ended = self.main_end.is_some();
        if self.phase == Phase::Running
            && let Some(stopping) = &mut self.stopping
        {
            if let Some(stage) = stopping.advance(now, main_ended) {
                self.stopped |= !main_ended;
                let cause = stopping.cause();
                if stage.signal == stopping::CTRL_C
                    && let Some(input) = &mut self.input
                {
                    input.interrupt();
                }
                // The signal first, so that nobody goes on in between without having it.
                if let Some((pause, main)) = self.pause.take().zip(self.process) {
                    pause.end(main.pid);
                    self.connections.send(&FromShim::Paused { paused: false });
                }
                let terminated = self.terminated && cause == ShimStop::Requested;
                self.connections.send(&FromShim::Stopping { cause, stage, terminated });
            }
            if stopping.may_give_up(now) {
                self.look_for_the_rest(now);
            }
        }
    }

    fn deadline_has_come(&self, now: Moment) -> bool {
        self.may_time_out() && self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Returns whether a ladder was begun, or must be, of which no signal was sent yet.
    fn is_about_to_stop(&self, now: Moment) -> bool {
        self.deadline_has_come(now)
            || self.stopping.as_ref().is_some_and(|stopping| !stopping.has_begun())
    }

    /// Takes in who has ended, and returns whether nobody is left.
    fn reap(&mut self) -> bool {
        loop {
            match system::reap() {
                Reaped::AllRun => return false,
                Reaped::NoChildren => return true,
                Reaped::Child { pid, status, usage } => {
                    if self.process.is_some_and(|main| main.pid == pid) && self.main_end.is_none() {
                        let at = Reading::now();
                        self.main_end = Some(MainEnd { status, at, usage });
                        self.connections.send(&FromShim::Exited { status, at: at.wall });
                    }
                }
            }
        }
    }

    /// Looks whether processes remain after the main one, and begins to end them.
    fn look_for_the_rest(&mut self, now: Moment) {
        let Some(main) = self.process else { return };
        let remaining = processes::descendants(main.pid);
        if remaining.is_empty() {
            // One look is no proof, as a process can be born behind the reader of /proc. And
            // a main process that was not reaped yet has an exit code to wait for.
            if self.main_end.is_some() && processes::descendants(main.pid).is_empty() {
                self.leave_alone(&processes::spared(main.pid));
                self.processes_are_gone();
            }
            return;
        }
        match &self.stopping {
            None if self.spec.keep_children => {
                self.resume();
                self.leave_alone(&remaining);
                self.leave_alone(&processes::spared(main.pid));
                self.processes_are_gone();
            }
            None => {
                self.left = remaining.iter().map(with_name).collect();
                self.stop(ShimStop::LeftProcesses, now);
            }
            Some(stopping) if stopping.gives_up_on(&remaining, now) => {
                self.leave_alone(&remaining);
                self.leave_alone(&processes::spared(main.pid));
                self.processes_are_gone();
            }
            Some(_) => {}
        }
    }

    /// Notes processes that stay.
    fn leave_alone(&mut self, processes: &[Process]) {
        for process in processes {
            if !self.left.iter().any(|(known, _)| known.identity() == process.identity()) {
                self.left.push(with_name(process));
            }
        }
    }

    fn processes_are_gone(&mut self) {
        self.ended = Some(Reading::now());
        self.phase = Phase::Draining;
    }

    /// Returns what the main process left behind, and whether it is gone.
    pub(super) fn left_processes(&self) -> Vec<LeftProcess> {
        // Where nobody was to be ended, nobody has refused it.
        let refuses = |process: &Process| self.stopping.is_some() && process.still_lives();
        let describe = |(process, name): &(Process, String)| LeftProcess {
            pid: process.pid,
            name: name.clone(),
            ended: !process.still_lives(),
            foreign_user: processes::foreign_user(process.pid).filter(|_| refuses(process)),
        };
        self.left.iter().map(describe).collect()
    }
}

fn with_name(process: &Process) -> (Process, String) {
    (*process, processes::name(process.pid))
}
