//! Who put the same question while it was open, and until when one card waits for all of them.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use super::Request;
use crate::access::Actor;
use crate::ids::Timestamp;

/// One more who put a question that was open already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct AlsoAsked {
    pub by: Actor,
    pub at: Timestamp,
    /// It went away before there was an answer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub gone: bool,
    /// By how much the card stays open for longer, so that this one has all of its own time, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "is_nothing")]
    #[ts(optional, as = "Option<u64>")]
    pub extends_ms: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives it so")]
fn is_nothing(milliseconds: &u64) -> bool {
    *milliseconds == 0
}

/// How far the ends of two questions on one card may lie apart: this part of the time of the later.
const APART: u64 = 100;

/// How much longer a card stays open because others ask the same, in milliseconds, at the most. Who
/// asks takes a host for silent that says nothing five seconds after the time is up.
const LONGER_MS: u64 = 3_000;

impl Request {
    /// Returns by how much this card has to stay open for longer, in milliseconds, so that one more
    /// who asks the same now has all of its own time. Nothing where they would end too far apart
    /// for one card: nobody waits noticeably longer than it said because others ask as well.
    #[must_use]
    pub fn extension(&self, timeout_ms: Option<u64>, now: Timestamp) -> Option<u64> {
        let (end, timeout) = match (self.expires_at, timeout_ms) {
            (None, None) => return Some(0),
            (Some(end), Some(timeout)) => (end, timeout),
            (Some(_), None) | (None, Some(_)) => return None,
        };
        let extended: u64 = self.also_asked_by.iter().map(|one| one.extends_ms).sum();
        let first = end.moved(-i64::try_from(extended).unwrap_or(i64::MAX));
        let own = now.plus(timeout);
        let apart = own.since(first).max(first.since(own));
        let is_alike = apart <= timeout / APART && own.since(first) <= LONGER_MS;
        is_alike.then(|| own.since(end))
    }
}

/// Returns the words for those who asked the same, such as `task 3, 2 times`; nothing where there
/// are none.
#[must_use]
pub fn also_asked_words(also: &[AlsoAsked]) -> Option<String> {
    let mut counted: Vec<(&Actor, bool, usize)> = Vec::new();
    for one in also {
        match counted.iter_mut().find(|(by, gone, _)| *by == &one.by && *gone == one.gone) {
            Some((_, _, times)) => *times += 1,
            None => counted.push((&one.by, one.gone, 1)),
        }
    }
    let words = |(by, gone, times): (&Actor, bool, usize)| {
        let times = (times > 1).then(|| format!("{times} times"));
        let parts = [Some(by.words()), times, gone.then(|| "who asks no longer".to_owned())];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    (!counted.is_empty()).then(|| counted.into_iter().map(words).collect::<Vec<_>>().join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::tests::request;
    use super::*;
    use crate::ids::TaskId;

    #[test]
    fn all_who_asked_the_same_are_named_and_counted() {
        let one = |by, gone| AlsoAsked { by, at: Timestamp(1), gone, extends_ms: 0 };
        let task = || Actor::Task { id: TaskId(3), attempt: None };
        let program = |pid| Actor::Peer { uid: 1000, pid };
        let also = [
            one(task(), false),
            one(program(7), false),
            one(task(), false),
            one(task(), true),
            one(program(8), true),
        ];
        let words = "task 3, 2 times; the command line (process 7); task 3, who asks no longer; \
                     the command line (process 8), who asks no longer";
        assert_eq!(also_asked_words(&also).as_deref(), Some(words));
        assert_eq!(also_asked_words(&[]), None);
    }

    #[test]
    fn one_card_never_shortens_the_time_of_any_asker_and_hardly_lengthens_it() {
        let mut card = request();
        card.expires_at = Some(Timestamp(100_000));
        let now = Timestamp(0);
        assert_eq!(card.extension(None, now), None);
        // Its own end lies so far before or behind that of the card.
        let cases = [
            (98_900, None),
            (99_100, Some(0)),
            (100_000, Some(0)),
            (100_900, Some(900)),
            (101_100, None),
        ];
        for (timeout, expected) in cases {
            assert_eq!(card.extension(Some(timeout), now), expected, "{timeout}");
        }
        // Those who come one after the other do not draw it out.
        let one = AlsoAsked {
            by: Actor::Task { id: TaskId(3), attempt: None },
            at: now,
            gone: false,
            extends_ms: 900,
        };
        card.also_asked_by = vec![one];
        card.expires_at = Some(Timestamp(100_900));
        assert_eq!(card.extension(Some(101_000), now), Some(100));
        assert_eq!(card.extension(Some(101_800), now), None);
        // However long they have.
        card.also_asked_by = vec![];
        card.expires_at = Some(Timestamp(3_600_000));
        for (timeout, expected) in
            [(3_603_000, Some(3_000)), (3_603_001, None), (3_590_000, Some(0))]
        {
            assert_eq!(card.extension(Some(timeout), now), expected, "{timeout}");
        }
        card.expires_at = None;
        assert_eq!((card.extension(None, now), card.extension(Some(1), now)), (Some(0), None));
    }
}
