use proptest::prelude::*;

use super::*;

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn found(line: &str) -> Vec<Vec<String>> {
    let mut list = vec![];
    add_line(line, &mut list);
    list
}

const PUSH: [&str; 3] = ["git", "push", "--force"];

#[test]
fn a_line_is_read_as_a_shell_reads_it() {
    let cases: [(&str, &[&str]); 43] = [
        ("git push --force", &PUSH),
        ("git push \\\n --force", &PUSH),
        ("gi\\\nt push --force", &PUSH),
        ("true;git push --force", &PUSH),
        ("true&&git push --force||x", &PUSH),
        ("(git push --force)", &PUSH),
        ("{ git push --force; }", &["{", "git", "push", "--force"]),
        ("git 'push' --for\"ce\"", &PUSH),
        ("git push 2>&1 --force", &PUSH),
        ("git push >log.txt --force", &PUSH),
        ("git push &>log.txt --force <x 3<>y >|z {n}>w", &PUSH),
        ("git${IFS}push$IFS--force", &PUSH),
        ("gi$x\"$@\"t pu${y}sh $1 --force", &PUSH),
        ("${x:-git push --force}", &PUSH),
        ("echo $(git push --force)", &PUSH),
        ("echo \"a $(git push --force) b\"", &PUSH),
        ("echo `git push --force`", &PUSH),
        ("echo \"`echo \\`git push --force\\``\"", &PUSH),
        ("cat <(git push --force) x", &PUSH),
        ("cat <<E; git push --force\nit's\nE\n", &PUSH),
        ("cat <<E\nit's\nE\ngit push \\\n--force", &PUSH),
        ("sh <<-'E'\n\tgit push \\\n--force\n\tE\n", &PUSH),
        ("sh <<<'git push --force'", &PUSH),
        ("# it's\ngit push \\\n--force", &PUSH),
        ("bash -c \"sh -c 'git push --force'\"", &PUSH),
        ("eval \"git \\\"push\\\" --force\"", &PUSH),
        ("$'\\x67it' $'pu\\163h' $'--force'", &PUSH),
        ("git commit -m \"fix (foo); 2>1\" -n", &["git", "commit", "-m", "fix (foo); 2>1", "-n"]),
        ("case x in a) git push --force;; esac", &PUSH),
        ("git '' push", &["git", "", "push"]),
        ("git push --force 'open", &["git", "push", "--force", "open"]),
        ("x=$((1 << 2))\ngit push --force", &PUSH),
        ("{git,push,--force}", &PUSH),
        ("git {push,--force} >{a,b}", &PUSH),
        ("git pus{h,} --force", &["git", "push", "pus", "--force"]),
        ("git '{push,x}' --force", &["git", "{push,x}", "--force"]),
        ("find . -exec rm {} +", &["find", ".", "-exec", "rm", "{}", "+"]),
        ("$'gi\\x{74}' $'pu\\563h\\0x' $'--force\\c'", &["git", "push", "--force\u{1}"]),
        ("$'gi\\x{74}' $'pu\\563h\\0\\'x' --force", &PUSH),
        ("/bin/gi? \"p*\" p[tu]sh", &["/bin/gi\u{f8f1}", "p*", "p\u{f8f0}sh"]),
        ("[ -f x* ]", &["[", "-f", "x\u{f8f0}", "]"]),
        ("~me/x ~+/y a~b", &["\u{f8f0}/x", "\u{f8f0}/y", "a~b"]),
        ("x=\"*\" git push --force", &["x=*", "git", "push", "--force"]),
    ];
    for (line, expected) in cases {
        let found = found(line);
        assert!(found.contains(&owned(expected)), "{line:?}: {found:?}");
    }
}

#[test]
fn shells_differ_in_where_some_quotes_end() {
    // Quoted as a whole by bash, and a command of its own for others.
    let found = found("echo $'\\'; deploy now #'");
    assert!(found.contains(&owned(&["deploy", "now"])), "{found:?}");
}

