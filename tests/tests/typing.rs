//! Typing into a task, across a host that ends in the middle of it.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use nod_core::task::StateName;
use nod_tests::{TestHost, until};

/// Stands between clients and a host, and hangs up where a client waits for the reply to what it
/// typed, which the host has taken by then.
fn lose_replies(place: &Path, host: PathBuf) {
    let listener = UnixListener::bind(place).unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let Ok(mut to_host) = UnixStream::connect(&host) else { return };
            let mut replies = BufReader::new(to_host.try_clone().unwrap()).lines();
            for line in BufReader::new(client.try_clone().unwrap()).lines() {
                let Ok(line) = line else { break };
                writeln!(to_host, "{line}").unwrap();
                let Some(Ok(reply)) = replies.next() else { break };
                if line.contains("\"method\":\"input\"") || writeln!(client, "{reply}").is_err() {
                    break;
                }
            }
        }
    });
}

#[test]
fn what_may_have_been_typed_is_not_typed_again() {
    let host = TestHost::start();
    let id = host.submit_with(&["-i"], &["cat > got"]);
    host.wait_for_state(id, StateName::Running);
    let written = fs::read_to_string(host.data().join("host.lock")).unwrap();
    let between = host.path().join("between.sock");
    lose_replies(&between, PathBuf::from(written.trim_end()));
    fs::write(host.data().join("host.lock"), between.to_str().unwrap()).unwrap();
    let typed = host.run(&["stdin", &id.to_string(), "--line", "once"]);
    assert_eq!(typed.code, Some(69), "{typed:?}");
    assert!(typed.err.contains("may have reached the task or not"), "{typed:?}");
    fs::write(host.data().join("host.lock"), written).unwrap();
    let ended = host.run(&["stdin", &id.to_string(), "--line", "last", "--eof"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
    let got = || fs::read_to_string(host.work().join("got")).ok();
    assert_eq!(until("what was typed", got), "once\nlast\n");
}
