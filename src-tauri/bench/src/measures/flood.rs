//! What others notice of a program that asks without end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nod_client::{Connection, new_operation};
use nod_core::protocol::{Ask, Call, ListQuery, Resume};

use crate::options::Options;
use crate::output;
use crate::place::{Medium, Place};
use crate::samples::Samples;
use crate::serving::Serving;
use crate::table::{Goal, Row, Value};
use crate::wire::{AT_ONCE, Wire};

const GOAL: Duration = Duration::from_millis(20);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let place = Place::new(Medium::Disk, "")?;
    let serving = Serving::start(&place)?;
    let times = options.pick(200, 1_000, 5_000);
    let mut other = serving.connect()?;
    let mut quiet = Samples::default();
    for _ in 0..times {
        list(&mut other, &mut quiet)?;
    }
    let mut wire = serving.wire()?;
    let (ends, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let loud = thread::scope(|scope| {
        // Whichever of the two fails, the other does not wait for it in vain.
        let asking = scope.spawn(|| {
            let result = ask_without_end(&mut wire, &ends, &asked);
            ends.store(true, Ordering::Relaxed);
            result
        });
        let questions = options.pick(1_000, 10_000, 100_000);
        let mut loud = Samples::default();
        let mut listed = Ok(());
        let mut left: usize = times;
        while listed.is_ok()
            && !ends.load(Ordering::Relaxed)
            && (left > 0 || asked.load(Ordering::Relaxed) < questions)
        {
            listed = list(&mut other, &mut loud);
            left = left.saturating_sub(1);
        }
        ends.store(true, Ordering::Relaxed);
        asking.join().expect("whoever asks does not panic")?;
        listed.map(|()| loud)
    })?;
    output::note(&format!("  {} questions", asked.load(Ordering::Relaxed)));
    Ok(vec![Row {
        measure: "list, while a program asks without end; limit: while it does not".to_owned(),
        nod: Value::from(&loud),
        limit: Value::from(&quiet),
        goal: Goal::P99AtMost(GOAL),
    }])
}

fn list(connection: &mut Connection, samples: &mut Samples) -> anyhow::Result<()> {
    samples.time(|| connection.call(&Call::List(ListQuery::default())))?;
    Ok(())
}

/// Asks the same again and again, and waits for no answer.
fn ask_without_end(wire: &mut Wire, ends: &AtomicBool, asked: &AtomicU64) -> anyhow::Result<()> {
    while !ends.load(Ordering::Relaxed) {
        let mut calls = Vec::with_capacity(AT_ONCE);
        for _ in 0..AT_ONCE {
            let mut ask = Ask::approval(new_operation()?, "Go on?");
            ask.resume = Some(Resume::After { milliseconds: 0 });
            calls.push(Call::Ask(ask));
        }
        wire.say(calls)?;
        asked.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
    }
    Ok(())
}
