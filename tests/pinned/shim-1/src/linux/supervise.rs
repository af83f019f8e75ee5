//! The one loop of the shim: waits for children, hosts, output and the clock.
//!
//! Nothing here polls: a task that does nothing costs its shim no wake-up.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::contract::ids::Timestamp;
use crate::contract::shim::{
    FromShim, LeftProcess, ProcessIdentity, Report, SHIM_PROTOCOL, ShimStop, Spec, Status, ToShim,
};
use crate::contract::task::{ExitStatus, SpawnError};
use rustix::event::{PollFd, PollFlags};

use super::ShimError;
use super::attempt::{self, Attempt};
use super::child;
use super::clock::{self, Alarm, Moment};
use super::connections::{Connections, Origin};
use super::exit_file::ExitFile;
use super::ladder::Ladder;
use super::output::{Flow, Output};
use super::processes::{self, Process};
use super::stopping::Stopping;
use super::system::{self, Reaped, Signals, Usage};

/// How long to leave the listener alone after it failed, as it does on a machine out of files.
const ACCEPT_PAUSE_MS: u64 = 1000;
/// How much is still taken from processes that go on: more than a pipe of theirs can hold.
const LAST_WORDS: u64 = 16 * 1024 * 1024;

/// How far the attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Processes of the task may be alive.
    Running,
    /// They are gone; what they printed is not all in the log.
    Draining,
    Done,
}

/// How the main process ended.
pub(super) struct MainEnd {
    pub(super) status: ExitStatus,
    pub(super) at: Timestamp,
    pub(super) usage: Usage,
}

/// What happened while the loop slept.
#[derive(Default)]
struct Ready {
    signals: bool,
    alarm: bool,
    listener: bool,
    output: bool,
    /// Bit n stands for the nth connection.
    connections: u32,
}

pub(crate) struct Supervisor {
    pub(super) spec: Spec,
    listener: UnixListener,
    accept_again_at: Option<Moment>,
    signals: Signals,
    alarm: Alarm,
    pub(super) connections: Connections,
    pub(super) exit_file: Option<ExitFile>,
    phase: Phase,
    pub(super) process: Option<ProcessIdentity>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) spawn_error: Option<SpawnError>,
    deadline: Option<Moment>,
    pub(super) timed_out: bool,
    /// A signal was sent before the main process was known to have ended.
    pub(super) stopped: bool,
    pub(super) main_end: Option<MainEnd>,
    pub(super) output: Option<Output>,
    stopping: Option<Stopping>,
    /// Somebody wants the end more than the last of the output.
    asked_to_stop: bool,
    /// What was found when the main process had ended, or was not or could not be ended.
    pub(super) left: Vec<(Process, String)>,
    /// A host or another shim, or what could not be ended, may still hold the output open.
    has_survivors: bool,
    pub(super) ended_at: Option<Timestamp>,
    pub(super) report: Option<Report>,
    pub(super) acknowledged: bool,
    /// When the wait for an acknowledgement goes on.
    pub(super) finish_at: Option<Moment>,
}

impl Supervisor {
    pub(crate) fn new(attempt: Attempt, signals: Signals) -> Result<Self, ShimError> {
        Ok(Self {
            spec: attempt.spec,
            listener: attempt.listener,
            accept_again_at: None,
            signals,
            alarm: Alarm::new().map_err(ShimError::System)?,
            connections: Connections::new(),
            exit_file: None,
            phase: Phase::Running,
            process: None,
            started_at: None,
            spawn_error: None,
            deadline: None,
            timed_out: false,
            stopped: false,
            main_end: None,
            output: None,
            stopping: None,
            asked_to_stop: false,
            left: Vec::new(),
            has_survivors: true,
            ended_at: None,
            report: None,
            acknowledged: false,
            finish_at: None,
        })
    }

    /// Takes a host in; the first thing it hears is where the attempt stands.
    pub(crate) fn greet(&mut self, host: UnixStream, origin: Origin) {
        let status = FromShim::Status(self.status());
        self.connections.add(host, origin, &status);
    }

