//! What the person has set, and what is in force beside it.

use std::path::Path;

use nod_core::access::Actor;
use nod_core::protocol::{ConfigInForce, NotificationsBy, Reply, Settings};

use super::Handle;
use crate::dispatcher::Change;
use crate::error::EngineError;

impl Handle {
    pub(super) async fn settings(&self, actor: &Actor) -> Result<Reply, EngineError> {
        // The server of notifications may take its time, and the file be another one by now.
        let settings = self.blocking(|handle| Ok(handle.settings_beside_groups())).await?;
        let Reply::Groups { groups, .. } = self.change(actor, Change::Groups).await? else {
            return Err(EngineError::Bad("the groups are not known"));
        };
        let name = &settings.config.default_group;
        let default_slots = groups.iter().find(|group| group.name == *name).map(|it| it.slots);
        let default_slots = default_slots.unwrap_or_default();
        let config = ConfigInForce { default_slots, ..settings.config };
        Ok(Reply::Settings(Settings { config, ..settings }))
    }

    fn settings_beside_groups(&self) -> Settings {
        let notifications = match self.inner.notification_server.as_ref().map(|ask| ask()) {
            None => NotificationsBy::Nobody,
            Some(Ok(server)) => NotificationsBy::Server(server),
            Some(Err(why)) => NotificationsBy::Missing { why },
        };
        let current = self.refreshed_config();
        let (config, book) = (&current.config, self.inner.rules.book());
        Settings {
            notification_approvals: book.notification_approvals,
            notifications,
            config: ConfigInForce {
                file: book.config_file.clone(),
                is_there: Path::new(&book.config_file).exists(),
                terminal_approvals: book.held.terminal_approvals && config.approvals.terminal,
                default_group: config.default_group().to_owned(),
                default_slots: 0,
                grace_ms: config.cancel.grace_ms,
                error: current.error,
            },
        }
    }
}
