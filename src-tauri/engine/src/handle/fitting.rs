//! What of a task, or of all that goes on, has room in one message.
//!
//! The newest is shown first and whole; what has no room is counted, so that
//! whoever reads it knows that there is more.

use nod_core::environment::{Change, EnvironmentChange};
use nod_core::protocol::{Attempt, LeftOut, MESSAGE_LIMIT, SnapshotPlace, TaskDetail};
use nod_core::request::Request;
use nod_core::task::Task;
use serde::Serialize;

/// What the rest of a message takes.
const AROUND: usize = 16 * 1024;

/// A value of a variable that is longer is cut where not all have room, to so many bytes.
const VALUE: usize = 256;

/// How much of a message one page of tasks and questions takes.
pub(super) const PAGE: usize = MESSAGE_LIMIT / 2;

/// Leaves out of what is known of a task what has no room in a message.
pub(super) fn fit(mut detail: TaskDetail) -> TaskDetail {
    let whole = size(&detail.task) + size(&detail.result_text);
    let mut room = (MESSAGE_LIMIT - AROUND).saturating_sub(whole);
    let words = size(&detail.argv);
    if words > room / 2 {
        detail.left_out.argv = true;
        detail.argv.clear();
    }
    room = room.saturating_sub(size(&detail.argv));
    let left_out = &mut detail.left_out;
    let events = newest_fitting(&mut detail.events, room / 6, &mut left_out.events);
    room = room.saturating_sub(events);
    room = room.saturating_sub(fit_attempts(&mut detail.attempts, room / 3, left_out));
    room = room.saturating_sub(fit_environment(&mut detail.environment, room / 3, left_out));
    newest_fitting(&mut detail.requests, room, &mut left_out.requests);
    detail
}

/// Keeps the newest tries, of which the newest are whole and the others without what they printed.
fn fit_attempts(attempts: &mut Vec<Attempt>, room: usize, left_out: &mut LeftOut) -> usize {
    let (mut taken, mut cut) = (0, vec![]);
    for attempt in attempts.iter_mut().rev() {
        taken += size(attempt);
        if taken > room / 4 && attempt.tail.take().is_some() {
            cut.push(attempt.number);
        }
    }
    let kept = newest_fitting(attempts, room, &mut left_out.attempts);
    let is_there = |number| attempts.first().is_some_and(|oldest| oldest.number <= number);
    left_out.tails = count(cut.into_iter().filter(|number| is_there(*number)).count());
    kept
}

/// Keeps the names of variables, where their values have no room.
fn fit_environment(
    changes: &mut Vec<EnvironmentChange>,
    room: usize,
    left_out: &mut LeftOut,
) -> usize {
    if size(changes) > room {
        changes.iter_mut().filter_map(|change| change.value.as_mut()).for_each(cut);
    }
    let kept = fitting(changes.iter(), room);
    left_out.variables = count(changes.len() - kept);
    changes.truncate(kept);
    size(changes)
}

/// Cuts what a question shows of variables, where no message holds all of it. Nobody can answer what
/// they see then: what is agreed to is shown by other ways, and whole.
fn fit_question(request: &mut Request) {
    let room = MESSAGE_LIMIT - 2 * AROUND;
    let whole = size(request);
    if whole <= room {
        return;
    }
    let changes = &mut request.shown.environment;
    let left_for_them = room.saturating_sub(whole.saturating_sub(size(changes)));
    let mut left_out = LeftOut::default();
    fit_environment(changes, left_for_them, &mut left_out);
    if left_out.variables > 0 {
        let value = Some(format!("{} more variables are not shown", left_out.variables));
        let change = Change::Added;
        changes.push(EnvironmentChange { name: "…".into(), change, value, masked: false });
    }
}

/// Cuts a long text, and says how long it was.
fn cut(value: &mut String) {
    if value.len() > VALUE {
        let end = (0..=VALUE).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        *value = format!("{} … ({} bytes)", &value[..end], value.len());
    }
}

/// Keeps the last of the items that have room, and returns how much they take.
fn newest_fitting<T: Serialize>(items: &mut Vec<T>, room: usize, left_out: &mut u32) -> usize {
    let kept = fitting(items.iter().rev(), room);
    *left_out = count(items.len() - kept);
    items.drain(..items.len() - kept);
    size(items)
}

/// The tasks and questions of a snapshot that one message has, and where the next begins.
pub(super) struct Part {
    pub(super) tasks: Vec<Task>,
    pub(super) requests: Vec<Request>,
    pub(super) more: Option<SnapshotPlace>,
}

/// Returns what fits into a page from a place on: questions, oldest first, and then tasks, newest
/// first; `least` of them in any case.
pub(super) fn page(
    from: SnapshotPlace,
    (mut requests, mut tasks): (Vec<Request>, Vec<Task>),
    (room, least): (usize, usize),
) -> Part {
    if let Some(first) = requests.first_mut().filter(|_| least > 0) {
        fit_question(first);
    }
    let asked = fitting(requests.iter(), room).max(least.min(requests.len()));
    let all_asked = asked == requests.len();
    requests.truncate(asked);
    let room = room.saturating_sub(size(&requests));
    let least = least.saturating_sub(asked).min(tasks.len());
    let shown = if all_asked { fitting(tasks.iter(), room).max(least) } else { 0 };
    let all_shown = shown == tasks.len();
    tasks.truncate(shown);
    let more = (!all_asked || !all_shown).then(|| SnapshotPlace {
        requests_after: requests.last().map_or(from.requests_after, |request| request.id),
        tasks_before: tasks.last().map_or(from.tasks_before, |task| task.id),
    });
    Part { tasks, requests, more }
}

/// Keeps the first of the items that have room, and returns how much they take.
pub(super) fn first_fitting<T: Serialize>(items: &mut Vec<T>, room: usize) -> usize {
    items.truncate(fitting(items.iter(), room));
    size(items)
}

/// Returns how many of the items have room, one after the other.
fn fitting<'a, T: Serialize + 'a>(items: impl Iterator<Item = &'a T>, room: usize) -> usize {
    let mut taken = 0;
    let fits = |item: &&T| {
        // With the comma behind it.
        taken += size(item) + 1;
        taken <= room
    };
    items.take_while(fits).count()
}

/// Returns how many bytes something takes in a message.
fn size<T: Serialize>(item: &T) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written has no room at all.
    serde_json::to_writer(&mut count, item).map_or(MESSAGE_LIMIT, |()| count.0)
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
