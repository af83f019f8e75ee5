//! Which process speaks for the person at a terminal.
//!
//! Nothing that the process says counts: its chain of parents is read from
//! /proc and judged. What cannot be known is refused. This keeps an honest
//! agent from its own approval; a hostile program of the same user can still
//! open a terminal of its own and press its keys.

use std::path::{Path, PathBuf};

use crate::process::{
    Client, Link, chain_from, client_of, file_of, has_standard_socket, input_terminal,
    is_pseudo_terminal, standard_terminal,
};

/// Programs that show a terminal to a person, or log one in, by the names of their files.
const TERMINALS: [&str; 39] = [
    "alacritty",
    "blackbox",
    "contour",
    "cool-retro-term",
    "deepin-terminal",
    "Eterm",
    "foot",
    "footserver",
    "ghostty",
    "gnome-terminal-server",
    "kgx",
    "kitty",
    "konsole",
    "login",
    "lxterminal",
    "mate-terminal",
    "mlterm",
    "ptyxis",
    "ptyxis-agent",
    "qterminal",
    "rio",
    "rxvt",
    "rxvt-unicode",
    "sakura",
    "sshd",
    "sshd-session",
    "st",
    "tabby",
    "terminology",
    "tilda",
    "tilix",
    "urxvt",
    "urxvtd",
    "vte-2.91",
    "wezterm-gui",
    "xfce4-terminal",
    "xterm",
    "yakuake",
    "zutty",
];

/// Those of them that run as root, where a user may read no more than their names.
const LOGINS: [&str; 3] = [LOGIN, "sshd", "sshd-session"];
const LOGIN: &str = "login";

/// Those that begin a session for whoever connects.
const SSH: [&str; 2] = ["sshd", "sshd-session"];

/// Programs of Nod, none of which is above a person's own command.
const OWN: [&str; 3] = ["nod", "nod-shim", "nod-desktop"];

/// Agents, by a part of the path of their program or of the script that it runs.
const AGENTS: [&str; 24] = [
    "aider",
    "aider-chat",
    "amp",
    "augment",
    "auggie",
    "claude",
    "claude-code",
    "cline",
    "codex",
    "copilot",
    "copilot-cli",
    "crush",
    "cursor",
    "cursor-agent",
    "devin",
    "gemini",
    "gemini-cli",
    "goose",
    "kiro",
    "kiro-cli",
    "opencode",
    "openhands",
    "qwen-code",
    "windsurf",
];

/// Variables that a task of Nod's has, or that agents set for the commands they run.
const MARKS: [&str; 19] = [
    "NOD_TASK_ID",
    "NOD_TOKEN",
    "NOD_ATTEMPT",
    "NOD_SOCKET",
    "AI_AGENT",
    "AUGMENT_AGENT",
    "CLAUDECODE",
    "CLAUDE_CODE_ENTRYPOINT",
    "CLAUDE_PROJECT_DIR",
    "CLINE_ACTIVE",
    "CODEX_SANDBOX",
    "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
    "COPILOT_CLI",
    "CURSOR_AGENT",
    "CURSOR_TRACE_ID",
    "GEMINI_CLI",
    "GOOSE_TERMINAL",
    "OPENCODE",
];

/// Variables with which another program's code comes into a process.
const PRELOADS: [&str; 3] = ["LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH"];

/// A process that was found to speak for a person, and where that person sits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terminal {
    pid: u32,
    started_ms: u64,
    /// The processes of this machine through which it comes, and when they began.
    through: Vec<(u32, u64)>,
    /// The terminal and what shows it, for the audit.
    pub(crate) words: String,
}

/// Why a process is not believed to speak for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error(
        "answers in a terminal are turned off: answer in Nod's window, or set `terminal = true` \
         under [approvals] in the config file and confirm it in the window"
    )]
    Off,
    #[error(
        "the config file turns answers in a terminal on, but nobody has confirmed that yet: \
         confirm it in Nod's window"
    )]
    Unconfirmed,
    #[error("the process that wants to answer cannot be found out about: answer in Nod's window")]
    Unknown,
    #[error("the process that wants to answer is not the `nod` command that belongs to this host")]
    NotNod,
    #[error(
        "an answer is given by a person, and this comes from {name} (process {pid}): answer in \
         Nod's window"
    )]
    Program { name: String, pid: u32 },
    #[error(
        "an answer is given by a person, and {name} (process {pid}) has {variable} in its \
         environment, as a task's or an agent's command has: answer in Nod's window"
    )]
    Marked { name: String, pid: u32, variable: String },
    #[error(
        "process {0} may not be looked into, so it is not known who it is: answer in Nod's window"
    )]
    Unreadable(u32),
    #[error("another program looks into `nod`, or has put its own code into it")]
    Meddled,
    #[error(
        "what came over this connection was not written by the `nod` that opened it: answer in \
         Nod's window, or use the `nod` that belongs to this host"
    )]
    AnotherWriter,
    #[error(
        "the ssh session comes from this machine, and it cannot be found out from whom: answer in \
         Nod's window"
    )]
    FromNobody,
    #[error("the ssh session comes from this machine, where it was begun otherwise: {0}")]
    FromHere(Box<Distrust>),
    #[error("an input or output of `nod` is a connection, through which others could speak for it")]
    Piped,
    #[error(
        "input and output must be the terminal that a person sits at, with `nod` in the foreground"
    )]
    NoTerminal,
    #[error(
        "{name} (process {pid}) stands between `nod` and the terminal that a person sits at, and \
         could press its keys: run `nod` in the terminal itself, or answer in Nod's window"
    )]
    Between { name: String, pid: u32 },
    #[error(
        "no terminal emulator, login or sshd that Nod knows is above this process: answer in \
         Nod's window"
    )]
    Nowhere,
}

