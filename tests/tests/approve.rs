//! Asking a person, from a running task and before one starts.

use std::time::{Duration, Instant};

use nod_client::new_operation;
use nod_core::environment::Change;
use nod_core::protocol::{Call, ErrorCode, GiveAnswer, Reply, TypeIn};
use nod_core::request::{ARMING_MS, Answer, Closure, Origin, Request};
use nod_core::task::{Denial, Outcome, OutputMode, StateName};
use nod_tests::wait::until_equal;
use nod_tests::{Home, TestHost, until};

const LOOSE: &str = "[approvals]\nterminal = true\n";

fn deny(reason: &str) -> Answer {
    Answer::Deny { reason: Some(reason.to_owned()) }
}

#[test]
fn an_approved_task_continues_to_the_end_in_the_very_same_process() {
    let mut host = TestHost::start();
    let id = host.submit("echo $$ > before; nod ask 'Deploy?' > answer && echo $$ > after");
    let request = host.wait_for_request(id);
    assert_eq!(request.shown.question, "Deploy?");
    assert_eq!(request.origin, Origin::Task);
    assert_eq!(host.state(id), StateName::Waiting);
    assert!(!host.work().join("after").exists());

    host.answer(&request, Answer::Approve);

    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(read("before"), read("after"));
    let answer: serde_json::Value = serde_json::from_str(&read("answer")).unwrap();
    assert_eq!(answer["answer"], "approved");
}

#[test]
fn a_denial_makes_ask_exit_with_one_and_say_the_reason() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?' 2> reason; echo $? > code");
    let request = host.wait_for_request(id);
    host.answer(&request, deny("not on a Friday"));
    // What becomes of the task is the task's own doing.
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert_eq!(read("code"), "1\n");
    assert!(read("reason").contains("not on a Friday"));
}

/// Shows the open questions to the person; returns how long it took at the most until now.
fn look(host: &mut TestHost) -> Instant {
    let began = Instant::now();
    assert!(matches!(host.person(&Call::Snapshot), Ok(Reply::Snapshot(_))));
    began
}

#[test]
fn a_question_that_has_just_been_shown_is_denied_and_not_approved() {
    let mut host = TestHost::start_armed(Home::new());
    let arming = Duration::from_millis(ARMING_MS);
    let (id, request) = loop {
        let id = host.submit("nod ask 'Deploy?'");
        let request = host.wait_for_request(id);
        let unseen = host.try_answer(&request, Answer::Approve).unwrap_err();
        assert_eq!(unseen.code, ErrorCode::TooEarly);
        assert!(unseen.message.contains("not shown"), "{unseen}");
        let began = look(&mut host);
        let early = host.try_answer(&request, Answer::Approve);
        // On a machine that stood still meanwhile it is not too early.
        if began.elapsed() < arming {
            let early = early.unwrap_err();
            assert_eq!(early.code, ErrorCode::TooEarly);
            assert!(early.message.starts_with("too early: shown 0."), "{early}");
            break (id, request);
        }
    };
    assert!(host.request(id, request.id).is_open());
    assert_eq!(host.state(id), StateName::Waiting);
    // Looking again does not begin anew.
    until("the answer to be taken", || {
        look(&mut host);
        host.try_answer(&request, Answer::Approve).ok()
    });
    host.wait_for_end(id);
    // An answer that was taken stays the answer: a second one is told so, however soon.
    let second = host.try_answer(&request, Answer::Approve).unwrap_err();
    assert_eq!(second.code, ErrorCode::Conflict);

    let denied = host.submit("nod ask 'Deploy?'");
    let request = host.wait_for_request(denied);
    host.answer(&request, deny("no"));
    assert_eq!(host.wait_for_end(denied).state.name(), StateName::Failed);
}

