//! `nod inbox`: the messages to the calling task.

use clap::Args;
use nod_client::{ClientError, Door, Next, persist};
use nod_core::protocol::{Call, InboxMessage, ReadInbox, Reply};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// Print the messages to this task that it has not seen (inside a task only)
///
/// One line of JSON each, in order, each once.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Wait for more, for as long as the task runs
    #[arg(long)]
    follow: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let mut seen = None;
    loop {
        let call = Call::Inbox(ReadInbox { seen, follow: arguments.follow });
        let reply = match &host {
            Host::OfTask(task) if arguments.follow => keep_reading(&task.door(), &call)?,
            Host::OfTask(_) | Host::OfUser(_) => host.call_in_task("inbox", &call)?,
        };
        let Reply::Inbox { messages } = reply else { return Err(Failure::unexpected(&reply)) };
        // What was printed is taken in with the next call, and never before.
        let Some(last) = messages.last().map(|message| message.id) else { return Ok(exit::OK) };
        for message in &messages {
            print(message)?;
        }
        seen = Some(last);
    }
}

/// Asks for as long as it takes, and as many hosts.
fn keep_reading(door: &Door, call: &Call) -> Result<Reply, ClientError> {
    persist(door, None, |connection| connection.call(call), |_| Ok(Next::Later))
}

fn print(message: &InboxMessage) -> std::io::Result<()> {
    output::json(&serde_json::json!({
        "id": message.id,
        "at": message.at,
        "from": message.by.words(),
        "message": message.text,
        "interrupt": message.interrupt,
    }))
}
