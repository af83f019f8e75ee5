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

/// When a wait ends by itself: because no signal came in time, or to go on without one.
#[derive(Debug, Clone, Copy)]
struct Ends {
    expires: Option<Instant>,
    goes_on: Option<Instant>,
}

impl Ends {
    fn of(arguments: &Arguments) -> Self {
        // A time too far away to be counted never comes.
        let after = |time: Option<Duration>| time.and_then(|time| Instant::now().checked_add(time));
        Self { expires: after(arguments.timeout), goes_on: after(arguments.resume_after) }
    }

    fn first(self) -> Option<Instant> {
        [self.expires, self.goes_on].into_iter().flatten().min()
    }

    /// Returns how the wait has ended where its time passed without a word of the host.
    fn in_silence(self) -> WaitEnd {
        match (self.goes_on, self.expires) {
            (Some(goes_on), Some(expires)) if expires < goes_on => WaitEnd::Expired,
            (Some(_), _) => WaitEnd::Resumed,
            (None, _) => WaitEnd::Expired,
        }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let ends = Ends::of(arguments);
    let left = |at: Instant| at.saturating_duration_since(Instant::now());
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
        ends.first(),
        |connection| {
            connection.set_timeout(ends.first().map(|at| left(at) + GRACE))?;
            let timeout_ms = ends.expires.map(|at| duration::in_milliseconds(left(at)));
            let timeout_ms = timeout_ms.or(wait.timeout_ms);
            let reply = connection.call(&Call::Await(Await { timeout_ms, ..wait.clone() }));
            reached |= reply.as_ref().err().is_none_or(ClientError::may_have_taken);
            reply
        },
        |_| Ok::<_, ClientError>(Next::Later),
    );
    match reply {
        Ok(Reply::Awaited { end }) => tell(&end),
        Ok(reply) => Err(Failure::unexpected(&reply)),
        Err(ClientError::Silent { .. }) => tell(&ends.in_silence()),
        Err(error) if reached && error.is_passing() => tell(&ends.in_silence()),
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
