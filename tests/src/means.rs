//! What a test needs of the machine and not every machine has.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::within;

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

/// Returns the folder of the cgroup that this process is in, where some may be made in it.
#[must_use]
pub fn cgroup_folder() -> Option<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mounts = fs::read_to_string("/proc/mounts").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| Path::new(point))
    })?;
    let folder = mount.join(own);
    let probe = folder.join(format!("nod-probe-{}", std::process::id()));
    fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe)).ok()?;
    Some(folder)
}

/// How long what was killed may take to leave its cgroup.
const EMPTYING: Duration = Duration::from_secs(1);

/// Removes the cgroups whose names begin so.
pub fn remove_cgroups(prefix: &str) {
    let all = cgroup_folder().and_then(|all| fs::read_dir(all).ok());
    for entry in all.into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_bytes()) {
            within(EMPTYING, || remove_cgroup(&entry.path()).is_ok());
        }
    }
}

fn remove_cgroup(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}
