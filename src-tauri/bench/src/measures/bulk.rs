//! Thousands of tiny tasks at once, against a plain loop that starts as many.

use std::time::{Duration, Instant};

use nod_core::protocol::Submit;
use nod_core::task::StateName;

use crate::limits::commit::Synchronous;
use crate::limits::spawn_loop;
use crate::options::{Options, Scale};
use crate::place::{Medium, Place};
use crate::serving::Serving;
use crate::table::{Goal, Row, Value};
use crate::wire;

/// How many tasks stand in the way in the third case.
const QUEUED: usize = 10_000;

const LOOK: Duration = Duration::from_millis(5);

struct Case {
    slots: usize,
    medium: Medium,
    goal: f64,
}

const CASES: [Case; 4] = [
    Case { slots: 2, medium: Medium::Disk, goal: 0.8 },
    Case { slots: 64, medium: Medium::Disk, goal: 0.8 },
    Case { slots: 2, medium: Medium::Memory, goal: 0.5 },
    Case { slots: 64, medium: Medium::Memory, goal: 0.75 },
];

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let tasks = options.pick(500, 2_000, 2_000);
    let rounds = options.pick(1, 3, 5);
    let mut rows = Vec::new();
    for case in CASES.iter().filter(|case| case.medium.is_there()) {
        rows.push(case.measure(tasks, rounds)?);
    }
    if options.scale != Scale::Quick {
        for slots in [2, 64] {
            rows.push(with_many_queued(slots, tasks, rounds)?);
        }
    }
    Ok(rows)
}

impl Case {
    fn measure(&self, tasks: usize, rounds: usize) -> anyhow::Result<Row> {
        let (mut nod, mut limit) = (Duration::ZERO, Duration::ZERO);
        let synchronous = match self.medium {
            Medium::Disk => Synchronous::Full,
            Medium::Memory => Synchronous::Normal,
        };
        for _ in 0..rounds {
            nod += run(self.medium, self.slots, tasks, 0)?;
            let folder = self.medium.folder()?;
            limit += spawn_loop::run(folder.path(), synchronous, (tasks, self.slots))?;
        }
        let kind = match self.medium {
            Medium::Disk => "FULL, on the disk",
            Medium::Memory => "in memory, no waiting for a disk",
        };
        let rate = |time: Duration| Value::Rate((tasks * rounds) as f64 / time.as_secs_f64());
        Ok(Row {
            measure: format!("{tasks} tiny tasks, {} slots, {kind}; limit: spawn loop", self.slots),
            nod: rate(nod),
            limit: rate(limit),
            goal: Goal::RatioAtLeast(self.goal),
        })
    }
}

/// Measures the same with and without many other tasks that wait for a person.
fn with_many_queued(slots: usize, tasks: usize, rounds: usize) -> anyhow::Result<Row> {
    let (mut full, mut empty) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        empty += run(Medium::Disk, slots, tasks, 0)?;
        full += run(Medium::Disk, slots, tasks, QUEUED)?;
    }
    Ok(Row {
        measure: format!("  time with 10,000 queued, {slots} slots; limit: with none"),
        nod: Value::Seconds(full / u32::try_from(rounds)?),
        limit: Value::Seconds(empty / u32::try_from(rounds)?),
        goal: Goal::RatioAtMost(1.2),
    })
}

/// Returns how long so many tasks take from the first submit to the last end.
fn run(medium: Medium, slots: usize, tasks: usize, queued: usize) -> anyhow::Result<Duration> {
    let place = Place::new(medium, &format!("[groups.default]\nslots = {slots}\n"))?;
    let serving = Serving::start(&place)?;
    let mut wire = serving.wire()?;
    let submit = wire::task(&["true", "x"], &place.work())?;
    let gated = Submit { ask_first: true, ..submit.clone() };
    wire.submit(&gated, queued)?;
    let start = Instant::now();
    wire.submit(&submit, tasks)?;
    serving.wait_for(StateName::Succeeded, u64::try_from(tasks)?, LOOK)?;
    Ok(start.elapsed())
}
