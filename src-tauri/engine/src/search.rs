//! Looking for text in the output of tasks, with ripgrep's searcher.
//!
//! Logs are read as people saw them: without escape sequences, each drawing of a line as a line of
//! its own. A call looks through so much at the most, and says where to go on.

mod text;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use grep_matcher::Matcher as _;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder, Sink, SinkMatch};
use nod_core::ids::{AttemptNumber, TaskId};
use nod_core::protocol::{LogMatch, LogMatches, LogPlace, LogQuery};

use crate::error::EngineError;
use text::{Places, Text};

/// How many lines one call returns, if it does not say.
const LIMIT: u32 = 100;
const MOST: u32 = 500;
/// How much one call looks through.
const BYTES: u64 = 256 * 1024 * 1024;
const LOGS: usize = 2_000;
/// How many logs are looked up at once.
const BATCH: u32 = 200;
/// How much of a long line is shown around a match, in bytes.
const SHOWN: usize = 400;

pub(crate) struct Search {
    matcher: RegexMatcher,
    after: Option<LogPlace>,
    limit: usize,
}

type Log = (TaskId, AttemptNumber, String);

impl Search {
    pub(crate) fn new(query: &LogQuery) -> Result<Self, EngineError> {
        if query.text.is_empty() {
            return Err(EngineError::Bad("there is nothing to look for: give a text"));
        }
        if !query.regex && query.text.contains('\n') {
            return Err(EngineError::Bad(
                "a text is looked for within a line: leave the line end out",
            ));
        }
        let mut builder = RegexMatcherBuilder::new();
        builder.case_smart(true).fixed_strings(!query.regex).line_terminator(Some(b'\n'));
        let matcher = builder.build(&query.text).map_err(|error| EngineError::Pattern {
            text: query.text.clone(),
            why: error.to_string(),
        })?;
        let limit = query.limit.unwrap_or(LIMIT).clamp(1, MOST) as usize;
        Ok(Self { matcher, after: query.after, limit })
    }

    /// Looks through the logs that `list` returns from an attempt on, newest first; `path` says
    /// where one is.
    pub(crate) fn run(
        &self,
        list: impl Fn((TaskId, AttemptNumber), u32) -> Result<Vec<Log>, EngineError>,
        path: impl Fn(&str) -> PathBuf,
    ) -> Result<LogMatches, EngineError> {
        let last = LogPlace { task: TaskId(i64::MAX), attempt: AttemptNumber(u32::MAX), offset: 0 };
        let mut place = self.after.unwrap_or(last);
        let mut page = Page { matches: Vec::new(), limit: self.limit, bytes: BYTES };
        let mut logs = 0;
        loop {
            let batch = list((place.task, place.attempt), BATCH)?;
            for (task, attempt, folder) in &batch {
                let is_same = (*task, *attempt) == (place.task, place.attempt);
                let offset = if is_same { place.offset } else { 0 };
                place = LogPlace { task: *task, attempt: *attempt, offset };
                logs += 1;
                if logs > LOGS || page.is_full() {
                    return Ok(LogMatches { matches: page.matches, next: Some(place) });
                }
                let stopped = self.look(&path(folder), place, &mut page);
                let stopped = stopped.map_err(|source| EngineError::Log { id: *task, source })?;
                if let Some(offset) = stopped {
                    let next = Some(LogPlace { offset, ..place });
                    return Ok(LogMatches { matches: page.matches, next });
                }
            }
            // The whole of the last one was looked through.
            place.offset = u64::MAX;
            if batch.len() < BATCH as usize {
                return Ok(LogMatches { matches: page.matches, next: None });
            }
        }
    }

    /// Looks through one log, and returns where it stopped before the end.
    fn look(
        &self,
        path: &std::path::Path,
        from: LogPlace,
        page: &mut Page,
    ) -> io::Result<Option<u64>> {
        let file = match File::open(path) {
            Ok(file) => file,
            // It never started, or its log was pruned.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let places = Places::default();
        let mut text = Text::new(file, from.offset, page.bytes, places.clone());
        let mut searcher = SearcherBuilder::new()
            .line_number(false)
            .binary_detection(BinaryDetection::none())
            .build();
        let matcher = &self.matcher;
        let mut lines = Lines { page, matcher, places, place: from, stopped: None };
        searcher.search_reader(matcher, &mut text, &mut lines)?;
        let stopped = lines.stopped.or_else(|| text.stopped());
        page.bytes = page.bytes.saturating_sub(text.passed());
        Ok(stopped)
    }
}

/// What one call returns, and how much it may still do.
struct Page {
    matches: Vec<LogMatch>,
    limit: usize,
    bytes: u64,
}

impl Page {
    fn is_full(&self) -> bool {
        self.matches.len() >= self.limit || self.bytes == 0
    }
}

/// Takes in the lines that are found in one log.
struct Lines<'a> {
    page: &'a mut Page,
    matcher: &'a RegexMatcher,
    places: Places,
    place: LogPlace,
    stopped: Option<u64>,
}

