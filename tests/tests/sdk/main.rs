//! `sdk/python/nod_task.py`, in real tasks of a real host.
//!
//! What it says and does is what `nod` does: each behaviour here has its twin in the tests of the
//! command line.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

mod asking;
mod hosts;
mod limits;
mod speaking;
mod waiting;

use std::path::{Path, PathBuf};

use nod_core::ids::TaskId;
use nod_tests::{Home, until};
use serde_json::Value;

/// What the tasks here begin with.
const PRELUDE: &str = r#"
import json, os, signal, sys, threading, time
import nod_task

def write(name, value):
    with open(name + ".new", "w") as file:
        json.dump(value, file)
    os.rename(name + ".new", name)

def until(name):
    while not os.path.exists(name):
        time.sleep(0.02)

def caught(call, *words, **more):
    try:
        return ["returned", repr(call(*words, **more))]
    except Exception as error:
        return [type(error).__name__, str(error)]
"#;

fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().join("sdk/python")
}

/// Submits code that finds the SDK.
#[track_caller]
fn submit(host: &Home, code: &str) -> TaskId {
    let path = format!("PYTHONPATH={}", folder().display());
    let options = ["--env", &path, "--env", "PYTHONDONTWRITEBYTECODE=1"];
    host.submit_with(&options, &["python3", "-c", &format!("{PRELUDE}{code}")])
}

/// Returns what a task wrote, once it has.
#[track_caller]
fn written(host: &Home, name: &str) -> Value {
    let text = until(name, || std::fs::read_to_string(host.work().join(name)).ok());
    serde_json::from_str(&text).unwrap()
}

/// Lets the tasks go on that wait for a file.
fn touch(host: &Home, name: &str) {
    std::fs::write(host.work().join(name), "").unwrap();
}

/// Runs `nod`, which must succeed.
#[track_caller]
fn nod(host: &Home, words: &[&str]) -> String {
    let ran = host.run(words);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.out
}

/// Checks that a task ended well, and shows its output where it did not.
#[track_caller]
fn ends_well(host: &Home, id: TaskId) {
    let ended = host.wait_for_end(id);
    assert_eq!(ended.words(), "Succeeded", "{}", host.plain_log(id));
}
