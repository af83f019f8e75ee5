//! The real `nod-shim` on real attempts, spoken to as a host speaks to it.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "all of this is tests, and a test looks for one message among all"
)]

mod attempt;
mod bounds;
mod child;
mod claim;
mod direct;
mod endings;
mod hosts;
mod interactive;
mod output;
mod pausing;
mod stopping;
