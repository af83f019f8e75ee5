//! What the person sets in the window, and nobody else.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;

use nod_client::{ClientError, Connection, new_operation};
use nod_core::access::{Actor, Surface};
use nod_core::protocol::{
    AuditQuery, AuditWhat, Call, ErrorCode, NotificationsBy, Reply, Settings,
};
use nod_tests::home::LENDS_TOKEN;
use nod_tests::{Home, TestHost};
use rusqlite::Connection as Database;

/// A program for tasks: wants Approve in notifications turned on, over the raw socket.
const SEND: &str = r#"
import json, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
def say(id, method, params):
    s.sendall((json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n").encode())
terminal = len(sys.argv) > 2
say(1, "hello", {"protocol": 2, "token": None if terminal else os.environ.get("NOD_TOKEN"), "terminal": terminal})
try:
    say(2, "allow_notification_approvals", {"operation": os.urandom(8).hex(), "allowed": True})
except BrokenPipeError:
    pass  # Who is not believed at a terminal may be hung up on by now.
f = s.makefile()
first = f.readline()
print(first.strip() if terminal else f.readline().strip())
"#;

fn settings(host: &TestHost) -> Settings {
    let reply = host.connect().call(&Call::Settings).unwrap();
    let Reply::Settings(settings) = reply else { panic!("{reply:?}") };
    settings
}

fn allow(allowed: bool) -> Call {
    Call::AllowNotificationApprovals { operation: new_operation().unwrap(), allowed }
}

fn refusal(said: Result<Reply, ClientError>) -> ErrorCode {
    match said {
        Err(ClientError::Refused(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_program_and_no_task_turns_approvals_in_notifications_on() {
    let mut host = TestHost::start();
    assert!(!settings(&host).notification_approvals);
    assert_eq!(refusal(host.connect().call(&allow(true))), ErrorCode::Forbidden);
    let id = host.submit(&format!("{LENDS_TOKEN}nod await go"));
    let mut task = Connection::open(&host.socket(), Some(host.token())).unwrap();
    assert_eq!(refusal(task.call(&allow(true))), ErrorCode::Forbidden);

    fs::write(host.work().join("send.py"), SEND).unwrap();
    let send = format!("python3 send.py {}", host.socket().display());
    let ways = [
        send.clone(),
        format!("env -i PATH=\"$PATH\" {send}"),
        format!("setsid script -qec '{send}' /dev/null"),
        format!("script -qec '{send} terminal' /dev/null"),
    ];
    for way in ways {
        let sent = host.submit(&format!("{way} > said"));
        host.wait_for_end(sent);
        let said = fs::read_to_string(host.work().join("said")).unwrap();
        assert!(said.contains("forbidden"), "{way}: {said}");
    }
    // No key of the config file does it either.
    fs::write(host.data().join("config.toml"), "[approvals]\nnotifications = true\n").unwrap();
    let settings = settings(&host);
    assert!(settings.config.error.unwrap().contains("unknown field `notifications`"));
    assert!(!settings.notification_approvals);
    let Reply::Audit(audit) = host.person(&Call::Audit(AuditQuery::default())).unwrap() else {
        panic!("no audit")
    };
    assert!(audit.rows.iter().all(|row| row.what != AuditWhat::SettingChanged));
    assert_eq!(host.run(&["notify", &id.to_string(), "go"]).code, Some(0));
    host.wait_for_end(id);
}

#[test]
fn what_the_person_sets_outlives_the_host_and_is_audited() {
    let mut host = TestHost::start();
    let on = allow(true);
    assert_eq!(host.person(&on).unwrap(), Reply::Done);
    host.kill();
    host.restart();
    assert!(settings(&host).notification_approvals);
    // Sent again, as after a lost reply, it does nothing twice.
    assert_eq!(host.person(&on).unwrap(), Reply::Done);
    host.person(&allow(false)).unwrap();
    host.stop();
    host.restart();
    assert!(!settings(&host).notification_approvals);
    let Reply::Audit(audit) = host.person(&Call::Audit(AuditQuery::default())).unwrap() else {
        panic!("no audit")
    };
    let rows: Vec<_> = audit
        .rows
        .into_iter()
        .map(|row| {
            let person = Actor::Person { surface: Surface::Window };
            assert_eq!((row.what, row.actor), (AuditWhat::SettingChanged, person));
            row.detail.unwrap()
        })
        .collect();
    assert_eq!(
        rows,
        ["Approve in notifications: turned off", "Approve in notifications: turned on"]
    );
    assert!(host.run(&["audit"]).out.contains("setting changed by a person in the window"));
}

#[test]
fn a_history_that_was_damaged_forgets_what_was_allowed() {
    let mut host = TestHost::start();
    host.wait_for_end(host.submit("true"));
    host.person(&allow(true)).unwrap();
    host.kill();
    let path = host.data().join("nod.db");
    let database = Database::open(&path).unwrap();
    database.pragma_update(None, "wal_checkpoint", "TRUNCATE").unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'operations'";
    let page: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
    let page = usize::try_from(page).unwrap();
    drop(database);
    // What was set can be read still, and something else cannot.
    let mut bytes = fs::read(&path).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    host.restart();
    assert!(host.data().join("damaged").exists());
    assert!(!settings(&host).notification_approvals);
    assert_eq!(host.tasks().len(), 1);
}

#[test]
fn a_history_that_lost_its_newest_part_forgets_what_was_allowed() {
    let mut host = TestHost::start();
    host.person(&allow(true)).unwrap();
    for _ in 0..6 {
        host.wait_for_end(host.submit("true"));
    }
    host.kill();
    let wal = host.data().join("nod.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let late = bytes.len() * 3 / 4;
    bytes[late..late + 64].fill(0xa5);
    fs::write(&wal, &bytes).unwrap();
    host.restart();
    assert!(host.data().join("damaged").exists());
    assert!(!settings(&host).notification_approvals);
}

#[test]
fn what_is_in_force_of_the_config_file_is_said() {
    let config = "default_group = \"build\"\n[groups.build]\nslots = 3\n[cancel]\ngrace_ms = 2500\n\
                  [approvals]\nterminal = true\n";
    let mut host = TestHost::start_in(Home::new().with_config(config));
    let path = host.data().join("config.toml");
    let Settings { notifications, config, .. } = settings(&host);
    assert_eq!(notifications, NotificationsBy::Nobody);
    assert_eq!((config.file.as_str(), config.is_there), (path.to_str().unwrap(), true));
    assert_eq!((config.default_group.as_str(), config.default_slots), ("build", 3));
    assert_eq!((config.grace_ms, config.error), (2_500, None));
    // What the file says of answers in a terminal waits for the person.
    assert!(!config.terminal_approvals);
    let Reply::Rules(rules) = host.person(&Call::Rules).unwrap() else { panic!("no rules") };
    let (operation, shown) = (new_operation().unwrap(), rules.loosening.unwrap().hash);
    host.person(&Call::ConfirmLoosening { operation, shown }).unwrap();
    assert!(settings(&host).config.terminal_approvals);
    // What is said by command holds over the file.
    assert_eq!(host.run(&["group", "set", "build", "--slots", "5"]).code, Some(0));
    assert_eq!(settings(&host).config.default_slots, 5);
    fs::remove_file(&path).unwrap();
    let Settings { config, .. } = settings(&host);
    assert!(!config.is_there && !config.terminal_approvals);
    assert_eq!((config.default_group.as_str(), config.default_slots), ("default", 64));
    fs::write(&path, "slots = 3\n").unwrap();
    assert!(settings(&host).config.error.unwrap().contains("line 1"));
}
