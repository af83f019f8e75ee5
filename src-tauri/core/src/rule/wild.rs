//! Patterns with `*` and `?` on texts.

/// What a place of a pattern stands for, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Text,
    One,
    Is(char),
}

/// Returns what the pattern for a word stands for, place by place.
pub(super) fn signs(pattern: &str) -> Vec<Sign> {
    let mut rest = pattern.chars();
    let mut signs = Vec::new();
    while let Some(c) = rest.next() {
        let itself =
            rest.as_str().strip_prefix(['*', '?', '[']).and_then(|it| it.strip_prefix(']'));
        signs.push(match (c, itself) {
            ('[', Some(after)) => {
                let meant = rest.next().unwrap_or(c);
                rest = after.chars();
                Sign::Is(meant)
            }
            ('*', _) => Sign::Text,
            ('?', _) => Sign::One,
            (c, _) => Sign::Is(c),
        });
    }
    signs
}

/// Returns whether a pattern for one word matches it.
pub(super) fn word_matches(pattern: &str, word: &str) -> bool {
    if !pattern.contains(['*', '?', '[']) {
        return pattern == word;
    }
    let word: Vec<char> = word.chars().collect();
    wild(
        &signs(pattern),
        &word,
        |sign| *sign == Sign::Text,
        |sign, c| *sign == Sign::One || *sign == Sign::Is(*c),
    )
}

/// Matches a pattern with stars on a text, in time that grows with the product of their lengths.
pub(crate) fn wild<P, T>(
    pattern: &[P],
    text: &[T],
    is_star: impl Fn(&P) -> bool,
    is_same: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where the last star is, and how much of the text it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while read < text.len() {
        if pattern.get(at).is_some_and(&is_star) {
            star = Some((at, read));
            at += 1;
        } else if pattern.get(at).is_some_and(|pattern| is_same(pattern, &text[read])) {
            (at, read) = (at + 1, read + 1);
        } else if let Some((of_star, taken)) = star {
            star = Some((of_star, taken + 1));
            (at, read) = (of_star + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(is_star)
}
