//! Desktop notifications: a request, the end of a task, and a looser config file.
//!
//! One task of the runtime hears what happens; another one shows it, because
//! the desktop's notification server may take its time, and hears what is
//! pressed.

mod bus;
mod loosening;
mod notes;
mod screen;
mod wording;

use std::time::Instant;

use nod_core::access::Actor;
use nod_core::ids::RequestId;
use nod_core::protocol::{Call, Reply};
use nod_engine::Subscription;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use loosening::Loosenings;
use notes::Notes;
use screen::Screen;
use wording::{Askers, Notice, Question, Stalls, word};

pub(crate) use bus::who_is_it;

/// Brings the window to the front: at a question, or at what waits there.
pub(crate) type Review = Box<dyn Fn(Option<RequestId>) + Send + Sync>;

/// What the desktop is told.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Asked(RequestId, Question),
    /// A question that was answered before it can have been read.
    Again(RequestId, Question),
    /// A question that nobody need answer any more.
    Closed(RequestId),
    Ended(Notice),
    /// A task that seems to wait for somebody to type.
    Stalled(Notice),
    /// A change of the config file that waits for the person; nothing when none does any more.
    Looser(Option<Notice>),
    /// What was pressed came to nothing.
    Refused(Notice),
}

/// Shows what the events tell from now on, and does what is pressed.
pub(crate) fn begin(
    runtime: &Handle,
    events: Subscription,
    engine: nod_engine::Handle,
    review: Review,
) {
    let (sender, words) = unbounded_channel();
    let screen = Screen::new(runtime.clone(), engine.clone(), sender.clone(), review);
    runtime.spawn(show_all(words, screen));
    runtime.spawn(tell_all(sender, events, engine));
}

/// Hands on what is to be shown.
async fn tell_all(
    words: UnboundedSender<Word>,
    mut events: Subscription,
    engine: nod_engine::Handle,
) {
    let (mut stalls, mut askers) = (Stalls::default(), Askers::default());
    let mut loosenings = Loosenings::default();
    // Changed while no window was there to tell of it.
    let waits = match engine.call(&Actor::Host, Call::Rules).await {
        Ok(Reply::Rules(list)) => list.loosening,
        Ok(_) | Err(_) => None,
    };
    let mut looser = loosenings.waits(waits.as_ref(), Instant::now());
    loop {
        if let Some(word) = looser.take()
            && words.send(word).is_err()
        {
            return;
        }
        let event = tokio::select! {
            event = events.next() => event,
            () = until(loosenings.next()) => {
                looser = loosenings.again();
                continue;
            }
        };
        let Some(event) = event else { return };
        looser = loosenings.hear(&event.change, Instant::now());
        let asked = askers.is_news(&event.change).then(|| word(&event.change)).flatten();
        let told = [asked, stalls.word(&event.change)];
        if told.into_iter().flatten().any(|word| words.send(word).is_err()) {
            return;
        }
    }
}

/// Shows what is told at the pace of a reader.
async fn show_all(mut words: UnboundedReceiver<Word>, mut screen: Screen) {
    let mut notes = Notes::new(Instant::now());
    loop {
        let due = notes.wait(Instant::now()).and_then(|wait| Instant::now().checked_add(wait));
        let deed = tokio::select! {
            word = words.recv() => {
                let Some(word) = word else { return };
                notes.take(word, Instant::now())
            }
            heard = screen.hear() => {
                screen.heard(heard).await;
                None
            }
            () = until(due) => None,
        };
        for deed in deed.into_iter().chain(notes.sum(Instant::now())) {
            screen.carry_out(deed).await;
        }
    }
}

/// Waits until a time has come; without one, for ever.
async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
