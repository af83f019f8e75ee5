//! What the child finds itself in.

use super::attempt::Attempt;

#[test]
fn a_terminal_has_its_size_from_the_start() {
    let script =
        "import os, sys; print(sys.stdout.isatty(), sys.stderr.isatty(), os.get_terminal_size(1))";
    let finished = Attempt::python(script).in_terminal().run();
    assert_eq!(finished.text(), "True True os.terminal_size(columns=120, lines=30)\r\n");
}

#[test]
fn a_pipe_is_no_terminal() {
    let finished = Attempt::shell("test -t 1 || test -t 2 || echo none").run();
    assert_eq!(finished.text(), "none\n");
}

#[test]
fn a_program_that_would_prompt_fails_at_once() {
    let script = "readlink /proc/self/fd/0; read it || echo no answer; (: < /dev/tty) 2> error || echo no terminal";
    let finished = Attempt::shell(script).in_terminal().run();
    assert_eq!(finished.text(), "/dev/null\r\nno answer\r\nno terminal\r\n");
}

#[test]
fn signals_are_as_they_should_be() {
    let finished = Attempt::shell(SIGNALS).run();
    assert_eq!(finished.text().lines().map(held_back).collect::<Vec<_>>(), [0, 0]);
}

const SIGNALS: &str = "exec grep -E '^Sig(Blk|Ign)' /proc/self/status";

/// Returns the signals of one line of proc_pid_status(5). Leaves out 32 and 33, which belong to
/// glibc: its posix_spawn ignores them in every child, and each child's own glibc takes them back.
fn held_back(line: &str) -> u64 {
    let (_, mask) = line.split_once('\t').unwrap();
    u64::from_str_radix(mask, 16).unwrap() & !0x1_8000_0000
}

/// A host, or what started it, may have ignored or blocked signals: nohup does.
#[test]
fn what_the_host_ignores_the_child_does_not() {
    let attempt = Attempt::shell(SIGNALS);
    let shim = attempt.command();
    let script = "import os, signal, sys
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGTSTP): signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD])
os.execv(sys.argv[1], sys.argv[1:])";
    let mut command = std::process::Command::new("python3");
    command.args(["-c", script]).arg(shim.get_program()).args(shim.get_args());
    let (running, host) = attempt.start_as(command);
    let finished = running.finish(host);
    assert_eq!(finished.text().lines().map(held_back).collect::<Vec<_>>(), [0, 0]);
}

#[test]
fn only_the_three_standard_files_are_open() {
    let attempt = Attempt::shell("ls /proc/$$/fd");
    let shim = attempt.command();
    // One more file, left open by the host by mistake.
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "exec 7< /dev/null; exec \"$@\"", "sh"]);
    command.arg(shim.get_program()).args(shim.get_args());
    let (running, host) = attempt.start_as(command);
    assert_eq!(running.finish(host).text(), "0\n1\n2\n");
}

#[test]
fn the_environment_is_the_childs_and_not_on_the_disk() {
    let attempt = Attempt::shell("echo $NOD_TOKEN; pwd; umask");
    let mut command = attempt.command();
    command.env("NOD_TOKEN", "a-secret");
    let folder = attempt.folder().canonicalize().unwrap();
    let (running, mut host) = attempt.start_as(command);
    host.ended();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("out.log") {
            let content = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(!content.contains("a-secret"), "{}", path.display());
        }
    }
    let text = running.finish(host).text();
    assert!(text.starts_with(&format!("a-secret\n{}\n00", folder.display())), "{text}");
}

#[test]
fn the_limit_of_open_files_is_the_specs() {
    let mut attempt = Attempt::shell("ulimit -Sn");
    attempt.spec.open_files = Some(321);
    assert_eq!(attempt.run().text(), "321\n");
}

#[test]
fn the_child_leads_a_group_in_the_shims_session() {
    let (running, mut host) =
        Attempt::python("import os; print(os.getpgid(0) == os.getpid(), os.getsid(0))").start();
    host.ended();
    let shim = running.shim.id();
    assert_eq!(running.finish(host).text(), format!("True {shim}\n"));
}
