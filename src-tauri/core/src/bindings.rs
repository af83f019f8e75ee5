//! The window's types, generated from the protocol.
//!
//! `NOD_WRITE_BINDINGS=1 cargo test -p nod-core bindings` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ts_rs::{Config, TS};

use crate::protocol::{Call, ErrorReply, Event, Reply};

const CHECKED_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ui/src/engine/bindings");

fn files(folder: &Path) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn the_windows_types_are_those_of_the_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config::new().with_large_int("number").with_out_dir(folder.path());
    Call::export_all(&config).unwrap();
    Reply::export_all(&config).unwrap();
    Event::export_all(&config).unwrap();
    ErrorReply::export_all(&config).unwrap();
    let generated = files(folder.path());
    if std::env::var_os("NOD_WRITE_BINDINGS").is_some() {
        if Path::new(CHECKED_IN).exists() {
            fs::remove_dir_all(CHECKED_IN).unwrap();
        }
        fs::create_dir_all(CHECKED_IN).unwrap();
        for (name, text) in &generated {
            fs::write(Path::new(CHECKED_IN).join(name), text).unwrap();
        }
    }
    let checked_in = files(Path::new(CHECKED_IN));
    let all = checked_in.keys().chain(generated.keys());
    let stale: Vec<_> = all.filter(|name| checked_in.get(*name) != generated.get(*name)).collect();
    assert!(
        stale.is_empty(),
        "{stale:?} are not current: run NOD_WRITE_BINDINGS=1 cargo test -p nod-core bindings"
    );
}
