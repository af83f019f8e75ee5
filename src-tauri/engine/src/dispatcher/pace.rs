//! How fast questions and gates may come, and how many of them one source may have open.

use std::collections::HashMap;

use nod_core::ids::{RequestId, TaskId, Timestamp};
use nod_core::shim::ProcessIdentity;

use crate::error::EngineError;

/// How many questions one source may have open, and all programs that are no tasks together.
pub(super) const OPEN_LIMIT: usize = 20;
const OPEN_OF_PROGRAMS: usize = 100;

/// How many paces are known before those that hold nobody back any more are forgotten.
const KEPT: usize = 1_000;

/// Where questions and gates come from: what is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A task and all that descend from it, by the first of them.
    Task(TaskId),
    /// A program that is no task, by its process and when that began.
    Program {
        pid: u32,
        started: u64,
    },
    /// A program of which nothing is known any more.
    Gone,
    Person,
    Host,
}

impl Source {
    pub(super) fn of(process: ProcessIdentity) -> Self {
        Self::Program { pid: process.pid.cast_unsigned(), started: process.start_time }
    }

    /// Returns whether this is one of the programs that are no tasks.
    pub(super) fn is_program(self) -> bool {
        matches!(self, Self::Program { .. } | Self::Gone)
    }

    fn paced(self) -> impl Iterator<Item = Paced> {
        let common = self.is_program().then_some(Paced::Programs);
        [Paced::Source(self)].into_iter().chain(common)
    }
}

/// What has a pace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Paced {
    Source(Source),
    /// All programs that are no tasks: one could have any number of others ask for it.
    Programs,
    /// That one task is asked about anew, since it was changed.
    Again(TaskId),
}

impl Paced {
    /// Returns how many may come at once, and how soon one more may, in milliseconds.
    fn limits(self) -> (u64, u64) {
        match self {
            Self::Source(_) => (40, 1_000),
            Self::Programs => (160, 250),
            Self::Again(_) => (10, 5_000),
        }
    }

    fn span(self) -> u64 {
        let (burst, every) = self.limits();
        burst * every
    }
}

/// How fast they came so far.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When what came so far would have come at an even pace.
    until: HashMap<Paced, Timestamp>,
    /// Where the open questions come from.
    sources: HashMap<RequestId, Source>,
}

impl Pace {
    /// Counts one more; returns whether it comes too soon, and is not counted.
    pub(super) fn is_exceeded(&mut self, source: Source, now: Timestamp) -> bool {
        let exceeded = self.ready_at(source, now).is_some();
        if !exceeded {
            source.paced().for_each(|paced| self.count(paced, now));
        }
        exceeded
    }

    /// Returns when one more may come; nothing when it may now.
    pub(super) fn ready_at(&self, source: Source, now: Timestamp) -> Option<Timestamp> {
        source.paced().filter_map(|paced| self.free_at(paced, now)).max()
    }

    /// Refuses to ask about one task again and again.
    pub(super) fn check_again(&mut self, task: TaskId, now: Timestamp) -> Result<(), EngineError> {
        let paced = Paced::Again(task);
        if self.free_at(paced, now).is_some() {
            return Err(EngineError::Busy(
                "a person is asked about this task, and it changes faster than they can read: \
                 wait five seconds for each change",
            ));
        }
        self.count(paced, now);
        Ok(())
    }

    /// Refuses a question that comes too soon after others.
    pub(super) fn check(&mut self, source: Source, now: Timestamp) -> Result<(), EngineError> {
        if self.is_exceeded(source, now) {
            return Err(EngineError::Busy(
                "questions come faster than a person can read them: wait a second for each",
            ));
        }
        Ok(())
    }

    /// Refuses a question where so many are open of its source, and of programs that wait.
    pub(super) fn check_open(
        &self,
        source: Source,
        (own, of_programs): (usize, usize),
    ) -> Result<(), EngineError> {
        if own >= OPEN_LIMIT {
            return Err(EngineError::Busy(
                "20 questions are open already: wait until a person has answered some",
            ));
        }
        if source.is_program() && of_programs >= OPEN_OF_PROGRAMS {
            return Err(EngineError::Busy(
                "100 questions of programs are open already: wait until a person has answered some",
            ));
        }
        Ok(())
    }

