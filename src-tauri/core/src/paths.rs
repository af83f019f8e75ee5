//! Where things lie, worked out from the variables of a process alone.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The longest path a socket may have, in bytes: `sun_path` of unix(7) less its NUL.
pub const SOCKET_PATH_LIMIT: usize = 107;

/// The folders and files of one data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The data directory: one host, one history.
    pub data: PathBuf,
    /// Where the host's socket is made.
    pub runtime: PathBuf,
    pub config: PathBuf,
}

/// Why no data directory can be named.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathsError {
    #[error(
        "neither NOD_HOME, XDG_DATA_HOME nor HOME is set: set NOD_HOME to a folder for Nod's data"
    )]
    NoHome,
    #[error("NOD_HOME must be an absolute path, it is `{}`", .0.display())]
    Relative(PathBuf),
    #[error(
        "tasks could not be told where `{}` is: set NOD_HOME to a folder whose path is UTF-8 and \
         has no colon",
        .0.display()
    )]
    Untellable(PathBuf),
}

impl Paths {
    /// Returns the paths for a process whose variables `variable` looks up, and whose user is `uid`.
    pub fn find(variable: impl Fn(&str) -> Option<PathBuf>, uid: u32) -> Result<Self, PathsError> {
        let set = |name: &str| variable(name).filter(|value| !value.as_os_str().is_empty());
        let home = || set("HOME").ok_or(PathsError::NoHome);
        if let Some(data) = set("NOD_HOME") {
            if !data.is_absolute() {
                return Err(PathsError::Relative(data));
            }
            let config = data.join("config.toml");
            check(&data)?;
            return Ok(Self { runtime: runtime(&data, set("XDG_RUNTIME_DIR"), uid), data, config });
        }
        let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
        let data = match absolute("XDG_DATA_HOME") {
            Some(base) => base.join("nod"),
            None => home()?.join(".local/share/nod"),
        };
        check(&data)?;
        let config = match absolute("XDG_CONFIG_HOME") {
            Some(base) => base.join("nod/config.toml"),
            None => home()?.join(".config/nod/config.toml"),
        };
        Ok(Self { runtime: runtime(&data, set("XDG_RUNTIME_DIR"), uid), data, config })
    }

    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data.join("nod.db")
    }

    #[must_use]
    pub fn host_lock(&self) -> PathBuf {
        self.data.join("host.lock")
    }

    #[must_use]
    pub fn host_log(&self) -> PathBuf {
        self.data.join("host.log")
    }

    /// The key that seals environments in the database.
    #[must_use]
    pub fn seal_key(&self) -> PathBuf {
        self.data.join("seal.key")
    }

    #[must_use]
    pub fn tasks(&self) -> PathBuf {
        self.data.join("tasks")
    }

    /// Holds a link to the `nod` program and nothing else, for the PATH of tasks.
    #[must_use]
    pub fn bin(&self) -> PathBuf {
        self.data.join("bin")
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("host.sock")
    }

    /// Returns a short name that no other data directory has.
    #[must_use]
    pub fn short_name(&self) -> String {
        short_name(&self.data)
    }
}

/// Refuses a data directory that fits neither into a variable nor into PATH.
fn check(data: &Path) -> Result<(), PathsError> {
    match data.to_str() {
        Some(text) if !text.contains(':') => Ok(()),
        Some(_) | None => Err(PathsError::Untellable(data.to_owned())),
    }
}

fn short_name(data: &Path) -> String {
    let digest = Sha256::digest(data.as_os_str().as_encoded_bytes());
    digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns a folder for sockets that is short enough for any data directory.
fn runtime(data: &Path, base: Option<PathBuf>, uid: u32) -> PathBuf {
    let name = short_name(data);
    let longest = Path::new("/host.sock").as_os_str().len();
    if let Some(base) = base.filter(|base| base.is_absolute() && base.to_str().is_some()) {
        let runtime = base.join(format!("nod-{name}"));
        if runtime.as_os_str().len() + longest <= SOCKET_PATH_LIMIT {
            return runtime;
        }
    }
    PathBuf::from(format!("/tmp/nod-{uid}-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> Result<Paths, PathsError> {
        let find = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        Paths::find(find, 1000)
    }

    #[test]
    fn nod_home_holds_everything_but_the_socket() {
        let found = paths(&[("NOD_HOME", "/data"), ("XDG_RUNTIME_DIR", "/run/user/1000")]).unwrap();
        assert_eq!(found.database(), Path::new("/data/nod.db"));
        assert_eq!(found.config, Path::new("/data/config.toml"));
        assert!(found.socket().starts_with("/run/user/1000"), "{:?}", found.socket());
    }

    #[test]
    fn without_nod_home_the_xdg_folders_are_used() {
        let (home, usual) = (("HOME", "/home/me"), "/home/me/.local/share/nod");
        let usual_config = "/home/me/.config/nod/config.toml";
        let (data, config) = (("XDG_DATA_HOME", "/d"), ("XDG_CONFIG_HOME", "/c"));
        // A relative one means nothing, as the specification of these variables says.
        let (no_data, no_config) = (("XDG_DATA_HOME", "d"), ("XDG_CONFIG_HOME", "c"));
        let cases = [
            (vec![home], usual, usual_config),
            (vec![home, no_data, no_config], usual, usual_config),
            (vec![home, data], "/d/nod", usual_config),
            (vec![home, config], usual, "/c/nod/config.toml"),
            (vec![data, config], "/d/nod", "/c/nod/config.toml"),
        ];
        for (variables, data, config) in cases {
            let found = paths(&variables).unwrap();
            assert_eq!(found.data, Path::new(data), "{variables:?}");
            assert_eq!(found.config, Path::new(config), "{variables:?}");
        }
        assert_eq!(paths(&[data]), Err(PathsError::NoHome), "nowhere for the config file");
    }

    #[test]
    fn a_socket_path_is_short_for_any_data_directory() {
        let long = format!("/{}", "x".repeat(300));
        for variables in [
            vec![("NOD_HOME", long.as_str())],
            vec![("NOD_HOME", "/d"), ("XDG_RUNTIME_DIR", &long)],
        ] {
            let found = paths(&variables).unwrap();
            assert!(found.socket().as_os_str().len() <= SOCKET_PATH_LIMIT);
        }
    }

    #[test]
    fn two_data_directories_have_two_sockets() {
        let one = paths(&[("NOD_HOME", "/one")]).unwrap();
        let two = paths(&[("NOD_HOME", "/two")]).unwrap();
        assert_ne!(one.socket(), two.socket());
    }

    #[test]
    fn a_missing_or_relative_home_is_explained() {
        assert_eq!(paths(&[]), Err(PathsError::NoHome));
        assert_eq!(paths(&[("NOD_HOME", "here")]), Err(PathsError::Relative("here".into())));
    }

    #[test]
    fn what_no_variable_can_carry_is_refused_or_gone_around() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;

        let strange = PathBuf::from(OsStr::from_bytes(b"/da\xffta"));
        for home in [strange.clone(), PathBuf::from("/da:ta")] {
            let find = |name: &str| (name == "NOD_HOME").then(|| home.clone());
            assert_eq!(Paths::find(find, 1), Err(PathsError::Untellable(home.clone())));
        }
        let find = |name: &str| match name {
            "NOD_HOME" => Some(PathBuf::from("/data")),
            "XDG_RUNTIME_DIR" => Some(strange.clone()),
            _ => None,
        };
        assert!(Paths::find(find, 1).unwrap().socket().starts_with("/tmp"));
    }
}
