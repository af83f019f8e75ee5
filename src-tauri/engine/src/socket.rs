//! Serves the protocol on a socket that only this user can reach.

mod intake;
mod lines;
mod outbox;

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use nod_core::access::{Actor, Surface};
use nod_core::ids::{AttemptNumber, EventNumber, TaskId};
use nod_core::protocol::{
    Call, CallMessage, ErrorCode, ErrorReply, Hello, HostMessage, LogPart, MESSAGE_LIMIT,
    Notification, Reply,
};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with, sockopt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::error::EngineError;
use crate::handle::{Caller, Handle};
use crate::logs::Piece;
use crate::process;
use crate::sight::Sight;
use crate::terminals::{Distrust, Terminal};
use crate::tokens::Token;
use intake::{Guest, Intake, LineRoom, refuse_at_once};
use lines::{Line, Lines};
use outbox::{Outbox, Rooms};

const TERMINAL: Actor = Actor::Person { surface: Surface::Terminal };

/// How many calls of one connection are carried out, and how many wait, at once.
const CALLS: usize = 64;

/// How many connections wait to be accepted.
const WAITING_CONNECTIONS: i32 = 1_024;

/// How long a reply is that only says what was done, in bytes.
const SHORT_REPLY: usize = 1 << 10;

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
    let kind = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, kind, None)?;
    // Set before anybody can connect: each message then says which process wrote it.
    sockopt::set_socket_passcred(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, WAITING_CONNECTIONS)?;
    UnixListener::from_std(socket.into())
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
    let rooms = (Rooms::default(), Intake::of(process::open_files()));
    loop {
        tokio::select! {
            () = accept_all(&listener, &handle, &rooms) => {}
            gone = process::vanished(&path) => match gone {
                Ok(()) => {
                    tracing::warn!("the socket vanished: it is made again");
                    listener = listen_again(&path).await;
                }
                Err(error) => {
                    tracing::warn!("failed to watch the socket: {error}");
                    return accept_all(&listener, &handle, &rooms).await;
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

async fn accept_all(listener: &UnixListener, handle: &Handle, rooms: &(Rooms, Intake)) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => match rooms.1.admit().await {
                Some(guest) => {
                    tokio::spawn(connection(stream, handle.clone(), rooms.clone(), guest));
                }
                None => refuse_at_once(&stream),
            },
            Err(error) => {
                tracing::warn!("failed to accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: UnixStream,
    handle: Handle,
    (rooms, intake): (Rooms, Intake),
    guest: Arc<Guest>,
) {
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
    let stream = Arc::new(stream);
    let (out, unwritten) = rooms.admit();
    let client = Arc::clone(&unwritten.client);
    let writer = tokio::spawn(unwritten.write_all(Arc::clone(&stream)));
    let aborted = writer.abort_handle();
    let peer = Peer { uid: peer.uid(), caller: Caller { pid, connected_ms } };
    let (short, waiting) = (JoinSet::new(), JoinSet::new());
    let sight = Arc::default();
    let judged = None;
    let lines = Lines::new(stream, intake, Arc::clone(&guest));
    let greeter = Arc::clone(&guest);
    let mut connection =
        Connection { handle, peer, out, judged, sight, guest: greeter, short, waiting };
    let served = async move {
        connection.read_all(lines).await;
        // One that only stopped writing may still read the replies to what it sent.
        let finished = connection.finish();
        drop(tokio::time::timeout(LAST_REPLIES, finished).await);
        // Whoever waits longer is gone: dropping the calls takes back what they asked.
        drop(connection);
        if let Err(error) = writer.await {
            tracing::debug!("a connection's writer ended: {error}");
        }
    };
    tokio::select! {
        () = served => {}
        () = client.cut_off() => {
            tracing::warn!(pid, "cut off a client that does not read: others need the room");
            aborted.abort();
        }
        () = guest.cut_off() => {
            tracing::warn!(pid, "cut off a client that says nothing whole: others need the room");
            aborted.abort();
        }
    }
}

/// Who connected, as the system says.
#[derive(Debug, Clone, Copy)]
struct Peer {
    uid: u32,
    caller: Caller,
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
    peer: Peer,
    out: Outbox,
    /// The terminal that it may speak at once it has written the nonce that it was sent.
    judged: Option<(Terminal, String)>,
    /// What it was shown, where it speaks for a person.
    sight: Arc<Sight>,
    guest: Arc<Guest>,
    /// Calls that are done as soon as the dispatcher comes to them.
    short: JoinSet<()>,
    /// Calls that last until something happens.
    waiting: JoinSet<()>,
}

/// Returns how long the reply to a call can be, in bytes.
fn reply_size(call: &Call) -> usize {
    let is_short = matches!(
        call,
        Call::Submit(_)
            | Call::RunAgain { .. }
            | Call::Input(_)
            | Call::Resize { .. }
            | Call::Progress(_)
            | Call::Withdraw { .. }
            | Call::Notify(_)
            | Call::Feedback(_)
            | Call::Tell(_)
            | Call::SayOutcome(_)
            | Call::IsCancelled
    );
    if is_short { SHORT_REPLY } else { MESSAGE_LIMIT }
}

impl Connection {
    async fn read_all(&mut self, mut lines: Lines) {
        let mut speaker = None;
        loop {
            let goes_on = match lines.next().await {
                Ok(Line::Whole(line, writer, room)) => {
                    self.take((line, room), writer, &mut speaker).await
                }
                Ok(Line::End) | Err(_) => false,
                Ok(Line::TooLong) => {
                    let message = format!("a message holds {MESSAGE_LIMIT} bytes at most");
                    self.refuse(None, ErrorReply::new(ErrorCode::BadRequest, message)).await;
                    false
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Takes one message in; returns whether the connection goes on.
    async fn take(
        &mut self,
        (line, room): (&[u8], Option<LineRoom>),
        writer: Option<u32>,
        speaker: &mut Option<Speaker>,
    ) -> bool {
        let message: CallMessage = match serde_json::from_slice(line) {
            Ok(message) => message,
            Err(error) => {
                let error = format!("this is no call that Nod knows: {error}");
                let id = serde_json::from_slice(line).ok().and_then(|Numbered { id }| id);
                self.refuse(id, ErrorReply::new(ErrorCode::BadRequest, error)).await;
                return true;
            }
        };
        let id = message.id;
        match (message.call, speaker.as_ref()) {
            (Call::Hello(hello), None) => {
                let greeting = self.greet(&hello, writer).await;
                let welcome = greeting.is_ok();
                if welcome {
                    self.guest.greet();
                }
                let reply = greeting.map(|(who, reply)| {
                    *speaker = who;
                    reply
                });
                self.out.send(&HostMessage::reply(id, reply)).await;
                welcome
            }
            (_, None) => {
                let error = ErrorReply::new(ErrorCode::BadRequest, "say hello first");
                self.refuse(Some(id), error).await;
                false
            }
            (_, Some(Speaker::Terminal(_))) if !self.is_peer(writer) => {
                self.refuse(Some(id), EngineError::from(Distrust::AnotherWriter).into()).await;
                false
            }
            (call, Some(speaker)) => {
                self.begin(id, call, speaker.clone().of(writer), room).await;
                true
            }
        }
    }

    /// Returns whether a line was written by the very process that connected.
    fn is_peer(&self, writer: Option<u32>) -> bool {
        writer == Some(self.peer.caller.pid)
    }

    /// Returns whom the connection speaks for from its hello on, or nobody yet.
    ///
    /// A process at a terminal is judged by what it is now. That it is this one which speaks, and
    /// not what it was before or who else holds its connection, is known once it has written what
    /// it can have read only after it was judged.
    async fn greet(
        &mut self,
        hello: &Hello,
        writer: Option<u32>,
    ) -> Result<(Option<Speaker>, Reply), ErrorReply> {
        let Peer { uid, caller } = self.peer;
        let (actor, mut reply) = self.handle.hello(Actor::Peer { uid, pid: caller.pid }, hello)?;
        if !hello.terminal {
            return Ok((Some(Speaker::Actor(actor)), reply));
        }
        if !self.is_peer(writer) {
            return Err(EngineError::from(Distrust::AnotherWriter).into());
        }
        if let Some((terminal, nonce)) = self.judged.take() {
            if hello.nonce.as_ref() != Some(&nonce) {
                return Err(EngineError::from(Distrust::AnotherWriter).into());
            }
            return Ok((Some(Speaker::Terminal(terminal)), reply));
        }
        let terminal = self.handle.terminal_of(caller).await?;
        let nonce = Token::random().secret().to_owned();
        if let Reply::Welcome(welcome) = &mut reply {
            welcome.nonce = Some(nonce.clone());
        }
        self.judged = Some((terminal, nonce));
        Ok((None, reply))
    }

    /// Carries a call out beside the others of the connection.
    async fn begin(&mut self, id: u64, call: Call, speaker: Speaker, taken: Option<LineRoom>) {
        let waits = call.waits();
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
        // Nor is anything found out whose reply has nowhere to wait for its reader.
        let room = if waits { None } else { Some(self.out.room(reply_size(&call)).await) };
        let (handle, out, caller) = (self.handle.clone(), self.out.clone(), self.peer.caller);
        let sight = Arc::clone(&self.sight);
        // What waits is taken in by then, and is bounded where it waits.
        let taken = taken.filter(|_| !waits);
        let calls = if waits { &mut self.waiting } else { &mut self.short };
        calls.spawn(async move {
            let result = match speaker {
                Speaker::Actor(actor) => carry_out(id, &handle, &actor, call, &out).await,
                Speaker::Terminal(terminal) => {
                    // Its answer is the one thing that needs more than the table says.
                    if let Call::Answer(given) = call {
                        handle.answer_at((terminal, caller), &sight, given).await
                    } else {
                        let began = Instant::now();
                        let result = handle.call(&TERMINAL, call).await;
                        if let Ok(reply) = &result {
                            sight.show(reply, began);
                        }
                        result
                    }
                }
            };
            drop(taken);
            out.send_in(room, &HostMessage::reply(id, result)).await;
        });
    }

    async fn finish(&mut self) {
        while self.short.join_next().await.is_some() {}
    }

    async fn refuse(&self, id: Option<u64>, error: ErrorReply) {
        self.out.send(&HostMessage::error(id, error)).await;
    }
}

/// What of a call that cannot be read may be readable: its caller waits for this number.
#[derive(serde::Deserialize)]
struct Numbered {
    id: Option<u64>,
}

impl Speaker {
    /// Returns the same, as the process that wrote one line; a connection may have been inherited.
    fn of(self, writer: Option<u32>) -> Self {
        match (self, writer) {
            (Self::Actor(Actor::Peer { uid, .. }), Some(pid)) => {
                Self::Actor(Actor::Peer { uid, pid })
            }
            (same, _) => same,
        }
    }
}

async fn carry_out(
    id: u64,
    handle: &Handle,
    actor: &Actor,
    call: Call,
    out: &Outbox,
) -> Result<Reply, ErrorReply> {
    if call == Call::Subscribe {
        subscribe(id, handle, actor, out).await
    } else if let Call::FollowLog { id, offset, attempt } = call {
        follow(handle, actor, out, (id, attempt, offset)).await
    } else if let Call::Watch { since } = call {
        watch(handle, actor, out, since).await
    } else {
        handle.call(actor, call).await
    }
}

/// Sends events until the client or the host goes away.
async fn subscribe(
    id: u64,
    handle: &Handle,
    actor: &Actor,
    out: &Outbox,
) -> Result<Reply, ErrorReply> {
    let (reply, mut events) = handle.subscribe(actor)?;
    out.send(&HostMessage::reply(id, Ok(reply))).await;
    while let Some(event) = events.next().await {
        let event = Notification::Event(Arc::unwrap_or_clone(event));
        out.send(&HostMessage::notification(event)).await;
    }
    Err(ErrorReply::new(ErrorCode::Stopping, "the host is stopping"))
}

/// Sends stored events until the client or the host goes away.
async fn watch(
    handle: &Handle,
    actor: &Actor,
    out: &Outbox,
    since: Option<EventNumber>,
) -> Result<Reply, ErrorReply> {
    let mut watch = handle.watch(actor, since)?;
    while let Some(events) = watch.next().await? {
        for event in events {
            out.send(&HostMessage::notification(Notification::Watched(event))).await;
        }
    }
    Err(ErrorReply::new(ErrorCode::Stopping, "the host is stopping"))
}

async fn follow(
    handle: &Handle,
    actor: &Actor,
    out: &Outbox,
    (id, attempt, offset): (TaskId, Option<AttemptNumber>, u64),
) -> Result<Reply, ErrorReply> {
    let mut follow = handle.follow_log(actor, id, (attempt, offset))?;
    let failed = |error: io::Error| ErrorReply::new(ErrorCode::Internal, error.to_string());
    while let Some(Piece { attempt, offset, bytes }) = follow.next().await.map_err(failed)? {
        let size = offset + bytes.len() as u64;
        let part = LogPart { offset, data: BASE64.encode(bytes), size, attempt: Some(attempt) };
        out.send(&HostMessage::notification(Notification::Log(part))).await;
    }
    Ok(Reply::LogEnded { size: follow.offset() })
}
