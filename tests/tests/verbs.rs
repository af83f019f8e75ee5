//! What every verb and every call says of what it cannot use: of another protocol, of bytes that are
//! no call, of too many of them, of a config file with an error.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use nod_core::protocol::{MESSAGE_LIMIT, PROTOCOL};
use nod_core::task::{StateName, TaskSaid};
use nod_tests::{Home, TestHost, until};
use serde_json::{Value, json};

/// A use of each verb that needs a host, as a person or an agent makes it; task 1 runs, and 2 has
/// ended.
const USES: [&[&str]; 26] = [
    &["submit", "--", "true"],
    &["list"],
    &["show", "1"],
    &["logs", "1"],
    &["search", "nothing"],
    &["wait", "2"],
    &["cancel", "--session", "none"],
    &["pause", "1"],
    &["resume", "1"],
    &["stdin", "1", "--line", "x"],
    &["run-again", "2"],
    &["retry", "2"],
    &["edit", "1", "--priority", "1"],
    &["deadline", "1", "1h"],
    &["remove", "3"],
    &["group", "list"],
    &["watch", "--since", "999999"],
    &["ask", "Go?", "--timeout", "0s"],
    &["notify", "1", "k"],
    &["feedback", "1", "x"],
    &["approve", "1"],
    &["deny", "1"],
    &["rules"],
    &["audit"],
    &["stop"],
    &["doctor"],
];

#[test]
fn the_list_of_uses_is_whole() {
    let others =
        ["serve", "help", "progress", "await", "inbox", "tell", "result", "fail", "cancelled"];
    let known: BTreeSet<_> = USES.iter().map(|words| words[0]).chain(others).collect();
    let help = Home::new().run(&["--help"]).out;
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.map_while(|line| line.split_whitespace().next()).collect::<BTreeSet<_>>();
    assert_eq!(listed, known);
}

#[test]
fn every_verb_says_of_a_host_that_is_too_new_that_they_do_not_understand_each_other() {
    let newer = json!({ "version": "99.0.0", "protocol": PROTOCOL + 2 });
    let mut host = TestHost::start_as(Home::new(), &newer);
    for words in USES {
        let ran = host.run(words);
        let said = format!("{}{}", ran.out, ran.err);
        let code = if words == ["doctor"] { 1 } else { 76 };
        assert_eq!(ran.code, Some(code), "{words:?}: {ran:?}");
        assert!(said.contains(&format!("does not speak protocol {PROTOCOL}")), "{words:?}: {said}");
    }
    // It was asked for nothing, and is still there.
    host.stop();
}

#[test]
fn every_verb_of_a_task_says_it_of_such_a_host_and_what_it_says_to_the_next_counts() {
    // Those that must be heard wait for another host first, so they do it side by side.
    let uses = [
        ("progress 5", 0),
        ("await k --timeout 0s", 76),
        ("inbox", 76),
        ("tell x", 76),
        ("result 1", 76),
        ("fail x", 76),
        ("cancelled", 76),
        ("ask Go? --timeout 0s", 76),
    ];
    let lines = uses.map(|(line, _)| {
        let verb = line.split(' ').next().unwrap();
        format!("{{ nod {line} > {verb}.said 2>&1; echo $? > {verb}.code; }} &")
    });
    let mut host = TestHost::start();
    let id = host.submit(&format!(
        "touch ready; while [ ! -e go ]; do sleep 0.02; done\n{}\nwait; touch said; \
         while [ ! -e end ]; do sleep 0.02; done; nod result 2",
        lines.join("\n")
    ));
    let has = |host: &Home, name: &str| host.work().join(name).exists().then_some(());
    until("the task", || has(&host, "ready"));
    host.stop();
    host.restart_as(Some(&json!({ "version": "99.0.0", "protocol": PROTOCOL + 2 })));
    fs::write(host.work().join("go"), "").unwrap();
    until("what they say", || has(&host, "said"));
    for (line, code) in uses {
        let verb = line.split(' ').next().unwrap();
        let read =
            |what: &str| fs::read_to_string(host.work().join(format!("{verb}.{what}"))).unwrap();
        let said = read("said");
        assert_eq!(read("code"), format!("{code}\n"), "{line}: {said}");
        assert!(said.contains(&format!("does not speak protocol {PROTOCOL}")), "{line}: {said}");
    }
    // It took nothing of all that, and the next one hears the task again.
    host.stop();
    host.restart();
    fs::write(host.work().join("end"), "").unwrap();
    let ended = host.wait_for_end(id);
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert_eq!(host.detail(id).requests.len(), 0);
    assert_eq!(ended.condition.said, Some(TaskSaid::Result { data: json!(2), message: None }));
}

