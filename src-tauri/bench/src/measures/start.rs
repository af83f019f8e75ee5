//! From the call of `nod submit` to the first instruction of the task's own program.

use std::time::Duration;

use nod_core::task::StateName;

use crate::options::Options;
use crate::place::{Medium, Place, program, word};
use crate::samples::Samples;
use crate::serving::Serving;
use crate::stamp::Moment;
use crate::table::{Goal, Row, Value};

const LOOK: Duration = Duration::from_micros(500);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(Medium::Disk, "")?;
    let serving = Serving::start(&place)?;
    let file = place.work().join("stamp");
    let bench = program("nod-bench")?;
    let words = ["submit", "--", word(&bench)?, "stamp", word(&file)?];
    let mut submit = place.nod(&words)?;
    let mut exec = place.nod(&["--version"])?;
    let mut bare = place.command(&bench);
    bare.arg("stamp").arg(&file);
    let (mut nod, mut limit, mut spawn) =
        (Samples::default(), Samples::default(), Samples::default());
    for n in 1..=options.pick(100, 300, 1_000) {
        let before = Moment::now();
        submit.status()?;
        serving.wait_for(StateName::Succeeded, n, LOOK)?;
        nod.push(Moment::read(&file)?.since(before));
        limit.time(|| exec.status())?;
        let before = Moment::now();
        bare.status()?;
        spawn.push(Moment::read(&file)?.since(before));
    }
    let row = |measure: &str, limit, goal| Row {
        measure: measure.to_owned(),
        nod: Value::from(&nod),
        limit: Value::from(limit),
        goal,
    };
    Ok(vec![
        row("submit → process started; limit: exec of the CLI", &limit, Goal::RatioAtMost(2.0)),
        row("  limit: a bare spawn of the same process", &spawn, Goal::None),
    ])
}
