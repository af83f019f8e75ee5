//! A host whose person is a pipe: what a test writes here is as if pressed in the window.
//!
//! One call of the protocol a line in, one reply a line out. Nothing of a
//! shipped program can do this.
#![expect(clippy::print_stdout, reason = "the replies go to the test through the pipe")]

use std::io::{self, BufRead as _};

use anyhow::Context as _;
use nod_core::access::{Actor, Surface};
use nod_core::protocol::{Call, HostKind};
use nod_engine::{Host, HostOptions, Programs};

const PERSON: Actor = Actor::Person { surface: Surface::Window };

fn main() -> anyhow::Result<()> {
    let paths = nod_client::find_paths()?;
    nod_engine::write_to(&paths);
    let mut host = Host::start(HostOptions {
        paths,
        programs: Programs::beside_this()?,
        kind: HostKind::Headless,
        show_window: None,
    })?;
    drop(host.take_events());
    println!("ready");
    let handle = host.handle();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line == "statements" {
            println!("{}", nod_engine::statements_run());
            continue;
        }
        let call: Call = serde_json::from_str(&line).context("a line is a call")?;
        let reply = host.runtime().block_on(handle.call(&PERSON, call));
        println!("{}", serde_json::to_string(&reply)?);
    }
    Ok(())
}
