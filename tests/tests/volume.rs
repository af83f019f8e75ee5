//! More output than anybody reads: ten gibibytes from one task.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

use std::os::unix::fs::MetadataExt as _;
use std::thread;
use std::time::Duration;

use nod_core::task::StateName;
use nod_tests::{TestHost, processes};

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// The log takes its bound of the disk, and `beyond` it for a moment.
fn prints_ten_gibibytes(way: &str, beyond: u64) {
    let host = TestHost::start();
    let line = "yes 'a line of output that is fifty bytes in all, and so' | head -c 10737418240; \
                printf '\nthe last words'";
    let id = host.submit_with(&[way], &["sh", "-c", line]);
    host.wait_for_state(id, StateName::Running);
    let shim = processes::parent(host.detail(id).attempts[0].process.unwrap());
    // Somebody looks on all the time, from the beginning and at the end.
    let mut follower = host.nod(&["logs", "-f", "--plain", &id.to_string()]);
    let mut follower = follower.stdout(std::process::Stdio::null()).spawn().unwrap();

    let (mut on_disk, mut of_shim, mut of_host) = (0, 0, 0);
    let path = host.detail(id).log_path.unwrap();
    // As long as it takes: the runner of the tests knows when that is too long.
    let ended = loop {
        on_disk = on_disk.max(std::fs::metadata(&path).unwrap().blocks() * 512);
        of_shim = of_shim.max(processes::peak_kib(shim).unwrap_or(0));
        of_host = of_host.max(processes::peak_kib(host.pid()).unwrap_or(0));
        let task = host.task(id);
        if task.state.outcome().is_some() {
            break task;
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.state.name(), StateName::Succeeded);
    let log = std::fs::metadata(&path).unwrap();
    assert_eq!(log.len(), 10 * GIB + 15);
    assert!(on_disk <= 256 * MIB + beyond, "{on_disk}");
    assert!(log.blocks() * 512 <= 272 * MIB, "{}", log.blocks() * 512);
    assert!(of_shim < 16 * 1024, "{of_shim} KiB");
    assert!(of_host < 96 * 1024, "{of_host} KiB");
    let tail = host.run(&["logs", &id.to_string(), "--tail", "1"]);
    assert_eq!(tail.out, "the last words");
    assert!(follower.wait().unwrap().success());
}

#[test]
fn ten_gibibytes_take_a_bounded_disk_and_bounded_memory() {
    // The shim writes it, and gives back before it writes on.
    prints_ten_gibibytes("--no-tty", 16 * MIB);
}

#[test]
fn ten_gibibytes_written_directly_take_a_bounded_disk_and_bounded_memory() {
    // What one look lets by of a writer that waits for nobody.
    prints_ten_gibibytes("--direct", 1024 * MIB);
}