    /// Starts the child, or notes why there is none.
    pub(crate) fn start_child(&mut self) {
        let refused = |what: &str, error: &io::Error| {
            child::spawn_error(&self.spec, format!("failed to {what}: {error}"), false)
        };
        let started = attempt::open_log().map_err(|error| refused("open the log", &error));
        let started = started.and_then(|log| {
            let exit_file =
                ExitFile::reserve().map_err(|error| refused("reserve disk space", &error))?;
            Ok((log, exit_file, child::start(&self.spec)?))
        });
        let (log, exit_file, child) = match started {
            Ok(started) => started,
            Err(error) => {
                self.spawn_error = Some(error);
                self.ended_at = Some(clock::now());
                self.phase = Phase::Done;
                return;
            }
        };
        let now = Moment::now();
        let at = clock::now();
        let start_time = processes::read(child.pid).map_or(0, |process| process.start_time);
        let process = ProcessIdentity { pid: child.pid, start_time };
        self.exit_file = Some(exit_file);
        self.deadline = self.spec.timeout_ms.map(|timeout| now.plus(timeout));
        self.output = Some(Output::new(child.output, child.terminal, log, now));
        self.process = Some(process);
        self.started_at = Some(at);
        self.connections.send(&FromShim::Started { process, at });
    }

    /// Sees the attempt through until all of it is over and all of its output is in the log.
    pub(crate) fn supervise(&mut self) {
        while self.phase != Phase::Done {
            self.turn();
        }
    }

    /// Sleeps until something happens, and deals with it.
    pub(super) fn turn(&mut self) {
        let ready = self.wait();
        if ready.alarm {
            self.alarm.silence();
        }
        let now = Moment::now();
        let mut stop = ready.signals && self.signals.take();
        for message in self.connections.exchange(ready.connections) {
            match message {
                ToShim::Stop => stop = true,
                ToShim::Acknowledge => self.acknowledged |= self.report.is_some(),
            }
        }
        if ready.listener || self.accept_again_at.is_some_and(|at| at <= now) {
            self.accept(now);
        }
        if ready.output || self.output.as_ref().is_some_and(|output| output.is_due(now)) {
            self.with_output(|output| output.copy(now));
        }
        if stop {
            self.stop(ShimStop::Requested, now);
        }
        if self.phase == Phase::Running {
            self.attend_processes(ready.signals, now);
        }
        if self.phase == Phase::Draining {
            self.drain(now);
        }
        if let Some(size) = self.output.as_mut().and_then(|output| output.announcement(now)) {
            self.connections.send_size(size);
        }
    }

