//! Texts of others on the command line: nothing in them moves the cursor, turns the order of what
//! stands beside them, or begins a line that looks like one of Nod's.

use nod_core::request::Answer;
use nod_tests::{Home, TestHost, until};

/// Clears the screen, sets the clipboard, turns the direction, and begins a line of its own.
const EVIL: &str = "evil\u{1b}[2J\u{1b}]52;c;eA==\u{7}\u{202e}dlo\u{2066}\u{9b}31m\r\n\
                    9  succeeded  approved by a person in the window";

fn check(what: &str, text: &str) {
    let bad =
        |c: char| c != '\n' && c != '\t' && (c.is_control() || "\u{202e}\u{2066}".contains(c));
    assert!(!text.contains(bad), "{what}: {text:?}");
    let forged = text.lines().any(|line| line.trim_start().starts_with("9  succeeded"));
    assert!(!forged, "{what}: {text}");
}

#[test]
fn every_list_shows_what_others_wrote_as_text() {
    let config = "[[rules]]\nname = \"x\\u001b[2J\\u202e\"\nmatch = [\"rm\\u001b[2J\"]\nthen = \"ask_first\"\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    std::fs::write(host.work().join("evil"), EVIL).unwrap();
    let folder = host.work().join("f\u{1b}[2J\u{202e}");
    std::fs::create_dir(&folder).unwrap();
    let options =
        ["--label", EVIL, "--session", "s\u{1b}[2J\u{202e}", "--env", "X=a\u{1b}[2Jb\u{202e}"];
    let cwd = ["--cwd", folder.to_str().unwrap()];
    let line = "cat ../evil; nod progress 30 \"$(cat ../evil)\"; nod tell \"$(cat ../evil)\"; \
                nod ask \"$(cat ../evil)\" --detail-file ../evil; nod fail \"$(cat ../evil)\"; exit 3";
    let id = host.submit_with(&[&options[..], &cwd].concat(), &[line]);
    let request = host.wait_for_request(id);
    let number = id.to_string();
    let while_asking = ["list", "show", "doctor"];
    for verb in while_asking {
        let arguments = if verb == "show" { vec![verb, &number] } else { vec![verb] };
        let ran = host.run(&arguments);
        assert!(!ran.out.is_empty(), "{verb} says nothing");
        check(verb, &ran.out);
    }
    host.answer(&request, Answer::Deny { reason: Some(EVIL.into()) });
    host.wait_for_end(id);
    let gone = host.submit_with(&[], &["nowhere\u{1b}[2J\u{202e}", "x"]);
    host.wait_for_end(gone);
    let refused = format!("r{}", request.id.0);
    let all: [&[&str]; 11] = [
        &["list"],
        &["list", "--search", "evil"],
        &["show", &number],
        &["show", &gone.to_string()],
        &["audit"],
        &["audit", &number],
        &["search", "evil"],
        &["search", "dlo", &number],
        &["rules"],
        &["rules", "--preview", "sh\u{1b}[2J", "**"],
        &["deny", &refused, "--reason", "\u{1b}[2J"],
    ];
    for arguments in all {
        let ran = host.run(arguments);
        check(&arguments.join(" "), &ran.out);
        check(&arguments.join(" "), &ran.err);
        assert!(ran.out.len() + ran.err.len() > 0, "{arguments:?} says nothing");
    }
    // Plain output may hold the task's own lines, and nothing that a terminal acts on.
    let plain = host.run(&["logs", "--plain", &number]).out;
    assert!(plain.contains("evil"), "{plain}");
    assert!(!plain.contains(['\u{1b}', '\u{7}', '\u{9b}', '\r']), "{plain:?}");
}

#[test]
fn a_megabyte_of_text_is_cut_where_it_stands_on_a_line() {
    let host = TestHost::start();
    let line = "head -c 1000000 /dev/zero | tr '\\0' x > big; echo y >> big; cat big; \
                while [ ! -e end ]; do sleep 0.02; done; exit 3";
    let id = host.submit(line);
    until("the output", || {
        let read = host.run(&["logs", "--tail", "1", &id.to_string()]);
        read.out.contains('y').then_some(())
    });
    std::fs::write(host.work().join("end"), "").unwrap();
    host.wait_for_end(id);
    let (label, word) = ("z".repeat(1_000), "w".repeat(100_000));
    let long = host.submit_with(&["--label", &label], &["false", &word]);
    host.wait_for_end(long);
    for line in host.run(&["list"]).out.lines() {
        assert!(line.len() < 2_000, "{} bytes on a line of a list", line.len());
    }
    assert_eq!(host.run(&["logs", "--plain", &id.to_string()]).out.len(), 1_000_002);
}
