//! The rules and guards that hold in this host, for whoever has to look at them.

use std::sync::{Arc, PoisonError, RwLock};

use nod_core::guard::{Guards, Loosening, settled};
use nod_core::ids::Timestamp;
use nod_core::protocol::{KeptRule, RuleList};
use nod_core::rule::{Command, Rule, RuleId, Then, Verdict, verdict};

/// Everything that decides whether a command is asked about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RuleBook {
    /// Made in the window; they come first, the newest before the others.
    pub(crate) made: Vec<KeptRule>,
    /// What holds of the config file.
    pub(crate) held: Guards,
    /// What the config file says.
    pub(crate) wanted: Guards,
    pub(crate) loosening: Option<Loosening>,
    pub(crate) last: RuleId,
    /// Where the config file lies.
    pub(crate) config_file: String,
}

/// What is to happen to a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// The rule that asks, in words; nothing where it was to be asked about anyway.
    Asks(Option<String>),
    /// A rule lets pass what would have been asked about.
    Passes(String),
}

impl RuleBook {
    pub(crate) fn new(made: Vec<KeptRule>, last: RuleId, held: &Guards, wanted: Guards) -> Self {
        let (held, loosening) = settled(held, &wanted);
        Self { made, held, wanted, loosening, last, config_file: String::new() }
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.made.iter().map(|kept| &kept.rule).chain(&self.held.rules)
    }

    /// Returns whether any rule may ask about a command.
    pub(crate) fn may_ask(&self) -> bool {
        self.rules().any(|rule| rule.then == Then::AskFirst)
    }

    /// Returns what is to happen to a command; `asked` says that it is to be asked about by itself,
    /// for its kind's or its submitter's sake.
    pub(crate) fn gate(&self, command: Command<'_>, asked: bool, now: Timestamp) -> Gate {
        match verdict(self.rules(), command, now) {
            Verdict::Silent if asked => Gate::Asks(None),
            Verdict::Silent => Gate::Open,
            Verdict::Ask(rule) => Gate::Asks((!asked).then(|| rule.words())),
            Verdict::Pass(rule) => {
                let mut asking = self.rules().filter(|rule| rule.then == Then::AskFirst);
                if asked || asking.any(|rule| rule.matches(command, now)) {
                    Gate::Passes(rule.words())
                } else {
                    Gate::Open
                }
            }
        }
    }

    pub(crate) fn list(&self) -> RuleList {
        let of_file = |rule: &Rule| KeptRule {
            id: None,
            rule: rule.clone(),
            made_at: None,
            made_by: None,
            is_dropped: !self.wanted.rules.contains(rule),
        };
        RuleList {
            rules: self.made.iter().cloned().chain(self.held.rules.iter().map(of_file)).collect(),
            loosening: self.loosening.clone(),
            terminal_approvals: self.held.terminal_approvals,
            config_file: self.config_file.clone(),
        }
    }
}

/// The rule book that holds, as the dispatcher last stored it.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    book: Arc<RwLock<Arc<RuleBook>>>,
}

impl Board {
    pub(crate) fn new(book: RuleBook) -> Self {
        Self { book: Arc::new(RwLock::new(Arc::new(book))) }
    }

    pub(crate) fn book(&self) -> Arc<RuleBook> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn set(&self, book: Arc<RuleBook>) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = book;
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new(RuleBook::new(vec![], RuleId(0), &Guards::default(), Guards::default()))
    }
}
