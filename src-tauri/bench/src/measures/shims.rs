//! Many running tasks: what each shim and the host cost, and how soon all are cancelled.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::Call;
use nod_core::task::StateName;

use crate::options::Options;
use crate::place::{Medium, Place, program};
use crate::serving::{Serving, memory};
use crate::table::{Goal, Row, Value};
use crate::wire;

const LOOK: Duration = Duration::from_millis(5);
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn measure(options: &Options) -> anyhow::Result<Vec<Row>> {
    let tasks = options.pick(50, 100, 1_000);
    let window = Duration::from_secs(options.pick(3, 10, 30));
    let place = Place::new(Medium::Disk, "[groups.default]\nslots = 2000\n")?;
    let serving = Serving::start(&place)?;
    let idle = memory(serving.pid())?;
    let submit = wire::task(&["sleep", "600"], &place.work())?;
    let ids = serving.wire()?.submit(&submit, tasks)?;
    serving.wait_for(StateName::Running, u64::try_from(tasks)?, LOOK)?;
    thread::sleep(SETTLE);
    let before = serving.processor_time()?;
    thread::sleep(window);
    let used = serving.processor_time()?.saturating_sub(before);
    let shims = shims_of(&place)?;
    let mut sum = 0.0;
    for pid in &shims {
        sum += memory(*pid)?;
    }
    let grown = memory(serving.pid())? - idle;
    let cancelled = cancel(&serving, &ids)?;
    let row = |measure: String, nod, goal| Row { measure, nod, limit: Value::None, goal };
    let percent = used.as_secs_f64() / window.as_secs_f64() * 100.0;
    Ok(vec![
        row(
            format!("{} running tasks: a shim's memory (PSS)", shims.len()),
            Value::Bytes(sum / shims.len() as f64),
            Goal::AtMost(120.0 * 1024.0),
        ),
        row(
            "  host beyond idle".to_owned(),
            Value::Bytes(grown.max(0.0)),
            Goal::AtMost(30.0 * 1_048_576.0),
        ),
        row("  host, of a core".to_owned(), Value::Percent(percent), Goal::AtMost(0.1)),
        row("  all cancelled".to_owned(), Value::Seconds(cancelled), Goal::AtMost(1.0)),
    ])
}

/// Cancels all tasks, and returns how long it took until the last had ended.
fn cancel(serving: &Serving<'_>, ids: &[TaskId]) -> anyhow::Result<Duration> {
    let mut calls = Vec::with_capacity(ids.len());
    for id in ids {
        calls.push(Call::Cancel { operation: new_operation()?, id: *id });
    }
    let start = Instant::now();
    serving.wire()?.all(calls)?;
    serving.wait_for(StateName::Cancelled, u64::try_from(ids.len())?, LOOK)?;
    Ok(start.elapsed())
}

/// Returns the shims of the tasks in a place, known by their program and their folder.
fn shims_of(place: &Place) -> anyhow::Result<Vec<u32>> {
    let shim = program("nod-shim")?;
    let tasks = place.paths()?.tasks();
    let tasks = tasks.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let is_shim = fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == shim);
        let is_here = || {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|words| words.windows(tasks.len()).any(|part| part == tasks))
        };
        if is_shim && is_here() {
            found.push(pid);
        }
    }
    Ok(found)
}