/// Returns the terminal of a process that connected at `connected_ms` since the boot.
pub(crate) fn find(pid: u32, connected_ms: u64, nod: &Path) -> Result<Terminal, Distrust> {
    let chain = chain_from(pid).ok_or(Distrust::Unknown)?;
    // A number that was given again belongs to a process that began after the connection.
    if chain[0].started_ms > connected_ms {
        return Err(Distrust::Unknown);
    }
    let terminal = look(&chain, file_of(nod).ok_or(Distrust::NotNod)?, standard_terminal)?;
    // What `nod` says there would count as written by it.
    if has_standard_socket(pid) {
        return Err(Distrust::Piped);
    }
    Ok(terminal)
}

/// Returns the terminal at which the first of a chain speaks, which runs the file `program`.
fn look(
    chain: &[Link],
    program: (u64, u64),
    terminal_of: fn(u32) -> Option<(u64, PathBuf)>,
) -> Result<Terminal, Distrust> {
    let (pid, started_ms) = (chain[0].pid, chain[0].started_ms);
    let standard = terminal_of(pid);
    let device = standard.as_ref().map_or(0, |(device, _)| *device);
    let shown_by = judge(chain, program, device, crate::process::user_id())?;
    let (mut from, mut through) = (String::new(), vec![]);
    if let Some(client) = client(chain, shown_by)? {
        let seat =
            find_client(client).map_err(|distrust| Distrust::FromHere(Box::new(distrust)))?;
        from = format!(", from {}", seat.words);
        through = [vec![(seat.pid, seat.started_ms)], seat.through].concat();
    }
    // What was read piece by piece was one chain only if it still is.
    if chain_from(pid).as_deref() != Some(chain) || terminal_of(pid) != standard {
        return Err(Distrust::Unknown);
    }
    let path = standard.map(|(_, path)| path.display().to_string()).unwrap_or_default();
    let words = format!("{path} in {} (process {}){from}", shown_by.name, shown_by.pid);
    Ok(Terminal { pid, started_ms, through, words })
}

/// Returns the process of this machine from which an ssh session comes; nothing where it is another
/// machine's, or no such session.
fn client(chain: &[Link], shown_by: &Link) -> Result<Option<u32>, Distrust> {
    if !SSH.contains(&shown_by.name.as_str()) {
        return Ok(None);
    }
    // What sshd itself began has what it says of the connection.
    let at = chain.iter().position(|link| link.pid == shown_by.pid).ok_or(Distrust::Unknown)?;
    let first = at.checked_sub(1).and_then(|at| chain.get(at)).ok_or(Distrust::Unknown)?;
    match first.connection.as_deref().map_or(Client::Unknown, client_of) {
        Client::Remote => Ok(None),
        Client::Local(pid) => Ok(Some(pid)),
        Client::Unknown => Err(Distrust::FromNobody),
    }
}

/// Returns the terminal at which a person runs an ssh client of this machine.
fn find_client(pid: u32) -> Result<Terminal, Distrust> {
    let chain = chain_from(pid).ok_or(Distrust::Unknown)?;
    check_program(&chain[0])?;
    let program = chain[0].program.as_ref().ok_or(Distrust::Unreadable(pid))?.file;
    // Its output is the null device, once it has one of its own.
    look(&chain, program, input_terminal)
}

impl Terminal {
    /// Returns the same terminal after another look, now that an answer came from it.
    pub(crate) fn again(&self, connected_ms: u64, nod: &Path) -> Result<Self, Distrust> {
        let now = find(self.pid, connected_ms, nod)?;
        if now == *self { Ok(now) } else { Err(Distrust::Unknown) }
    }
}

