//! `make run` on a machine where something is missing: what is told, and that nothing is half done.
//!
//! A machine is a folder of programs as `PATH`, so that each can lack one.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nod_core::task::StateName;
use nod_tests::home::program;
use nod_tests::{Home, Ran, processes, until};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tempfile::TempDir;

/// Some user that is not root.
const NOBODY: u32 = 65_534;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A machine that has what this one has, but for some programs.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn without(missing: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for part in ["bin", "home", "dpkg", "repo"] {
            fs::create_dir(folder.path().join(part)).unwrap();
        }
        let machine = Self { folder };
        for place in ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"] {
            for entry in fs::read_dir(place).into_iter().flatten() {
                let entry = entry.unwrap();
                let name = entry.file_name();
                let there = machine.bin().join(&name);
                if !missing.iter().any(|it| name == *it) && fs::symlink_metadata(&there).is_err() {
                    symlink(entry.path(), there).unwrap();
                }
            }
        }
        machine.copy_of_the_scripts();
        machine
    }

    /// What the scripts need of the repository, where another user may read it too.
    fn copy_of_the_scripts(&self) {
        let repo = self.repo();
        fs::create_dir(repo.join("scripts")).unwrap();
        for entry in fs::read_dir(root().join("scripts")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), repo.join("scripts").join(entry.file_name())).unwrap();
        }
        fs::copy(root().join("Cargo.toml"), repo.join("Cargo.toml")).unwrap();
        fs::copy(root().join("Makefile"), repo.join("Makefile")).unwrap();
    }

    fn bin(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    /// Puts a program there, in the place of a real one.
    fn with(self, name: &str, line: &str) -> Self {
        let path = self.bin().join(name);
        if fs::symlink_metadata(&path).is_ok() {
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin().join(program));
        command
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", self.folder.path().join("home"))
            .current_dir(self.repo())
            .stdin(Stdio::null());
        command
    }

    /// The same, by a user who may install nothing, on a system that has no package.
    fn bare_command(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.env("DPKG_ADMINDIR", self.folder.path().join("dpkg"));
        if getuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn make_run(&self) -> Ran {
        Ran::from(self.command("make").arg("run").output().unwrap())
    }
}

#[test]
fn what_a_person_installs_themselves_is_named_with_its_version() {
    let cases = [
        (
            "no Rust",
            Machine::without(&["cargo", "rustc", "rustup"]).with("node", "echo v20.19.0"),
            ["Rust is missing: install Rust 1.", "with rustup", "run the same command again"],
        ),
        (
            "an old Rust",
            Machine::without(&[])
                .with("node", "echo v20.19.0")
                .with("npm", "true")
                .with("cargo", "true")
                .with("rustc", "echo 'rustc 1.63.0 (4b91a6ea7 2022-08-08)'"),
            ["Rust 1.63.0 is too old", "Nod needs Rust 1.", "rustup update stable"],
        ),
        (
            "no Node",
            Machine::without(&["node", "npm", "nodejs"]),
            ["Node is missing: install Node.js 20.19.0 or newer", "npm", "the same command again"],
        ),
        (
            "the Node of Debian 12",
            Machine::without(&["node"]).with("node", "echo v18.19.0"),
            ["Node 18.19.0 is too old", "Nod needs Node.js 20.19.0 or newer", "https://nodejs.org"],
        ),
        (
            "Node without npm",
            Machine::without(&["node", "npm"]).with("node", "echo v20.19.0"),
            ["npm is missing", "it comes with Node.js", "apt-get install npm"],
        ),
    ];
    for (name, machine, expected) in cases {
        let ran = machine.make_run();
        assert_eq!(ran.code, Some(2), "{name}: {ran:?}");
        for words in expected {
            assert!(ran.err.contains(words), "{name}: {words} is not in {ran:?}");
        }
        assert!(!ran.out.contains("installing"), "{name}: {ran:?}");
    }
}

#[test]
fn missing_packages_are_named_with_the_line_that_installs_them() {
    let machine = Machine::without(&[]);
    let ran = Ran::from(machine.bare_command("bash").args(SETUP).output().unwrap());
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in ["these system packages are missing: xvfb dbus", INSTALL, "xvfb dbus xdotool"] {
        assert!(ran.err.contains(words), "{words} is not in {ran:?}");
    }
}

const SETUP: [&str; 2] = ["scripts/setup.sh", "display"];
const INSTALL: &str = "sudo sh -c 'apt-get update; apt-get install -y --no-install-recommends";

/// Runs the setup on a terminal, where a person types this.
fn asked(machine: &Machine, typed: &str) -> Ran {
    let mut command = machine.bare_command("script");
    command.args(["-qec", &SETUP.map(|it| it.replace("scripts/", "bash scripts/")).join(" ")]);
    command.arg("/dev/null").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn root_installs_what_is_missing_at_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = folder.path().join("apt-get-was-asked-for");
    let machine = Machine::without(&[])
        .with("id", "echo 0")
        .with("apt-get", &format!("echo \"$@\" >> {}", said.display()));
    let ran = Ran::from(machine.bare_command("bash").args(SETUP).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("installing xvfb"), "{ran:?}");
    let said = fs::read_to_string(said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "update");
    assert!(lines[1].starts_with("install -y") && lines[1].contains(" xvfb "), "{lines:?}");
}

#[test]
fn a_person_at_a_terminal_is_asked_before_anything_is_installed() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = folder.path().join("sudo-was-asked-for");
    let machine = Machine::without(&[]).with("sudo", &format!("echo \"$@\" >> {}", said.display()));

    let ran = asked(&machine, "n\n");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    for words in ["these system packages are missing", INSTALL, "run it now?", "nothing was inst"] {
        assert!(ran.out.contains(words), "{words} is not in {ran:?}");
    }
    assert!(!said.exists(), "nothing may be installed unasked");

    let ran = asked(&machine, "y\n");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let said = fs::read_to_string(said).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "apt-get update");
    assert!(lines[1].contains("apt-get install") && lines[1].contains(" xvfb "), "{lines:?}");
}

