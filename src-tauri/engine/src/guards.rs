//! The rules and guards that hold in this host, for whoever has to look at them.

use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use nod_core::guard::{Guards, Loosening, settled};
use nod_core::ids::Timestamp;
use nod_core::protocol::{KeptRule, RuleList};
use nod_core::rule::{Command, Folders, Rule, RuleId, Then, Verdict, verdict};

use crate::store::KeptGuards;

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
    /// The person has Approve be a button of notifications.
    pub(crate) notification_approvals: bool,
    pub(crate) last: RuleId,
    /// Where the config file lies.
    pub(crate) config_file: String,
    /// Rules of which the audit says that their time is up.
    pub(crate) expired: BTreeSet<String>,
}

/// What is to happen to a new task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Gate {
    Open,
    /// Why, in words for the person; nothing where it was to be asked about anyway.
    Asks(Option<String>),
    /// A rule lets pass what would have been asked about.
    Passes(String),
}

impl RuleBook {
    pub(crate) fn new(made: Vec<KeptRule>, last: RuleId, held: &Guards, wanted: Guards) -> Self {
        let (held, loosening) = settled(held, &wanted);
        Self {
            made,
            held,
            wanted,
            loosening,
            notification_approvals: false,
            last,
            config_file: String::new(),
            expired: BTreeSet::new(),
        }
    }

    /// Returns what is kept of this for the next host.
    pub(crate) fn kept(&self) -> KeptGuards {
        KeptGuards { held: self.held.clone(), asked: self.loosening.clone() }
    }

    /// Returns when the time of a rule is up next, or was and the audit does not say so yet.
    pub(crate) fn next_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let coming = self.rules().filter_map(|rule| rule.expires_at).filter(|at| *at > now);
        coming.chain(self.over(now).map(|(at, _, _)| at)).min()
    }

    /// Returns the rules whose time is up and of which the audit does not say so yet, by their names
    /// there.
    pub(crate) fn over(&self, now: Timestamp) -> impl Iterator<Item = (Timestamp, String, &Rule)> {
        let made = self.made.iter().map(|kept| (kept.id, &kept.rule));
        let all = made.chain(self.held.rules.iter().map(|rule| (None, rule)));
        let over = all.filter_map(move |(id, rule)| {
            let at = rule.expires_at.filter(|at| *at <= now)?;
            Some((at, serde_json::json!([id, rule]).to_string(), rule))
        });
        over.filter(|(_, name, _)| !self.expired.contains(name))
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
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
            Verdict::Ask(rule) => {
                Gate::Asks((!asked).then(|| format!("A rule asks first: {}", rule.words())))
            }
            Verdict::Pass { rule, instead } if instead || asked => Gate::Passes(rule.words()),
            Verdict::Pass { .. } => Gate::Open,
        }
    }

    /// Returns whether any task may be asked about that does not want it itself.
    pub(crate) fn may_gate(&self) -> bool {
        self.may_ask() || !self.held.gated_kinds.is_empty()
    }

    pub(crate) fn list(&self, folders: &Folders) -> RuleList {
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
            notes: self.rules().flat_map(|rule| notes_on(rule, folders)).collect(),
        }
    }
}

/// Returns what does not hold of a rule though it looks so.
fn notes_on(rule: &Rule, folders: &Folders) -> Vec<String> {
    let words = rule.words();
    let mut notes = Vec::new();
    if let Some(folder) = &rule.folder {
        match (folders.get(folder), rule.then) {
            (None, _) => notes.push(format!("{words}: there is no folder {folder}")),
            (Some(real), Then::NeedNotAsk) if real != folder.trim_end_matches('/') => {
                notes.push(format!("{words}: what lets pass follows no link, name {real}"));
            }
            (Some(_), Then::NeedNotAsk | Then::AskFirst) => {}
        }
    }
    if let Err(error) = rule.check() {
        notes.push(format!("{words}: lets nothing pass, {error}"));
    }
    notes
}

/// Returns what the folders of rules are without links and dots.
pub(crate) fn real_folders<'a>(rules: impl Iterator<Item = &'a Rule>) -> Folders {
    let real = rules.filter_map(|rule| rule.folder.as_ref()).filter_map(|folder| {
        let real = fs::canonicalize(folder).ok()?.into_os_string().into_string().ok()?;
        Some((folder.clone(), real))
    });
    real.collect()
}

/// The rule book that holds, as the dispatcher last stored it.
#[derive(Debug, Clone)]
pub(crate) struct Board {
    posted: Arc<RwLock<Posted>>,
    /// Held for a look, so that what was seen later is not overwritten by what was seen before.
    looking: Arc<Mutex<()>>,
}

/// A rule book, and where the folders of its rules lie. One without the other would let a rule be missed.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) book: Arc<RuleBook>,
    pub(crate) folders: Arc<Folders>,
}

impl Posted {
    pub(crate) fn new(book: Arc<RuleBook>) -> Self {
        let folders = Arc::new(real_folders(book.rules()));
        Self { book, folders }
    }
}

impl Board {
    pub(crate) fn new(book: RuleBook) -> Self {
        let posted = Posted::new(Arc::new(book));
        Self { posted: Arc::new(RwLock::new(posted)), looking: Arc::default() }
    }

    pub(crate) fn book(&self) -> Arc<RuleBook> {
        self.posted().book
    }

    pub(crate) fn set(&self, posted: Posted) {
        *self.posted.write().unwrap_or_else(PoisonError::into_inner) = posted;
    }

    /// Looks where the folders of the rules lie now. Beside the dispatcher, which waits for no disk.
    pub(crate) fn look(&self) {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = Posted::new(self.book());
        let mut posted = self.posted.write().unwrap_or_else(PoisonError::into_inner);
        // A book that came meanwhile came with its folders.
        if Arc::ptr_eq(&posted.book, &seen.book) {
            *posted = seen;
        }
    }

    pub(crate) fn posted(&self) -> Posted {
        self.posted.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Board {
    fn default() -> Self {
        Self::new(RuleBook::new(vec![], RuleId(0), &Guards::default(), Guards::default()))
    }
}
