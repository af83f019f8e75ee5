//! The full product of the table.

use super::*;

const PERSON: Actor = Actor::Person { surface: Surface::Window };
const TERMINAL: Actor = Actor::Person { surface: Surface::Terminal };
const NOTIFICATION: Actor = Actor::Person { surface: Surface::Notification };
const PEER: Actor = Actor::Peer { uid: 1000, pid: 7 };
const TASK: Actor = Actor::Task { id: TaskId(1), attempt: None };

/// The full product: window, terminal, notification, program, a task on itself, a task on
/// another, the host.
#[test]
fn every_actor_may_do_what_the_table_says() {
    let table = |verb| match verb {
        Verb::Hello | Verb::Submit | Verb::SubmitMany => [true, false, false, true, true, true],
        Verb::Answer => [true, true, true, false, false, false],
        Verb::Show | Verb::Snapshot | Verb::OpenQuestion => [true, true, false, true, false, false],
        Verb::AddRule
        | Verb::RevokeRule
        | Verb::ConfirmLoosening
        | Verb::AllowNotificationApprovals => [true, false, false, false, false, false],
        Verb::Progress
        | Verb::Await
        | Verb::Inbox
        | Verb::Tell
        | Verb::SayOutcome
        | Verb::IsCancelled => [false, false, false, false, true, false],
        Verb::Ask | Verb::AwaitAnswer | Verb::Withdraw => [false, false, false, true, true, false],
        Verb::Cancel => [true, false, false, true, true, false],
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
        | Verb::StopHost => [true, false, false, true, false, false],
    };
    for &verb in Verb::ALL {
        let actual = [
            allowed(&PERSON, verb, Some(TaskId(1))).is_ok(),
            allowed(&TERMINAL, verb, Some(TaskId(1))).is_ok(),
            allowed(&NOTIFICATION, verb, Some(TaskId(1))).is_ok(),
            allowed(&PEER, verb, Some(TaskId(1))).is_ok(),
            allowed(&TASK, verb, Some(TaskId(1))).is_ok(),
            allowed(&TASK, verb, Some(TaskId(2))).is_ok(),
        ];
        assert_eq!(actual, table(verb), "{verb:?}");
        assert!(allowed(&Actor::Host, verb, None).is_ok());
    }
}

#[test]
fn the_window_says_only_by_hand_what_is_a_persons() {
    let by_hand = |verb| Verb::needs_a_hand(verb).then_some(verb);
    let wanted = [
        Verb::Submit,
        Verb::SubmitMany,
        Verb::RunAgain,
        Verb::Edit,
        Verb::Retry,
        Verb::Remove,
        Verb::Answer,
        Verb::AddRule,
        Verb::RevokeRule,
        Verb::ConfirmLoosening,
        Verb::AllowNotificationApprovals,
    ];
    assert_eq!(Verb::ALL.iter().copied().filter_map(by_hand).collect::<Vec<_>>(), wanted);
    for &verb in Verb::ALL {
        let is_a_persons =
            allowed(&PERSON, verb, None).is_ok() && allowed(&PEER, verb, None).is_err();
        assert!(verb.needs_a_hand() || !is_a_persons, "{verb:?}");
    }
}

#[test]
fn a_peer_types_into_tasks_of_its_own_session_only() {
    let (own, other) = (SessionId("a".into()), SessionId("b".into()));
    let cases = [
        (PEER, Some(&own), Some(&own), false, true),
        (PEER, None, None, true, true),
        (PEER, None, None, false, false),
        (PEER, Some(&own), Some(&other), true, false),
        (PEER, None, Some(&other), true, false),
        (PEER, Some(&own), None, true, false),
        (PERSON, None, Some(&other), false, true),
        (PERSON, None, None, false, true),
        (TASK, Some(&own), Some(&own), true, false),
    ];
    for (actor, session, its, is_submitter, expected) in cases {
        let actual = may_type(&actor, TaskId(1), (session, its), is_submitter).is_ok();
        assert_eq!(actual, expected, "{actor:?} {session:?} {its:?} {is_submitter}");
    }
}

#[test]
fn nobody_but_a_person_answers() {
    for actor in [PEER, TASK] {
        assert_eq!(allowed(&actor, Verb::Answer, Some(TaskId(1))), Err(Refusal::AnswerIsForPeople));
    }
}
