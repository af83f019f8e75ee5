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

/// The recordings, and how many steps the bar takes at least when the output comes bit by bit.
const RECORDINGS: [(&str, &[u8], usize); 15] = [
    ("curl.tty", include_bytes!("recordings/curl.tty"), 2),
    ("curl-bar.tty", include_bytes!("recordings/curl-bar.tty"), 8),
    ("docker.tty", include_bytes!("recordings/docker.tty"), 20),
    ("ninja.tty", include_bytes!("recordings/ninja.tty"), 30),
    ("ninja.pipe", include_bytes!("recordings/ninja.pipe"), 30),
    ("pip.tty", include_bytes!("recordings/pip.tty"), 5),
    ("pytest.tty", include_bytes!("recordings/pytest.tty"), 4),
    ("pytest.pipe", include_bytes!("recordings/pytest.pipe"), 4),
    ("rsync.tty", include_bytes!("recordings/rsync.tty"), 6),
    ("rsync-whole.tty", include_bytes!("recordings/rsync-whole.tty"), 6),
    ("tqdm.tty", include_bytes!("recordings/tqdm.tty"), 8),
    ("tqdm.pipe", include_bytes!("recordings/tqdm.pipe"), 8),
    ("tqdm-nested.tty", include_bytes!("recordings/tqdm-nested.tty"), 3),
    ("wget.tty", include_bytes!("recordings/wget.tty"), 8),
    ("wget.pipe", include_bytes!("recordings/wget.pipe"), 50),
];

#[test]
fn the_bar_of_every_program_rises_to_its_end_and_is_never_full() {
    let mut faults = Vec::new();
    for (name, recording, steps) in RECORDINGS {
        for size in [1, 7, 64, 512, 64 * 1024] {
            let bar = bar(recording, size);
            let percents: Vec<f64> = bar.iter().filter_map(|it| it.percent).collect();
            let reaches_end = percents.last().is_some_and(|last| *last >= 75.0);
            let is_never_full = percents.iter().all(|it| (0.0..100.0).contains(it));
            let never_falls = bar.iter().all(|it| it.phase == 0);
            let is_fine_enough = size > 7 || percents.len() >= steps;
            if !(reaches_end && is_never_full && never_falls && is_fine_enough) {
                faults.push(format!("{name} in pieces of {size}: {percents:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
