//! A host whose person is a pipe: what a test writes here is as if pressed in the window.
//!
//! One call of the protocol a line in, one reply a line out. Nothing of a
//! shipped program can do this. With a JSON object as its argument it stands in
//! for an older host: of that `version`, that `protocol`, with a shim of that
//! `shim_protocol` in that folder of `programs`. Where that says `armed`, what
//! has just been shown cannot be agreed to, as in what is shipped; `nod` is
//! another program that counts as its command line. Where it says `lingers`, a
//! host that is asked to end says `ending`, and does so after one line more.
#![expect(clippy::print_stdout, reason = "the replies go to the test through the pipe")]

use std::io::{self, BufRead as _};
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use nod_core::access::{Actor, Surface};
use nod_core::protocol::{Call, HostKind};
use nod_engine::{Arming, Host, HostOptions, Identity, Programs};

const PERSON: Actor = Actor::Person { surface: Surface::Window };

/// What the host does next.
enum Next {
    Line(String),
    /// Somebody asked for the host's end.
    AskedToEnd,
    /// The person's pipe was closed.
    Closed,
}

fn main() -> anyhow::Result<()> {
    let paths = nod_client::find_paths()?;
    nod_engine::write_to(&paths);
    let (programs, identity, arming, mut lingers) = who(std::env::args().nth(1))?;
    let kind = HostKind::Headless;
    let (show_window, notification_server) = (None, None);
    let options =
        HostOptions { paths, programs, kind, show_window, identity, notification_server, arming };
    let mut host = Host::start(options)?;
    drop(host.take_events());
    println!("ready");
    let mut is_ending = false;
    let handle = host.handle();
    for next in what_comes(&host) {
        let line = match next {
            Next::Line(line) => line,
            Next::AskedToEnd if lingers => {
                lingers = false;
                is_ending = true;
                println!("ending");
                continue;
            }
            Next::AskedToEnd | Next::Closed => break,
        };
        if line == "statements" {
            println!("{}", nod_engine::statements_run());
            continue;
        }
        let call: Call = serde_json::from_str(&line).context("a line is a call")?;
        let reply = host.runtime().block_on(handle.call(&PERSON, call));
        println!("{}", serde_json::to_string(&reply)?);
        if is_ending {
            break;
        }
    }
    Ok(())
}

fn who(stand_in: Option<String>) -> anyhow::Result<(Programs, Identity, Arming, bool)> {
    let (mut programs, mut identity) = (Programs::beside_this()?, Identity::default());
    let Some(json) = stand_in else { return Ok((programs, identity, Arming::off(), false)) };
    let older: serde_json::Value = serde_json::from_str(&json)?;
    let number = |name: &str| older[name].as_u64().and_then(|number| u32::try_from(number).ok());
    identity.version = older["version"].as_str().unwrap_or(&identity.version).to_owned();
    identity.protocol = number("protocol").unwrap_or(identity.protocol);
    identity.shim_protocol = number("shim_protocol").unwrap_or(identity.shim_protocol);
    if let Some(shim) = older["shim"].as_str() {
        programs.shim = shim.into();
    }
    if let Some(nod) = older["nod"].as_str() {
        programs.nod = nod.into();
    }
    let arming = if older["armed"] == true { Arming::default() } else { Arming::off() };
    Ok((programs, identity, arming, older["lingers"] == true))
}

fn what_comes(host: &Host) -> mpsc::Receiver<Next> {
    let (sender, receiver) = mpsc::channel();
    let (mut stop, ending) = (host.stop_requested(), sender.clone());
    host.runtime().spawn(async move {
        // An error says that the host is gone, and nobody to tell that its main thread is.
        drop(stop.wait_for(|stop| *stop).await);
        drop(ending.send(Next::AskedToEnd));
    });
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(Next::Line(line)).is_err() {
                return;
            }
        }
        drop(sender.send(Next::Closed));
    });
    receiver
}