impl Sink for Lines<'_> {
    type Error = io::Error;

    fn matched(&mut self, _: &Searcher, found: &SinkMatch<'_>) -> Result<bool, io::Error> {
        let offset = self.places.of(found.absolute_byte_offset());
        if self.page.is_full() {
            self.stopped = Some(offset);
            return Ok(false);
        }
        let place = LogPlace { offset, ..self.place };
        let text = self.shown(found.bytes());
        self.page.matches.push(LogMatch { place, text });
        Ok(true)
    }
}

impl Lines<'_> {
    /// Returns a line, or as much of it as is around the first match.
    fn shown(&self, line: &[u8]) -> String {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if line.len() <= SHOWN {
            return String::from_utf8_lossy(line).into_owned();
        }
        let at = self.matcher.find(line).ok().flatten().map_or(0, |found| found.start());
        let start = at.saturating_sub(SHOWN / 2).min(line.len() - SHOWN);
        let part = String::from_utf8_lossy(&line[start..start + SHOWN]);
        let part = part.trim_matches('\u{fffd}');
        let ends = [start > 0, start + SHOWN < line.len()].map(|cut| if cut { "…" } else { "" });
        format!("{}{part}{}", ends[0], ends[1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches logs of tasks 1, 2 …, page by page, and returns task, offset and text.
    fn search(logs: &[&[u8]], query: &LogQuery) -> Vec<(i64, u64, String)> {
        let folder = tempfile::tempdir().unwrap();
        for (index, log) in logs.iter().enumerate() {
            std::fs::write(folder.path().join((index + 1).to_string()), log).unwrap();
        }
        let list = |from: (TaskId, AttemptNumber), limit: u32| {
            let ids = (1..=logs.len() as i64).rev().filter(|id| (*id, 1) <= (from.0.0, from.1.0));
            let log = |id: i64| (TaskId(id), AttemptNumber::FIRST, id.to_string());
            Ok(ids.take(limit as usize).map(log).collect())
        };
        let (mut found, mut query) = (Vec::new(), query.clone());
        loop {
            let page = Search::new(&query).unwrap();
            let page = page.run(list, |name| folder.path().join(name)).unwrap();
            let row = |it: LogMatch| (it.place.task.0, it.place.offset, it.text);
            found.extend(page.matches.into_iter().map(row));
            query.after = page.next;
            if query.after.is_none() {
                return found;
            }
        }
    }

    fn query(text: &str) -> LogQuery {
        LogQuery { text: text.to_owned(), ..LogQuery::default() }
    }

    fn places(found: &[(i64, u64, String)]) -> Vec<(i64, u64)> {
        found.iter().map(|(task, offset, _)| (*task, *offset)).collect()
    }

    #[test]
    fn lines_are_found_newest_task_first_with_their_offsets() {
        let logs: [&[u8]; 3] = [b"an error\nfine\nan ERROR\n", b"nothing\n", b"x\nerror"];
        let found = search(&logs, &query("error"));
        assert_eq!(places(&found), [(3, 2), (1, 0), (1, 14)]);
        assert_eq!(places(&search(&logs, &query("ERROR"))), [(1, 14)]);
        for limit in 1..4 {
            let paged = search(&logs, &LogQuery { limit: Some(limit), ..query("error") });
            assert_eq!(paged, found, "{limit} at a time");
        }
    }

    #[test]
    fn text_is_text_unless_it_is_said_to_be_a_pattern() {
        let logs: [&[u8]; 1] = [b"a.c\nabc\n"];
        assert_eq!(places(&search(&logs, &query("a.c"))), [(1, 0)]);
        let pattern = LogQuery { regex: true, ..query("^a.c$") };
        assert_eq!(places(&search(&logs, &pattern)), [(1, 0), (1, 4)]);
        let error = Search::new(&LogQuery { regex: true, ..query("(") }).err().unwrap();
        assert!(error.to_string().contains("no regular expression"), "{error}");
    }

    #[test]
    fn colours_redraws_zeroes_and_bytes_that_are_no_text_hide_nothing() {
        let log =
            b"\x1b[31merror\x1b[0m: no\r\n10%\rat 20%\r\n\xff\0needle\0\n\x1b]0;needle\x07x\n";
        let found = search(&[log], &query("error: no"));
        assert_eq!(found, [(1, 0, "error: no".to_owned())]);
        assert_eq!(places(&search(&[log], &query("at 20%"))), [(1, 24)]);
        assert_eq!(search(&[log], &query("needle")).len(), 1);
    }

    #[test]
    fn a_line_without_end_is_searched_in_parts_and_shown_around_the_match() {
        let mut log = vec![b'x'; 3_000_000];
        log[2_000_000..2_000_006].copy_from_slice(b"needle");
        let found = search(&[&log], &query("needle"));
        assert_eq!(found.len(), 1);
        assert!(found[0].2.contains("needle") && found[0].2.len() <= SHOWN + 6, "{}", found[0].2);
    }
}
