//! What a host and a shim say to each other, and the files of an attempt.
//!
//! One JSON object a line in both directions, over the shim's standard input
//! (a socket that the host made) and over the socket in the attempt's folder.
//! A shim outlives its host, so a host must understand the shims of the
//! protocol before its own.

use serde::{Deserialize, Serialize};

use crate::ids::{AttemptNumber, OperationId, TaskId, Timestamp};
use crate::task::{ExitStatus, OutputMode, SpawnError, StopStage};

/// The version of everything on this page.
pub const SHIM_PROTOCOL: u32 = 2;

/// What the shim is to run; written by the host.
pub const SPEC_FILE: &str = "spec.json";
/// Made by whoever may start the attempt, and by nobody after that.
pub const CLAIM_FILE: &str = "claim";
/// Everything the task printed.
pub const LOG_FILE: &str = "out.log";
/// How the attempt ended; appears whole or not at all.
pub const EXIT_FILE: &str = "exit.json";
/// Where the shim listens.
pub const SHIM_SOCKET: &str = "shim.sock";

/// What a shim exits with that could not even claim its attempt, for want of room on the disk or of
/// something else that comes back.
pub const SHIM_NO_ROOM: u8 = 4;

/// The size of the pseudo-terminal: tqdm and others print nothing at 0×0.
pub const TERMINAL_COLUMNS: u16 = 120;
pub const TERMINAL_ROWS: u16 = 30;

/// How much of a bounded log's beginning is kept, in bytes.
pub const LOG_HEAD: u64 = 64 * 1024;
/// The smallest bound that a log can have, in bytes.
pub const LEAST_LOG_LIMIT: u64 = 256 * 1024;
/// The most that one message types into a task, in bytes.
pub const INPUT_LIMIT: usize = 16 * 1024;
/// How many things that were typed a shim knows again, and how many of them its report names.
pub const TYPED_KEPT: usize = 64;
pub const TYPED_REPORTED: usize = 8;

/// One attempt, as the shim needs to know it.
///
/// The environment is not here: it is the shim's own, and never on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub protocol: u32,
    pub task: TaskId,
    pub attempt: AttemptNumber,
    pub argv: Vec<String>,
    pub cwd: String,
    pub output: OutputMode,
    pub timeout_ms: Option<u64>,
    /// How long each signal of the ladder may take to work.
    pub grace_ms: u64,
    /// The limit of open files that the child gets back; the host has raised its own.
    pub open_files: Option<u64>,
    /// The mask of new files' permissions that the child gets back; the host's own is strict.
    pub umask: Option<u32>,
    /// What the main process leaves behind goes on.
    #[serde(default)]
    pub keep_children: bool,
    /// How many bytes of the disk the log may take; nothing when that is for the disk to say.
    #[serde(default)]
    pub log_limit: Option<u64>,
    /// The cgroup to start the child in, where the host may make some: what a dead shim has left is
    /// in it, whatever became of its variables and its session.
    #[serde(default)]
    pub cgroup: Option<String>,
}

/// Who claimed an attempt: the content of the claim. A host that takes it says nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimant {
    pub pid: i32,
    /// As that of a [`ProcessIdentity`].
    pub start_time: u64,
    /// Of which boot of the machine the two are.
    pub boot_id: String,
}

/// What a host tells a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToShim {
    /// Climb the ladder of signals. Said twice, it does nothing more.
    Stop,
    /// The report is on the disk; the shim may go.
    Acknowledge,
    /// Move the deadline to this moment, in milliseconds of CLOCK_BOOTTIME; nothing lifts it.
    Deadline {
        at_boot_ms: Option<u64>,
    },
    /// Halt every process of the task. The deadline goes on.
    Pause,
    Resume,
    /// Type this, in base64, into the terminal of a task that has it as its input.
    Input {
        data: String,
        /// Typed once under this name, however often it is said, and acknowledged each time with
        /// [`FromShim::Typed`]. A shim that keeps no account of it types without a word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        operation: Option<OperationId>,
    },
    /// Give the terminal another size.
    Resize {
        columns: u16,
        rows: u16,
    },
}

impl ToShim {
    /// Returns the protocol that a shim must speak to understand this.
    #[must_use]
    pub fn since(&self) -> u32 {
        match self {
            Self::Stop | Self::Acknowledge => 1,
            Self::Deadline { .. }
            | Self::Pause
            | Self::Resume
            | Self::Input { .. }
            | Self::Resize { .. } => 2,
        }
    }
}

