//! The client against a peer that speaks the real messages over a real socket.

#![expect(clippy::unwrap_used, reason = "what panics here fails its test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nod_client::{ClientError, Connection, Door, Incoming, Next, new_operation, persist};
use nod_core::ids::{OperationId, TaskId};
use nod_core::protocol::{
    Ask, Call, CallMessage, ErrorCode, ErrorReply, HostKind, HostMessage, LogPart, MESSAGE_LIMIT,
    Notification, PROTOCOL, Reply, Welcome,
};
use tempfile::TempDir;

/// A socket, and a thread that serves its connections one after the other.
struct Peer {
    door: Door,
    thread: JoinHandle<()>,
    _folder: TempDir,
}

impl Peer {
    /// Each of `scripts` serves one connection.
    fn start(scripts: Vec<Box<dyn FnOnce(Wire) + Send>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("host.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let thread = thread::spawn(move || {
            for script in scripts {
                let (stream, _) = listener.accept().unwrap();
                script(Wire { stream: BufReader::new(stream) });
            }
        });
        Self { door: Door { socket, token: None }, thread, _folder: folder }
    }

    fn finish(self) {
        self.thread.join().unwrap();
    }
}

struct Wire {
    stream: BufReader<UnixStream>,
}

impl Wire {
    fn next(&mut self) -> CallMessage {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn say(&mut self, message: &HostMessage) {
        let mut line = serde_json::to_vec(message).unwrap();
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).unwrap();
    }

    /// Takes the hello and the call after it.
    fn greet(&mut self) -> CallMessage {
        let hello = self.next();
        assert!(matches!(hello.call, Call::Hello(_)), "{hello:?}");
        self.say(&HostMessage::reply(hello.id, Ok(welcome(PROTOCOL))));
        self.next()
    }
}

fn welcome(protocol: u32) -> Reply {
    Reply::Welcome(Welcome {
        protocol,
        version: "0".into(),
        epoch: "e".into(),
        host: HostKind::Headless,
        pid: 1,
        nonce: None,
    })
}

fn ask() -> Call {
    let operation = new_operation().unwrap();
    Call::Ask(Ask::approval(operation, "Deploy?"))
}

fn operation_of(message: &CallMessage) -> OperationId {
    let Call::Ask(ask) = &message.call else { panic!("{message:?}") };
    ask.operation.clone()
}

fn later(_: &ClientError) -> Result<Next, ClientError> {
    Ok(Next::Later)
}

#[test]
fn the_hello_and_the_first_call_leave_in_one_write() {
    let peer = Peer::start(vec![Box::new(|mut wire| {
        let mut bytes = vec![0; 4096];
        let size = wire.stream.get_mut().read(&mut bytes).unwrap();
        let text = String::from_utf8(bytes[..size].to_vec()).unwrap();
        let calls: Vec<CallMessage> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(calls.len(), 2, "{text}");
        wire.say(&HostMessage::reply(calls[0].id, Ok(welcome(PROTOCOL))));
        wire.say(&HostMessage::reply(
            calls[1].id,
            Ok(Reply::Submitted { id: TaskId(7), known: false, gated: false, note: None }),
        ));
        let second = wire.next();
        assert_eq!(second.call, Call::Snapshot);
        wire.say(&HostMessage::reply(second.id, Ok(Reply::Done)));
    })]);
    let mut connection = peer.door.open().unwrap();
    assert_eq!(
        connection.call(&ask()).unwrap(),
        Reply::Submitted { id: TaskId(7), known: false, gated: false, note: None }
    );
    assert_eq!(connection.welcome().unwrap().epoch, "e");
    assert_eq!(connection.call(&Call::Snapshot).unwrap(), Reply::Done);
    peer.finish();
}

#[test]
fn an_error_reply_keeps_its_code_and_its_text() {
    let peer = Peer::start(vec![Box::new(|mut wire| {
        let call = wire.greet();
        let error = ErrorReply::new(ErrorCode::NotFound, "no task has id 9");
        wire.say(&HostMessage::reply(call.id, Err(error)));
    })]);
    let error = peer.door.open().unwrap().call(&Call::Show { id: TaskId(9) }).unwrap_err();
    assert!(
        matches!(&error, ClientError::Refused(reply) if reply.code == ErrorCode::NotFound),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "no task has id 9");
    peer.finish();
}

#[test]
fn another_version_is_told_from_the_welcome_and_from_the_refusal() {
    let peer = Peer::start(vec![
        Box::new(|mut wire| {
            let hello = wire.next();
            wire.say(&HostMessage::reply(hello.id, Ok(welcome(PROTOCOL + 1))));
        }),
        Box::new(|mut wire| {
            let hello = wire.next();
            let error = ErrorReply::new(ErrorCode::Version, "too old");
            wire.say(&HostMessage::reply(hello.id, Err(error)));
        }),
    ]);
    for _ in 0..2 {
        let error = peer.door.open().unwrap().call(&Call::Snapshot).unwrap_err();
        assert!(matches!(error, ClientError::Version { .. }), "{error:?}");
    }
    peer.finish();
}