    /// Notes where a question comes from.
    pub(super) fn note(&mut self, request: RequestId, source: Source) {
        self.sources.insert(request, source);
    }

    /// Returns the questions that were asked by one source; some may be closed.
    pub(super) fn asked_by(&self, source: Source) -> impl Iterator<Item = RequestId> {
        let own = self.sources.iter().filter(move |(_, its)| **its == source);
        own.map(|(request, _)| *request)
    }

    pub(super) fn source_of(&self, request: RequestId) -> Source {
        self.sources.get(&request).copied().unwrap_or(Source::Gone)
    }

    /// Returns whether a question may come from there; of one that an earlier host took nobody knows.
    pub(super) fn may_be_of(&self, request: RequestId, source: Source) -> bool {
        self.sources.get(&request).is_none_or(|known| *known == source)
    }

    pub(super) fn closed(&mut self, request: RequestId) {
        self.sources.remove(&request);
    }

    pub(super) fn forget(&mut self, task: TaskId) {
        self.until.remove(&Paced::Source(Source::Task(task)));
    }

    pub(super) fn follow_clock(&mut self, jump: i64) {
        for until in self.until.values_mut() {
            *until = until.moved(jump);
        }
    }

    fn count(&mut self, paced: Paced, now: Timestamp) {
        if self.until.len() >= KEPT {
            self.until.retain(|_, until| *until > now);
        }
        let (_, every) = paced.limits();
        let until = self.until.entry(paced).or_insert(now);
        *until = (*until).max(now).plus(every);
    }

    fn free_at(&self, paced: Paced, now: Timestamp) -> Option<Timestamp> {
        let until = *self.until.get(&paced)?;
        let over = until.since(now).checked_sub(paced.span())?;
        Some(now.plus(over + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(pid: u32) -> Source {
        Source::Program { pid, started: 1 }
    }

    #[test]
    fn a_source_has_twenty_open_and_all_programs_a_hundred() {
        let mut pace = Pace::default();
        for id in 1..=20 {
            pace.note(RequestId(id), program(1));
        }
        let open = |pace: &Pace, source| pace.asked_by(source).count();
        assert_eq!(open(&pace, program(1)), 20);
        // Another process of the same number is another program.
        assert_eq!(open(&pace, Source::Program { pid: 1, started: 2 }), 0);
        let refused = |source, open| pace.check_open(source, open).map_err(|it| it.to_string());
        let task = Source::Task(TaskId(1));
        assert!(refused(program(1), (20, 20)).unwrap_err().contains("20 questions"));
        assert!(refused(program(2), (19, 99)).is_ok());
        assert!(refused(program(2), (0, 100)).unwrap_err().contains("100 questions"));
        assert!(refused(task, (19, 100)).is_ok());
        assert!(refused(task, (20, 0)).unwrap_err().contains("20 questions"));
    }

    #[test]
    fn after_a_burst_one_comes_each_second_and_programs_have_a_common_pace() {
        let mut pace = Pace::default();
        let now = Timestamp(1_000_000);
        let task = Source::Task(TaskId(1));
        assert_eq!((0..100).filter(|_| !pace.is_exceeded(task, now)).count(), 40);
        let ready = pace.ready_at(task, now).unwrap();
        assert!(ready > now && ready <= now.plus(1_000), "{ready:?}");
        assert!(!pace.is_exceeded(task, ready) && pace.is_exceeded(task, ready));
        let programs = (0..1_000).filter(|pid| !pace.is_exceeded(program(*pid), now)).count();
        assert_eq!(programs, 160);
        assert_eq!((0..100).filter(|_| pace.check_again(TaskId(7), now).is_ok()).count(), 10);
        assert!(pace.check_again(TaskId(7), now.plus(5_000)).is_ok());
    }
}
