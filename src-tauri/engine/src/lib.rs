//! Nod's engine: it keeps the tasks, runs them through shims, and serves whoever asks.
//!
//! It knows no window. The dispatcher alone changes a state, the store alone
//! speaks SQL, and everything that takes time happens off the dispatcher's
//! thread.

mod clock;
mod config;
mod diagnostics;
mod dispatcher;
mod doctor;
mod effects;
mod error;
mod events;
mod forms;
#[cfg(test)]
mod fuzz;
mod guards;
mod handle;
mod history_clock;
mod host;
mod logs;
mod process;
mod recovery;
mod retention;
#[cfg(test)]
mod samples;
mod scheduling;
mod search;
mod serve;
mod shims;
mod sight;
mod silence;
mod socket;
mod store;
mod strays;
mod terminals;
mod tokens;

pub use diagnostics::write_to;
pub use doctor::{examine, has_host};
pub use error::EngineError;
pub use events::Subscription;
pub use handle::Handle;
pub use host::{AskNotificationServer, Host, HostOptions, Identity, StartError};
pub use logs::{Follow, Piece};
pub use process::Programs;
pub use serve::{ServeOptions, serve};
pub use sight::Arming;
pub use store::{StoreError, statements_run};
pub use terminals::Distrust;
