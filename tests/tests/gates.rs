//! What is asked about before it starts: by rules of one session or kind, and before each try.

use nod_core::request::Answer;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, processes, until};

#[test]
fn a_rule_speaks_of_one_session_or_one_kind_where_it_says_so() {
    let kind = "[kinds.touching]\nargv = [\"touch\", \"{*}\"]\n";
    let scoped = |name: &str, word: &str| {
        format!("[[rules]]\nmatch = [\"touch\", \"{word}\"]\nthen = \"ask_first\"\n{name}\n")
    };
    let config = [
        kind.to_owned(),
        scoped("session = \"agent-1\"", "of-session"),
        scoped("kind = \"touching\"", "of-kind"),
    ];
    let host = TestHost::start_in(Home::new().with_config(&config.concat()));
    let asks = |options: &[&str], word: &str| {
        let kind = options.contains(&"--kind");
        let words = if kind { vec![word] } else { vec!["touch", word] };
        let id = host.submit_with(options, &words);
        let asks = !host.detail(id).requests.is_empty();
        if asks {
            assert_eq!(host.run(&["cancel", &id.to_string()]).code, Some(0));
        }
        host.wait_for_end(id);
        asks
    };
    let cases: [(&[&str], &str, bool); 6] = [
        (&["--session", "agent-1"], "of-session", true),
        (&["--session", "agent-2"], "of-session", false),
        (&[], "of-session", false),
        (&["--kind", "touching"], "of-kind", true),
        (&[], "of-kind", false),
        (&["--kind", "touching"], "of-session", false),
    ];
    for (options, word, expected) in cases {
        assert_eq!(asks(options, word), expected, "{options:?} {word}");
    }
}

#[test]
fn a_gate_asks_before_every_try_that_follows_by_itself() {
    let config = "[kinds.kept]\nargv = [\"sleep\", \"6207\"]\ngate = true\non_lost = \"requeue\"\n\
                  [kinds.tried]\nargv = [\"false\"]\ngate = true\nretries = 1\nbackoff = \"10ms\"\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    let tried = [
        host.submit_with(&["--ask-first", "--retries", "1", "--backoff", "10ms"], &["false"]),
        host.submit_with(&["--kind", "tried"], &[]),
        host.submit_with(&["--kind", "kept"], &[]),
    ];
    for (id, lost) in tried.into_iter().zip([false, false, true]) {
        let first = host.wait_for_request(id);
        assert_eq!(first.attempt.0, 1);
        host.answer(&first, Answer::Approve);
        if lost {
            host.wait_for_state(id, StateName::Running);
            processes::kill_9(processes::parent(host.detail(id).attempts[0].process.unwrap()));
        }
        let second = until("the question before the second try", || {
            host.detail(id).requests.into_iter().find(|it| it.is_open() && it.id != first.id)
        });
        assert_eq!((second.attempt.0, host.state(id)), (2, StateName::Queued));
        assert_eq!(host.detail(id).attempts.len(), 1, "nothing was started");
        host.answer(&second, Answer::Deny { reason: None });
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Denied);
    }
}
