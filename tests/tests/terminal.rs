//! `nod approve` and `nod deny` at a terminal: a real terminal emulator with real keys, and
//! everything that only looks like one.

use std::fs;

use nod_core::access::{Actor, Surface};
use nod_core::protocol::AuditWhat;
use nod_core::request::{Answer, Closure};
use nod_core::task::StateName;
use nod_tests::seat::{ON, Seat, noted, rules};
use nod_tests::until;

#[test]
fn a_person_at_a_terminal_approves_and_denies_what_is_shown() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["echo", "deployed to\u{1b}[2J prod"]);
    let request = seat.host.wait_for_request(id);
    seat.open("xterm", &seat.line(&format!("approve {id} --comment carefully")), &[]);
    seat.wait_for("Type `approve`");
    let screen = fs::read(seat.file("screen")).unwrap();
    let screen = String::from_utf8_lossy(&screen).into_owned();
    assert!(screen.contains("Start this task?") && screen.contains("deployed to␛[2J prod"));
    assert!(!screen.contains("\u{1b}[2J"), "{screen}");
    seat.press("approve");
    assert_eq!(seat.ended(), (0, String::new()));
    assert_eq!(seat.host.wait_for_end(id).state.name(), StateName::Succeeded);
    let terminal = Actor::Person { surface: Surface::Terminal };
    let Some(Closure::Answered { by, comment, .. }) = seat.host.request(id, request.id).closure
    else {
        panic!("no answer")
    };
    assert_eq!((by, comment.as_deref()), (terminal.clone(), Some("carefully")));
    let row = seat.host.audit(id).remove(0);
    let from = row.from.unwrap();
    assert_eq!((row.actor, row.hash), (terminal, Some(request.hash)));
    assert!(from.starts_with("/dev/pts/") && from.contains("in xterm (process "), "{from}");
    assert!(seat.host.run(&["audit"]).out.contains("by a person in a terminal"));

    let id = seat.host.submit("nod ask 'Go on?'; echo $? > asked");
    let request = seat.host.wait_for_request(id);
    seat.open("xterm", &seat.line(&format!("deny r{} --reason 'not today'", request.id)), &[]);
    assert_eq!(seat.ended(), (0, String::new()));
    seat.host.wait_for_end(id);
    assert_eq!(fs::read_to_string(seat.file("asked")).unwrap(), "1\n");
    let closure = seat.host.request(id, request.id).closure.unwrap();
    assert!(closure.words().contains("a person in a terminal"), "{closure:?}");
}

#[test]
fn keys_that_were_typed_before_the_question_was_shown_do_not_approve_it() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    let wait = "echo typing; while [ ! -e go ]; do sleep 0.02; done";
    seat.open("xterm", &format!("{wait}; {}", seat.line(&format!("approve {id}"))), &[]);
    seat.wait_for("typing");
    seat.press("approve");
    // The terminal has them, and shows them.
    seat.wait_for("approve");
    fs::write(seat.file("go"), "").unwrap();
    seat.wait_for("Type `approve`");
    assert!(seat.host.request(id, request.id).is_open());
    seat.press("n");
    let (code, said) = seat.ended();
    assert!(code == 1 && said.contains("nothing was answered"), "{code} {said}");
    assert!(seat.host.request(id, request.id).is_open());
}

#[test]
fn something_else_than_approve_leaves_the_question_open_and_so_does_an_edit_meanwhile() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    let line = seat.line(&format!("approve {id}"));
    seat.open("xterm", &line, &[]);
    seat.wait_for("Type `approve`");
    seat.press("yes please");
    let (code, said) = seat.ended();
    assert!(code == 1 && said.contains("nothing was answered"), "{code} {said}");

    seat.open("xterm", &line, &[]);
    seat.wait_for("Type `approve`");
    assert_eq!(seat.host.run(&["edit", &id.to_string(), "--", "false", "y"]).code, Some(0));
    seat.press("approve");
    let (code, said) = seat.ended();
    assert!(code == 1 && said.contains("closed"), "{code} {said}");
    let open = seat.host.wait_for_request(id);
    assert!(open.id != request.id && open.shown.argv == ["false", "y"], "{open:?}");
}

