//! Who it is that asks, so that nobody else takes the answer or withdraws the question.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nod_core::shim::ProcessIdentity;
use serde::{Deserialize, Serialize};

use super::asker::{INIT, behind, is_manager};
use super::links::{LONGEST_CHAIN, Stat};
use super::unix::user_id;

/// The processes that an answer is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedFor {
    /// The one on the connection, and the one that ran it where it is the command line.
    processes: Vec<ProcessIdentity>,
    /// The leader of the session that those run in.
    session: Option<ProcessIdentity>,
    /// What began a session without a terminal for this very command, as agents do for each.
    agent: Option<ProcessIdentity>,
}

/// One who comes for an answer: the process, and all above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lineage {
    pub(crate) own: AskedFor,
    ancestors: Vec<ProcessIdentity>,
}

impl Lineage {
    /// Returns who connects; nothing where that process has gone.
    pub(crate) fn of(pid: u32, nod: &Path) -> Option<Self> {
        let own = stat(pid)?;
        let mut processes = vec![identity(pid, &own)];
        if let Some(program) = behind(pid, nod).filter(|program| *program != pid) {
            processes.extend(stat(program).map(|stat| identity(program, &stat)));
        }
        let leader = u32::try_from(own.session).ok();
        let leader = leader.and_then(|pid| Some((pid, stat(pid)?)));
        let session = leader.as_ref().map(|(pid, stat)| identity(*pid, stat));
        let begun_for_it = leader
            .filter(|(pid, stat)| stat.terminal == 0 && processes.contains(&identity(*pid, stat)));
        let agent = begun_for_it.and_then(|(_, stat)| agent(stat.parent));
        Some(Self { own: AskedFor { processes, session, agent }, ancestors: ancestors(pid, own) })
    }

    /// Returns whether an answer for `asked` may be given to this one.
    pub(crate) fn speaks_for(&self, asked: &AskedFor) -> bool {
        let above = self.ancestors.iter();
        let mut theirs =
            above.filter(|it| asked.processes.contains(it) || asked.agent == Some(**it));
        theirs.next().is_some() || (asked.session.is_some() && asked.session == self.own.session)
    }
}

impl AskedFor {
    /// Returns the program that asked, as far as it is known by its process.
    pub(crate) fn program(&self) -> Option<ProcessIdentity> {
        self.processes.last().copied()
    }
}

fn folder(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn stat(pid: u32) -> Option<Stat> {
    Stat::of(&folder(pid))
}

fn identity(pid: u32, stat: &Stat) -> ProcessIdentity {
    ProcessIdentity { pid: pid.cast_signed(), start_time: stat.started }
}

/// Returns what is at `pid`, where that is a program of this user and not what starts all of them.
fn agent(pid: u32) -> Option<ProcessIdentity> {
    let is_own = fs::metadata(folder(pid)).is_ok_and(|file| file.uid() == user_id());
    (pid > INIT && is_own && !is_manager(pid))
        .then(|| stat(pid))
        .flatten()
        .map(|it| identity(pid, &it))
}

fn ancestors(mut pid: u32, mut own: Stat) -> Vec<ProcessIdentity> {
    let mut chain = vec![identity(pid, &own)];
    while own.parent > INIT && chain.len() < LONGEST_CHAIN {
        let Some(parent) = stat(own.parent) else { break };
        (pid, own) = (own.parent, parent);
        chain.push(identity(pid, &own));
    }
    chain
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    const NOWHERE: &str = "/nowhere/nod";

    /// A shell in a session of its own, which has printed the number of a process within.
    struct Session(Child, u32);

    impl Session {
        fn running(line: &str) -> Self {
            let mut command = Command::new("setsid");
            command.args(["/bin/sh", "-c", line]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let mut said = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
            Self(child, said.trim().parse().unwrap())
        }

        fn lineage(&self) -> Lineage {
            Lineage::of(self.1, Path::new(NOWHERE)).unwrap()
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            // Each of them reads until its input ends.
            drop(self.0.stdin.take());
            self.0.wait().ok();
        }
    }

    #[test]
    fn an_answer_is_for_the_asker_what_it_runs_its_session_and_the_agent_that_began_that() {
        // Who began the session for this one is the outer shell, and not this test.
        let inner = "setsid -w /bin/sh -c 'echo $$; read it'; :";
        let (one, other) = (Session::running(inner), Session::running(inner));
        let asked = one.lineage().own;
        assert!(one.lineage().speaks_for(&asked));
        assert!(!other.lineage().speaks_for(&asked));
        let own = Lineage::of(std::process::id(), Path::new(NOWHERE)).unwrap();
        assert!(!own.speaks_for(&asked), "above it, and not the asker");
        // What the asker runs, in a session of its own or not.
        assert!(other.lineage().speaks_for(&own.own));
        // Another command of the same agent. What runs beside the shell has no input of its own, and
        // would have ended before anybody looks at it.
        let commands = "exec 3<&0; setsid -w /bin/sh -c 'echo $$; read it <&3' & \
                        exec setsid -w /bin/sh -c 'sleep 0; read it'";
        let agent = Session::running(commands);
        let its = agent.lineage().own;
        assert!(its.agent.is_some() && !own.speaks_for(&its));
        assert!(!one.lineage().speaks_for(&its));
    }
}
