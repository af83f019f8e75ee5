//! Who may do what: one table over every actor and every verb.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::ids::{AttemptNumber, SessionId, TaskId};

/// Who wants something, as the host knows it; never as the caller says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Actor {
    /// A person, through something only a person can press.
    Person { surface: Surface },
    /// A program of the same user on the socket: the command line, a script, an agent.
    Peer { uid: u32, pid: u32 },
    /// A running task that showed its own token.
    Task {
        id: TaskId,
        /// Whose token it was: that of a try that is over speaks for nobody. Unknown of the oldest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        attempt: Option<AttemptNumber>,
    },
    /// Nod itself, when a time is up.
    Host,
}

/// Where a person acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Surface {
    Window,
    /// `nod approve` and `nod deny` in a terminal, where the person has turned that on.
    Terminal,
    /// A button of a desktop notification: a denial, and an approval where the person has turned
    /// that on.
    Notification,
}

/// Makes the verbs, their list and their names of one table, so that no verb is missing anywhere.
macro_rules! verbs {
    ($($verb:ident => $name:literal,)*) => {
        /// Everything that can be asked of a host.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
        #[serde(rename_all = "snake_case")]
        pub enum Verb {
            $($verb,)*
        }

        impl Verb {
            pub const ALL: &'static [Self] = &[$(Self::$verb,)*];

            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$verb => $name,)*
                }
            }
        }
    };
}

verbs! {
    Hello => "hello",
    Submit => "submit",
    SubmitMany => "submit_many",
    RunAgain => "run_again",
    List => "list",
    Show => "show",
    Snapshot => "snapshot",
    Subscribe => "subscribe",
    ReadLog => "read_log",
    FollowLog => "follow_log",
    SearchLogs => "search_logs",
    Wait => "wait",
    Cancel => "cancel",
    Pause => "pause",
    Resume => "resume",
    Input => "input",
    Resize => "resize",
    CancelMany => "cancel_many",
    Edit => "edit",
    Retry => "retry",
    Remove => "remove",
    Deadline => "deadline",
    Groups => "groups",
    ChangeGroup => "change_group",
    Watch => "watch",
    Progress => "progress",
    Ask => "ask",
    AwaitAnswer => "await_answer",
    Withdraw => "withdraw",
    Answer => "answer",
    OpenQuestion => "open_question",
    Audit => "audit",
    Await => "await",
    Notify => "notify",
    Feedback => "feedback",
    Inbox => "inbox",
    Tell => "tell",
    SayOutcome => "say_outcome",
    IsCancelled => "is_cancelled",
    Rules => "rules",
    PreviewRule => "preview_rule",
    AddRule => "add_rule",
    RevokeRule => "revoke_rule",
    ConfirmLoosening => "confirm_loosening",
    Settings => "settings",
    AllowNotificationApprovals => "allow_notification_approvals",
    Diagnose => "diagnose",
    ShowWindow => "show_window",
    StopHost => "stop_host",
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
    #[error("`{}` is for a person in Nod's window alone", .0.as_str())]
    OnlyInWindow(Verb),
    #[error("task {0} belongs to another session: name its session with --session")]
    AnotherSession(TaskId),
    #[error(
        "task {0} has no session: only the program that submitted it may type into it, and a \
         person in the window (what was submitted with --session, whoever names that session)"
    )]
    AnotherProgram(TaskId),
    #[error("task {0} is a person's own, from the window: it is removed there")]
    OfPerson(TaskId),
    #[error("that try of task {0} is over: its token speaks for nobody")]
    EarlierTry(TaskId),
}

/// Returns whether `actor`, who speaks for `session`, may type into a task of the session `its`.
/// One that has none is typed into by the program that submitted it, which `is_submitter` says.
pub fn may_type(
    actor: &Actor,
    id: TaskId,
    (session, its): (Option<&SessionId>, Option<&SessionId>),
    is_submitter: bool,
) -> Result<(), Refusal> {
    match actor {
        Actor::Person { .. } | Actor::Host => Ok(()),
        Actor::Peer { .. } if session != its => Err(Refusal::AnotherSession(id)),
        Actor::Peer { .. } if its.is_none() && !is_submitter => Err(Refusal::AnotherProgram(id)),
        Actor::Peer { .. } => Ok(()),
        Actor::Task { .. } => Err(Refusal::NotForTasks(Verb::Input)),
    }
}

/// A row of the table: for whom a verb is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Everyone,
    /// Whoever asks people: a task for itself, and a program that is no task. Never a person.
    Askers,
    /// A running task, about itself.
    TaskItself,
    /// The person in the window, and the programs of the same user. No task: it would reach others.
    PersonAndPrograms,
    /// The same, and a running task about itself.
    PersonProgramsAndTaskItself,
    /// The same, and a person in a terminal: what is answered there is looked at there.
    PeopleAndPrograms,
    /// A person, in the window, in a terminal that is known to be theirs, or at a notification.
    Person,
    /// The person in the window, and nobody else.
    Window,
}

