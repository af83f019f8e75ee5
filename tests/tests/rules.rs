//! Rules: what is asked about before it starts, who may change that, and when a change holds.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nod_client::new_operation;
use nod_core::access::Actor;
use nod_core::command::CommandLine;
use nod_core::guard::Loosening;
use nod_core::ids::{AttemptNumber, TaskId, Timestamp};
use nod_core::protocol::{AuditQuery, AuditWhat, Call, ErrorCode, KindUse, Reply, RuleList};
use nod_core::request::Answer;
use nod_core::rule::{Rule, RuleId, Then};
use nod_core::task::{OutputMode, StateName};
use nod_tests::{Home, TestHost, until};

const ASKS: &str =
    "[[rules]]\nname = \"touching\"\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";

fn rule(then: Then, pattern: &[&str]) -> Rule {
    Rule {
        name: None,
        argv: pattern.iter().map(|word| (*word).to_owned()).collect(),
        then,
        folder: None,
        session: None,
        kind: None,
        expires_at: Some(Timestamp(i64::MAX)),
    }
}

fn add(host: &mut TestHost, rule: Rule) -> RuleList {
    let call = Call::AddRule { operation: new_operation().unwrap(), rule };
    let Ok(Reply::Rules(rules)) = host.person(&call) else { panic!("the rule is not taken") };
    rules
}

fn loosening(host: &TestHost) -> Option<Loosening> {
    let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
    rules.loosening
}

fn write_config(host: &TestHost, text: &str) {
    std::fs::write(host.data().join("config.toml"), text).unwrap();
}

/// Submits a command as the window does, with nothing but the person's own environment, and
/// returns whether it was asked about.
fn is_asked(host: &TestHost, words: &[&str]) -> bool {
    let mut submit = host.shell_submit("");
    let words = words.iter().map(|word| (*word).to_owned());
    submit.command = CommandLine::from_words(words.collect()).unwrap();
    let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(submit))) else { panic!() };
    let asked = host.state(id) == StateName::Queued && !host.detail(id).requests.is_empty();
    if asked {
        assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
    }
    host.wait_for_end(id);
    asked
}

#[test]
fn a_rule_of_the_config_file_asks_wherever_its_command_hides() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    let id = host.submit_with(&[], &["touch", "ran"]);
    let request = host.wait_for_request(id);
    assert_eq!(host.state(id), StateName::Queued);
    assert_eq!(request.shown.detail.as_deref(), Some("A rule asks first: touch ** (“touching”)"));
    assert_eq!(request.shown.argv, ["touch", "ran"]);
    assert!(!host.work().join("ran").exists());
    host.answer(&request, Answer::Approve);
    host.wait_for_end(id);
    assert!(host.work().join("ran").exists());
    let hidden: [&[&str]; 4] = [
        &["true; touch ran"],
        &["env", "A=b", "touch", "ran"],
        &["/usr/bin/touch", "ran"],
        &["bash", "-c", "cd . && touch ran"],
    ];
    for words in hidden {
        assert!(is_asked(&host, words), "{words:?}");
    }
    assert!(!is_asked(&host, &["true"]));
    // Once more is asked about once more.
    assert_eq!(host.run(&["run-again", &id.to_string()]).code, Some(0));
    assert_eq!(host.state(host.tasks()[0].id), StateName::Queued);
}

#[test]
fn a_person_lets_a_command_pass_until_they_revoke_it() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    let rules = add(&mut host, rule(Then::NeedNotAsk, &["touch", "ran"]));
    assert_eq!((rules.rules.len(), rules.rules[0].id), (2, Some(RuleId(1))));
    assert!(!is_asked(&host, &["touch", "ran"]));
    assert!(is_asked(&host, &["touch", "ran", "too"]));
    // The same words, but an environment that may decide what runs: each program has its own.
    for variable in ["LD_PRELOAD", "MAKEFILES", "BASH_FUNC_x%%", "GIT_EXTERNAL_DIFF", "NEW_IN_2030"]
    {
        let given = format!("{variable}=/tmp/evil");
        let id = host.submit_with(&["--env", &given], &["touch", "ran"]);
        assert_eq!(host.state(id), StateName::Queued, "{variable}");
        let detail = host.wait_for_request(id).shown.detail.unwrap();
        assert!(detail.contains(&format!("let it pass, but {variable}, ")), "{detail}");
    }
    let passed = |host: &TestHost| {
        let Reply::Audit(page) = host.call(&Call::Audit(AuditQuery::default())) else { panic!() };
        page.rows.iter().filter(|row| row.what == AuditWhat::Passed).count()
    };
    assert_eq!(passed(&host), 1);
    // It survives the host, and its revocation too.
    host.kill();
    host.restart();
    assert!(!is_asked(&host, &["touch", "ran"]));
    let revoke = Call::RevokeRule { operation: new_operation().unwrap(), id: RuleId(1) };
    host.person(&revoke).unwrap();
    assert!(is_asked(&host, &["touch", "ran"]));
    host.kill();
    host.restart();
    assert!(is_asked(&host, &["touch", "ran"]));
    assert!(host.run(&["audit"]).out.contains("rule revoked by a person in the window"));
}

