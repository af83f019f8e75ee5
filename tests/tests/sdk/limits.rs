//! What is refused, and how it is said: outside of tasks, with a wrong token, too much at once.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixListener;

use nod_tests::TestHost;
use serde_json::{Value, json};

use crate::{ends_well, folder, submit, written};

#[test]
fn outside_of_a_task_everything_says_so() {
    let host = TestHost::start();
    let code = "import nod_task\n\
                for call in (nod_task.is_cancelled, nod_task.inbox, nod_task.task_id, nod_task.cancel,\n    \
                lambda: nod_task.progress(1), lambda: nod_task.wait('k'), lambda: nod_task.ask('Go?')):\n    \
                try: call()\n    \
                except nod_task.OutsideTask as error: print(error)\n";
    let mut python = host.command("python3");
    python.args(["-c", code]).env("PYTHONPATH", folder()).env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = nod_tests::Ran::from(python.output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.out.matches("works only inside a Nod task").count(), 7, "{ran:?}");
}

#[test]
fn the_host_is_that_of_the_socket_which_the_environment_names_and_no_other() {
    let host = TestHost::start();
    let other = UnixListener::bind(host.work().join("other")).unwrap();
    let id = submit(
        &host,
        r#"
here = os.environ.pop("NOD_SOCKET")
write("unnamed", [caught(nod_task.progress, 30)[0], caught(nod_task.notify_agent, "x")[0]])
os.environ["NOD_SOCKET"] = os.getcwd() + "/other"
write("elsewhere", nod_task.progress(40))
os.environ["NOD_SOCKET"] = here
write("here", nod_task.is_cancelled())
"#,
    );
    let (stream, _) = other.accept().unwrap();
    let mut heard = BufReader::new(stream).lines().map_while(Result::ok);
    let hello: Value = serde_json::from_str(&heard.next().unwrap()).unwrap();
    assert_eq!(hello["method"], "hello");
    assert!(hello["params"]["token"].is_string());
    // Hung up on, and refused from then on.
    drop((heard, other));
    assert_eq!(written(&host, "unnamed"), json!(["OutsideTask", "OutsideTask"]));
    assert_eq!(written(&host, "elsewhere"), false);
    assert_eq!(written(&host, "here"), false);
    ends_well(&host, id);
    assert_eq!(host.task(id).progress, None);
}

#[test]
fn a_token_that_is_refused_is_told_at_once_and_never_shown() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
token = os.environ["NOD_TOKEN"]
shown = repr(nod_task._task())
os.environ["NOD_TOKEN"] = token + "0"
refused = [caught(nod_task.progress, 1), caught(nod_task.ask, "Go?"), caught(nod_task.success)]
try:
    nod_task.wait("k")
except nod_task.Refused as error:
    write("code", error.code)
write("refused", refused)
write("shown", token in shown or any(token in words for one in refused for words in one))
"#,
    );
    assert_eq!(written(&host, "code"), "forbidden");
    let refused = json!(["Refused", "NOD_TOKEN belongs to no running task"]);
    assert_eq!(written(&host, "refused"), json!([refused, refused, refused]));
    assert_eq!(written(&host, "shown"), false);
    ends_well(&host, id);
}

#[test]
fn what_is_too_much_is_refused_and_the_task_goes_on() {
    let host = TestHost::start();
    let id = submit(
        &host,
        r#"
write("limits", [
    caught(nod_task.success, None, "x" * (1 << 20))[0],
    caught(nod_task.success, None, "完" * (1 << 19))[0],
    caught(nod_task.success, None, "x" * (65 << 10))[0],
    caught(nod_task.success, None, float("nan"))[0],
    caught(nod_task.success, None, object())[0],
    caught(nod_task.notify_agent, "\udcff")[0],
    caught(nod_task.notify_agent, "")[0],
    caught(nod_task.fail, "x" * (17 << 10))[0],
])
large = nod_task._line(1, "x", {"a": ""})
room = nod_task.MESSAGE_LIMIT - len(large)
write("edge", [len(nod_task._line(1, "x", {"a": "x" * room})),
               caught(nod_task._line, 1, "x", {"a": "x" * (room + 1)})[0]])
nod_task.success("made it", "x" * 60000)
"#,
    );
    let expected = json!([
        "TooLarge",
        "TooLarge",
        "Refused",
        "ValueError",
        "TypeError",
        "UnicodeEncodeError",
        "Refused",
        "Refused"
    ]);
    assert_eq!(written(&host, "limits"), expected);
    assert_eq!(written(&host, "edge"), json!([1 << 20, "TooLarge"]));
    ends_well(&host, id);
}
