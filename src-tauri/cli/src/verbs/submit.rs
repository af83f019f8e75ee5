//! `nod submit`: a new task, or many from a file.

mod from_file;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use nod_client::new_operation;
use nod_core::command::CommandLine;
use nod_core::environment::{Environment, without_leaks};
use nod_core::ids::{SessionId, TaskId};
use nod_core::protocol::{Call, KindUse, Reply, Submit};
use nod_core::task::{OutputMode, RunOptions};

use crate::failure::Failure;
use crate::host::Host;
use crate::scheduling::Scheduled;
use crate::text::fitted;
use crate::{bytes, duration, exit, output};

/// How much of a command the reply repeats, in columns: an agent has it already.
const LONGEST_QUOTE: usize = 120;

/// What is said of a task that a person is asked about first.
const AWAITS_APPROVAL: &str = "waiting for approval in the Nod window";

/// Run a command in the background
///
/// Prints one line of JSON with the number of the task and returns at once. A
/// single word is a line for the shell; several are run as they are.
#[derive(Args)]
pub(crate) struct Arguments {
    /// What to call the task
    #[arg(long)]
    label: Option<String>,
    /// The folder to run in [default: this one]
    #[arg(long, value_name = "FOLDER")]
    cwd: Option<PathBuf>,
    /// A variable for the task, added to those of this process; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Wait for a person's approval in the Nod window before the command starts
    #[arg(long)]
    ask_first: bool,
    /// End the task after this long, such as 90s, 10m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_positive,
          allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// The agent conversation that the result is for
    #[arg(long)]
    session: Option<String>,
    /// Let people type into the task, in the window or with `nod stdin`
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a pipe instead of a terminal
    #[arg(long, conflicts_with = "interactive")]
    no_tty: bool,
    /// Let the command write the log file itself: faster, but it can also overwrite it
    #[arg(long, conflicts_with_all = ["interactive", "no_tty"])]
    direct: bool,
    /// Leave alone what the command leaves running, such as daemons
    #[arg(long)]
    keep_children: bool,
    /// How long each signal of a cancel may take to work, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// How much of the disk the output may take, such as 10MiB; 0 for all of it
    #[arg(long, value_name = "SIZE", value_parser = bytes::parse)]
    log_limit: Option<u64>,
    #[command(flatten)]
    scheduled: Scheduled,
    /// A name of your own: while a task of this name and kind has not ended, it is returned
    /// instead of a new one
    #[arg(long)]
    key: Option<String>,
    /// A kind of the config file to make the task of
    #[arg(long)]
    kind: Option<String>,
    /// A value for the kind, which becomes one word of its command; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable, requires = "kind")]
    set: Vec<(String, String)>,
    /// Submit a task for each line of this file, a JSON object with the names of these options
    /// and `command`; `-` is the standard input
    #[arg(long, value_name = "FILE", exclusive = true)]
    from: Option<PathBuf>,
    /// The command and its arguments
    #[arg(
        required_unless_present_any = ["kind", "from"],
        trailing_var_arg = true,
        value_name = "COMMAND"
    )]
    command: Vec<OsString>,
}

impl Arguments {
    fn output(&self) -> OutputMode {
        output_mode(self.interactive, self.no_tty, self.direct)
    }

    fn options(&self) -> RunOptions {
        RunOptions {
            grace_ms: self.grace.map(duration::in_milliseconds),
            keep_children: self.keep_children,
            log_limit: self.log_limit,
        }
    }
}

fn output_mode(interactive: bool, no_tty: bool, direct: bool) -> OutputMode {
    match (interactive, no_tty, direct) {
        (true, _, _) => OutputMode::Interactive,
        (_, true, _) => OutputMode::Pipe,
        (_, _, true) => OutputMode::Direct,
        (false, false, false) => OutputMode::Terminal,
    }
}

pub(crate) fn run(arguments: Arguments) -> Result<u8, Failure> {
    if let Some(file) = &arguments.from {
        return from_file::run(file);
    }
    let submit = wanted(arguments)?;
    let message = message(&submit);
    let reply = Host::find()?.call_for_task(&Call::Submit(Box::new(submit)))?;
    let Reply::Submitted { id, known, gated, note } = reply else {
        return Err(Failure::unexpected(&reply));
    };
    output::maybe_note(note.as_deref());
    if known { there_already(id) } else { submitted(id, gated, &message) }
}

/// Returns what to say of a task that is taken in.
fn message(submit: &Submit) -> String {
    if submit.ask_first {
        return AWAITS_APPROVAL.to_owned();
    }
    match &submit.scheduling.kind {
        Some(kind) => format!("running kind {}", kind.name),
        None => format!("running `{}`", fitted(&submit.command.display(), LONGEST_QUOTE)),
    }
}

