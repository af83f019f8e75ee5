//! A disk that is full, or can only be read: in a mount namespace of its own.
//!
//! A test runs itself again in the namespace.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::io::Write as _;
use std::process::Command;

use nod_core::ids::TaskId;
use nod_core::task::StateName;
use nod_tests::{Home, TestHost, has_means, processes, until};

const INSIDE: &str = "NOD_TEST_IN_NAMESPACE";

/// Returns whether this process is in a namespace of its own; else runs the test in one.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // Root needs no user namespace, and others get nowhere without one.
    let flags = if rustix::process::getuid().is_root() { "-m" } else { "-rm" };
    let tried = Command::new("unshare").args([flags, "true"]).status();
    if !has_means("mount-namespace", tried.is_ok_and(|tried| tried.success())) {
        return false;
    }
    let mut command = Command::new("unshare");
    command.arg(flags).arg(std::env::current_exe().unwrap());
    let ran = command.args(["--exact", test, "--nocapture"]).env(INSIDE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{test} failed in its namespace:\n{said}\n{errors}");
    // No test of that name is no failure to those who run tests.
    assert!(said.contains("test result: ok. 1 passed;"), "{test} is not what was run:\n{said}");
    false
}

/// A tmpfs in the place of the data directory.
struct Small {
    place: std::path::PathBuf,
}

impl Small {
    fn mount(home: &Home, size: &str) -> Self {
        Self::mount_as(home, "tmpfs", &format!("mode=700,size={size}"))
    }

    fn mount_as(home: &Home, kind: &str, options: &str) -> Self {
        let place = home.data();
        let mut mount = Command::new("mount");
        mount.args(["-t", kind, "-o", options, "nod-test"]).arg(&place);
        assert!(mount.status().unwrap().success());
        Self { place }
    }

    fn resize(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(&self.place);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: the host is still there.
        Command::new("umount").arg("-l").arg(&self.place).status().ok();
    }
}

/// Starts a host whose data directory has 24 MiB of room.
fn in_little_room() -> (Small, TestHost) {
    let home = Home::new();
    let small = Small::mount(&home, "24m");
    (small, TestHost::start_in(home))
}

#[test]
fn on_a_full_disk_submits_are_refused_and_running_tasks_wait_until_there_is_room() {
    let name = "on_a_full_disk_submits_are_refused_and_running_tasks_wait_until_there_is_room";
    if !is_inside(name) {
        return;
    }
    // A terminal makes two characters of the end of a line.
    for (mode, end) in [(&["--no-tty"][..], "\n"), (&[], "\r\n"), (&["-i"], "\r\n")] {
        waits_for_room(mode, end);
    }
}

fn waits_for_room(mode: &[&str], end: &str) {
    let home = Home::new();
    let small = Small::mount(&home, "16m");
    let home = home.with_config("[output]\nlimit_mib = 0\n");
    let host = TestHost::start_in(home);
    let quiet = host.submit("while [ ! -e go ]; do sleep 0.02; done; exit 3");
    let process = until("the process", || host.detail(quiet).attempts.first()?.process);
    let digits = 16 - end.len();
    let script = format!(
        "import sys
for n in range(0, 2500000, 2500): sys.stdout.write(''.join('%0{digits}d\\n' % (n + i) for i in range(2500)))"
    );
    let printing = host.submit_with(mode, &["python3", "-c", &script]);
    let show = || host.run(&["show", &printing.to_string()]).out;
    until("the full disk to be shown", || show().contains("disk         full").then_some(()));
    // What the database has in reserve is soon used up.
    let refused = until("a refused submit", || {
        let ran = host.run(&["submit", "--", "true"]);
        (ran.code != Some(0)).then_some(ran)
    });
    assert_eq!(refused.code, Some(74), "{refused:?}");
    assert!(refused.err.contains("the disk is full"), "{refused:?}");
    assert_eq!(host.state(printing), StateName::Running);
    // A task that ends meanwhile is kept by its shim.
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the end of the other", || (!processes::is_alive(process)).then_some(()));
    assert_eq!(host.state(printing), StateName::Running);

    small.resize("96m");
    let ended = host.wait_for_end(printing);
    assert_eq!(ended.state.name(), StateName::Succeeded);
    assert!(!ended.condition.disk_full);
    let log = host.log(printing);
    assert_eq!(log.len(), 40_000_000);
    let line = |n: usize| format!("{n:0digits$}{end}").into_bytes();
    assert!((0..2_500_000).step_by(997).all(|n| log[n * 16..n * 16 + 16] == line(n)));
    assert_eq!(host.wait_for_end(quiet).state.words(), "Failed (exit 3)");
    let after = host.submit("true");
    assert_eq!(host.wait_for_end(after).state.name(), StateName::Succeeded);
    drop(small);
}

