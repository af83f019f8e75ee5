//! Every call that changes something, said to one host and again to the next: the same reply, and
//! nothing happens twice.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::collections::HashSet;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_client::{Connection, new_operation};
use nod_core::access::Verb;
use nod_core::ids::{OperationId, TaskId};
use nod_core::protocol::{
    Ask, Await, Call, Edit, Feedback, GiveAnswer, GroupChange, Notify, ReadInbox, Reply,
    ReportProgress, SayOutcome, Submit, SubmitMany, Tell, TypeIn, Which,
};
use nod_core::request::Answer;
use nod_core::rule::Rule;
use nod_core::task::{StateName, TaskSaid};
use nod_tests::{Home, TestHost, until};
use serde_json::{Value, json};

/// What only looks, waits, or is about a connection or the host itself.
const CHANGES_NOTHING: [Verb; 21] = [
    Verb::Hello,
    Verb::List,
    Verb::Show,
    Verb::Snapshot,
    Verb::Subscribe,
    Verb::ReadLog,
    Verb::FollowLog,
    Verb::SearchLogs,
    Verb::Wait,
    Verb::Groups,
    Verb::Watch,
    Verb::AwaitAnswer,
    Verb::OpenQuestion,
    Verb::Audit,
    Verb::IsCancelled,
    Verb::Rules,
    Verb::PreviewRule,
    Verb::Settings,
    Verb::Diagnose,
    Verb::ShowWindow,
    // Never sent again by anyone, and what it means is the host that hears it.
    Verb::StopHost,
];

/// What bears no operation because it says how something is to be: said twice, it is so.
const SAYS_HOW_IT_IS: [Verb; 3] = [Verb::Resize, Verb::Progress, Verb::Inbox];

const CONFIG: &str = "[groups.doomed]\nslots = 5\n";
const RULE: &str = "[[rules]]\nmatch = [\"never\"]\nthen = \"ask_first\"\n";

/// Who says it.
#[derive(Clone, Copy)]
enum By {
    Person,
    Program,
    Task,
}

struct Stage {
    host: TestHost,
    /// The token of the task that talks.
    token: String,
    said: Vec<(By, Call, Value)>,
}

impl Stage {
    fn say(&mut self, by: By, call: &Call) -> Reply {
        match by {
            By::Person => {
                self.host.person(call).unwrap_or_else(|error| panic!("{call:?}: {error}"))
            }
            By::Program => self.host.call(call),
            By::Task => self.as_task().call(call).unwrap_or_else(|e| panic!("{call:?}: {e}")),
        }
    }

    fn as_task(&self) -> Connection {
        Connection::open(&self.host.socket(), Some(self.token.clone())).unwrap()
    }

    /// Says it for the first time.
    fn first(&mut self, by: By, call: Call) -> Reply {
        let reply = self.say(by, &call);
        self.said.push((by, call, essence(&reply)));
        reply
    }
}

/// Returns what a reply says but for how the task, the groups or the rules are by now.
fn essence(reply: &Reply) -> Value {
    let mut value = serde_json::to_value(reply).unwrap();
    let id = value["task"]["id"].clone();
    if let Some(fields) = value.as_object_mut() {
        for later in ["task", "groups", "rules", "loosening"] {
            fields.remove(later);
        }
        fields.insert("id of the task".into(), id);
    }
    value
}

/// Returns everything that is stored but what a start of a host writes.
fn stored(host: &TestHost) -> Vec<String> {
    let database = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    let rows = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let columns = statement.column_count();
        let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
            let values = (0..columns).map(|column| row.get::<_, rusqlite::types::Value>(column));
            Ok(format!("{sql}: {:?}", values.collect::<Result<Vec<_>, _>>()?))
        };
        statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let tables = [
        "tasks",
        "attempts",
        "requests",
        "events",
        "operations",
        "audit",
        "rules",
        "guards",
        "settings",
        "groups",
        "signals",
        "waits",
        "messages",
        "notices",
        "leftovers",
    ];
    tables.iter().flat_map(|table| rows(&format!("SELECT * FROM {table}"))).collect()
}

