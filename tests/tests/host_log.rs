//! The host's own log: what `nod doctor` tells of it, a file a day, and how many are kept.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use nod_tests::{Clock, Home, TestHost, until};
use serde_json::Value;

const A_DAY: i64 = 86_400;

/// How many days are kept.
const DAYS: usize = 7;

/// Returns what the doctor says of the log, with how that is.
fn told(home: &Home) -> (String, String) {
    let ran = home.run(&["doctor", "--json"]);
    let checks: Vec<Value> = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let check = checks.into_iter().find(|check| check["name"] == "log").unwrap();
    let text = |name: &str| check[name].as_str().unwrap().to_owned();
    (text("health"), text("said"))
}

/// Returns the files of the log, oldest first; the link to the newest is none of them.
fn files(home: &Home) -> Vec<PathBuf> {
    let all = fs::read_dir(home.data()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = all
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("host.2") && name.ends_with(".log")
        })
        .collect();
    files.sort();
    files
}

fn newest(home: &Home) -> PathBuf {
    fs::canonicalize(home.data().join("host.log")).unwrap()
}

/// Has the host say a warning: that somebody has set the clock.
fn warn(host: &TestHost, clock: &mut Clock, by: i64) {
    clock.jump(by);
    let words = format!("the clock was set by {}", by * 1_000 / 10_000);
    until("the warning", || {
        // Whatever it is asked for, it looks at the clock.
        drop(host.run(&["cancel", "1000000"]));
        // It is some milliseconds more or less.
        let near = [words.clone(), format!("the clock was set by {}", by * 1_000 / 10_000 - 1)];
        // For a moment of each day there is no such link.
        let text = fs::read_to_string(host.data().join("host.log")).unwrap_or_default();
        near.iter().any(|near| text.contains(near)).then_some(())
    });
}

#[test]
fn what_the_host_warned_of_is_told_newest_first_and_made_safe_to_read() {
    let (home, mut clock) = Clock::of(Home::new());
    assert_eq!(home.run(&["doctor"]).code, Some(0));
    assert_eq!(told(&home), ("good".into(), "there is none yet".into()));
    let mut host = TestHost::start_in(home);
    let (health, said) = told(&host);
    assert_eq!(health, "good");
    assert!(said.starts_with("no error and no warning since 2"), "{said}");
    assert!(said.contains(host.data().join("host.log").to_str().unwrap()), "{said}");

    warn(&host, &mut clock, 7_200);
    let (health, said) = told(&host);
    assert_eq!(health, "note");
    assert!(said.starts_with("0 errors and 1 warning since 2"), "{said}");
    assert!(said.contains("the newest first") && said.contains("host.log, 1 KiB of 1 day"));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert!(lines[1].contains(" WARN ") && lines[1].contains("the clock was set by"), "{said}");

    // What is wrong with the config file is an error, and it quotes what stands there.
    let label = "\u{202e}evil\u{200b}";
    fs::write(host.data().join("config.toml"), format!("\"{label}\" = 1\n")).unwrap();
    let (_, said) = until("the error", || {
        Some(told(&host)).filter(|(_, said)| said.starts_with("1 error and 1 warning since 2"))
    });
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[1].contains(" ERROR ") && lines[1].contains("config.toml"), "{said}");
    assert!(lines[2].contains(" WARN "), "{said}");
    assert!(!said.contains(['\u{202e}', '\u{200b}', '\u{1b}']), "{said}");

    // It is read by the doctor itself, whoever runs.
    host.stop();
    fs::remove_file(host.data().join("config.toml")).unwrap();
    assert!(told(&host).1.starts_with("1 error and 1 warning"), "{:?}", told(&host));
    let ran = host.run(&["doctor"]);
    assert_eq!(ran.code, Some(0), "what was wrong once is no fault: {ran:?}");
    let lines: Vec<_> = ran.out.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("note    log")).unwrap();
    assert!(lines[first].contains("1 error and 1 warning"), "{ran:?}");
    // And each of its lines stands under the first.
    let is_below = |line: &&&str| line.starts_with("                        ");
    assert_eq!(lines[first + 1..].iter().take_while(is_below).count(), 2, "{ran:?}");
}

#[test]
fn each_day_has_a_file_a_week_of_them_is_kept_and_the_doctor_reads_them_all() {
    let (home, mut clock) = Clock::of(Home::new());
    let host = TestHost::start_in(home);
    let mut begun = vec![newest(&host)];
    for day in 1..=DAYS + 2 {
        warn(&host, &mut clock, A_DAY);
        begun.push(newest(&host));
        let kept = &begun[begun.len().saturating_sub(DAYS)..];
        assert_eq!(files(&host), kept, "day {day}");
        let (health, said) = told(&host);
        assert_eq!(health, "note");
        let warnings = day.min(DAYS);
        assert!(said.starts_with(&format!("0 errors and {warnings} warning")), "{said}");
        assert!(said.contains(&format!("KiB of {} day", kept.len())), "{said}");
        // Since the oldest of them began.
        let oldest = kept[0].file_name().unwrap().to_str().unwrap();
        let since = oldest.trim_start_matches("host.").trim_end_matches(".log");
        assert!(said.contains(&format!("since {since}T")), "{oldest}: {said}");
        assert!(said.lines().count() <= 6, "{said}");
    }
}

#[test]
fn a_log_that_is_gone_or_never_shortened_is_found() {
    let host = TestHost::start();
    let link = host.data().join("host.log");
    let file = newest(&host);
    let aside = host.path().join("aside.log");
    fs::rename(&file, &aside).unwrap();
    let (health, said) = told(&host);
    assert_eq!(health, "bad");
    assert!(said.contains("leads to no file"), "{said}");
    assert_eq!(host.run(&["doctor"]).code, Some(1));
    fs::rename(&aside, &file).unwrap();
    assert_eq!(told(&host).0, "good");
    for day in 1..=DAYS {
        let older = host.data().join(format!("host.2020-01-0{day}.log"));
        fs::File::create(older).unwrap().write_all(b"2020-01-01T00:00:00.0Z  INFO x\n").unwrap();
    }
    let (health, said) = told(&host);
    assert_eq!(health, "bad");
    assert!(said.starts_with("7 days should be kept"), "{said}");
    assert!(said.contains("of 8 days"), "{said}");
    assert!(link.exists());
}
