//! The change of the config file that waits for the person: it is told of, and once more later.
//!
//! The notification can only bring the window to the front. What is confirmed
//! is confirmed there.

use std::time::{Duration, Instant};

use nod_core::guard::Loosening;
use nod_core::protocol::EventChange;

use super::Word;
use super::wording::{BODY_LIMIT, Notice, line};

/// How much later it is told of once more.
const AGAIN: Duration = Duration::from_secs(60 * 60);

/// What the person was told, and when to tell it once more.
#[derive(Debug, Default)]
pub(super) struct Loosenings {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    hash: String,
    notice: Notice,
    again: Option<Instant>,
}

impl Loosenings {
    pub(super) fn hear(&mut self, change: &EventChange, now: Instant) -> Option<Word> {
        let EventChange::Rules { loosening } = change else { return None };
        self.waits(loosening.as_ref(), now)
    }

    /// Takes in what waits to be confirmed.
    pub(super) fn waits(&mut self, loosening: Option<&Loosening>, now: Instant) -> Option<Word> {
        let Some(Loosening { hash, changes }) = loosening else {
            return self.told.take().map(|_told| Word::Looser(None));
        };
        if self.told.as_ref().is_some_and(|told| told.hash == *hash) {
            return None;
        }
        let body = format!("Until you confirm it, nothing changes: {}", changes.join(" · "));
        let title = "The config file was changed so that less is asked".to_owned();
        let notice = Notice { title, body: line(&body, BODY_LIMIT) };
        let again = now.checked_add(AGAIN);
        self.told = Some(Told { hash: hash.clone(), notice: notice.clone(), again });
        Some(Word::Looser(Some(notice)))
    }

    /// Returns when to tell it once more.
    pub(super) fn next(&self) -> Option<Instant> {
        self.told.as_ref()?.again
    }

    /// Returns what to tell once more.
    pub(super) fn again(&mut self) -> Option<Word> {
        let told = self.told.as_mut()?;
        told.again = None;
        Some(Word::Looser(Some(told.notice.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(hash: Option<&str>) -> EventChange {
        let changes = vec!["a rule is gone".to_owned()];
        let loosening = |hash: &str| Loosening { hash: hash.into(), changes: changes.clone() };
        EventChange::Rules { loosening: hash.map(loosening) }
    }

    #[test]
    fn each_change_is_told_of_once_and_once_more() {
        let (mut loosenings, now) = (Loosenings::default(), Instant::now());
        assert_eq!(loosenings.hear(&rules(None), now), None);
        let Some(Word::Looser(Some(notice))) = loosenings.hear(&rules(Some("a")), now) else {
            panic!("it is told of")
        };
        assert!(notice.body.ends_with("a rule is gone"), "{notice:?}");
        // As when a rule was made meanwhile.
        assert_eq!(loosenings.hear(&rules(Some("a")), now), None);
        assert_eq!(loosenings.next(), Some(now + AGAIN));
        assert_eq!(loosenings.again(), Some(Word::Looser(Some(notice))));
        assert_eq!(loosenings.next(), None);
        assert!(matches!(loosenings.hear(&rules(Some("b")), now), Some(Word::Looser(Some(_)))));
        assert_eq!(loosenings.hear(&rules(None), now), Some(Word::Looser(None)));
        assert_eq!((loosenings.next(), loosenings.again()), (None, None));
    }
}
