//! Verbs on many tasks: cancel by what they are, remove, submit from a file, watch.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use nod_core::ids::TaskId;
use nod_core::protocol::Call;
use nod_core::task::{QueueReason, StateName, TaskState};
use nod_tests::{Home, TestHost, until};

fn said(host: &TestHost, words: &[&str]) -> String {
    let ran = host.run(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran.out
}

#[test]
fn a_cancel_by_group_kind_session_or_all_says_how_many_it_met() {
    let home = Home::new().with_config("[groups.b]\n[kinds.k]\nargv = [\"sleep\", \"600\"]\n");
    let host = TestHost::start_in(home);
    let in_group = host.submit_with(&["--group", "b"], &["sleep", "600"]);
    let in_session = host.submit_with(&["--session", "s"], &["sleep", "600"]);
    said(&host, &["submit", "--kind", "k"]);
    let queued = host.submit_with(&["--delay", "1h"], &["true", "x"]);
    let ended = host.submit("true");
    host.wait_for_end(ended);
    let cases: [(&[&str], &str); 6] = [
        (&["cancel", "--group", "none"], "0\n"),
        (&["cancel", "--group", "b"], "1\n"),
        (&["cancel", "--session", "s"], "1\n"),
        (&["cancel", "--kind", "k"], "1\n"),
        (&["cancel", "--all"], "1\n"),
        (&["cancel", "--all"], "0\n"),
    ];
    for (words, expected) in cases {
        assert_eq!(said(&host, words), expected, "{words:?}");
    }
    for id in [in_group, in_session, queued] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled);
    }
    assert_eq!(host.run(&["cancel"]).code, Some(2));
    assert_eq!(host.run(&["cancel", "1", "--all"]).code, Some(2));
}

#[test]
fn what_is_removed_is_gone_with_its_output_and_its_number_is_not_given_again() {
    let mut host = TestHost::start();
    let id = host.submit("echo something");
    host.wait_for_end(id);
    let log = host.detail(id).log_path.unwrap();
    let own = host.submit_with(&["--session", "mine"], &["true", "x"]);
    host.wait_for_end(own);
    assert_eq!(said(&host, &["remove", &id.to_string()]), format!("task {id}: removed\n"));
    assert_eq!(host.run(&["show", &id.to_string()]).code, Some(1));
    nod_tests::until("the files to go", || (!std::path::Path::new(&log).exists()).then_some(()));
    assert!(!said(&host, &["list", "--search", "something"]).contains("something"));
    let refused = host.run(&["remove", &own.to_string()]);
    assert!(refused.code == Some(77) && refused.err.contains("--session"), "{refused:?}");
    said(&host, &["remove", &own.to_string(), "--session", "mine"]);
    host.kill();
    host.restart();
    assert_eq!(host.tasks().len(), 0);
    let next = host.submit("true");
    assert_eq!(next.0, own.0 + 1);
}

