//! Signals, interruptions and messages.

use nod_tests::TestHost;
use serde_json::json;

use crate::{ends_well, nod, submit, touch, written};

#[test]
fn all_who_wait_wake_with_the_same_data_and_an_early_signal_is_kept_for_one() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
heard = {}
def hear(name, key):
    heard[name] = nod_task.wait(key)
threads = [threading.Thread(target=hear, args=it) for it in (("a", "go"), ("b", "go"))]
for thread in threads: thread.start()
for thread in threads: thread.join()
write("woken", heard)
until("kept")
write("early", [nod_task.wait("k"), caught(nod_task.wait, "k", timeout=0),
                caught(nod_task.wait, "k", timeout=0.1), caught(nod_task.wait, "k", timeout=-1)])
try:
    nod_task.wait("k", timeout=0)
except TimeoutError:
    write("timeout", True)
"#,
    );
    host.wait_for_waits(2);
    let number = id.to_string();
    nod(&host, &["notify", &number, "go", r#"{"完了":["\u2028",null,1.5]}"#]);
    let data = json!({ "完了": ["\u{2028}", null, 1.5] });
    assert_eq!(written(&host, "woken"), json!({ "a": data, "b": data }));
    nod(&host, &["notify", &number, "k", "1"]);
    touch(&host, "kept");
    let expired = json!(["Expired", "no signal `k` came in time"]);
    let negative = json!(["ValueError", "-1 is no length of time"]);
    assert_eq!(written(&host, "early"), json!([1, expired, expired, negative]));
    assert_eq!(written(&host, "timeout"), true);
    ends_well(&host, id);
}

#[test]
fn an_interruption_raises_in_a_wait_that_is_under_way_and_nowhere_else() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
until("before")
write("early", caught(nod_task.wait, "k", timeout=0))
try:
    nod_task.wait("k")
except nod_task.Interrupted as error:
    write("interrupted", error.message)
write("answer", nod_task.ask("Go?").kind)
write("inbox", [[it.text, it.interrupt] for it in nod_task.inbox()])
"#,
    );
    let number = id.to_string();
    let interrupt = |host: &TestHost, text: &str| {
        nod(host, &["feedback", &number, text, "--interrupt"]);
    };
    interrupt(&host, "before");
    touch(&host, "before");
    assert_eq!(written(&host, "early")[0], "Expired");
    host.wait_for_waits(1);
    interrupt(&host, "stop 🛑");
    assert_eq!(written(&host, "interrupted"), "stop 🛑");
    // As with `nod ask`, a question is for a person to close.
    let request = host.wait_for_request(id);
    interrupt(&host, "asking");
    assert!(host.request(id, request.id).is_open());
    host.answer(&request, nod_core::request::Answer::Approve);
    assert_eq!(written(&host, "answer"), "approved");
    let inbox = json!([["before", true], ["stop 🛑", true], ["asking", true]]);
    assert_eq!(written(&host, "inbox"), inbox);
    ends_well(&host, id);
}

#[test]
fn messages_come_in_order_each_once_and_across_hosts() {
    let mut host = TestHost::start();
    let id = submit(
        &host,
        r#"
until("said")
write("first", [[it.text, it.sender.split()[0]] for it in nod_task.inbox()])
write("none", [it.text for it in nod_task.inbox()])
texts = []
for message in nod_task.inbox(follow=True):
    texts.append(message.text)
    write("got-" + message.text, message.at.timestamp())
    if message.text == "41":
        break
write("followed", texts)
write("rest", [it.text for it in nod_task.inbox()])
"#,
    );
    let number = id.to_string();
    // More than one reply holds.
    for n in 0..40 {
        nod(&host, &["feedback", &number, &n.to_string()]);
    }
    touch(&host, "said");
    let all: Vec<_> = (0..40).map(|n| json!([n.to_string(), "the"])).collect();
    assert_eq!(written(&host, "first"), json!(all));
    assert_eq!(written(&host, "none"), json!([]));
    nod(&host, &["feedback", &number, "40"]);
    assert!(written(&host, "got-40").as_f64().unwrap() > 1e9);
    host.kill();
    host.restart();
    nod(&host, &["feedback", &number, "41"]);
    assert_eq!(written(&host, "followed"), json!(["40", "41"]));
    assert_eq!(written(&host, "rest"), json!([]));
    ends_well(&host, id);
}
