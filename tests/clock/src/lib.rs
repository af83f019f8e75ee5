//! Stands between a program and its clocks: a file says how far ahead the one on the wall is.
//!
//! Preloaded by tests. The clock that counts only while the machine is awake
//! may be ahead as well: what waits for it then waits that much too long, as it
//! does on a machine that sleeps meanwhile. The others are left alone, and
//! nothing here waits for another process, whatever becomes of that one.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "a symbol of the C library is taken over")]

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};
use rustix::time::ClockId;

/// Names the file with the seconds, such as `-86400`, or `0 3600` for both clocks.
const FILE: &str = "NOD_TEST_CLOCK";

/// Returns the time as the C library would, moved by what the file says.
///
/// # Safety
/// As that of the C library: `into` is where a time can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(id: libc::clockid_t, into: *mut libc::timespec) -> i32 {
    let known = match id {
        libc::CLOCK_REALTIME => ClockId::Realtime,
        libc::CLOCK_MONOTONIC => ClockId::Monotonic,
        libc::CLOCK_PROCESS_CPUTIME_ID => ClockId::ProcessCPUTime,
        libc::CLOCK_THREAD_CPUTIME_ID => ClockId::ThreadCPUTime,
        libc::CLOCK_REALTIME_COARSE => ClockId::RealtimeCoarse,
        libc::CLOCK_MONOTONIC_COARSE => ClockId::MonotonicCoarse,
        libc::CLOCK_MONOTONIC_RAW => ClockId::MonotonicRaw,
        libc::CLOCK_BOOTTIME => ClockId::Boottime,
        _ => return -1,
    };
    let time = rustix::time::clock_gettime(known);
    let is_wall = matches!(known, ClockId::Realtime | ClockId::RealtimeCoarse);
    let is_moved = is_wall || matches!(known, ClockId::Monotonic);
    let ahead = if is_moved { ahead(usize::from(!is_wall)).unwrap_or(0) } else { 0 };
    let time = libc::timespec { tv_sec: time.tv_sec + ahead, tv_nsec: time.tv_nsec };
    // SAFETY: the caller gives a place for a time.
    unsafe { into.write(time) };
    0
}

/// Reads the nth number of the file; there is none where nothing has been set.
fn ahead(number: usize) -> Option<i64> {
    static PATH: OnceLock<Option<CString>> = OnceLock::new();
    let path = PATH.get_or_init(|| CString::new(std::env::var_os(FILE)?.into_vec()).ok());
    let file = rustix::fs::open(path.as_deref()?, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let mut text = [0; 24];
    let read = rustix::io::read(file.ok()?, &mut text).ok()?;
    std::str::from_utf8(text.get(..read)?).ok()?.split_whitespace().nth(number)?.parse().ok()
}
