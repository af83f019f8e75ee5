//! A task whose terminal is its input: what people type, and what they see.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::ids::OperationId;
use nod_core::shim::{FromShim, TYPED_KEPT, TYPED_REPORTED, ToShim, Typed};
use nod_core::task::ExitStatus;

use super::attempt::{Attempt, Host};

fn type_in(host: &mut Host, text: &str) {
    host.send(&ToShim::Input { data: BASE64.encode(text), operation: None });
}

/// Types under an operation, and waits until that is acknowledged.
fn type_once(host: &mut Host, operation: &str, text: &str) -> Typed {
    let operation = OperationId(operation.to_owned());
    let data = BASE64.encode(text);
    host.send(&ToShim::Input { data, operation: Some(operation.clone()) });
    host.until(|message| match message {
        FromShim::Typed(typed) => (typed.operation == operation).then_some(typed),
        _ => None,
    })
}

#[test]
fn what_another_host_says_once_more_is_typed_once() {
    let (running, mut first) = Attempt::shell("cat > got").interactive().start();
    first.started();
    assert_eq!(first.heard.iter().find_map(account), Some(vec![]));
    type_once(&mut first, "one", "a\n");
    type_once(&mut first, "one", "a\n");
    // It dies after it said this, and before it heard what came of it.
    let operation = Some(OperationId("two".into()));
    first.send(&ToShim::Input { data: BASE64.encode("b\n"), operation });
    drop(first);
    let mut second = running.connect();
    second.status();
    type_once(&mut second, "two", "b\n");
    type_once(&mut second, "three", "c\n");
    let names = |typed: Vec<Typed>| {
        typed.into_iter().map(|typed| typed.operation.0).collect::<Vec<_>>().join(" ")
    };
    let status = running.connect().status();
    assert_eq!(names(status.typed.unwrap()), "one two three");
    type_once(&mut second, "end", "\x04");
    let finished = running.finish(second);
    assert_eq!(names(finished.report.typed.clone()), "one two three end");
    assert_eq!(finished.file("got"), "a\nb\nc\n");
}

/// Returns what a shim says first of what was typed.
fn account(message: &FromShim) -> Option<Vec<Typed>> {
    match message {
        FromShim::Status(status) => status.typed.clone(),
        _ => None,
    }
}

#[test]
fn of_what_was_typed_the_newest_is_known_again() {
    let (running, mut host) = Attempt::shell("cat > got").interactive().start();
    host.started();
    for number in 0..=TYPED_KEPT {
        type_once(&mut host, &number.to_string(), &format!("{number}\n"));
    }
    type_once(&mut host, "1", "1\n");
    let known = running.connect().status().typed.unwrap();
    assert_eq!(known.len(), TYPED_KEPT);
    assert_eq!((known[0].operation.0.as_str(), known[0].lost), ("1", 0));
    type_once(&mut host, "end", "\x04");
    assert_eq!(running.finish(host).report.typed.len(), TYPED_REPORTED);
}

#[test]
fn what_had_no_room_is_not_typed_when_it_is_said_once_more() {
    let (running, mut host) = Attempt::of(&["sleep", "6171"]).interactive().start();
    host.started();
    let line = "x".repeat(16 * 1024 - 1) + "\n";
    let mut typed = (0..80).map(|number| type_once(&mut host, &number.to_string(), &line));
    let full = typed.find(|typed| typed.lost > 0).unwrap();
    assert_eq!(type_once(&mut host, &full.operation.0, &line), full);
    host.send(&ToShim::Stop);
    running.finish(host);
}

#[test]
fn nobody_waits_for_what_a_task_without_input_is_typed() {
    let (running, mut host) =
        Attempt::shell("read it || echo nothing; until [ -e go ]; do sleep 0.01; done")
            .in_terminal()
            .start();
    host.started();
    assert_eq!(type_once(&mut host, "one", "hello\n").lost, 6);
    std::fs::write(running.path("go"), "").unwrap();
    assert_eq!(running.finish(host).text(), "nothing\r\n");
}

#[test]
fn what_is_typed_reaches_the_task_and_is_shown() {
    let script =
        "test -t 0 && (: < /dev/tty) && echo own; read it; echo got $it; read it || echo end";
    let (running, mut host) = Attempt::shell(script).interactive().start();
    host.output(5);
    type_in(&mut host, "hello\n");
    host.output(23);
    type_in(&mut host, "\x04");
    let finished = running.finish(host);
    assert_eq!(finished.text(), "own\r\nhello\r\ngot hello\r\nend\r\n");
}

#[test]
fn the_terminal_takes_another_size_and_the_task_hears_of_it() {
    let script = "import os, signal, time
signal.signal(signal.SIGWINCH, lambda *_: print(*os.get_terminal_size(0), flush=True))
print(*os.get_terminal_size(0), flush=True)
while not os.path.exists('go'): time.sleep(0.01)";
    let (running, mut host) = Attempt::python(script).interactive().start();
    host.output(8);
    host.send(&ToShim::Resize { columns: 81, rows: 7 });
    host.output(14);
    std::fs::write(running.path("go"), "").unwrap();
    assert_eq!(running.finish(host).text(), "120 30\r\n81 7\r\n");
}

#[test]
fn a_cancel_types_ctrl_c() {
    let script = "import sys, termios, tty
tty.setraw(0)
print('raw', end='', flush=True)
sys.exit(sys.stdin.buffer.read(1)[0] + 40)";
    let (running, mut host) = Attempt::python(script).interactive().grace(20_000).start();
    host.output(3);
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Code { code: 43 }));
    let (running, mut host) = Attempt::of(&["sleep", "77"]).interactive().grace(20_000).start();
    host.started();
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 2 }));
}

#[test]
fn a_task_that_never_reads_is_not_typed_at_without_end() {
    let (running, mut host) = Attempt::of(&["sleep", "77"]).interactive().start();
    host.started();
    let line = BASE64.encode("x".repeat(16 * 1024 - 1) + "\n");
    for _ in 0..80 {
        host.send(&ToShim::Input { data: line.clone(), operation: None });
    }
    let lost = host.until(|message| match message {
        FromShim::InputLost { bytes } => Some(bytes),
        _ => None,
    });
    assert!(lost > 0);
    // It is heard all the same.
    host.send(&ToShim::Stop);
    let finished = running.finish(host);
    assert_eq!(finished.report.exit, Some(ExitStatus::Signal { signal: 2 }));
}

#[test]
fn a_task_without_input_takes_none() {
    let (running, mut host) = Attempt::shell("read it || echo nothing").in_terminal().start();
    type_in(&mut host, "hello\n");
    assert_eq!(running.finish(host).text(), "nothing\r\n");
}
