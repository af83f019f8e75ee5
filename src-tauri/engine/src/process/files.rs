//! Which files a command would run now, so that others in their place are noticed.
//!
//! Only what its words name: the programs, and the scripts that are named for
//! an interpreter. What those read or run themselves is not looked at.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nod_core::rule::is_runner;
use nod_core::shell;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest as _, Sha256};

use crate::dispatcher::hex;

/// How many words are looked at, those of all commands within a command together.
const WORDS_LIMIT: usize = 2_000;

/// How many files are known by all that they hold; the others are so by what the system says of them.
const READ_FILES: usize = 32;

/// Programs that run what they are told, whose words name mostly what they read and write.
const FOR_DATA: [&str; 23] = [
    "git", "tar", "zip", "find", "fd", "rsync", "scp", "sftp", "ssh", "sed", "vi", "vim", "nvim",
    "docker", "podman", "cargo", "go", "npm", "npx", "pnpm", "yarn", "pip", "uv",
];

/// Up to which size a file that is no program of the machine's is known by all that it holds.
const READ_LIMIT: u64 = 1 << 20;

/// What the format of programs begins with: elf(5).
const MACHINE_CODE: [u8; 4] = *b"\x7fELF";

/// The files that a command runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Files {
    known: Vec<Known>,
    /// Every word of the command was looked at.
    is_whole: bool,
}

/// One of them, as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    path: PathBuf,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    /// By the hash of all of it.
    Digest(String),
    /// By its number, its size, and when it was changed: the content, and anything about it.
    State { inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
}

impl Files {
    /// Returns the files that `argv` would run in the folder, found by `path` where they are named
    /// alone.
    pub(crate) fn of(argv: &[String], cwd: &str, path: &str) -> Self {
        let place = Place { cwd: Path::new(cwd), path };
        let mut left = WORDS_LIMIT;
        let mut found = BTreeSet::new();
        for words in shell::commands_in(argv) {
            place.add(&words, &mut left, &mut found);
        }
        let known = found.into_iter().enumerate().filter_map(|(at, path)| {
            let content = content(&path, at < READ_FILES)?;
            Some(Known { path, content })
        });
        Self { known: known.collect(), is_whole: left > 0 }
    }

    /// Returns what a person is told where not all of the command was looked at.
    pub(crate) fn gap(&self) -> Option<String> {
        let words = "it has more words than Nod looks at: files that are named far behind may be \
                     others by its start";
        (!self.is_whole).then(|| words.to_owned())
    }

    /// Returns the first file that is another one now; of those that are not there any more, too.
    pub(crate) fn changed(&self, now: &Self) -> Option<PathBuf> {
        let other = |one: &&Known, all: &Self| !all.known.contains(one);
        let gone = self.known.iter().find(|known| other(known, now));
        let new = now.known.iter().find(|known| other(known, self));
        new.or(gone).map(|known| known.path.clone())
    }

    /// Reads what the history has of a task; an earlier list of none is that of one that nobody
    /// was asked about.
    pub(crate) fn stored<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Self>, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Stored {
            Now { known: Vec<Known>, is_whole: bool },
            Earlier(Vec<Known>),
        }
        Ok(match Option::deserialize(from)? {
            Some(Stored::Now { known, is_whole }) => Some(Self { known, is_whole }),
            Some(Stored::Earlier(known)) if !known.is_empty() => {
                Some(Self { known, is_whole: true })
            }
            Some(Stored::Earlier(_)) | None => None,
        })
    }
}

struct Place<'a> {
    cwd: &'a Path,
    path: &'a str,
}

impl Place<'_> {
    /// Adds the program of a command; and what its words name, where it runs what it is told, or is
    /// a word of the shell's.
    fn add(&self, words: &[String], left: &mut usize, found: &mut BTreeSet<PathBuf>) {
        let Some((program, rest)) = words.split_first() else { return };
        let itself = Some(()).filter(|()| take_one(left)).and_then(|()| self.program(program));
        let name = program.rsplit('/').next().unwrap_or(program);
        let is_runner = is_runner(program) && !FOR_DATA.contains(&name);
        if is_runner || itself.is_none() {
            let named = rest.iter().filter(|word| !word.is_empty()).take_while(|_| take_one(left));
            found.extend(named.filter_map(|word| self.file(word).or_else(|| self.program(word))));
        }
        found.extend(itself);
    }

    fn file(&self, word: &str) -> Option<PathBuf> {
        let path = self.cwd.join(word);
        path.is_file().then_some(path)
    }

    /// Looks for a program as execvp(3) does.
    fn program(&self, word: &str) -> Option<PathBuf> {
        if word.contains('/') {
            return self.file(word);
        }
        if word.is_empty() || word.starts_with('-') {
            return None;
        }
        let can_run = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.mode() & 0o111 != 0)
        };
        self.path.split(':').map(|folder| self.cwd.join(folder).join(word)).find(can_run)
    }
}

/// Counts one word more that is looked at; returns whether it may be.
fn take_one(left: &mut usize) -> bool {
    let may = *left > 0;
    *left = left.saturating_sub(1);
    may
}

fn content(path: &Path, is_read: bool) -> Option<Content> {
    let state = fs::metadata(path).ok()?;
    if is_read
        && state.len() <= READ_LIMIT
        && let Some(digest) = digest(path)
    {
        return Some(Content::Digest(digest));
    }
    Some(Content::State {
        inode: state.ino(),
        size: state.size(),
        modified: (state.mtime(), state.mtime_nsec()),
        changed: (state.ctime(), state.ctime_nsec()),
    })
}