#[test]
fn a_question_that_is_closed_is_not_shown_but_how_it_was_closed() {
    let mut seat = Seat::confirmed();
    let expired = seat.host.submit("nod ask 'Go?' --timeout 1s; echo $? > expired");
    seat.host.wait_for_end(expired);
    let withdrawn = seat.host.submit(
        "nod ask 'Go?' & while [ ! -e withdraw ]; do sleep 0.02; done; kill $!; \
         while [ ! -e go ]; do sleep 0.02; done",
    );
    let asked = seat.host.wait_for_request(withdrawn);
    fs::write(seat.file("withdraw"), "").unwrap();
    until("the withdrawal", || (!seat.host.request(withdrawn, asked.id).is_open()).then_some(()));
    let answered = seat.host.submit("nod ask 'Go?'; while [ ! -e go ]; do sleep 0.02; done");
    let request = seat.host.wait_for_request(answered);
    seat.host.answer(&request, Answer::Deny { reason: None });
    let of = |id| format!("r{}", seat.host.detail(id).requests[0].id);
    let cases = [
        (of(expired), "is closed: it expired"),
        (of(withdrawn), "is closed: withdrawn"),
        (of(answered), "is closed: denied by a person in the window"),
        ("r99".to_owned(), "no request has id 99"),
        (expired.to_string(), "has no open question"),
        (answered.to_string(), "has no open question"),
        ("99".to_owned(), "no task has id 99"),
    ];
    for (target, words) in cases {
        for verb in ["approve", "deny"] {
            seat.open("xterm", &seat.line(&format!("{verb} {target}")), &[]);
            let (code, said) = seat.ended();
            assert!(code == 1 && said.contains(words), "{verb} {target}: {code} {said}");
        }
    }
    let closure = seat.host.detail(expired).requests[0].closure.clone();
    assert!(matches!(closure, Some(Closure::Expired { .. })), "{closure:?}");

    // Closed while a person reads it: by its time, by who asked, by somebody else.
    let gated = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let gate = seat.host.wait_for_request(gated);
    let short = seat.host.submit("nod ask 'Go?' --timeout 15s");
    let short_request = seat.host.wait_for_request(short);
    for (id, request, words) in
        [(short, short_request, "is closed: it expired"), (gated, gate, "is closed: denied")]
    {
        seat.open("xterm", &seat.line(&format!("approve {id}")), &[]);
        seat.wait_for("Type `approve`");
        if id == gated {
            seat.host.answer(&request, Answer::Deny { reason: None });
        }
        until("the end", || (!seat.host.request(id, request.id).is_open()).then_some(()));
        seat.press("approve");
        let (code, said) = seat.ended();
        assert!(code == 1 && said.contains(words), "{code} {said}");
    }
    assert_eq!(seat.host.wait_for_end(gated).state.name(), StateName::Denied);
    // Who came too late, and from where, is in the audit.
    for id in [short, gated] {
        let row = seat.host.audit(id).remove(0);
        let terminal = Actor::Person { surface: Surface::Terminal };
        assert_eq!((row.what, row.actor), (AuditWhat::Refused, terminal));
        assert!(row.from.unwrap().starts_with("/dev/pts/"));
    }
}

/// Gives itself a name that would clear the screen and turn words around, and runs what follows in
/// a terminal of its own.
const HOSTILE: &str = r#"
import ctypes, os, sys, pty
ctypes.CDLL(None).prctl(15, b"\x1b[2J\xe2\x80\xaeMx", 0, 0, 0)
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))
"#;

