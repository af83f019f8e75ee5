//! What the desktop is told, and what of it is put into one sentence: never more at once than
//! anybody reads, and nothing that stays behind when it is over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nod_core::ids::RequestId;

use super::Word;
use super::wording::{Notice, Question};

/// How many notifications are shown at once, and how soon one more is.
const BURST: u32 = 10;
const PACE: Duration = Duration::from_secs(1);

/// How many questions have a notification of their own: nobody reads more, and servers keep no more.
const OPEN_LIMIT: usize = 32;

/// What is to be done on the desktop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    /// Shows a question, in the place of its earlier notification where it has one.
    Ask(RequestId, Question),
    Close(RequestId),
    Tell(Notice),
    /// Shows what the questions without a notification come to, in the place of what was said of them
    /// before; nothing where there are none any more.
    Sum(Option<Notice>),
    /// Shows that the config file asks for less, in the place of what was said of that before.
    Looser(Option<Notice>),
}

/// What is shown, and what waits to be said in one sentence.
pub(super) struct Notes {
    asked: BTreeSet<RequestId>,
    /// Open questions that have no notification of their own.
    more: BTreeSet<RequestId>,
    /// How many of those were last said to be there, and when that may be said anew.
    said: usize,
    next: Instant,
    /// How many ends and stalls had none.
    untold: u64,
    /// What there is to say of the config file, as soon as it can be said.
    looser: Option<Notice>,
    /// When what was shown so far would have been shown at an even pace.
    until: Instant,
}

impl Notes {
    pub(super) fn new(now: Instant) -> Self {
        let (asked, more) = (BTreeSet::new(), BTreeSet::new());
        Self { asked, more, said: 0, next: now, untold: 0, looser: None, until: now }
    }

    /// Returns what follows from a word.
    pub(super) fn take(&mut self, word: Word, now: Instant) -> Option<Deed> {
        match word {
            // A reminder: it says nothing new, so it may as well not be seen.
            Word::Asked(id, question) if self.asked.contains(&id) => {
                self.is_free(now).then_some(Deed::Ask(id, question))
            }
            Word::Asked(id, question) => {
                if self.asked.len() < OPEN_LIMIT && self.is_free(now) {
                    self.more.remove(&id);
                    self.asked.insert(id);
                    return Some(Deed::Ask(id, question));
                }
                self.more.insert(id);
                None
            }
            // What the person did is told them at once.
            Word::Again(id, question) => {
                self.count(now);
                self.asked.contains(&id).then_some(Deed::Ask(id, question))
            }
            Word::Refused(notice) => {
                self.count(now);
                Some(Deed::Tell(notice))
            }
            Word::Closed(id) => {
                self.more.remove(&id);
                self.asked.remove(&id).then_some(Deed::Close(id))
            }
            Word::Ended(notice) | Word::Stalled(notice) => {
                if self.is_free(now) {
                    return Some(Deed::Tell(notice));
                }
                self.untold += 1;
                None
            }
            Word::Looser(Some(notice)) => {
                // One that waited is another change by now.
                self.looser = None;
                if self.is_free(now) {
                    return Some(Deed::Looser(Some(notice)));
                }
                self.looser = Some(notice);
                None
            }
            Word::Looser(None) => {
                self.looser = None;
                Some(Deed::Looser(None))
            }
        }
    }

    /// Returns what there is to say of those that had no notification, where it is time for it.
    pub(super) fn sum(&mut self, now: Instant) -> Option<Deed> {
        if self.looser.is_some() && self.is_free(now) {
            return self.looser.take().map(|notice| Deed::Looser(Some(notice)));
        }
        if self.untold > 0 && self.is_free(now) {
            let title = counted(std::mem::take(&mut self.untold), "more task");
            return Some(Deed::Tell(Notice { title, body: "Ended, or need input".to_owned() }));
        }
        if self.more.len() == self.said || now < self.next {
            return None;
        }
        self.next = now + PACE;
        self.said = self.more.len();
        Some(Deed::Sum((self.said > 0).then(|| {
            let title = counted(self.said as u64, "more question");
            Notice { title, body: "All of them wait in Nod's window".to_owned() }
        })))
    }