fn environment_of_the_app(home: &Home) -> String {
    let app = program("nod-desktop");
    let is_app = |pid: &i32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|it| it == app);
    let mut found = processes::with_mark(&home.path().to_string_lossy());
    found.retain(is_app);
    let [app] = found.as_slice() else { panic!("{found:?}") };
    fs::read_to_string(format!("/proc/{app}/environ")).unwrap()
}

#[test]
fn without_a_screen_the_window_opens_on_a_virtual_one() {
    let home = Home::new();
    let mut command = home.command(root().join("scripts/run.sh"));
    // Its builds are cargo's, which lies with the person; its sockets in a folder of the script's own.
    command.env("HOME", std::env::var_os("HOME").unwrap());
    command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", home.path());
    for folder in ["XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"] {
        command.env(folder, home.path().join("home"));
    }
    // As make calls it.
    command.env("MAKELEVEL", "1").env("MAKEFLAGS", "w").env("SCREENSHOT_ONLY", "");
    let mut second = home.command(root().join("scripts/run.sh"));
    second.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    second.env_remove("XDG_RUNTIME_DIR");
    let before = std::time::SystemTime::now();
    let errors = fs::File::create(home.path().join("errors")).unwrap();
    let mut script = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
    let script = script.as_mut().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().contains("Ctrl-C ends it") {
            break;
        }
    }
    let all = lines.join("\n");
    let errors = fs::read_to_string(home.path().join("errors")).unwrap();
    let told = |words: &str| {
        let found = lines.iter().find_map(|line| line.split_once(words));
        found.unwrap_or_else(|| panic!("{words} is not in {all}\n{errors}")).1.trim().to_owned()
    };
    let picture = root().join(told("a picture of the window:"));
    assert!(fs::metadata(&picture).unwrap().modified().unwrap() >= before);
    let colours = home.command("identify").args(["-format", "%k"]).arg(&picture).output().unwrap();
    let colours: u32 = String::from_utf8(colours.stdout).unwrap().parse().unwrap();
    assert!(colours > 8, "a picture of nothing: {colours} colours");

    // The line that is told works as it stands, in another terminal.
    told("the window is open on the virtual display");
    let line = lines.iter().find(|line| line.contains("nod submit --")).unwrap();
    let line = line.trim_start_matches("nod:").trim();
    let mut terminal = home.command("bash");
    terminal.env_remove("XDG_RUNTIME_DIR").env_remove("NOD_HOME").current_dir(root());
    let ran = Ran::from(terminal.args(["-c", line]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{line}: {ran:?}");
    let nod = |words: &str| {
        let (before, _) = line.split_once("submit").unwrap();
        let mut terminal = home.command("bash");
        terminal.env_remove("XDG_RUNTIME_DIR").env_remove("NOD_HOME").current_dir(root());
        Ran::from(terminal.args(["-c", &format!("{before}{words}")]).output().unwrap())
    };
    let running = format!("\"name\":\"{}\"", StateName::Running.as_str());
    until("the task of the window to run", || {
        nod("list --json").out.replace(": ", ":").contains(&running).then_some(())
    });
    assert_eq!(nod("cancel 1").code, Some(0));
    assert_eq!(nod("wait 1").code, Some(130));

    let environment = environment_of_the_app(&home);
    assert!(!environment.contains("MAKE"), "{environment}");

    let ran = Ran::from(second.stdin(Stdio::null()).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("Nod is open already"), "{ran:?}");
    kill_process(Pid::from_child(script), Signal::INT).unwrap();
    assert_eq!(script.wait().unwrap().code(), Some(0));
}