#[test]
fn a_rule_that_lets_pass_is_narrow_ends_and_is_made_by_nobody_else() {
    let mut host = TestHost::start();
    let mut endless = rule(Then::NeedNotAsk, &["make"]);
    endless.expires_at = None;
    for (wide, why) in [
        (endless, "say when"),
        (rule(Then::NeedNotAsk, &["**"]), "names a program"),
        (rule(Then::NeedNotAsk, &["bash", "-c", "*"]), "every word"),
    ] {
        let call = Call::AddRule { operation: new_operation().unwrap(), rule: wide };
        let refused = host.person(&call).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadRequest);
        assert!(refused.message.contains(why), "{refused}");
        assert_eq!(refused.fields.len(), 1, "{refused:?}");
        assert_eq!(refused.fields[0].message, refused.message);
    }
    let operation = || new_operation().unwrap();
    let calls = [
        Call::AddRule { operation: operation(), rule: rule(Then::AskFirst, &["make"]) },
        Call::RevokeRule { operation: operation(), id: RuleId(1) },
        Call::ConfirmLoosening { operation: operation(), shown: String::new() },
    ];
    for call in calls {
        let refused = host.connect().call(&call).unwrap_err().to_string();
        assert!(refused.contains("window alone"), "{refused}");
    }
}

#[test]
fn a_rule_that_lets_pass_also_speaks_of_what_asks_by_itself_but_not_of_what_is_held_already() {
    let config = "[kinds.deploy]\nargv = [\"touch\", \"ran\"]\ngate = true\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    let submit = |host: &TestHost, kind: Option<&str>| {
        let mut submit = host.shell_submit("");
        submit.ask_first = kind.is_none();
        submit.scheduling.kind =
            kind.map(|name| KindUse { name: name.to_owned(), values: Default::default() });
        let words = if kind.is_some() { vec![] } else { vec!["touch".into(), "ran".into()] };
        submit.command = CommandLine::Argv { argv: words };
        let Reply::Submitted { id, .. } = host.call(&Call::Submit(Box::new(submit))) else {
            panic!()
        };
        id
    };
    let asked = [submit(&host, None), submit(&host, Some("deploy"))];
    let requests = asked.map(|id| host.wait_for_request(id));
    add(&mut host, rule(Then::NeedNotAsk, &["touch", "ran"]));
    for id in [submit(&host, None), submit(&host, Some("deploy"))] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    }
    // The questions that are open stay so, also where the task is changed, and are asked anew then.
    let edit = host.run(&["edit", &asked[0].to_string(), "--label", "other"]);
    assert_eq!(edit.code, Some(0), "{edit:?}");
    assert!(!host.request(asked[0], requests[0].id).is_open());
    let anew = host.wait_for_request(asked[0]);
    assert_ne!(anew.id, requests[0].id);
    assert!(host.request(asked[1], requests[1].id).is_open());
    host.answer(&anew, Answer::Deny { reason: None });
    host.wait_for_end(asked[0]);
    // Another try and the same once more are new decisions, which the rule makes.
    for words in ["retry", "run-again"] {
        assert_eq!(host.run(&[words, &asked[0].to_string()]).code, Some(0));
    }
    for task in [asked[0], host.tasks()[0].id] {
        assert_eq!(host.wait_for_end(task).state.name(), StateName::Succeeded);
    }
    let Reply::Audit(page) = host.call(&Call::Audit(AuditQuery::default())) else { panic!() };
    let passed = page.rows.iter().filter(|row| row.what == AuditWhat::Passed).count();
    assert_eq!(passed, 4);
}