#[test]
fn a_file_submits_a_task_for_each_line_in_their_order() {
    let host = TestHost::start();
    let file = host.work().join("tasks.jsonl");
    let mut lines = String::new();
    for n in 0..1_200 {
        let line = serde_json::json!({"command": ["true", n.to_string()], "label": n.to_string()});
        lines.push_str(&format!("{line}\n"));
    }
    lines.push_str(
        "\n{\"command\": \"echo $X > x\", \"env\": {\"X\": \"from the file\"}, \"timeout\": \"1m\"}\n",
    );
    std::fs::write(&file, lines).unwrap();
    let out = said(&host, &["submit", "--from", file.to_str().unwrap()]);
    let ids: Vec<i64> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|said| said["task_id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, (1..=1_201).collect::<Vec<_>>());
    assert_eq!(host.wait_for_end(TaskId(1_200)).label.as_deref(), Some("1199"));
    assert_eq!(host.wait_for_end(TaskId(1_201)).timeout_ms, Some(60_000));
    assert_eq!(std::fs::read_to_string(host.work().join("x")).unwrap(), "from the file\n");
    for id in 1..=1_200 {
        assert_eq!(host.wait_for_end(TaskId(id)).state.name(), StateName::Succeeded);
    }
}

#[test]
fn a_mistake_in_any_line_of_a_file_is_named_and_starts_nothing() {
    let host = TestHost::start();
    let file = host.work().join("tasks.jsonl");
    let path = file.to_str().unwrap();
    let cases = [
        ("{\"command\": \"true\"}\n{\"comand\": \"x\"}\n", "line 2: unknown field `comand`"),
        ("{\"command\": \"true\"}\nnot json\n", "line 2: expected"),
        ("{\"command\": \"true\", \"timeout\": \"soon\"}\n", "line 1: write a duration"),
        ("{\"label\": \"nothing to run\"}\n", "line 1: no command"),
        ("{\"command\": \"true\", \"cwd\": \"/no/such\"}\n", "/no/such"),
    ];
    for (text, expected) in cases {
        std::fs::write(&file, text).unwrap();
        let refused = host.run(&["submit", "--from", path]);
        assert!(refused.code == Some(2) && refused.err.contains(expected), "{refused:?}");
    }
    assert_eq!(host.tasks().len(), 0);
    // What only the host can know is said line by line; the others are taken.
    let text = "{\"command\": \"true\"}\n{\"command\": \"true\", \"group\": \"nope\"}\n\
                {\"command\": \"true\"}\n";
    std::fs::write(&file, text).unwrap();
    let ran = host.run(&["submit", "--from", path]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("tasks.jsonl line 2: no group is named `nope`"), "{ran:?}");
    assert_eq!(ran.out.lines().count(), 2);
    assert_eq!(host.run(&["submit", "--from", "/no/such/file"]).code, Some(2));
}

#[test]
fn a_line_that_fits_into_no_message_or_is_no_text_is_named_and_starts_nothing() {
    let host = TestHost::start();
    let file = host.work().join("tasks.jsonl");
    let good = b"{\"command\": \"true\"}\n".repeat(600);
    let long = serde_json::json!({"command": ["true", "x".repeat(1 << 20)]}).to_string();
    let cases: [(&[u8], &str); 3] = [
        (long.as_bytes(), "line 601: it takes 10"),
        (b"{\"command\": \"\xff\xfe\"}", "line 601: invalid utf-8 sequence"),
        (b"{\"command\": \"\0\"}", "line 601: "),
    ];
    for (line, expected) in cases {
        std::fs::write(&file, [&good, line, b"\r\n", &good].concat()).unwrap();
        let refused = host.run(&["submit", "--from", file.to_str().unwrap()]);
        assert!(refused.code == Some(2) && refused.err.contains(expected), "{refused:?}");
    }
    assert_eq!(host.count_of_tasks(), 0);
    // A line that is too long for one task and not for a message is refused by itself.
    let long = serde_json::json!({"command": ["true", "x".repeat(200_000)]}).to_string();
    std::fs::write(&file, [&good[..19], b"\n", long.as_bytes(), b"\n", &good[..19]].concat())
        .unwrap();
    let ran = host.run(&["submit", "--from", file.to_str().unwrap()]);
    assert!(ran.code == Some(2) && ran.err.contains("line 2: the command is too long"), "{ran:?}");
    assert_eq!((ran.out.lines().count(), host.count_of_tasks()), (2, 2));
}

#[test]
fn ten_thousand_lines_are_ten_thousand_tasks_and_one_cancel() {
    let host = TestHost::start();
    let line = |n: u32| format!("{{\"command\": [\"true\", \"{n}\"], \"delay\": \"1h\"}}\n");
    let file = host.work().join("tasks.jsonl");
    std::fs::write(&file, (0..10_000).map(line).collect::<String>()).unwrap();
    let out = said(&host, &["submit", "--from", file.to_str().unwrap()]);
    let ids = out.lines().map(|line| {
        let said: serde_json::Value = serde_json::from_str(line).unwrap();
        said["task_id"].as_i64().unwrap()
    });
    assert!(ids.eq(1..=10_000));
    assert_eq!(host.task(TaskId(10_000)).command.argv(), ["true", "9999"]);
    assert_eq!(said(&host, &["cancel", "--all"]), "10000\n");
    assert_eq!(host.count_of_tasks(), 10_000);
    assert_eq!(host.state(TaskId(5_000)), StateName::Cancelled);
}

struct Watching {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watching {
    fn start(host: &TestHost, words: &[&str]) -> Self {
        let mut child = host.nod(words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Returns the events up to the first of this name.
    fn until(&mut self, name: &str) -> Vec<serde_json::Value> {
        let mut seen: Vec<serde_json::Value> = vec![];
        while seen.last().is_none_or(|event| event["event"] != name) {
            let line = self.lines.next().expect("more events").unwrap();
            seen.push(serde_json::from_str(&line).unwrap());
        }
        seen
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_watch_resumes_where_it_was_and_outlives_its_host() {
    let mut host = TestHost::start();
    let first = host.submit("true");
    host.wait_for_end(first);
    let all = Watching::start(&host, &["watch", "--since", "0"]).until("succeeded");
    let numbers: Vec<_> = all.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert_eq!(all[0]["event"], "submitted");
    assert_eq!(all[0]["task_id"], first.0);
    let half = numbers[numbers.len() / 2];
    let mut watching = Watching::start(&host, &["watch", "--since", &half.to_string()]);
    let rest = watching.until("succeeded");
    assert_eq!(rest, all[all.len() - rest.len()..]);
    assert_eq!(rest[0]["seq"].as_u64().unwrap(), half + 1);
    host.kill();
    host.restart();
    let second = host.submit("exit 1");
    let later = watching.until("failed");
    assert_eq!(later[0]["seq"].as_u64().unwrap(), numbers.len() as u64 + 1);
    assert!(later.iter().all(|event| event["task_id"] == second.0), "{later:?}");
    let ahead = host.run(&["watch", "--since", "100000"]);
    assert!(ahead.code == Some(2) && ahead.err.contains("the last one is"), "{ahead:?}");
}

#[test]
fn a_watch_goes_on_across_what_was_removed_and_the_gap_shows_in_the_numbers() {
    let mut host = TestHost::start();
    let mut tasks = vec![];
    for n in 0..3 {
        let id = host.submit_with(&[], &["true", &n.to_string()]);
        host.wait_for_end(id);
        tasks.push(id);
    }
    let mut watching = Watching::start(&host, &["watch", "--since", "0"]);
    let all: Vec<_> = (0..3).flat_map(|_| watching.until("succeeded")).collect();
    said(&host, &["remove", &tasks[1].to_string()]);
    let removed = watching.until("removed");
    let number = |event: &serde_json::Value| event["seq"].as_u64().unwrap();
    let gone: Vec<_> =
        all.iter().filter(|event| event["task_id"] == tasks[1].0).map(number).collect();
    assert!(gone.len() > 2, "{all:?}");
    for _ in 0..2 {
        for since in [0, gone[0], gone[1], *gone.last().unwrap()] {
            let seen =
                Watching::start(&host, &["watch", "--since", &since.to_string()]).until("removed");
            let expected = all.iter().chain(&removed);
            let expected = expected
                .filter(|event| number(event) > since && !gone.contains(&number(event)))
                .cloned()
                .collect::<Vec<_>>();
            assert_eq!(seen, expected, "since {since}");
        }
        host.kill();
        host.restart();
    }
    // Who watched all the while sees what comes next, and nothing twice.
    let next = host.submit("true");
    let later = watching.until("succeeded");
    assert!(later.iter().all(|event| event["task_id"] == next.0), "{later:?}");
    assert_eq!(number(&later[0]), number(removed.last().unwrap()) + 1);
}

/// What speaks for the calling task, and says that there is none.
const INSIDE: [&[&str]; 7] = [
    &["progress", "4"],
    &["await", "k"],
    &["inbox"],
    &["tell", "x"],
    &["result", "1"],
    &["fail", "x"],
    &["cancelled"],
];

/// Returns what cannot be done to a task that runs, to one that has ended, and to none, and what
/// is said of it.
fn impossible<'a>(running: &'a str, ended: &'a str) -> Vec<(Vec<&'a str>, &'static str)> {
    let none = "no task has id 99";
    vec![
        (vec!["edit", running, "--priority", "1"], "is Running: only a queued task"),
        (vec!["edit", ended, "--priority", "1"], "is Succeeded: only a queued task"),
        (vec!["edit", "99", "--priority", "1"], none),
        (vec!["retry", running], "is Running: only a task that has ended"),
        (vec!["retry", "99"], none),
        (vec!["remove", running], "is Running: cancel it first"),
        (vec!["remove", "99"], none),
        (vec!["deadline", ended, "1m"], "is Succeeded"),
        (vec!["deadline", "99", "1m"], none),
        (vec!["cancel", ended], "is Succeeded"),
        (vec!["cancel", "99"], none),
        (vec!["pause", ended], "is Succeeded: only a running task"),
        (vec!["pause", "99"], none),
        (vec!["resume", ended], "is Succeeded: only a running task"),
        (vec!["resume", "99"], none),
        (vec!["stdin", ended, "--line", "x"], "is Succeeded: nobody reads"),
        (vec!["stdin", running, "--line", "x"], "submit it with -i"),
        (vec!["stdin", "99", "--line", "x"], none),
        (vec!["feedback", ended, "x"], "is Succeeded: it reads no message"),
        (vec!["feedback", "99", "x"], none),
        (vec!["notify", ended, "k"], "is Succeeded: it takes no signal"),
        (vec!["notify", "99", "k"], none),
        (vec!["show", "99"], none),
        (vec!["logs", "99"], none),
        (vec!["logs", "-f", "99"], none),
        (vec!["wait", "99"], none),
        (vec!["search", "x", "99"], none),
        (vec!["run-again", "99"], none),
        (vec!["audit", "99"], none),
        (vec!["submit", "--after", "99", "--", "true"], none),
        (vec!["submit", "--kind", "nope"], "no kind is named `nope`"),
        (vec!["submit", "--group", "nope", "--", "true"], "no group is named `nope`"),
        (vec!["group", "pause", "nope"], "no group is named `nope`"),
        (vec!["group", "remove", "default"], "default"),
        (vec!["watch", "--since", "999999"], "there is no event 999999 yet"),
    ]
}

#[test]
fn the_list_of_what_verbs_say_of_a_task_is_whole() {
    let host = TestHost::start();
    // No task and no state is a matter of these.
    let others = ["ask", "list", "rules", "serve", "stop", "doctor", "help"];
    let cases = impossible("1", "2");
    let verbs = cases.iter().map(|(words, _)| words[0]).chain(INSIDE.map(|words| words[0]));
    let known: BTreeSet<_> = verbs.chain(["approve", "deny"]).chain(others).collect();
    let help = host.run(&["--help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.map_while(|line| line.split_whitespace().next()).collect::<BTreeSet<_>>();
    assert!(listed.len() > 30, "{help}");
    assert_eq!(listed.difference(&known).collect::<Vec<_>>(), [] as [&&str; 0]);
}

#[test]
fn every_verb_says_of_a_wrong_state_which_one_it_is_and_of_no_task_that_there_is_none() {
    let host = TestHost::start();
    let running = host.submit_with(&[], &["sleep", "600"]);
    let ended = host.submit("true");
    host.wait_for_state(running, StateName::Running);
    host.wait_for_end(ended);
    let (running, ended) = (running.to_string(), ended.to_string());
    for (words, expected) in impossible(&running, &ended) {
        let ran = host.run(&words);
        assert!(matches!(ran.code, Some(1 | 2)), "{words:?}: {ran:?}");
        assert!(ran.err.contains(expected), "{words:?}: {ran:?}");
    }
    for words in INSIDE {
        let ran = host.run(words);
        assert_eq!(ran.code, Some(2), "{words:?}: {ran:?}");
        assert!(ran.err.contains("works only inside a task"), "{words:?}: {ran:?}");
    }
    for words in [["approve", "99"], ["deny", "99"]] {
        let ran = host.run(&words);
        assert_eq!(ran.code, Some(77), "{words:?}: {ran:?}");
    }
    let unusable: [&[&str]; 6] = [
        &["edit", &running],
        &["edit", "x", "--priority", "1"],
        &["deadline", &running, "soon"],
        &["group", "add", "a b", "--slots", "1"],
        &["group", "add", "a", "--slots", "0"],
        &["watch", "--since", "x"],
    ];
    for words in unusable {
        let ran = host.run(words);
        assert!(ran.code == Some(2) && !ran.err.is_empty(), "{words:?}: {ran:?}");
    }
}

#[test]
fn an_edit_takes_away_what_a_submit_asked_for() {
    let home = Home::new().with_config("[resources]\ngpu = 1\n[groups.default]\nslots = 9\n");
    let host = TestHost::start_in(home);
    let first = host.submit_with(&["--uses", "gpu"], &["while [ ! -e go ]; do sleep 0.02; done"]);
    host.wait_for_state(first, StateName::Running);
    let options = ["--uses", "gpu", "--timeout", "1h", "--after", &first.to_string()];
    let id = host.submit_with(&options, &["true"]);
    let word = id.to_string();
    said(&host, &["edit", &word, "--no-timeout"]);
    assert_eq!(host.task(id).timeout_ms, None);
    said(&host, &["edit", &word, "--no-uses"]);
    assert!(host.task(id).schedule.uses.is_empty());
    assert_eq!(host.state(id), StateName::Queued);
    said(&host, &["edit", &word, "--no-after"]);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let both = host.run(&["edit", &word, "--no-uses", "--uses", "gpu"]);
    assert_eq!(both.code, Some(2), "{both:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_group_that_leaves_the_config_file_stays_paused_and_is_shown_until_its_tasks_are_over() {
    let with = "[groups.one]\nslots = 1\n[groups.two]\nslots = 2\n";
    let host = TestHost::start_in(Home::new().with_config(with));
    said(&host, &["group", "pause", "one"]);
    let held = host.submit_with(&["--group", "one"], &["true"]);
    let line = "while [ ! -e go ]; do sleep 0.02; done";
    let running = host.submit_with(&["--group", "two"], &[line]);
    host.wait_for_state(running, StateName::Running);
    std::fs::write(host.data().join("config.toml"), "").unwrap();
    let shown = || host.run(&["group", "list"]).out;
    until("the change", || {
        host.run(&["submit", "--group", "two", "--", "true"]).code.filter(|it| *it == 1 || *it == 2)
    });
    for name in ["one", "two"] {
        assert!(shown().lines().any(|line| line.starts_with(name)), "{}", shown());
    }
    let refused = host.run(&["submit", "--group", "one", "--", "true"]);
    assert!(refused.err.contains("no group"), "{refused:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(running);
    assert_eq!(host.task(held).state, TaskState::Queued { reason: QueueReason::Paused });
    assert!(!shown().lines().any(|line| line.starts_with("two")), "{}", shown());
    said(&host, &["group", "resume", "one"]);
    assert_eq!(host.wait_for_end(held).state.name(), StateName::Succeeded);
    assert!(!shown().lines().any(|line| line.starts_with("one")), "{}", shown());
}

#[test]
fn what_names_nothing_is_refused() {
    let host = TestHost::start();
    for (words, why) in [
        (["submit", "--key", "", "--", "true"], "key is empty"),
        (["submit", "--key", " ", "--", "true"], "key is empty"),
    ] {
        let ran = host.run(&words);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.err.contains(why), "{ran:?}");
    }
    let mut submit = host.shell_submit("true");
    submit.label = Some("a\0b".into());
    let mut uses = host.shell_submit("true");
    uses.scheduling.uses.insert("nowhere".into(), 0);
    for submit in [submit, uses] {
        let refused = host.connect().call(&Call::Submit(Box::new(submit)));
        assert!(refused.is_err(), "{refused:?}");
    }
    let line = host.run(&["search", "two\n"]);
    assert_eq!(line.code, Some(2), "{line:?}");
    assert!(line.err.contains("within a line"), "{line:?}");
    assert_eq!(host.tasks(), []);
    let file = host.work().join("tasks.jsonl");
    std::fs::write(&file, "\u{feff}{\"command\": \"true\"}\n").unwrap();
    let ran = host.run(&["submit", "--from", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
}