/// Returns the link of `chain` that shows the terminal `device` to a person.
fn judge(chain: &[Link], nod: (u64, u64), device: u64, own_uid: u32) -> Result<&Link, Distrust> {
    let (peer, above) = chain.split_first().ok_or(Distrust::Unknown)?;
    if peer.program.as_ref().is_none_or(|program| program.file != nod) {
        return Err(Distrust::NotNod);
    }
    check_marks(peer)?;
    for link in above {
        check_marks(link)?;
        check_program(link)?;
    }
    let preloaded = peer.variables.iter().flatten().any(|name| PRELOADS.contains(&name.as_str()));
    if peer.traced || preloaded {
        return Err(Distrust::Meddled);
    }
    if device == 0 || peer.terminal != device || !peer.in_front {
        return Err(Distrust::NoTerminal);
    }
    let at = shown_by(above, device, own_uid)?;
    for link in &above[..at] {
        check_readable(link)?;
    }
    // Above the terminal lies what the system itself began: a login, a session, the first process.
    for link in above[at..].iter().skip(1) {
        let is_system = link.pid == 1 || (link.uid == 0 && own_uid != 0);
        if !is_system && !is_login_of_user(above, link) {
            check_readable(link)?;
        }
    }
    Ok(&above[at])
}

/// Returns where the terminal's program stands: right above the last process that is on `device`.
fn shown_by(above: &[Link], device: u64, own_uid: u32) -> Result<usize, Distrust> {
    for (at, link) in above.iter().enumerate() {
        if shows(link, device, own_uid) || is_login_of_user(above, link) {
            return Ok(at);
        }
        if link.terminal == device {
            continue;
        }
        // It may hold the other end of the terminal, and press its keys.
        let is_reached = above.iter().any(|link| is_terminal(link, own_uid));
        let between = || Distrust::Between { name: link.name.clone(), pid: link.pid };
        return Err(if is_reached { between() } else { Distrust::Nowhere });
    }
    Err(Distrust::Nowhere)
}

/// Returns whether a program shows the terminal `device` to a person. A login does on a console
/// only: of any other terminal somebody else holds the other end.
fn shows(link: &Link, device: u64, own_uid: u32) -> bool {
    is_terminal(link, own_uid) && (link.name != LOGIN || !is_pseudo_terminal(device))
}

fn is_terminal(link: &Link, own_uid: u32) -> bool {
    let Some(program) = &link.program else {
        return link.uid == 0 && own_uid != 0 && LOGINS.contains(&link.name.as_str());
    };
    let name = program.path.file_name().and_then(|name| name.to_str());
    program.of_system && name.is_some_and(|name| TERMINALS.contains(&name))
}

/// Returns whether a process is the part of an sshd that runs as the user: it may not be looked
/// into, and only sshd itself can be the parent of such a one.
fn is_login_of_user(above: &[Link], link: &Link) -> bool {
    let parent = above.iter().find(|parent| parent.pid == link.parent);
    link.program.is_none()
        && LOGINS.contains(&link.name.as_str())
        && parent.is_some_and(|it| it.uid == 0 && LOGINS.contains(&it.name.as_str()))
}

fn check_readable(link: &Link) -> Result<(), Distrust> {
    let is_read = link.program.is_some() && link.variables.is_some();
    if is_read { Ok(()) } else { Err(Distrust::Unreadable(link.pid)) }
}

fn check_marks(link: &Link) -> Result<(), Distrust> {
    let found = link.variables.iter().flatten().find(|name| MARKS.contains(&name.as_str()));
    let Some(variable) = found.cloned() else { return Ok(()) };
    Err(Distrust::Marked { name: link.name.clone(), pid: link.pid, variable })
}

fn check_program(link: &Link) -> Result<(), Distrust> {
    let own = link.program.as_ref().and_then(|program| program.path.file_name()?.to_str());
    let is_own = own.is_some_and(|name| OWN.contains(&name)) || OWN.contains(&link.name.as_str());
    let program = link.program.iter().filter_map(|program| program.path.to_str());
    let named = program.chain(scripts(link)).chain([link.name.as_str()]);
    if is_own || named.into_iter().any(is_agent) {
        return Err(Distrust::Program { name: link.name.clone(), pid: link.pid });
    }
    Ok(())
}

/// Returns what a process was started as: its first word, and the script that an interpreter runs.
fn scripts(link: &Link) -> impl Iterator<Item = &str> {
    let interpreters = ["node", "nodejs", "bun", "deno", "python", "ruby", "npx", "uvx", "npm"];
    let file = link.program.as_ref().and_then(|program| program.path.file_name()?.to_str());
    let interprets =
        file.is_some_and(|file| interpreters.iter().any(|name| file.starts_with(name)));
    let count = if interprets { link.words.len() } else { 1 };
    link.words.iter().take(count).map(String::as_str)
}

/// Returns whether a part of a path names an agent, or a server of the Model Context Protocol.
fn is_agent(path: &str) -> bool {
    // The name of a person is none of a program.
    let path = path
        .strip_prefix("/home/")
        .map_or(path, |rest| rest.split_once('/').map_or("", |(_, rest)| rest));
    path.split('/').any(|part| {
        let part = part.trim_start_matches(['.', '-', '@']).to_ascii_lowercase();
        let stem = part.split('.').next().unwrap_or_default();
        let is_server = stem == "mcp"
            || stem.starts_with("mcp-")
            || stem.ends_with("-mcp")
            || stem.contains("mcp-server");
        AGENTS.contains(&stem) || is_server
    })
}

#[cfg(test)]
mod tests;