fn operation() -> OperationId {
    new_operation().unwrap()
}

/// Submits a task and waits for its end.
fn ended(host: &TestHost) -> TaskId {
    let id = host.submit("true");
    host.wait_for_end(id);
    id
}

/// Says each of the calls that are about tasks from outside.
fn about_tasks(stage: &mut Stage, talker: TaskId) {
    let host = &stage.host;
    let (old, gone, again) = (ended(host), ended(host), ended(host));
    let queued = host.submit_with(&["--delay", "1h"], &["true"]);
    let sleeping = host.submit("sleep 6181");
    let _doomed = host.submit_with(&["--group", "doomed"], &["sleep 6182"]);
    let (one, two, three) =
        (host.shell_submit("true"), host.shell_submit("true"), host.shell_submit("true"));
    let mut keyed = host.shell_submit("true");
    keyed.scheduling.key = Some("nightly".to_owned());
    keyed.scheduling.delay_ms = Some(3_600_000);
    let known = Submit { operation: operation(), ..keyed.clone() };
    let mut edit = Edit::new(operation(), queued);
    edit.label = Some("edited".into());
    let doomed = Which { group: Some("doomed".into()), ..Which::default() };
    let text = "hello".to_owned();
    for call in [
        Call::Submit(Box::new(one)),
        Call::Submit(Box::new(keyed)),
        Call::Submit(Box::new(known)),
        Call::SubmitMany(SubmitMany { environment: None, tasks: vec![two, three] }),
        Call::RunAgain { operation: operation(), id: old },
        Call::Cancel { operation: operation(), id: sleeping },
        Call::CancelMany { operation: operation(), which: doomed },
        Call::Edit(Box::new(edit)),
        Call::Deadline { operation: operation(), id: queued, timeout_ms: Some(77_000) },
        Call::Retry { operation: operation(), id: again },
        Call::Remove { operation: operation(), id: gone, session: None },
        Call::Pause { operation: operation(), id: talker },
        Call::Resume { operation: operation(), id: talker },
        Call::Notify(Notify {
            operation: operation(),
            id: talker,
            key: "k".into(),
            data: json!(1),
        }),
        Call::Notify(Notify {
            operation: operation(),
            id: talker,
            key: "l".into(),
            data: json!(2),
        }),
        Call::Feedback(Feedback { operation: operation(), id: talker, text, interrupt: false }),
        Call::ChangeGroup {
            operation: operation(),
            name: "new".into(),
            change: GroupChange::Add { slots: 3 },
        },
    ] {
        stage.first(By::Program, call);
    }
    let data = BASE64.encode("typed\n");
    let typed = TypeIn { operation: Some(operation()), id: talker, data, session: None };
    stage.first(By::Person, Call::Input(typed));
    stage.first(By::Person, Call::Resize { id: talker, columns: 90, rows: 33 });
}

/// Says each of the calls that a task makes, and the person's answer.
fn of_a_task(stage: &mut Stage, talker: TaskId) {
    let ask = Ask::approval(operation(), "Deploy?");
    let mut asking = stage.as_task();
    asking.send(&Call::Ask(ask.clone())).unwrap();
    let request = stage.host.wait_for_request(talker);
    let answer = GiveAnswer {
        operation: operation(),
        request: request.id,
        answer: Answer::Approve,
        comment: None,
        shown: request.hash,
    };
    stage.first(By::Person, Call::Answer(answer));
    stage.first(By::Task, Call::Ask(ask));
    let withdrawn = operation();
    let mut asking = stage.as_task();
    asking.send(&Call::Ask(Ask::approval(withdrawn.clone(), "Now?"))).unwrap();
    let _open = stage.host.wait_for_request(talker);
    stage.first(By::Task, Call::Withdraw { operation: withdrawn });
    let wait = Await { operation: operation(), key: "k".into(), timeout_ms: None, resume_at: None };
    stage.first(By::Task, Call::Await(wait));
    stage.first(By::Task, Call::Inbox(ReadInbox { seen: Some(1), follow: false }));
    let text = "halfway".to_owned();
    stage.first(By::Task, Call::Tell(Tell { operation: operation(), text, urgent: false }));
    let said = TaskSaid::Result { data: json!({ "url": "x" }), message: None };
    stage.first(By::Task, Call::SayOutcome(SayOutcome { operation: operation(), said }));
    let progress = ReportProgress { percent: Some(40.0), message: None, phase: None };
    stage.first(By::Task, Call::Progress(progress));
    let database = rusqlite::Connection::open(stage.host.data().join("nod.db")).unwrap();
    let sql = "SELECT progress FROM tasks WHERE id = ?1";
    until("the progress", || {
        database.query_row(sql, [talker.0], |row| row.get::<_, Option<String>>(0)).unwrap()
    });
}

