//! One host in the place of another: tasks, followers, waiters and askers notice nothing.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;

use nod_core::ids::TaskId;
use nod_core::protocol::{Call, PROTOCOL};
use nod_core::request::Answer;
use nod_core::task::Outcome;
use nod_tests::home::program;
use nod_tests::{Home, TestHost, processes, until};
use serde_json::{Value, json};

const NUMBERS: &str = "i=0; while [ ! -e go ]; do i=$((i+1)); echo line $i; sleep 0.01; done; \
                       echo last $i; exit 7";

/// What looks on while hosts change.
struct Onlookers {
    printing: TaskId,
    asking: TaskId,
    waiter: Child,
    follower: Child,
    watcher: Child,
    asker: i32,
    /// Waits for a signal, and for messages.
    hearing: TaskId,
}

impl Onlookers {
    fn begin(host: &TestHost) -> Self {
        let printing = host.submit(NUMBERS);
        let asking = host.submit("nod ask 'Deploy?' > answer; echo $? > code");
        let request = host.wait_for_request(asking);
        assert_eq!(request.shown.question, "Deploy?");
        let asker = until("the asker", || {
            let nod = program("nod").canonicalize().unwrap();
            let here = processes::with_mark(&host.path().to_string_lossy());
            let mut of_task = processes::with_mark("Deploy?").into_iter();
            of_task.find(|pid| {
                here.contains(pid)
                    && fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == nod)
            })
        });
        let quiet = |words: &[&str], name: &str| {
            let out = fs::File::create(host.path().join(name)).unwrap();
            host.nod(words).stdout(out).stderr(Stdio::piped()).spawn().unwrap()
        };
        let id = printing.to_string();
        let waiter = quiet(&["wait", &id], "waited");
        let follower = quiet(&["logs", "-f", "--plain", &id], "followed");
        until("the follower", || {
            fs::read(host.path().join("followed")).is_ok_and(|it| !it.is_empty()).then_some(())
        });
        let watcher = quiet(&["watch", "--since", "0"], "watched");
        let hearing = Self::begin_to_hear(host);
        Self { printing, asking, waiter, follower, watcher, asker, hearing }
    }

    fn begin_to_hear(host: &TestHost) -> TaskId {
        let hearing = host.submit(
            "nod inbox --follow > inbox & nod await k > heard; echo $? > heard-code; \
             while [ ! -e go ]; do sleep 0.02; done; kill $!; true",
        );
        host.wait_for_waits(1);
        assert_eq!(host.run(&["feedback", &hearing.to_string(), "first"]).code, Some(0));
        until("the first message", || heard(host, "inbox").contains("first").then_some(()));
        hearing
    }

    /// Checks that what is said to a task under the present host is heard, once.
    fn end_hearing(&self, host: &TestHost) {
        let id = self.hearing.to_string();
        assert_eq!(host.run(&["feedback", &id, "second"]).code, Some(0));
        assert_eq!(host.run(&["notify", &id, "k", "7"]).code, Some(0));
        until("the signal", || (heard(host, "heard-code") == "0\n").then_some(()));
        assert_eq!(heard(host, "heard"), "7\n");
        until("the second message", || heard(host, "inbox").contains("second").then_some(()));
        let inbox = heard(host, "inbox");
        assert_eq!((inbox.matches("first").count(), inbox.matches("second").count()), (1, 1));
    }

    /// Checks that a watch has seen every event to the end of a task.
    fn end_watching(&mut self, host: &TestHost) {
        let watched = || -> Vec<Value> {
            let text = fs::read_to_string(host.path().join("watched")).unwrap();
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let is_end =
            |event: &Value| event["task_id"] == self.printing.0 && event["event"] == "failed";
        until("the end in the watch", || watched().iter().any(is_end).then_some(()));
        let numbers: Vec<u64> = watched().iter().map(|it| it["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        self.watcher.kill().unwrap();
        self.watcher.wait().unwrap();
    }

    /// Lets everything come to its end under the present host, and checks that nothing was missed.
    fn end(mut self, host: &mut TestHost) {
        assert!(processes::is_alive(self.asker), "the asker is another process");
        let request = host.wait_for_request(self.asking);
        host.answer(&request, Answer::Approve);
        host.wait_for_end(self.asking);
        let read = |name| fs::read_to_string(host.work().join(name)).unwrap();
        assert_eq!(read("code"), "0\n");
        assert_eq!(read("answer").lines().count(), 1);
        assert_eq!(host.detail(self.asking).requests.len(), 1);
        self.end_hearing(host);

        fs::write(host.work().join("go"), "").unwrap();
        assert_eq!(self.waiter.wait().unwrap().code(), Some(7));
        assert_eq!(self.follower.wait().unwrap().code(), Some(0));
        let followed = fs::read_to_string(host.path().join("followed")).unwrap();
        assert_eq!(followed, host.plain_log(self.printing));
        let numbers = followed.lines().filter_map(|line| line.strip_prefix("line "));
        assert!(numbers.zip(1..).all(|(line, number)| line == number.to_string()), "{followed}");
        assert_eq!(host.detail(self.printing).attempts.len(), 1);
        self.end_watching(host);
        host.wait_for_end(self.hearing);
    }
}

/// Returns what a task has heard so far.
fn heard(host: &TestHost, name: &str) -> String {
    fs::read_to_string(host.work().join(name)).unwrap_or_default()
}

/// Ends the host that runs, and lets another be one in its place.
fn replaced_by(host: &mut TestHost, older: &Value) {
    host.stop();
    host.restart_as(Some(older));
}

#[test]
fn a_host_of_an_older_version_is_replaced_by_the_next_command_and_nobody_notices() {
    for older in [json!({ "version": "0.0.9" }), json!({ "version": "0.0.9", "protocol": 1 })] {
        let mut host = TestHost::start();
        let onlookers = Onlookers::begin(&host);
        replaced_by(&mut host, &older);
        // Those who do not speak its protocol may be faster than this.
        let ran = host.run(&["list"]);
        assert_eq!(ran.code, Some(0), "{older}: {ran:?}");
        assert!(ran.out.contains("nod ask"), "{older}: {ran:?}");
        host.wait_until_replaced();
        let mut connection =
            until("the new host", || nod_client::Connection::open(&host.socket(), None).ok());
        connection.call(&Call::Snapshot).unwrap();
        assert_eq!(connection.welcome().unwrap().version, env!("CARGO_PKG_VERSION"));
        drop(connection);
        // And once more: that one makes way for the person's own.
        assert_eq!(host.run(&["stop"]).code, Some(0));
        host.restart();
        onlookers.end(&mut host);
    }
}

#[test]
fn an_older_app_is_not_replaced_by_a_command_which_says_what_to_do_where_it_must() {
    let older = json!({ "version": "0.0.9", "protocol": PROTOCOL - 1, "kind": "desktop" });
    let mut host = TestHost::start_as(Home::new(), &older);
    let pid = host.pid();
    let ran = host.run(&["list"]);
    assert_eq!(ran.code, Some(76), "{ran:?}");
    let said = format!("the Nod app (process {pid}) is older than this `nod`: quit the app");
    assert!(ran.err.contains(&said), "{ran:?}");
    // One that speaks the same protocol is understood, whatever its version is.
    assert!(processes::is_alive(pid));
    replaced_by(&mut host, &json!({ "version": "0.0.9", "kind": "desktop" }));
    let ran = host.run(&["list"]);
    assert!(ran.code == Some(0) && !ran.err.contains("older"), "{ran:?}");
    assert!(processes::is_alive(host.pid()));
}

#[test]
fn an_asker_in_a_task_waits_out_a_host_that_does_not_speak_to_it() {
    let mut host = TestHost::start();
    let asking = host.submit("nod ask 'Deploy?' > answer");
    let request = host.wait_for_request(asking);
    replaced_by(&mut host, &json!({ "protocol": 1 }));
    // From inside of a task no host is replaced.
    until("the asker to have met the older host", || {
        let log = fs::read_to_string(host.data().join("host.log")).unwrap();
        (log.matches("the host serves").count() == 2).then_some(())
    });
    host.stop();
    host.restart();
    host.answer(&request, Answer::Approve);
    assert_eq!(host.wait_for_end(asking).state.outcome(), Some(&Outcome::Succeeded));
    assert_eq!(host.detail(asking).requests.len(), 1);
}

#[test]
fn an_answer_that_is_given_while_one_host_makes_way_for_the_next_is_heard_once() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?' > answer; echo $? >> codes");
    let request = host.wait_for_request(id);
    replaced_by(&mut host, &json!({ "version": "0.0.9", "lingers": true }));
    let mut replacing = host.nod(&["list"]).stdout(Stdio::null()).spawn().unwrap();
    host.wait_until_asked_to_end();
    let closure = host.answer(&request, Answer::Approve);
    host.wait_until_replaced();
    assert!(replacing.wait().unwrap().success());
    until("the new host", || {
        drop(host.run(&["list"]));
        nod_client::Connection::open(&host.socket(), None).ok().map(drop)
    });
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let read = |name| fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(
        (read("answer"), read("codes")),
        ("{\"answer\":\"approved\"}\n".into(), "0\n".into())
    );
    let requests = host.detail(id).requests;
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].closure, Some(closure));
}

