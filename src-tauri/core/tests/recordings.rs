//! Progress is found in what real programs print: `scripts/record-progress.py` recorded it.

use nod_core::progress::{LineProgress, Progress};

/// How the bar moves while a recording comes in pieces of `size` bytes.
fn bar(recording: &[u8], size: usize) -> Vec<Progress> {
    let mut lines = LineProgress::default();
    let mut bar: Vec<Progress> = Vec::new();
    for piece in recording.chunks(size) {
        if let Some(found) = lines.scan(piece) {
            bar.extend(Progress::merged(bar.last(), found));
        }
    }
    bar
}

/// What a program printed, and where in it the bar is.
struct Recording {
    name: &'static str,
    bytes: &'static [u8],
    /// How many steps the bar takes at least when the output comes bit by bit.
    steps: usize,
    /// How far it is just before the program says that it is done, in percent.
    before: f64,
    /// With what it says so, for the first time: its own 100 %, or its own count of all.
    done: &'static str,
}

/// What a bar shows at the most while its task runs: here it says that the program was done.
const DONE: f64 = 99.0;

macro_rules! recordings {
    ($($name:literal: $steps:literal steps, $before:literal then $done:literal;)*) => {
        [$(Recording {
            name: $name,
            bytes: include_bytes!(concat!("recordings/", $name)),
            steps: $steps,
            before: $before,
            done: $done,
        }),*]
    };
}

/// None of these programs stops short of its own end.
const RECORDINGS: [Recording; 15] = recordings! {
    "curl.tty": 3 steps, 55.0 then "\r100 6144k  100 6144k";
    "curl-bar.tty": 15 steps, 95.0 then "100.0%";
    // The last of three layers is on the disk; just before, all three are at more than 99 %.
    "docker.tty": 50 steps, 99.0 then
        "Extracting [==================================================>]  201.4MB/201.4MB";
    "ninja.tty": 40 steps, 97.5 then "[40/40] CXX 39.o";
    "ninja.pipe": 38 steps, 97.5 then "[40/40] CXX 39.o";
    "pip.tty": 30 steps, 96.83 then "6.3/6.3 MB";
    "pytest.tty": 5 steps, 83.0 then "[100%]";
    "pytest.pipe": 5 steps, 83.0 then "[100%]";
    // Its percentages are those of single files: what counts is how many are left.
    "rsync.tty": 9 steps, 88.89 then "to-chk=0/9";
    "rsync-whole.tty": 9 steps, 87.0 then "6,291,456 100%";
    "tqdm.tty": 11 steps, 90.0 then "rows: 100%";
    "tqdm.pipe": 11 steps, 97.0 then "rows: 100%";
    "tqdm-nested.tty": 5 steps, 75.0 then "outer: 100%";
    "wget.tty": 10 steps, 92.0 then "100%[";
    // It has a line of its own for 99 %.
    "wget.pipe": 99 steps, 99.0 then "100%  894K";
};

fn percents(bar: &[Progress]) -> Vec<f64> {
    bar.iter().filter_map(|it| it.percent).collect()
}

#[test]
fn the_bar_of_every_program_rises_to_its_end_and_is_never_full() {
    let mut faults = Vec::new();
    for Recording { name, bytes, steps, .. } in RECORDINGS {
        for size in [1, 7, 64, 512, 64 * 1024] {
            let bar = bar(bytes, size);
            let percents = percents(&bar);
            let reaches_end = percents.last() == Some(&DONE);
            let is_never_full = percents.iter().all(|it| (0.0..=DONE).contains(it));
            let never_falls = percents.is_sorted() && bar.iter().all(|it| it.phase == 0);
            let is_fine_enough = size > 7 || percents.len() >= steps;
            if !(reaches_end && is_never_full && never_falls && is_fine_enough) {
                faults.push(format!("{name} in pieces of {size}: {percents:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_bar_of_every_program_is_at_its_end_when_the_program_says_so_and_not_before() {
    for Recording { name, bytes, before, done, .. } in RECORDINGS {
        let at = bytes.windows(done.len()).position(|part| part == done.as_bytes());
        let at = at.unwrap_or_else(|| panic!("{name} never says {done}"));
        for size in [1, 64] {
            let before_it = percents(&bar(&bytes[..at], size));
            assert_eq!(before_it.last(), Some(&before), "{name} in pieces of {size}");
            // By the second end of a line: the first may have two signs, or only draw the line anew.
            let said = at + done.len();
            let rest = bytes[said..].iter().enumerate();
            let mut ends = rest.filter(|(_, sign)| b"\r\n".contains(sign));
            let end = ends.nth(1).map_or(bytes.len(), |(end, _)| said + end + 1);
            let after_it = percents(&bar(&bytes[..end], size));
            assert_eq!(after_it.last(), Some(&DONE), "{name} in pieces of {size}");
        }
    }
}
