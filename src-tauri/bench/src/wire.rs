//! Many calls at once over one connection, as a program that submits in bulk makes them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::bail;
use nod_client::new_operation;
use nod_core::command::CommandLine;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, CallMessage, Hello, HostMessage, PROTOCOL, Reply, Submit};
use nod_core::task::OutputMode;

use crate::place;

/// How many calls are under way at once; the host takes no more of one connection.
pub(crate) const AT_ONCE: usize = 64;

pub(crate) struct Wire {
    stream: BufReader<UnixStream>,
    last_id: u64,
}

impl Wire {
    pub(crate) fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = BufReader::with_capacity(1 << 16, UnixStream::connect(socket)?);
        let mut wire = Self { stream, last_id: 0 };
        let hello =
            Call::Hello(Hello { protocol: PROTOCOL, token: None, terminal: false, nonce: None });
        wire.send(vec![hello])?;
        wire.reply()?;
        Ok(wire)
    }

    /// Makes all calls, some at a time, and returns their replies as they came.
    pub(crate) fn all(&mut self, calls: Vec<Call>) -> anyhow::Result<Vec<Reply>> {
        let mut left = VecDeque::from(calls);
        let mut replies = Vec::with_capacity(left.len());
        let mut free = AT_ONCE;
        let mut open = 0;
        while open > 0 || !left.is_empty() {
            let next: Vec<_> = left.drain(..free.min(left.len())).collect();
            open += next.len();
            self.send(next)?;
            free = 0;
            loop {
                replies.push(self.reply()?);
                free += 1;
                open -= 1;
                if open == 0 || !self.stream.buffer().contains(&b'\n') {
                    break;
                }
            }
        }
        Ok(replies)
    }

    /// Submits the same task again and again.
    pub(crate) fn submit(&mut self, submit: &Submit, times: usize) -> anyhow::Result<Vec<TaskId>> {
        let mut calls = Vec::with_capacity(times);
        for _ in 0..times {
            let submit = Submit { operation: new_operation()?, ..submit.clone() };
            calls.push(Call::Submit(Box::new(submit)));
        }
        let id = |reply: Reply| {
            let Reply::Submitted { id, .. } = reply else { bail!("the host said {reply:?}") };
            Ok(id)
        };
        self.all(calls)?.into_iter().map(id).collect()
    }

    /// Makes calls at once, and waits until each has its reply, be it that it is refused.
    pub(crate) fn say(&mut self, calls: Vec<Call>) -> anyhow::Result<()> {
        let count = calls.len();
        self.send(calls)?;
        for _ in 0..count {
            let mut line = String::new();
            anyhow::ensure!(self.stream.read_line(&mut line)? > 0, "the host hung up");
        }
        Ok(())
    }

    fn send(&mut self, calls: Vec<Call>) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        for call in calls {
            self.last_id += 1;
            serde_json::to_writer(&mut bytes, &CallMessage::new(self.last_id, call))?;
            bytes.push(b'\n');
        }
        self.stream.get_mut().write_all(&bytes)?;
        Ok(())
    }

    fn reply(&mut self) -> anyhow::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let message = serde_json::from_str(&line)?;
        let HostMessage::Reply { result, .. } = message else { bail!("the host said {message:?}") };
        Ok(result)
    }
}

/// Returns a submit of these words, to be given a name of its own each time.
pub(crate) fn task(words: &[&str], cwd: &Path) -> anyhow::Result<Submit> {
    Ok(Submit {
        operation: new_operation()?,
        command: CommandLine::Argv { argv: words.iter().map(|word| (*word).to_owned()).collect() },
        cwd: place::word(cwd)?.to_owned(),
        environment: Some(place::environment()),
        extra_environment: Default::default(),
        label: None,
        session: None,
        output: OutputMode::Terminal,
        options: Default::default(),
        timeout_ms: None,
        ask_first: false,
        scheduling: Default::default(),
    })
}
