//! What the window can call. Here, and only here, a caller is a person.
#![expect(
    clippy::let_underscore_must_use,
    reason = "what tauri's macro makes of a command does it"
)]

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use nod_core::access::{Actor, Surface};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode, ErrorReply, Event, Reply};
use nod_engine::{Handle, Piece, Subscription};
use tauri::State;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::{Channel, InvokeResponseBody};

use crate::follows::Follows;

const PERSON: Actor = Actor::Person { surface: Surface::Window };

/// The engine as the window has it.
pub(crate) struct Window {
    handle: Handle,
    /// Sends events; a reloaded page begins a new one in its place.
    events: Mutex<Option<JoinHandle<()>>>,
    follows: Follows,
}

impl Window {
    pub(crate) fn new(handle: Handle) -> Self {
        Self { handle, events: Mutex::default(), follows: Follows::default() }
    }
}

/// Carries out any call of the protocol as the person at the window.
#[tauri::command]
pub(crate) async fn rpc(window: State<'_, Window>, call: Call) -> Result<Reply, ErrorReply> {
    window.handle.call(&PERSON, call).await
}

/// Begins to send events; the reply says which number came before the first.
#[tauri::command]
pub(crate) async fn events(
    window: State<'_, Window>,
    channel: Channel<Event>,
) -> Result<Reply, ErrorReply> {
    let (reply, subscription) = window.handle.subscribe(&PERSON)?;
    let sending = tauri::async_runtime::spawn(send_events(subscription, channel));
    let earlier = window.events.lock().unwrap_or_else(PoisonError::into_inner).replace(sending);
    if let Some(earlier) = earlier {
        earlier.abort();
    }
    Ok(reply)
}

async fn send_events(mut subscription: Subscription, channel: Channel<Event>) {
    while let Some(event) = subscription.next().await {
        if let Err(error) = channel.send(Arc::unwrap_or_clone(event)) {
            tracing::debug!("the window takes no more events: {error}");
            return;
        }
    }
}

/// Sends the output of a task's last try from `offset` on, each piece after its own offset in eight bytes; returns after its last byte, or when it is no longer wanted.
#[tauri::command]
pub(crate) async fn follow_log(
    window: State<'_, Window>,
    follow: u64,
    id: TaskId,
    offset: u64,
    channel: Channel<InvokeResponseBody>,
) -> Result<(), ErrorReply> {
    let mut log = window.handle.follow_log(&PERSON, id, (None, offset))?;
    let Some(mut stopped) = window.follows.begin(follow) else { return Ok(()) };
    let mut first = None;
    let followed = loop {
        tokio::select! {
            // An error says that its sender is gone, which is how a following is ended.
            _ = &mut stopped => break Ok(()),
            piece = log.next() => match piece {
                // The window asks anew for another try, on an empty screen.
                Ok(Some(Piece { attempt, .. })) if *first.get_or_insert(attempt) != attempt => {
                    break Ok(());
                }
                Ok(Some(Piece { offset, bytes, .. })) => {
                    let message = [&offset.to_le_bytes(), bytes.as_slice()].concat();
                    if let Err(error) = channel.send(InvokeResponseBody::Raw(message)) {
                        tracing::debug!("the window takes no more output: {error}");
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(unreadable(id, &error)),
            },
        }
    };
    window.follows.end(follow);
    followed
}

/// Ends a following that is no longer wanted.
#[tauri::command]
#[expect(clippy::needless_pass_by_value, reason = "tauri hands its state over by value")]
pub(crate) fn unfollow_log(window: State<'_, Window>, follow: u64) {
    window.follows.end(follow);
}

fn unreadable(id: TaskId, error: &io::Error) -> ErrorReply {
    ErrorReply::new(ErrorCode::Internal, format!("failed to read the output of task {id}: {error}"))
}