/// Has the task 1 that runs and 2 that has ended.
fn host_with_two(home: Home) -> TestHost {
    let host = TestHost::start_in(home);
    let _running = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let ended = host.submit("true");
    host.wait_for_end(ended);
    host.wait_for_state(nod_core::ids::TaskId(1), StateName::Running);
    host
}

#[test]
fn every_verb_does_with_a_faulty_config_file_what_it_did_before() {
    let config = "[groups.default]\nslots = 4\n";
    let plain = host_with_two(Home::new().with_config(config));
    let faulty = host_with_two(Home::new().with_config(config));
    let text = "[groups.default]\nslots = 4\n[kinds.k]\nargv = 7\n";
    fs::write(faulty.data().join("fresh"), text).unwrap();
    fs::rename(faulty.data().join("fresh"), faulty.data().join("config.toml")).unwrap();
    for words in USES.into_iter().filter(|words| *words != ["doctor"] && *words != ["stop"]) {
        let (before, after) = (plain.run(words), faulty.run(words));
        assert_eq!(before.code, after.code, "{words:?}: {before:?} {after:?}");
        // Those that go by the file say what is wrong with it, and where.
        if matches!(words[0], "submit" | "run-again" | "group" | "rules") {
            for part in ["config.toml", "line 4", "stays in force"] {
                assert!(
                    after.err.contains(part) || after.out.contains(part),
                    "{words:?}: {after:?}"
                );
            }
        }
    }
    assert!(faulty.run(&["group", "list"]).out.contains("default: 1 of 4"));
}

#[test]
fn whoever_names_what_a_faulty_config_file_would_have_hears_of_the_fault() {
    let host = TestHost::start_in(Home::new().with_config("[resources]\ngpu = 1\n"));
    let blocks = host.submit("while [ ! -e go ]; do sleep 0.02; done").to_string();
    let queued = host.submit_with(&["--after", &blocks], &["true"]).to_string();
    let text = "[kinds.newk]\nargv = 7\n[groups.newg]\n[resources]\ngpu = 4\nnewr = 1\n";
    fs::write(host.data().join("fresh"), text).unwrap();
    fs::rename(host.data().join("fresh"), host.data().join("config.toml")).unwrap();
    let lines = host.path().join("tasks.jsonl");
    let lines = lines.to_str().unwrap();
    fs::write(lines, "{\"kind\": \"newk\"}\n{\"group\": \"newg\", \"command\": \"true\"}\n")
        .unwrap();
    let cases: [(&[&str], &str); 9] = [
        (&["submit", "--kind", "newk"], "no kind is named `newk`"),
        (&["submit", "--group", "newg", "--", "true"], "no group is named `newg`"),
        (&["submit", "--uses", "newr", "--", "true"], "no resource is named `newr`"),
        (&["submit", "--uses", "gpu:3", "--", "true"], "there are only 1 of gpu"),
        (&["edit", &queued, "--group", "newg"], "no group is named `newg`"),
        (&["edit", &queued, "--uses", "newr"], "no resource is named `newr`"),
        (&["edit", &queued, "--uses", "gpu:3"], "there are only 1 of gpu"),
        (&["group", "pause", "newg"], "no group is named `newg`"),
        (&["submit", "--from", lines], "line 2: no group is named `newg`"),
    ];
    for (words, why) in cases {
        let ran = host.run(words);
        assert!(matches!(ran.code, Some(1 | 2)), "{words:?}: {ran:?}");
        for part in [why, "config.toml", "line 2", "the last good configuration stays in force"] {
            assert!(ran.err.contains(part), "{words:?} without {part}: {ran:?}");
        }
    }
    // What has nothing to do with it is said as ever.
    let ran = host.run(&["edit", "99", "--priority", "1"]);
    assert!(!ran.err.contains("config.toml"), "{ran:?}");
    // And once the file can be read there is nothing more to say.
    fs::write(host.data().join("config.toml"), "").unwrap();
    for (words, expected) in [
        (
            ["submit", "--kind", "newk", "--"],
            "no kind is named `newk` in the config file; there is none",
        ),
        (["submit", "--uses", "newr", "true"], "under [resources]; there is none"),
        (
            ["submit", "--group", "newg", "true"],
            "`nod group add newg --slots N` makes it; there are: default",
        ),
    ] {
        let ran = host.run(&words);
        assert!(ran.err.trim_end().ends_with(expected), "{words:?}: {ran:?}");
    }
    fs::write(host.work().join("go"), "").unwrap();
}

/// Sends lines on one connection, and returns what comes back for each until the host hangs up.
fn converse(host: &Home, lines: &[Vec<u8>]) -> Vec<Value> {
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut heard = vec![];
    for line in lines {
        // A host that refuses in the middle hangs up.
        if stream.write_all(&[line, b"\n".as_slice()].concat()).is_err() {
            heard.extend(replies.by_ref().map_while(Result::ok).map(|it| parsed(&it)));
            break;
        }
        let Some(Ok(reply)) = replies.next() else { break };
        heard.push(parsed(&reply));
    }
    heard
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect("the host speaks JSON")
}

