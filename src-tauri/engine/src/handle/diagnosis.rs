//! How a host that runs finds itself.

use nod_core::protocol::{Check, Health, HostKind, Reply};

use super::Handle;

impl Handle {
    /// Returns what a person should know of the history, now and as it was found at the start.
    pub(super) fn findings(&self) -> Vec<String> {
        let found = self.inner.findings.iter().cloned();
        self.inner.data.loss().into_iter().chain(found).collect()
    }

    pub(super) fn diagnose(&self) -> Reply {
        let check = |name: &str, health, said| Check { name: name.to_owned(), health, said };
        let kind = match self.inner.kind {
            HostKind::Desktop => "the Nod app",
            HostKind::Headless => "a host without a window",
        };
        let (version, pid) = (&self.inner.identity.version, std::process::id());
        let mut checks =
            vec![check("host", Health::Good, format!("{kind} {version}, process {pid}"))];
        checks.extend(self.inner.data.loss().map(|loss| check("data", Health::Bad, loss)));
        checks.push(match self.refreshed_config().note() {
            None => check("configuration", Health::Good, "it is in force".to_owned()),
            Some(note) => check("configuration", Health::Bad, note),
        });
        if let Some(loosening) = &self.inner.rules.book().loosening {
            let waits = format!("waits to be confirmed: {}", loosening.changes.join("; "));
            checks.push(check("configuration", Health::Note, waits));
        }
        checks.push(match self.inner.notification_server.as_ref().map(|server| server()) {
            None => {
                let what = "they are shown while the Nod app is open";
                check("notifications", Health::Note, what.to_owned())
            }
            Some(Ok(server)) => {
                let said = format!("shown by {} {}", server.name, server.version);
                check("notifications", Health::Good, said)
            }
            Some(Err(error)) => check("notifications", Health::Bad, error),
        });
        let findings = self.inner.findings.iter().cloned();
        checks.extend(findings.map(|finding| check("at its start", Health::Note, finding)));
        Reply::Diagnosis { checks }
    }
}
