//! One host holds a data directory, whatever is done to its files.

use std::fs;

use nod_core::protocol::{Call, Reply};
use nod_core::task::StateName;
use nod_tests::{TestHost, processes, until};

fn findings(host: &TestHost) -> Vec<String> {
    let Reply::Snapshot(snapshot) = host.call(&Call::Snapshot) else { panic!("no snapshot") };
    snapshot.findings
}

#[test]
fn a_second_host_is_refused_though_the_lock_file_was_removed() {
    let mut host = TestHost::start();
    let lock = host.data().join("host.lock");
    let said = fs::read_to_string(&lock).unwrap();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done; exit 2");
    host.wait_for_state(id, StateName::Running);
    fs::remove_file(&lock).unwrap();
    let ran = host.run(&["serve"]);
    assert_eq!(ran.code, Some(69), "{ran:?}");
    assert!(ran.err.contains("another host"), "{ran:?}");
    // Whoever looks for the host finds it again.
    until("the lock file", || (fs::read_to_string(&lock).ok()? == said).then_some(()));
    assert_eq!(host.run(&["serve"]).code, Some(69));
    // Also where another file was put there.
    fs::write(host.data().join("other"), "/nowhere").unwrap();
    fs::rename(host.data().join("other"), &lock).unwrap();
    until("the lock file", || (fs::read_to_string(&lock).ok()? == said).then_some(()));
    fs::write(host.work().join("go"), "").unwrap();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 2)");
    host.stop();
    host.restart();
    assert_eq!(host.task(id).state.words(), "Failed (exit 2)");
}

#[test]
fn nothing_is_promised_while_the_data_directory_is_away_and_all_goes_on_when_it_is_back() {
    let host = TestHost::start();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done; exit 6");
    host.wait_for_state(id, StateName::Running);
    let (data, away) = (host.data(), host.path().join("away"));
    fs::rename(&data, &away).unwrap();
    let refused = host.run(&["submit", "--", "true"]);
    assert_eq!(refused.code, Some(74), "{refused:?}");
    assert!(refused.err.contains("was removed or moved"), "{refused:?}");
    let found = until("what was found", || findings(&host).pop());
    assert!(found.contains(data.to_str().unwrap()) && found.contains("nod stop"), "{found}");
    let doctor = host.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.out.contains("WRONG   data"), "{doctor:?}");
    fs::write(host.work().join("go"), "").unwrap();
    fs::rename(&away, &data).unwrap();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 6)");
    until("nothing to be found", || findings(&host).is_empty().then_some(()));
    let next = host.submit("true");
    assert_eq!(next.0, id.0 + 1, "what was refused has no number");
    assert_eq!(host.run(&["doctor"]).code, Some(0));
}

#[test]
fn tasks_go_on_in_a_data_directory_that_was_removed_and_nothing_new_is_taken() {
    let mut host = TestHost::start();
    let id = host.submit("while [ ! -e go ]; do sleep 0.02; done; echo done > end");
    host.wait_for_state(id, StateName::Running);
    let process = until("the process", || host.detail(id).attempts.first()?.process);
    let shim = processes::parent(process);
    fs::remove_dir_all(host.data()).unwrap();
    let refused = host.run(&["submit", "--", "true"]);
    assert_eq!(refused.code, Some(74), "{refused:?}");
    assert!(refused.err.contains("was removed or moved"), "{refused:?}");
    assert!(host.run(&["doctor"]).out.contains("WRONG   data"));
    assert!(!host.data().exists(), "nothing is made there again");
    fs::write(host.work().join("go"), "").unwrap();
    until("the task's end", || host.work().join("end").exists().then_some(()));
    host.stop();
    until("the shim to go", || (!processes::is_alive(shim)).then_some(()));
    fs::create_dir(host.data()).unwrap();
    host.restart();
    assert_eq!(host.submit("true").0, 1);
}
