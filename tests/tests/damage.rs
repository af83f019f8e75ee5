//! A history that is damaged.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::path::PathBuf;

use nod_core::ids::{TaskId, Timestamp};
use nod_core::protocol::{Call, Reply, RuleList, Snapshot};
use nod_core::rule::{Rule, Then};
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, processes, until};
use rusqlite::Connection;

/// What every history is, after all.
const PAGE: usize = 4096;

fn snapshot(host: &mut TestHost) -> Snapshot {
    let reply = host.person(&Call::Snapshot).unwrap();
    let Reply::Snapshot(snapshot) = reply else { panic!("{reply:?}") };
    *snapshot
}

fn database(home: &Home) -> PathBuf {
    home.data().join("nod.db")
}

/// Moves all of the write-ahead log into the database itself.
fn checkpoint(home: &Home) -> Connection {
    let connection = Connection::open(database(home)).unwrap();
    connection.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    connection
}

/// Returns the reports beside what was set aside.
fn reports(home: &Home) -> Vec<String> {
    let folders = fs::read_dir(home.data().join("damaged")).into_iter().flatten();
    folders
        .map(|folder| fs::read_to_string(folder.unwrap().path().join("report.txt")).unwrap())
        .collect()
}

/// Starts a task that runs until the file `end` is there, and waits for its process.
fn running(host: &TestHost) -> TaskId {
    let id =
        host.submit("touch begun-6209; while [ ! -e end ]; do sleep 0.02; done; echo bye; exit 3");
    until("the process", || host.work().join("begun-6209").exists().then_some(()));
    host.wait_for_state(id, StateName::Running);
    id
}

fn end(host: &TestHost) {
    fs::write(host.work().join("end"), "").unwrap();
}