#[test]
fn a_looser_configuration_that_has_just_been_shown_is_not_confirmed() {
    let mut host = TestHost::start_armed(Home::new().with_config(LOOSE));
    let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
    let shown = rules.loosening.unwrap().hash;
    let confirm = |host: &mut TestHost| {
        let (operation, shown) = (new_operation().unwrap(), shown.clone());
        host.person(&Call::ConfirmLoosening { operation, shown })
    };
    assert_eq!(confirm(&mut host).unwrap_err().code, ErrorCode::TooEarly);
    until("the change to be confirmed", || {
        look(&mut host);
        confirm(&mut host).ok()
    });
}

#[test]
fn a_question_that_nobody_answers_expires() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?' --timeout 300ms > answer; echo $? > code");
    host.wait_for_end(id);
    assert_eq!(std::fs::read_to_string(host.work().join("code")).unwrap(), "124\n");
    let request = host.detail(id).requests.pop().unwrap();
    let refused = host.try_answer(&request, Answer::Approve).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.message.contains("expired"), "{refused}");
}

#[test]
fn a_task_may_have_several_questions_open_and_each_gets_its_own_answer() {
    let mut host = TestHost::start();
    let line = "(nod ask one > one.json; true) & (nod ask two > two.json; true) & wait";
    let id = host.submit(line);
    let open = until("two requests", || {
        let open: Vec<_> = host.detail(id).requests;
        (open.len() == 2).then_some(open)
    });
    let (one, two) = match open[0].shown.question.as_str() {
        "one" => (&open[0], &open[1]),
        _ => (&open[1], &open[0]),
    };
    host.answer(two, deny("no"));
    assert_eq!(host.state(id), StateName::Waiting);
    host.answer(one, Answer::Approve);
    host.wait_for_end(id);
    let read = |name| std::fs::read_to_string(host.work().join(name)).unwrap();
    assert!(read("one.json").contains("approved"));
    assert!(read("two.json").contains("denied"));
}

#[test]
fn a_second_answer_is_a_conflict_that_says_how_the_first_was() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?'");
    let request = host.wait_for_request(id);
    host.answer(&request, Answer::Approve);
    let refused = host.try_answer(&request, deny("late")).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert!(refused.message.contains("approved by a person in the window"), "{refused}");
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
}

#[test]
fn the_same_click_sent_twice_is_one_answer() {
    let mut host = TestHost::start();
    let id = host.submit("nod ask 'Deploy?'");
    let request = host.wait_for_request(id);
    let click = Call::Answer(GiveAnswer {
        operation: nod_client::new_operation().unwrap(),
        request: request.id,
        answer: Answer::Approve,
        comment: None,
        shown: request.hash,
    });
    assert_eq!(host.person(&click), host.person(&click));
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let rows: i64 = database.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1);
    host.wait_for_end(id);
}

#[test]
fn an_answer_to_something_else_than_was_asked_is_refused() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["true"]);
    let mut request = host.wait_for_request(id);
    request.hash = "0".repeat(64);
    let refused = host.try_answer(&request, Answer::Approve).unwrap_err();
    assert_eq!(refused.code, ErrorCode::Conflict);
    assert_eq!(host.state(id), StateName::Queued);
}

#[test]
fn ask_first_holds_a_task_before_its_process_exists_and_shows_all_of_it() {
    let mut host = TestHost::start();
    let work = host.work().to_str().unwrap().to_owned();
    let options = ["--ask-first", "--env", "COLOUR=blue", "--env", "MY_TOKEN=secret"];
    let id = host.submit_with(&options, &["sh", "-c", "echo ran > ran", "two words"]);
    let request = host.wait_for_request(id);
    assert_eq!(host.state(id), StateName::Queued);
    assert!(host.detail(id).attempts.is_empty());
    assert_eq!(request.origin, Origin::Gate);
    assert_eq!(request.shown.argv, ["sh", "-c", "echo ran > ran", "two words"]);
    assert_eq!(request.shown.cwd, work);
    let change = |name: &str| {
        let mut changes = request.shown.environment.iter();
        changes.find(|change| change.name == name).cloned().unwrap()
    };
    assert_eq!(
        (change("COLOUR").change, change("COLOUR").value),
        (Change::Added, Some("blue".into()))
    );
    assert!(change("MY_TOKEN").masked && change("MY_TOKEN").value.is_none());

    host.answer(&request, Answer::Approve);
    assert_eq!(host.wait_for_end(id).state.outcome(), Some(&Outcome::Succeeded));
    assert!(host.work().join("ran").exists());
}

