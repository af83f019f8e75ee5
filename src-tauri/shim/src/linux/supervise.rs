//! The one loop of the shim: waits for children, hosts, output and the clock.
//!
//! Nothing here polls: a task that does nothing costs its shim no wake-up.

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::ids::OperationId;
use nod_core::shim::{
    FromShim, ProcessIdentity, Report, SHIM_PROTOCOL, ShimStop, Spec, Status, ToShim, Typed,
};
use nod_core::task::{ExitStatus, OutputMode, SpawnError};
use rustix::event::{PollFd, PollFlags};

use super::ShimError;
use super::attempt::{self, Attempt};
use super::cgroup::Cgroup;
use super::child;
use super::clock::{Alarm, Moment, Reading};
use super::connections::{Connections, Origin};
use super::copying::Flow;
use super::error::is_shortage;
use super::exit_file::ExitFile;
use super::input::{Account, Input};
use super::output::Output;
use super::pausing::Pause;
use super::processes::{self, Process};
use super::stopping::Stopping;
use super::system::{Signals, Usage};

/// How long to leave the listener alone after it failed, as it does on a machine out of files.
const ACCEPT_PAUSE_MS: u64 = 1000;
/// How much is still taken from processes that go on: more than a pipe of theirs can hold.
const LAST_WORDS: u64 = 16 * 1024 * 1024;

/// How far the attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Processes of the task may be alive.
    Running,
    /// They are gone; what they printed is not all in the log.
    Draining,
    Done,
}

/// How the main process ended.
pub(super) struct MainEnd {
    pub(super) status: ExitStatus,
    pub(super) at: Reading,
    pub(super) usage: Usage,
}

/// What happened while the loop slept.
#[derive(Default)]
struct Ready {
    signals: bool,
    alarm: bool,
    listener: bool,
    output: bool,
    input: bool,
    /// Bit n stands for the nth connection.
    connections: u32,
}

