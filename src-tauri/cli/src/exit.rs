//! The codes with which `nod` exits, all of them in one place.
//!
//! `nod wait` exits with the code of the task's outcome instead:
//! [`nod_core::task::Outcome::exit_code`]. From 64 on the numbers are those of
//! sysexits(3), 124 is that of timeout(1).

/// Everything went well; a question was approved.
pub(crate) const OK: u8 = 0;
/// There is no such task, or it is too late.
pub(crate) const FAILED: u8 = 1;
/// A person said no.
pub(crate) const DENIED: u8 = 1;
/// What was given cannot be used; clap exits with the same.
pub(crate) const USAGE: u8 = 2;
/// No host could be reached or started (EX_UNAVAILABLE).
pub(crate) const NO_HOST: u8 = 69;
/// Something in Nod is wrong (EX_SOFTWARE).
pub(crate) const INTERNAL: u8 = 70;
/// The disk is full, or something cannot be written (EX_IOERR).
pub(crate) const STORAGE: u8 = 74;
/// A question was closed without an answer, never taken, or stays open though its answer is waited
/// for no longer; whether a task is cancelled is not known (EX_TEMPFAIL).
pub(crate) const NO_ANSWER: u8 = 75;
/// Host and command line do not understand each other (EX_PROTOCOL).
pub(crate) const PROTOCOL: u8 = 76;
/// The caller may not do this (EX_NOPERM).
pub(crate) const FORBIDDEN: u8 = 77;
/// Nobody answered in time.
pub(crate) const EXPIRED: u8 = 124;
/// Whoever read the output has gone: 128 + SIGPIPE, as of a program that the signal ends.
pub(crate) const CLOSED_PIPE: u8 = 141;
