//! Whether the last line of a silent task asks for input.
//!
//! A guess from the words that programs use. It is made only of a task that has printed nothing
//! for a while, and ends nothing: at worst a person looks once for nothing.

/// How far from its end a line is looked at, in characters.
const END: usize = 120;

/// Choices in brackets, as they stand at the end of a question.
const CHOICES: [&str; 11] = [
    "y/n",
    "yes/no",
    "y/n/a",
    "y/n/q",
    "y/n/c",
    "y/n/?",
    "y/i/n/o/d/z",
    "y",
    "n",
    "y/n/a/q",
    "yes/no/[fingerprint]",
];

/// What people are asked for with a colon behind it.
const WANTED: [&str; 9] =
    ["password", "passphrase", "username", "user name", "login", "pin", "token", "code", "otp"];

/// What is asked wherever in the line it stands.
const ANYWHERE: [&str; 8] = [
    "press any key",
    "press enter",
    "press return",
    "hit enter",
    "hit return",
    "hit any key",
    "[sudo] password for",
    "--more--",
];

/// Returns the last line of `output` that has anything to show; `output` has no escape sequences.
#[must_use]
pub fn last_line(output: &str) -> Option<&str> {
    output.rsplit(['\n', '\r']).map(str::trim).find(|line| !line.is_empty())
}

/// Returns whether a line looks like one that waits for an answer.
#[must_use]
pub fn asks(line: &str) -> bool {
    let line = line.trim().to_lowercase();
    let start = line.char_indices().rev().nth(END - 1).map_or(0, |(at, _)| at);
    let end = &line[start..];
    // A marker where the answer goes, or the answer that is taken when nothing is typed.
    let question = end.trim_end_matches(['>', ':', ' ', '›', '…']);
    ANYWHERE.iter().any(|words| end.contains(words))
        || offers_choice(question)
        || question.ends_with('?')
        || end.ends_with(':') && wants(question)
        || end.starts_with("? ") && start == 0
}

/// Returns whether the text ends with choices in brackets.
fn offers_choice(text: &str) -> bool {
    let text = text.trim_end_matches('?').trim_end();
    let Some(inside) = text.strip_suffix([')', ']']) else { return false };
    CHOICES.iter().any(|choice| {
        inside.strip_suffix(choice).is_some_and(|before| before.ends_with(['(', '[']))
    })
}

/// Returns whether the last words before a colon name something that is typed.
fn wants(text: &str) -> bool {
    // As in "Password for 'https://mika@example.org'".
    let text = text.split_once(" for ").map_or(text, |(before, _)| before);
    WANTED.iter().any(|word| {
        text.strip_suffix(word).is_some_and(|before| {
            before.is_empty() || before.ends_with(|c: char| !c.is_alphanumeric())
        })
    }) || text.starts_with("enter ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_an_answer_is_told_from_what_does_not() {
        let asking = [
            "Do you want to continue? [Y/n]",
            "Do you want to continue? [Y/n] ",
            "Overwrite?",
            "overwrite 'a.txt'? (y/n)",
            "Proceed (y/n)?",
            "replace out.log? [y]es, [n]o, [A]ll, [N]one, [r]ename: Continue?",
            "Are you sure you want to continue connecting (yes/no/[fingerprint])?",
            "Password:",
            "mika@example.org's password:",
            "[sudo] password for mika:",
            "Password for 'https://mika@example.org':",
            "Enter passphrase for key '/home/mika/.ssh/id_ed25519':",
            "Enter a name:",
            "Verification code:",
            "Press any key to continue . . .",
            "Press ENTER to go on",
            "Ok to proceed? (y)",
            "? Select a framework: ›",
            "--More--",
            "name of the module [demo]? >",
        ];
        let silent = [
            "",
            "Compiling nod-core v0.1.0",
            "Listening on http://localhost:8080",
            "error: password is wrong",
            "warning: 3 questions (see above)",
            "downloaded 12/40 files",
            "status:",
            "Done (y)ear end",
            "[INFO] step [3/7]",
            "wrote passwords.txt",
            "zip code: 12345",
        ];
        for line in asking {
            assert!(asks(line), "{line}");
        }
        for line in silent {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn the_last_line_is_the_last_with_something_in_it() {
        let cases = [
            ("a\nOverwrite? (y/n) ", Some("Overwrite? (y/n)")),
            ("a\r\nContinue?\r\n\r\n", Some("Continue?")),
            ("10%\r20%", Some("20%")),
            ("\n \r\n", None),
            ("", None),
        ];
        for (output, expected) in cases {
            assert_eq!(last_line(output), expected, "{output:?}");
        }
    }

    #[test]
    fn a_line_of_a_megabyte_is_looked_at_from_its_end() {
        assert!(asks(&format!("{} Continue?", "完".repeat(1 << 18))));
        assert!(!asks(&format!("Continue? {}", "x".repeat(1 << 18))));
    }
}