/// Returns the hash of a file; nothing for machine code, and for what may not be read.
fn digest(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?.take(READ_LIMIT + 1);
    let mut bytes = vec![];
    file.by_ref().take(MACHINE_CODE.len() as u64).read_to_end(&mut bytes).ok()?;
    if bytes == MACHINE_CODE {
        return None;
    }
    file.read_to_end(&mut bytes).ok()?;
    Some(hex(&Sha256::digest(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn script(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn what_a_command_runs_is_known_again_and_another_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (first, second) = (root.path().join("first"), root.path().join("second"));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&second).unwrap();
        script(&second.join("tool"), "#!/bin/sh\n");
        script(&root.path().join("d.sh"), "#!/bin/sh\n");
        fs::write(root.path().join("data"), "1").unwrap();
        let path = format!("{}:{}", first.display(), second.display());
        let cwd = root.path().to_str().unwrap();
        let commands: [(&[&str], &str); 7] = [
            (&["./d.sh", "data"], "d.sh"),
            (&["sh", "-eu", "d.sh"], "d.sh"),
            (&["/bin/sh", "-c", "true && ./d.sh --now"], "d.sh"),
            (&["env", "A=b", "tool"], "second/tool"),
            (&["tool"], "second/tool"),
            (&["sh", "-c", "exec tool x"], "second/tool"),
            (&["bash", "-c", "cat data; sh ./d.sh"], "d.sh"),
        ];
        for (argv, file) in commands {
            let file = root.path().join(file);
            let look = || Files::of(&words(argv), cwd, &path);
            let before = look();
            assert_eq!(before.changed(&look()), None, "{argv:?}");
            fs::write(root.path().join("data"), "another").unwrap();
            assert_eq!(before.changed(&look()), None, "{argv:?} reads it");
            fs::write(&file, "#!/bin/sh\necho evil\n").unwrap();
            let changed = before.changed(&look()).unwrap();
            assert_eq!(changed.canonicalize().unwrap(), file.canonicalize().unwrap(), "{argv:?}");
            fs::write(&file, "#!/bin/sh\n").unwrap();
            assert_eq!(before.changed(&look()), None, "{argv:?} is what it was");
        }
        // Another one that is found first; and none at all.
        let before = Files::of(&words(&["tool"]), cwd, &path);
        script(&first.join("tool"), "#!/bin/sh\n");
        let after = Files::of(&words(&["tool"]), cwd, &path);
        assert_eq!(before.changed(&after), Some(first.join("tool")));
        assert_eq!(after.changed(&Files::default()), Some(first.join("tool")));
    }

    #[test]
    fn machine_code_is_known_by_what_the_system_says_of_it() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("tool");
        script(&file, "\u{7f}ELF and more");
        let look = || Files::of(&words(&["./tool"]), root.path().to_str().unwrap(), "");
        let before = look();
        assert!(matches!(before.known[0].content, Content::State { .. }));
        assert_eq!(before.changed(&look()), None);
        script(&file, "\u{7f}ELF and other things");
        assert!(before.changed(&look()).is_some());
    }

    #[test]
    fn what_is_named_last_is_looked_at_and_what_is_not_is_said() {
        let root = tempfile::tempdir().unwrap();
        let cwd = root.path().to_str().unwrap();
        let argv = |options: usize| {
            let options = std::iter::repeat_n("-B", options);
            words(&["python3"].into_iter().chain(options).chain(["d.py"]).collect::<Vec<_>>())
        };
        let before = Files::of(&argv(100), cwd, "");
        assert_eq!(before.gap(), None);
        fs::write(root.path().join("d.py"), "print()").unwrap();
        let changed = before.changed(&Files::of(&argv(100), cwd, ""));
        assert_eq!(changed, Some(root.path().join("d.py")), "it was not there");
        assert!(Files::of(&argv(WORDS_LIMIT), cwd, "").gap().is_some());
        // Whose words name what it reads has them not looked at.
        assert_eq!(Files::of(&vec!["/bin/ls".to_owned(); WORDS_LIMIT], cwd, "").gap(), None);
    }

    #[test]
    fn of_many_files_each_is_known() {
        let root = tempfile::tempdir().unwrap();
        let names: Vec<_> = (0..READ_FILES * 2).map(|n| format!("{n}.sh")).collect();
        for name in &names {
            script(&root.path().join(name), "#!/bin/sh\n");
        }
        let argv: Vec<_> = ["sh".to_owned()].into_iter().chain(names.clone()).collect();
        let look = || Files::of(&argv, root.path().to_str().unwrap(), "");
        for name in [&names[0], &names[READ_FILES * 2 - 1]] {
            let before = look();
            assert_eq!(before.changed(&look()), None);
            script(&root.path().join(name), "#!/bin/sh\necho evil\n");
            assert_eq!(before.changed(&look()), Some(root.path().join(name)));
        }
    }

    #[test]
    fn what_an_earlier_version_has_stored_is_read() {
        #[derive(Deserialize)]
        struct Row {
            #[serde(default, deserialize_with = "Files::stored")]
            files: Option<Files>,
        }
        let read = |json: &str| serde_json::from_str::<Row>(json).unwrap().files;
        assert_eq!(read(r#"{"files":[]}"#), None);
        assert_eq!(read("{}"), None);
        assert_eq!(read(r#"{"files":null}"#), None);
        let known = r#"[{"path":"/x","content":{"digest":"ab"}}]"#;
        let files = read(&format!(r#"{{"files":{known}}}"#)).unwrap();
        assert_eq!((files.known.len(), files.gap()), (1, None));
        let stored = format!(r#"{{"files":{}}}"#, serde_json::to_string(&files).unwrap());
        assert_eq!(read(&stored), Some(files));
        let none = format!(r#"{{"files":{}}}"#, serde_json::to_string(&Files::default()).unwrap());
        assert_eq!(read(&none), Some(Files::default()));
    }
}
