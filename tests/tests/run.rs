//! Running: terminal and pipe, output, ends, progress, watching.

use std::io::Read as _;
use std::process::Stdio;

use nod_core::environment::LEAKS;
use nod_core::task::{Failure, Outcome, StateName};
use nod_tests::{Home, TestHost, processes, until};

#[test]
fn a_task_sees_a_terminal_of_a_fixed_size_unless_it_is_told_otherwise() {
    let host = TestHost::start();
    let script = "import os,sys; s=os.get_terminal_size(1) if sys.stdout.isatty() else None; \
                  print(sys.stdout.isatty(), s and (s.columns, s.lines), sys.stdin.read()=='')";
    let terminal = host.submit_with(&[], &["python3", "-c", script]);
    let pipe = host.submit_with(&["--no-tty"], &["python3", "-c", script]);
    host.wait_for_end(terminal);
    host.wait_for_end(pipe);
    assert_eq!(host.plain_log(terminal), "True (120, 30) True\n");
    assert_eq!(host.plain_log(pipe), "False None True\n");
}

#[test]
fn every_way_to_end_is_told_as_it_was() {
    let host = TestHost::start();
    let exit = |code| Outcome::Failed { failure: Failure::Exit { code } };
    let killed = Outcome::Failed { failure: Failure::Signal { signal: 9 } };
    let cases =
        [("exit 0", Outcome::Succeeded, 0), ("exit 3", exit(3), 3), ("kill -9 $$", killed, 137)];
    for (line, outcome, code) in cases {
        let id = host.submit(line);
        assert_eq!(host.wait_for_end(id).state.outcome(), Some(&outcome), "{line}");
        let waited = host.run(&["wait", &id.to_string()]);
        assert_eq!(waited.code, Some(code), "{line}: {waited:?}");
        let attempt = host.detail(id).attempts.pop().unwrap();
        assert!(attempt.ended_at.is_some() && attempt.exit.is_some(), "{attempt:?}");
    }
}

#[test]
fn what_each_try_took_and_printed_last_is_stored_with_it() {
    let host = TestHost::start();
    let script = "import os, sys, time
data = bytearray(os.urandom(1 << 20)) * 64
while time.process_time() < 0.3: pass
print('\\033[31mtry', os.environ['NOD_ATTEMPT'], '\\033[0m')
sys.exit(int(os.environ['NOD_ATTEMPT'] == '1'))";
    let options = ["--no-tty", "--retries", "1", "--backoff", "1ms"];
    let id = host.submit_with(&options, &["python3", "-c", script]);
    host.wait_for_end(id);
    let attempts = host.detail(id).attempts;
    assert_eq!(attempts.len(), 2);
    for attempt in &attempts {
        assert!(attempt.peak_memory.is_some_and(|bytes| bytes >= 64 << 20), "{attempt:?}");
        assert!(attempt.cpu_ms.is_some_and(|cpu| cpu >= 300), "{attempt:?}");
        assert_eq!(attempt.tail, Some(format!("try {} \n", attempt.number)));
    }
    let shown = host.run(&["show", &id.to_string()]).out;
    assert_eq!(shown.matches(" of processor, ").count(), 2, "{shown}");
    assert_eq!(shown.matches(" MiB at most").count(), 2, "{shown}");
    // Also of one that was lost.
    let lost = host.submit("echo last words; exec sleep 6134");
    let process = until("the process", || host.detail(lost).attempts.first()?.process);
    until("the words", || (!host.log(lost).is_empty()).then_some(()));
    processes::kill_9(processes::parent(process));
    assert_eq!(host.wait_for_end(lost).state.name(), StateName::Lost);
    assert_eq!(host.detail(lost).attempts[0].tail.as_deref(), Some("last words\n"));
}

#[test]
fn a_timeout_ends_a_task_with_its_output_so_far() {
    let host = TestHost::start();
    let id = host.submit_with(&["--timeout", "1s"], &["echo before; sleep 6077; true"]);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::TimedOut));
    assert_eq!(host.plain_log(id), "before\n");
    assert_eq!(processes::with_mark("sleep\u{0}6077"), [0; 0]);
}

