//! A task whose terminal is its input: what people type, and what they see.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::shim::{FromShim, ToShim};
use nod_core::task::ExitStatus;

use super::attempt::{Attempt, Host};

fn type_in(host: &mut Host, text: &str) {
    host.send(&ToShim::Input { data: BASE64.encode(text) });
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
        host.send(&ToShim::Input { data: line.clone() });
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
