//! Answers that are said again, in another order, or made up, on the connection of a person's own
//! terminal: whoever it is, an answer is to one question, once, and to what it showed.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nod_core::ids::TaskId;
use nod_core::protocol::AuditWhat;
use nod_core::request::Request;
use nod_core::task::StateName;
use nod_tests::seat::Seat;
use nod_tests::until;
use serde_json::{Value, json};

/// A connection that speaks for the person at a terminal.
struct Voice {
    wire: BufReader<UnixStream>,
    calls: u64,
}

impl Voice {
    fn open(socket: &Path) -> Self {
        let mut wire = BufReader::new(UnixStream::connect(socket).unwrap());
        let mut welcome = String::new();
        wire.read_line(&mut welcome).unwrap();
        assert!(welcome.contains("\"type\":\"welcome\""), "{welcome}");
        Self { wire, calls: 0 }
    }

    fn call(&mut self, method: &str, params: &Value) -> Value {
        self.calls += 1;
        let call =
            json!({ "jsonrpc": "2.0", "id": self.calls, "method": method, "params": params });
        writeln!(self.wire.get_mut(), "{call}").unwrap();
        let mut line = String::new();
        self.wire.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Has a question shown here.
    fn look(&mut self, request: &Request) {
        let shown = self.call("open_question", &json!({ "of": "request", "id": request.id }));
        assert_eq!(shown["result"]["request"]["hash"], request.hash.as_str(), "{shown}");
    }

    /// Approves, and returns why not.
    fn approve(&mut self, operation: &str, request: i64, hash: &str) -> Option<String> {
        let said = self.call("answer", &approval(operation, request, hash));
        if said["result"]["type"] == "closed" {
            return None;
        }
        Some(said["error"]["data"]["code"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned())
    }

    /// Approves once what is shown has been so for long enough.
    fn approve_in_time(&mut self, operation: &str, request: &Request) {
        until("the answer to be taken", || {
            self.approve(operation, request.id.0, &request.hash).is_none().then_some(())
        });
    }
}

fn approval(operation: &str, request: i64, hash: &str) -> Value {
    json!({ "operation": operation, "request": request, "answer": { "type": "approve" },
            "shown": hash })
}

fn gated(seat: &Seat, word: &str) -> (TaskId, Request) {
    let id = seat.host.submit_with(&["--ask-first"], &["true", word]);
    (id, seat.host.wait_for_request(id))
}

fn answers(seat: &Seat, id: TaskId) -> usize {
    seat.host.audit(id).iter().filter(|row| row.what == AuditWhat::Answered).count()
}

#[test]
fn an_answer_is_to_one_question_once_and_to_what_was_shown() {
    let (seat, socket) = Seat::with_voice();
    let mut voice = Voice::open(&socket);
    let ((first, one), (second, two)) = (gated(&seat, "one"), gated(&seat, "two"));
    // Made up: of what was never shown here, of another question, and of none.
    assert!(voice.approve("made-up-1", one.id.0, &one.hash).is_some());
    voice.look(&one);
    voice.look(&two);
    assert!(voice.approve("made-up-2", one.id.0, &two.hash).is_some());
    assert!(voice.approve("made-up-3", one.id.0, &"0".repeat(64)).is_some());
    // In another order: an answer that comes before its question is not kept for it.
    let next = two.id.0 + 1;
    assert_eq!(voice.approve("early", next, &one.hash).as_deref(), Some("not_found"));
    let (third, three) = gated(&seat, "three");
    assert_eq!(three.id.0, next);
    for request in [&one, &two, &three] {
        let task = request.task.unwrap();
        assert!(seat.host.request(task, request.id).is_open(), "{request:?}");
    }
    // Said again, here and on another connection: it is the one answer that it was.
    voice.approve_in_time("real", &one);
    assert_eq!(seat.host.wait_for_end(first).state.name(), StateName::Succeeded);
    assert_eq!(voice.approve("real", one.id.0, &one.hash), None);
    let mut other = Voice::open(&socket);
    assert_eq!(other.approve("real", one.id.0, &one.hash), None);
    assert_eq!(answers(&seat, first), 1);
    // Nor does it answer another question, or this one in other words.
    assert!(voice.approve("real", two.id.0, &two.hash).is_some());
    assert_eq!(voice.approve("once-more", one.id.0, &one.hash).as_deref(), Some("conflict"));
    // What was approved and then changed is another question.
    let edited = seat.host.run(&["edit", &second.to_string(), "--", "true", "otherwise"]);
    assert_eq!(edited.code, Some(0), "{edited:?}");
    let anew = seat.host.wait_for_request(second);
    assert!(voice.approve("stale", two.id.0, &two.hash).is_some());
    assert!(voice.approve("stale-2", anew.id.0, &two.hash).is_some());
    assert!(seat.host.request(second, anew.id).is_open());
    for id in [second, third] {
        assert_eq!(seat.host.run(&["cancel", &id.to_string()]).code, Some(0));
        seat.host.wait_for_end(id);
    }
}
