//! `nod await`: the calling task waits for a signal.

use std::time::{Duration, Instant};

use clap::Args;
use nod_client::{ClientError, Next, new_operation, persist};
use nod_core::protocol::{Await, Call, Reply, WaitEnd};
use serde_json::Value;

use crate::failure::Failure;
use crate::host::Host;
use crate::{duration, exit, output};

/// How much later than the wait's own end a host may say that it has come.
const GRACE: Duration = Duration::from_secs(5);

/// Wait for a signal (inside a task only)
///
/// Prints the signal's data as JSON, `null` where it goes on without one.
/// Exits with 0 on a signal or when it is time to go on, 124 when no signal
/// came in time, 75 when a message interrupts, 69 when there was no host in
/// that time.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The signal's name, as `nod notify` gives it
    key: String,
    /// How long at the most; 0 only looks [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// Go on without a signal after this long
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    resume_after: Option<Duration>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let deadline = arguments.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    let door = Host::find()?.task("await")?.door();
    let resume = arguments.resume_after.map(duration::in_milliseconds);
    let wait = Await {
        operation: new_operation()?,
        key: arguments.key.clone(),
        timeout_ms: arguments.timeout.map(duration::in_milliseconds),
        resume_at: resume.map(|after| super::list::now().plus(after)),
    };
    let mut reached = false;
    let reply = persist(
        &door,
        deadline,
        |connection| {
            reached = true;
            let left = left();
            connection.set_timeout(left.map(|left| left + GRACE))?;
            let timeout_ms = left.map(duration::in_milliseconds).or(wait.timeout_ms);
            connection.call(&Call::Await(Await { timeout_ms, ..wait.clone() }))
        },
        |_| Ok::<_, ClientError>(Next::Later),
    );
    match reply {
        Ok(Reply::Awaited { end }) => tell(&end),
        Ok(reply) => Err(Failure::unexpected(&reply)),
        Err(ClientError::Silent { .. }) => tell(&WaitEnd::Expired),
        Err(error) if reached && error.is_passing() => tell(&WaitEnd::Expired),
        Err(error) => Err(error.into()),
    }
}

fn tell(end: &WaitEnd) -> Result<u8, Failure> {
    match end {
        WaitEnd::Signal { data } => {
            output::json(data)?;
            Ok(exit::OK)
        }
        WaitEnd::Resumed => {
            output::json(&Value::Null)?;
            Ok(exit::OK)
        }
        WaitEnd::Expired => {
            output::note("no signal came in time");
            Ok(exit::EXPIRED)
        }
        WaitEnd::Interrupted { text } => {
            output::note(&format!("interrupted: {text}"));
            Ok(exit::NO_ANSWER)
        }
    }
}
