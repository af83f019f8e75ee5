//! Stands in for `nod` at a person's terminal, and says there whatever a test has it say.
//!
//! A host believes what its own `nod` writes, from a terminal, by itself. Run as the `nod` of a
//! test's host, this listens at a socket of the test's: each connection there becomes one to the
//! host that has been found to speak for the person. The host's welcome is the first line; from then
//! on bytes go to and fro as they are.
//!
//! nod-test-voice HOST LISTEN

use std::env;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::Context as _;
use serde_json::{Value, json};

fn main() -> anyhow::Result<()> {
    // The first word is the name of this program.
    let mut paths = env::args_os().skip(1).map(PathBuf::from);
    let host = paths.next().context("the host's socket is missing")?;
    let listener = UnixListener::bind(paths.next().context("the test's socket is missing")?)?;
    for client in listener.incoming() {
        let (client, host) = (client?, host.clone());
        thread::spawn(move || relay(client, &host));
    }
    Ok(())
}

fn relay(mut client: UnixStream, host: &Path) -> anyhow::Result<()> {
    let (mut replies, welcome) = greeted(host)?;
    client.write_all(welcome.as_bytes())?;
    let (to_client, to_host) = (client.try_clone()?, replies.get_ref().try_clone()?);
    let asking = thread::spawn(move || copy(client, to_host));
    let told = copy_buffered(&mut replies, to_client);
    asking.join().expect("copying does not panic")?;
    Ok(told?)
}

/// Connects as the `nod` of a person's terminal does: its second hello says what only the first
/// reply could tell it.
fn greeted(host: &Path) -> anyhow::Result<(BufReader<UnixStream>, String)> {
    let mut wire = BufReader::new(UnixStream::connect(host)?);
    let mut nonce = Value::Null;
    let mut line = String::new();
    for _ in 0..2 {
        let params = json!({ "protocol": 2, "token": null, "terminal": true, "nonce": nonce });
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "hello", "params": params });
        wire.get_mut().write_all(format!("{hello}\n").as_bytes())?;
        line.clear();
        wire.read_line(&mut line)?;
        let reply: Value = serde_json::from_str(&line)?;
        nonce = reply["result"]["nonce"].clone();
    }
    Ok((wire, line))
}

fn copy(mut from: UnixStream, mut to: UnixStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    // Whoever ends here ends there; what is gone already needs no end.
    drop(to.shutdown(Shutdown::Write));
    copied.map(drop)
}

fn copy_buffered(from: &mut impl Read, mut to: UnixStream) -> io::Result<()> {
    let copied = io::copy(from, &mut to);
    drop(to.shutdown(Shutdown::Both));
    copied.map(drop)
}