#[test]
fn a_preview_leaves_out_what_the_environment_or_a_keyboard_keeps_a_rule_from_letting_pass() {
    let mut host = TestHost::start();
    assert!(!is_asked(&host, &["touch", "ran"]));
    let evil = host.submit_with(&["--env", "LD_PRELOAD=/tmp/evil.so"], &["touch", "ran"]);
    let mut typed = host.shell_submit("");
    typed.command = CommandLine::Argv { argv: vec!["touch".into(), "ran".into()] };
    typed.output = OutputMode::Interactive;
    let Reply::Submitted { id: typed, .. } = host.call(&Call::Submit(Box::new(typed))) else {
        panic!("not submitted")
    };
    let mut preview = |then| {
        let call = Call::PreviewRule { rule: rule(then, &["touch", "ran"]) };
        let Ok(Reply::Preview(preview)) = host.person(&call) else { panic!("no preview") };
        (preview.matching, preview.redirected)
    };
    assert_eq!(preview(Then::AskFirst), (3, vec![]));
    assert_eq!(preview(Then::NeedNotAsk), (1, vec![typed, evil]));
}

#[test]
fn an_expired_rule_means_nothing_and_a_preview_says_what_a_rule_would_match() {
    let mut host = TestHost::start();
    let mut over = rule(Then::AskFirst, &["true"]);
    over.expires_at = Some(Timestamp(1));
    add(&mut host, over);
    assert!(!is_asked(&host, &["true"]));
    assert!(!is_asked(&host, &["touch one"]));
    assert!(!is_asked(&host, &["touch", "two"]));
    let ran = host.run(&["rules", "--preview", "touch", "**"]);
    assert!(ran.out.starts_with("2 of 3 tasks match\n"), "{ran:?}");
    assert_eq!(host.run(&["rules", "--preview", "nothing"]).out, "0 of 3 tasks match\n");
}

#[test]
fn a_config_file_edited_to_drop_a_rule_drops_nothing_until_a_person_has_confirmed_it() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    assert_eq!(loosening(&host), None);
    for text in ["", "[[rules]]\nmatch = [\"touch\", \"ran\"]\nthen = \"need_not_ask\"\n"] {
        write_config(&host, text);
        // However often the host is started.
        for _ in 0..2 {
            host.kill();
            host.restart();
            assert!(is_asked(&host, &["touch", "ran"]), "{text}");
        }
        let waiting = loosening(&host).unwrap();
        assert!(
            waiting.changes[0].contains("no longer asked first: touch ** (“touching”)"),
            "{waiting:?}"
        );
        let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
        let [held] = rules.rules.as_slice() else { panic!("{rules:?}") };
        assert!(held.is_dropped && held.rule.name.as_deref() == Some("touching"), "{held:?}");
        assert_eq!(rules.config_file, host.data().join("config.toml").to_string_lossy());
    }
    assert!(host.run(&["rules"]).out.contains("waits to be confirmed"));
    // What was seen before is not what waits now.
    let mut confirm = |shown: String| {
        host.person(&Call::ConfirmLoosening { operation: new_operation().unwrap(), shown })
    };
    assert_eq!(confirm("0".repeat(64)).unwrap_err().code, ErrorCode::Conflict);
    let shown = loosening(&host).unwrap().hash;
    let operation = new_operation().unwrap();
    let confirm = Call::ConfirmLoosening { operation, shown };
    for _ in 0..2 {
        let Ok(Reply::Rules(rules)) = host.person(&confirm) else { panic!("not confirmed") };
        assert_eq!(rules.loosening, None);
    }
    assert!(!is_asked(&host, &["touch", "ran"]));
    host.kill();
    host.restart();
    assert!(!is_asked(&host, &["touch", "ran"]));
    let said = host.run(&["audit"]).out;
    assert_eq!(said.matches("looser config confirmed by a person in the window").count(), 1);
}

#[test]
fn a_config_file_that_asks_for_more_holds_at_once() {
    let mut host = TestHost::start();
    assert!(!is_asked(&host, &["touch", "ran"]));
    write_config(&host, ASKS);
    host.kill();
    host.restart();
    assert!(is_asked(&host, &["touch", "ran"]));
    assert_eq!(loosening(&host), None);
    write_config(&host, &format!("{ASKS}[approvals]\nterminal = true\n"));
    host.kill();
    host.restart();
    let waiting = loosening(&host).unwrap();
    assert_eq!(waiting.changes, ["approvals in a terminal are turned on"]);
}

