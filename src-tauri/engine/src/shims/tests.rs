//! What a host hears of its shims, from sockets that stand for them.

use std::io::Write as _;
use std::os::unix::net::UnixListener;

use nod_core::ids::Timestamp;
use nod_core::shim::{SHIM_PROTOCOL, SHIM_SOCKET, Status};
use nod_core::task::ExitStatus;

use super::*;

fn report() -> Report {
    Report {
        protocol: SHIM_PROTOCOL,
        task: TaskId(1),
        attempt: AttemptNumber::FIRST,
        process: None,
        started_at: None,
        exit: Some(ExitStatus::Code { code: 0 }),
        exited_at: None,
        ended_at: Timestamp(1),
        ended_boot_ms: None,
        spawn_error: None,
        timed_out: false,
        stopped: false,
        terminated: false,
        peak_memory: None,
        cpu_ms: None,
        left: vec![],
        no_room: false,
        size: 0,
        typed: vec![],
    }
}

/// A host's side of one shim.
struct Linked {
    shims: Shims,
    messages: crossbeam_channel::Receiver<Message>,
    _runtime: tokio::runtime::Runtime,
}

const TASK: (TaskId, AttemptNumber) = (TaskId(1), AttemptNumber::FIRST);

impl Linked {
    /// Links a host to the first try of task 1, whose files lie in `folder`; returns the shim's side
    /// of the connection as well.
    fn new(folder: &Path, prompt: Option<&str>) -> (Self, StdUnixStream) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (inbox, messages) = crossbeam_channel::unbounded();
        let silence = Duration::from_secs(45);
        let shims = Shims::new(runtime.handle().clone(), inbox, Outputs::default(), silence);
        let (socket, shim) = StdUnixStream::pair().unwrap();
        let (id, attempt) = TASK;
        let (orders, prompt) = (shims.expect(id, attempt), prompt.map(str::to_owned));
        let folder = folder.to_owned();
        let (limit, is_ending) = (None, false);
        let link = Link { id, attempt, folder, prompt, limit, is_ending, orders, child: None };
        shims.link(link, socket);
        (Self { shims, messages, _runtime: runtime }, shim)
    }

    fn next(&self) -> Said {
        let message = self.messages.recv().unwrap();
        let Message::Shim(_, _, said) = message else { panic!("{message:?}") };
        said
    }
}

/// Returns what a host that adopts a task hears, whose shim says `words` and then the end.
fn heard(prompt: Option<&str>, printed: &str, words: &[FromShim]) -> Vec<Said> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(LOG_FILE), printed).unwrap();
    let (linked, mut shim) = Linked::new(folder.path(), prompt);
    let end = FromShim::Ended { report: report() };
    for word in words.iter().chain([&end]) {
        writeln!(shim, "{}", serde_json::to_string(word).unwrap()).unwrap();
    }
    let said = std::iter::repeat_with(|| linked.next());
    said.take_while(|said| !matches!(said, Said::Ended { .. })).collect()
}

#[test]
fn a_question_that_an_earlier_host_told_stands_until_the_task_goes_on() {
    let status = |size| {
        FromShim::Status(Status {
            protocol: SHIM_PROTOCOL,
            task: TaskId(1),
            attempt: AttemptNumber::FIRST,
            shim_pid: 1,
            process: None,
            started_at: None,
            size,
            stopping: None,
            report: None,
            paused: false,
            disk_full: false,
            unbounded: false,
            terminated: false,
            typed: None,
        })
    };
    let goes_on = |said: &[Said]| said.iter().any(|said| matches!(said, Said::Prompt(None)));
    let asked = "Continue? (y/n)";
    let printed = format!("building\n{asked} ");
    let size = printed.len() as u64;
    let words = [status(size)];
    assert!(!goes_on(&heard(Some(asked), &printed, &words)), "nothing was printed since");
    let longer = format!("{printed}y\ndone\n");
    let words = [status(longer.len() as u64)];
    assert!(goes_on(&heard(Some(asked), &longer, &words)), "it went on without a host");
    let words = [status(size), FromShim::Output { size: size + 1 }];
    assert!(goes_on(&heard(Some(asked), &printed, &words)), "it goes on now");
    let words = [status(size)];
    assert!(!goes_on(&heard(None, &printed, &words)), "nobody had told anything");
}

#[test]
fn a_shim_is_not_lost_with_one_connection_nor_with_a_word_that_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(SHIM_SOCKET)).unwrap();
    let (linked, mut first) = Linked::new(folder.path(), None);
    first.write_all(b"{\"type\":\"memory\",\"bytes\":1}\n").unwrap();
    drop(first);
    // The shim lives, so the host comes back to it.
    let (mut second, _) = listener.accept().unwrap();
    let ended = serde_json::to_string(&FromShim::Ended { report: report() }).unwrap();
    writeln!(second, "{ended}").unwrap();
    let (files, end) = (linked.next(), linked.next());
    assert!(matches!(files, Said::Files { .. }), "{files:?}");
    assert!(matches!(end, Said::Ended { .. }), "{end:?}");
}

#[test]
fn what_a_shim_says_of_its_build_decides_how_it_is_typed_to() {
    // Protocol, whether it keeps an account, and whether it is told the operation.
    for (protocol, typed, types_once) in
        [(1, "", false), (2, "", false), (2, ",\"typed\":[]", true)]
    {
        let folder = tempfile::tempdir().unwrap();
        let (linked, mut shim) = Linked::new(folder.path(), None);
        let status = format!(
            "{{\"type\":\"status\",\"protocol\":{protocol},\"task\":1,\"attempt\":1,\
             \"shim_pid\":1,\"process\":{{\"pid\":1,\"start_time\":1}},\"started_at\":1,\
             \"size\":0,\"stopping\":null,\"report\":null{typed}}}"
        );
        writeln!(shim, "{status}").unwrap();
        writeln!(shim, "{{\"type\":\"typed\",\"operation\":\"one\"}}").unwrap();
        assert!(matches!(linked.next(), Said::Status(_)));
        let taken = linked.next();
        assert!(matches!(&taken, Said::Typed(typed) if typed.lost == 0), "{taken:?}");
        let (id, attempt) = TASK;
        assert_eq!(linked.shims.protocol(id, attempt), protocol);
        assert_eq!(linked.shims.types_once(id, attempt), types_once, "{protocol}{typed}");
    }
}
