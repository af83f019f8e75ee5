//! A question from the words and files of a command line.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use nod_client::new_operation;
use nod_core::protocol::Ask;
use nod_core::question::{DETAIL_LIMIT, DIFF_LIMIT, SCHEMA_LIMIT, Wants};
use serde_json::Value;

use super::Arguments;
use crate::duration;
use crate::failure::Failure;

/// Returns the question, refused here where no host would take it.
pub(super) fn of(arguments: Arguments) -> Result<Ask, Failure> {
    let wants = wants(&arguments)?;
    let read =
        |file: Option<&Path>, what, limit| file.map(|file| text_of(file, what, limit)).transpose();
    let ask = Ask {
        operation: new_operation()?,
        detail: read(arguments.detail_file.as_deref(), "the detail", DETAIL_LIMIT)?,
        diff: read(arguments.diff_file.as_deref(), "the diff", DIFF_LIMIT)?,
        question: arguments.question.unwrap_or_default(),
        wants,
        timeout_ms: arguments.timeout.map(duration::in_milliseconds),
        on_timeout: arguments.on_timeout.into(),
        remind_ms: arguments.remind.map(duration::in_milliseconds),
        resume: None,
    };
    ask.check()?;
    Ok(ask)
}

fn wants(arguments: &Arguments) -> Result<Wants, Failure> {
    let default = arguments.default.clone();
    if let Some(path) = &arguments.schema {
        let text = text_of(path, "the schema", SCHEMA_LIMIT)?;
        let schema = serde_json::from_str(&text)
            .map_err(|source| Failure::Json { path: path.clone(), source })?;
        return Ok(Wants::Form { schema, initial: Value::Null });
    }
    if arguments.text {
        return Ok(Wants::Text { default });
    }
    match (arguments.choice.as_slice(), default) {
        ([], None) => Ok(Wants::Approval),
        ([], Some(_)) => Err(Failure::Usage("--default goes with --choice or --text")),
        (choices, default) => Ok(Wants::Choice { choices: choices.to_vec(), default }),
    }
}

fn fits(what: &'static str, size: usize, limit: usize) -> Result<(), Failure> {
    if size > limit { Err(Failure::TooLong { what, size, limit }) } else { Ok(()) }
}

/// Returns the text in the file, which must be whole: a person decides by it.
fn text_of(path: &Path, what: &'static str, limit: usize) -> Result<String, Failure> {
    let failed = |source| Failure::Read { path: path.to_owned(), source };
    let stream: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut bytes = Vec::new();
    stream.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let length = if bytes.len() > limit { whole_length(path, limit) } else { bytes.len() };
    fits(what, length, limit)?;
    String::from_utf8(bytes).map_err(|error| Failure::NotUtf8 {
        what,
        shown: String::from_utf8_lossy(error.as_bytes()).chars().take(40).collect(),
    })
}

/// Returns how long a file is that was read only to the limit; at least one byte more than that.
fn whole_length(path: &Path, limit: usize) -> usize {
    let length = path.metadata().ok().and_then(|data| usize::try_from(data.len()).ok());
    length.unwrap_or(0).max(limit + 1)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use nod_core::question::{OnTimeout, QUESTION_LIMIT};
    use serde_json::json;

    use super::*;
    use crate::exit;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn asked(line: &[&str]) -> Result<Ask, u8> {
        let line = Line::try_parse_from(["ask"].iter().chain(line));
        let line = line.map_err(|_usage| exit::USAGE)?;
        of(line.arguments).map_err(|failure| failure.exit_code())
    }

    #[test]
    fn a_question_wants_what_its_options_say() {
        let folder = tempfile::tempdir().unwrap();
        let schema = folder.path().join("form.json");
        std::fs::write(&schema, r#"{"type":"object"}"#).unwrap();
        let form = Wants::Form { schema: json!({ "type": "object" }), initial: Value::Null };
        let choices = || ["eu", "us"].map(str::to_owned).to_vec();
        let cases: [(&[&str], Wants); 5] = [
            (&["Go?"], Wants::Approval),
            (
                &["Where?", "--choice", "eu", "--choice", "us"],
                Wants::Choice { choices: choices(), default: None },
            ),
            (
                &["Where?", "--choice", "eu", "--choice", "us", "--default", "us"],
                Wants::Choice { choices: choices(), default: Some("us".into()) },
            ),
            (&["Name?", "--text"], Wants::Text { default: None }),
            (&["How?", "--schema", schema.to_str().unwrap()], form),
        ];
        for (line, expected) in cases {
            assert_eq!(asked(line).unwrap().wants, expected, "{line:?}");
        }
        let line =
            ["Name?", "--text", "--default", "a", "--timeout", "1m", "--on-timeout", "default"];
        assert_eq!(asked(&line).unwrap().on_timeout, OnTimeout::Default);
    }

    #[test]
    fn what_no_host_would_take_is_refused_at_once() {
        let long = "x".repeat(QUESTION_LIMIT + 1);
        let cases: [&[&str]; 10] = [
            &[""],
            &[" \n"],
            &[&long],
            &["Go?", "--default", "yes"],
            &["Go?", "--timeout", "1m", "--on-timeout", "default"],
            &["Name?", "--text", "--default", "a", "--on-timeout", "default"],
            &["Where?", "--choice", "eu", "--text"],
            &["Where?", "--choice", "eu", "--default", "moon"],
            &["How?", "--schema", "/nowhere.json"],
            &["Go?", "--remind", "10ms"],
        ];
        for line in cases {
            assert_eq!(asked(line), Err(exit::USAGE), "{line:?}");
        }
    }

    #[test]
    fn a_detail_is_shown_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("detail");
        let write = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            text_of(&path, "the detail", DETAIL_LIMIT)
        };
        assert_eq!(write("計画".as_bytes()).unwrap(), "計画");
        assert_eq!(write(&[b'x'; DETAIL_LIMIT]).unwrap().len(), DETAIL_LIMIT);
        let too_long = write(&vec![b'x'; DETAIL_LIMIT + 9]).unwrap_err();
        assert!(matches!(too_long, Failure::TooLong { size, .. } if size == DETAIL_LIMIT + 9));
        assert!(matches!(write(b"\xff").unwrap_err(), Failure::NotUtf8 { .. }));
        let missing =
            text_of(&folder.path().join("missing"), "the detail", DETAIL_LIMIT).unwrap_err();
        assert_eq!(missing.exit_code(), exit::USAGE);
    }
}