#[test]
fn raw_bytes_are_kept_and_plain_output_folds_carriage_returns() {
    let host = TestHost::start();
    let line = r"printf '\377\376abc\n\033[31mred\033[0m\n10%%\r100%%\n'";
    let id = host.submit_with(&["--no-tty"], &[line]);
    host.wait_for_end(id);
    let raw = host.nod(&["logs", &id.to_string()]).output().unwrap().stdout;
    assert_eq!(raw, host.log(id));
    assert!(raw.starts_with(b"\xff\xfeabc\n"));
    let plain = host.run(&["logs", "--plain", &id.to_string()]);
    assert!(plain.out.ends_with("abc\nred\n100%\n"), "{plain:?}");
}

#[test]
fn the_log_of_a_task_that_never_started_is_empty_once_it_has_ended() {
    let host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["echo no"]);
    let logs = || host.run(&["logs", &id.to_string()]);
    let waiting = logs();
    assert_eq!((waiting.code, waiting.out.as_str()), (Some(1), ""), "{waiting:?}");
    assert!(waiting.err.contains("has not started"), "{waiting:?}");

    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    host.wait_for_end(id);
    let ended = logs();
    assert_eq!((ended.code, ended.out.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.err.contains("never started: Cancelled"), "{ended:?}");
}