#[test]
fn a_config_file_that_changes_under_a_running_host_holds_where_it_asks_for_more() {
    let mut host = TestHost::start();
    let holds = |host: &TestHost| {
        let Reply::Rules(rules) = host.call(&Call::Rules) else { panic!("no rules") };
        rules.rules.len()
    };
    assert!(!is_asked(&host, &["touch", "ran"]));
    write_config(&host, ASKS);
    until("the new rule", || (holds(&host) == 1).then_some(()));
    assert!(is_asked(&host, &["touch", "ran"]));
    // Asked for less, it waits for the person, and nobody else can confirm it.
    write_config(&host, "");
    let waiting = until("the change", || loosening(&host));
    assert!(
        waiting.changes[0].contains("no longer asked first: touch ** (“touching”)"),
        "{waiting:?}"
    );
    assert!(is_asked(&host, &["touch", "ran"]));
    // A mistake changes nothing of it.
    write_config(&host, "[[rules]\n");
    assert_eq!(host.run(&["group", "list"]).code, Some(0));
    assert!(is_asked(&host, &["touch", "ran"]));
    write_config(&host, "");
    let confirm =
        Call::ConfirmLoosening { operation: new_operation().unwrap(), shown: waiting.hash };
    until("the confirmation", || host.person(&confirm).ok());
    assert!(!is_asked(&host, &["touch", "ran"]));
    // Back as it was: asked again at once, without a word of anybody.
    write_config(&host, ASKS);
    until("the rule", || (holds(&host) == 1).then_some(()));
    assert!(is_asked(&host, &["touch", "ran"]));
    assert_eq!(loosening(&host), None);
}

#[test]
fn what_a_task_submits_is_asked_about_too() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    // In a file, where no rule sees it.
    std::fs::write(host.work().join("script"), "nod submit -- touch ran\n").unwrap();
    let id = host.submit("sh script");
    host.wait_for_end(id);
    let child = TaskId(id.0 + 1);
    let request = host.wait_for_request(child);
    assert_eq!(request.asked_by, Some(Actor::Task { id, attempt: Some(AttemptNumber::FIRST) }));
    host.answer(&request, Answer::Deny { reason: None });
    assert_eq!(host.wait_for_end(child).state.name(), StateName::Denied);
}

/// Has no task start, or lets them go on.
fn group(host: &TestHost, word: &str) {
    assert_eq!(host.run(&["group", word, "default"]).code, Some(0));
}

#[test]
fn a_rule_that_came_after_the_submit_holds_for_what_has_not_started() {
    let mut host = TestHost::start();
    group(&host, "pause");
    let said = host.run(&["submit", "--", "touch", "ran"]).out;
    assert!(said.contains("running `touch ran`"), "{said}");
    let id = host.tasks()[0].id;
    add(&mut host, rule(Then::AskFirst, &["touch", "**"]));
    assert_eq!(host.detail(id).requests, []);
    group(&host, "resume");
    let request = host.wait_for_request(id);
    assert_eq!(request.asked_by, Some(Actor::Host));
    assert!(!host.work().join("ran").exists());
    // Approved once, it is not asked about again.
    host.answer(&request, Answer::Approve);
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let said = host.run(&["submit", "--", "touch", "ran"]).out;
    assert!(said.contains("waiting for approval"), "{said}");
}

#[test]
fn a_rule_that_lets_pass_is_over_for_what_has_not_started_by_its_end() {
    let mut host = TestHost::start_in(Home::new().with_config(ASKS));
    let mut short = rule(Then::NeedNotAsk, &["touch", "ran"]);
    let end = SystemTime::now() + Duration::from_secs(2);
    let end_ms = end.duration_since(UNIX_EPOCH).unwrap().as_millis();
    short.expires_at = Some(Timestamp(i64::try_from(end_ms).unwrap()));
    add(&mut host, short);
    group(&host, "pause");
    let submit = |host: &TestHost| {
        let mut submit = host.shell_submit("");
        let words = ["touch", "ran"].map(str::to_owned).to_vec();
        submit.command = CommandLine::from_words(words).unwrap();
        let said = host.call(&Call::Submit(Box::new(submit)));
        let Reply::Submitted { id, gated, .. } = said else { panic!("{said:?}") };
        (id, gated)
    };
    let (expired, gated) = submit(&host);
    assert!(!gated);
    until("its end", || (SystemTime::now() > end).then_some(()));
    let rules = add(&mut host, rule(Then::NeedNotAsk, &["touch", "ran"]));
    let (revoked, gated) = submit(&host);
    assert!(!gated);
    let id = rules.rules[0].id.unwrap();
    host.person(&Call::RevokeRule { operation: new_operation().unwrap(), id }).unwrap();
    group(&host, "resume");
    for id in [expired, revoked] {
        let request = host.wait_for_request(id);
        assert_eq!(
            request.shown.detail.as_deref(),
            Some("A rule asks first: touch ** (“touching”)")
        );
    }
    assert!(!host.work().join("ran").exists());
}