/// What a shim tells its host. On each new connection `Status` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum FromShim {
    Status(Status),
    Started {
        process: ProcessIdentity,
        at: Timestamp,
    },
    /// The log has grown to this many bytes. At most ten times a second.
    Output {
        size: u64,
    },
    /// The main process ended; what it left behind may still run.
    Exited {
        status: ExitStatus,
        at: Timestamp,
    },
    Stopping {
        cause: ShimStop,
        stage: StopStage,
        /// No host asked for it: somebody told the shim itself, as a shutdown does.
        #[serde(default)]
        terminated: bool,
    },
    /// Whether the log can take no more bytes; the task waits until it can.
    DiskFull {
        full: bool,
    },
    /// The log grows past its bound: its file system cannot give back a part of a file.
    Unbounded,
    /// Whether the task's processes are halted.
    Paused {
        paused: bool,
    },
    /// So many bytes were not typed: the task has not read what was typed before.
    InputLost {
        bytes: u64,
    },
    /// What was to be typed was taken, now or before.
    Typed(Typed),
    Ended {
        report: Report,
    },
}

/// Where a shim stands, said first on each connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub protocol: u32,
    pub task: TaskId,
    pub attempt: AttemptNumber,
    pub shim_pid: i32,
    pub process: Option<ProcessIdentity>,
    pub started_at: Option<Timestamp>,
    pub size: u64,
    pub stopping: Option<(ShimStop, StopStage)>,
    pub report: Option<Report>,
    #[serde(default)]
    pub paused: bool,
    #[serde(default)]
    pub disk_full: bool,
    #[serde(default)]
    pub unbounded: bool,
    /// It ends the task because it was told to itself, and by no host.
    #[serde(default)]
    pub terminated: bool,
    /// What was typed last, the newest last; nothing where the shim keeps no account of that.
    #[serde(default)]
    pub typed: Option<Vec<Typed>>,
}

/// What became of something that was to be typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typed {
    pub operation: OperationId,
    /// How many of its bytes were not typed: the task has not read what was typed before.
    #[serde(default, skip_serializing_if = "is_none_of_it")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_none_of_it(lost: &u64) -> bool {
    *lost == 0
}

/// A process for as long as the machine runs: a pid alone is given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    pub pid: i32,
    /// Clock ticks between boot and the process's start: field 22 of proc(5) stat.
    pub start_time: u64,
}

/// Why a shim ends processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShimStop {
    Requested,
    TimedOut,
    LeftProcesses,
}

/// How an attempt ended: the content of `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub protocol: u32,
    pub task: TaskId,
    pub attempt: AttemptNumber,
    pub process: Option<ProcessIdentity>,
    pub started_at: Option<Timestamp>,
    /// How the main process ended, and when.
    pub exit: Option<ExitStatus>,
    pub exited_at: Option<Timestamp>,
    /// When the last of the task's processes was gone. By the clock as it stood then, as are the
    /// moments before it, so that what lies between them is what passed though it was set.
    pub ended_at: Timestamp,
    /// The same in milliseconds since the machine booted: nobody sets that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_boot_ms: Option<u64>,
    /// Why no process came to be.
    pub spawn_error: Option<SpawnError>,
    /// That was for want of something that comes back, such as room on the disk: the attempt never
    /// was, and another one may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_room: bool,
    /// The time was up before the main process ended.
    pub timed_out: bool,
    /// The shim sent a signal before the main process ended, whatever the cause. Without it the
    /// exit is the task's own, even if a stop was asked for.
    #[serde(default)]
    pub stopped: bool,
    /// The shim itself was told to end before the main process was known to have ended, as in a
    /// shutdown. Nobody asked for the task's end.
    #[serde(default)]
    pub terminated: bool,
    /// The largest resident set of the main process and those it waited for, in bytes.
    pub peak_memory: Option<u64>,
    /// User and system time of the same, in milliseconds.
    pub cpu_ms: Option<u64>,
    /// Processes that the main process left behind, and those that no stop could or would end.
    pub left: Vec<LeftProcess>,
    /// The size of the log, in bytes.
    pub size: u64,
    /// What was typed last, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub typed: Vec<Typed>,
}

/// A process that its task left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftProcess {
    pub pid: i32,
    pub name: String,
    /// Whether it is gone; Nod cannot end a process of another user, and does not end its own
    /// hosts and other tasks' shims.
    pub ended: bool,
    /// Whose it is, where that keeps Nod from ending it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_user: Option<String>,
}
