//! The app as it is shipped can be driven by nobody but a person.
//!
//! The build for tests is the control: what opens that one, and only that, says that the shipped one
//! stays closed for a reason of its own.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::time::Duration;

use nod_tests::desktop::{AUTOMATED, SHIPPED, TITLE};
use nod_tests::home::program;
use nod_tests::window::{Service, runtime};
use nod_tests::{Desktop, processes, until};
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