#[test]
fn an_automatic_try_is_asked_about_where_a_rule_says_so_by_then() {
    let mut host = TestHost::start();
    let id = host.submit_with(&["--retries", "1", "--backoff", "1s"], &["nod await go; exit 1"]);
    host.wait_for_state(id, StateName::Running);
    add(&mut host, rule(Then::AskFirst, &["nod", "await", "**"]));
    assert_eq!(host.run(&["notify", &id.to_string(), "go"]).code, Some(0));
    let request = host.wait_for_request(id);
    assert_eq!((request.attempt.0, host.state(id)), (2, StateName::Queued));
    host.answer(&request, Answer::Deny { reason: None });
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Denied);
}

#[test]
fn a_folder_of_a_rule_that_asks_may_be_a_link_and_hold_dots() {
    let host = TestHost::start();
    let work = std::fs::canonicalize(host.work()).unwrap();
    std::fs::create_dir_all(work.join("real/below")).unwrap();
    std::os::unix::fs::symlink("real", work.join("link")).unwrap();
    let folders = ["link", "./real/", "real/../real", "real//", "gone"];
    for (n, folder) in folders.iter().enumerate() {
        let folder = work.join(folder).display().to_string();
        let config =
            format!("[[rules]]\nmatch = [\"a{n}\"]\nthen = \"ask_first\"\nfolder = \"{folder}\"\n");
        write_config(&host, &config);
        for (cwd, expected) in [("real", true), ("link", true), ("real/below", true), (".", false)]
        {
            let mut submit = host.shell_submit(&format!("a{n}"));
            submit.cwd = work.join(cwd).display().to_string();
            let said = host.call(&Call::Submit(Box::new(submit)));
            let Reply::Submitted { gated, .. } = said else { panic!("{said:?}") };
            assert_eq!(gated, expected && n < 4, "{folder} in {cwd}");
        }
    }
    let ran = host.run(&["rules"]).out;
    assert!(ran.contains("note: a4: there is no folder"), "{ran}");
}

#[test]
fn a_config_file_holds_where_it_is_a_link_and_where_its_folder_comes_later() {
    let host = TestHost::start();
    let dotfiles = host.path().join("dotfiles");
    let link = host.data().join("config.toml");
    std::os::unix::fs::symlink(dotfiles.join("nod.toml"), link).unwrap();
    assert!(!is_asked(&host, &["touch", "ran"]));
    std::fs::create_dir(&dotfiles).unwrap();
    std::fs::write(dotfiles.join("nod.toml"), ASKS).unwrap();
    // Whoever asks first finds it as it is.
    assert!(is_asked(&host, &["touch", "ran"]));
    assert!(!is_asked(&host, &["mkdir", "made"]));
    std::fs::write(dotfiles.join("nod.toml"), ASKS.replace("touch", "mkdir")).unwrap();
    assert!(is_asked(&host, &["mkdir", "made"]));
}

#[test]
fn a_change_behind_a_link_is_noticed_without_being_asked_for() {
    let host = TestHost::start();
    let dotfiles = host.path().join("dotfiles");
    std::os::unix::fs::symlink(dotfiles.join("nod.toml"), host.data().join("config.toml")).unwrap();
    let rules = |host: &TestHost| {
        let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
        snapshot.loosening
    };
    std::fs::create_dir(&dotfiles).unwrap();
    std::fs::write(dotfiles.join("nod.toml"), "[approvals]\nterminal = true\n").unwrap();
    let loosening = until("the change", || rules(&host));
    assert_eq!(loosening.changes, ["approvals in a terminal are turned on"]);
}