    fn wait(&mut self) -> Ready {
        self.connections.flush();
        // An alarm that cannot be set would be a mistake in the moment: the rest goes on.
        self.alarm.set(self.next_moment()).ok();
        let listener = self.accept_again_at.is_none().then_some(&self.listener);
        let output = self.output.as_ref().and_then(Output::source);
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::new(&self.alarm, PollFlags::IN),
        ];
        polled.extend(listener.map(|listener| PollFd::new(listener, PollFlags::IN)));
        polled.extend(output.map(|output| PollFd::from_borrowed_fd(output, PollFlags::IN)));
        polled.extend(self.connections.streams().map(|(stream, has_unsent)| {
            let write = if has_unsent { PollFlags::OUT } else { PollFlags::empty() };
            PollFd::from_borrowed_fd(stream, PollFlags::IN | write)
        }));
        // An interrupted wait is one whose signal is in the pipe: the next turn sees it.
        if rustix::event::poll(&mut polled, None).is_err() {
            return Ready::default();
        }
        let mut events = polled.iter().map(|file| !file.revents().is_empty());
        let mut next = |is_there: bool| is_there && events.next() == Some(true);
        let mut ready = Ready {
            signals: next(true),
            alarm: next(true),
            listener: next(listener.is_some()),
            output: next(output.is_some()),
            connections: 0,
        };
        for (index, is_ready) in events.enumerate() {
            ready.connections |= u32::from(is_ready) << index;
        }
        ready
    }

    fn next_moment(&self) -> Option<Moment> {
        let deadline = self.deadline.filter(|_| self.may_time_out());
        let ladder = self.stopping.as_ref().map(Stopping::next_moment);
        let ladder = ladder.filter(|_| self.phase == Phase::Running);
        let output = self.output.as_ref().and_then(Output::next_moment);
        [deadline, ladder, output, self.accept_again_at, self.finish_at].into_iter().flatten().min()
    }

    fn may_time_out(&self) -> bool {
        self.main_end.is_none() && self.stopping.is_none()
    }

    /// Lets one in, so that what the others said is heard before the next may take a place.
    fn accept(&mut self, now: Moment) {
        self.accept_again_at = None;
        match self.listener.accept() {
            Ok((stream, _)) => {
                let peer = rustix::net::sockopt::socket_peercred(&stream);
                if peer.is_ok_and(|peer| peer.uid == rustix::process::getuid()) {
                    self.greet(stream, Origin::Socket);
                }
            }
            Err(error) => {
                let is_over =
                    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                self.accept_again_at = (!is_over).then(|| now.plus(ACCEPT_PAUSE_MS));
            }
        }
    }

    /// Copies output, and tells when the disk became full or has room again.
    fn with_output(&mut self, copy: impl FnOnce(&mut Output) -> Flow) -> Flow {
        let Some(output) = &mut self.output else { return Flow::Closed };
        let was_full = output.is_full();
        let flow = copy(output);
        let full = output.is_full();
        if full != was_full {
            self.connections.send(&FromShim::DiskFull { full });
        }
        flow
    }

    /// Begins to end the task. A second reason changes nothing about the first.
    fn stop(&mut self, cause: ShimStop, now: Moment) {
        self.asked_to_stop |= cause != ShimStop::LeftProcesses;
        let Some(process) = self.process else { return };
        if self.phase == Phase::Running && self.stopping.is_none() {
            let ladder = Ladder::new(cause, self.spec.grace_ms, now);
            self.stopping = Some(Stopping::new(process.pid, ladder));
        }
    }

    fn attend_processes(&mut self, child_ended: bool, now: Moment) {
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
                self.connections.send(&FromShim::Stopping { cause, stage });
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
                        let at = clock::now();
                        self.main_end = Some(MainEnd { status, at, usage });
                        self.connections.send(&FromShim::Exited { status, at });
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
        self.ended_at = Some(clock::now());
        self.phase = Phase::Draining;
    }

    /// Takes the last of the output. On a full disk it waits for room, unless somebody wants
    /// the end.
    fn drain(&mut self, now: Moment) {
        let limit = if self.has_survivors { LAST_WORDS } else { u64::MAX };
        let flow = self.with_output(|output| output.drain(now, limit));
        if flow != Flow::Full || self.asked_to_stop {
            self.phase = Phase::Done;
        }
    }

    fn status(&self) -> Status {
        Status {
            protocol: SHIM_PROTOCOL,
            task: self.spec.task,
            attempt: self.spec.attempt,
            shim_pid: rustix::process::getpid().as_raw_nonzero().get(),
            process: self.process,
            started_at: self.started_at,
            size: self.output.as_ref().map_or(0, Output::size),
            stopping: self.stopping.as_ref().and_then(Stopping::stage),
            report: self.report.clone(),
        }
    }

    /// Returns what the main process left behind, and whether it is gone.
    pub(super) fn left_processes(&self) -> Vec<LeftProcess> {
        let describe = |(process, name): &(Process, String)| LeftProcess {
            pid: process.pid,
            name: name.clone(),
            ended: !process.still_lives(),
        };
        self.left.iter().map(describe).collect()
    }
}

fn with_name(process: &Process) -> (Process, String) {
    (*process, processes::name(process.pid))
}