#[test]
fn a_line_with_something_left_open_is_not_clear() {
    let cases: [(&[&str], bool); 12] = [
        (&["sh", "-c", "echo \"it's\""], true),
        (&["sh", "-c", "echo it's"], false),
        (&["/bin/bash", "-euo", "pipefail", "-c", "echo \"x"], false),
        (&["env", "A=b", "sh", "-lc", "echo $(x"], false),
        (&["sh", "-c", "echo ${x"], false),
        (&["sh", "-c", "echo `x"], false),
        (&["bash", "-c", "/usr/bin/@(touch|x) a"], false),
        (&["bash", "-c", "{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"], false),
        (&["bash", "-c", "f() (x); {a,b} *.o"], true),
        (&["git", "commit", "-m", "it's"], true),
        (&["sh", "script", "it's"], true),
        (&["bash", "-c", "echo $'it\\'s'"], true),
    ];
    for (argv, expected) in cases {
        assert_eq!(commands(&owned(argv)).is_clear, expected, "{argv:?}");
    }
}

fn finds_push(argv: &[&str]) -> bool {
    commands(&owned(argv)).list.iter().any(|words| words.ends_with(&owned(&PUSH)))
}

#[test]
fn env_splits_otherwise_than_a_shell() {
    let cases: [&[&str]; 29] = [
        &["env", "-Sgit push --force"],
        &["env", "--split-string=git push --force"],
        &["/usr/bin/env", "-vS'git' push", "--force"],
        &["env", "-Sgit", "push", "--force"],
        &["env", "--split-string=git", "push", "--force"],
        &["sudo", "env", "-S git push --force"],
        &["sh", "-c", "env -S'git push --force'"],
        &["sh", "-c", "/usr/bin/en? -S 'git push' --force"],
        &["env", "-S", "git\\_push\\_--force\\c x"],
        &["/usr/bin/env", "-iS", "git\\tpush --force"],
        &["env", "-Sgit\\_push\\_--force"],
        &["env", "--split-string=git\\vpush\\n--force"],
        // Words that follow belong to the last of those that are split.
        &["env", "-S", "git push", "--force"],
        &["env", "-S", "git", "push", "--force"],
        &["env", "-S", "git\\_push", "--force"],
        &["sh", "-c", "env -S 'git push' --force"],
        &["env", "-S", "A=b", "-S", "git push", "--force"],
        &["env", "A=b", "env", "-S", "git push", "--force"],
        // A long option can be cut as long as no other begins so.
        &["env", "--split=git push", "--force"],
        &["env", "--s", "git push", "--force"],
        // What is split may begin with options, and hold a line or another `env`.
        &["env", "-S", "-i -S 'git push'", "--force"],
        &["env", "-S", "env -S \"git push\"", "--force"],
        &["env", "-S", "sh\\_-c\\_\"git\\_push\\_--force\""],
        &["env", "-S", "sh -c 'env -S \"git push\" --force'"],
        // Only quotes and backslashes mean anything.
        &["env", "-S", "'git' \"push\" '--f'\"or\"ce # x"],
        &["env", "-S", "git ${x}push --force"],
        &["env", "-S", "${x} git push --force\\c; x"],
        &["env", "-S", "a;b git push --force"],
        &["env", "-S", "'\\'' git push --force"],
    ];
    for argv in cases {
        assert!(finds_push(argv), "{argv:?}");
    }
    let whole = ["git", "-c", "a.b=;", "push", "--force"];
    let found = commands(&owned(&["env", "-S", "git -c a.b=; push --force"])).list;
    assert!(found.iter().any(|words| words.ends_with(&owned(&whole))), "{found:?}");
    for argv in [&["env", "git", "commit", "-m", "push --force"][..], &["x", "-S", "git", "push"]] {
        assert!(!finds_push(argv), "{argv:?}");
    }
}

#[test]
fn what_is_too_much_to_be_read_is_not_clear() {
    let nested = "-S".repeat(1 << 12);
    assert!(!commands(&owned(&["env", &nested])).is_clear);
    assert!(commands(&owned(&["env", "-S", "git log"])).is_clear);
    let stuffed = |count: usize| {
        let letters = "-abcdefghijkl";
        let inner = format!("{letters}'{letters}\"x {}\"'", "y".repeat(count));
        commands(&owned(&["su", "-c", &format!("true {inner}; sh -c 'z'")])).is_clear
    };
    assert!(stuffed(1));
    assert!(!stuffed(10_000));
}