#[test]
fn a_program_that_calls_itself_what_a_terminal_acts_on_is_named_harmlessly() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    fs::write(seat.file("hostile.py"), HOSTILE).unwrap();
    let approve = format!("python3 hostile.py {} approve {id}", seat.nod);
    seat.open("xterm", &format!("{approve} > shown; echo $? > code.new; mv code.new code"), &[]);
    until("the end of nod", || fs::read_to_string(seat.file("code")).ok());
    let shown = fs::read_to_string(seat.file("shown")).unwrap();
    assert!(
        shown.contains("␛[2J\u{fffd}Mx (process ") && shown.contains("stands between"),
        "{shown:?}"
    );
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    assert!(seat.host.request(id, request.id).is_open());
}

#[test]
fn a_terminal_is_believed_only_while_the_file_says_so_and_a_person_has_confirmed_it() {
    let mut seat = Seat::with_config("");
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    let line = seat.line(&format!("approve {id}"));
    let refused = |seat: &Seat, words: &str| {
        let (code, said) = seat.ended();
        assert!(code == 77 && said.contains(words), "{code} {said}");
        assert!(seat.host.request(id, request.id).is_open());
    };
    seat.open("xterm", &line, &[]);
    refused(&seat, "are turned off");
    // A program that edits the file turns nothing on.
    fs::write(seat.host.data().join("config.toml"), ON).unwrap();
    let loosening = until("the change", || rules(&seat.host).loosening);
    assert_eq!(loosening.changes, ["approvals in a terminal are turned on"]);
    seat.open("xterm", &line, &[]);
    refused(&seat, "nobody has confirmed");
    seat.confirm();
    // Turned off while a person reads: it holds at once.
    seat.open("xterm", &line, &[]);
    seat.wait_for("Type `approve`");
    fs::write(seat.host.data().join("config.toml"), "").unwrap();
    seat.press("approve");
    refused(&seat, "are turned off");
    until("the change", || (!rules(&seat.host).terminal_approvals).then_some(()));
    // On again means confirmed again.
    fs::write(seat.host.data().join("config.toml"), ON).unwrap();
    until("the change", || rules(&seat.host).loosening);
    seat.open("xterm", &line, &[]);
    refused(&seat, "nobody has confirmed");
}

/// A program that speaks for itself: it says hello as a terminal, and sends an approval.
const SEND: &str = r#"
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def line(id, method, params):
    return json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n"
answer = {"operation": os.urandom(8).hex(), "request": int(sys.argv[2]),
          "answer": {"type": "approve"}, "shown": sys.argv[3]}
# In one write: the host hangs up after the first.
s.sendall((line(1, "hello", {"protocol": 2, "token": None, "terminal": True})
           + line(2, "answer", answer)).encode())
sys.stderr.write(s.makefile().readline())
sys.exit(77)
"#;

#[test]
fn what_only_looks_like_a_person_at_a_terminal_is_refused() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    let approve = format!("{} approve {id}", seat.nod);
    let refused = |way: &str, words: &str| {
        let (code, said) = seat.ended();
        assert!(code == 77 && said.contains(words), "{way}: {code} {said}");
        assert!(seat.host.request(id, request.id).is_open(), "{way}");
    };
    fs::write(seat.file("send.py"), SEND).unwrap();
    let send =
        format!("python3 send.py {} {} {}", seat.host.socket().display(), request.id, request.hash);
    let in_terminals = [
        (noted(&send), "not the `nod` command"),
        (noted(&format!("env -u CLAUDECODE {approve}")), "has CLAUDECODE"),
        (format!("script -qec \"{approve} 2> said\" /dev/null; echo 77 > code"), "script (process"),
        (
            format!(
                "python3 -c 'import pty; pty.spawn([\"sh\", \"-c\", \"{approve} 2> said\"])'; echo 77 > code"
            ),
            "python3 (process",
        ),
        (noted(&format!("strace -qq -o /dev/null {approve}")), "looks into `nod`"),
        (noted(&format!("LD_LIBRARY_PATH=/tmp {approve}")), "put its own code"),
        (noted(&format!("{approve} < /dev/null")), "must be the terminal"),
        (noted(&format!("{approve} > /dev/null")), "must be the terminal"),
        (noted(&format!("setsid -w {approve}")), "must be the terminal"),
    ];
    for (line, words) in &in_terminals {
        let mark = if words.contains("CLAUDECODE") { &[("CLAUDECODE", "1")][..] } else { &[] };
        seat.open("xterm", line, mark);
        refused(line, words);
    }
    // A terminal emulator that no package brought.
    let own = seat.file("xterm").display().to_string();
    fs::copy("/usr/bin/xterm", &own).unwrap();
    seat.open(&own, &noted(&approve), &[]);
    refused("its own xterm", "no terminal emulator");
    // A terminal, and nobody at it; and none at all.
    let line = format!("{approve} 2> said");
    let script = format!("script -qec '{line}' /dev/null; echo 77 > code");
    assert!(seat.apart(&["/bin/sh", "-c", &script]).status().unwrap().success());
    refused("script", "no terminal emulator");
    assert!(seat.apart(&["/bin/sh", "-c", &noted(&approve)]).status().unwrap().success());
    refused("no terminal", "must be the terminal");
    // Without a terminal of its own, through the command line as an agent has it.
    assert_eq!(seat.host.run(&["approve", &id.to_string()]).code, Some(77));
}

