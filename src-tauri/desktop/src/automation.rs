//! Keeps programs from driving the window.
//!
//! `WebKitGTK` lets whoever set a variable before the start press every button,
//! Approve included. The shipped app forgets these variables before anything
//! else happens; only a build for tests keeps them.

/// Variables that open the window to other programs.
#[cfg(not(feature = "automation"))]
const OPENINGS: [&str; 4] = [
    "TAURI_WEBVIEW_AUTOMATION",
    "WEBKIT_INSPECTOR_SERVER",
    "WEBKIT_INSPECTOR_HTTP_SERVER",
    "TAURI_AUTOMATION",
];

/// Closes the window to every program but this one. Called before any thread is started.
#[cfg(not(feature = "automation"))]
pub(crate) fn disarm() {
    for name in OPENINGS {
        #[expect(unsafe_code, reason = "no other thread runs yet that could read the variables")]
        // SAFETY: called first thing in main, before any thread is started.
        unsafe {
            std::env::remove_var(name);
        }
    }
}

/// Leaves the window open to a test's driver.
#[cfg(feature = "automation")]
pub(crate) fn disarm() {}
