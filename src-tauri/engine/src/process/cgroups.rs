//! Cgroups of attempts: whatever a process does to its variables and its session, it stays in its own.
//!
//! A shim starts its child inside of one that lies in the host's; it is looked at only where the shim
//! is dead. Where the host may make none, tasks run without.

use std::fs;
use std::path::{Path, PathBuf};

use nod_core::ids::{AttemptNumber, TaskId};
use rustix::fs::{Access, access, statfs};
use rustix::process::Pid;

/// What statfs(2) says of a file system of cgroups of version 2.
const CGROUP2: rustix::fs::FsWord = 0x6367_7270;

/// The processes of a cgroup, one a line; also where a process is put that is to be in it.
const PROCESSES: &str = "cgroup.procs";

/// Where a host makes the cgroups of its attempts, and what they are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroups {
    folder: PathBuf,
    prefix: String,
}

impl Cgroups {
    /// Returns where the host of a data directory, named by `name`, may make cgroups, if anywhere.
    ///
    /// What empty ones were left there by shims that died with their hosts goes.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let folder = own_folder(&membership, &mounts)?;
        // The kernel wants both of whoever starts something inside of a cgroup below.
        for path in [&folder, &folder.join(PROCESSES)] {
            access(path, Access::WRITE_OK).ok()?;
        }
        let cgroups = Self { folder, prefix: prefix(name) };
        cgroups.tidy();
        Some(cgroups)
    }

    /// Returns the cgroup of an attempt, which its shim makes.
    pub(crate) fn of(&self, id: TaskId, attempt: AttemptNumber) -> Option<String> {
        let path = self.folder.join(format!("{}{id}-{attempt}", self.prefix));
        Some(path.to_str()?.to_owned())
    }

    fn tidy(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(self.prefix.as_bytes()) {
                Cgroup { folder: entry.path() }.remove();
            }
        }
    }
}

/// The cgroup of one attempt whose shim is gone.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Returns the cgroup that a spec names; nothing where that is not the attempt's.
    pub(crate) fn named(
        path: &str,
        host: &str,
        id: TaskId,
        attempt: AttemptNumber,
    ) -> Option<Self> {
        let folder = PathBuf::from(path);
        let name = format!("{}{id}-{attempt}", prefix(host));
        let is_its_own = folder.file_name().is_some_and(|last| last == name.as_str());
        let is_cgroup = statfs(&folder).is_ok_and(|found| found.f_type == CGROUP2);
        (is_its_own && is_cgroup).then_some(Self { folder })
    }

    /// Returns every process in it. What another host has started in there is that host's.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        collect(&self.folder, &mut found);
        found
    }

    /// Takes it away unless something is in it.
    pub(crate) fn remove(&self) {
        let events = fs::read_to_string(self.folder.join("cgroup.events")).unwrap_or_default();
        if events.lines().any(|line| line == "populated 0") {
            remove(&self.folder);
        }
    }
}

fn prefix(name: &str) -> String {
    format!("nod-{name}-")
}

fn collect(folder: &Path, found: &mut Vec<Pid>) {
    let pids = fs::read_to_string(folder.join(PROCESSES)).unwrap_or_default();
    // One of another namespace is 0, and no process.
    found.extend(pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)));
    for below in folders_in(folder) {
        let is_a_hosts =
            below.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"nod-"));
        if !is_a_hosts {
            collect(&below, found);
        }
    }
}

fn remove(folder: &Path) {
    for below in folders_in(folder) {
        remove(&below);
    }
    if let Err(error) = fs::remove_dir(folder) {
        tracing::debug!("the cgroup {} stays: {error}", folder.display());
    }
}

fn folders_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
}

/// Returns where the cgroup of version 2 lies that this process is in.
///
/// `membership` is what cgroups(7) says of /proc/self/cgroup, `mounts` what proc(5) says of
/// /proc/self/mountinfo.
fn own_folder(membership: &str, mounts: &str) -> Option<PathBuf> {
    let own = Path::new(membership.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        // A path with a space in it is written another way, and is nowhere that cgroups are.
        let is_plain = kind.starts_with("cgroup2 ") && !point.contains('\\');
        let below = own.strip_prefix(root).ok().filter(|_| is_plain)?;
        Some(if below.as_os_str().is_empty() { point.into() } else { Path::new(point).join(below) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str =
        "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_cgroup_is_found_where_it_is_mounted() {
        let found = |membership: &str, mounts: &str| own_folder(membership, mounts);
        let service = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/nod.scope\n";
        assert_eq!(
            found(service, UNIFIED).unwrap(),
            Path::new(
                "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/nod.scope"
            )
        );
        assert_eq!(found("0::/\n", UNIFIED).unwrap(), Path::new("/sys/fs/cgroup"));
        // Beside those of version 1.
        let both = "31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                    40 30 0:36 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            found("4:memory:/job\n0::/job\n", both).unwrap(),
            Path::new("/sys/fs/cgroup/unified/job")
        );
        // In a container that sees its own part alone.
        let part = "29 23 0:26 /box /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/box/a\n", part).unwrap(), Path::new("/sys/fs/cgroup/a"));
        assert_eq!(found("0::/other\n", part), None);
        assert_eq!(found("4:memory:/job\n", UNIFIED), None);
        assert_eq!(found("0::/\n", "36 35 98:0 / /mnt rw - ext4 /dev/root rw\n"), None);
    }

    #[test]
    fn only_the_attempts_own_cgroup_is_taken_for_it() {
        let named = |path: &Path| {
            let path = path.to_str().unwrap();
            Cgroup::named(path, "abc", TaskId(7), AttemptNumber(2)).is_some()
        };
        let folder = tempfile::tempdir().unwrap();
        let look_alike = folder.path().join("nod-abc-7-2");
        fs::create_dir(&look_alike).unwrap();
        assert!(!named(&look_alike), "a folder on another file system");
        assert!(!named(Path::new("/sys/fs/cgroup")));
    }
}