#[test]
fn a_task_is_refused_at_any_terminal_it_opens() {
    let seat = Seat::confirmed();
    let gated = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(gated);
    let approve = noted(&format!("{} approve {gated}", seat.nod));
    fs::write(seat.file("approve.sh"), &approve).unwrap();
    let ways = [
        "sh approve.sh",
        "xterm -e sh approve.sh",
        "setsid xterm -e sh approve.sh",
        "(setsid sh -c 'xterm -e sh approve.sh' &) &",
        "setsid -f sh -c 'setsid -f xterm -e sh approve.sh'",
        "script -qec 'sh approve.sh' /dev/null",
        "python3 -c 'import pty; pty.spawn([\"sh\", \"approve.sh\"])'",
    ];
    // Once as tasks are, and once where nothing but the shim knows that it is one.
    let bare = format!(
        "exec env -i PATH=\"$PATH\" NOD_HOME={} XDG_RUNTIME_DIR={} sh way.sh",
        seat.host.data().display(),
        seat.host.path().join("run").display()
    );
    for (run, words) in [("sh way.sh", "has NOD_"), (bare.as_str(), "nod-shim")] {
        for way in ways {
            let display = seat.desktop.display_name();
            let wait = "while [ ! -e code ]; do sleep 0.02; done";
            let script = format!("export DISPLAY={display}\n{way}\n{wait}\n");
            fs::write(seat.file("way.sh"), script).unwrap();
            let id = seat.host.submit(run);
            seat.host.wait_for_end(id);
            let (code, said) = seat.ended();
            assert!(code == 77 && said.contains(words), "{way}: {code} {said}");
            assert!(seat.host.request(gated, request.id).is_open(), "{way}");
        }
    }
}

#[test]
fn a_program_that_becomes_nod_after_it_connected_does_not_speak_for_a_person() {
    let seat = Seat::confirmed();
    let id = seat.host.submit_with(&["--ask-first"], &["true", "x"]);
    let request = seat.host.wait_for_request(id);
    fs::write(seat.file("impostor.py"), include_str!("programs/impostor.py")).unwrap();
    let (socket, host) = (seat.host.socket(), seat.host.pid());
    let ways = [
        ("by itself", "was not written by the `nod`"),
        // Judged as what it has become by then, and known as another by the nonce.
        ("before it was nod", "was not written by the `nod`"),
        ("with its errors", "is a connection"),
    ];
    for (way, words) in ways {
        let line = format!(
            "python3 impostor.py '{way}' {} {} {host} {} {}",
            socket.display(),
            seat.nod,
            request.id,
            request.hash
        );
        seat.open("xterm", &line, &[]);
        let (_, said) = seat.ended();
        assert!(said.contains("forbidden") && said.contains(words), "{way}: {said}");
        assert!(seat.host.request(id, request.id).is_open(), "{way}");
    }
}