#[test]
fn a_log_that_cannot_be_bounded_is_kept_whole_and_that_is_said() {
    let name = "a_log_that_cannot_be_bounded_is_kept_whole_and_that_is_said";
    if !is_inside(name) {
        return;
    }
    let home = Home::new();
    // A file system without holes.
    let ram = Small::mount_as(&home, "ramfs", "mode=700");
    let mut host = TestHost::start_in(home);
    let line = "yes | head -c 3000000; while [ ! -e go ]; do sleep 0.02; done";
    let ids = ["--no-tty", "--direct"]
        .map(|way| host.submit_with(&[way, "--log-limit", "256KiB"], &["sh", "-c", line]));
    let show = |host: &TestHost, id: TaskId| host.run(&["show", &id.to_string()]).out;
    for id in ids {
        until("the bound to be given up", || {
            show(&host, id).contains("grows past its bound").then_some(())
        });
    }
    // The next host knows it as well.
    host.kill();
    host.restart();
    assert!(ids.iter().all(|id| show(&host, *id).contains("grows past its bound")));
    std::fs::write(host.work().join("go"), "").unwrap();
    for id in ids {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded);
        assert_eq!(host.log(id).len(), 3_000_000);
    }
    drop(ram);
}

/// Makes a file system in a file, in the place of the data directory; not where that cannot be.
fn mount_new_image(home: &Home) -> bool {
    std::fs::File::create(image(home)).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(image(home)).output();
    let made = made.is_ok_and(|ran| ran.status.success());
    if !has_means("loop-mount", made && mount_image(home)) {
        return false;
    }
    let own = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(home.data(), own).unwrap();
    true
}

fn image(home: &Home) -> std::path::PathBuf {
    home.path().join("image")
}

fn mount_image(home: &Home) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-o", "loop"]).arg(image(home)).arg(home.data());
    mount.output().is_ok_and(|ran| ran.status.success())
}

/// Does what brings a file system back that failed.
fn repair_image(home: &Home) {
    assert!(Command::new("umount").arg(home.data()).status().unwrap().success());
    let check = Command::new("e2fsck").args(["-f", "-y"]).arg(image(home)).output().unwrap();
    // e2fsck(8): nothing was wrong, or it is no more.
    assert!(matches!(check.status.code(), Some(0 | 1)), "{check:?}");
    assert!(mount_image(home));
}