#[test]
fn logs_follow_until_the_end() {
    let host = TestHost::start();
    let id = host.submit("echo one; while [ ! -e go ]; do sleep 0.02; done; echo two");
    let mut follow =
        host.nod(&["logs", "-f", &id.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = follow.stdout.take().unwrap();
    let mut first = [0; 5];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\r\n");
    std::fs::write(host.work().join("go"), "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two\r\n");
    assert!(follow.wait().unwrap().success());
}

#[test]
fn a_follower_gets_the_output_of_every_try() {
    let host = TestHost::start();
    let line = "for i in 1 2; do echo line $i of try $NOD_ATTEMPT; done; \
                while [ ! -e go ]; do sleep 0.02; done; exit 1";
    let id = host.submit_with(&["--retries", "2", "--backoff", "0s", "--no-tty"], &[line]);
    let mut follow = host
        .nod(&["logs", "-f", &id.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = follow.stdout.take().unwrap();
    let mut first = [0; 18];
    out.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"line 1 of try 1\nli");
    std::fs::write(host.work().join("go"), "").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let tries: String =
        (1..=3).map(|n| format!("line 1 of try {n}\nline 2 of try {n}\n")).collect();
    assert_eq!(rest, tries[18..]);
    let mut told = String::new();
    follow.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!(told, "nod: try 2 begins\nnod: try 3 begins\n");
    assert!(follow.wait().unwrap().success());
}

#[test]
fn no_line_of_a_followed_log_is_nothing() {
    let host = TestHost::start();
    let id = host.submit("echo one; sleep 6126");
    host.wait_for_state(id, StateName::Running);
    let ran = host.run(&["logs", "-f", "--head", "0", &id.to_string()]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""), "{ran:?}");
}

#[test]
fn a_reader_that_goes_away_early_is_no_accident() {
    let host = TestHost::start();
    let id = host.submit("seq 200000");
    host.wait_for_end(id);
    let nod = host.nod(&["logs", &id.to_string()]);
    let program = nod.get_program().to_string_lossy().into_owned();
    let piped = host
        .command("sh")
        .args(["-c", &format!("'{program}' logs {id} | head -n1")])
        .output()
        .unwrap();
    assert_eq!(piped.stdout, b"1\r\n");
    assert!(!String::from_utf8_lossy(&piped.stderr).contains("panic"), "{piped:?}");
}

#[test]
fn progress_is_reported_from_inside_and_a_bad_number_harms_nobody() {
    let host = TestHost::start();
    let id = host.submit(
        "nod progress abc; echo $? > bad; nod progress 40 compiling; echo $? > good; \
         while [ ! -e go ]; do sleep 0.02; done",
    );
    let progress = until("progress", || host.task(id).progress);
    assert_eq!(progress.percent, Some(40.0));
    assert_eq!(progress.message.as_deref(), Some("compiling"));
    std::fs::write(host.work().join("go"), "").unwrap();
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert_eq!(ended.progress.unwrap().percent, Some(40.0), "the end wipes no progress");
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!((read("bad"), read("good")), ("2\n".into(), "0\n".into()));
}

#[test]
fn cargo_moves_the_bar_without_knowing_of_nod() {
    let host = TestHost::start();
    let folder = host.work().join("small");
    std::fs::create_dir_all(folder.join("src")).unwrap();
    std::fs::write(
        folder.join("Cargo.toml"),
        "[package]\nname = \"small\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n",
    )
    .unwrap();
    // A build script holds the bar where it can be seen, for as long as the test needs.
    std::fs::write(folder.join("src/main.rs"), "fn main() {}\n").unwrap();
    std::fs::write(
        folder.join("build.rs"),
        "fn main() { while !std::path::Path::new(\"go\").exists() { \
         std::thread::sleep(std::time::Duration::from_millis(20)); } }\n",
    )
    .unwrap();
    let cwd = folder.to_str().unwrap();
    let id = host.submit_with(&["--cwd", cwd], &["cargo", "build", "--offline"]);
    let percent =
        until("cargo's bar", || host.task(id).progress.and_then(|progress| progress.percent));
    assert!((0.0..100.0).contains(&percent), "{percent}");
    std::fs::write(folder.join("go"), "").unwrap();
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Succeeded, "{}", host.plain_log(id));
}

#[test]
fn list_and_show_tell_the_same_as_the_protocol() {
    let host = TestHost::start();
    let failed = host.submit_with(&["--label", "失敗"], &["exit 2"]);
    let fine = host.submit_with(&["--label", "fine"], &["true"]);
    host.wait_for_end(failed);
    host.wait_for_end(fine);
    let list = host.run(&["list"]);
    assert!(list.out.contains("Failed (exit 2)") && list.out.contains("失敗"), "{list:?}");
    let json = host.run(&["list", "--json", "--state", "failed"]);
    let tasks: Vec<nod_core::task::Task> = serde_json::from_str(&json.out).unwrap();
    assert_eq!(tasks, [host.task(failed)]);
    let json = host.run(&["show", &failed.to_string(), "--json"]);
    let detail: nod_core::protocol::TaskDetail = serde_json::from_str(&json.out).unwrap();
    assert_eq!(detail, host.detail(failed));
}

#[test]
fn a_task_finds_its_own_nod_first_and_its_pager_is_cat() {
    let host = TestHost::start();
    let id = host.submit("command -v nod; echo $PAGER $GIT_PAGER $TERM; ulimit -n");
    host.wait_for_end(id);
    let log = host.plain_log(id);
    let mut lines = log.lines();
    let bin = host.data().join("bin/nod");
    assert_eq!(lines.next(), bin.to_str());
    assert_eq!(lines.next(), Some("cat cat xterm-256color"));
    let open_files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    assert_eq!(lines.next().map(str::to_owned), open_files.map(|limit| limit.to_string()));
}

#[test]
fn host_and_shim_may_open_more_files_than_their_task_which_has_what_they_began_with() {
    let home = Home::new();
    let wait = "while [ ! -e go ]; do sleep 0.02; done";
    let line = format!("ulimit -Sn > soft; ulimit -Hn > hard; touch begun; {wait}");
    let nod = home.program("nod").display().to_string();
    let mut shell = home.command("sh");
    shell.args(["-c", "ulimit -Sn 300; \"$0\" submit -- \"$1\""]).args([nod, line]);
    assert!(shell.status().unwrap().success());
    let id = nod_core::ids::TaskId(1);
    until("the task", || home.work().join("begun").exists().then_some(()));
    let limits = |pid: i32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = text.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let numbers: Vec<_> = line.split_whitespace().skip(3).take(2).map(str::to_owned).collect();
        (numbers[0].clone(), numbers[1].clone())
    };
    let process = until("the process", || home.detail(id).attempts.first()?.process);
    let read = |name: &str| std::fs::read_to_string(home.work().join(name)).unwrap();
    assert_eq!(read("soft"), "300\n");
    assert_eq!(limits(process), ("300".into(), read("hard").trim().to_owned()));
    let shim = processes::parent(process);
    let serves = |pid: &i32| {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        words.windows(7).any(|part| part == b"\0serve\0")
    };
    let host = processes::with_mark(&home.path().display().to_string()).into_iter().find(serves);
    for pid in [shim, host.expect("a host without a window")] {
        let (soft, hard) = limits(pid);
        assert!(soft == hard && soft != "300", "{soft} of {hard}");
    }
    std::fs::write(home.work().join("go"), "").unwrap();
    home.wait_for_end(id);
}

