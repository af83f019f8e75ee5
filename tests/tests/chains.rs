//! Terminals that a login or sshd began, and processes that change while they answer.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};

use nod_core::ids::{RequestId, TaskId};
use nod_core::task::StateName;
use nod_tests::seat::{Seat, noted};
use nod_tests::{processes, until};
use rustix::process::{Pid, Signal, kill_process};

/// An sshd of the seat's own, with its own keys and port; ends with the seat.
struct Sshd {
    port: u16,
    user: String,
}

impl Sshd {
    fn start(seat: &Seat) -> Self {
        let run = |words: &[&str]| {
            let ran = seat.host.command(words[0]).args(&words[1..]).output().unwrap();
            assert!(ran.status.success(), "`make test` installs what {words:?} needs: {ran:?}");
            String::from_utf8(ran.stdout).unwrap().trim().to_owned()
        };
        let user = run(&["id", "-un"]);
        if user == "root" {
            // Where it confines its parts; the system's own start makes it as well.
            run(&["mkdir", "-p", "/run/sshd"]);
        }
        for key in ["host.key", "user.key"] {
            run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]);
        }
        let file = |name: &str| seat.file(name).display().to_string();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nListenAddress 127.0.0.1\nPidFile none\n\
             StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            file("host.key"),
            file("user.key.pub")
        );
        fs::write(seat.file("sshd.conf"), config).unwrap();
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let (config, log) = (file("sshd.conf"), file("sshd.log"));
            let number = port.to_string();
            let words = ["/usr/sbin/sshd", "-D", "-f", &config, "-E", &log, "-p", &number];
            assert!(seat.apart(&words).status().unwrap().success());
            let listens = until("sshd", || {
                let said = fs::read_to_string(seat.file("sshd.log")).unwrap_or_default();
                // Another program may have taken the port meanwhile.
                if said.contains("Cannot bind") {
                    fs::remove_file(seat.file("sshd.log")).unwrap();
                    return Some(false);
                }
                let listens = said.contains("Server listening");
                (listens && TcpStream::connect(("127.0.0.1", port)).is_ok()).then_some(true)
            });
            if listens {
                return Self { port, user };
            }
        }
        panic!("no port for sshd");
    }

    /// Returns a shell line that runs another one in a session of ssh, at a terminal of its own.
    fn line(&self, seat: &Seat, remote: &str) -> String {
        let variables = format!(
            "export NOD_HOME={} XDG_RUNTIME_DIR={}",
            seat.host.data().display(),
            seat.host.path().join("run").display()
        );
        let script = seat.file("remote.sh");
        let line = format!("{variables}\ncd {}\n{remote}\n", seat.host.work().display());
        fs::write(&script, line).unwrap();
        format!(
            "ssh -tt -F none -i {} -p {} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR {}@127.0.0.1 sh {}",
            seat.file("user.key").display(),
            self.port,
            self.user,
            script.display()
        )
    }
}

fn gated(seat: &Seat) -> (TaskId, RequestId) {
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    (id, seat.host.wait_for_request(id).id)
}

#[track_caller]
fn assert_refused(seat: &Seat, (id, request): (TaskId, RequestId), way: &str, words: &str) {
    let (code, said) = seat.ended();
    assert!(code == 77 && said.contains(words), "{way}: {code} {said}");
    assert!(seat.host.request(id, request).is_open(), "{way}");
}

#[test]
fn a_person_in_an_ssh_session_approves() {
    let seat = Seat::confirmed();
    let sshd = Sshd::start(&seat);
    let (id, _) = gated(&seat);
    let approve = noted(&format!("{} approve {id}", seat.nod));
    seat.open("xterm", &sshd.line(&seat, &approve), &[]);
    seat.wait_for("Type `approve`");
    seat.press("approve");
    assert_eq!(seat.ended(), (0, String::new()));
    assert_eq!(seat.host.wait_for_end(id).state.name(), StateName::Succeeded);
    let from = seat.host.audit(id).remove(0).from.unwrap();
    assert!(from.contains("in sshd (process ") && from.contains(" in xterm (process "), "{from}");
}

