//! The change of the config file that waits for the person: it is told of, and once more later.
//!
//! The notification can only bring the window to the front. What is confirmed
//! is confirmed there.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures_lite::StreamExt as _;
use nod_core::guard::Loosening;
use nod_core::protocol::EventChange;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use zbus::zvariant::Value;

use super::{APP_NAME, BODY_LIMIT, ICON, Notice, escaped, line};

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

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Tell(Notice),
    /// Nothing waits any more.
    TakeBack,
}

impl Loosenings {
    pub(super) fn hear(&mut self, change: &EventChange, now: Instant) -> Option<Step> {
        let EventChange::Rules { loosening } = change else { return None };
        self.waits(loosening.as_ref(), now)
    }

    /// Takes in what waits to be confirmed.
    pub(super) fn waits(&mut self, loosening: Option<&Loosening>, now: Instant) -> Option<Step> {
        let Some(Loosening { hash, changes }) = loosening else {
            return self.told.take().map(|_told| Step::TakeBack);
        };
        if self.told.as_ref().is_some_and(|told| told.hash == *hash) {
            return None;
        }
        let body = format!("Until you confirm it, nothing changes: {}", changes.join(" · "));
        let title = "The config file was changed so that less is asked".to_owned();
        let notice = Notice { title, body: line(&body, BODY_LIMIT) };
        let again = now.checked_add(AGAIN);
        self.told = Some(Told { hash: hash.clone(), notice: notice.clone(), again });
        Some(Step::Tell(notice))
    }

    /// Returns when to tell it once more.
    pub(super) fn next(&self) -> Option<Instant> {
        self.told.as_ref()?.again
    }

    /// Returns what to tell once more.
    pub(super) fn again(&mut self) -> Option<Step> {
        let told = self.told.as_mut()?;
        told.again = None;
        Some(Step::Tell(told.notice.clone()))
    }
}

/// A notification that is there until this is dropped.
pub(super) struct Announcement {
    _open: oneshot::Sender<()>,
}

impl Announcement {
    /// Shows a notice; `review` is called when the person wants to see what it is about.
    pub(super) fn show(
        runtime: &Handle,
        notice: Notice,
        review: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        let (open, dropped) = oneshot::channel();
        runtime.spawn(async move {
            if let Err(error) = attend(&notice, dropped, review).await {
                tracing::warn!("failed to show a notification: {error}");
            }
        });
        Self { _open: open }
    }
}

/// The desktop's notification server. What it signals counts from the owner of its name alone.
#[zbus::proxy(
    interface = "org.freedesktop.Notifications",
    default_service = "org.freedesktop.Notifications",
    default_path = "/org/freedesktop/Notifications",
    gen_blocking = false
)]
trait Notifications {
    #[expect(clippy::too_many_arguments, reason = "the specification has as many")]
    fn notify(
        &self,
        app_name: &str,
        replaces_id: u32,
        app_icon: &str,
        summary: &str,
        body: &str,
        actions: &[&str],
        hints: HashMap<&str, Value<'_>>,
        expire_timeout: i32,
    ) -> zbus::Result<u32>;

    fn close_notification(&self, id: u32) -> zbus::Result<()>;

    fn get_capabilities(&self) -> zbus::Result<Vec<String>>;

    #[zbus(signal)]
    fn action_invoked(&self, id: u32, action_key: &str) -> zbus::Result<()>;

    #[zbus(signal)]
    fn notification_closed(&self, id: u32, reason: u32) -> zbus::Result<()>;
}

/// Shows a notice until it is dropped, closed or pressed.
async fn attend(
    notice: &Notice,
    mut dropped: oneshot::Receiver<()>,
    review: impl Fn(),
) -> zbus::Result<()> {
    let connection = zbus::Connection::session().await?;
    let server = NotificationsProxy::new(&connection).await?;
    // Listened to before there is anything to press.
    let mut presses = server.receive_action_invoked().await?;
    let mut closings = server.receive_notification_closed().await?;
    let own = show(&server, notice).await?;
    loop {
        tokio::select! {
            Some(press) = presses.next() => {
                if press.args()?.id == own {
                    review();
                }
            }
            Some(closing) = closings.next() => {
                if closing.args()?.id == own {
                    return Ok(());
                }
            }
            // An error says that it is over.
            _ = &mut dropped => return server.close_notification(own).await,
        }
    }
}

async fn show(server: &NotificationsProxy<'_>, notice: &Notice) -> zbus::Result<u32> {
    let capabilities = server.get_capabilities().await?;
    let knows_markup = capabilities.iter().any(|capability| capability == "body-markup");
    let body = if knows_markup { escaped(&notice.body) } else { notice.body.clone() };
    // A server without buttons takes a press on the notification itself.
    let actions = ["default", "Review", "review", "Review"];
    let critical = HashMap::from([("urgency", Value::U8(2))]);
    server.notify(APP_NAME, 0, ICON, &notice.title, &body, &actions, critical, -1).await
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
        let Some(Step::Tell(notice)) = loosenings.hear(&rules(Some("a")), now) else {
            panic!("it is told of")
        };
        assert!(notice.body.ends_with("a rule is gone"), "{notice:?}");
        // As when a rule was made meanwhile.
        assert_eq!(loosenings.hear(&rules(Some("a")), now), None);
        assert_eq!(loosenings.next(), Some(now + AGAIN));
        assert_eq!(loosenings.again(), Some(Step::Tell(notice)));
        assert_eq!(loosenings.next(), None);
        assert!(matches!(loosenings.hear(&rules(Some("b")), now), Some(Step::Tell(_))));
        assert_eq!(loosenings.hear(&rules(None), now), Some(Step::TakeBack));
        assert_eq!((loosenings.next(), loosenings.again()), (None, None));
    }
}