/// Says each of the calls that are about rules.
fn about_rules(stage: &mut Stage) {
    let rule = json!({ "match": ["never", "ever"], "then": "ask_first" });
    let rule: Rule = serde_json::from_value(rule).unwrap();
    let add = Call::AddRule { operation: operation(), rule };
    let Reply::Rules(list) = stage.first(By::Person, add) else { panic!("no rules") };
    let id = list.rules.iter().find_map(|rule| rule.id).unwrap();
    stage.first(By::Person, Call::RevokeRule { operation: operation(), id });
    fs::write(stage.host.data().join("config.toml"), CONFIG).unwrap();
    let shown = until("the change", || match stage.host.person(&Call::Rules) {
        Ok(Reply::Rules(list)) => list.loosening.map(|loosening| loosening.hash),
        other => panic!("{other:?}"),
    });
    stage.first(By::Person, Call::ConfirmLoosening { operation: operation(), shown });
    let allow = Call::AllowNotificationApprovals { operation: operation(), allowed: true };
    stage.first(By::Person, allow);
}

#[test]
fn what_is_sent_again_to_the_next_host_has_its_first_reply_and_happened_once() {
    let home = Home::new().with_config(&format!("{CONFIG}{RULE}"));
    let host = TestHost::start_in(home);
    let talker = host.submit_with(&["-i"], &["echo $NOD_TOKEN > token; cat > got"]);
    let token = until("the token", || {
        let token = fs::read_to_string(host.work().join("token")).ok()?;
        token.strip_suffix('\n').map(str::to_owned)
    });
    host.wait_for_state(talker, StateName::Running);
    let mut stage = Stage { host, token, said: vec![] };
    about_tasks(&mut stage, talker);
    of_a_task(&mut stage, talker);
    about_rules(&mut stage);
    let lasting = |host: &TestHost| {
        let goes_on = |id: &TaskId| !host.task(*id).state.name().is_terminal();
        host.tasks().iter().map(|task| task.id).filter(goes_on).count()
    };
    // The one that talks, and the two that are late.
    until("the others' ends", || (lasting(&stage.host) == 3).then_some(()));

    stage.host.kill();
    stage.host.restart();
    // The shim of the one that talks is connected once it can be typed to.
    let data = BASE64.encode("more\n");
    let more = TypeIn { operation: Some(operation()), id: talker, data, session: None };
    stage.first(By::Person, Call::Input(more));
    let said: HashSet<Verb> = stage.said.iter().map(|(_, call, _)| call.verb()).collect();
    for verb in Verb::ALL {
        assert_ne!(said.contains(verb), CHANGES_NOTHING.contains(verb), "{verb:?}");
    }
    for (_, call, _) in &stage.said {
        let is_how_it_is = SAYS_HOW_IT_IS.contains(&call.verb());
        assert_eq!(call.operation().is_none(), is_how_it_is, "{call:?}");
    }
    let before = stored(&stage.host);
    for (by, call, reply) in std::mem::take(&mut stage.said) {
        let again = essence(&stage.say(by, &call));
        assert_eq!(again, reply, "{call:?}");
    }
    let after = stored(&stage.host);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
    assert_eq!(fs::read_to_string(stage.host.work().join("got")).unwrap(), "typed\nmore\n");
}
