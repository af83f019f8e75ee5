//! Lines of bounded length from a stream.

use std::io::{self, BufRead};

/// What the next line turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A whole line is in the buffer, without its line end.
    Whole,
    /// The line has more bytes than the limit.
    TooLong,
    /// The stream ended, be it within a line.
    End,
}

/// Reads one line into `line`, which is cleared first; `limit` counts the line end.
pub(crate) fn read_line(
    stream: &mut impl BufRead,
    line: &mut Vec<u8>,
    limit: usize,
) -> io::Result<Line> {
    line.clear();
    loop {
        let available = match stream.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(Line::End);
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(available.len(), |end| end + 1);
        if line.len() + taken > limit {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(&available[..end.unwrap_or(taken)]);
        stream.consume(taken);
        if end.is_some() {
            return Ok(Line::Whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn a_line_is_read_whole_or_not_at_all() {
        let cases: [(&[u8], Line); 5] = [
            (b"1234567\n", Line::Whole),
            (b"\n", Line::Whole),
            (b"12345678\n", Line::TooLong),
            (b"123", Line::End),
            (b"", Line::End),
        ];
        for (bytes, expected) in cases {
            // A buffer smaller than the line: it arrives in pieces.
            let mut stream = BufReader::with_capacity(3, bytes);
            let read = read_line(&mut stream, &mut Vec::new(), 8).unwrap();
            assert_eq!(read, expected, "{bytes:?}");
        }
    }

    #[test]
    fn lines_that_arrive_together_are_read_one_by_one() {
        let mut stream: &[u8] = b"one\ntwo\n";
        let mut line = Vec::new();
        assert_eq!(read_line(&mut stream, &mut line, 100).unwrap(), Line::Whole);
        assert_eq!(line, b"one");
        assert_eq!(read_line(&mut stream, &mut line, 100).unwrap(), Line::Whole);
        assert_eq!(line, b"two");
    }
}
