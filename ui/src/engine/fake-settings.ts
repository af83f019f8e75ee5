/** What the person has set at the fake host, and what is in force there. */
import type { ConfigInForce, NotificationsBy, Reply } from './types';

export class FakeSettings {
  notification_approvals = false;
  notifications: NotificationsBy = {
    ...{ type: 'server', name: 'dunst', version: '1.9.0', actions: true },
  };
  config: ConfigInForce = {
    ...{ file: '/home/mika/.config/nod/config.toml', is_there: true, error: null },
    ...{ terminal_approvals: false, default_group: 'default', default_slots: 64, grace_ms: 5_000 },
  };

  list(): Reply {
    const { notification_approvals, notifications, config } = this;
    return { type: 'settings', notification_approvals, notifications, config };
  }
}
