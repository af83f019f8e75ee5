//! From a person's answer to the return of `nod ask`.

use std::time::Duration;

use nod_core::task::StateName;

use crate::limits::commit::{Rows, Synchronous};
use crate::options::Options;
use crate::place::{Medium, Place, program, word};
use crate::samples::Samples;
use crate::serving::Serving;
use crate::stamp::Moment;
use crate::table::{Goal, Row, Value};

const GOAL: Duration = Duration::from_millis(5);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(Medium::Disk, "")?;
    let mut serving = Serving::start_with_person(&place)?;
    let file = place.work().join("stamp");
    let (bench, nod_program) = (program("nod-bench")?, program("nod")?);
    let ask = [word(&bench)?, "after", word(&file)?, word(&nod_program)?, "ask", "Go on?"];
    let mut submit = place.nod(&[&["submit", "--"], ask.as_slice()].concat())?;
    let folder = Medium::Disk.folder()?;
    let mut rows = Rows::create(&folder.path().join("one.db"), Synchronous::Full)?;
    let (mut nod, mut limit) = (Samples::default(), Samples::default());
    for n in 1..=options.pick(50, 300, 1_000) {
        submit.status()?;
        let answered = Moment::parse(&serving.line()?)?;
        serving.wait_for(StateName::Succeeded, n, Duration::from_millis(1))?;
        nod.push(Moment::read(&file)?.since(answered));
        limit.time(|| rows.add(1))?;
    }
    Ok(vec![Row {
        measure: "answer → nod ask returns; limit: one FULL commit".to_owned(),
        nod: Value::from(&nod),
        limit: Value::from(&limit),
        goal: Goal::P99AtMost(GOAL),
    }])
}
