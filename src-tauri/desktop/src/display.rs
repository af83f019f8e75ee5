//! Whether there is a display to open a window on.
//!
//! The toolkit ends the program where there is none, so this looks first.

use anyhow::{Result, bail};

/// Returns an error that begins with "no display" where no window can be opened.
#[cfg(not(target_os = "linux"))]
pub(crate) fn check() -> Result<()> {
    Ok(())
}

/// Returns an error that begins with "no display" where no window can be opened.
#[cfg(target_os = "linux")]
pub(crate) fn check() -> Result<()> {
    linux::check(|name| std::env::var_os(name))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::{OsStr, OsString};
    use std::net::{TcpStream, ToSocketAddrs as _};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixStream};
    use std::path::Path;
    use std::time::Duration;

    use super::{Result, bail};

    /// How long a display on another machine may take to answer.
    const FAR: Duration = Duration::from_secs(5);

    /// The port of the first display of a machine, by the X protocol's convention.
    const FIRST_PORT: u16 = 6000;

    pub(super) fn check(variable: impl Fn(&str) -> Option<OsString>) -> Result<()> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (wayland, x) = (set("WAYLAND_DISPLAY"), set("DISPLAY"));
        // A compositor's program is handed its connection already open.
        let handed = set("WAYLAND_SOCKET").is_some();
        if handed
            || wayland
                .as_deref()
                .is_some_and(|name| wayland_answers(name, set("XDG_RUNTIME_DIR").as_deref()))
        {
            return Ok(());
        }
        if x.as_deref().is_some_and(x_answers) {
            return Ok(());
        }
        match x.or(wayland) {
            Some(name) => bail!("no display: nothing answers on {}", name.display()),
            None => bail!("no display: neither DISPLAY nor WAYLAND_DISPLAY is set"),
        }
    }

    fn wayland_answers(name: &OsStr, runtime: Option<&OsStr>) -> bool {
        // An absolute path replaces the folder.
        let path = Path::new(runtime.unwrap_or_default()).join(name);
        UnixStream::connect(path).is_ok()
    }

    /// Connects to a display as X(7) names it: `[protocol/][host]:number[.screen]`.
    fn x_answers(name: &OsStr) -> bool {
        let Some((host, number)) = name.to_str().and_then(parse) else { return false };
        if matches!(host, "" | "unix") {
            let path = format!("/tmp/.X11-unix/X{number}");
            let abstractly = || UnixStream::connect_addr(&SocketAddr::from_abstract_name(&path)?);
            return UnixStream::connect(&path).or_else(|_| abstractly()).is_ok();
        }
        let Some(port) = FIRST_PORT.checked_add(number) else { return false };
        let addresses = (host, port).to_socket_addrs();
        addresses.is_ok_and(|mut all| all.any(|it| TcpStream::connect_timeout(&it, FAR).is_ok()))
    }

    fn parse(name: &str) -> Option<(&str, u16)> {
        let (host, rest) = name.rsplit_once(':')?;
        let number = rest.split('.').next()?.parse().ok()?;
        let host = host.rsplit_once('/').map_or(host, |(_, host)| host);
        Some((host.trim_matches(['[', ']']), number))
    }

    #[cfg(test)]
    mod tests {
        use std::os::unix::net::UnixListener;

        use super::*;

        #[test]
        fn a_display_is_read_as_x_names_it() {
            let cases = [
                (":0", Some(("", 0))),
                ("unix:1.0", Some(("unix", 1))),
                ("localhost:10.0", Some(("localhost", 10))),
                ("tcp/[::1]:2", Some(("::1", 2))),
                ("nonsense", None),
                (":x", None),
            ];
            for (name, expected) in cases {
                assert_eq!(parse(name), expected, "{name}");
            }
        }

        #[test]
        fn without_a_display_that_answers_no_window_is_tried() {
            let name = format!("nod-wayland-{}.sock", std::process::id());
            let folder = std::env::temp_dir();
            let with = |pairs: &[(&str, &str)]| {
                let find = |name: &str| pairs.iter().find(|(it, _)| *it == name);
                let found = check(|name| match name {
                    "XDG_RUNTIME_DIR" => Some(folder.clone().into()),
                    _ => find(name).map(|(_, value)| value.into()),
                });
                found.map_err(|error| error.to_string())
            };
            let nothing = with(&[]).unwrap_err();
            assert!(nothing.starts_with("no display: neither"), "{nothing}");
            for pair in [("DISPLAY", ":59999"), ("DISPLAY", "x"), ("WAYLAND_DISPLAY", &*name)] {
                let silent = with(&[pair]).unwrap_err();
                assert!(silent.starts_with("no display: nothing answers"), "{silent}");
            }
            let listener = UnixListener::bind(folder.join(&name)).unwrap();
            let found = with(&[("WAYLAND_DISPLAY", &*name), ("DISPLAY", ":59999")]);
            std::fs::remove_file(folder.join(&name)).unwrap();
            drop(listener);
            found.unwrap();
        }
    }
}