#[test]
fn data_that_can_only_be_read_is_told_and_gone_on_with_once_it_is_repaired() {
    let name = "data_that_can_only_be_read_is_told_and_gone_on_with_once_it_is_repaired";
    if !is_inside(name) {
        return;
    }
    let home = Home::new();
    if !mount_new_image(&home) {
        return;
    }
    let small = Small { place: home.data() };
    let mut host = TestHost::start_in(home);
    let silent = host.submit("touch begun; while [ ! -e go ]; do sleep 0.02; done; touch done");
    let stubborn = host.submit("sleep 6124");
    until("the task", || host.work().join("begun").exists().then_some(()));
    let process = until("the other", || host.detail(stubborn).attempts.first()?.process);
    // Its end is stored, and with it what is known of the others.
    drop(host.wait_for_end(host.submit("true")));
    // What a disk that fails comes to: the kernel lets nobody write any more.
    let mut remount = Command::new("mount");
    remount.args(["-o", "remount,abort"]).arg(host.data());
    assert!(remount.status().unwrap().success());

    let refused = host.run(&["submit", "--", "true"]);
    assert_eq!(refused.code, Some(74), "{refused:?}");
    assert!(refused.err.contains("cannot be written"), "{refused:?}");
    assert_eq!(host.tasks().len(), 3, "reading goes on");
    assert_eq!(host.state(silent), StateName::Running);
    let doctor = host.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.out.contains("can only be read"), "{doctor:?}");
    // A cancel is carried out though it cannot be kept.
    let cancel = host.run(&["cancel", &stubborn.to_string()]);
    assert!(cancel.err.contains("is being ended"), "{cancel:?}");
    until("its end", || (!processes::is_alive(process)).then_some(()));
    // And a task that only works elsewhere ends as it would have.
    std::fs::write(host.work().join("go"), "").unwrap();
    until("the end of the work", || host.work().join("done").exists().then_some(()));

    // Nothing of either end was stored, and what still knew of it goes with the disk.
    host.kill();
    processes::end_all_of(host.path());
    repair_image(&host);
    host.restart();
    for id in [silent, stubborn] {
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Lost);
        assert_eq!(host.detail(id).attempts.len(), 1);
    }
    assert_eq!(host.wait_for_end(host.submit("true")).state.name(), StateName::Succeeded);
    drop(host);
    drop(small);
}

/// Takes all that is left of the disk.
fn fill(small: &Small) {
    let mut file = std::fs::File::create(small.place.join("filler")).unwrap();
    for size in [64 * 1024, 4096, 1] {
        while file.write_all(&vec![b'x'; size]).is_ok() {}
    }
}

fn make_room(small: &Small) {
    std::fs::remove_file(small.place.join("filler")).unwrap();
}

/// Takes every number of a file that the file system has, but for some; returns what took them.
fn fill_with_files(small: &Small, but: usize) -> Vec<std::path::PathBuf> {
    let path = |number| small.place.join(format!("filler-{number}"));
    let took: Vec<_> =
        (0..).map(path).take_while(|path| std::fs::File::create(path).is_ok()).collect();
    let (given_back, kept) = took.split_at(but);
    given_back.iter().for_each(|path| std::fs::remove_file(path).unwrap());
    kept.to_vec()
}

#[test]
fn queued_tasks_wait_on_a_full_disk_and_start_when_there_is_room() {
    let name = "queued_tasks_wait_on_a_full_disk_and_start_when_there_is_room";
    if !is_inside(name) {
        return;
    }
    let home = Home::new();
    // The history needs no more files, so it takes in all that happens.
    let small = Small::mount(&home, "24m,nr_inodes=300");
    let host = TestHost::start_in(home.with_config("[groups.default]\nslots = 1\n"));
    drop(host.wait_for_end(host.submit("true")));
    let is_shown =
        |id: &TaskId| host.run(&["show", &id.to_string()]).out.contains("disk         full");
    // For its folder, its spec, its socket, its claim, its log, its report: each is the last that fits.
    for but in 0..5 {
        std::fs::remove_file(host.work().join("go")).ok();
        let running = host.submit("while [ ! -e go ]; do sleep 0.02; done");
        host.wait_for_state(running, StateName::Running);
        let queued: Vec<_> = (0..3).map(|_| host.submit("true")).collect();
        let fillers = fill_with_files(&small, but);
        std::fs::write(host.work().join("go"), "").unwrap();
        host.wait_for_end(running);
        until("the full disk to be shown", || queued.iter().any(is_shown).then_some(()));
        for id in &queued {
            let state = host.state(*id);
            // The socket of the one that ended may make room for one.
            assert!(!matches!(state, StateName::Failed | StateName::Lost), "{but}: {state:?}");
        }
        fillers.iter().for_each(|path| std::fs::remove_file(path).unwrap());
        for id in &queued {
            assert_eq!(host.wait_for_end(*id).state.name(), StateName::Succeeded, "{but}");
            assert!(!is_shown(id));
        }
    }
    drop(small);
}

