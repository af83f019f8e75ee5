//! Chains of processes, and what is thought of each.

use super::*;
use crate::process::ProgramFile;

const NOD: (u64, u64) = (1, 77);
const SCREEN: u64 = 5;
const ME: u32 = 1000;

type Slip = fn(&mut Link);

/// A process of mine on the terminal.
fn link(pid: u32, path: &str) -> Link {
    let name = path.rsplit('/').next().unwrap_or_default();
    let of_system = path.starts_with("/usr");
    Link {
        pid,
        parent: pid - 1,
        started_ms: 0,
        uid: ME,
        name: name.to_owned(),
        program: Some(ProgramFile { path: path.into(), file: (1, u64::from(pid)), of_system }),
        words: vec![name.to_owned()],
        variables: Some(vec!["PATH".into()]),
        connection: None,
        terminal: SCREEN,
        in_front: true,
        traced: false,
    }
}

/// The same away from the terminal.
fn away(pid: u32, path: &str) -> Link {
    Link { terminal: 0, ..link(pid, path) }
}

/// A process that may not be looked into.
fn closed(pid: u32, name: &str, uid: u32) -> Link {
    Link { program: None, variables: None, words: vec![], uid, ..away(pid, name) }
}

fn nod() -> Link {
    let mut nod = link(77, "/usr/bin/nod");
    nod.parent = 20;
    nod
}

fn init() -> Link {
    Link { parent: 0, ..closed(1, "systemd", 0) }
}

fn judged(above: Vec<Link>) -> Result<u32, Distrust> {
    let chain: Vec<Link> = [vec![nod()], above, vec![init()]].concat();
    judge(&chain, NOD, SCREEN, ME).map(|link| link.pid)
}

#[test]
fn a_persons_own_terminal_or_login_is_known() {
    let bash = || link(20, "/usr/bin/bash");
    let cases = [
        ("a terminal emulator", vec![bash(), away(10, "/usr/bin/xterm")], 10),
        ("without a shell", vec![away(10, "/usr/bin/xterm")], 10),
        (
            "a terminal's server under a session",
            vec![
                bash(),
                away(9, "/usr/libexec/gnome-terminal-server"),
                away(8, "/usr/lib/systemd"),
            ],
            9,
        ),
        (
            "one terminal started from another",
            vec![
                bash(),
                Link { terminal: 6, ..away(9, "/usr/bin/xterm") },
                away(8, "/usr/bin/zsh"),
            ],
            9,
        ),
        ("a console", vec![bash(), closed(9, "login", 0)], 9),
        ("sshd", vec![bash(), closed(9, "sshd", ME), closed(8, "sshd", 0)], 9),
        ("a display manager", vec![bash(), away(9, "/usr/bin/foot"), closed(8, "gdm", 0)], 9),
    ];
    for (name, above, expected) in cases {
        assert_eq!(judged(above), Ok(expected), "{name}");
    }
}

fn bash() -> Link {
    link(20, "/usr/bin/bash")
}

fn xterm() -> Link {
    away(10, "/usr/bin/xterm")
}

fn node(words: &[&str]) -> Link {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    Link { words, ..link(19, "/usr/bin/node") }
}

fn marked(link: Link, variable: &str) -> Link {
    Link { variables: Some(vec![variable.into()]), ..link }
}

fn assert_refused(cases: Vec<(&str, Vec<Link>, &str)>) {
    for (name, above, expected) in cases {
        let said = judged(above).unwrap_err().to_string();
        assert!(said.contains(expected), "{name}: {said}");
    }
}

#[test]
fn what_is_no_person_is_refused() {
    let claude = "/home/me/.local/share/claude/versions/1";
    let script = "/x/@anthropic-ai/claude-code/cli.js";
    let shim = away(9, "/opt/nod/nod-shim");
    let above = marked(away(9, "/usr/bin/sh"), "NOD_TOKEN");
    assert_refused(vec![
        ("a task", vec![bash(), xterm(), shim], "nod-shim"),
        ("a nod above", vec![bash(), link(19, "/usr/bin/nod"), xterm()], "from nod"),
        ("an agent", vec![bash(), link(19, claude), xterm()], "from 1"),
        ("its script", vec![bash(), node(&["node", "/usr/bin/codex"]), xterm()], "from node"),
        ("one above", vec![bash(), xterm(), node(&["node", script])], "from node"),
        ("a name", vec![bash(), Link { name: "claude".into(), ..node(&[]) }, xterm()], "claude"),
        ("a server", vec![bash(), node(&["node", "/x/my-mcp/a.js"]), xterm()], "from node"),
        ("a mark", vec![marked(bash(), "CLAUDECODE"), xterm()], "has CLAUDECODE"),
        ("a mark above", vec![bash(), xterm(), above], "NOD_TOKEN"),
    ]);
}

#[test]
fn what_is_not_known_is_refused() {
    let within = Link { terminal: 6, ..link(19, "/usr/bin/script") };
    let hidden = Link { terminal: SCREEN, ..closed(20, "bash", ME) };
    let false_sshd = closed(9, "sshd", ME);
    assert_refused(vec![
        ("nothing above", vec![], "no terminal emulator"),
        ("a shell that was left", vec![bash()], "no terminal emulator"),
        ("of no package", vec![bash(), away(10, "/home/me/xterm")], "no terminal emulator"),
        ("a terminal within", vec![bash(), within, xterm()], "script (process 19) stands between"),
        ("tmux", vec![bash(), away(9, "/usr/bin/tmux")], "no terminal emulator"),
        ("one that hides", vec![closed(20, "bash", ME), xterm()], "stands between"),
        ("on the terminal", vec![hidden, xterm()], "may not be looked into"),
        ("above", vec![bash(), xterm(), closed(9, "x", ME)], "may not be looked into"),
        (
            "a name of sshd",
            vec![bash(), false_sshd, away(8, "/usr/bin/sh")],
            "no terminal emulator",
        ),
    ]);
}

#[test]
fn nod_itself_must_be_what_it_is_and_sit_at_the_terminal() {
    let judged = |change: Slip, device: u64| {
        let mut peer = nod();
        change(&mut peer);
        judge(&[peer, away(10, "/usr/bin/xterm"), init()], NOD, device, ME).map(|link| link.pid)
    };
    assert_eq!(judged(|_| {}, SCREEN), Ok(10));
    let cases: [(Slip, u64, Distrust); 7] = [
        (|nod| nod.program.as_mut().unwrap().file = (1, 78), SCREEN, Distrust::NotNod),
        (|nod| nod.program = None, SCREEN, Distrust::NotNod),
        (|_| {}, 0, Distrust::NoTerminal),
        (|_| {}, 6, Distrust::NoTerminal),
        (|nod| nod.in_front = false, SCREEN, Distrust::NoTerminal),
        (|nod| nod.traced = true, SCREEN, Distrust::Meddled),
        (|nod| nod.variables = Some(vec!["LD_PRELOAD".into()]), SCREEN, Distrust::Meddled),
    ];
    for (change, device, expected) in cases {
        assert_eq!(judged(change, device), Err(expected));
    }
}

#[test]
fn a_person_who_is_called_as_an_agent_is_none() {
    for (path, expected) in [
        ("/home/claude/bin/zsh", false),
        ("/home/me/.claude/local/node", true),
        ("/usr/bin/gemini", true),
        ("/usr/bin/bash", false),
        ("-bash", false),
        ("/opt/Cursor/cursor", true),
        ("/usr/bin/mcp-server-git", true),
    ] {
        assert_eq!(is_agent(path), expected, "{path}");
    }
}
