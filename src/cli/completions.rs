//! `--completions`: what a shell needs to complete flags and their values, made from the table of flags.

use std::fmt::Write;

use super::flags::{self, Flag};
use super::settings::Mode;

/// A shell that completions are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shell {
    /// Bash 3.2 and later.
    Bash,
    /// Zsh with its completion system (`compinit`).
    Zsh,
    /// Fish 3 and later.
    Fish,
}

impl Shell {
    /// All of them.
    pub const ALL: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

    /// The name as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Shell::Bash => "bash",
            Shell::Zsh => "zsh",
            Shell::Fish => "fish",
        }
    }
}

/// What may stand behind a flag.
#[derive(Debug, PartialEq, Eq)]
enum Value {
    /// It is a switch.
    Nothing,
    /// One of these words.
    OneOf(Vec<&'static str>),
    File,
    Directory,
    /// Something that only the user knows.
    Other,
}

/// By the word that stands for the value in `--help`.
fn value(flag: &Flag) -> Value {
    match flag.value {
        None => Value::Nothing,
        Some("MODE") => Value::OneOf(Mode::ALL.map(Mode::name).to_vec()),
        Some("FILTER") => Value::OneOf(vec!["updates_only", "hi_updates_only"]),
        Some("LEVEL") => Value::OneOf(vec!["0", "1", "2", "3", "4", "5"]),
        Some("SHELL") => Value::OneOf(Shell::ALL.map(Shell::name).to_vec()),
        Some("FILE") => Value::File,
        Some("DIR") => Value::Directory,
        Some(_) => Value::Other,
    }
}

/// Every spelling of a flag: with two dashes and, as for the vendor's first client, with one.
fn spellings(flag: &Flag) -> Vec<String> {
    ["--", "-"]
        .iter()
        .flat_map(|dashes| flag.names().map(move |name| format!("{dashes}{name}")))
        .collect()
}

/// The text of `--completions`.
pub fn completions(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// Around the cases of the flags' values. Bash takes `--flag=value` for three words.
const BASH_BEGIN: &str = "# bash completion for dbsync2

_dbsync2() {
    local word=${COMP_WORDS[COMP_CWORD]} flag='' dashes=-- names
    [ \"$COMP_CWORD\" -lt 1 ] || flag=${COMP_WORDS[COMP_CWORD-1]}
    if [ \"$word\" = = ]; then
        word=''
    elif [ \"$flag\" = = ] && [ \"$COMP_CWORD\" -gt 1 ]; then
        flag=${COMP_WORDS[COMP_CWORD-2]}
    fi
    COMPREPLY=()
    case $flag in
";
const BASH_END: &str = "    esac
    case $word in
        -[!-]*) dashes=- ;;
    esac
    COMPREPLY=($(compgen -P \"$dashes\" -W \"$names\" -- \"${word#$dashes}\"))
} &&
    complete -F _dbsync2 dbsync2
";

fn bash() -> String {
    let mut script = String::from(BASH_BEGIN);
    for flag in flags::all() {
        let action = match value(flag) {
            Value::Nothing => continue,
            Value::OneOf(words) => {
                format!(
                    "COMPREPLY=($(compgen -W '{}' -- \"$word\"))",
                    words.join(" ")
                )
            }
            // Left to readline, which knows quotes and tildes.
            Value::File => "compopt -o default".to_owned(),
            Value::Directory => "compopt -o dirnames".to_owned(),
            Value::Other => ":".to_owned(),
        };
        let _ = writeln!(
            script,
            "        {})\n            {action}\n            return\n            ;;",
            spellings(flag).join(" | ")
        );
    }
    let names: Vec<&str> = flags::all().flat_map(Flag::names).collect();
    script.push_str(BASH_END);
    script.replacen(
        "dashes=-- names\n",
        &format!("dashes=--\n    local names='{}'\n", names.join(" ")),
        1,
    )
}

fn zsh() -> String {
    let mut script = String::from("#compdef dbsync2\n\n_arguments -S \\\n");
    for flag in flags::all() {
        let argument = match value(flag) {
            Value::Nothing => String::new(),
            Value::OneOf(words) => format!(":{}:({})", placeholder(flag), words.join(" ")),
            Value::File => format!(":{}:_files", placeholder(flag)),
            Value::Directory => format!(":{}:_files -/", placeholder(flag)),
            Value::Other => format!(":{}: ", placeholder(flag)),
        };
        let equals = if flag.value.is_some() { "=" } else { "" };
        let all = spellings(flag);
        // What can be given once only is not offered again.
        let repetition = if flag.is_repeatable() {
            "*".to_owned()
        } else {
            format!("({})", all.join(" "))
        };
        for spelling in &all {
            let specification = format!(
                "{repetition}{spelling}{equals}[{}]{argument}",
                escape(flag.summary(), &['\\', '[', ']', ':'])
            );
            let _ = writeln!(script, "    '{}' \\", specification.replace('\'', "'\\''"));
        }
    }
    // The last line goes on with nothing.
    script.truncate(script.trim_end_matches(" \\\n").len());
    script.push('\n');
    script
}

fn placeholder(flag: &Flag) -> &'static str {
    flag.value.unwrap_or_default()
}

fn fish() -> String {
    let mut script = String::from("# fish completion for dbsync2\n\ncomplete -c dbsync2 -f\n");
    for flag in flags::all() {
        let names: Vec<String> = flag
            .names()
            .map(|name| format!("-l {name} -o {name}"))
            .collect();
        let argument = match value(flag) {
            Value::Nothing => String::new(),
            Value::OneOf(words) => format!(" -x -a '{}'", words.join(" ")),
            Value::File => " -r -F".to_owned(),
            Value::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
            Value::Other => " -x".to_owned(),
        };
        let _ = writeln!(
            script,
            "complete -c dbsync2 {}{argument} -d '{}'",
            names.join(" "),
            escape(flag.summary(), &['\\', '\''])
        );
    }
    script
}

/// A backslash before each of these characters.
fn escape(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if special.contains(&character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::cli::{Parsed, parse};

    /// Whether a flag accepts this value, whatever else is missing.
    fn is_accepted(flag: &Flag, word: &str) -> bool {
        let posts = ["webhook", "replay"].contains(&word);
        let url = if posts {
            "--url=https://x/"
        } else {
            "--url=sqlite:x"
        };
        let mut arguments = vec!["--c=ID", "--ct=T", url, "--a=db_sync"];
        let last = format!("--{}={word}", flag.name);
        arguments.push(&last);
        let refusal = format!("--{} {word:?}: ", flag.name);
        parse(arguments.into_iter().map(Into::into), &|_| None)
            .err()
            .is_none_or(|error| !error.to_string().starts_with(&refusal))
    }

    #[test]
    fn every_word_that_is_offered_is_accepted_and_no_other() {
        let mut flags_with_words = Vec::new();
        for flag in flags::all() {
            if let Value::OneOf(words) = value(flag) {
                flags_with_words.push(flag.name);
                for word in words {
                    assert!(is_accepted(flag, word), "--{} {word}", flag.name);
                }
                assert!(!is_accepted(flag, "6"), "--{}", flag.name);
            }
        }
        assert_eq!(flags_with_words, ["a", "fm", "l", "completions"]);
    }

    #[test]
    fn each_shell_is_asked_for_by_its_name() {
        for shell in Shell::ALL {
            let arguments = ["--completions".into(), shell.name().into()];
            let Ok(Parsed::Completions(found)) = parse(arguments, &|_| None) else {
                unreachable!("{shell:?}");
            };
            assert_eq!(found, shell);
        }
    }

    #[test]
    fn files_and_directories_are_told_apart() {
        let of = |name| value(flags::find(name).unwrap());
        assert_eq!(of("token-file"), Value::File);
        assert_eq!(of("state-dir"), Value::Directory);
        assert_eq!(of("once"), Value::Nothing);
        assert_eq!(of("c"), Value::Other);
    }

    #[test]
    fn the_summary_ends_before_the_details() {
        assert_eq!(
            flags::find("ct").unwrap().summary(),
            "Sync Client token of the campaign"
        );
        assert_eq!(flags::find("url").unwrap().summary(), "The database");
        assert_eq!(
            flags::find("h").unwrap().summary(),
            "Print all flags with their explanations; -h prints one screen"
        );
    }
}
