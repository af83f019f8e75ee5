//! What a submit, a file of them and an edit ask for, as it is stored; and what is refused of it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::path::Path;

use nod_core::command::CommandLine;
use nod_core::ids::{SessionId, TaskId, Timestamp};
use nod_core::schedule::{Dependency, Retry};
use nod_core::task::{OutputMode, QueueReason, RunOptions, StateName, Task, TaskState};
use nod_tests::{Home, Ran, TestHost};
use serde_json::{Value, json};

/// 2099-01-01 18:30 in Kolkata, which is at +05:30 all year.
const IN_KOLKATA: Timestamp = Timestamp(4_070_955_600_000);

const CONFIG: &str = "[groups.default]\nslots = 9\n[groups.later]\nslots = 2\n[resources]\ngpu = 4\n\
                      [kinds.deploy]\nargv = [\"deploy\", \"--env\", \"{env}\", \"{*}\"]\n";

/// A host with the task 1, which runs until there is a file.
fn host() -> (TestHost, TaskId) {
    let host = TestHost::start_in(Home::new().with_config(CONFIG));
    let holds = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    host.wait_for_state(holds, StateName::Running);
    (host, holds)
}

fn said(host: &TestHost, words: &[&str]) -> String {
    let ran = host.run(words);
    assert_eq!(ran.code, Some(0), "{words:?}: {ran:?}");
    ran.out
}

fn ids(out: &str) -> Vec<TaskId> {
    let id = |line: &str| {
        let said: Value = serde_json::from_str(line).unwrap();
        TaskId(said["task_id"].as_i64().unwrap())
    };
    out.lines().map(id).collect()
}

fn in_kolkata(host: &TestHost, words: &[&str]) -> Ran {
    host.nod(words).env("TZ", "Asia/Kolkata").output().unwrap().into()
}

fn after(task: TaskId, any: bool) -> Dependency {
    Dependency { task, any }
}

