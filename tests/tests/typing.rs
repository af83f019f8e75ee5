//! Typing into a task, across hosts that end in the middle of it: nothing is lost, nothing twice.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply, TypeIn};
use nod_core::task::StateName;
use nod_tests::{Ran, TestHost, processes, until};

/// What becomes of the first thing that a client types through a [`Between`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// The host never gets it, as one that dies before it reads.
    Call,
    /// The client never hears the reply, as of a host that dies before it writes.
    Reply,
    Nothing,
}

/// Stands between clients and a host, and may hang up once where a client types something.
struct Between {
    /// Tells of each thing that the host was handed to type, and of one that was cut off.
    typed: Receiver<()>,
    /// The next client comes once this is dropped.
    _hold: Sender<()>,
}

impl Between {
    /// Has every command of the home come this way.
    fn of(host: &TestHost, mut what: Cut) -> Self {
        let lock = host.data().join("host.lock");
        let to = PathBuf::from(fs::read_to_string(&lock).unwrap().trim_end());
        let place = host.path().join("between.sock");
        let listener = UnixListener::bind(&place).unwrap();
        fs::write(lock, place.to_str().unwrap()).unwrap();
        let (tell, typed) = channel();
        let (hold, held) = channel::<()>();
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                let host = until("the host", || UnixStream::connect(&to).ok());
                if pass(client, host, what, &tell).is_none() {
                    what = Cut::Nothing;
                    held.recv().ok();
                }
            }
        });
        Self { typed, _hold: hold }
    }
}

/// Hands lines over in both directions; returns nothing where it hung up on one that typed.
fn pass(client: UnixStream, host: UnixStream, what: Cut, tell: &Sender<()>) -> Option<()> {
    let (mut to_client, mut to_host) = (client.try_clone().unwrap(), host.try_clone().unwrap());
    let mut replies = BufReader::new(host).lines();
    for line in BufReader::new(client).lines().map_while(Result::ok) {
        let types = line.contains("\"method\":\"input\"");
        let is_at = |cut: Cut| types && what == cut;
        // Nobody listens where the test is past that.
        let told = || tell.send(()).ok();
        if is_at(Cut::Call) {
            told();
            return None;
        }
        writeln!(to_host, "{line}").unwrap();
        if is_at(Cut::Nothing) {
            told();
        }
        let Some(Ok(reply)) = replies.next() else { break };
        if is_at(Cut::Reply) {
            told();
            return None;
        }
        if writeln!(to_client, "{reply}").is_err() {
            break;
        }
    }
    Some(())
}

fn got(host: &TestHost) -> String {
    until("what was typed", || fs::read_to_string(host.work().join("got")).ok())
}

/// Starts a task that keeps what is typed.
fn keeping(host: &TestHost, line: &str) -> TaskId {
    let id = host.submit_with(&["-i"], &[line]);
    host.wait_for_state(id, StateName::Running);
    id
}

