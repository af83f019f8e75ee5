//! What the host has to say to the person by itself: damage that it mended, a looser configuration.

use std::fs;

use nod_core::protocol::{AuditQuery, AuditWhat, Call, Reply};
use nod_tests::{Desktop, Home, by_name, until};

use crate::row;

const ASKS: &str =
    "[[rules]]\nmatch = [\"touch\", \"**\"]\nthen = \"ask_first\"\nname = \"touching 触る\"\n";

#[test]
fn a_history_that_was_rescued_is_told_at_the_top_until_it_is_put_away() {
    let desktop = Desktop::start();
    let window = desktop.open();
    let id = desktop.submit("echo kept");
    desktop.wait_for_end(id);
    window.kill_app();
    for name in ["nod.db-wal", "nod.db-shm"] {
        fs::remove_file(desktop.data().join(name)).ok();
    }
    fs::write(desktop.data().join("nod.db"), vec![0xa5; 80 * 1024]).unwrap();

    let window = desktop.open();
    let banner = by_name("findings");
    window.wait_for_text(&banner, "The history was damaged");
    assert_eq!(window.attribute(&banner, "role").as_deref(), Some("alert"));
    // What was asked first is lost too, so the person is asked about that.
    window.wait_for(&by_name("loosening-card"));
    window.click(&by_name("nav-tasks"));
    window.wait_for(&row(id));
    desktop.picture("findings");
    // It stays in every view, and goes when it is dismissed.
    window.click(&by_name("nav-history"));
    window.wait_for(&banner);
    window.click(&by_name("dismiss-findings"));
    window.wait_until_gone(&banner);
    window.click(&by_name("nav-tasks"));
    window.wait_for(&row(id));
    assert_eq!(window.count(&banner), 0);
}

#[test]
fn a_config_file_that_asks_for_less_holds_only_after_the_person_said_so() {
    let desktop = Desktop::start_in(Home::new().with_config(ASKS));
    let window = desktop.open();
    window.kill_app();
    fs::write(desktop.data().join("config.toml"), "").unwrap();

    // What waits for a person is what a new window shows first.
    let window = desktop.open();
    let card = by_name("loosening-card");
    window.wait_for_text(&card, "no longer asked first: touch ** (“touching 触る”)");
    window.wait_for_text(&by_name("nav-inbox"), "1");
    let asked = desktop.submit_with(&[], &["touch", "ran"]);
    let request = desktop.wait_for_request(asked);
    window.wait_for(&crate::card(&request));
    desktop.picture("loosening");
    let confirm = by_name("confirm-loosening");
    window.wait_for(&format!("{confirm}:enabled"));
    window.click(&confirm);
    window.wait_until_gone(&card);
    let free = desktop.submit_with(&[], &["touch", "free"]);
    desktop.wait_for_end(free);
    assert!(desktop.work().join("free").exists());
    // The one that was asked about before still is.
    assert!(desktop.request(asked, request.id).is_open());
    let query = AuditQuery::default();
    until("the audit", || {
        let Reply::Audit(page) = desktop.call(&Call::Audit(query.clone())) else { panic!() };
        page.rows.iter().any(|row| row.what == AuditWhat::Loosened).then_some(())
    });
}

#[test]
fn what_a_program_brings_into_sight_moves_no_card_under_a_click_that_is_on_its_way() {
    let desktop = Desktop::start_in(Home::new().with_config(ASKS));
    let config = desktop.data().join("config.toml");
    let window = desktop.open();
    let asked = desktop.submit_with(&[], &["touch", "ran"]);
    let request = desktop.wait_for_request(asked);
    let approve = format!("{} {}", crate::card(&request), by_name("approve"));
    window.click(&by_name("nav-inbox"));
    window.wait_for(&format!("{approve}:enabled"));
    // Each moment in which it could not be pressed is noted.
    let place = "const it = document.querySelector(arguments[0]); \
                 window.disarmed ??= (() => { const seen = []; \
                   new MutationObserver(() => seen.push(it.disabled)) \
                     .observe(it, { attributes: true, attributeFilter: ['disabled'] }); \
                   return seen; })(); \
                 return [it.getBoundingClientRect().top, window.disarmed.includes(true)];";
    let look = || {
        let seen = window.script(place, &[approve.as_str().into()]);
        (seen[0].as_f64().unwrap(), seen[1].as_bool().unwrap())
    };
    let (top, _) = look();
    // A change of the config file that a program makes and takes back.
    fs::write(&config, "").unwrap();
    let loosening = by_name("loosening-card");
    window.wait_for(&loosening);
    window.wait_for_frame();
    assert_eq!(look(), (top, false));
    fs::write(&config, ASKS).unwrap();
    window.wait_until_gone(&loosening);
    window.wait_for_frame();
    assert_eq!(look(), (top, false));
    // What does move it, as a banner above everything, has it look at again.
    fs::write(&config, "nonsense").unwrap();
    window.wait_until("the card to move", || look().0 > top);
    window.wait_until("the card to be looked at again", || look().1);
    window.wait_for(&format!("{approve}:enabled"));
}