#[test]
fn a_task_has_what_its_submitter_has_but_for_what_speaks_for_that_one() {
    let host = TestHost::start();
    let line = "echo ${NO_COLOR-none} ${CI-none} ${CLAUDECODE-none} ${OWN-none} \
                $CARGO_TERM_PROGRESS_TERM_INTEGRATION; \
                [ \"$NOD_TOKEN\" = forged ] && echo leaked || echo own";
    let mut submit = host.nod(&["submit", "--", line]);
    let given = [("NO_COLOR", "1"), ("CLAUDECODE", "1"), ("OWN", "x"), ("NOD_TOKEN", "forged")];
    let said: serde_json::Value =
        serde_json::from_slice(&submit.envs(given).output().unwrap().stdout).unwrap();
    let id = nod_core::ids::TaskId(said["task_id"].as_i64().unwrap());
    host.wait_for_end(id);
    assert_eq!(host.plain_log(id), "1 none none x true\nown\n");
}

#[test]
fn what_speaks_for_an_agent_reaches_neither_the_host_it_starts_nor_a_shim_nor_a_task() {
    let home = Home::new();
    let line = "env > variables.new; mv variables.new variables; \
                while [ ! -e go ]; do sleep 0.02; done";
    let mut submit = home.nod(&["submit", "--", line]);
    // The others say where a host is, and which task this would be.
    let names = LEAKS.into_iter().filter(|name| *name == "NOD_TOKEN" || name.starts_with("CLAUDE"));
    submit.envs(names.map(|name| (name, "of-an-agent-6197"))).env("PAGER", "less");
    submit.env("GIT_PAGER", "less").env("NO_COLOR", "1");
    assert!(submit.status().unwrap().success());
    let id = nod_core::ids::TaskId(1);
    let variables =
        until("the task", || std::fs::read_to_string(home.work().join("variables")).ok());
    assert!(!variables.contains("of-an-agent-6197"), "{variables}");
    for given in ["PAGER=cat", "GIT_PAGER=cat", "NO_COLOR=1", "TERM=xterm-256color"] {
        assert!(variables.lines().any(|line| line == given), "{given}: {variables}");
    }
    assert!(!variables.lines().any(|line| line.starts_with("CI=")), "{variables}");
    // The host, the shim, and the shell are there.
    let all = processes::with_mark(&home.path().display().to_string());
    assert!(all.len() >= 3, "{all:?}");
    assert_eq!(processes::with_mark("of-an-agent-6197"), [] as [i32; 0]);
    std::fs::write(home.work().join("go"), "").unwrap();
    home.wait_for_end(id);
}

#[test]
fn a_log_can_be_followed_before_its_task_starts() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["echo started"]);
    let request = host.wait_for_request(id);
    let mut follow =
        host.nod(&["logs", "-f", &id.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    // It has connected once the host has a connection more.
    until("the follower", || {
        let pid = follow.id();
        let connected = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten().any(|fd| {
            std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket"))
        });
        connected.then_some(())
    });
    host.answer(&request, nod_core::request::Answer::Approve);
    let mut out = String::new();
    follow.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "started\r\n");
    assert!(follow.wait().unwrap().success());
}
