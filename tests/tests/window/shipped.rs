//! The app as it is shipped can be driven by nobody but a person.

use std::time::Duration;

use nod_tests::desktop::{SHIPPED, TITLE};
use nod_tests::home::program;
use nod_tests::window::{Service, runtime};
use nod_tests::{Desktop, until};

/// How long the driver may try once the window is there. One that can be driven takes a tenth of it.
const ENOUGH: Duration = Duration::from_secs(5);

#[test]
fn the_shipped_app_refuses_to_be_driven() {
    let desktop = Desktop::start();
    let service = Service::start(&desktop);
    let shipped = program(SHIPPED);
    let session = runtime().block_on(async {
        let trying = service.session(&shipped, Duration::from_secs(120));
        let display = desktop.display();
        let shown = tokio::task::spawn_blocking(move || {
            until("the window", || display.shows(TITLE).then_some(()));
        });
        tokio::select! {
            session = trying => Some(session),
            () = async { shown.await.unwrap(); tokio::time::sleep(ENOUGH).await } => None,
        }
    });
    if let Some(Ok(driver)) = session {
        driver.leak().unwrap();
        panic!("the shipped app can be driven");
    }
    // It runs, and does what it is for.
    let app = desktop.wait_for_app(SHIPPED);
    let id = desktop.submit("true");
    desktop.wait_for_end(id);
    assert_eq!(desktop.running(SHIPPED), [app]);
    assert_eq!(listening_ports(app), [] as [String; 0]);
}

/// Returns the TCP addresses at which a process listens.
fn listening_ports(process: i32) -> Vec<String> {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
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
        listens.then(|| columns[1].to_owned())
    });
    listening.collect()
}
