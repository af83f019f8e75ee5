//! A host whose person is a pipe: what a test writes here is as if pressed in the window.
//!
//! One call of the protocol a line in, one reply a line out. Nothing of a
//! shipped program can do this. With a JSON object as its argument it stands in
//! for an older host: of that `version`, that `protocol`, with a shim of that
//! `shim_protocol` in that folder of `programs`. Where that says `armed`, what
//! has just been shown cannot be agreed to, as in what is shipped; `nod` is
//! another program that counts as its command line. Where it says `lingers`, a
//! host that is asked to end says `ending`, and does so after one line more.
//! With `desktop` as its `kind` it is one that has a window, and says `shown`
//! when that is to come to the front.
#![expect(clippy::print_stdout, reason = "the replies go to the test through the pipe")]

use std::io::{self, BufRead as _};
use std::sync::mpsc;
use std::thread;

use anyhow::Context as _;
use nod_core::access::{Actor, Surface};
use nod_core::paths::Paths;
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
    let (options, mut lingers) = who(paths, std::env::args().nth(1))?;
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

/// Returns what to start as, and whether the host lingers.
fn who(paths: Paths, stand_in: Option<String>) -> anyhow::Result<(HostOptions, bool)> {
    let mut options = HostOptions {
        paths,
        programs: Programs::beside_this()?,
        kind: HostKind::Headless,
        show_window: None,
        identity: Identity::default(),
        notification_server: None,
        arming: Arming::off(),
    };
    let Some(json) = stand_in else { return Ok((options, false)) };
    let other: serde_json::Value = serde_json::from_str(&json)?;
    let number = |name: &str| other[name].as_u64().and_then(|number| u32::try_from(number).ok());
    let identity = &mut options.identity;
    identity.version = other["version"].as_str().unwrap_or(&identity.version).to_owned();
    identity.protocol = number("protocol").unwrap_or(identity.protocol);
    identity.shim_protocol = number("shim_protocol").unwrap_or(identity.shim_protocol);
    if let Some(shim) = other["shim"].as_str() {
        options.programs.shim = shim.into();
    }
    if let Some(nod) = other["nod"].as_str() {
        options.programs.nod = nod.into();
    }
    if other["armed"] == true {
        options.arming = Arming::default();
    }
    if other["kind"] == "desktop" {
        options.kind = HostKind::Desktop;
        options.show_window = Some(Box::new(|| println!("shown")));
    }
    Ok((options, other["lingers"] == true))
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
