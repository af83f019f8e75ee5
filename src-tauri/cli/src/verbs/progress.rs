//! `nod progress`: how far the calling task is.

use std::time::Duration;

use clap::Args;
use nod_client::ClientError;
use nod_core::protocol::{Call, Reply, ReportProgress};

use crate::failure::Failure;
use crate::host::Host;
use crate::{exit, output};

/// A task is not held up for longer than this by a host that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Say how far this task is (inside a task only)
///
/// A host that cannot be reached is no failure: progress is lost then, and the
/// task goes on.
#[derive(Args)]
#[command(override_usage = "nod progress <PERCENT> [MESSAGE]...\n       \
                            nod progress --total <N> --done <N> [MESSAGE]...\n       \
                            nod progress --indeterminate [MESSAGE]...")]
pub(crate) struct Arguments {
    /// The task works without knowing how much is left
    #[arg(long, conflicts_with_all = ["total", "done"])]
    indeterminate: bool,
    /// How many steps there are
    #[arg(long, value_name = "N", requires = "done")]
    total: Option<f64>,
    /// How many of them are done
    #[arg(long, value_name = "N", requires = "total")]
    done: Option<f64>,
    /// What this part of the work is called; with another name the bar begins anew
    #[arg(long, value_name = "NAME")]
    phase: Option<String>,
    /// A number from 0 to 100 (what is beyond is taken for the nearest of them, and 100 is shown
    /// once the task has succeeded), then what the task is doing
    #[arg(value_name = "WORDS", allow_negative_numbers = true)]
    words: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<u8, Failure> {
    let call = Call::Progress(report(arguments)?);
    let door = Host::find()?.task("progress")?.door();
    let reply = door.open().and_then(|mut connection| {
        connection.set_timeout(Some(PATIENCE))?;
        connection.call(&call)
    });
    match reply {
        Ok(Reply::Done) => Ok(exit::OK),
        Ok(reply) => Err(Failure::unexpected(&reply)),
        Err(error) if error.is_passing() || matches!(error, ClientError::Silent { .. }) => {
            output::note(&format!("this progress is not shown: {error}"));
            Ok(exit::OK)
        }
        Err(error) => Err(error.into()),
    }
}

fn report(arguments: &Arguments) -> Result<ReportProgress, Failure> {
    let phase = arguments.phase.clone();
    if arguments.indeterminate {
        return Ok(ReportProgress { percent: None, message: message(&arguments.words), phase });
    }
    if let Some((total, done)) = arguments.total.zip(arguments.done) {
        let percent = Some(share(done, total)?);
        return Ok(ReportProgress { percent, message: message(&arguments.words), phase });
    }
    let Some((first, rest)) = arguments.words.split_first() else {
        return Err(Failure::Usage("give a percentage, or --indeterminate: nod progress 40"));
    };
    let percent = percent(first).ok_or(Failure::Usage(
        "the first word must be a percentage from 0 to 100, as in `nod progress 40 compiling`",
    ))?;
    Ok(ReportProgress { percent: Some(percent), message: message(rest), phase })
}

/// Returns how many percent of the steps are done.
fn share(done: f64, total: f64) -> Result<f64, Failure> {
    if total.is_finite() && done.is_finite() && total > 0.0 {
        return Ok(done / total * 100.0);
    }
    Err(Failure::Usage("--total must be more than 0: without a known number use --indeterminate"))
}

fn message(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(" "))
}

fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.strip_suffix('%').unwrap_or(text).parse().ok()?;
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn given(line: &[&str]) -> Option<(Option<f64>, Option<String>)> {
        let line = Line::try_parse_from(["progress"].iter().chain(line)).ok()?;
        report(&line.arguments).ok().map(|report| (report.percent, report.message))
    }

    #[test]
    fn a_report_is_a_percentage_and_words() {
        let cases: [(&[&str], _); 9] = [
            (&["40"], (Some(40.0), None)),
            (&["40%", "compiling"], (Some(40.0), Some("compiling"))),
            (&["12.5", "two", "words"], (Some(12.5), Some("two words"))),
            (&["-5"], (Some(-5.0), None)),
            (&["--total", "8", "--done", "2"], (Some(25.0), None)),
            (&["--done", "1", "--total", "4", "a.o"], (Some(25.0), Some("a.o"))),
            (&["--phase", "link", "5", "a.o"], (Some(5.0), Some("a.o"))),
            (&["--indeterminate"], (None, None)),
            (&["--indeterminate", "linking"], (None, Some("linking"))),
        ];
        for (line, (percent, message)) in cases {
            let expected = (percent, message.map(str::to_owned));
            assert_eq!(given(line), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn a_bad_number_is_refused() {
        for bad in ["half", "", "NaN", "inf", "1e999", "4 0"] {
            assert_eq!(given(&[bad]), None, "{bad}");
        }
        assert_eq!(given(&[]), None);
        for line in [&["--total", "0", "--done", "0"][..], &["--total", "5"], &["--done", "5"]] {
            assert_eq!(given(line), None, "{line:?}");
        }
    }
}
