//! One connection to a host: calls out, replies and notifications in.

use std::io::{self, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nod_core::protocol::{
    Call, CallMessage, ErrorCode, ErrorReply, Hello, HostMessage, MESSAGE_LIMIT, Notification,
    PROTOCOL, Reply, Snapshot, Welcome,
};

use crate::error::ClientError;
use crate::lines::{Line, read_line};

/// A part of a log in base64 and its message fit in few reads of this size.
const READ_SIZE: usize = 64 * 1024;

/// A connection that is open.
///
/// The hello waits for the first call and leaves with it in one write: a
/// command costs one write and one read.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<UnixStream>,
    /// What is spoken here.
    protocol: u32,
    hello: Option<Hello>,
    welcome: Option<Welcome>,
    peer: i32,
    last_id: u64,
    line: Vec<u8>,
}

/// What a host says while a call is under way.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    Notification(Box<Notification>),
    /// The call is done; nothing follows.
    Reply(Box<Reply>),
}

impl Connection {
    /// Connects to the host on `socket`, which must be of this user; a `token` speaks for its task.
    pub fn open(socket: &Path, token: Option<String>) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(socket).map_err(|source| {
            let socket = socket.to_owned();
            // A socket without a listener is what a killed host leaves.
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) {
                ClientError::NoHost { socket, source }
            } else {
                ClientError::Unreachable { socket, source }
            }
        })?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).map_err(|source| {
            ClientError::Unreachable { socket: socket.to_owned(), source: source.into() }
        })?;
        let uid = peer.uid.as_raw();
        if uid != crate::own_uid() {
            return Err(ClientError::Foreign { socket: socket.to_owned(), uid });
        }
        Ok(Self {
            stream: BufReader::with_capacity(READ_SIZE, stream),
            protocol: PROTOCOL,
            hello: Some(Hello { protocol: PROTOCOL, token, terminal: false, nonce: None }),
            welcome: None,
            peer: peer.pid.as_raw_nonzero().get(),
            last_id: 0,
            line: Vec::new(),
        })
    }

    /// Speaks the protocol before this one's, as an older host does; before the first call.
    #[must_use]
    pub fn speaking_older(mut self) -> Self {
        self.protocol = PROTOCOL - 1;
        if let Some(hello) = &mut self.hello {
            hello.protocol = self.protocol;
        }
        self
    }

    /// Asks to speak for the person at this process's terminal, which is up to the host.
    pub fn at_terminal(mut self) -> Result<Self, ClientError> {
        let Some(mut hello) = self.hello.take() else { return Ok(self) };
        hello.terminal = true;
        self.say(hello.clone())?;
        // Written by whoever reads it: the host then knows that this process is the one it judged.
        hello.nonce = self.welcome.as_ref().and_then(|welcome| welcome.nonce.clone());
        self.say(hello)?;
        Ok(self)
    }

    fn say(&mut self, hello: Hello) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes, Call::Hello(hello))?;
        self.stream.get_mut().write_all(&bytes).map_err(|error| self.lost(error))?;
        self.read_welcome()
    }

    /// Makes a reply that takes longer than `timeout` an error; without one, waits for ever.
    ///
    /// The same goes for a host that does not take what is sent.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        // The system refuses a timeout of zero, which would mean none.
        let timeout = timeout.map(|timeout| timeout.max(Duration::from_millis(1)));
        let stream = self.stream.get_ref();
        let set = stream.set_read_timeout(timeout).and_then(|()| stream.set_write_timeout(timeout));
        set.map_err(|error| self.lost(error))
    }

    /// Returns who the host is, once it has answered anything.
    #[must_use]
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Asks the host for `call` and returns its reply; notifications on the way are passed over.
    pub fn call(&mut self, call: &Call) -> Result<Reply, ClientError> {
        self.send(call)?;
        loop {
            match self.receive()? {
                Incoming::Reply(reply) => return Ok(*reply),
                Incoming::Notification(_) => {}
            }
        }
    }

    /// Returns all that goes on, however many messages that takes. Whoever subscribed before applies
    /// the events after its number: what changed in between is told by them.
    pub fn snapshot(&mut self) -> Result<Snapshot, ClientError> {
        let Reply::Snapshot(mut whole) = self.call(&Call::Snapshot)? else {
            return Err(unexpected("no snapshot"));
        };
        while let Some(place) = whole.more.take() {
            let Reply::SnapshotRest(rest) = self.call(&Call::SnapshotRest(place))? else {
                return Err(unexpected("no rest of a snapshot"));
            };
            if rest.more == Some(place) {
                return Err(unexpected("a snapshot without an end"));
            }
            whole.tasks.extend(rest.tasks);
            whole.requests.extend(rest.requests);
            whole.more = rest.more;
        }
        whole.tasks.sort_by_key(|task| std::cmp::Reverse(task.id));
        Ok(*whole)
    }

    /// As [`Self::call`], with [`ClientError::Silent`] for a host that takes longer than `timeout`.
    pub fn call_within(&mut self, timeout: Duration, call: &Call) -> Result<Reply, ClientError> {
        self.set_timeout(Some(timeout))?;
        self.call(call)
    }

    /// Sends `call`; its notifications and its reply are then to be received.
    pub fn send(&mut self, call: &Call) -> Result<(), ClientError> {
        let mut bytes = Vec::new();
        let hello = self.hello.take();
        if let Some(hello) = &hello {
            self.encode(&mut bytes, Call::Hello(hello.clone()))?;
        }
        self.encode(&mut bytes, call.clone())?;
        match self.stream.get_mut().write_all(&bytes) {
            Ok(()) => {}
            // The host closed, and may have said why before.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(self.lost(error)),
        }
        if hello.is_some() {
            self.read_welcome()?;
        }
        Ok(())
    }

    /// Returns the next thing that the host says to the call that was sent last.
    pub fn receive(&mut self) -> Result<Incoming, ClientError> {
        match self.read_message()? {
            HostMessage::Notification { notification, .. } => {
                Ok(Incoming::Notification(Box::new(notification)))
            }
            HostMessage::Reply { id, result, .. } if id == self.last_id => {
                Ok(Incoming::Reply(Box::new(result)))
            }
            HostMessage::Reply { id, .. } => Err(unexpected(&format!("a reply to call {id}"))),
            HostMessage::Error { error, .. } => Err(self.refused(error.into())),
        }
    }

    fn encode(&mut self, bytes: &mut Vec<u8>, call: Call) -> Result<(), ClientError> {
        self.last_id += 1;
        let start = bytes.len();
        serde_json::to_writer(&mut *bytes, &CallMessage::new(self.last_id, call))
            .map_err(|error| unexpected(&format!("this call: {error}")))?;
        bytes.push(b'\n');
        let size = bytes.len() - start;
        if size > MESSAGE_LIMIT {
            return Err(ClientError::TooLarge { size });
        }
        Ok(())
    }

    fn read_welcome(&mut self) -> Result<(), ClientError> {
        match self.read_message()? {
            HostMessage::Reply { result: Reply::Welcome(welcome), .. } => {
                if welcome.protocol != self.protocol {
                    return Err(ClientError::Version { pid: self.peer });
                }
                self.welcome = Some(welcome);
                Ok(())
            }
            HostMessage::Error { error, .. } => Err(self.refused(error.into())),
            HostMessage::Reply { .. } | HostMessage::Notification { .. } => {
                Err(unexpected("no welcome"))
            }
        }
    }

    fn read_message(&mut self) -> Result<HostMessage, ClientError> {
        let read = read_line(&mut self.stream, &mut self.line, MESSAGE_LIMIT);
        match read.map_err(|error| self.lost(error))? {
            Line::Whole => serde_json::from_slice(&self.line)
                .map_err(|error| unexpected(&format!("no message: {error}"))),
            Line::TooLong => Err(unexpected("a message that is too long")),
            Line::End => Err(ClientError::Lost { source: None }),
        }
    }

    fn refused(&self, error: ErrorReply) -> ClientError {
        if error.code == ErrorCode::Version {
            return ClientError::Version { pid: self.peer };
        }
        ClientError::Refused(error)
    }

    fn lost(&self, error: io::Error) -> ClientError {
        // Which of the two a timeout is, depends on the system.
        if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
            return ClientError::Silent { pid: self.peer };
        }
        ClientError::Lost { source: Some(error) }
    }
}

fn unexpected(what: &str) -> ClientError {
    ClientError::Protocol { what: what.to_owned() }
}
