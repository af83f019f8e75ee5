//! Nod's types and rules.
//!
//! Everything here is a value or a pure function: no clock, no files, no
//! processes, no threads. What time it is, which ids are free and what is
//! random come in as arguments, so every rule can be tested as a table.

pub mod access;
pub mod command;
pub mod duration;
pub mod environment;
pub mod guard;
pub mod ids;
pub mod notification;
pub mod paths;
pub mod progress;
pub mod prompt;
pub mod protocol;
pub mod question;
pub mod request;
pub mod rule;
pub mod schedule;
pub mod shell;
pub mod shim;
pub mod task;
pub mod terms;
pub mod text;
pub mod transition;

#[cfg(test)]
mod bindings;