fn has_what_is_common(host: &TestHost, task: &Task, folder: &Path) {
    assert_eq!(task.label.as_deref(), Some("all of it"));
    assert_eq!(task.cwd, folder.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(task.session, Some(SessionId("s1".into())));
    assert_eq!(task.timeout_ms, Some(5_400_000));
    let limit = Some(10 << 20);
    let options = RunOptions { grace_ms: Some(7_000), keep_children: true, log_limit: limit };
    assert_eq!(task.options, options);
    let it = &task.schedule;
    assert_eq!((it.group.as_str(), it.priority), ("later", -3));
    assert_eq!(it.retry, Some(Retry::new(4, 90_000)));
    assert_eq!(it.uses, [("gpu".to_owned(), 2)].into());
    // Above all: whoever wants to be asked is asked.
    assert!(task.ask_first, "{task:?}");
    let gated = TaskState::Queued {
        reason: QueueReason::Gate { request: host.wait_for_request(task.id).id },
    };
    assert_eq!(task.state, gated);
    let environment = host.detail(task.id).environment;
    let colour = environment.iter().find(|it| it.name == "COLOUR").unwrap();
    assert_eq!(colour.value.as_deref(), Some("blue"));
}

#[test]
fn a_line_of_a_file_is_the_task_that_its_options_say() {
    let (host, holds) = host();
    let folder = host.path().join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    let file = host.path().join("tasks.jsonl");
    let common = json!({
        "label": "all of it", "cwd": folder, "env": {"COLOUR": "blue"}, "ask_first": true,
        "timeout": "1h30m", "session": "s1", "keep_children": true, "grace": "7s",
        "log_limit": "10MiB", "group": "later", "priority": -3, "after": [holds],
        "retries": 4, "backoff": "90s", "uses": {"gpu": 2}, "key": "the one",
    });
    let line = |more: Value| {
        let mut line = common.as_object().unwrap().clone();
        line.extend(more.as_object().unwrap().clone());
        format!("{}\n", Value::Object(line))
    };
    let lines = [
        line(json!({"command": ["printf", "%s", "a b"], "no_tty": true, "delay": "2h"})),
        line(
            json!({"command": "echo $COLOUR", "interactive": true, "key": "2", "at": "2099-01-01 18:30"}),
        ),
        line(
            json!({"command": ["x"], "direct": true, "key": "3", "after": [], "after_any": [holds]}),
        ),
        line(json!({"command": ["rest"], "kind": "deploy", "set": {"env": "a b"}, "key": "4"})),
    ];
    std::fs::write(&file, lines.concat()).unwrap();
    let ran = in_kolkata(&host, &["submit", "--from", file.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let tasks: Vec<Task> = ids(&ran.out).into_iter().map(|id| host.task(id)).collect();
    assert_eq!(tasks.len(), lines.len());
    tasks.iter().for_each(|task| has_what_is_common(&host, task, &folder));
    let outputs: Vec<_> = tasks.iter().map(|task| task.output).collect();
    use OutputMode::{Direct, Interactive, Pipe, Terminal};
    assert_eq!(outputs, [Pipe, Interactive, Direct, Terminal]);
    let keys: Vec<_> = tasks.iter().map(|task| task.schedule.key.as_deref().unwrap()).collect();
    assert_eq!(keys, ["the one", "2", "3", "4"]);
    let argv = |words: &[&str]| CommandLine::Argv {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    assert_eq!(tasks[0].command, argv(&["printf", "%s", "a b"]));
    assert_eq!(tasks[1].command, CommandLine::Shell { line: "echo $COLOUR".into() });
    assert_eq!(tasks[3].command, argv(&["deploy", "--env", "a b", "rest"]));
    assert_eq!(tasks[3].kind, "deploy");
    let needed = [&tasks[0], &tasks[1], &tasks[3]].map(|task| task.schedule.after.clone());
    assert!(needed.iter().all(|it| *it == [after(holds, false)]), "{needed:?}");
    assert_eq!(tasks[2].schedule.after, [after(holds, true)]);
    let delay = tasks[0].schedule.not_before.unwrap().since(tasks[0].created_at);
    assert!(tasks[0].schedule.relative && (7_200_000..7_260_000).contains(&delay), "{delay}");
    assert_eq!(tasks[1].schedule.not_before, Some(IN_KOLKATA));
    assert!(!tasks[1].schedule.relative);
}

#[test]
fn a_line_of_a_file_says_what_runs_as_a_submit_does() {
    let (host, _) = host();
    let file = host.path().join("tasks.jsonl");
    let text = "\n{\"command\": [\"true\", \"a b\"]}\n{\"kind\": \"deploy\", \"set\": {\"env\": \"x\"}}\n\
                {\"command\": \"true\", \"ask_first\": true}\n";
    std::fs::write(&file, text).unwrap();
    let out = said(&host, &["submit", "--from", file.to_str().unwrap()]);
    let messages: Vec<String> = out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["message"].as_str().unwrap().into()
        })
        .collect();
    let gated = "waiting for approval in the Nod window";
    assert_eq!(messages, ["running `true 'a b'`", "running kind deploy", gated]);
}

#[test]
fn an_edit_changes_each_thing_that_it_names_and_nothing_else() {
    let (host, holds) = host();
    let before = ["--after", &holds.to_string(), "--label", "before", "--retries", "1"];
    let id = host.submit_with(&before, &["true", "x"]);
    let word = id.to_string();
    let folder = host.path().join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    let cwd = folder.to_str().unwrap();
    let other = host.submit_with(&["--after", &holds.to_string()], &["true", "other"]);
    type Change<'a> = Box<dyn Fn(&mut Task) + 'a>;
    let argv = |words: [&str; 2]| CommandLine::Argv { argv: words.map(str::to_owned).into() };
    let cases: Vec<(Vec<&str>, Change<'_>)> = vec![
        (vec!["--label", "after"], Box::new(|task| task.label = Some("after".into()))),
        (vec!["--label", ""], Box::new(|task| task.label = None)),
        (vec!["--cwd", cwd], Box::new(|task| task.cwd = cwd.into())),
        (vec!["--timeout", "20m"], Box::new(|task| task.timeout_ms = Some(1_200_000))),
        (vec!["--no-timeout"], Box::new(|task| task.timeout_ms = None)),
        (vec!["--group", "later"], Box::new(|task| task.schedule.group = "later".into())),
        (vec!["--priority", "-7"], Box::new(|task| task.schedule.priority = -7)),
        (vec!["--uses", "gpu:3"], Box::new(|task| task.schedule.uses = [("gpu".into(), 3)].into())),
        (vec!["--no-uses"], Box::new(|task| task.schedule.uses.clear())),
        (
            vec!["--retries", "5", "--backoff", "3s"],
            Box::new(|task| task.schedule.retry = Some(Retry::new(5, 3_000))),
        ),
        (vec!["--retries", "0"], Box::new(|task| task.schedule.retry = None)),
        (
            vec!["--at", "2099-01-01 18:30"],
            Box::new(|task| task.schedule.not_before = Some(IN_KOLKATA)),
        ),
        (vec!["--delay", "0"], Box::new(|task| task.schedule.not_before = None)),
        (vec!["--", "false", "y"], Box::new(move |task| task.command = argv(["false", "y"]))),
    ];
    for (options, change) in cases {
        let mut expected = host.task(id);
        change(&mut expected);
        let ran = in_kolkata(&host, &[&["edit", &word][..], &options].concat());
        assert_eq!(ran.code, Some(0), "{options:?}: {ran:?}");
        assert_eq!(host.task(id), expected, "{options:?}");
    }
    assert!(!said(&host, &["show", &word]).contains("retries"));
    // What it waits for is said by its state as well.
    said(&host, &["edit", &word, "--after-any", &other.to_string()]);
    let task = host.task(id);
    assert_eq!(task.schedule.after, [after(other, true)]);
    let tasks = [other].into();
    assert_eq!(task.state, TaskState::Queued { reason: QueueReason::Dependency { tasks } });
    said(&host, &["edit", &word, "--no-after", "--delay", "1h"]);
    let task = host.task(id);
    let TaskState::Queued { reason: QueueReason::Delay { until } } = task.state else {
        panic!("{task:?}")
    };
    assert!(task.schedule.relative && task.schedule.not_before == Some(until), "{task:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn an_edit_that_cannot_be_is_refused_and_changes_nothing() {
    let (host, holds) = host();
    let id = host.submit_with(&["--after", &holds.to_string()], &["true", "x"]);
    let behind = host.submit_with(&["--after", &id.to_string()], &["true", "y"]);
    let (word, behind) = (id.to_string(), behind.to_string());
    let cases: [(&[&str], &str); 10] = [
        (&["--after", &word], "would wait for itself"),
        (&["--after", &behind], "would wait for itself"),
        (&["--after", "9999"], "no task has id 9999"),
        (&["--group", "nope"], "no group is named `nope`"),
        (&["--uses", "tpu"], "no resource is named `tpu`"),
        (&["--uses", "gpu:5"], "only 4 of gpu"),
        (&["--uses", "gpu:0"], "write a resource"),
        (&["--timeout", "0"], "--timeout"),
        (&["--cwd", "/no/such/folder"], "/no/such/folder"),
        (&["--at", "teatime"], "--at"),
    ];
    let before = host.task(id);
    for (options, why) in cases {
        let ran = host.run(&[&["edit", &word], options].concat());
        assert!(matches!(ran.code, Some(1 | 2)), "{options:?}: {ran:?}");
        assert!(ran.err.contains(why), "{options:?}: {ran:?}");
        assert_eq!(host.task(id), before, "{options:?}");
    }
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_time_of_day_is_that_of_the_clock_on_the_wall_of_who_says_it() {
    let (host, _) = host();
    let at = |time: &str| {
        let ran = in_kolkata(&host, &["submit", "--at", time, "--", "true"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        host.task(ids(&ran.out)[0]).schedule.not_before.unwrap()
    };
    assert_eq!(at("2099-01-01 18:30"), IN_KOLKATA);
    // The next half past six there, which is one in the afternoon in UTC.
    assert_eq!(at("18:30").0.rem_euclid(86_400_000), 13 * 3_600_000);
}

#[test]
fn of_several_tasks_those_that_are_there_are_dealt_with_and_the_others_named() {
    let (host, holds) = host();
    let queued = host.submit_with(&["--delay", "1h"], &["true", "x"]);
    let ended = host.submit("true");
    host.wait_for_end(ended);
    let [first, second] = [holds, queued].map(|id| id.to_string());
    let ran = host.run(&["cancel", &first, "9999", &second]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("no task has id 9999"), "{ran:?}");
    for id in [holds, queued] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Cancelled, "{ran:?}");
    }
    let ran = host.run(&["remove", &first, "9999", &second]);
    assert!(ran.code == Some(1) && ran.err.contains("no task has id 9999"), "{ran:?}");
    assert_eq!(host.tasks().iter().map(|task| task.id).collect::<Vec<_>>(), [ended]);
}

#[test]
fn a_cancel_by_several_things_means_the_tasks_that_are_all_of_them() {
    let (host, holds) = host();
    let held = |options: &[&str]| {
        let all = [&["--delay", "1h"], options].concat();
        host.submit_with(&all, &["true", "x"])
    };
    let in_group = held(&["--group", "later"]);
    let in_session = held(&["--session", "s"]);
    let in_both = held(&["--group", "later", "--session", "s"]);
    let kind = ["submit", "--kind", "deploy", "--set", "env=x", "--delay", "1h"];
    let of_kind =
        ids(&said(&host, &[&kind[..], &["--group", "later", "--session", "s"]].concat()))[0];
    let both = ["cancel", "--group", "later", "--session", "s"];
    assert_eq!(said(&host, &[&both[..], &["--kind", "deploy"]].concat()), "1\n");
    assert_eq!(host.state(of_kind), StateName::Cancelled);
    assert_eq!(said(&host, &both), "1\n");
    assert_eq!(host.state(in_both), StateName::Cancelled);
    let left = [holds, in_group, in_session].map(|id| host.state(id));
    assert_eq!(left, [StateName::Running, StateName::Queued, StateName::Queued]);
    assert_eq!(said(&host, &both), "0\n");
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_group_that_cannot_be_so_is_refused_with_the_way_out() {
    let (host, holds) = host();
    said(&host, &["group", "add", "mine", "--slots", "1"]);
    let waits = ["--group", "mine", "--after", &holds.to_string()];
    let inside = host.submit_with(&waits, &["true", "x"]);
    let long = "g".repeat(65);
    let cases: [(&[&str], &str); 10] = [
        (&["add", "mine", "--slots", "2"], "`nod group set mine --slots N` changes it"),
        (&["add", "later", "--slots", "2"], "`nod group set later --slots N` changes it"),
        (&["add", "a b", "--slots", "2"], "letters, digits"),
        (&["add", &long, "--slots", "2"], "1 to 64 letters"),
        (&["set", "nope", "--slots", "2"], "`nod group add nope --slots N` makes it; there are: "),
        (&["pause", "nope"], "no group is named `nope`"),
        (&["resume", "nope"], "no group is named `nope`"),
        (&["remove", "nope"], "no group is named `nope`"),
        (&["remove", "later"], "is set up in the config file"),
        (&["remove", "mine"], "`nod cancel --group mine` ends them"),
    ];
    let before = said(&host, &["group", "list"]);
    for (words, why) in cases {
        let ran = host.run(&[&["group"], words].concat());
        assert!(matches!(ran.code, Some(1 | 2)), "{words:?}: {ran:?}");
        assert!(ran.err.contains(why), "{words:?}: {ran:?}");
    }
    assert_eq!(said(&host, &["group", "list"]), before);
    // The way out is one.
    assert_eq!(said(&host, &["cancel", "--group", "mine"]), "1\n");
    assert_eq!(host.wait_for_end(inside).state.name(), StateName::Cancelled);
    said(&host, &["group", "remove", "mine"]);
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn a_name_that_is_empty_is_refused_in_so_many_words() {
    let (host, _) = host();
    for (option, words) in [("--key", "the key is empty"), ("--session", "the session is empty")] {
        for empty in ["", "  "] {
            let ran = host.run(&["submit", option, empty, "--", "true"]);
            assert!(matches!(ran.code, Some(1 | 2)), "{option}: {ran:?}");
            assert!(ran.err.contains(words), "{option}: {ran:?}");
        }
    }
    std::fs::write(host.work().join("go"), "").unwrap();
}

#[test]
fn success_that_was_needed_and_did_not_come_is_still_needed_when_its_task_is_removed() {
    let (host, _) = host();
    let [failed, succeeded] = ["exit 3", "true"].map(|line| host.submit(line));
    let behind = [failed, succeeded].map(|id| {
        host.wait_for_end(id);
        let behind = host.submit_with(&["--after", &id.to_string()], &["touch ran"]);
        host.wait_for_end(behind);
        behind.to_string()
    });
    let ran = host.work().join("ran");
    assert!(ran.exists());
    std::fs::remove_file(&ran).unwrap();
    // As long as it is there it may succeed yet, and until then it does not.
    said(&host, &["retry", &behind[0]]);
    let id = |word: &String| TaskId(word.parse().unwrap());
    assert_eq!(host.wait_for_end(id(&behind[0])).state.name(), StateName::Skipped);
    for id in [failed, succeeded] {
        said(&host, &["remove", &id.to_string()]);
    }
    let refused = host.run(&["retry", &behind[0]]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let why = format!("task {failed}, which did not succeed and was removed since");
    assert!(refused.err.contains(&why), "{refused:?}");
    assert_eq!(host.state(id(&behind[0])), StateName::Skipped);
    assert!(!ran.exists());
    // The one that had succeeded has done so, there or not.
    said(&host, &["retry", &behind[1]]);
    assert_eq!(host.wait_for_end(id(&behind[1])).state.name(), StateName::Succeeded);
    std::fs::remove_file(&ran).unwrap();
    // And the way out is one.
    let again = ids(&said(&host, &["run-again", &behind[0]]))[0];
    assert_eq!(host.wait_for_end(again).state.name(), StateName::Succeeded);
    assert!(ran.exists());
    std::fs::write(host.work().join("go"), "").unwrap();
}
