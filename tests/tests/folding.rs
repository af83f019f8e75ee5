//! The same question of several at once, with real processes: who is named, who hears the answer.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::time::SystemTime;

use nod_core::access::Actor;
use nod_core::ids::Timestamp;
use nod_core::protocol::{AuditQuery, AuditRow, Call, Reply};
use nod_core::request::{Answer, Request};
use nod_tests::{TestHost, until};

fn read(host: &TestHost, name: &str) -> String {
    std::fs::read_to_string(host.work().join(name)).unwrap()
}

fn audit(host: &TestHost) -> Vec<AuditRow> {
    let Reply::Audit(page) = host.call(&Call::Audit(AuditQuery::default())) else { panic!() };
    page.rows
}

fn of_program(host: &TestHost) -> Option<Request> {
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    let open = snapshot.requests.into_iter().filter(|request| request.task.is_none());
    let mut open: Vec<_> = open.collect();
    assert!(open.len() <= 1, "{open:?}");
    open.pop()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since.as_millis()).unwrap())
}

const APPROVED: &str = "{\"answer\":\"approved\"}\n";

#[test]
fn each_asker_of_a_folded_question_hears_the_answer_once_though_the_host_dies() {
    let mut host = TestHost::start();
    let id = host.submit(
        "for n in 1 2 3; do (nod ask 'Go on?' >> said-$n; echo $? >> code-$n) & done; wait",
    );
    let request = host.wait_for_request(id);
    let also = |host: &TestHost| host.request(id, request.id).also_asked_by.len();
    until("three to ask", || (also(&host) == 2).then_some(()));
    let shown = host.run(&["show", &id.to_string()]).out;
    assert!(shown.contains(&format!("also asked by task {id}, 2 times")), "{shown}");
    host.kill();
    host.restart();
    assert_eq!(also(&host), 2);
    let request = host.request(id, request.id);
    host.answer(&request, Answer::Approve);
    host.wait_for_end(id);
    for n in 1..=3 {
        let said = (read(&host, &format!("said-{n}")), read(&host, &format!("code-{n}")));
        assert_eq!(said, (APPROVED.to_owned(), "0\n".to_owned()));
    }
    let [row] = audit(&host).try_into().unwrap();
    assert_eq!(row.also_asked_by.len(), 2);
    let words = host.run(&["audit"]).out;
    assert!(words.contains(&format!("and also by task {id}, 2 times")), "{words}");
}

#[test]
fn a_program_that_asks_twice_is_named_twice_and_one_of_them_may_go() {
    let mut host = TestHost::start();
    let mut asking = host.command("sh");
    let line = "nod=$1; $nod ask 'May I go?' > one & echo $! > first.new; mv first.new first; \
                while [ ! -e more ]; do sleep 0.02; done; $nod ask 'May I go?' > two & \
                wait $!; exit 0";
    asking.args(["-c", line, "sh"]).arg(nod_tests::home::program("nod"));
    let mut asking = asking.spawn().unwrap();
    let first = until("the first", || of_program(&host));
    std::fs::write(host.work().join("more"), "").unwrap();
    let request = until("the second", || {
        of_program(&host).filter(|request| request.also_asked_by.len() == 1)
    });
    assert_eq!(request.id, first.id);
    let Some(Actor::Peer { pid, .. }) = request.asked_by else { panic!("{request:?}") };
    assert_eq!(read(&host, "first").trim(), pid.to_string());
    let second = request.also_asked_by[0].by.clone();
    let process = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    let request = until("the first to have gone", || {
        of_program(&host).filter(|request| request.also_asked_by[0].gone)
    });
    assert_eq!(request.asked_by, Some(second));
    host.answer(&request, Answer::Approve);
    assert!(asking.wait().unwrap().success());
    assert_eq!((read(&host, "one"), read(&host, "two")), (String::new(), APPROVED.to_owned()));
    let words = host.run(&["audit"]).out;
    assert!(words.contains(&format!("(process {pid}), who asks no longer")), "{words}");
}

#[test]
fn one_who_asks_the_same_later_has_all_of_its_own_time() {
    let mut host = TestHost::start();
    let ask =
        |n, time| format!("(nod ask 'Go on?' --timeout {time} >> said-{n}; echo $? >> code-{n}) &");
    let more = "while [ ! -e more ]; do sleep 0.02; done";
    let id = host.submit(&format!("{} {more}; {} wait", ask(1, "1h"), ask(2, "$(cat more)")));
    let first = host.wait_for_request(id);
    // A little later than the first, whenever it comes to ask.
    let left = first.expires_at.unwrap().since(now()) + 100;
    std::fs::write(host.work().join("more.new"), format!("{left}ms")).unwrap();
    std::fs::rename(host.work().join("more.new"), host.work().join("more")).unwrap();
    let folded = until("the second", || {
        let request = host.request(id, first.id);
        (request.also_asked_by.len() == 1).then_some(request)
    });
    // Of its time it has used up what it took to begin.
    let second = &folded.also_asked_by[0];
    assert!(second.extends_ms > 0, "it ends later");
    let own = first.expires_at.unwrap().plus(second.extends_ms);
    assert!(folded.expires_at == Some(own) && own <= second.at.plus(left), "{folded:?}");
    host.kill();
    host.restart();
    let request = host.wait_for_request(id);
    assert_eq!(request.expires_at, Some(own));
    host.answer(&request, Answer::Approve);
    host.wait_for_end(id);
    for n in 1..=2 {
        let said = (read(&host, &format!("said-{n}")), read(&host, &format!("code-{n}")));
        assert_eq!(said, (APPROVED.to_owned(), "0\n".to_owned()));
    }
}
