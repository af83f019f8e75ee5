//! What a task's environment says about the task and the way to its host.

use std::ffi::OsString;
use std::path::PathBuf;

use nod_core::ids::TaskId;

use crate::retrying::Door;

/// The task that this process is a part of.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskEnvironment {
    pub id: TaskId,
    pub socket: PathBuf,
    token: String,
}

impl TaskEnvironment {
    /// Returns the task that the variables of a process name; nothing outside of tasks.
    #[must_use]
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        let text = |name: &str| variable(name)?.into_string().ok().filter(|text| !text.is_empty());
        let id = TaskId(text("NOD_TASK_ID")?.parse().ok()?);
        let token = text("NOD_TOKEN")?;
        let socket = variable("NOD_SOCKET").filter(|path| !path.is_empty())?.into();
        Some(Self { id, socket, token })
    }

    /// Returns the way to the host on which this process speaks as the task.
    #[must_use]
    pub fn door(&self) -> Door {
        Door { socket: self.socket.clone(), token: Some(self.token.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [(&str, &str); 3] =
        [("NOD_TASK_ID", "42"), ("NOD_TOKEN", "secret"), ("NOD_SOCKET", "/run/nod/host.sock")];

    fn find(variables: &[(&str, &str)]) -> Option<TaskEnvironment> {
        TaskEnvironment::find(|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn a_task_is_known_by_three_variables() {
        let found = find(&WHOLE).unwrap();
        assert_eq!(found.id, TaskId(42));
        assert_eq!(found.door().token.as_deref(), Some("secret"));
    }

    #[test]
    fn without_one_of_them_there_is_no_task() {
        for missing in 0..WHOLE.len() {
            let mut variables = WHOLE.to_vec();
            let (name, _) = variables.remove(missing);
            assert!(find(&variables).is_none(), "without {name}");
            variables.push((name, ""));
            assert!(find(&variables).is_none(), "with an empty {name}");
        }
    }
}