/// Asks for more than nothing does.
const ASKS: &str = "[groups.default]\nslots = 1\n[groups.extra]\n[[rules]]\nname = \"touching\"\n\
                    match = [\"touch\", \"**\"]\nthen = \"ask_first\"\n";

/// Has the config file lie where there is room, as one among the person's own does.
fn file_apart(home: &Home) -> std::path::PathBuf {
    let file = home.path().join("home/config.toml");
    write(&file, "[groups.default]\nslots = 1\n");
    std::os::unix::fs::symlink(&file, home.data().join("config.toml")).unwrap();
    file
}

fn write(file: &std::path::Path, text: &str) {
    let fresh = file.with_extension("fresh");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

/// Takes all that is left of the disk, and of what the database has in reserve.
fn fill_up(small: &Small, host: &Home) {
    fill(small);
    until("a refused submit", || {
        (host.run(&["submit", "--", "true"]).code == Some(74)).then_some(())
    });
}

#[test]
fn a_config_file_that_asks_for_more_on_a_full_disk_holds_once_there_is_room() {
    let name = "a_config_file_that_asks_for_more_on_a_full_disk_holds_once_there_is_room";
    if !is_inside(name) {
        return;
    }
    let home = Home::new();
    let small = Small::mount(&home, "24m");
    let file = file_apart(&home);
    let mut host = TestHost::start_in(home);
    let groups = |host: &TestHost| host.run(&["group", "list"]);
    let first = host.submit("while [ ! -e go ]; do sleep 0.02; done");
    let touches = host.submit_with(&[], &["touch", "ran"]);
    host.wait_for_state(first, StateName::Running);
    fill_up(&small, &host);
    write(&file, ASKS);
    assert!(groups(&host).out.contains("extra"), "who only looks is answered");
    std::fs::write(host.work().join("go"), "").unwrap();
    assert!(host.detail(touches).requests.is_empty(), "nothing new can be stored");
    host.kill();
    host.restart();
    assert!(groups(&host).out.contains("extra"));
    make_room(&small);
    drop(host.wait_for_request(touches));
    assert!(!host.work().join("ran").exists());
    assert_eq!(host.wait_for_end(first).state.name(), StateName::Succeeded);
    // What took effect without room is what is gone back to, now that there is some.
    assert!(groups(&host).out.contains("extra"));
    write(&file, "[groups.default]\nslotz = 1\n");
    host.kill();
    host.restart();
    let listed = groups(&host);
    assert!(listed.err.contains("slotz") && listed.out.contains("extra"), "{listed:?}");
    drop(small);
}

#[test]
fn a_config_file_that_asks_for_less_on_a_full_disk_drops_nothing_with_room_or_without() {
    let name = "a_config_file_that_asks_for_less_on_a_full_disk_drops_nothing_with_room_or_without";
    if !is_inside(name) {
        return;
    }
    let home = Home::new();
    let small = Small::mount(&home, "24m");
    let file = file_apart(&home);
    write(&file, ASKS);
    let mut host = TestHost::start_in(home);
    fill_up(&small, &host);
    let rules = |host: &TestHost| host.run(&["rules"]).out;
    for text in ["[[rules]\n", ""] {
        write(&file, text);
        for _ in 0..2 {
            assert!(rules(&host).contains("touch **"), "{text}: {}", rules(&host));
            host.kill();
            host.restart();
        }
    }
    make_room(&small);
    until("what waits to be confirmed", || {
        rules(&host).contains("waits to be confirmed").then_some(())
    });
    assert!(rules(&host).contains("touch **"), "{}", rules(&host));
    let touches = host.submit_with(&[], &["touch", "ran"]);
    drop(host.wait_for_request(touches));
    drop(small);
}

#[test]
fn the_doctor_says_that_the_disk_is_nearly_full_until_there_is_room() {
    let name = "the_doctor_says_that_the_disk_is_nearly_full_until_there_is_room";
    if !is_inside(name) {
        return;
    }
    let (small, host) = in_little_room();
    let wrong = |words: &[&str], room: &str| {
        let ran = host.run(words);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let mut lines = ran.out.lines();
        assert!(
            lines.any(|line| line.starts_with("WRONG   disk") && line.ends_with(room)),
            "{ran:?}"
        );
    };
    wrong(&["doctor"], " MiB are free");
    fill(&small);
    wrong(&["doctor"], " 0 MiB are free");
    wrong(&["doctor", "--repair"], " 0 MiB are free");
    make_room(&small);
    small.resize("600m");
    let ran = host.run(&["doctor"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    drop(small);
}

/// Leaves the history without what SQLite keeps beside it, as the last one to close it does; and with
/// operations that the next host would forget.
fn take_away_the_log(host: &TestHost) {
    let history = rusqlite::Connection::open(host.data().join("nod.db")).unwrap();
    assert!(history.execute("UPDATE operations SET at = 0", []).unwrap() > 0);
    drop(history);
    assert!(!host.data().join("nod.db-shm").exists());
}

#[test]
fn a_host_starts_on_a_full_disk_and_what_fills_it_can_be_ended() {
    let name = "a_host_starts_on_a_full_disk_and_what_fills_it_can_be_ended";
    if !is_inside(name) {
        return;
    }
    let (small, mut host) = in_little_room();
    let running = host.submit("sleep 6125");
    let process = until("the process", || host.detail(running).attempts.first()?.process);
    host.stop();
    take_away_the_log(&host);
    fill(&small);
    host.restart();
    assert_eq!(host.state(running), StateName::Running);
    let cancel = host.run(&["cancel", &running.to_string()]);
    assert!(matches!(cancel.code, Some(0 | 74)), "{cancel:?}");
    until("its end", || (!processes::is_alive(process)).then_some(()));
    make_room(&small);
    assert_eq!(host.wait_for_end(running).state.name(), StateName::Cancelled);
    drop(small);
}

#[test]
fn a_full_disk_is_called_that_where_no_host_can_start() {
    let name = "a_full_disk_is_called_that_where_no_host_can_start";
    if !is_inside(name) {
        return;
    }
    let (small, mut host) = in_little_room();
    drop(host.wait_for_end(host.submit("true")));
    host.stop();
    std::fs::remove_file(host.data().join("reserve")).unwrap();
    take_away_the_log(&host);
    fill(&small);
    let refused = host.run(&["list"]);
    assert!(refused.err.contains("the disk is full"), "{refused:?}");
    drop(small);
}

#[test]
fn how_a_task_ended_is_on_a_full_disk_without_a_host() {
    let name = "how_a_task_ended_is_on_a_full_disk_without_a_host";
    if !is_inside(name) {
        return;
    }
    let (small, mut host) = in_little_room();
    let id = host.submit("touch begun; while [ ! -e go ]; do sleep 0.02; done; exit 3");
    until("the task", || host.work().join("begun").exists().then_some(()));
    let process = until("the process", || host.detail(id).attempts.first()?.process);
    let shim = processes::parent(process);
    let log = host.detail(id).log_path.unwrap();
    let report = std::path::Path::new(&log).with_file_name("exit.json");
    host.kill();
    fill(&small);
    std::fs::write(host.work().join("go"), "").unwrap();
    // The room for it was taken while there was some.
    until("the report", || report.exists().then_some(()));
    until("the end of the shim", || (!processes::is_alive(shim)).then_some(()));
    let mut more = std::fs::File::create(small.place.join("more")).unwrap();
    let refused = more.write_all(&[b'x'; 4096]).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::StorageFull);
    make_room(&small);
    host.restart();
    assert_eq!(host.wait_for_end(id).state.words(), "Failed (exit 3)");
    drop(small);
}
