//! What a power cut takes from nobody: it is forced onto the disk before anybody is told of it, and
//! what a restart repairs by itself is not.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::path::PathBuf;

use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::Call;
use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, until};

/// A host that is looked at while it writes and answers.
struct Traced {
    host: TestHost,
    file: PathBuf,
}

impl Traced {
    fn start() -> Self {
        let home = Home::new();
        let file = home.path().join("calls");
        let calls = "fsync,fdatasync,pwrite64,write,writev,sendto,sendmsg";
        let host = TestHost::start_traced(home, calls, &file);
        Self { host, file }
    }

    /// Returns the calls so far, one a line as strace writes them.
    fn calls(&self) -> Vec<String> {
        fs::read_to_string(&self.file).unwrap().lines().map(str::to_owned).collect()
    }

    /// Checks that during `work` the history is forced onto the disk before a reply of this type.
    #[track_caller]
    fn is_safe_before(&mut self, reply: &str, work: impl FnOnce(&mut TestHost)) {
        let before = self.calls().len();
        work(&mut self.host);
        // To a client, and to the person.
        let marks = ["result", "Ok"].map(|it| format!(r#"{it}\":{{\"type\":\"{reply}\""#));
        let is_said = |call: &String| {
            let is_out = call.contains("socket:[") || call.contains("pipe:[");
            is_out && marks.iter().any(|mark| call.contains(mark))
        };
        until(reply, || self.calls()[before..].iter().any(is_said).then_some(()));
        let calls = self.calls().split_off(before);
        let said = calls.iter().position(is_said).unwrap();
        assert!(forced(&calls[..said]), "{reply} was said too early:\n{}", calls.join("\n"));
    }
}

/// Returns whether among the calls is one, to its end, that forced the history onto the disk.
fn forced(calls: &[String]) -> bool {
    let thread = |call: &str| call.split_whitespace().next().unwrap().to_owned();
    let is_begun = |call: &String| call.contains("sync(") && call.contains("nod.db");
    calls.iter().enumerate().filter(|(_, call)| is_begun(call)).any(|(at, call)| {
        let is_end = |later: &&String| {
            thread(later) == thread(call)
                && later.contains("sync resumed>")
                && later.ends_with("= 0")
        };
        call.ends_with("= 0") || calls[at..].iter().any(|later| is_end(&later))
    })
}

#[test]
fn who_is_told_of_a_change_is_told_once_it_survives_a_power_cut() {
    let mut traced = Traced::start();
    let succeeds = |host: &TestHost, words: &[&str]| {
        let ran = host.run(words);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    };
    // Nothing starts meanwhile: whatever is forced onto the disk is for the sake of the one call.
    traced.is_safe_before("groups", |host| succeeds(host, &["group", "pause", "default"]));
    traced.is_safe_before("submitted", |host| {
        assert_eq!(host.submit("true"), TaskId(1));
    });
    traced.is_safe_before("submitted_many", |host| {
        let lines = host.path().join("tasks.jsonl");
        fs::write(&lines, "{\"command\": [\"true\"]}\n".repeat(3)).unwrap();
        succeeds(host, &["submit", "--from", lines.to_str().unwrap()]);
    });
    traced.is_safe_before("cancelling", |host| {
        host.call(&Call::Cancel { operation: new_operation().unwrap(), id: TaskId(1) });
    });
    traced.is_safe_before("changed", |host| succeeds(host, &["edit", "2", "--priority", "3"]));
    succeeds(&traced.host, &["cancel", "--all"]);
    succeeds(&traced.host, &["group", "resume", "default"]);

    let line = "touch begun; nod ask 'Go?'; while [ ! -e go ]; do sleep 0.02; done; exit 3";
    let id = traced.host.submit(line);
    let request = traced.host.wait_for_request(id);
    until("the start", || traced.host.detail(id).attempts.first()?.process);
    traced.is_safe_before("closed", |host| drop(host.answer(&request, Answer::Approve)));
    traced.host.wait_for_state(id, StateName::Running);
    traced.is_safe_before("ended", |host| {
        fs::write(host.work().join("go"), "").unwrap();
        host.wait_for_end(id);
    });
    traced.is_safe_before("changed", |host| succeeds(host, &["retry", &id.to_string()]));
}

#[test]
fn progress_is_stored_and_never_waits_for_the_disk() {
    let mut traced = Traced::start();
    let id = traced.host.submit(
        "while [ ! -e go ]; do sleep 0.02; done; nod progress 10; \
         while [ ! -e on ]; do sleep 0.02; done; for n in 11 12 13 14; do nod progress $n; done; \
         while [ ! -e end ]; do sleep 0.02; done",
    );
    traced.host.wait_for_state(id, StateName::Running);
    until("the start", || traced.host.detail(id).attempts.first()?.process);
    let history = rusqlite::Connection::open(traced.host.data().join("nod.db")).unwrap();
    let stored = || -> Option<f64> {
        let query = "SELECT progress ->> '$.percent' FROM tasks WHERE id = ?1";
        history.query_row(query, [id.0], |row| row.get(0)).unwrap()
    };
    // What was begun before is one of the calls that are not counted.
    let before = {
        traced.is_safe_before("groups", |host| {
            assert_eq!(host.run(&["group", "set", "default", "--slots", "9"]).code, Some(0));
        });
        traced.calls().len()
    };
    for (file, percent) in [("go", 10.0), ("on", 14.0)] {
        fs::write(traced.host.work().join(file), "").unwrap();
        until("the progress in the history", || (stored() == Some(percent)).then_some(()));
    }
    let calls = traced.calls().split_off(before);
    assert!(calls.iter().any(|call| call.contains("nod.db-wal")), "{}", calls.join("\n"));
    let forced: Vec<_> = calls.iter().filter(|call| call.contains("sync(")).collect();
    assert!(forced.is_empty(), "{forced:?}");
    fs::write(traced.host.work().join("end"), "").unwrap();
    traced.host.wait_for_end(id);
}
