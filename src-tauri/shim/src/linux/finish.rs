//! The end of an attempt: the report on the disk, and in the hands of a host if there is one.

use std::io;

use nod_core::shim::{FromShim, Report, SHIM_PROTOCOL};

use super::attempt;
use super::clock::{Moment, Reading};
use super::exit_file::ExitFile;
use super::output::Output;
use super::supervise::Supervisor;

/// How long a host has to say that it has stored the report.
const ACKNOWLEDGE_MS: u64 = 10_000;
const RETRY_MS: u64 = 1000;
/// A report that names more would not fit the space that was reserved for it.
const MOST_LEFT: usize = 40;

impl Supervisor {
    /// Writes the report, hands it over, and leaves nothing behind but files.
    pub(crate) fn finish(mut self) {
        let report = self.make_report();
        let mut is_written = self.write_report(&report);
        if let Some(size) = self.output.as_mut().and_then(Output::last_announcement) {
            self.connections.send_size(size);
        }
        self.connections.send(&FromShim::Ended { report: report.clone() });
        self.connections.flush();
        self.report = Some(report.clone());
        let until = Moment::now().plus(ACKNOWLEDGE_MS);
        while !self.acknowledged {
            let now = Moment::now();
            let is_gone = !is_written && attempt::is_folder_gone();
            // No host finds this process or its files any more.
            if is_gone && self.connections.is_empty() {
                break;
            }
            // While the disk takes no report, this process is all that knows it.
            if is_written && (self.connections.is_empty() || until <= now) {
                self.sync_report();
                break;
            }
            self.finish_at = match (is_written, is_gone) {
                (true, _) => Some(until),
                (false, false) => Some(now.plus(RETRY_MS)),
                // There is nothing to try again: the last host goes, or stores it.
                (false, true) => None,
            };
            self.turn();
            is_written = is_written || self.write_report(&report);
        }
        attempt::remove_socket();
    }

    fn make_report(&self) -> Report {
        let main_end = self.main_end.as_ref();
        let end = self.ended.unwrap_or_else(Reading::now);
        let mut left = self.left_processes();
        left.sort_by_key(|process| process.ended);
        left.truncate(MOST_LEFT);
        Report {
            protocol: SHIM_PROTOCOL,
            task: self.spec.task,
            attempt: self.spec.attempt,
            process: self.process,
            started_at: self.started.map(|start| start.as_of(end)),
            exit: main_end.map(|end| end.status),
            exited_at: main_end.map(|main| main.at.as_of(end)),
            ended_at: end.wall,
            ended_boot_ms: Some(end.boot.0),
            spawn_error: self.spawn_error.clone(),
            no_room: self.no_room,
            timed_out: self.timed_out,
            stopped: self.stopped,
            terminated: self.terminated,
            peak_memory: main_end.map(|end| end.usage.peak_memory),
            cpu_ms: main_end.map(|end| end.usage.cpu_ms),
            left,
            size: self.output.as_ref().map_or(0, Output::size),
            typed: self.account.newest(),
        }
    }

    fn write_report(&mut self, report: &Report) -> bool {
        if self.exit_file.is_none() {
            self.exit_file = ExitFile::reserve().ok();
        }
        let Some(file) = &mut self.exit_file else { return false };
        match file.write(report) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // Somebody has removed it: another one is made.
                    self.exit_file = None;
                }
                false
            }
        }
    }

    fn sync_report(&self) {
        if let Some(file) = &self.exit_file {
            // A disk that cannot sync has lost more than this, and nobody is left to tell.
            file.sync().ok();
        }
    }
}