/// Submits a task that asks, and goes on; and waits for the answer again once it is let.
fn goes_on(host: &Home, options: &str) -> TaskId {
    host.submit(&format!(
        "nod ask 'Deploy?' {options} > open 2> note; echo $? > resumed.new; mv resumed.new resumed; \
         while [ ! -e go ]; do sleep 0.02; done; nod ask --request 1 > answer; echo $? > code"
    ))
}

/// Has the next command put a host of its own in the place of an older one, which runs already.
fn replaced_by_a_command(host: &mut TestHost) {
    let ran = host.run(&["list"]);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{ran:?}");
    host.wait_until_replaced();
    // It is there by the time that the command has ended.
    drop(host.connect());
}

/// Answers as an older host does until it is asked to end, and then ends without a word.
fn ends_without_a_word(listener: &UnixListener, socket: &Path) {
    for client in listener.incoming() {
        let mut client = client.unwrap();
        for line in BufReader::new(client.try_clone().unwrap()).lines() {
            let call: Value = serde_json::from_str(&line.unwrap()).unwrap();
            let result = match call["method"].as_str().unwrap() {
                "hello" => json!({
                    "type": "welcome", "protocol": PROTOCOL, "version": "0.0.9", "epoch": "before",
                    "host": "headless", "pid": std::process::id(),
                }),
                "stop_host" => return fs::remove_file(socket).unwrap(),
                _ => json!({ "type": "tasks", "tasks": [], "next": null }),
            };
            writeln!(client, "{}", json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }))
                .unwrap();
        }
    }
}