#[test]
fn a_garbled_page_costs_what_was_on_it_and_nothing_else() {
    let mut host = TestHost::start();
    let labels: Vec<String> = (1..=120).map(|n| format!("{n} {}", "x".repeat(400))).collect();
    for label in &labels {
        host.wait_for_end(host.submit_with(&["--label", label], &["true"]));
    }
    let runs = running(&host);
    host.kill();
    // The page that holds a task of the middle.
    let connection = checkpoint(&host);
    let page: i64 = connection
        .query_row(
            "SELECT pageno FROM dbstat WHERE name = 'tasks' AND pagetype = 'leaf' LIMIT 1 OFFSET 5",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(connection);
    let mut bytes = fs::read(database(&host)).unwrap();
    let at = (usize::try_from(page).unwrap() - 1) * PAGE;
    bytes[at..at + PAGE].fill(0x5a);
    fs::write(database(&host), &bytes).unwrap();

    host.restart();
    let findings = snapshot(&mut host).findings;
    assert!(findings[0].contains("the history was damaged"), "{findings:?}");
    assert!(reports(&host)[0].contains("could be read"), "{:?}", reports(&host));
    // What was on the page has lost its label, and is known by its folder.
    let tasks = host.tasks();
    let lost = tasks.iter().filter(|task| task.label.is_none()).count() - 1;
    assert!((1..20).contains(&lost), "{lost} labels are lost");
    assert_eq!(tasks.len(), 121);
    assert!(tasks.iter().all(|task| task.id == runs || task.state.name() == StateName::Succeeded));
    let found = host.run(&["list", "--search", &labels[0]]);
    assert!(found.out.contains(&labels[0][..20]), "{found:?}");
    assert_eq!(host.state(runs), StateName::Running);
    end(&host);
    assert_eq!(host.wait_for_end(runs).state.words(), "Failed (exit 3)");
    assert_eq!(host.submit("true").0, runs.0 + 1, "no number is given twice");
    // The next start finds nothing wrong.
    host.stop();
    host.restart();
    assert_eq!(snapshot(&mut host).findings, [] as [String; 0]);
}

#[test]
fn a_history_of_which_nothing_can_be_read_is_set_aside_and_running_tasks_are_put_back() {
    let mut host = TestHost::start();
    let ended = host.submit("exit 2");
    host.wait_for_end(ended);
    let runs = running(&host);
    host.kill();
    drop(checkpoint(&host));
    let garbage = vec![0xa5; 20 * PAGE];
    fs::write(database(&host), &garbage).unwrap();

    host.restart();
    let findings = snapshot(&mut host).findings.join("\n");
    assert!(findings.contains("the history was damaged"), "{findings}");
    assert!(findings.contains(&format!("the history had lost task {runs}")), "{findings}");
    let aside = fs::read_dir(host.data().join("damaged")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read(aside.path().join("nod.db")).unwrap(), garbage);
    // What had ended is known by its folder as well.
    assert_eq!(host.wait_for_end(ended).state.words(), "Failed (exit 2)");
    assert_eq!(host.state(runs), StateName::Running);
    end(&host);
    assert_eq!(host.wait_for_end(runs).state.words(), "Failed (exit 3)");
    assert_eq!(host.plain_log(runs), "bye\n");
    assert!(host.submit("true") > runs, "no number is given twice");
    assert!(processes::with_mark("begun-6209").is_empty());
}

#[test]
fn a_truncated_log_of_the_history_loses_no_running_task() {
    let mut host = TestHost::start();
    let runs = running(&host);
    host.kill();
    let wal = host.data().join("nod.db-wal");
    let bytes = fs::read(&wal).unwrap();
    assert!(bytes.len() > 4 * PAGE, "the task is not in the log alone");
    fs::write(&wal, &bytes[..2 * PAGE]).unwrap();

    host.restart();
    let findings = snapshot(&mut host).findings.join("\n");
    assert!(findings.contains(&format!("the history had lost task {runs}")), "{findings}");
    assert_eq!(host.state(runs), StateName::Running);
    assert_eq!(host.detail(runs).events[0].what, "rescued");
    end(&host);
    assert_eq!(host.wait_for_end(runs).state.words(), "Failed (exit 3)");
}

#[test]
fn a_garbled_log_of_the_history_is_reported_and_copied_aside() {
    let mut host = TestHost::start();
    let runs = running(&host);
    for _ in 0..5 {
        host.wait_for_end(host.submit("true"));
    }
    host.kill();
    let wal = host.data().join("nod.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xa5);
    fs::write(&wal, &bytes).unwrap();

    host.restart();
    let findings = snapshot(&mut host).findings.join("\n");
    assert!(findings.contains("the newest part of the history was damaged"), "{findings}");
    let aside = fs::read_dir(host.data().join("damaged")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::read(aside.path().join("nod.db-wal")).unwrap(), bytes);
    assert!(host.data().join("damaged").join(aside.file_name()).join("report.txt").exists());
    assert_eq!(host.state(runs), StateName::Running);
    end(&host);
    assert_eq!(host.wait_for_end(runs).state.words(), "Failed (exit 3)");
}

/// Leaves the history as a host does that dies in the middle of a rescue, which has lost the first
/// task: what could be read is whole, the damaged history is set aside, and its log is not yet.
fn cut_rescue_short(home: &Home) {
    let copy = home.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for name in ["nod.db", "nod.db-wal"] {
        fs::copy(home.data().join(name), copy.join(name)).unwrap();
    }
    let fresh = home.data().join("nod.db-rescue");
    let damaged = Connection::open(copy.join("nod.db")).unwrap();
    damaged.execute("VACUUM INTO ?1", [fresh.to_string_lossy()]).unwrap();
    let fresh = Connection::open(fresh).unwrap();
    fresh.pragma_update(None, "foreign_keys", false).unwrap();
    let of_task = [("attempts", "task_id"), ("events", "task_id"), ("task_search", "rowid")];
    for (table, id) in of_task.into_iter().chain([("tasks", "id")]) {
        fresh.execute(&format!("DELETE FROM {table} WHERE {id} = 1"), []).unwrap();
    }
    let aside = home.data().join("damaged/2026-01-01T00-00-00.000");
    fs::create_dir_all(&aside).unwrap();
    fs::rename(database(home), aside.join("nod.db")).unwrap();
}

#[test]
fn a_rescue_that_was_cut_short_is_finished_without_the_log_of_the_damaged_history() {
    let mut host = TestHost::start();
    for number in 0..30 {
        let label = format!("task number {number}");
        host.wait_for_end(host.submit_with(&["--label", &label], &["true"]));
    }
    let labels = |host: &TestHost| -> Vec<_> {
        host.tasks().into_iter().rev().skip(1).map(|task| task.label).collect()
    };
    let before = labels(&host);
    host.kill();
    cut_rescue_short(&host);
    host.restart();
    assert_eq!(labels(&host), before);
    let findings = snapshot(&mut host).findings.join("\n");
    assert!(findings.contains("the history was damaged"), "{findings}");
    // What it had lost is looked for everywhere, as after any rescue.
    assert!(findings.contains("the history had lost task 1"), "{findings}");
    assert_eq!(reports(&host).len(), 1);
    assert!(host.data().join("damaged/2026-01-01T00-00-00.000/nod.db-wal").exists());
    host.stop();
    host.restart();
    assert_eq!(snapshot(&mut host).findings, [] as [String; 0]);
    assert_eq!(labels(&host), before);
}

#[test]
fn a_rescue_whose_host_died_before_it_looked_into_the_folders_is_told_by_the_next() {
    let mut host = TestHost::start();
    for _ in 0..2 {
        host.wait_for_end(host.submit("true"));
    }
    host.kill();
    cut_rescue_short(&host);
    // The next step of a rescue, and the name that was written before the first.
    let aside = host.data().join("damaged/2026-01-01T00-00-00.000");
    fs::write(aside.join("report.txt"), "what was found\n").unwrap();
    fs::write(host.data().join("nod.db-in-use"), "2026-01-01T00-00-00.000").unwrap();
    for name in ["nod.db-wal", "nod.db-shm"] {
        fs::rename(host.data().join(name), aside.join(name)).unwrap();
    }
    fs::rename(host.data().join("nod.db-rescue"), database(&host)).unwrap();
    host.restart();
    let findings = snapshot(&mut host).findings;
    assert_eq!(findings[0], "what was found");
    assert!(findings[1].contains("the history had lost task 1"), "{findings:?}");
    assert_eq!(host.tasks().len(), 2);
    host.kill();
    host.restart();
    assert_eq!(snapshot(&mut host).findings, [] as [String; 0]);
}

/// Fills the first page of a table with garbage, in a history that nobody uses.
fn garble(home: &Home, table: &str) {
    let connection = checkpoint(home);
    let sql = "SELECT pageno FROM dbstat WHERE name = ?1 AND pagetype = 'leaf' LIMIT 1";
    let page: i64 = connection.query_row(sql, [table], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = fs::read(database(home)).unwrap();
    let at = (usize::try_from(page).unwrap() - 1) * PAGE;
    bytes[at..at + PAGE].fill(0x5a);
    fs::write(database(home), &bytes).unwrap();
}

const ASKS: &str = "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";

fn rules(host: &TestHost) -> RuleList {
    let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
    rules
}

fn add_rule(host: &mut TestHost, then: Then, word: &str) {
    let rule = Rule {
        name: None,
        argv: vec![word.into(), "x".into()],
        then,
        folder: None,
        session: None,
        kind: None,
        expires_at: Some(Timestamp(i64::MAX)),
    };
    let operation = nod_client::new_operation().unwrap();
    host.person(&Call::AddRule { operation, rule }).unwrap();
}

#[test]
fn rules_groups_signals_waits_and_messages_survive_a_damage_elsewhere() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    add_rule(&mut host, Then::AskFirst, "false");
    add_rule(&mut host, Then::NeedNotAsk, "true");
    assert_eq!(host.run(&["group", "add", "build", "--slots", "2"]).code, Some(0));
    let waits = host.submit("nod await go > went; nod await kept > kept; nod inbox > read");
    let is_waiting = |host: &TestHost| {
        let connection = Connection::open(database(host)).unwrap();
        let sql = "SELECT count(*) FROM waits WHERE key = 'go'";
        connection.query_row(sql, [], |row| row.get(0)).is_ok_and(|n: i64| n == 1).then_some(())
    };
    until("the wait", || is_waiting(&host));
    let id = waits.to_string();
    assert_eq!(host.run(&["notify", &id, "kept", "{\"n\":1}"]).code, Some(0));
    assert_eq!(host.run(&["feedback", &id, "a message"]).code, Some(0));
    // The file asks for less meanwhile, which nobody has confirmed.
    fs::write(host.data().join("config.toml"), "").unwrap();
    until("the change", || rules(&host).loosening);
    let before = rules(&host);
    let audited = host.run(&["audit"]).out;
    assert!(audited.contains("which waits to be confirmed"), "{audited}");
    host.kill();
    garble(&host, "events");

    host.restart();
    let findings = snapshot(&mut host).findings;
    assert!(findings[0].contains("the history was damaged"), "{findings:?}");
    assert_eq!(rules(&host), before);
    // Nothing of the audit is lost, nor said twice.
    assert_eq!(host.run(&["audit"]).out, audited);
    assert!(host.run(&["group", "list"]).out.contains("build"));
    assert_eq!(host.run(&["notify", &id, "go", "{}"]).code, Some(0));
    assert_eq!(host.wait_for_end(waits).state.words(), "Succeeded");
    let read = |name| fs::read_to_string(host.work().join(name)).unwrap();
    assert!(read("kept").contains("{\"n\":1}") && read("read").contains("a message"));
}

#[test]
fn a_lost_baseline_asks_about_everything_until_a_person_has_confirmed_the_file() {
    for table in ["guards", "rules"] {
        let mut host = TestHost::start_in(Home::new().with_config(ASKS));
        add_rule(&mut host, Then::NeedNotAsk, "true");
        assert!(host.detail(host.submit_with(&[], &["true", "x"])).requests.is_empty());
        fs::write(host.data().join("config.toml"), "").unwrap();
        until("the change", || rules(&host).loosening);
        host.kill();
        garble(&host, table);

        host.restart();
        let id = host.submit_with(&[], &["true", "x"]);
        let request = host.wait_for_request(id);
        let detail = request.shown.detail.unwrap();
        assert!(
            detail.contains("the history that said what is asked first was damaged"),
            "{detail}"
        );
        // Also after the next start.
        host.stop();
        host.restart();
        let waiting = rules(&host).loosening.unwrap();
        assert!(waiting.changes[0].contains("** (“everything"), "{table}: {waiting:?}");
        let operation = nod_client::new_operation().unwrap();
        let shown = waiting.hash;
        host.person(&Call::ConfirmLoosening { operation, shown }).unwrap();
        let id = host.submit_with(&[], &["true", "x"]);
        assert_eq!(host.wait_for_end(id).state.words(), "Succeeded");
    }
}