/// The table.
fn row(verb: Verb) -> For {
    match verb {
        Verb::Hello | Verb::Submit | Verb::SubmitMany => For::Everyone,
        Verb::Ask | Verb::AwaitAnswer | Verb::Withdraw => For::Askers,
        Verb::Progress
        | Verb::Await
        | Verb::Inbox
        | Verb::Tell
        | Verb::SayOutcome
        | Verb::IsCancelled => For::TaskItself,
        Verb::RunAgain
        | Verb::List
        | Verb::Subscribe
        | Verb::ReadLog
        | Verb::FollowLog
        | Verb::SearchLogs
        | Verb::Wait
        | Verb::Pause
        | Verb::Resume
        | Verb::Input
        | Verb::Resize
        | Verb::Audit
        | Verb::Notify
        | Verb::Feedback
        | Verb::Rules
        | Verb::PreviewRule
        | Verb::Settings
        | Verb::CancelMany
        | Verb::Edit
        | Verb::Retry
        | Verb::Remove
        | Verb::Deadline
        | Verb::Groups
        | Verb::ChangeGroup
        | Verb::Watch
        | Verb::Diagnose
        | Verb::ShowWindow
        | Verb::StopHost => For::PersonAndPrograms,
        Verb::Show | Verb::Snapshot | Verb::OpenQuestion => For::PeopleAndPrograms,
        Verb::Cancel => For::PersonProgramsAndTaskItself,
        Verb::Answer => For::Person,
        Verb::AddRule
        | Verb::RevokeRule
        | Verb::ConfirmLoosening
        | Verb::AllowNotificationApprovals => For::Window,
    }
}

impl Verb {
    /// Returns whether the window says it only where a hand pressed it: what only a person may do,
    /// and what is more when a person says it than when a program does. What is typed into a task
    /// is more, too; but a terminal also answers by itself, so that the page looks where it comes from.
    #[must_use]
    pub fn needs_a_hand(self) -> bool {
        match row(self) {
            For::Person | For::Window => true,
            For::Everyone
            | For::Askers
            | For::TaskItself
            | For::PersonAndPrograms
            | For::PersonProgramsAndTaskItself
            | For::PeopleAndPrograms => matches!(
                self,
                // Whose the task is decides who may remove it and type into it, and how often one is asked.
                Self::Submit
                    | Self::SubmitMany
                    | Self::RunAgain
                    | Self::Edit
                    | Self::Retry
                    | Self::Remove
            ),
        }
    }
}

/// Returns whether `actor` may do `verb` to `target`, the task it concerns, if it concerns one.
pub fn allowed(actor: &Actor, verb: Verb, target: Option<TaskId>) -> Result<(), Refusal> {
    match actor {
        Actor::Host => Ok(()),
        Actor::Person { surface: Surface::Window } => in_window(verb),
        Actor::Person { surface: Surface::Terminal } => in_terminal(verb),
        Actor::Person { surface: Surface::Notification } => at_notification(verb),
        Actor::Peer { .. } => program(verb),
        Actor::Task { id, .. } => task(*id, verb, target),
    }
}

fn in_window(verb: Verb) -> Result<(), Refusal> {
    match row(verb) {
        For::Everyone
        | For::PersonAndPrograms
        | For::PersonProgramsAndTaskItself
        | For::PeopleAndPrograms
        | For::Person
        | For::Window => Ok(()),
        For::Askers | For::TaskItself => Err(Refusal::NotForPeople(verb)),
    }
}

/// A terminal is believed for as little as possible.
fn in_terminal(verb: Verb) -> Result<(), Refusal> {
    match row(verb) {
        For::Person | For::PeopleAndPrograms => Ok(()),
        For::Everyone
        | For::PersonAndPrograms
        | For::PersonProgramsAndTaskItself
        | For::Askers
        | For::TaskItself
        | For::Window => Err(Refusal::OnlyInWindow(verb)),
    }
}

/// A button answers, and does nothing else. Which answers it gives, `notification::check` says.
fn at_notification(verb: Verb) -> Result<(), Refusal> {
    match row(verb) {
        For::Person => Ok(()),
        For::Everyone
        | For::PeopleAndPrograms
        | For::PersonAndPrograms
        | For::PersonProgramsAndTaskItself
        | For::Askers
        | For::TaskItself
        | For::Window => Err(Refusal::OnlyInWindow(verb)),
    }
}

fn program(verb: Verb) -> Result<(), Refusal> {
    match row(verb) {
        For::Everyone
        | For::Askers
        | For::PersonAndPrograms
        | For::PersonProgramsAndTaskItself
        | For::PeopleAndPrograms => Ok(()),
        For::TaskItself => Err(Refusal::OnlyForTasks(verb)),
        For::Person => Err(Refusal::AnswerIsForPeople),
        For::Window => Err(Refusal::OnlyInWindow(verb)),
    }
}

fn task(id: TaskId, verb: Verb, target: Option<TaskId>) -> Result<(), Refusal> {
    match row(verb) {
        For::Everyone => Ok(()),
        For::Askers | For::TaskItself | For::PersonProgramsAndTaskItself => match target {
            Some(other) if other != id => Err(Refusal::AnotherTask(other)),
            Some(_) | None => Ok(()),
        },
        For::Person => Err(Refusal::AnswerIsForPeople),
        For::PersonAndPrograms | For::PeopleAndPrograms => Err(Refusal::NotForTasks(verb)),
        For::Window => Err(Refusal::OnlyInWindow(verb)),
    }
}

impl Actor {
    /// Returns the words for a sentence such as "cancelled by …".
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Person { surface: Surface::Window } => "a person in the window".to_owned(),
            Self::Person { surface: Surface::Terminal } => "a person in a terminal".to_owned(),
            Self::Person { surface: Surface::Notification } => {
                "a person in a notification".to_owned()
            }
            Self::Peer { pid, .. } => format!("the command line (process {pid})"),
            Self::Task { id, .. } => format!("task {id}"),
            Self::Host => "Nod".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
