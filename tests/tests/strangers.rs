//! A process of another user at the socket.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use nod_core::task::StateName;
use nod_tests::{TestHost, has_means, until};

/// Nobody, as most systems call this user.
const STRANGER: u32 = 65_534;

/// Says hello and asks for the tasks; prints what comes back before the host hangs up.
const ASK: &str = r#"
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("connected")
try:
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"hello","params":{"protocol":1,"token":null}}\n'
              b'{"jsonrpc":"2.0","id":2,"method":"snapshot"}\n')
    print("said", s.makefile().read())
except OSError as error:
    print("said", error.strerror)
"#;

fn open_to_all(path: &Path) {
    let mode = if path.is_dir() { 0o755 } else { 0o666 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is the test's own");
}

#[test]
fn a_peer_of_another_user_is_refused_even_where_the_folders_let_it_come() {
    // Only root can be another user.
    if !has_means("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let host = TestHost::start();
    let socket = host.socket();
    let connect = || {
        let mut python = host.command("python3");
        python.args(["-c", ASK]).arg(&socket).current_dir("/");
        python.uid(STRANGER).gid(STRANGER);
        let ran = python.output().expect("python3 is installed by make test");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&ran.stdout), text(&ran.stderr))
    };
    // As it is, nobody else even comes to the door.
    let (said, errors) = connect();
    assert!(said.is_empty() && errors.contains("PermissionError"), "{said} {errors}");
    for folder in socket.ancestors().skip(1).take_while(|it| it.starts_with(host.path())) {
        open_to_all(folder);
    }
    open_to_all(&socket);
    let (said, errors) = connect();
    assert!(said.starts_with("connected\n"), "{said} {errors}");
    assert!(!said.contains("jsonrpc"), "{said}");
    let log = || fs::read_to_string(host.data().join("host.log")).unwrap_or_default();
    until("the refusal in the log", || {
        log().contains("refused a connection of another user").then_some(())
    });
    // Those of this user are served as before.
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}