#[test]
fn a_denied_gate_ends_the_task_without_a_process() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first"], &["touch ran"]);
    let request = host.wait_for_request(id);
    host.answer(&request, deny("wrong folder"));
    let ended = host.wait_for_end(id);
    let Some(Outcome::Denied { denial: Denial::ByPerson { reason, .. } }) = ended.state.outcome()
    else {
        panic!("{ended:?}")
    };
    assert_eq!(reason.as_deref(), Some("wrong folder"));
    assert!(host.detail(id).attempts.is_empty());
    assert!(!host.work().join("ran").exists());
    assert_eq!(host.run(&["wait", &id.to_string()]).code, Some(77));
}

#[test]
fn a_question_closes_when_its_task_ends_or_its_asker_dies() {
    let mut host = TestHost::start();
    let cancelled = host.submit("nod ask 'Deploy?'");
    let first = host.wait_for_request(cancelled);
    assert_eq!(host.run(&["cancel", &cancelled.to_string()]).code, Some(0));
    host.wait_for_end(cancelled);
    let killed =
        host.submit("nod ask 'Really?' & kill -9 $!; while [ ! -e go ]; do sleep 0.02; done");
    let asking = host.submit(
        "nod ask 'Really?' & asker=$!; while [ ! -e asked ]; do sleep 0.02; done; kill -9 $asker; \
         while [ ! -e go ]; do sleep 0.02; done",
    );
    let second = host.wait_for_request(asking);
    std::fs::write(host.work().join("asked"), "").unwrap();
    until_equal("the task to run on", &StateName::Running, || host.state(asking));
    for (task, request) in [(cancelled, &first), (asking, &second)] {
        let closure = host.request(task, request.id).closure;
        assert!(matches!(closure, Some(Closure::Withdrawn { .. })), "{closure:?}");
        let refused = host.try_answer(request, Answer::Approve).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
    }
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(asking);
    host.wait_for_end(killed);
}

#[test]
fn a_gate_shows_what_the_submitter_changed_though_its_host_inherited_it() {
    let home = nod_tests::Home::new();
    // The very process that submits starts the host, with all of its variables.
    let mut submit = home.nod(&["submit", "--ask-first", "--", "deploy", "prod"]);
    let path = format!("{}:/usr/bin:/bin", home.work().display());
    submit.env("PATH", &path).env("GIT_SSH_COMMAND", "/tmp/other-ssh");
    assert!(submit.output().unwrap().status.success());
    let request = home.wait_for_request(nod_core::ids::TaskId(1));
    let value = |name: &str| {
        let mut changes = request.shown.environment.iter();
        changes.find(|change| change.name == name).and_then(|change| change.value.clone())
    };
    assert_eq!(value("PATH"), Some(path));
    assert_eq!(value("GIT_SSH_COMMAND").as_deref(), Some("/tmp/other-ssh"));
    assert_eq!(home.run(&["stop"]).code, Some(0));
}

#[test]
fn an_approved_folder_cannot_be_swapped() {
    let mut host = TestHost::start();
    for name in ["good", "bad"] {
        std::fs::create_dir(host.work().join(name)).unwrap();
    }
    let link = host.work().join("link");
    std::os::unix::fs::symlink(host.work().join("good"), &link).unwrap();
    let mut submit = host.shell_submit("touch ran");
    submit.environment = Some(Default::default());
    submit.cwd = link.to_string_lossy().into_owned();
    submit.ask_first = true;
    let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(submit))) else {
        panic!("no id")
    };
    let request = host.wait_for_request(id);
    assert_eq!(request.shown.cwd, host.work().join("good").to_string_lossy());
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(host.work().join("bad"), &link).unwrap();
    // And the folder itself, put aside for a link.
    std::fs::rename(host.work().join("good"), host.work().join("old")).unwrap();
    std::os::unix::fs::symlink(host.work().join("bad"), host.work().join("good")).unwrap();
    host.answer(&request, Answer::Approve);
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Failed, "{ended:?}");
    assert!(!host.work().join("bad/ran").exists());
}

