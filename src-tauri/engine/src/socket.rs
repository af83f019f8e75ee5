//! Serves the protocol on a socket that only this user can reach.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::access::{Actor, Surface};
use nod_core::ids::{EventNumber, TaskId};
use nod_core::protocol::{
    Call, CallMessage, ErrorCode, ErrorReply, Hello, HostMessage, LogPart, MESSAGE_LIMIT,
    Notification, Reply,
};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::handle::{Caller, Handle};
use crate::process;
use crate::sight::Sight;
use crate::terminals::Terminal;

const TERMINAL: Actor = Actor::Person { surface: Surface::Terminal };

/// How many messages wait for a client that does not read.
const BACKLOG: usize = 64;

/// How many calls of one connection are carried out, and how many wait, at once.
const CALLS: usize = 64;

/// How long the calls of a client that writes no more have to end.
const LAST_REPLIES: Duration = Duration::from_millis(250);

/// How often a socket that cannot be made is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// Makes the socket. The caller holds the host's lock, so an old one is nobody's.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    make_folder(path)?;
    match fs::remove_file(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Makes the folder of a socket, which must be this user's alone.
pub(crate) fn make_folder(socket: &Path) -> io::Result<()> {
    let folder = socket.parent().ok_or_else(|| io::Error::other("a socket lies in a folder"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    if process::is_own_private_folder(folder)? {
        return Ok(());
    }
    let message = format!("{} is not a folder of yours alone", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Accepts connections for as long as the host runs, and listens anew where its socket vanished.
pub(crate) async fn serve(path: PathBuf, mut listener: UnixListener, handle: Handle) {
    loop {
        tokio::select! {
            () = accept_all(&listener, &handle) => {}
            gone = process::vanished(&path) => match gone {
                Ok(()) => {
                    tracing::warn!("the socket vanished: it is made again");
                    listener = listen_again(&path).await;
                }
                Err(error) => {
                    tracing::warn!("failed to watch the socket: {error}");
                    return accept_all(&listener, &handle).await;
                }
            },
        }
    }
}

async fn listen_again(path: &Path) -> UnixListener {
    loop {
        match listen(path) {
            Ok(listener) => return listener,
            // The folder of a session that has ended comes back with the next one.
            Err(error) => tracing::debug!("not yet: {error}"),
        }
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}

async fn accept_all(listener: &UnixListener, handle: &Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(stream, handle.clone()));
            }
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, handle: Handle) {
    let connected_ms = process::since_boot_ms();
    let peer = match stream.peer_cred() {
        Ok(peer) if peer.uid() == process::user_id() => peer,
        Ok(peer) => {
            tracing::warn!(uid = peer.uid(), "refused a connection of another user");
            return;
        }
        Err(error) => {
            tracing::warn!("failed to find out who connects: {error}");
            return;
        }
    };
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    let actor = Actor::Peer { uid: peer.uid(), pid };
    let (read, write) = stream.into_split();
    let (out, outbox) = mpsc::channel(BACKLOG);
    let writer = tokio::spawn(write_all(write, outbox));
    let caller = Caller { pid, connected_ms };
    let (short, waiting) = (JoinSet::new(), JoinSet::new());
    let sight = Arc::default();
    let mut connection = Connection { handle, caller, out, sight, short, waiting };
    connection.read_all(BufReader::new(read), actor).await;
    // One that only stopped writing may still read the replies to what it sent.
    let finished = connection.finish();
    drop(tokio::time::timeout(LAST_REPLIES, finished).await);
    // Whoever waits longer is gone: dropping the calls takes back what they asked.
    drop(connection);
    if let Err(error) = writer.await {
        tracing::debug!("a connection's writer ended: {error}");
    }
}

async fn write_all(mut write: OwnedWriteHalf, mut outbox: mpsc::Receiver<Vec<u8>>) {
    while let Some(mut bytes) = outbox.recv().await {
        // What waits behind goes along in the same write.
        while let Ok(more) = outbox.try_recv() {
            bytes.extend(more);
        }
        if write.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// Whom a connection speaks for.
#[derive(Debug, Clone)]
enum Speaker {
    Actor(Actor),
    /// A person, through `nod` at a terminal that was found to be theirs.
    Terminal(Terminal),
}

struct Connection {
    handle: Handle,
    caller: Caller,
    out: mpsc::Sender<Vec<u8>>,
    /// What it was shown, where it speaks for a person.
    sight: Arc<Sight>,
    /// Calls that are done as soon as the dispatcher comes to them.
    short: JoinSet<()>,
    /// Calls that last until something happens.
    waiting: JoinSet<()>,
}

/// Returns whether a call lasts until something happens.
fn waits(call: &Call) -> bool {
    matches!(
        call,
        Call::Wait { .. }
            | Call::Ask(_)
            | Call::AwaitAnswer(_)
            | Call::Await(_)
            | Call::Inbox(_)
            | Call::Subscribe
            | Call::FollowLog { .. }
            | Call::Watch { .. }
    )
}

impl Connection {
    async fn read_all(&mut self, mut read: impl AsyncBufRead + Unpin, peer: Actor) {
        let mut speaker = None;
        let mut line = Vec::new();
        loop {
            match read_line(&mut read, &mut line).await {
                Ok(Line::Whole) => {}
                Ok(Line::End) | Err(_) => return,
                Ok(Line::TooLong) => {
                    let message = format!("a message holds {MESSAGE_LIMIT} bytes at most");
                    self.refuse(None, ErrorReply::new(ErrorCode::BadRequest, message)).await;
                    return;
                }
            }
            if !self.take(&line, &peer, &mut speaker).await {
                return;
            }
        }
    }

    /// Takes one message in; returns whether the connection goes on.
    async fn take(&mut self, line: &[u8], peer: &Actor, speaker: &mut Option<Speaker>) -> bool {
        let message: CallMessage = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => {
                let error = format!("this is no call that Nod knows: {error}");
                self.refuse(None, ErrorReply::new(ErrorCode::BadRequest, error)).await;
                return true;
            }
        };
        let id = message.id;
        match (message.call, speaker.as_ref()) {
            (Call::Hello(hello), None) => {
                let greeting = self.greet(peer.clone(), &hello).await;
                let welcome = greeting.is_ok();
                let reply = greeting.map(|(who, reply)| {
                    *speaker = Some(who);
                    reply
                });
                send(&self.out, &HostMessage::reply(id, reply)).await;
                welcome
            }
            (_, None) => {
                let error = ErrorReply::new(ErrorCode::BadRequest, "say hello first");
                self.refuse(Some(id), error).await;
                false
            }
            (call, Some(speaker)) => {
                self.begin(id, call, speaker.clone()).await;
                true
            }
        }
    }

    /// Returns whom the connection speaks for from its hello on.
    async fn greet(&self, peer: Actor, hello: &Hello) -> Result<(Speaker, Reply), ErrorReply> {
        let (actor, reply) = self.handle.hello(peer, hello)?;
        if !hello.terminal {
            return Ok((Speaker::Actor(actor), reply));
        }
        Ok((Speaker::Terminal(self.handle.terminal_of(self.caller).await?), reply))
    }

    /// Carries a call out beside the others of the connection.
    async fn begin(&mut self, id: u64, call: Call, speaker: Speaker) {
        let waits = waits(&call);
        if waits {
            while self.waiting.try_join_next().is_some() {}
            if self.waiting.len() >= CALLS {
                let message =
                    format!("{CALLS} calls of this connection wait already: open another");
                let error = ErrorReply::new(ErrorCode::Conflict, message);
                return self.refuse(Some(id), error).await;
            }
        }
        // Who sends faster than it is decided is read from as fast as it is.
        while self.short.len() >= CALLS {
            self.short.join_next().await;
        }
        let (handle, out, caller) = (self.handle.clone(), self.out.clone(), self.caller);
        let calls = if waits { &mut self.waiting } else { &mut self.short };
        let actor = match (speaker, &call) {
            (Speaker::Actor(actor), _) => actor,
            (Speaker::Terminal(terminal), Call::Answer(given)) => {
                let (given, sight) = (given.clone(), Arc::clone(&self.sight));
                calls.spawn(async move {
                    let result = handle.answer_at((terminal, caller), &sight, given).await;
                    send(&out, &HostMessage::reply(id, result)).await;
                });
                return;
            }
            // The table says what else such a one may do.
            (Speaker::Terminal(_), _) => {
                let (actor, sight) = (TERMINAL, Arc::clone(&self.sight));
                calls.spawn(async move {
                    let began = Instant::now();
                    let result = handle.call(&actor, call).await;
                    if let Ok(reply) = &result {
                        sight.show(reply, began);
                    }
                    send(&out, &HostMessage::reply(id, result)).await;
                });
                return;
            }
        };
        calls.spawn(async move {
            let result = if call == Call::Subscribe {
                subscribe(id, &handle, &actor, &out).await
            } else if let Call::FollowLog { id, offset } = call {
                follow(&handle, &actor, &out, (id, offset)).await
            } else if let Call::Watch { since } = call {
                watch(&handle, &actor, &out, since).await
            } else {
                handle.call(&actor, call).await
            };
            send(&out, &HostMessage::reply(id, result)).await;
        });
    }

    async fn finish(&mut self) {
        while self.short.join_next().await.is_some() {}
    }

    async fn refuse(&self, id: Option<u64>, error: ErrorReply) {
        send(&self.out, &HostMessage::error(id, error)).await;
    }
}

/// Sends events until the client or the host goes away.
async fn subscribe(
    id: u64,
    handle: &Handle,
    actor: &Actor,
    out: &mpsc::Sender<Vec<u8>>,
) -> Result<Reply, ErrorReply> {
    let (reply, mut events) = handle.subscribe(actor)?;
    send(out, &HostMessage::reply(id, Ok(reply))).await;
    while let Some(event) = events.next().await {
        let event = Notification::Event(Arc::unwrap_or_clone(event));
        send(out, &HostMessage::notification(event)).await;
    }
    Err(ErrorReply::new(ErrorCode::Stopping, "the host is stopping"))
}

/// Sends stored events until the client or the host goes away.
async fn watch(
    handle: &Handle,
    actor: &Actor,
    out: &mpsc::Sender<Vec<u8>>,
    since: Option<EventNumber>,
) -> Result<Reply, ErrorReply> {
    let mut watch = handle.watch(actor, since)?;
    while let Some(events) = watch.next().await? {
        for event in events {
            send(out, &HostMessage::notification(Notification::Watched(event))).await;
        }
    }
    Err(ErrorReply::new(ErrorCode::Stopping, "the host is stopping"))
}

async fn follow(
    handle: &Handle,
    actor: &Actor,
    out: &mpsc::Sender<Vec<u8>>,
    (id, offset): (TaskId, u64),
) -> Result<Reply, ErrorReply> {
    let mut follow = handle.follow_log(actor, id, offset)?;
    let failed = |error: io::Error| ErrorReply::new(ErrorCode::Internal, error.to_string());
    while let Some((offset, bytes)) = follow.next().await.map_err(failed)? {
        let size = offset + bytes.len() as u64;
        let part = LogPart { offset, data: BASE64.encode(bytes), size };
        send(out, &HostMessage::notification(Notification::Log(part))).await;
    }
    Ok(Reply::LogEnded { size: follow.offset() })
}

async fn send(out: &mpsc::Sender<Vec<u8>>, message: &HostMessage) {
    let mut line = line_of(message);
    if line.len() > MESSAGE_LIMIT
        && let HostMessage::Reply { id, .. } = message
    {
        let text = format!("the reply is longer than {MESSAGE_LIMIT} bytes: ask for less");
        let error = ErrorReply::new(ErrorCode::Conflict, text);
        line = line_of(&HostMessage::error(Some(*id), error));
    }
    // A client that is gone ends its connection, which is noticed by the reader.
    drop(out.send(line).await);
}

fn line_of(message: &HostMessage) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("our own types are JSON");
    line.push(b'\n');
    line
}

enum Line {
    Whole,
    TooLong,
    End,
}

/// Reads one line of bounded length into `line`, without its end.
async fn read_line(read: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> io::Result<Line> {
    line.clear();
    loop {
        let available = read.fill_buf().await?;
        if available.is_empty() {
            return Ok(Line::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        if line.len() + taken >= MESSAGE_LIMIT {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&available[..taken]);
        let used = end.map_or(taken, |end| end + 1);
        read.consume(used);
        if end.is_some() {
            return Ok(Line::Whole);
        }
    }
}
