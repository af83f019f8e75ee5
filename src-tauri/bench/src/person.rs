//! A host whose person approves everything: for the measure of an answer.
//!
//! Only here, and not in anything that is shipped, can a program answer.

use std::time::Duration;

use nod_client::new_operation;
use nod_core::access::{Actor, Surface};
use nod_core::protocol::{Call, EventChange, GiveAnswer, HostKind};
use nod_core::request::{Answer, Request};
use nod_engine::{Arming, Handle, Host, HostOptions, Programs};

use crate::output;
use crate::stamp::Moment;

const PERSON: Actor = Actor::Person { surface: Surface::Window };

/// How long a question stands before it is answered, so that its asking is over.
const READING: Duration = Duration::from_millis(15);

/// Serves until it is ended; prints the time before each answer.
pub(crate) fn answer_everything() -> anyhow::Result<()> {
    let mut host = Host::start(HostOptions {
        paths: nod_client::find_paths()?,
        programs: Programs::beside_this()?,
        kind: HostKind::Headless,
        show_window: None,
        identity: Default::default(),
        notification_server: None,
        arming: Arming::off(),
    })?;
    let mut events = host.take_events().expect("a new host has its events");
    output::say("ready");
    let handle = host.handle();
    host.runtime().block_on(async move {
        while let Some(event) = events.next().await {
            if let EventChange::Request { request } = &event.change
                && request.is_open()
            {
                approve(&handle, request).await?;
            }
        }
        Ok(())
    })
}

async fn approve(handle: &Handle, request: &Request) -> anyhow::Result<()> {
    tokio::time::sleep(READING).await;
    let answer = Call::Answer(GiveAnswer {
        operation: new_operation()?,
        request: request.id,
        answer: Answer::Approve,
        comment: None,
        shown: request.hash.clone(),
    });
    let before = Moment::now();
    handle.call(&PERSON, answer).await?;
    output::say(&before.text());
    Ok(())
}
