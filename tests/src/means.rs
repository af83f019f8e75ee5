//! What a test needs of the machine and not every machine has.

use std::env;

/// Names what this machine may lack, in words, where its tests are run without it.
pub const WITHOUT: &str = "NOD_TEST_WITHOUT";

/// Returns whether the machine has what a test needs, as `has` says.
///
/// # Panics
/// Where it has not, unless the variable `NOD_TEST_WITHOUT` names it: a test that cannot run is not
/// one that passed.
#[must_use]
#[track_caller]
pub fn has_means(name: &str, has: bool) -> bool {
    if has {
        return true;
    }
    let without = env::var(WITHOUT).unwrap_or_default();
    assert!(
        without.split_whitespace().any(|word| word == name),
        "this test needs {name}, which is not here: {WITHOUT}={name} leaves out what needs it"
    );
    false
}