#[test]
fn a_host_of_an_older_version_that_ends_before_it_says_so_is_replaced_as_well() {
    let home = Home::new();
    let socket = home.socket();
    let folder = socket.parent().unwrap();
    fs::DirBuilder::new().mode(0o700).recursive(true).create(folder).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let older = thread::spawn(move || ends_without_a_word(&listener, &socket));
    let ran = home.run(&["list"]);
    assert!(ran.code == Some(0) && !ran.err.contains("older host"), "{ran:?}");
    older.join().unwrap();
    let mut connection = home.connect();
    connection.call(&Call::Snapshot).unwrap();
    assert_eq!(connection.welcome().unwrap().version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn who_goes_on_without_an_answer_does_so_whichever_host_there_is_by_then() {
    let older = json!({ "version": "0.0.9", "protocol": 1 });
    for options in ["--resume-after 3s", "--resume-at \"$(date -d '+3 seconds' '+%F %T')\""] {
        let mut host = TestHost::start();
        let id = goes_on(&host, options);
        let request = host.wait_for_request(id);
        // Once while the task waits, and once while nobody does.
        replaced_by(&mut host, &json!({ "version": "0.0.9" }));
        replaced_by_a_command(&mut host);
        let read = |host: &Home, name: &str| {
            fs::read_to_string(host.work().join(name)).unwrap_or_default()
        };
        until("the task to go on", || (read(&host, "resumed") == "75\n").then_some(()));
        let open = format!("{{\"answer\":\"open\",\"request\":{}}}\n", request.id);
        assert_eq!(read(&host, "open"), open, "{options}");
        assert_eq!(host.run(&["stop"]).code, Some(0));
        host.restart_as(Some(&older));
        replaced_by_a_command(&mut host);
        assert_eq!(host.request(id, request.id), request, "{options}");
        fs::write(host.work().join("go"), "").unwrap();
        assert_eq!(host.run(&["stop"]).code, Some(0));
        host.restart();
        host.answer(&request, Answer::Approve);
        host.wait_for_end(id);
        assert_eq!(read(&host, "code"), "0\n", "{options}: {}", read(&host, "note"));
        assert_eq!(host.detail(id).requests.len(), 1);
    }
}

#[test]
fn an_answer_before_it_is_time_to_go_on_is_heard_across_hosts() {
    let mut host = TestHost::start();
    let id = goes_on(&host, "--resume-after 1h");
    let request = host.wait_for_request(id);
    replaced_by(&mut host, &json!({ "version": "0.0.9" }));
    replaced_by_a_command(&mut host);
    assert_eq!(host.run(&["stop"]).code, Some(0));
    host.restart();
    host.answer(&request, Answer::Deny { reason: None });
    fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    let read = |name| fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!((read("resumed"), read("code")), ("1\n".into(), "1\n".into()));
}