#[test]
fn what_is_no_message_or_too_long_is_refused() {
    let peer = Peer::start(vec![
        Box::new(|mut wire| {
            wire.next();
            wire.stream.get_mut().write_all(b"{}\n").unwrap();
        }),
        Box::new(|mut wire| {
            wire.next();
            // The client leaves in the middle of it.
            if let Err(error) = wire.stream.get_mut().write_all(&vec![b'x'; MESSAGE_LIMIT + 1]) {
                assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
            }
        }),
    ]);
    for _ in 0..2 {
        let error = peer.door.open().unwrap().call(&Call::Snapshot).unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
    }
    peer.finish();
}

#[test]
fn a_call_that_is_too_large_is_never_sent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("host.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let call = Call::Ask(Ask::approval(new_operation().unwrap(), "x".repeat(MESSAGE_LIMIT)));
    let error = Connection::open(&socket, None).unwrap().call(&call).unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { size } if size > MESSAGE_LIMIT), "{error:?}");
}

#[test]
fn a_lost_call_is_sent_again_under_the_same_operation() {
    let (seen, operations) = std::sync::mpsc::channel();
    let again = seen.clone();
    let last = seen.clone();
    let peer = Peer::start(vec![
        // Dies with the call in hand.
        Box::new(move |mut wire| seen.send(operation_of(&wire.greet())).unwrap()),
        // Is on its way out.
        Box::new(move |mut wire| {
            let call = wire.greet();
            again.send(operation_of(&call)).unwrap();
            let error = ErrorReply::new(ErrorCode::Stopping, "the host is going");
            wire.say(&HostMessage::reply(call.id, Err(error)));
        }),
        Box::new(move |mut wire| {
            let call = wire.greet();
            last.send(operation_of(&call)).unwrap();
            wire.say(&HostMessage::reply(call.id, Ok(Reply::Done)));
        }),
    ]);
    let call = ask();
    assert_eq!(persist(&peer.door, None, |host| host.call(&call), later).unwrap(), Reply::Done);
    peer.finish();
    let expected = operation_of(&CallMessage::new(0, call));
    assert_eq!(operations.iter().collect::<Vec<_>>(), vec![expected; 3]);
}

fn snapshot(host: &mut Connection) -> Result<Reply, ClientError> {
    host.call(&Call::Snapshot)
}

#[test]
fn without_a_host_the_deadline_ends_the_tries() {
    let door = Door { socket: PathBuf::from("/nowhere/host.sock"), token: None };
    let mut failures = 0;
    let deadline = Instant::now() + Duration::from_millis(70);
    let result = persist(&door, Some(deadline), snapshot, |error| {
        assert!(matches!(error, ClientError::NoHost { .. }));
        failures += 1;
        Ok::<_, ClientError>(Next::Later)
    });
    assert!(matches!(result, Err(ClientError::NoHost { .. })), "{result:?}");
    assert!(failures >= 3, "{failures} tries");
    assert!(Instant::now() >= deadline);
}

#[test]
fn a_host_that_comes_late_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("host.sock");
    let door = Door { socket: socket.clone(), token: None };
    let mut host = None;
    let reply = persist(&door, None, snapshot, |_| {
        let listener = UnixListener::bind(&socket).unwrap();
        host = Some(thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut wire = Wire { stream: BufReader::new(stream) };
            let call = wire.greet();
            wire.say(&HostMessage::reply(call.id, Ok(Reply::Done)));
        }));
        Ok::<_, ClientError>(Next::Now)
    });
    assert_eq!(reply.unwrap(), Reply::Done);
    host.unwrap().join().unwrap();
}

#[test]
fn notifications_come_before_the_reply() {
    let part = LogPart { offset: 0, data: "YQ==".into(), size: 1, attempt: None };
    let sent = part.clone();
    let peer = Peer::start(vec![Box::new(move |mut wire| {
        let call = wire.greet();
        wire.say(&HostMessage::notification(Notification::Log(sent)));
        wire.say(&HostMessage::reply(call.id, Ok(Reply::LogEnded { size: 1 })));
    })]);
    let mut connection = peer.door.open().unwrap();
    connection.send(&Call::FollowLog { id: TaskId(1), offset: 0, attempt: None }).unwrap();
    let first = connection.receive().unwrap();
    assert_eq!(first, Incoming::Notification(Box::new(Notification::Log(part))));
    let last = connection.receive().unwrap();
    assert_eq!(last, Incoming::Reply(Box::new(Reply::LogEnded { size: 1 })));
    peer.finish();
}

#[test]
fn a_host_that_says_nothing_is_given_up_and_named() {
    let (gone, wait) = std::sync::mpsc::channel::<()>();
    let peer = Peer::start(vec![Box::new(move |mut wire| {
        wire.greet();
        wait.recv().unwrap_err();
    })]);
    let mut connection = peer.door.open().unwrap();
    let error = connection.call_within(Duration::from_millis(20), &Call::Snapshot).unwrap_err();
    let own = std::process::id().cast_signed();
    assert!(matches!(error, ClientError::Silent { pid } if pid == own), "{error:?}");
    drop(gone);
    peer.finish();
}

#[test]
fn a_host_that_does_not_even_read_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("host.sock");
    // Accepts nothing, as a host that was stopped.
    let _listener = UnixListener::bind(&socket).unwrap();
    // More than a socket holds.
    let question = "x".repeat(MESSAGE_LIMIT - 1000);
    let call = Call::Ask(Ask::approval(new_operation().unwrap(), question));
    let mut connection = Connection::open(&socket, None).unwrap();
    let error = connection.call_within(Duration::from_millis(20), &call).unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
}