pub(crate) struct Supervisor {
    pub(super) spec: Spec,
    pub(super) listener: UnixListener,
    pub(super) accept_again_at: Option<Moment>,
    pub(super) signals: Signals,
    pub(super) alarm: Alarm,
    pub(super) connections: Connections,
    pub(super) exit_file: Option<ExitFile>,
    /// Goes with this process, if nothing is left in it.
    pub(super) cgroup: Option<Cgroup>,
    pub(super) phase: Phase,
    pub(super) process: Option<ProcessIdentity>,
    pub(super) started: Option<Reading>,
    pub(super) spawn_error: Option<SpawnError>,
    /// What was missing for a child comes back by itself.
    pub(super) no_room: bool,
    pub(super) deadline: Option<Moment>,
    pub(super) timed_out: bool,
    /// This process was told to end, and no host had asked for the task's end.
    pub(super) terminated: bool,
    /// A signal was sent before the main process was known to have ended.
    pub(super) stopped: bool,
    pub(super) main_end: Option<MainEnd>,
    pub(super) output: Option<Output>,
    /// Where people type, if the task has its terminal as input.
    pub(super) input: Option<Input>,
    pub(super) account: Account,
    pub(super) pause: Option<Pause>,
    pub(super) stopping: Option<Stopping>,
    /// Somebody wants the end more than the last of the output.
    pub(super) asked_to_stop: bool,
    /// What was found when the main process had ended, or was not or could not be ended.
    pub(super) left: Vec<(Process, String)>,
    /// A host or another shim, or what could not be ended, may still hold the output open.
    pub(super) has_survivors: bool,
    pub(super) ended: Option<Reading>,
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
            cgroup: None,
            phase: Phase::Running,
            process: None,
            started: None,
            spawn_error: None,
            no_room: false,
            deadline: None,
            timed_out: false,
            terminated: false,
            stopped: false,
            main_end: None,
            output: None,
            input: None,
            account: Account::default(),
            pause: None,
            stopping: None,
            asked_to_stop: false,
            left: Vec::new(),
            has_survivors: true,
            ended: None,
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
        self.cgroup = self.spec.cgroup.as_deref().and_then(|path| Cgroup::make(path).ok());
        let mut no_room = false;
        let mut refused = |what: &str, error: &io::Error| {
            no_room = is_shortage(error);
            child::spawn_error(&self.spec, format!("failed to {what}: {error}"), false)
        };
        let started = attempt::open_log().map_err(|error| refused("open the log", &error));
        let started = started.and_then(|log| {
            let exit_file =
                ExitFile::reserve().map_err(|error| refused("reserve disk space", &error))?;
            let child = child::start(&self.spec, &log, self.cgroup.as_ref())?;
            Ok((log, exit_file, child))
        });
        let (log, exit_file, child) = match started {
            Ok(started) => started,
            Err(error) => {
                self.spawn_error = Some(error);
                self.no_room = no_room;
                self.ended = Some(Reading::now());
                self.phase = Phase::Done;
                return;
            }
        };
        let start = Reading::now();
        let (now, at) = (start.boot, start.wall);
        let start_time = processes::read(child.pid).map_or(0, |process| process.start_time);
        let process = ProcessIdentity { pid: child.pid, start_time };
        self.exit_file = Some(exit_file);
        self.deadline = self.spec.timeout_ms.map(|timeout| now.plus(timeout));
        let log = (log, self.spec.log_limit);
        self.output = Some(match child.output {
            Some(source) => {
                if self.spec.output == OutputMode::Interactive {
                    // Without it the task runs all the same, and nobody can type.
                    self.input = Input::new(&source).ok();
                }
                Output::copied(source, child.terminal, log, now)
            }
            None => Output::direct(log, now),
        });
        self.process = Some(process);
        self.started = Some(start);
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
        // One whose end has begun already ends for the reason that it had.
        self.terminated |= stop && self.may_time_out();
        for message in self.connections.exchange(ready.connections) {
            match message {
                ToShim::Stop => stop = true,
                ToShim::Acknowledge => self.acknowledged |= self.report.is_some(),
                ToShim::Deadline { at_boot_ms } => self.deadline = at_boot_ms.map(Moment),
                ToShim::Pause => self.pause(),
                ToShim::Resume => self.resume(),
                ToShim::Input { data, operation } => self.type_in(&data, operation),
                ToShim::Resize { columns, rows } => {
                    self.input.iter().for_each(|input| input.resize(columns, rows));
                }
            }
        }
        if ready.input
            && let Some(input) = &mut self.input
        {
            input.flush();
        }
        if ready.listener || self.accept_again_at.is_some_and(|at| at <= now) {
            self.accept(now);
        }
        if ready.output || self.output.as_ref().is_some_and(|output| output.is_due(now)) {
            self.with_output(|output| output.take(now));
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
        let input = self.input.as_ref().and_then(Input::sink);
        polled.extend(input.map(|input| PollFd::from_borrowed_fd(input, PollFlags::OUT)));
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
            input: next(input.is_some()),
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

    pub(super) fn may_time_out(&self) -> bool {
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
        let (was_full, was_unbounded) = (output.is_full(), output.is_unbounded());
        let flow = copy(output);
        let (full, unbounded) = (output.is_full(), output.is_unbounded());
        if full != was_full {
            self.connections.send(&FromShim::DiskFull { full });
        }
        if unbounded && !was_unbounded {
            self.connections.send(&FromShim::Unbounded);
        }
        flow
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
            started_at: self.started.map(|start| start.as_of(Reading::now())),
            size: self.output.as_ref().map_or(0, Output::size),
            stopping: self.stopping.as_ref().and_then(Stopping::stage),
            report: self.report.clone(),
            paused: self.pause.is_some(),
            disk_full: self.output.as_ref().is_some_and(Output::is_full),
            unbounded: self.output.as_ref().is_some_and(Output::is_unbounded),
            terminated: self.terminated,
            typed: Some(self.account.all()),
        }
    }

    /// Types what a message brought, unless it was typed before. What is no base64 was not typed by
    /// anyone.
    fn type_in(&mut self, data: &str, operation: Option<OperationId>) {
        if let Some(typed) = operation.as_ref().and_then(|it| self.account.find(it)) {
            return self.connections.send(&FromShim::Typed(typed.clone()));
        }
        let bytes = BASE64.decode(data).unwrap_or_default();
        let lost = self.input.as_mut().map_or(bytes.len(), |input| input.write(&bytes)) as u64;
        if lost > 0 && self.input.is_some() {
            self.connections.send(&FromShim::InputLost { bytes: lost });
        }
        if let Some(operation) = operation {
            let typed = Typed { operation, lost };
            self.account.add(typed.clone());
            self.connections.send(&FromShim::Typed(typed));
        }
    }
}
