//! What bash makes of `{a,b}` before it reads a word any further.

/// Signs of a word that were not quoted, from a part of Unicode that nothing else is written in.
pub(super) const OPEN: char = '\u{f8f3}';
pub(super) const COMMA: char = '\u{f8f4}';
pub(super) const CLOSE: char = '\u{f8f5}';

/// How many words one may become, and how long it may be, in bytes.
const WORDS_LIMIT: usize = 64;
const LENGTH_LIMIT: usize = 1_024;

/// Returns the words that a word stands for, in their order; nothing where they are too many.
pub(super) fn expanded(word: &str) -> Option<Vec<String>> {
    if !word.contains(OPEN) {
        return Some(vec![literal(word)]);
    }
    if word.len() > LENGTH_LIMIT {
        return None;
    }
    let mut done = Vec::new();
    let mut todo = vec![word.to_owned()];
    while let Some(word) = todo.pop() {
        match first_choice(&word) {
            None => done.push(literal(&word)),
            Some((before, choices, after)) => {
                // The first is looked at first.
                let whole = |choice: &String| format!("{before}{choice}{after}");
                todo.extend(choices.iter().rev().map(whole));
            }
        }
        if done.len() + todo.len() > WORDS_LIMIT {
            return None;
        }
    }
    Some(done)
}

/// Returns a word as it was written.
pub(super) fn literal(word: &str) -> String {
    word.replace(OPEN, "{").replace(COMMA, ",").replace(CLOSE, "}")
}

/// Returns the first braces that hold a choice: what is before them, the choices, what is behind.
fn first_choice(word: &str) -> Option<(&str, Vec<String>, &str)> {
    let mut first: Option<(usize, usize, Vec<String>)> = None;
    // Where each that is open begins, and its commas.
    let mut open: Vec<(usize, Vec<usize>)> = vec![];
    for (at, c) in word.char_indices() {
        match c {
            OPEN => open.push((at, vec![])),
            COMMA => open.iter_mut().last().into_iter().for_each(|(_, commas)| commas.push(at)),
            CLOSE => {
                let Some((start, commas)) = open.pop() else { continue };
                let inside = (start + OPEN.len_utf8(), at);
                if let Some(choices) = choices(word, inside, &commas)
                    && first.as_ref().is_none_or(|(earlier, ..)| start < *earlier)
                {
                    first = Some((start, at + CLOSE.len_utf8(), choices));
                }
            }
            _ => {}
        }
    }
    first.map(|(start, end, choices)| (&word[..start], choices, &word[end..]))
}

fn choices(word: &str, (start, end): (usize, usize), commas: &[usize]) -> Option<Vec<String>> {
    let inside = &word[start..end];
    if commas.is_empty() {
        // `{1..9}`, `{a..z..2}`: one of them is like any text.
        let is_range = inside.contains("..") && !inside.contains([OPEN, CLOSE]);
        return is_range.then(|| vec![super::ANY_TEXT.to_string()]);
    }
    let starts = [start].into_iter().chain(commas.iter().map(|at| at + COMMA.len_utf8()));
    let ends = commas.iter().copied().chain([end]);
    Some(starts.zip(ends).map(|(start, end)| word[start..end].to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_becomes_what_bash_makes_of_it() {
        let cases: [(&str, &[&str]); 9] = [
            ("{touch,a}", &["touch", "a"]),
            ("touc{h,}", &["touch", "touc"]),
            ("a{b,c{d,e}}f", &["abf", "acdf", "acef"]),
            ("{a,b}{c,d}", &["ac", "ad", "bc", "bd"]),
            ("{}", &["{}"]),
            ("{a}", &["{a}"]),
            ("{a,b", &["{a,b"]),
            ("{a{b,c}", &["{ab", "{ac"]),
            ("x{1..3}", &["x\u{f8f0}"]),
        ];
        for (word, expected) in cases {
            let marked: String = word
                .chars()
                .map(|c| match c {
                    '{' => OPEN,
                    ',' => COMMA,
                    '}' => CLOSE,
                    c => c,
                })
                .collect();
            assert_eq!(expanded(&marked).unwrap(), expected, "{word}");
        }
        assert_eq!(expanded(&format!("{OPEN}a{COMMA}b{CLOSE}").repeat(20)), None);
    }
}
