//! The view of a task that was tried again and again.

use nod_core::ids::TaskId;
use nod_tests::{Desktop, Window, by_name};

use crate::row;

/// More than one message has room for.
const TRIES: i64 = 5_000;

fn open(window: &Window, id: TaskId) {
    window.click(&by_name("nav-tasks"));
    window.click(&format!("{} [data-row]", row(id)));
    window.wait_for(&format!("{}[data-task-id='{id}']", by_name("detail")));
}

const TO_THE_END: &str = "
    const list = document.querySelector(`${arguments[0]} .scroll`);
    list.scrollTo(0, list.scrollHeight)";

/// Returns a task that has failed so often, as its history has it.
fn tried(desktop: &Desktop) -> TaskId {
    let id =
        desktop.submit_with(&["--label", "Flaky upload"], &["echo 'no route to host'; exit 7"]);
    desktop.wait_for_end(id);
    let history = rusqlite::Connection::open(desktop.data().join("nod.db")).unwrap();
    let tries = "INSERT INTO attempts (task_id, number, folder, token_hash, boot_id, started_at,
            exited_at, ended_at, exit, left_processes, size, outcome, tail)
        WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        SELECT task_id, i, folder, token_hash, boot_id, started_at, exited_at, ended_at, exit,
            left_processes, size, outcome, tail
        FROM attempts, n WHERE task_id = ?1 AND number = 1";
    let events = "INSERT INTO events (seq, at, task_id, what, detail)
        WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        SELECT 1000 + i, created_at, ?1, 'starting', NULL FROM n, tasks WHERE tasks.id = ?1";
    history.execute(tries, [id.0, TRIES]).unwrap();
    history.execute("UPDATE tasks SET attempt = ?2 WHERE id = ?1", [id.0, TRIES]).unwrap();
    history.execute(events, [id.0, TRIES]).unwrap();
    id
}

/// Returns whether something can be seen without scrolling.
const IS_IN_SIGHT: &str = "
    const box = document.querySelector(arguments[0]).getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight";

fn look_at(desktop: &Desktop, ids: [TaskId; 2], theme: &str) {
    let window = desktop.open();
    let its = by_name("attempts");
    for (id, name, count, left) in [(ids[0], "few", 4, None), (ids[1], "many", TRIES - 1, Some(()))]
    {
        open(&window, id);
        window.wait_for_text(&its, &format!("{count} earlier attempts"));
        // However many they are, the output does not go out of sight for them.
        assert_eq!(window.script(IS_IN_SIGHT, &[by_name("tab-output").into()]), true);
        window.wait_for_frame();
        desktop.picture(&format!("{name}-attempts-closed-{theme}"));
        window.click(&format!("{its} summary"));
        window.wait_for_text(&its, "Failed (exit");
        let shown = i64::try_from(window.count(&format!("{its} li"))).unwrap();
        let said = window.text(&its).unwrap();
        let note = format!("{} older attempts are not shown", count - shown);
        assert_eq!(
            (said.contains(&note), shown < count),
            (left.is_some(), left.is_some()),
            "{said}"
        );
        assert_eq!(window.script(IS_IN_SIGHT, &[by_name("tab-output").into()]), true);
        window.wait_for_frame();
        desktop.picture(&format!("{name}-attempts-{theme}"));
        if left.is_some() {
            assert!(window.script(TO_THE_END, &[its.clone().into()]).is_null());
            window.wait_for_frame();
            desktop.picture(&format!("{name}-attempts-end-{theme}"));
            window.click(&by_name("tab-events"));
            window.wait_for_text(&by_name("detail"), "earlier events are not shown");
            window.wait_for_frame();
            desktop.picture(&format!("{name}-attempts-events-{theme}"));
        }
    }
    window.kill_app();
}

#[test]
fn the_view_of_a_task_names_its_tries_and_says_how_many_more_there_are() {
    let desktop = Desktop::start();
    let many = tried(&desktop);
    let few =
        desktop.submit_with(&["--retries", "4", "--backoff", "1ms"], &["echo 'no 完了'; exit 3"]);
    desktop.wait_for_end(few);
    look_at(&desktop, [few, many], "light");
    let desktop = desktop.with_theme("Adwaita:dark");
    look_at(&desktop, [few, many], "dark");
}