#[test]
fn a_question_whose_asker_died_while_no_host_ran_is_withdrawn() {
    let mut host = TestHost::start();
    let id =
        host.submit("nod ask 'Deploy?' & echo $! > asker; while [ ! -e go ]; do sleep 0.02; done");
    let request = host.wait_for_request(id);
    let asker = std::fs::read_to_string(host.work().join("asker")).unwrap();
    host.kill();
    nod_tests::processes::kill_9(asker.trim().parse().unwrap());
    host.restart();
    until_equal("the task to run on", &StateName::Running, || host.state(id));
    let closure = host.request(id, request.id).closure;
    assert!(matches!(closure, Some(Closure::Withdrawn { .. })), "{closure:?}");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

#[test]
fn a_question_without_visible_text_is_refused() {
    let host = TestHost::start();
    let id = host.submit("nod ask \"$(printf '\\001\\002\\342\\200\\256')\"; echo $? > code");
    host.wait_for_end(id);
    assert_eq!(std::fs::read_to_string(host.work().join("code")).unwrap(), "2\n");
}

#[test]
fn a_time_that_passes_tells_a_silent_host_from_none() {
    let mut host = TestHost::start();
    let ask = "nod ask 'Deploy?' --timeout 2s > answer; echo $? > code.new; mv code.new code";
    let frozen = host.submit(ask);
    let _request = host.wait_for_request(frozen);
    let pid = rustix::process::Pid::from_raw(host.pid()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    let code = host.work().join("code");
    let read = || std::fs::read_to_string(&code).ok();
    assert_eq!(until("the end of the question", read), "124\n");
    let answer = std::fs::read_to_string(host.work().join("answer")).unwrap();
    assert_eq!(answer, "{\"answer\":\"expired\"}\n");
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
    host.wait_for_end(frozen);
    std::fs::remove_file(&code).unwrap();

    let without = host.submit(&format!("while [ ! -e gone ]; do sleep 0.02; done; {ask}"));
    host.wait_for_state(without, StateName::Running);
    host.kill();
    std::fs::write(host.work().join("gone"), "").unwrap();
    assert_eq!(until("the end of the tries", read), "69\n");
}

#[test]
fn that_others_can_type_into_a_task_is_shown_and_only_its_own_program_can() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--ask-first", "-i"], &["cat; true"]);
    let request = host.wait_for_request(id);
    let [typed] = request.shown.terms.as_slice() else { panic!("{:?}", request.shown.terms) };
    assert!(typed.contains("the program that submitted it can type into it"), "{typed}");
    host.answer(&request, Answer::Approve);
    host.wait_for_state(id, StateName::Running);
    // A shell of its own stands between: another program.
    let nod = host.nod(&[]).get_program().to_owned();
    let mut other = host.command("sh");
    other.args(["-c", "\"$0\" stdin \"$1\" --line x; exit $?"]).arg(nod).arg(id.to_string());
    let refused = other.output().unwrap();
    assert_eq!(refused.status.code(), Some(77), "{refused:?}");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("only the program that submitted it"), "{said}");
    let own = host.run(&["stdin", &id.to_string(), "--line", "y", "--eof"]);
    assert_eq!(own.code, Some(0), "{own:?}");
    host.wait_for_end(id);
    let log = host.plain_log(id);
    assert!(log.contains('y') && !log.contains('x'), "{log}");
}