    /// Returns how long it is until there is more to say; nothing when there is nothing.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let waits = self.untold > 0 || self.looser.is_some();
        let told = waits.then(|| self.until.checked_sub(PACE * (BURST - 1))).flatten();
        let summed = (self.more.len() != self.said).then_some(self.next);
        let at = told.into_iter().chain(summed).min()?;
        Some(at.saturating_duration_since(now))
    }

    /// Counts one notification, where it does not come too soon.
    fn is_free(&mut self, now: Instant) -> bool {
        let until = self.until.max(now);
        let is_free = until.saturating_duration_since(now) < PACE * BURST;
        if is_free {
            self.count(now);
        }
        is_free
    }

    fn count(&mut self, now: Instant) {
        self.until = self.until.max(now) + PACE;
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(id: i64) -> Word {
        Word::Asked(RequestId(id), question())
    }

    fn question() -> Question {
        let (name, hash) = ("deploy".to_owned(), "hash".to_owned());
        Question { notice: notice("?"), name, hash, whole: None }
    }

    fn notice(title: &str) -> Notice {
        Notice { title: title.to_owned(), body: String::new() }
    }

    /// Does all that is due within so many seconds of nothing else.
    fn pass(notes: &mut Notes, now: &mut Instant, seconds: u64) -> Vec<Deed> {
        let end = *now + Duration::from_secs(seconds);
        let mut deeds = Vec::new();
        while let Some(wait) = notes.wait(*now).filter(|wait| *now + *wait <= end) {
            *now += wait;
            let deed = notes.sum(*now);
            assert!(deed.is_some(), "woken for nothing");
            deeds.extend(deed);
        }
        *now = end;
        deeds
    }

    #[test]
    fn a_flood_is_ten_notifications_and_one_that_counts() {
        let mut now = Instant::now();
        let mut notes = Notes::new(now);
        let mut deeds = Vec::new();
        for id in 1..=3_000 {
            deeds.extend(notes.take(asked(id), now));
            deeds.extend(notes.sum(now));
            now += Duration::from_millis(2);
        }
        deeds.extend(pass(&mut notes, &mut now, 5));
        let own = deeds.iter().filter(|deed| matches!(deed, Deed::Ask(..))).count();
        let sums: Vec<_> = deeds.iter().filter(|deed| matches!(deed, Deed::Sum(_))).collect();
        assert!((10..=17).contains(&own) && sums.len() <= 8, "{own} and {}", sums.len());
        let Some(Deed::Sum(Some(last))) = sums.last() else { panic!("{sums:?}") };
        assert_eq!(last.title, format!("{} more questions", 3_000 - own));
        // It goes with the last of them.
        let closed: Vec<_> =
            (1..=3_000).filter_map(|id| notes.take(Word::Closed(RequestId(id)), now)).collect();
        assert_eq!(closed.len(), own);
        assert_eq!(pass(&mut notes, &mut now, 5), [Deed::Sum(None)]);
        assert_eq!(notes.wait(now), None);
    }

    #[test]
    fn a_reminder_takes_the_place_of_what_is_there_and_keeps_the_pace() {
        let now = Instant::now();
        let mut notes = Notes::new(now);
        let deeds: Vec<_> = (0..100).filter_map(|_| notes.take(asked(1), now)).collect();
        assert_eq!(deeds, vec![Deed::Ask(RequestId(1), question()); 10]);
        assert_eq!(notes.wait(now), None);
        assert_eq!(notes.take(Word::Closed(RequestId(1)), now), Some(Deed::Close(RequestId(1))));
    }

    #[test]
    fn no_more_questions_have_their_own_than_can_be_taken_back() {
        let mut now = Instant::now();
        let mut notes = Notes::new(now);
        for id in 1..=40 {
            let own = notes.take(asked(id), now).is_some();
            assert_eq!(own, id <= 32, "{id}");
            now += PACE;
        }
        notes.take(Word::Closed(RequestId(1)), now);
        assert!(notes.take(asked(41), now).is_some());
    }

    #[test]
    fn a_looser_config_is_told_of_at_the_pace_of_the_others_and_never_left_out() {
        let mut now = Instant::now();
        let mut notes = Notes::new(now);
        let looser = |n: usize| Word::Looser(Some(notice(&format!("change {n}"))));
        let told = (0..100).filter_map(|n| notes.take(looser(n), now)).count();
        assert_eq!(told, 10);
        // Of those that waited the last one is what there is to say.
        assert_eq!(pass(&mut notes, &mut now, 5), [Deed::Looser(Some(notice("change 99")))]);
        while notes.take(looser(100), now).is_some() {}
        assert_eq!(notes.take(Word::Looser(None), now), Some(Deed::Looser(None)));
        assert_eq!(pass(&mut notes, &mut now, 20), []);
    }

    #[test]
    fn what_the_person_pressed_is_told_at_once() {
        let now = Instant::now();
        let mut notes = Notes::new(now);
        while notes.take(asked(1), now).is_some() {}
        let again = |id| Word::Again(RequestId(id), question());
        assert_eq!(notes.take(again(1), now), Some(Deed::Ask(RequestId(1), question())));
        assert_eq!(notes.take(again(2), now), None);
        let refused = Word::Refused(notice("Not denied"));
        assert_eq!(notes.take(refused, now), Some(Deed::Tell(notice("Not denied"))));
    }

    #[test]
    fn many_ends_are_told_in_one_sentence() {
        let mut now = Instant::now();
        let mut notes = Notes::new(now);
        let told = (0..60).filter_map(|_| notes.take(Word::Ended(notice("x")), now)).count();
        assert_eq!(told, 10);
        let deeds = pass(&mut notes, &mut now, 5);
        let [Deed::Tell(sentence)] = deeds.as_slice() else { panic!("{deeds:?}") };
        assert_eq!(sentence.title, "50 more tasks");
    }
}
