//! What a host costs that has nothing to do, with somebody connected.

use std::thread;
use std::time::Duration;

use nod_core::protocol::Call;

use crate::options::Options;
use crate::place::{Medium, Place};
use crate::serving::Serving;
use crate::table::{Goal, Row, Value};

/// For the host to come to rest after its start.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let window = Duration::from_secs(options.pick(3, 10, 30));
    let place = Place::new(Medium::Disk, "")?;
    let serving = Serving::start(&place)?;
    let mut subscriber = serving.connect()?;
    subscriber.send(&Call::Subscribe)?;
    subscriber.receive()?;
    thread::sleep(SETTLE);
    let before = serving.processor_time()?;
    thread::sleep(window);
    let used = serving.processor_time()?.saturating_sub(before);
    Ok(vec![
        Row {
            measure: format!("idle host with a subscriber, of a core in {} s", window.as_secs()),
            nod: Value::Percent(used.as_secs_f64() / window.as_secs_f64() * 100.0),
            limit: Value::None,
            goal: Goal::AtMost(0.1),
        },
        Row {
            measure: "idle host, memory (PSS)".to_owned(),
            nod: Value::Bytes(crate::serving::memory(serving.pid())?),
            limit: Value::None,
            goal: Goal::None,
        },
    ])
}
