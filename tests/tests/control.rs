//! What can be done to a running task, and what its submit can ask for: pause, input, limits.

use std::io::Write as _;
use std::process::Stdio;

use nod_core::progress::Source;
use nod_core::protocol::{Call, Reply, TypeIn};
use nod_core::task::{Outcome, StateName, TaskState};
use nod_tests::{Home, TestHost, processes, until};

const COUNT: &str = "i=0; while [ ! -e go ]; do i=$((i+1)); echo $i > count; sleep 0.01; done";

fn count(host: &TestHost) -> String {
    std::fs::read_to_string(host.work().join("count")).unwrap_or_default()
}

fn counts(host: &TestHost) {
    let before = count(host);
    until("it counts", || (!count(host).is_empty() && count(host) != before).then_some(()));
}

fn halted(line: &str) {
    until("all halt", || {
        let pids = processes::with_mark(line);
        (!pids.is_empty() && pids.into_iter().all(processes::is_halted)).then_some(())
    });
}

#[test]
fn a_paused_task_says_so_everywhere_and_goes_on_when_it_is_resumed() {
    let host = TestHost::start();
    let id = host.submit_with(&["--env", "MARK=7301"], &[COUNT]);
    let word = id.to_string();
    counts(&host);
    // It may count before its host has heard of the start.
    host.wait_for_state(id, StateName::Running);
    let ran = host.run(&["pause", &word]);
    assert_eq!((ran.code, ran.out.trim()), (Some(0), format!("task {id}: Paused").as_str()));
    assert!(host.run(&["list"]).out.contains("Paused"));
    assert!(host.run(&["show", &word]).out.contains("Paused"));
    assert_eq!(host.state(id), StateName::Running);
    let process = host.detail(id).attempts[0].process.unwrap();
    until("it halts", || processes::is_halted(process).then_some(()));
    let ran = host.run(&["resume", &word]);
    assert_eq!(ran.out.trim(), format!("task {id}: Running"));
    counts(&host);
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let events: Vec<_> = host.detail(id).events.into_iter().map(|event| event.what).collect();
    assert!(events.contains(&"paused".into()) && events.contains(&"resumed".into()), "{events:?}");
    let late = host.run(&["pause", &word]);
    assert_eq!(late.code, Some(1));
    assert!(late.err.contains("Succeeded"), "{late:?}");
}

#[test]
fn a_pause_outlives_its_host_and_a_paused_task_can_be_cancelled() {
    let mut host = TestHost::start();
    let id = host.submit("sleep 7302; true");
    host.wait_for_state(id, StateName::Running);
    assert_eq!(host.run(&["pause", &id.to_string()]).code, Some(0));
    host.kill();
    host.restart();
    assert_eq!(host.task(id).words(), "Paused");
    halted("sleep\u{0}7302");
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Cancelled);
    assert!(!ended.condition.paused);
    assert!(processes::with_mark("sleep\u{0}7302").is_empty());
}