#[test]
fn an_ssh_session_that_no_person_began_is_refused() {
    let seat = Seat::confirmed();
    let sshd = Sshd::start(&seat);
    let gated = gated(&seat);
    let approve = noted(&format!("{} approve {}", seat.nod, gated.0));
    let ssh = sshd.line(&seat, &approve);
    let typing = "while [ ! -e code ]; do echo approve; sleep 0.1; done";
    // From inside of a task, also where it leaves all it has behind.
    fs::write(seat.file("way.sh"), format!("({typing}) | {ssh}\n")).unwrap();
    let bare =
        "setsid -f env -i PATH=\"$PATH\" sh way.sh; while [ ! -e code ]; do sleep 0.02; done";
    for way in ["sh way.sh", bare] {
        let id = seat.host.submit(way);
        seat.host.wait_for_end(id);
        assert_refused(&seat, gated, way, "from this machine");
    }
    // What the session says of where it comes from is not believed.
    let said = "env SSH_CONNECTION='192.0.2.1 4000 192.0.2.2 22'";
    let claimed = ssh.replace(" sh /", &format!(" exec {said} sh /").replace('\'', "\\'"));
    fs::write(seat.file("way.sh"), format!("({typing}) | {claimed}\n")).unwrap();
    let id = seat.host.submit("sh way.sh");
    seat.host.wait_for_end(id);
    assert_refused(&seat, gated, "a claimed connection", "cannot be found out");
    // A program that is no task, and nobody's terminal.
    fs::write(seat.file("way.sh"), format!("({typing}) | {ssh}\n")).unwrap();
    let path = seat.file("way.sh").display().to_string();
    assert!(seat.apart(&["/bin/sh", &path]).status().unwrap().success());
    assert_refused(&seat, gated, "a program", "from this machine");
}

/// Returns a question, and a script that approves it in a shell which was just logged in.
fn for_login(seat: &Seat) -> ((TaskId, RequestId), String) {
    let gated = gated(seat);
    let run = format!(
        "export NOD_HOME={} XDG_RUNTIME_DIR={}\ncd {}\n{}\n",
        seat.host.data().display(),
        seat.host.path().join("run").display(),
        seat.host.work().display(),
        noted(&format!("{} approve {}", seat.nod, gated.0))
    );
    fs::write(seat.file("run.sh"), run).unwrap();
    (gated, seat.file("run.sh").display().to_string())
}

/// Returns whether this is root, which alone logs anyone in without a password: for others the tables
/// of the engine go through the same chains.
fn may_log_in() -> bool {
    rustix::process::getuid().is_root()
}

#[test]
fn a_login_at_a_terminal_that_a_person_sees_is_believed() {
    if !may_log_in() {
        return;
    }
    let seat = Seat::confirmed();
    let ((id, _), run) = for_login(&seat);
    seat.open("xterm", "login -f root", &[]);
    let shell = || fs::metadata(seat.file("screen")).is_ok_and(|it| it.len() > 0).then_some(());
    until("a shell", shell);
    seat.press(&format!("sh {run}"));
    seat.wait_for("Type `approve`");
    seat.press("approve");
    assert_eq!(seat.ended(), (0, String::new()));
    assert_eq!(seat.host.wait_for_end(id).state.name(), StateName::Succeeded);
}

#[test]
fn a_login_at_a_terminal_whose_other_end_a_program_holds_is_refused() {
    if !may_log_in() {
        return;
    }
    let seat = Seat::confirmed();
    let (gated, run) = for_login(&seat);
    let keys = format!("(while [ ! -e code ]; do echo 'sh {run}'; sleep 0.5; done; echo exit)");
    let script = format!("{keys} | script -qec 'login -f root' /dev/null");
    assert!(seat.apart(&["/bin/sh", "-c", &script]).status().unwrap().success());
    assert_refused(&seat, gated, "login in script", "script (process");
}

/// Connects, has its child speak on the connection, and becomes the `nod` of the person.
const SHARED: &str = r#"
import json, os, socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
os.set_inheritable(s.fileno(), True)
parent = os.getpid()
if os.fork() > 0:
    os.execv(sys.argv[2], [sys.argv[2], "approve", sys.argv[3]])
while open(f"/proc/{parent}/comm").read() != "nod\n":
    time.sleep(0.01)