/// Returns what the arguments ask for.
fn wanted(arguments: Arguments) -> Result<Submit, Failure> {
    let (output, options) = (arguments.output(), arguments.options());
    let words = arguments.command;
    let command = match &arguments.kind {
        // They fill the place that the kind has for them.
        Some(_) => {
            let argv = words.into_iter().map(|word| utf8("a word of the command", word));
            CommandLine::Argv { argv: argv.collect::<Result<_, _>>()? }
        }
        None => command_line(words)?,
    };
    let mut scheduling = arguments.scheduled.scheduling()?;
    scheduling.key = arguments.key;
    scheduling.kind = arguments.kind.map(|name| KindUse {
        name,
        values: arguments.set.into_iter().collect::<BTreeMap<_, _>>(),
    });
    Ok(Submit {
        operation: new_operation()?,
        command,
        cwd: folder(arguments.cwd.as_deref().unwrap_or(Path::new(".")))?,
        environment: Some(own_environment()),
        extra_environment: arguments.env.into_iter().collect(),
        label: arguments.label,
        session: arguments.session.map(SessionId),
        output,
        options,
        timeout_ms: arguments.timeout.map(duration::in_milliseconds),
        ask_first: arguments.ask_first,
        scheduling,
    })
}

/// Prints that the task of this key is there already.
fn there_already(id: TaskId) -> Result<u8, Failure> {
    output::json(&serde_json::json!({
        "task_id": id,
        "status": "exists",
        "message": "a task with this key has not ended",
    }))?;
    Ok(exit::OK)
}

/// Prints that there is a new task.
pub(super) fn submitted(id: TaskId, gated: bool, message: &str) -> Result<u8, Failure> {
    let message = if gated { AWAITS_APPROVAL } else { message };
    output::json(&serde_json::json!({
        "task_id": id,
        "status": "submitted",
        "message": message,
    }))?;
    Ok(exit::OK)
}

pub(super) fn command_line(words: Vec<OsString>) -> Result<CommandLine, Failure> {
    let words = words.into_iter().map(|word| utf8("a word of the command", word));
    Ok(CommandLine::from_words(words.collect::<Result<_, _>>()?)?)
}

/// Returns the absolute path of `given`, which must be a folder.
pub(super) fn folder(given: impl AsRef<Path>) -> Result<String, Failure> {
    let given = given.as_ref();
    let failed = |source| Failure::Folder { path: given.to_owned(), source };
    let path = given.canonicalize().map_err(failed)?;
    if !path.metadata().map_err(failed)?.is_dir() {
        return Err(Failure::NotAFolder { path });
    }
    utf8("the folder to run in", path.into_os_string())
}

fn utf8(what: &'static str, text: OsString) -> Result<String, Failure> {
    text.into_string()
        .map_err(|text| Failure::NotUtf8 { what, shown: text.to_string_lossy().into_owned() })
}

/// Returns the variables of this process that may reach a task.
fn own_environment() -> Environment {
    let mut environment = Environment::new();
    for (name, value) in std::env::vars_os() {
        match (name.into_string(), value.into_string()) {
            (Ok(name), Ok(value)) => {
                environment.insert(name, value);
            }
            (Ok(name), Err(_)) => leave_out(&name),
            (Err(name), _) => leave_out(&name.to_string_lossy()),
        }
    }
    without_leaks(&environment)
}

fn leave_out(name: &str) {
    output::note(&format!("the variable {name} is not UTF-8; the task does not get it"));
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write a variable as NAME=VALUE"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn words(line: &[&str]) -> Result<Vec<OsString>, clap::Error> {
        let line = ["submit"].iter().chain(line);
        Line::try_parse_from(line).map(|line| line.arguments.command)
    }

    #[test]
    fn the_command_begins_at_its_first_word() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["--", "make", "-j4"], &["make", "-j4"]),
            (&["make", "-j4", "--label"], &["make", "-j4", "--label"]),
            (&["--label", "x", "--", "-odd"], &["-odd"]),
            (&["sh", "-c", "a -- b", "--", "c"], &["sh", "-c", "a -- b", "--", "c"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_slip_in_an_option_starts_nothing() {
        let cases: [&[&str]; 5] = [
            &[],
            &["--lable", "x", "--", "make"],
            &["--timeout", "soon", "--", "make"],
            &["--timeout", "0", "--", "make"],
            &["--env", "=x", "--", "make"],
        ];
        for line in cases {
            assert!(words(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_variable_may_hold_anything_after_its_name() {
        assert_eq!(variable("A=b=c"), Ok(("A".into(), "b=c".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        assert!(variable("A").is_err());
    }

    #[test]
    fn a_word_that_is_not_utf8_is_named() {
        let word = OsString::from_vec(b"caf\xe9".to_vec());
        let failure = command_line(vec!["echo".into(), word]).unwrap_err();
        assert_eq!(failure.exit_code(), exit::USAGE);
        assert!(failure.to_string().contains("caf\u{fffd}"), "{failure}");
    }

    #[test]
    fn a_folder_that_is_none_is_refused_before_a_host_is_asked() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, "").unwrap();
        for given in [file.as_path(), &place.path().join("missing")] {
            assert_eq!(folder(given).unwrap_err().exit_code(), exit::USAGE, "{given:?}");
        }
        let link = place.path().join("link");
        std::os::unix::fs::symlink(place.path(), &link).unwrap();
        let real = place.path().canonicalize().unwrap();
        assert_eq!(folder(&link).unwrap(), real.to_str().unwrap());
    }
}
