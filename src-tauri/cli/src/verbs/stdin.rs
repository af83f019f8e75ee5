//! `nod stdin`: typing into a task that was submitted with `-i`.

use std::io::{self, Read};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use nod_client::new_operation;
use nod_core::ids::{SessionId, TaskId};
use nod_core::protocol::{Call, Reply, TypeIn};
use nod_core::shim::INPUT_LIMIT;

use crate::exit;
use crate::failure::Failure;
use crate::host::Host;

/// How a terminal says that its input is over (VEOF).
const END: &[u8] = b"\x04";

/// Type into a task that was submitted with -i
///
/// What comes on standard input is typed as it comes, or the lines given with --line.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The number of the task
    #[arg(value_parser = super::task_id, allow_negative_numbers = true)]
    id: TaskId,
    /// A line to type, instead of standard input; may be given again
    #[arg(long, value_name = "TEXT")]
    line: Vec<String>,
    /// Say at last that there is no more input, as Ctrl-D does
    #[arg(long)]
    eof: bool,
    /// The session of the task, if it has one
    #[arg(long)]
    session: Option<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let host = Host::find()?;
    let typing = Typing { host: &host, arguments };
    if arguments.line.is_empty() {
        typing.copy(&mut io::stdin().lock())?;
    }
    for line in &arguments.line {
        typing.copy(&mut format!("{line}\n").as_bytes())?;
    }
    if arguments.eof {
        typing.write(END)?;
    }
    Ok(exit::OK)
}

struct Typing<'a> {
    host: &'a Host,
    arguments: &'a Arguments,
}

impl Typing<'_> {
    fn copy(&self, source: &mut dyn Read) -> Result<(), Failure> {
        let mut piece = [0; INPUT_LIMIT];
        loop {
            match source.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(count) => self.write(&piece[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(Failure::Read { path: "standard input".into(), source });
                }
            }
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let call = Call::Input(TypeIn {
            id: self.arguments.id,
            operation: Some(new_operation()?),
            data: STANDARD.encode(bytes),
            session: self.arguments.session.clone().map(SessionId),
        });
        let reply = self.host.call(&call)?;
        if reply == Reply::Done { Ok(()) } else { Err(Failure::unexpected(&reply)) }
    }
}
