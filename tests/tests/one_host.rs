//! One host for a data directory, started where it is needed.

use nod_core::task::StateName;
use nod_tests::{Home, TestHost, processes, until};

/// Returns the processes that serve this data directory.
fn hosts(home: &Home) -> Vec<i32> {
    let serving = processes::with_mark("\u{0}serve");
    let here = processes::with_mark(&format!("NOD_HOME={}", home.data().display()));
    serving.into_iter().filter(|pid| here.contains(pid)).collect()
}

#[test]
fn a_command_without_a_host_starts_one_and_goes_on() {
    let home = Home::new();
    let id = home.submit("echo hello");
    assert_eq!(home.wait_for_end(id).state.name(), StateName::Succeeded);
    assert_eq!(hosts(&home).len(), 1);
    let ran = home.run(&["stop"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    until("the host to go", || hosts(&home).is_empty().then_some(()));
    let ran = home.run(&["logs", &id.to_string(), "--plain"]);
    assert_eq!(ran.out, "hello\n", "{ran:?}");
}

#[test]
fn many_commands_at_once_start_one_host() {
    let home = Home::new();
    let children: Vec<_> = (0..8)
        .map(|_| home.nod(&["submit", "--", "true"]).stdout(std::process::Stdio::null()).spawn())
        .collect();
    for child in children {
        assert!(child.unwrap().wait().unwrap().success());
    }
    until("one host", || (hosts(&home).len() == 1).then_some(()));
    assert_eq!(home.tasks().len(), 8);
}

#[test]
fn a_second_host_is_refused_while_the_first_lives() {
    let host = TestHost::start();
    let ran = host.run(&["serve"]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("another host"), "{ran:?}");
    assert_eq!(host.run(&["list"]).code, Some(0));
}

#[test]
fn a_stopped_host_leaves_its_tasks_and_the_next_adopts_them() {
    let home = Home::new();
    let id = home.submit("while [ ! -e go ]; do sleep 0.02; done; exit 5");
    home.wait_for_state(id, StateName::Running);
    assert_eq!(home.run(&["stop"]).code, Some(0));
    let ran = home.run(&["list", "--json"]);
    assert!(ran.out.contains("running"), "{ran:?}");
    std::fs::write(home.work().join("go"), "").unwrap();
    assert_eq!(home.wait_for_end(id).state.words(), "Failed (exit 5)");
}

#[test]
fn a_data_directory_may_have_a_long_path_and_another_runtime_directory() {
    let home = Home::new();
    let long = home.path().join("x".repeat(200));
    let nod = |words: &[&str], runtime: &str| {
        let runtime = home.path().join(runtime);
        std::fs::create_dir_all(&runtime).unwrap();
        let mut command = home.nod(words);
        let out = command.env("NOD_HOME", &long).env("XDG_RUNTIME_DIR", runtime).output().unwrap();
        nod_tests::Ran::from(out)
    };
    assert_eq!(nod(&["submit", "--", "echo hi"], "run").code, Some(0));
    assert_eq!(nod(&["wait", "1"], "run").code, Some(0));
    // Another session of the same user, or cron: the same host is found.
    assert_eq!(nod(&["logs", "--plain", "1"], "other").out, "hi\n");
    assert_eq!(nod(&["stop"], "other").code, Some(0));
}

#[test]
fn everything_of_a_data_directory_is_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    std::fs::set_permissions(home.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let of_socket = home.socket().parent().unwrap().to_owned();
    // What somebody else may look into already is not used.
    std::fs::create_dir_all(&of_socket).unwrap();
    std::fs::set_permissions(&of_socket, std::fs::Permissions::from_mode(0o755)).unwrap();
    let refused = home.run(&["serve"]);
    assert!(refused.code == Some(69) && refused.err.contains("yours alone"), "{refused:?}");
    std::fs::remove_dir(&of_socket).unwrap();
    let id = home.submit("echo hello");
    home.wait_for_end(id);
    let mut open = Vec::new();
    assert!(home.socket().exists());
    let mut folders = vec![home.data(), of_socket];
    while let Some(folder) = folders.pop() {
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode();
        if mode(&folder) & 0o077 != 0 {
            open.push(folder.clone());
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if mode(&path) & 0o077 != 0 {
                open.push(path);
            }
        }
    }
    assert!(open.is_empty(), "{open:?}");
    // What a task makes is as its user is used to.
    let id = home.submit("umask");
    home.wait_for_end(id);
    let own = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::umask(own);
    assert_eq!(home.plain_log(id).trim(), format!("{:04o}", own.as_raw_mode()));
    let socket = home.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let folder = std::fs::metadata(socket.parent().unwrap()).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    assert_eq!(home.run(&["stop"]).code, Some(0));
}

#[test]
fn a_host_that_cannot_start_says_why_to_the_command_that_wanted_it() {
    let home = Home::new();
    std::fs::write(home.data().join("tasks"), "no folder").unwrap();
    let ran = home.run(&["list"]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    let tasks = home.data().join("tasks").display().to_string();
    assert!(ran.err.contains(&tasks), "{ran:?}");
    assert!(hosts(&home).is_empty());
    let log = std::fs::read_to_string(home.data().join("host.log")).unwrap();
    assert!(log.contains(&tasks), "{log}");
}

#[test]
fn garbage_on_the_socket_harms_nobody() {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let host = TestHost::start();
    let cases: [&[u8]; 6] = [
        b"garbage\n",
        b"\xff\xfe\x00\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"snapshot\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"protocol\":99}}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"hello\",\"params\":{\"protocol\":1,\"token\":\"x\"}}\n",
        &[b'x'; 2 << 20],
    ];
    for bytes in cases {
        let mut stream = UnixStream::connect(host.socket()).unwrap();
        // A host that has refused enough closes before all is written.
        stream.write_all(bytes).ok();
        stream.shutdown(std::net::Shutdown::Write).ok();
        let mut said = String::new();
        stream.read_to_string(&mut said).ok();
        assert!(
            said.contains("\"error\""),
            "{}: {said}",
            bytes[..20.min(bytes.len())].escape_ascii()
        );
    }
    let id = host.submit("true");
    assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
}

#[test]
fn a_connection_full_of_waiting_calls_says_so_and_half_a_close_loses_no_reply() {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    let host = TestHost::start();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let hello = r#"{"jsonrpc":"2.0","id":0,"method":"hello","params":{"protocol":1}}"#;
    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let mut lines = vec![hello.to_owned()];
    lines.extend((1..=65).map(|n| {
        format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"wait","params":{{"id":{id}}}}}"#)
    }));
    stream.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
    let mut replies = BufReader::new(stream.try_clone().unwrap()).lines();
    assert!(replies.next().unwrap().unwrap().contains("welcome"));
    let refused = replies.next().unwrap().unwrap();
    assert!(refused.contains("\"id\":65") && refused.contains("open another"), "{refused}");

    let mut stream = UnixStream::connect(host.socket()).unwrap();
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"list","params":{}}"#;
    stream.write_all(format!("{hello}\n{list}\n").as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert_eq!(said.lines().count(), 2, "{said}");
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
}

#[test]
fn a_host_whose_socket_vanished_makes_it_again() {
    let host = TestHost::start();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done; nod progress 50; echo $?");
    let folder = host.socket().parent().unwrap().to_owned();
    std::fs::remove_dir_all(folder).unwrap();
    until("the socket", || host.socket().exists().then_some(()));
    assert_eq!(host.run(&["list"]).code, Some(0));
    std::fs::write(host.work().join("go"), "").unwrap();
    host.wait_for_end(id);
    assert_eq!(host.task(id).progress.and_then(|progress| progress.percent), Some(50.0));
}

#[test]
fn a_killed_nod_serve_loses_no_question_and_no_line() {
    let home = Home::new();
    let id = home.submit("nod ask 'Deploy?'; echo $?");
    let printing =
        home.submit("i=0; while [ ! -e go ]; do i=$((i+1)); echo $i; sleep 0.01; done; exit 7");
    let request = home.wait_for_request(id);
    home.wait_for_state(printing, StateName::Running);
    let killed = hosts(&home);
    assert_eq!(killed.len(), 1);
    killed.iter().copied().for_each(processes::kill_9);
    until("the host to go", || hosts(&home).is_empty().then_some(()));
    // The next command finds no host and starts one, which adopts both.
    assert_eq!(home.run(&["list"]).code, Some(0));
    assert_eq!(home.request(id, request.id), request);
    assert_eq!(home.state(id), StateName::Waiting);
    std::fs::write(home.work().join("go"), "").unwrap();
    assert_eq!(home.wait_for_end(printing).state.words(), "Failed (exit 7)");
    let log = home.plain_log(printing);
    let numbers: Vec<usize> = log.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
    assert_eq!(home.run(&["cancel", &id.to_string()]).code, Some(0));
    home.wait_for_end(id);
    assert_eq!(home.run(&["stop"]).code, Some(0));
}
