//! From the end of a task's program to the return of `nod wait`.

use std::time::Duration;

use nod_core::task::StateName;

use crate::options::Options;
use crate::place::{Medium, Place, program, word};
use crate::samples::Samples;
use crate::serving::Serving;
use crate::stamp::Moment;
use crate::table::{Goal, Row, Value};

/// How long a task runs, in milliseconds: long enough for the other side to wait.
const RUNS: &str = "25";

const GOAL: Duration = Duration::from_millis(5);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(Medium::Disk, "")?;
    let serving = Serving::start(&place)?;
    let file = place.work().join("stamp");
    let bench = program("nod-bench")?;
    let words = ["submit", "--", word(&bench)?, "stamp", word(&file)?, RUNS];
    let mut submit = place.nod(&words)?;
    let mut bare = place.command(&bench);
    bare.arg("stamp").arg(&file).arg(RUNS);
    let (mut nod, mut limit) = (Samples::default(), Samples::default());
    for n in 1..=options.pick(100, 300, 1_000) {
        submit.status()?;
        place.nod(&["wait", &n.to_string()])?.status()?;
        let returned = Moment::now();
        nod.push(returned.since(Moment::read(&file)?));
        serving.wait_for(StateName::Succeeded, n, Duration::from_millis(1))?;
        bare.status()?;
        let returned = Moment::now();
        limit.push(returned.since(Moment::read(&file)?));
    }
    Ok(vec![Row {
        measure: "end → nod wait returns; limit: a parent's wait".to_owned(),
        nod: Value::from(&nod),
        limit: Value::from(&limit),
        goal: Goal::P99AtMost(GOAL),
    }])
}