fn call(id: u64, method: &str, params: &Value) -> Vec<u8> {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string().into()
}

fn hello(protocol: u32) -> Vec<u8> {
    call(0, "hello", &json!({ "protocol": protocol, "token": null }))
}

/// Returns the methods that the host knows, as it lists them itself.
fn methods(host: &Home) -> Vec<String> {
    let heard = converse(host, &[hello(PROTOCOL), call(1, "nonsense", &Value::Null)]);
    let said = heard[1]["error"]["message"].as_str().unwrap();
    let (_, listed) = said.split_once("expected one of ").unwrap();
    let named: Vec<_> = listed.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(named.len() > 40 && named.contains(&"submit".to_owned()), "{said}");
    named
}

#[test]
fn every_call_is_refused_where_it_is_of_another_protocol_unreadable_or_too_long() {
    let host = TestHost::start();
    for method in methods(&host) {
        // Sooner than anything else, and nothing comes after it.
        for protocol in [0, PROTOCOL + 1, u32::MAX] {
            let heard = converse(&host, &[hello(protocol), call(1, &method, &json!({ "id": 1 }))]);
            assert_eq!(heard[0]["error"]["data"]["code"], "version", "{method} {protocol}");
            assert_eq!(heard.len(), 1, "{method} {protocol}: {heard:?}");
        }
        // Under its own number, and the connection goes on.
        let broken =
            format!("{{\"id\":7,\"method\":\"{method}\",\"params\":{{\"id\":").into_bytes();
        let wrong = call(8, &method, &json!("no parameters of any call"));
        let heard =
            converse(&host, &[hello(PROTOCOL), broken, wrong, call(9, "groups", &Value::Null)]);
        for (reply, id) in [(&heard[1], Value::Null), (&heard[2], json!(8))] {
            assert_eq!(reply["error"]["data"]["code"], "bad_request", "{method}: {reply}");
            assert_eq!(reply["id"], id, "{method}: {reply}");
        }
        assert_eq!(
            (&heard[3]["id"], heard[3]["result"]["type"].as_str()),
            (&json!(9), Some("groups"))
        );
        let long = call(1, &method, &json!({ "id": "x".repeat(MESSAGE_LIMIT) }));
        let heard = converse(&host, &[hello(PROTOCOL), long]);
        let said = heard[1]["error"]["message"].as_str().unwrap();
        assert_eq!(said, format!("a message holds {MESSAGE_LIMIT} bytes at most"), "{method}");
    }
    assert_eq!(host.count_of_tasks(), 0);
}

#[test]
fn every_verb_that_takes_a_text_has_a_length_for_it() {
    let host = host_with_two(Home::new());
    let long = "x".repeat(120_000);
    let json = format!("\"{long}\"");
    let file = host.work().join("long");
    fs::write(&file, &long).unwrap();
    let path = file.to_str().unwrap();
    let long = long.as_str();
    let cases: [&[&str]; 18] = [
        &["submit", "--label", long, "--", "true"],
        &["submit", "--session", long, "--", "true"],
        &["submit", "--key", long, "--", "true"],
        &["submit", "--timeout", long, "--", "true"],
        &["submit", "--", "true", long, long],
        &["edit", "1", "--label", long],
        &["group", "add", long, "--slots", "1"],
        &["list", "--search", long],
        &["rules", "--preview", long],
        &["feedback", "1", long],
        &["notify", "1", long],
        &["notify", "1", "k", &json],
        &["notify", "1", "k", "{no json"],
        &["ask", long],
        &["ask", "Go?", "--detail-file", path],
        &["ask", "Go?", "--schema", path],
        &["approve", "1", "--comment", long],
        &["deny", "1", "--reason", long],
    ];
    for words in cases {
        let ran = host.run(words);
        let shown: Vec<_> = words.iter().map(|word| word.get(..20).unwrap_or(word)).collect();
        assert_eq!(ran.code, Some(2), "{shown:?}: {ran:?}");
        assert!(!ran.err.is_empty(), "{shown:?}");
    }
    // And from within a task.
    let line = "for verb in tell fail result 'progress 5' await; do \
                  nod $verb \"$(cat long)\" 2> said < /dev/null; echo \"$verb $?\" >> codes; done";
    let id = host.submit(line);
    host.wait_for_end(id);
    let codes = fs::read_to_string(host.work().join("codes")).unwrap();
    assert_eq!(codes, "tell 2\nfail 2\nresult 2\nprogress 5 0\nawait 2\n");
    assert_eq!(host.count_of_tasks(), 3);
}
