//! Submitting with one call of the command line, against the bare start of the same program.

use std::time::Duration;

use nod_core::task::StateName;

use crate::limits::commit::{Rows, Synchronous};
use crate::options::Options;
use crate::place::{Medium, Place};
use crate::samples::Samples;
use crate::serving::Serving;
use crate::table::{Goal, Row, Value};
use crate::wire;

/// How many tasks stand in the way in the second half.
const QUEUED: usize = 10_000;

const LOOK: Duration = Duration::from_micros(500);

struct Measured {
    submit: Samples,
    exec: Samples,
    commit: Samples,
}

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let times = options.pick(100, 400, 1_000);
    let place = Place::new(Medium::Disk, "")?;
    let serving = Serving::start(&place)?;
    let mut ended = 0;
    let empty = submits(&serving, &mut ended, times)?;
    let mut rows = vec![
        row("submit, one CLI call; limit: exec of the CLI", &empty, Goal::RatioAtMost(2.2)),
        Row {
            measure: "  of which no program is spared: one FULL commit".to_owned(),
            nod: Value::None,
            limit: Value::from(&empty.commit),
            goal: Goal::None,
        },
    ];
    if options.pick(false, true, true) {
        let gated = nod_core::protocol::Submit {
            ask_first: true,
            ..wire::task(&["true", "x"], &place.work())?
        };
        serving.wire()?.submit(&gated, QUEUED)?;
        let full = submits(&serving, &mut ended, times)?;
        rows.push(row("  with 10,000 queued", &full, Goal::RatioAtMost(2.2)));
    }
    Ok(rows)
}

fn row(measure: &str, measured: &Measured, goal: Goal) -> Row {
    Row {
        measure: measure.to_owned(),
        nod: Value::from(&measured.submit),
        limit: Value::from(&measured.exec),
        goal,
    }
}

fn submits(serving: &Serving<'_>, ended: &mut u64, times: usize) -> anyhow::Result<Measured> {
    let mut measured = Measured {
        submit: Samples::default(),
        exec: Samples::default(),
        commit: Samples::default(),
    };
    let folder = Medium::Disk.folder()?;
    let mut rows = Rows::create(&folder.path().join("one.db"), Synchronous::Full)?;
    let mut submit = serving.place.nod(&["submit", "--", "true", "x"])?;
    let mut exec = serving.place.nod(&["--version"])?;
    for _ in 0..times {
        let status = measured.submit.time(|| submit.status())?;
        anyhow::ensure!(status.success(), "nod submit failed");
        *ended += 1;
        serving.wait_for(StateName::Succeeded, *ended, LOOK)?;
        measured.exec.time(|| exec.status())?;
        measured.commit.time(|| rows.add(1))?;
    }
    Ok(measured)
}
