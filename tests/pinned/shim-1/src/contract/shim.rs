//! What a host and a shim say to each other, and the files of an attempt.
//!
//! One JSON object a line in both directions, over the shim's standard input
//! (a socket that the host made) and over the socket in the attempt's folder.
//! A shim outlives its host, so a host must understand the shims of the
//! protocol before its own.

use serde::{Deserialize, Serialize};

use super::ids::{AttemptNumber, TaskId, Timestamp};
use super::task::{ExitStatus, OutputMode, SpawnError, StopStage};

/// The version of everything on this page.
pub(crate) const SHIM_PROTOCOL: u32 = 1;

/// What the shim is to run; written by the host.
pub(crate) const SPEC_FILE: &str = "spec.json";
/// Made by whoever may start the attempt, and by nobody after that.
pub(crate) const CLAIM_FILE: &str = "claim";
/// Everything the task printed.
pub(crate) const LOG_FILE: &str = "out.log";
/// How the attempt ended; appears whole or not at all.
pub(crate) const EXIT_FILE: &str = "exit.json";
/// Where the shim listens.
pub(crate) const SHIM_SOCKET: &str = "shim.sock";

/// The size of the pseudo-terminal: tqdm and others print nothing at 0×0.
pub(crate) const TERMINAL_COLUMNS: u16 = 120;
pub(crate) const TERMINAL_ROWS: u16 = 30;

/// One attempt, as the shim needs to know it.
///
/// The environment is not here: it is the shim's own, and never on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Spec {
    pub(crate) protocol: u32,
    pub(crate) task: TaskId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) argv: Vec<String>,
    pub(crate) cwd: String,
    pub(crate) output: OutputMode,
    pub(crate) timeout_ms: Option<u64>,
    /// How long each signal of the ladder may take to work.
    pub(crate) grace_ms: u64,
    /// The limit of open files that the child gets back; the host has raised its own.
    pub(crate) open_files: Option<u64>,
    /// The mask of new files' permissions that the child gets back; the host's own is strict.
    pub(crate) umask: Option<u32>,
}

/// What a host tells a shim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum ToShim {
    /// Climb the ladder of signals. Said twice, it does nothing more.
    Stop,
    /// The report is on the disk; the shim may go.
    Acknowledge,
}

/// What a shim tells its host. On each new connection `Status` comes first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum FromShim {
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
    },
    /// Whether the log can take no more bytes; the task waits until it can.
    DiskFull {
        full: bool,
    },
    Ended {
        report: Report,
    },
}

/// Where a shim stands, said first on each connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) protocol: u32,
    pub(crate) task: TaskId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) shim_pid: i32,
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) size: u64,
    pub(crate) stopping: Option<(ShimStop, StopStage)>,
    pub(crate) report: Option<Report>,
}

/// A process for as long as the machine runs: a pid alone is given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessIdentity {
    pub(crate) pid: i32,
    /// Clock ticks between boot and the process's start: field 22 of proc(5) stat.
    pub(crate) start_time: u64,
}

/// Why a shim ends processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ShimStop {
    Requested,
    TimedOut,
    LeftProcesses,
}

/// How an attempt ended: the content of `exit.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) protocol: u32,
    pub(crate) task: TaskId,
    pub(crate) attempt: AttemptNumber,
    pub(crate) process: Option<ProcessIdentity>,
    pub(crate) started_at: Option<Timestamp>,
    /// How the main process ended, and when.
    pub(crate) exit: Option<ExitStatus>,
    pub(crate) exited_at: Option<Timestamp>,
    /// When the last of the task's processes was gone.
    pub(crate) ended_at: Timestamp,
    /// Why no process came to be.
    pub(crate) spawn_error: Option<SpawnError>,
    /// The time was up before the main process ended.
    pub(crate) timed_out: bool,
    /// The shim sent a signal before the main process ended, whatever the cause. Without it the
    /// exit is the task's own, even if a stop was asked for.
    #[serde(default)]
    pub(crate) stopped: bool,
    /// The largest resident set of the main process and those it waited for, in bytes.
    pub(crate) peak_memory: Option<u64>,
    /// User and system time of the same, in milliseconds.
    pub(crate) cpu_ms: Option<u64>,
    /// Processes that the main process left behind, and those that no stop could or would end.
    pub(crate) left: Vec<LeftProcess>,
    /// The size of the log, in bytes.
    pub(crate) size: u64,
}

/// A process that its task left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeftProcess {
    pub(crate) pid: i32,
    pub(crate) name: String,
    /// Whether it is gone; Nod cannot end a process of another user, and does not end its own
    /// hosts and other tasks' shims.
    pub(crate) ended: bool,
}
