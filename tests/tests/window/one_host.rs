//! One app for a data directory, and what it takes over and leaves.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use nod_core::protocol::PROTOCOL;
use nod_core::task::StateName;
use nod_tests::desktop::{AUTOMATED, SHIPPED, TITLE};
use nod_tests::home::program;
use nod_tests::{Desktop, Ran, by_name, processes, until};
use serde_json::json;

use crate::{card, row, touch, within};

const UNTIL_THE_END: &str =
    "echo $$ > pid; echo begun; while [ ! -e end ]; do sleep 0.02; done; exit 5";

/// Returns the headless hosts of the data directory.
fn headless(desktop: &Desktop) -> Vec<i32> {
    let serving = processes::with_mark("\u{0}serve");
    desktop.running("nod").into_iter().filter(|pid| serving.contains(pid)).collect()
}

/// A host of an older version and protocol in the desktop's data directory.
struct Older {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Older {
    fn start(desktop: &Desktop, kind: &str) -> Self {
        let older = json!({ "version": "0.0.9", "protocol": PROTOCOL - 1, "kind": kind });
        let mut command = desktop.command(program("nod-test-host"));
        command.arg(older.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut host = Self { child, lines };
        assert_eq!(host.line(), "ready");
        host
    }

    fn line(&mut self) -> String {
        self.lines.next().expect("the host says something").unwrap()
    }
}

#[test]
fn an_older_headless_host_hands_over_to_the_window_and_nobody_notices() {
    let desktop = Desktop::start();
    let id = desktop.submit(UNTIL_THE_END);
    let asking = desktop.submit("nod ask 'Deploy?' > answer; echo $? > code");
    // In a task: from outside it would put a host of its own in the place of the older one.
    let following = desktop.submit(&format!("nod logs -f --plain {id} > followed"));
    let request = desktop.wait_for_request(asking);
    until("the follower", || {
        std::fs::read(desktop.work().join("followed")).is_ok_and(|it| !it.is_empty()).then_some(())
    });
    let process = desktop.detail(id).attempts[0].process;
    assert_eq!(desktop.run(&["stop"]).code, Some(0));
    let mut older = Older::start(&desktop, "headless");

    let window = desktop.open();
    let ended = until("the end of the older host", || older.child.try_wait().unwrap());
    assert!(ended.success(), "{ended:?}");
    assert_eq!(headless(&desktop), [] as [i32; 0]);
    window.click(&by_name("nav-tasks"));
    for (task, state) in [(id, "running"), (asking, "waiting"), (following, "running")] {
        window.wait_for_attribute(&row(task), "data-state", state);
    }
    window.click(&by_name("nav-inbox"));
    assert_eq!(desktop.request(asking, request.id), request);
    window.wait_for(&format!("{}:enabled", within(&card(&request), "approve")));
    window.click(&within(&card(&request), "approve"));
    assert_eq!(desktop.wait_for_end(asking).state.name(), StateName::Succeeded);
    assert_eq!(crate::read(&desktop, "code"), "0\n");
    assert_eq!(crate::read(&desktop, "answer").lines().count(), 1);
    assert_eq!(desktop.detail(id).attempts[0].process, process);
    touch(&desktop, "end");
    assert_eq!(desktop.wait_for_end(id).state.words(), "Failed (exit 5)");
    assert_eq!(desktop.wait_for_end(following).state.name(), StateName::Succeeded);
    assert_eq!(crate::read(&desktop, "followed"), "begun\n");
    for task in [id, asking, following] {
        assert_eq!(desktop.detail(task).attempts.len(), 1);
    }
}

#[test]
fn a_start_at_an_older_window_brings_that_to_the_front() {
    let desktop = Desktop::start();
    let mut older = Older::start(&desktop, "desktop");
    let ran = Ran::from(desktop.command(program(AUTOMATED)).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("its window is in front now"), "{ran:?}");
    assert_eq!(older.line(), "shown");
    assert_eq!(older.child.try_wait().unwrap(), None, "it goes on");
}

#[test]
fn a_second_start_brings_the_first_window_to_the_front() {
    let desktop = Desktop::start();
    let window = desktop.open();
    // Another window lies above, and has the keyboard.
    let display = desktop.display();
    let cover = display.cover();
    assert!(!display.is_in_front(TITLE) && display.focus() == cover);

    let second = desktop.command(program(AUTOMATED)).output().unwrap();
    assert_eq!(second.status.code(), Some(0), "{second:?}");
    until("the window in front", || {
        (display.is_in_front(TITLE) && display.focus() != cover).then_some(())
    });
    assert_eq!(desktop.running(AUTOMATED), [window.app()]);
}

#[test]
fn a_headless_host_hands_over_and_another_takes_over_what_is_left() {
    let desktop = Desktop::start();
    let id = desktop.submit(UNTIL_THE_END);
    desktop.wait_for_state(id, StateName::Running);
    let process = desktop.detail(id).attempts[0].process;
    assert_eq!(headless(&desktop).len(), 1);
    // Those who look on notice nothing of what follows.
    let asking = desktop.submit("nod ask 'Deploy?' > answer; echo $? > code");
    let request = desktop.wait_for_request(asking);
    let number = id.to_string();
    let onlooker = |words: &[&str]| {
        let mut command = desktop.nod(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let waiter = onlooker(&["wait", &number]);
    let follower = onlooker(&["logs", "-f", "--plain", &number]);

    let window = desktop.open();
    window.click(&by_name("nav-inbox"));
    let card = format!("{}[data-request-id='{}']", by_name("request-card"), request.id);
    window.wait_for(&format!("{}:enabled", within(&card, "approve")));
    window.click(&within(&card, "approve"));
    assert_eq!(desktop.wait_for_end(asking).state.name(), StateName::Succeeded);
    assert_eq!(crate::read(&desktop, "code"), "0\n");
    window.click(&by_name("nav-tasks"));
    window.wait_for_attribute(&row(id), "data-state", "running");
    assert_eq!(headless(&desktop), [] as [i32; 0]);
    assert_eq!(desktop.detail(id).attempts[0].process, process);

    window.close(&desktop);
    until("a host for the task", || (headless(&desktop).len() == 1).then_some(()));
    until("the host to answer", || {
        nod_client::Connection::open(&desktop.socket(), None).ok().map(drop)
    });
    assert_eq!(desktop.state(id), StateName::Running);
    touch(&desktop, "end");
    assert_eq!(desktop.wait_for_end(id).state.words(), "Failed (exit 5)");
    assert_eq!(desktop.detail(id).attempts.len(), 1);
    assert_eq!(Ran::from(waiter.wait_with_output().unwrap()).code, Some(5));
    let followed = Ran::from(follower.wait_with_output().unwrap());
    assert_eq!((followed.code, followed.out.as_str()), (Some(0), "begun\n"), "{followed:?}");
}

#[test]
fn who_goes_on_without_an_answer_does_so_under_the_window_and_is_answered_in_it() {
    let desktop = Desktop::start();
    let id = desktop.submit(
        "nod ask 'Deploy?' --resume-after 3s > open; echo $? > resumed.new; mv resumed.new resumed; \
         while [ ! -e end ]; do sleep 0.02; done; nod ask --request 1 > answer; echo $? > code",
    );
    let request = desktop.wait_for_request(id);
    assert_eq!(headless(&desktop).len(), 1);
    let window = desktop.open();
    assert_eq!(headless(&desktop), [] as [i32; 0]);
    until("the task to go on", || desktop.work().join("resumed").exists().then_some(()));
    assert_eq!(crate::read(&desktop, "resumed"), "75\n");
    // And back, and again, while the question is open and nobody waits.
    window.close(&desktop);
    until("a host for the task", || (headless(&desktop).len() == 1).then_some(()));
    let window = desktop.open();
    assert_eq!(desktop.request(id, request.id), request);
    window.click(&by_name("nav-inbox"));
    let card = format!("{}[data-request-id='{}']", by_name("request-card"), request.id);
    window.wait_for(&format!("{}:enabled", within(&card, "approve")));
    window.click(&within(&card, "approve"));
    touch(&desktop, "end");
    assert_eq!(desktop.wait_for_end(id).state.name(), StateName::Succeeded);
    assert_eq!(crate::read(&desktop, "code"), "0\n");
}

#[test]
fn without_a_display_the_headless_host_stays() {
    let desktop = Desktop::start();
    let id = desktop.submit(UNTIL_THE_END);
    desktop.wait_for_state(id, StateName::Running);
    let before = headless(&desktop);

    for display in [None, Some(":59999")] {
        let mut command = desktop.command(program(SHIPPED));
        command.env_remove("DISPLAY").env_remove("WAYLAND_DISPLAY");
        command.envs(display.map(|name| ("DISPLAY", name)));
        let ran = Ran::from(command.output().unwrap());
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.contains("no display: ") && !ran.err.contains("panicked"), "{ran:?}");
        assert_eq!(headless(&desktop), before);
        assert_eq!(desktop.state(id), StateName::Running);
    }
    touch(&desktop, "end");
    desktop.wait_for_end(id);
}