#[test]
fn what_a_host_took_or_never_heard_before_it_died_is_typed_once() {
    for what in [Cut::Call, Cut::Reply] {
        let mut host = TestHost::start();
        let id = keeping(&host, "cat > got");
        let between = Between::of(&host, what);
        let mut typing = host.nod(&["stdin", &id.to_string(), "--line", "once"]).spawn().unwrap();
        between.typed.recv().unwrap();
        host.kill();
        host.restart();
        drop(between);
        assert_eq!(typing.wait().unwrap().code(), Some(0));
        let ended = host.run(&["stdin", &id.to_string(), "--line", "last", "--eof"]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
        assert_eq!(got(&host), "once\nlast\n");
    }
}

#[test]
fn what_the_last_thing_typed_came_to_is_known_though_the_task_ended_without_a_host() {
    let mut host = TestHost::start();
    let id = keeping(&host, "read it; echo $it > got; while [ ! -e go ]; do sleep 0.02; done");
    let process = host.detail(id).attempts[0].process.unwrap();
    let between = Between::of(&host, Cut::Reply);
    let mut typing = host.nod(&["stdin", &id.to_string(), "--line", "once"]).spawn().unwrap();
    between.typed.recv().unwrap();
    host.kill();
    fs::write(host.work().join("go"), "").unwrap();
    until("the end", || (!processes::is_alive(process)).then_some(()));
    host.restart();
    host.wait_for_end(id);
    drop(between);
    assert_eq!(typing.wait().unwrap().code(), Some(0));
    assert_eq!(got(&host), "once\n");
}

#[test]
fn what_a_shim_has_not_taken_when_the_host_dies_is_typed_once() {
    let mut host = TestHost::start();
    let id = keeping(&host, "cat > got");
    let shim = processes::parent(host.detail(id).attempts[0].process.unwrap());
    let between = Between::of(&host, Cut::Nothing);
    // It takes nothing for now, and hears what the dead host said once it goes on.
    processes::stop(shim);
    let mut typing = host.nod(&["stdin", &id.to_string(), "--line", "once"]).spawn().unwrap();
    between.typed.recv().unwrap();
    // What comes later is done by then.
    let other = Call::Submit(Box::new(host.shell_submit("true")));
    let Ok(Reply::Submitted { id: other, .. }) = host.person(&other) else { panic!("refused") };
    host.person(&Call::Wait { id: other }).unwrap();
    assert!(typing.try_wait().unwrap().is_none(), "nobody has taken it yet");
    host.kill();
    processes::go_on(shim);
    host.restart();
    assert_eq!(typing.wait().unwrap().code(), Some(0));
    let ended = host.run(&["stdin", &id.to_string(), "--line", "last", "--eof"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    host.wait_for_end(id);
    assert_eq!(got(&host), "once\nlast\n");
}

#[test]
fn every_line_that_was_acknowledged_is_there_though_its_host_dies_at_once() {
    let mut host = TestHost::start();
    let id = keeping(&host, "cat > got");
    let mut expected = String::new();
    for number in 0..10 {
        let line = format!("line {number}\n");
        let operation = Some(new_operation().unwrap());
        let data = BASE64.encode(&line);
        let call = Call::Input(TypeIn { operation, id, data, session: None });
        let reply = host.person(&call).unwrap();
        assert_eq!(reply, Reply::Done);
        host.kill();
        host.restart();
        assert_eq!(host.person(&call).unwrap(), Reply::Done);
        expected.push_str(&line);
    }
    let ended = host.run(&["stdin", &id.to_string(), "--eof"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    host.wait_for_end(id);
    assert_eq!(got(&host), expected);
}

/// What a shell does beside its own lines: parts of pipelines, `$(…)`, `( … )` and `&`.
const PARTS: &str = r#"
    set -e
    id=$("$NOD" submit -i -- "$TASK" | sed 's/[^0-9]*\([0-9]*\).*/\1/')
    # What it submitted takes no input before it runs.
    until "$NOD" show "$id" | grep -q Running; do sleep 0.02; done
    "$NOD" stdin "$id" --line itself
    echo piped | "$NOD" stdin "$id"
    echo x | { read x; "$NOD" stdin "$id" --line "part of a pipeline"; } | cat
    it=$("$NOD" stdin "$id" --line substituted)
    ("$NOD" stdin "$id" --line "a subshell"; true)
    (("$NOD" stdin "$id" --line "one in another"; true); true)
    "$NOD" stdin "$id" --line "in the background" &
    wait $!
    # Another program is another one, though it is of the same file and has the same parent.
    code=0
    "$SHELL_OF_IT" -c '"$NOD" stdin "$1" --line "of another" 2> refused; exit $?' sh "$id" || code=$?
    echo "$code" > code
    "$NOD" stdin "$id" --line last
"#;

#[test]
fn what_a_shell_forks_types_into_what_the_shell_submitted_and_another_shell_does_not() {
    for shell in ["bash", "sh"] {
        let host = TestHost::start();
        let mut script = host.command(shell);
        script.env("NOD", nod_tests::home::program("nod")).env("SHELL_OF_IT", shell);
        script.env(
            "TASK",
            "while read it; do echo \"$it\" >> got; [ \"$it\" != last ] || exit 0; done",
        );
        let ran = Ran::from(script.arg("-c").arg(PARTS).output().unwrap());
        assert_eq!(ran.code, Some(0), "{shell}: {ran:?}");
        let task = host.wait_for_end(TaskId(1));
        assert_eq!(task.state.name(), StateName::Succeeded);
        let read = |name: &str| fs::read_to_string(host.work().join(name)).unwrap();
        let expected = "itself\npiped\npart of a pipeline\nsubstituted\na subshell\none in another\n\
                        in the background\nlast\n";
        assert_eq!(read("got"), expected, "{shell}");
        assert_eq!(read("code"), "77\n", "{shell}");
        assert!(
            read("refused").contains("only the program that submitted it"),
            "{}",
            read("refused")
        );
    }
}