#[test]
fn a_time_limit_goes_on_through_a_pause() {
    let host = TestHost::start();
    let id = host.submit_with(&["--timeout", "1s"], &["sleep 7303"]);
    host.wait_for_state(id, StateName::Running);
    assert_eq!(host.run(&["pause", &id.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::TimedOut));
}

#[test]
fn an_interactive_task_reads_what_is_typed() {
    let host = TestHost::start();
    let line =
        "test -t 0 && echo terminal; read a; echo got $a; read b; echo then $b; read c || echo end";
    let id = host.submit_with(&["-i"], &[line]);
    host.wait_for_state(id, StateName::Running);
    let typed = host.run(&["stdin", &id.to_string(), "--line", "one"]);
    assert_eq!(typed.code, Some(0), "{typed:?}");
    let mut nod = host.nod(&["stdin", &id.to_string(), "--eof"]);
    let mut piped = nod.stdin(Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"two\n").unwrap();
    assert!(piped.wait().unwrap().success());
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let log = host.plain_log(id);
    for expected in ["terminal\n", "got one\n", "then two\n", "end\n"] {
        assert!(log.contains(expected), "{log}");
    }
}

#[test]
fn only_an_interactive_task_of_the_own_session_takes_input() {
    let host = TestHost::start();
    let plain = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let theirs = host.submit_with(&["-i", "--session", "theirs"], &["read it; echo got $it"]);
    for id in [plain, theirs] {
        host.wait_for_state(id, StateName::Running);
    }
    let refused = host.run(&["stdin", &plain.to_string(), "--line", "x"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("submit it with -i"), "{refused:?}");
    for session in [&[][..], &["--session", "mine"]] {
        let word = theirs.to_string();
        let words = [&["stdin", &word, "--line", "x"], session].concat();
        let refused = host.run(&words);
        assert_eq!(refused.code, Some(77), "{refused:?}");
        assert!(refused.err.contains("another session"), "{refused:?}");
    }
    let words = ["stdin", &theirs.to_string(), "--line", "x", "--session", "theirs"];
    assert_eq!(host.run(&words).code, Some(0));
    assert_eq!(host.wait_for_end(theirs).state.name(), StateName::Succeeded);
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_call_that_types_too_much_is_refused() {
    let host = TestHost::start();
    let id = host.submit_with(&["-i"], &["read it"]);
    host.wait_for_state(id, StateName::Running);
    let data = "A".repeat(64 * 1024);
    let refused =
        host.connect().call(&Call::Input(TypeIn { operation: None, id, data, session: None }));
    assert!(refused.unwrap_err().to_string().contains("too long"));
    let reply =
        host.call(&Call::Input(TypeIn { operation: None, id, data: "Cg==".into(), session: None }));
    assert_eq!(reply, Reply::Done);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}

#[test]
fn the_grace_of_one_task_is_its_own() {
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 600000\n"));
    let id = host.submit_with(
        &["--grace", "100ms"],
        &["trap '' INT TERM; touch ready; while :; do sleep 0.02; done"],
    );
    until("ready", || host.work().join("ready").exists().then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    assert_eq!(host.task(id).options.grace_ms, Some(100));
}

#[test]
fn what_a_task_leaves_goes_on_where_that_was_asked_for() {
    let host = TestHost::start();
    let line = "sleep 7304 & until grep -q sleep /proc/$!/comm; do :; done; echo $! > pid";
    let id = host.submit_with(&["--keep-children", "--no-tty"], &[line]);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let pid: i32 =
        std::fs::read_to_string(host.work().join("pid")).unwrap().trim().parse().unwrap();
    assert!(processes::is_alive(pid));
    let left = host.detail(id).attempts.pop().unwrap().left;
    assert_eq!(left, [format!("sleep ({pid}), left alone")]);
    processes::kill_9(pid);
}

#[test]
fn a_direct_task_writes_its_log_by_itself_and_is_followed() {
    let host = TestHost::start();
    let line = "echo one; while [ ! -e go ]; do sleep 0.02; done; readlink /proc/self/fd/1";
    let id = host.submit_with(&["--direct"], &[line]);
    let mut nod = host.nod(&["logs", "-f", &id.to_string()]);
    let follow = nod.stdout(Stdio::piped()).spawn().unwrap();
    until("the first line", || {
        let log = host.detail(id).log_path.and_then(|path| std::fs::read(path).ok());
        (log.as_deref() == Some(b"one\n")).then_some(())
    });
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    let followed = follow.wait_with_output().unwrap().stdout;
    let path = host.detail(id).log_path.unwrap();
    let real = std::fs::canonicalize(path).unwrap();
    assert_eq!(String::from_utf8(followed).unwrap(), format!("one\n{}\n", real.display()));
}

/// Numbered lines of 16 bytes, 8 MiB of them.
const LINES: &str = "import sys
for i in range(0, 524288, 4096):
    sys.stdout.write(''.join('%015d\\n' % n for n in range(i, i + 4096)))";

#[test]
fn a_bounded_log_is_read_with_its_gap_and_by_its_own_offsets() {
    let host = TestHost::start();
    let options = ["--log-limit", "512KiB", "--no-tty"];
    let id = host.submit_with(&options, &["python3", "-c", LINES]);
    host.wait_for_end(id);
    let word = id.to_string();
    use std::os::unix::fs::MetadataExt as _;
    let data = std::fs::metadata(host.detail(id).log_path.unwrap()).unwrap();
    assert_eq!(data.len(), 8 << 20);
    assert!(data.blocks() * 512 <= (512 << 10) + 8192, "{} blocks", data.blocks());

    let raw = host.run(&["logs", &word]);
    assert!(raw.out.starts_with("000000000000000\n") && raw.out.ends_with("000000000524287\n"));
    assert!(raw.err.contains("MiB of output are gone here"), "{}", raw.err);
    assert!(!raw.out.contains('\0'));
    let plain = host.run(&["logs", "--plain", &word]);
    assert!(plain.out.contains("\n[7.5 MiB of output are gone here"), "{}", plain.out.len());
    let range = host.run(&["logs", &word, "--range", "8388576..8388592"]);
    assert_eq!(range.out, "000000000524286\n");
    assert_eq!(host.run(&["logs", &word, "--tail", "2"]).out, "000000000524286\n000000000524287\n");
    assert_eq!(host.run(&["logs", &word, "--head", "1"]).out, "000000000000000\n");
}

#[test]
fn who_follows_too_slowly_is_shown_each_gap_and_the_rest_whole() {
    let host = TestHost::start();
    let script = format!(
        "import os, time\nprint('%015d' % 0, flush=True)
while not os.path.exists('go'): time.sleep(0.01)\n{LINES}"
    );
    let options = ["--log-limit", "256KiB", "--no-tty"];
    let id = host.submit_with(&options, &["python3", "-c", &script]);
    let (followed, gaps) = (host.path().join("followed"), host.path().join("gaps"));
    let mut follower = host.nod(&["logs", "-f", &id.to_string()]);
    follower.stdout(std::fs::File::create(&followed).unwrap());
    let mut follower = follower.stderr(std::fs::File::create(&gaps).unwrap()).spawn().unwrap();
    until("the beginning", || {
        std::fs::metadata(&followed).ok().filter(|file| file.len() == 16).map(drop)
    });
    let pid = follower.id().cast_signed();
    processes::stop(pid);
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    processes::go_on(pid);
    assert!(follower.wait().unwrap().success());
    let text = std::fs::read_to_string(&followed).unwrap();
    let gaps = std::fs::read_to_string(&gaps).unwrap();
    assert!(!text.contains('\0') && gaps.contains("of output are gone here"), "{gaps}");
    assert!(text.len() < 8 << 20 && text.ends_with("000000000524287\n"));
    // What is left is in order; where a part is gone, two halves may be one line.
    let numbers: Vec<Option<u32>> =
        text.lines().map(|line| (line.len() == 15).then(|| line.parse().ok()).flatten()).collect();
    let torn = numbers.iter().filter(|number| number.is_none()).count();
    assert!(torn <= gaps.lines().count(), "{torn} torn lines and {gaps}");
    let whole: Vec<u32> = numbers.into_iter().flatten().collect();
    // The line that was there at first, and then those that are counted from 0.
    let [0, whole @ ..] = whole.as_slice() else { panic!("it begins otherwise: {text:.100}") };
    assert!(whole.is_sorted());
    let steps = whole.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(steps <= 2 * gaps.lines().count(), "{steps} steps and {gaps}");
}

#[test]
fn the_limit_of_the_config_file_holds_and_a_task_can_have_none() {
    let host = TestHost::start_in(Home::new().with_config("[output]\nlimit_mib = 1\n"));
    let bounded = host.submit_with(&["--no-tty"], &["python3", "-c", LINES]);
    let whole = host.submit_with(&["--no-tty", "--log-limit", "0"], &["python3", "-c", LINES]);
    use std::os::unix::fs::MetadataExt as _;
    for (id, expected) in [(bounded, true), (whole, false)] {
        host.wait_for_end(id);
        let data = std::fs::metadata(host.detail(id).log_path.unwrap()).unwrap();
        assert_eq!(data.blocks() * 512 < 2 << 20, expected);
    }
    let refused = host.run(&["submit", "--log-limit", "10KiB", "--", "true"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
}

#[test]
fn a_task_that_ignores_every_polite_signal_is_killed_and_named_until_then() {
    let host = TestHost::start_in(Home::new().with_config("[cancel]\ngrace_ms = 300\n"));
    let id = host.submit(r#"trap "" TERM INT; touch ready; sleep 7305"#);
    until("ready", || host.work().join("ready").exists().then_some(()));
    assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    let mut named = vec![];
    until("the end", || {
        let state = host.task(id).state;
        if let TaskState::Stopping { stage: Some(stage), .. } = &state {
            named.extend(stage.waits_for.clone());
        }
        state.outcome().map(drop)
    });
    assert!(named.iter().any(|name| name.starts_with("sh (")), "{named:?}");
    assert_eq!(host.task(id).state.name(), StateName::Cancelled);
    assert!(processes::with_mark("sleep\u{0}7305").is_empty());
}

#[test]
fn a_silent_task_that_seems_to_ask_says_so_until_it_goes_on() {
    let host = TestHost::start_in(Home::new().with_config("[output]\nsilence_ms = 300\n"));
    let line =
        "printf 'Overwrite? (y/n) '; read a; echo $a; while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit_with(&["-i"], &[line]);
    let silent = host.submit("echo working; while [ ! -e go ]; do sleep 0.02; done");
    let prompt = until("the prompt", || host.task(id).condition.prompt);
    assert_eq!(prompt, "Overwrite? (y/n)");
    assert!(host.run(&["list"]).out.contains("Needs input"));
    assert!(host.run(&["show", &id.to_string()]).out.contains("Overwrite?"));
    assert_eq!(host.run(&["stdin", &id.to_string(), "--line", "y"]).code, Some(0));
    until("it goes on", || host.task(id).condition.prompt.is_none().then_some(()));
    std::fs::write(host.work().join("go"), "").unwrap();
    for id in [id, silent] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    }
    let asked = |id| host.detail(id).events.iter().filter(|it| it.what == "needs_input").count();
    assert_eq!((asked(id), asked(silent)), (1, 0), "silence alone is no question");
}

#[test]
fn a_prompt_is_told_once_however_many_hosts_see_it() {
    let mut host = TestHost::start_in(Home::new().with_config("[output]\nsilence_ms = 100\n"));
    let id = host.submit("printf 'Continue? '; while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let prompt = until("the prompt", || host.task(id).condition.prompt);
    for _ in 0..2 {
        host.kill();
        host.restart();
        assert_eq!(host.task(id).condition.prompt.as_ref(), Some(&prompt));
    }
    // What its shim says first, to a host that is new to it, is heard before its end.
    std::fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 3)");
    let told = host.detail(id).events.into_iter().map(|event| event.what);
    let told: Vec<_> = told.filter(|what| what == "needs_input" || what == "goes_on").collect();
    assert_eq!(told, ["needs_input"]);
}

#[test]
fn a_bar_that_is_drawn_moves_and_what_the_task_reports_is_believed_more() {
    let host = TestHost::start();
    let line = r"printf '\rrows:  10%%|#   | 1/10'; while [ ! -e one ]; do sleep 0.02; done; \
                 printf '\rrows:  40%%|##  | 4/10'; while [ ! -e two ]; do sleep 0.02; done; \
                 nod progress --phase link --total 8 --done 2 a.o; printf '\rrows:  90%%|###'; \
                 while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit(line);
    let until_percent = |percent: f64| {
        until("the bar", || host.task(id).progress.filter(|it| it.percent == Some(percent)))
    };
    assert_eq!(until_percent(10.0).source, Source::Output);
    std::fs::write(host.work().join("one"), "").unwrap();
    until_percent(40.0);
    std::fs::write(host.work().join("two"), "").unwrap();
    let reported = until_percent(25.0);
    assert_eq!(
        (reported.source, reported.message.as_deref()),
        (Source::Reported, Some("link: a.o"))
    );
    until("the last drawing", || host.plain_log(id).contains("90%").then_some(()));
    assert_eq!(host.task(id).progress, Some(reported));
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

#[test]
fn no_question_no_answer_and_no_pause_wipes_the_bar() {
    let mut host = TestHost::start();
    let wait = "while [ ! -e go ]; do sleep 0.02; done";
    let id = host.submit(&format!("nod progress 40 compiling; nod ask 'Go on?'; {wait}; exit 3"));
    let request = host.wait_for_request(id);
    let bar = |host: &TestHost, when: &str| {
        let progress = host.task(id).progress.unwrap_or_else(|| panic!("no bar {when}"));
        let said = (progress.percent, progress.message.as_deref());
        assert_eq!(said, (Some(40.0), Some("compiling")), "{when}");
    };
    host.wait_for_state(id, StateName::Waiting);
    bar(&host, "while it asks");
    host.answer(&request, nod_core::request::Answer::Approve);
    host.wait_for_state(id, StateName::Running);
    bar(&host, "after the answer");
    let word = id.to_string();
    for (verb, halted) in [("pause", true), ("resume", false)] {
        assert_eq!(host.run(&[verb, &word]).code, Some(0));
        until(verb, || (host.task(id).condition.paused == halted).then_some(()));
        bar(&host, verb);
    }
    // The next host knows it from the history, where it is with what was stored after it.
    host.stop();
    host.restart();
    bar(&host, "under the next host");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    bar(&host, "at the end");
}

#[test]
fn what_tasks_printed_is_found_in_one_log_and_in_all() {
    let host = TestHost::start();
    let first =
        host.submit(r"printf 'start\n\033[31merror\033[0m: disk\n'; seq 100000; echo needle one");
    host.wait_for_end(first);
    let running = host.submit("echo needle two; while [ ! -e go ]; do sleep 0.02; done");
    until("output", || {
        let log = std::fs::read_to_string(host.detail(running).log_path?).ok()?;
        log.contains("two").then_some(())
    });
    let all = host.run(&["search", "needle"]);
    let offset = host.log(first).len() - "needle one\r\n".len();
    assert_eq!(
        all.out,
        format!("{running}.1:0:needle two\n{first}.1:{offset}:needle one\n"),
        "{all:?}"
    );
    let range = format!("{offset}..");
    let found = host.run(&["logs", &first.to_string(), "--range", &range]);
    assert_eq!(found.out, "needle one\r\n");
    let one = host.run(&["search", "ERROR: disk".to_lowercase().as_str(), &first.to_string()]);
    assert_eq!(one.out, format!("{first}.1:7:error: disk\n"));
    let pattern = host.run(&["search", "-e", "^9999[0-8]$", &first.to_string(), "--limit", "4"]);
    assert_eq!(pattern.out.lines().count(), 4);
    let tries = host.submit_with(
        &["--no-tty", "--retries", "2", "--backoff", "0s"],
        &["if [ $NOD_ATTEMPT = 3 ]; then echo the last try has other text; exit 0; fi; \
           echo padding; echo try-$NOD_ATTEMPT; exit 1"],
    );
    assert_eq!(host.wait_for_end(tries).state.name(), StateName::Succeeded);
    let word = tries.to_string();
    for attempt in ["1", "2"] {
        let text = format!("try-{attempt}");
        let found = host.run(&["search", &text]);
        assert_eq!(found.out, format!("{tries}.{attempt}:8:{text}\n"));
        // Each where it was found, however it is read.
        for options in [["--range", "8.."], ["--tail", "1"]] {
            let of_it = ["logs", &word, "--attempt", attempt, options[0], options[1]];
            assert_eq!(host.run(&of_it).out, format!("{text}\n"));
        }
        let whole = host.run(&["logs", &word, "--attempt", attempt, "--plain"]);
        assert_eq!(whole.out, format!("padding\n{text}\n"));
    }
    let followed = host.run(&["logs", &word, "--attempt", "2", "-f"]);
    assert_eq!(followed.out, "padding\ntry-2\nthe last try has other text\n");
    assert_eq!(host.run(&["logs", &word]).out, "the last try has other text\n");
    let never = host.run(&["logs", &word, "--attempt", "4", "-f"]);
    assert_eq!(never.code, Some(1), "{never:?}");
    assert!(never.err.contains("has no try 4"), "{never:?}");
    let nothing = host.run(&["search", "nowhere"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(1), ""));
    let wrong = host.run(&["search", "-e", "("]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
}