#[test]
fn nobody_but_the_person_types_into_the_persons_own_task() {
    let mut host = TestHost::start();
    let mut submit = host.shell_submit("read it; echo got $it");
    submit.output = OutputMode::Interactive;
    let Ok(Reply::Submitted { id, .. }) = host.person(&Call::Submit(Box::new(submit))) else {
        panic!("not submitted")
    };
    host.wait_for_state(id, StateName::Running);
    for session in [&[][..], &["--session", "any"]] {
        let number = id.to_string();
        let ran = host.run(&[&["stdin", &number, "--line", "x"], session].concat());
        assert_eq!(ran.code, Some(77), "{ran:?}");
    }
    let data = "bWluZQo=".to_owned();
    host.person(&Call::Input(TypeIn { operation: None, id, data, session: None })).unwrap();
    host.wait_for_end(id);
    assert!(host.plain_log(id).contains("got mine"));
}

#[test]
fn what_a_task_does_otherwise_than_usual_is_shown_and_a_change_of_it_asks_anew() {
    let mut host = TestHost::start();
    let options = ["--ask-first", "--retries", "2", "--keep-children", "--timeout", "10m"];
    let id = host.submit_with(&options, &["true"]);
    let request = host.wait_for_request(id);
    let expected = [
        "2 more tries if it fails, each asked about again",
        "what it leaves running goes on after its end (--keep-children)",
        "it is ended after 10m00s at the latest",
    ];
    assert_eq!(request.shown.terms, expected);
    assert_eq!(host.run(&["deadline", &id.to_string(), "20m"]).code, Some(0));
    let anew = host.wait_for_request(id);
    assert_eq!(anew.shown.terms[2], "it is ended after 20m00s at the latest");
    host.try_answer(&request, Answer::Approve).unwrap_err();
    host.answer(&anew, Answer::Approve);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}

#[test]
fn another_folder_of_the_same_name_is_not_the_one_that_was_shown() {
    let mut host = TestHost::start();
    let (work, old) = (host.work().join("it"), host.work().join("old"));
    std::fs::create_dir(&work).unwrap();
    let cwd = work.display().to_string();
    let id = host.submit_with(&["--ask-first", "--cwd", &cwd], &["touch", "ran"]);
    let request = host.wait_for_request(id);
    std::fs::rename(&work, &old).unwrap();
    std::fs::create_dir(&work).unwrap();
    host.answer(&request, Answer::Approve);
    let ended = host.wait_for_end(id);
    let why = ended.state.outcome().and_then(Outcome::explanation).unwrap_or_default();
    assert!(why.contains("another one than the one that was shown"), "{ended:?}");
    assert!(!work.join("ran").exists() && !old.join("ran").exists());
    // Asked about anew, it is the one that is there now.
    assert_eq!(host.run(&["retry", &id.to_string()]).code, Some(0));
    host.answer(&host.wait_for_request(id), Answer::Approve);
    host.wait_for_end(id);
    assert!(work.join("ran").exists());
}

#[test]
fn what_is_approved_and_has_not_started_is_asked_about_again_where_it_is_changed() {
    let mut host = TestHost::start();
    assert_eq!(host.run(&["group", "pause", "default"]).code, Some(0));
    let changes: [&[&str]; 5] = [
        &["edit", "--", "touch", "other"],
        &["edit", "--retries", "2"],
        &["edit", "--cwd", "/"],
        &["edit", "--label", "harmless"],
        &["deadline", "1h"],
    ];
    for change in changes {
        let id = host.submit_with(&["--ask-first"], &["touch", "ran"]);
        let shown = host.wait_for_request(id);
        host.answer(&shown, Answer::Approve);
        let number = id.to_string();
        let (verb, rest) = change.split_first().unwrap();
        let ran = host.run(&[&[*verb, number.as_str()], rest].concat());
        assert_eq!(ran.code, Some(0), "{change:?}: {ran:?}");
        let open = host.detail(id).requests.into_iter().find(Request::is_open).unwrap();
        assert_ne!(open.id, shown.id, "{change:?}");
        host.try_answer(&shown, Answer::Approve).unwrap_err();
        assert_eq!(host.run(&["cancel", &number]).code, Some(0));
        host.wait_for_end(id);
    }
    assert!(!host.work().join("ran").exists());
}
