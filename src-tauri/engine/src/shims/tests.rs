//! What a host hears of its shims, from sockets that stand for them.

use std::io::Write as _;
use std::os::unix::net::UnixListener;

use nod_core::ids::Timestamp;
use nod_core::shim::{SHIM_PROTOCOL, SHIM_SOCKET};
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

#[test]
fn a_shim_is_not_lost_with_one_connection_nor_with_a_word_that_is_not_known() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join(SHIM_SOCKET)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (inbox, messages) = crossbeam_channel::unbounded();
    let shims =
        Shims::new(runtime.handle().clone(), inbox, Outputs::default(), Duration::from_secs(45));
    let (socket, mut first) = StdUnixStream::pair().unwrap();
    let (id, attempt) = (TaskId(1), AttemptNumber::FIRST);
    let orders = shims.expect(id, attempt);
    let link = Link { id, attempt, folder: folder.path().to_owned(), orders, child: None };
    shims.link(link, socket);
    first.write_all(b"{\"type\":\"memory\",\"bytes\":1}\n").unwrap();
    drop(first);
    // The shim lives, so the host comes back to it.
    let (mut second, _) = listener.accept().unwrap();
    let ended = serde_json::to_string(&FromShim::Ended { report: report() }).unwrap();
    writeln!(second, "{ended}").unwrap();
    let said = || {
        let message = messages.recv().unwrap();
        let Message::Shim(_, _, said) = message else { panic!("{message:?}") };
        said
    };
    let (files, end) = (said(), said());
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
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (inbox, messages) = crossbeam_channel::unbounded();
        let outputs = Outputs::default();
        let shims = Shims::new(runtime.handle().clone(), inbox, outputs, Duration::from_secs(45));
        let (socket, mut shim) = StdUnixStream::pair().unwrap();
        let (id, attempt) = (TaskId(1), AttemptNumber::FIRST);
        let orders = shims.expect(id, attempt);
        let link = Link { id, attempt, folder: folder.path().to_owned(), orders, child: None };
        shims.link(link, socket);
        let status = format!(
            "{{\"type\":\"status\",\"protocol\":{protocol},\"task\":1,\"attempt\":1,\
             \"shim_pid\":1,\"process\":{{\"pid\":1,\"start_time\":1}},\"started_at\":1,\
             \"size\":0,\"stopping\":null,\"report\":null{typed}}}"
        );
        writeln!(shim, "{status}").unwrap();
        writeln!(shim, "{{\"type\":\"typed\",\"operation\":\"one\"}}").unwrap();
        let said = || {
            let message = messages.recv().unwrap();
            let Message::Shim(_, _, said) = message else { panic!("{message:?}") };
            said
        };
        assert!(matches!(said(), Said::Status(_)));
        let taken = said();
        assert!(matches!(&taken, Said::Typed(typed) if typed.lost == 0), "{taken:?}");
        assert_eq!(shims.protocol(id, attempt), protocol);
        assert_eq!(shims.types_once(id, attempt), types_once, "{protocol}{typed}");
    }
}
