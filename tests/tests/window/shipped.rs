//! The app as it is shipped can be driven by nobody but a person.
//!
//! The build for tests is the control: what opens that one, and only that, says that the shipped one
//! stays closed for a reason of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nod_tests::desktop::{AUTOMATED, SHIPPED, TITLE};
use nod_tests::home::program;
use nod_tests::window::{Service, runtime};
use nod_tests::{Desktop, processes, until};
use serde_json::Value;
use thirtyfour::error::{WebDriverErrorInner, WebDriverResult};

/// How long the driver may try once the window is there. One that can be driven takes a tenth of it.
const ENOUGH: Duration = Duration::from_secs(5);

/// Asks for a session with a build; returns nothing where none came long after its window did.
fn session(desktop: &Desktop, build: &str) -> Option<WebDriverResult<()>> {
    let service = Service::start(desktop);
    let session = runtime().block_on(async {
        let binary = program(build);
        let trying = service.session(&binary, Duration::from_secs(120));
        let display = desktop.display();
        let shown = tokio::task::spawn_blocking(move || {
            until("the window", || display.shows(TITLE).then_some(()));
        });
        tokio::select! {
            session = trying => Some(session),
            () = async { shown.await.unwrap(); tokio::time::sleep(ENOUGH).await } => None,
        }
    });
    // Its end is that of the app, which is still to be looked at.
    session.map(|session| session.map(|driver| driver.leak().unwrap()))
}

/// Kills the app, and returns once its window is gone as well.
fn end(desktop: &Desktop, app: i32) {
    processes::kill_9(app);
    let display = desktop.display();
    until("the app to go", || (!processes::is_alive(app) && !display.shows(TITLE)).then_some(()));
}

#[test]
fn the_shipped_app_refuses_to_be_driven() {
    let desktop = Desktop::start();
    match session(&desktop, SHIPPED) {
        None => {}
        Some(Ok(())) => panic!("the shipped app can be driven"),
        Some(Err(error)) => {
            let refused = matches!(error.as_inner(), WebDriverErrorInner::SessionNotCreated(_));
            assert!(refused, "the driver failed: {error}");
        }
    }
    // It runs, and does what it is for.
    let app = desktop.wait_for_app(SHIPPED);
    let id = desktop.submit("true");
    desktop.wait_for_end(id);
    assert_eq!(desktop.running(SHIPPED), [app]);
    end(&desktop, app);
    // It was not the driver that failed: the build for tests is driven in the same way.
    match session(&desktop, AUTOMATED) {
        Some(Ok(())) => {}
        Some(Err(error)) => panic!("the driver drives nothing: {error}"),
        None => panic!("the driver drives nothing"),
    }
}

/// Variables that name a place at which `WebKit` listens for an inspector.
const INSPECTORS: [&str; 2] = ["WEBKIT_INSPECTOR_SERVER", "WEBKIT_INSPECTOR_HTTP_SERVER"];

#[test]
fn variables_that_open_the_window_of_another_build_open_no_port_of_the_shipped_one() {
    let desktop = Desktop::start();
    for name in INSPECTORS {
        let (wanted, open) = ports_with(&desktop, AUTOMATED, &[name]);
        assert!(open.contains(&wanted[0]), "{name} opens the build for tests: {open:?}");
    }
    let (_, open) = ports_with(&desktop, SHIPPED, &INSPECTORS);
    assert_eq!(open, BTreeSet::new());
}

/// Starts a build with variables that open a window to other programs; returns which ports these
/// name, and at which any of its processes listens once its window is there and it has worked.
fn ports_with(desktop: &Desktop, build: &str, names: &[&str]) -> (Vec<u16>, BTreeSet<u16>) {
    let mut command = desktop.command(program(build));
    for name in ["TAURI_WEBVIEW_AUTOMATION", "TAURI_AUTOMATION"] {
        command.env(name, "true");
    }
    let mut wanted = vec![];
    for name in names {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        command.env(name, free.to_string());
        wanted.push(free.port());
    }
    desktop.keep(command, build);
    let app = desktop.wait_for_app(build);
    let display = desktop.display();
    until("the window", || display.shows(TITLE).then_some(()));
    let id = desktop.submit("true");
    desktop.wait_for_end(id);
    let all = processes::with_mark(&desktop.path().to_string_lossy());
    assert!(all.contains(&app) && all.len() > 1, "{all:?}");
    let open = all.into_iter().flat_map(listening_ports).collect();
    end(desktop, app);
    (wanted, open)
}

/// Returns the TCP ports at which a process listens.
fn listening_ports(process: i32) -> Vec<u16> {
    // A process may go while it is looked at.
    let Ok(links) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return vec![] };
    let own: Vec<_> = links
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned)
        })
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| {
        std::fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default()
    });
    let listening = tables.iter().flat_map(|table| table.lines()).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        // The state LISTEN, and the socket's inode.
        let listens = columns.get(3) == Some(&"0A")
            && own.iter().any(|it| columns.get(9) == Some(&it.as_str()));
        let (_, port) = columns.get(1).filter(|_| listens)?.rsplit_once(':')?;
        u16::from_str_radix(port, 16).ok()
    });
    listening.collect()
}

/// The features by which a release has the inspector that a debug build always has.
const TOOLS: [&str; 2] = ["devtools", "inspector"];

#[test]
fn the_shipped_app_is_built_without_developer_tools() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]).current_dir(root);
    let out = cargo.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut seen = BTreeSet::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        // The path or the registry, and after the last sign the name, or only the version where
        // the path says the name.
        let id = node["id"].as_str().unwrap();
        let names = ["tauri", "tauri-runtime", "tauri-runtime-wry", "wry"];
        let Some(name) = names.into_iter().find(|name| id.contains(&format!("#{name}@"))) else {
            continue;
        };
        let on = node["features"].as_array().unwrap();
        assert!(!on.is_empty() || name != "tauri", "{id} says nothing of its features");
        assert!(!on.iter().any(|on| TOOLS.iter().any(|tool| on == tool)), "{id}: {on:?}");
        seen.insert(name);
    }
    assert!(seen.is_superset(&BTreeSet::from(["tauri", "tauri-runtime-wry", "wry"])), "{seen:?}");

    // A build with its debug assertions has them without any feature.
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let release = manifest.split_once("[profile.release]\n").unwrap().1;
    let release = release.split("\n[").next().unwrap();
    assert!(!release.contains("debug-assertions"), "{release}");
    let config = std::fs::read_to_string(root.join("tauri.conf.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    for window in config["app"]["windows"].as_array().unwrap() {
        assert_ne!(window["devtools"], true, "{window}");
    }
    // Nor does what builds it ask for anything more.
    let script = std::fs::read_to_string(root.join("scripts/release.sh")).unwrap();
    let built = script.lines().find(|line| line.starts_with("cargo build")).unwrap();
    assert!(!built.contains("feature"), "{built}");
}
