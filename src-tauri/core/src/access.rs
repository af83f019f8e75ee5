//! Who may do what: one table over every actor and every verb.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::TaskId;

/// Who wants something, as the host knows it; never as the caller says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A person, through something only a person can press.
    Person { surface: Surface },
    /// A program of the same user on the socket: the command line, a script, an agent.
    Peer { uid: u32, pid: u32 },
    /// A running task that showed its own token.
    Task { id: TaskId },
    /// Nod itself, when a time is up.
    Host,
}

/// Where a person acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    Window,
}

/// Everything that can be asked of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    Hello,
    Submit,
    RunAgain,
    List,
    Show,
    Snapshot,
    Subscribe,
    ReadLog,
    FollowLog,
    Wait,
    Cancel,
    Progress,
    Ask,
    Withdraw,
    Answer,
    ShowWindow,
    StopHost,
}

impl Verb {
    pub const ALL: [Self; 17] = [
        Self::Hello,
        Self::Submit,
        Self::RunAgain,
        Self::List,
        Self::Show,
        Self::Snapshot,
        Self::Subscribe,
        Self::ReadLog,
        Self::FollowLog,
        Self::Wait,
        Self::Cancel,
        Self::Progress,
        Self::Ask,
        Self::Withdraw,
        Self::Answer,
        Self::ShowWindow,
        Self::StopHost,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Submit => "submit",
            Self::RunAgain => "run_again",
            Self::List => "list",
            Self::Show => "show",
            Self::Snapshot => "snapshot",
            Self::Subscribe => "subscribe",
            Self::ReadLog => "read_log",
            Self::FollowLog => "follow_log",
            Self::Wait => "wait",
            Self::Cancel => "cancel",
            Self::Progress => "progress",
            Self::Ask => "ask",
            Self::Withdraw => "withdraw",
            Self::Answer => "answer",
            Self::ShowWindow => "show_window",
            Self::StopHost => "stop_host",
        }
    }
}

/// Why somebody may not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("only a person in Nod's window may answer a request")]
    AnswerIsForPeople,
    #[error("only a running task may `{}`: call it from inside the task, where NOD_TOKEN is set", .0.as_str())]
    OnlyForTasks(Verb),
    #[error("a task may not `{}`", .0.as_str())]
    NotForTasks(Verb),
    #[error("a task may act on itself only, not on task {0}")]
    AnotherTask(TaskId),
    #[error("a person does not `{}`", .0.as_str())]
    NotForPeople(Verb),
}

/// Returns whether `actor` may do `verb` to `target`, the task it concerns, if it concerns one.
pub fn allowed(actor: &Actor, verb: Verb, target: Option<TaskId>) -> Result<(), Refusal> {
    match actor {
        Actor::Host => Ok(()),
        Actor::Person { .. } => person(verb),
        Actor::Peer { .. } => peer(verb),
        Actor::Task { id } => task(*id, verb, target),
    }
}

fn person(verb: Verb) -> Result<(), Refusal> {
    match verb {
        Verb::Progress | Verb::Ask | Verb::Withdraw => Err(Refusal::NotForPeople(verb)),
        Verb::Hello
        | Verb::Submit
        | Verb::RunAgain
        | Verb::List
        | Verb::Show
        | Verb::Snapshot
        | Verb::Subscribe
        | Verb::ReadLog
        | Verb::FollowLog
        | Verb::Wait
        | Verb::Cancel
        | Verb::Answer
        | Verb::ShowWindow
        | Verb::StopHost => Ok(()),
    }
}

fn peer(verb: Verb) -> Result<(), Refusal> {
    match verb {
        Verb::Answer => Err(Refusal::AnswerIsForPeople),
        Verb::Progress | Verb::Ask | Verb::Withdraw => Err(Refusal::OnlyForTasks(verb)),
        Verb::Hello
        | Verb::Submit
        | Verb::RunAgain
        | Verb::List
        | Verb::Show
        | Verb::Snapshot
        | Verb::Subscribe
        | Verb::ReadLog
        | Verb::FollowLog
        | Verb::Wait
        | Verb::Cancel
        | Verb::ShowWindow
        | Verb::StopHost => Ok(()),
    }
}

fn task(id: TaskId, verb: Verb, target: Option<TaskId>) -> Result<(), Refusal> {
    match verb {
        Verb::Hello | Verb::Submit => Ok(()),
        Verb::Progress | Verb::Ask | Verb::Withdraw => match target {
            Some(other) if other != id => Err(Refusal::AnotherTask(other)),
            Some(_) | None => Ok(()),
        },
        Verb::Answer => Err(Refusal::AnswerIsForPeople),
        Verb::RunAgain
        | Verb::List
        | Verb::Show
        | Verb::Snapshot
        | Verb::Subscribe
        | Verb::ReadLog
        | Verb::FollowLog
        | Verb::Wait
        | Verb::Cancel
        | Verb::ShowWindow
        | Verb::StopHost => Err(Refusal::NotForTasks(verb)),
    }
}

impl Actor {
    /// Returns the words for a sentence such as "cancelled by …".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Person { surface: Surface::Window } => "a person in the window".to_owned(),
            Self::Peer { pid, .. } => format!("the command line (process {pid})"),
            Self::Task { id } => format!("task {id}"),
            Self::Host => "Nod".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: Actor = Actor::Person { surface: Surface::Window };
    const PEER: Actor = Actor::Peer { uid: 1000, pid: 7 };
    const TASK: Actor = Actor::Task { id: TaskId(1) };

    /// The whole table: person, peer, a task on itself, a task on another.
    #[test]
    fn every_actor_may_do_what_the_table_says() {
        let table = |verb| match verb {
            Verb::Hello | Verb::Submit => [true, true, true, true],
            Verb::Answer => [true, false, false, false],
            Verb::Progress | Verb::Ask | Verb::Withdraw => [false, false, true, false],
            Verb::RunAgain
            | Verb::List
            | Verb::Show
            | Verb::Snapshot
            | Verb::Subscribe
            | Verb::ReadLog
            | Verb::FollowLog
            | Verb::Wait
            | Verb::Cancel
            | Verb::ShowWindow
            | Verb::StopHost => [true, true, false, false],
        };
        for verb in Verb::ALL {
            let actual = [
                allowed(&PERSON, verb, Some(TaskId(1))).is_ok(),
                allowed(&PEER, verb, Some(TaskId(1))).is_ok(),
                allowed(&TASK, verb, Some(TaskId(1))).is_ok(),
                allowed(&TASK, verb, Some(TaskId(2))).is_ok(),
            ];
            assert_eq!(actual, table(verb), "{verb:?}");
        }
    }

    #[test]
    fn nobody_but_a_person_answers() {
        for actor in [PEER, TASK] {
            assert_eq!(
                allowed(&actor, Verb::Answer, Some(TaskId(1))),
                Err(Refusal::AnswerIsForPeople)
            );
        }
    }
}