hello = {"protocol": 2, "token": None, "terminal": True}
call = {"jsonrpc": "2.0", "id": 1, "method": "hello", "params": hello}
s.sendall((json.dumps(call) + "\n").encode())
open("said", "w").write(s.makefile().readline())
open("code.new", "w").write("77\n")
os.rename("code.new", "code")
# The terminal hangs up with it, on this process too: there is nothing left to do.
os.kill(parent, 9)
"#;

#[test]
fn a_connection_that_another_process_speaks_on_is_refused() {
    let seat = Seat::confirmed();
    let gated = gated(&seat);
    fs::write(seat.file("shared.py"), SHARED).unwrap();
    let socket = seat.host.socket().display().to_string();
    seat.open("xterm", &format!("python3 shared.py {socket} {} {}", seat.nod, gated.0), &[]);
    assert_refused(&seat, gated, "a child", "was not written by");
}

/// Connects, says all it has to say, and becomes the `nod` of the person before the host looks.
const SWAPPED: &str = r#"
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
os.set_inheritable(s.fileno(), True)
def line(id, method, params):
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n"
answer = {"operation": os.urandom(8).hex(), "request": int(sys.argv[4]),
          "answer": {"type": "approve"}, "shown": sys.argv[5]}
s.sendall((line(1, "hello", {"protocol": 2, "token": None, "terminal": True})
           + line(2, "snapshot", None) + line(3, "answer", answer)).encode())
open("pid.new", "w").write(str(os.getpid()))
os.rename("pid.new", "pid")
os.execv(sys.argv[2], [sys.argv[2], "approve", sys.argv[3]])
"#;

#[test]
fn what_was_said_before_the_process_became_nod_does_not_count() {
    let seat = Seat::unarmed();
    let (id, request) = gated(&seat);
    let hash = seat.host.request(id, request).hash;
    fs::write(seat.file("swapped.py"), SWAPPED).unwrap();
    let socket = seat.host.socket().display().to_string();
    let host = Pid::from_raw(seat.host.pid()).unwrap();
    kill_process(host, Signal::STOP).unwrap();
    let line = format!("python3 swapped.py {socket} {} {id} {request} {hash}", seat.nod);
    seat.open("xterm", &line, &[]);
    until("the process to be nod", || {
        let pid = fs::read_to_string(seat.file("pid")).ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name == "nod\n").then_some(())
    });
    kill_process(host, Signal::CONT).unwrap();
    // By then the host has heard what came before.
    seat.wait_for("Type `approve`");
    assert!(seat.host.request(id, request).is_open());
    seat.press("n");
    until("nod to end", || {
        let pid: i32 = fs::read_to_string(seat.file("pid")).ok()?.parse().ok()?;
        (!processes::is_alive(pid)).then_some(())
    });
    assert!(seat.host.request(id, request).is_open());
}

#[test]
fn a_process_whose_parents_change_before_it_answers_is_refused() {
    let seat = Seat::confirmed();
    let (id, request) = gated(&seat);
    fs::write(seat.file("inner.sh"), format!("echo $$ > pid; {} approve {id} 2> said", seat.nod))
        .unwrap();
    seat.open("xterm", "sh inner.sh; sleep 600", &[]);
    seat.wait_for("Type `approve`");
    let inner: i32 = fs::read_to_string(seat.file("pid")).unwrap().trim().parse().unwrap();
    processes::kill_9(inner);
    until("the shell to go", || (!processes::is_alive(inner)).then_some(()));
    seat.press("approve");
    let said = until("a refusal", || {
        fs::read_to_string(seat.file("said")).ok().filter(|said| said.ends_with('\n'))
    });
    assert!(said.contains("answer in Nod's window"), "{said}");
    assert!(seat.host.request(id, request).is_open());
}

/// The words that are missing where a program is.
#[test]
fn what_these_tests_need_is_installed() {
    for program in ["ssh", "ssh-keygen", "/usr/sbin/sshd", "script", "python3", "xterm"] {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {program}")])
            .stdout(Stdio::null())
            .status();
        assert!(found.unwrap().success(), "{program} is missing: `make test` installs it");
    }
}