#[test]
fn a_line_in_one_word_with_its_option_is_found() {
    let cases: [&[&str]; 12] = [
        &["su", "-cgit push --force"],
        &["script", "-qqqqqqqqqqqqqqqqqcgit push --force"],
        &["script", "-aefqOITBtcgit push --force"],
        &["su", "--command=git push --force", "me"],
        &["script", "-qcgit push --force", "/dev/null"],
        &["script", "--command=git push --force"],
        &["flock", "f", "-cgit push --force"],
        &["flock", "--command=git push --force", "f"],
        &["tar", "-cf", "x", "--checkpoint-action=exec=git push --force"],
        &["sh", "-c", "su -c'git push --force'"],
        &["bash", "-c", "x=1; script -qc 'git push --force'"],
        &["sh", "-c", "sh -c \"su --command='git push --force'\""],
    ];
    for argv in cases {
        assert!(commands(&owned(argv)).list.contains(&owned(&PUSH)), "{argv:?}");
    }
}

#[test]
fn a_megabyte_of_anything_is_read_soon_and_without_a_stack() {
    for part in [
        "(",
        "-c -c",
        "-abcdefgh=",
        "$(",
        "\"$(",
        "${x:-",
        "`",
        "\\",
        "<<a ",
        "'\"'\" ",
        "a;",
        "{",
        "{a,",
        "[",
        "*",
    ] {
        let line = part.repeat((1 << 20) / part.len());
        commands(&owned(&["sh", "-c", &line]));
    }
}

#[test]
fn much_that_env_splits_is_read_soon() {
    for part in ["-S", "-Sa ", "\\ ", "${x", "env -S '"] {
        let times = (1 << 18) / part.len();
        let (text, many) = (part.repeat(times), vec![part.to_owned(); times]);
        commands(&owned(&["env", "-S", &text]));
        commands(&[owned(&["env"]), many].concat());
        commands(&owned(&["sh", "-c", &format!("env {};", "-S".repeat(1_000)).repeat(100)]));
    }
}

/// Signs of which lines are made, the shell's own more often than others.
fn lines() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => prop::sample::select(vec![
            " ", "\n", ";", "&", "|", "(", ")", "{", "}", "<", ">", "<<", "$", "$(", "${", "$'",
            "`", "\\", "\"", "'", "#", "\t", "IFS", ":-", "&>", "<<<",
        ]).prop_map(str::to_owned),
        2 => prop::sample::select(vec!["git", "push", "--force", "EOF", "1"]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(|c| c.to_string()),
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

/// Ways to write a word of a command.
fn written(word: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        Just(word.to_owned()),
        Just(format!("'{word}'")),
        Just(format!("\"{word}\"")),
        Just(format!("$'{word}'")),
        Just(format!("\\{word}")),
        Just(format!("{}\"{}\"", &word[..1], &word[1..])),
        Just(format!("{}\\\n{}", &word[..1], &word[1..])),
        Just(format!("{}${{none}}{}", &word[..1], &word[1..])),
    ]
}

/// What may stand between two words of a command.
fn between() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        " ",
        "  \t",
        " \\\n ",
        " 2>&1 ",
        " >'a; b' ",
        "${IFS}",
        " <in ",
        " &>log ",
        " $1 ",
        " $(x) ",
    ])
}

/// What may stand around a command, and ends before it and after it.
fn around() -> impl Strategy<Value = (&'static str, &'static str)> {
    prop::sample::select(vec![
        ("", ""),
        ("true;", ";x"),
        ("true&&", "|cat"),
        ("(", ")"),
        ("$(", ")"),
        ("echo \"it's $(", ")\""),
        ("cat <<E\nit's\nE\n", "\n"),
        ("# it's\n", " # \""),
        ("if true; then ", "\nfi"),
        ("echo 'a;' \"b)\"|", "&"),
    ])
}

proptest! {
    #[test]
    fn reading_never_panics_and_finds_what_the_rough_split_finds(line in lines()) {
        let found = commands(&owned(&["sh", "-c", &line]));
        for words in rough_split(&line) {
            prop_assert!(found.list.contains(&words));
        }
    }

    #[test]
    fn a_command_is_found_however_it_is_written(
        (git, push, force) in (written("git"), written("push"), written("--force")),
        (first, second) in (between(), between()),
        (before, after) in around(),
    ) {
        let line = format!("{before}{git}{first}{push}{second}{force}{after}");
        let is_it = |words: &Vec<String>| words.windows(3).any(|words| words == PUSH);
        prop_assert!(found(&line).iter().any(is_it), "{line:?}: {:?}", found(&line));
    }
}
