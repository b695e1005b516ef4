//! What the program says about itself: `-h`, `--help`, the version and the README's table of flags.
//! The manual page is made of the same parts in `man`.

use std::fmt::Write;

use super::flags::{self, Flag};
use super::settings::Mode;

/// Columns of the help text.
const WIDTH: usize = 80;
/// Blanks before the explanation of a flag.
const INDENT: usize = 8;

pub(super) const EXIT_CODES: [(&str, &str); 6] = [
    (
        "0",
        "done and complete; db_sync, webhook: ended by a signal",
    ),
    ("1", "failed; the last line of the log says why"),
    ("2", "wrong command line or environment"),
    (
        "3",
        "refused by Dialfire (401 or 403): wrong token or campaign",
    ),
    (
        "4",
        "another instance is at work on this campaign and target",
    ),
    (
        "5",
        "ended, but something is missing, as the last line says",
    ),
];

pub(super) const EXAMPLES: [(&str, &str); 5] = [
    (
        "Try everything, change nothing:",
        "dbsync2 --a check --c ID --token-file token.txt --url-file url.txt",
    ),
    (
        "Copy the whole campaign, then stop:",
        "dbsync2 --a db_init --c ID --ct TOKEN --url sqlite:///srv/dialfire.db",
    ),
    (
        "Keep the copy up to date, secrets in the environment:",
        "DBSYNC_CT=TOKEN DBSYNC_URL=mysql://sync:secret@db.example/dialfire \\\n      nohup dbsync2 --a db_sync --c ID &",
    ),
    (
        "Post every transaction from now on to a web service:",
        "dbsync2 --a webhook --c ID --token-file token.txt --url https://host/in",
    ),
    (
        "As for the vendor's clients:",
        "dbsync2 -a db_sync -c ID -ct TOKEN -fp fc_ -url postgres://...",
    ),
];

/// The name and version of the program, in one line without its end.
pub fn version() -> String {
    format!("dbsync2 {}", env!("CARGO_PKG_VERSION"))
}

/// The flags of the short help, by their names.
const OFTEN_USED: [&str; 10] = [
    "c",
    "token-file",
    "url-file",
    "s",
    "once",
    "interval",
    "tp",
    "log-dir",
    "state-dir",
    "status-file",
];

/// The text of `-h`: one screen.
pub fn short() -> String {
    let mut text = format!(
        "{}: copies the contact updates of a Dialfire campaign\n\n\
         Usage: dbsync2 --a MODE --c ID --token-file FILE --url-file FILE [flags]\n\nModes:\n",
        version()
    );
    for mode in Mode::ALL {
        entry(&mut text, mode.name(), summary(mode));
    }
    text.push_str("\nFlags (more with --help):\n");
    for flag in flags::all().filter(|flag| OFTEN_USED.contains(&flag.name)) {
        let heading = format!("--{} {}", flag.name, flag.value.unwrap_or_default());
        let _ = writeln!(text, "  {heading:<19} {}", flag.summary());
    }
    text.push_str(
        "\nExample: dbsync2 --a check --c ID --token-file token.txt --url-file url.txt\n\
         All flags, variables of the environment, exit codes and examples: dbsync2 --help\n",
    );
    text
}

/// The text of `--help`, at most 80 columns wide.
pub fn help() -> String {
    let mut text = format!(
        "{}: copies the contact updates of a Dialfire campaign\n\n\
         Usage: dbsync2 --a MODE --c ID --token-file FILE --url-file FILE [flags]\n\nModes:\n",
        version()
    );
    for mode in Mode::ALL {
        entry(&mut text, mode.name(), summary(mode));
    }
    for group in flags::GROUPS {
        let _ = write!(text, "\n{}:\n", group.title);
        for flag in group.flags {
            let _ = writeln!(text, "  {}", heading(flag));
            paragraph(&mut text, &meaning(flag), INDENT);
        }
    }
    text.push_str("\nEnvironment:\n");
    paragraph(
        &mut text,
        "Each flag can also be set as an environment variable: its name in capitals after DBSYNC_, with _ for -, such \
         as DBSYNC_CT, DBSYNC_TOKEN or DBSYNC_LOG_LEVEL. The command line wins. Switches take 1, true or yes, 0, false \
         or no. The vendor's spelling without _ (DBSYNCCT) works too.",
        2,
    );
    text.push_str("\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        entry(&mut text, code, meaning);
    }
    text.push_str("\nExamples:\n");
    for (purpose, command) in EXAMPLES {
        let _ = writeln!(text, "  {purpose}\n    {command}");
    }
    text
}

/// The table of flags in Markdown, for the README.
pub fn flag_table_markdown() -> String {
    let mut text =
        String::from("| Flag | Environment | Default | Meaning |\n| --- | --- | --- | --- |\n");
    for flag in flags::all() {
        let names: Vec<String> = flag.names().map(|name| format!("`--{name}`")).collect();
        let variables: Vec<String> = flag
            .environment()
            .iter()
            .filter(|variable| variable.starts_with("DBSYNC_"))
            .map(|variable| format!("`{variable}`"))
            .collect();
        let default = flag
            .default
            .map_or_else(String::new, |default| format!("`{default}`"));
        let _ = writeln!(
            text,
            "| {} | {} | {default} | {} |",
            names.join(", "),
            variables.join(", "),
            flag.help.replace('|', "\\|")
        );
    }
    text
}

pub(super) fn summary(mode: Mode) -> &'static str {
    match mode {
        Mode::DbInit => "Copy everything, then stop.",
        Mode::DbUpdate => "Copy what has changed since --s (or in the last week), then stop.",
        Mode::DbSync => "Copy every change as it happens, until stopped.",
        Mode::Webhook => "Post every transaction to a web service, until stopped.",
        Mode::Replay => "Post once more what could not be delivered, then stop.",
        Mode::Check => "Try token, database, privileges and directories; change nothing.",
    }
}

fn heading(flag: &Flag) -> String {
    let names: Vec<String> = flag.names().map(|name| format!("--{name}")).collect();
    match flag.value {
        Some(value) => format!("{} {value}", names.join(", ")),
        None => names.join(", "),
    }
}

fn meaning(flag: &Flag) -> String {
    match flag.default {
        Some(default) => format!("{} [default: {default}]", flag.help),
        None => flag.help.to_owned(),
    }
}

/// A term and its meaning in one line.
fn entry(text: &mut String, term: &str, meaning: &str) {
    let _ = writeln!(text, "  {term:<10} {meaning}");
}

/// Adds lines broken at blanks, each indented.
fn paragraph(text: &mut String, words: &str, indent: usize) {
    let mut column = 0;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if column == 0 {
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column + 1 + length > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_short_help_fits_one_screen() {
        let text = short();
        assert!(text.lines().count() <= 28, "{text}");
        for mode in Mode::ALL {
            assert!(text.contains(&format!("\n  {:<10} ", mode.name())));
        }
        for name in OFTEN_USED {
            assert!(text.contains(&format!("\n  --{name} ")), "{name}");
        }
        assert!(text.contains("dbsync2 --help"));
    }

    #[test]
    fn help_fits_80_columns() {
        for line in help().lines().chain(short().lines()) {
            assert!(line.chars().count() <= WIDTH, "{line:?}");
            assert_eq!(line, line.trim_end());
        }
    }

    #[test]
    fn help_names_every_flag_default_mode_and_exit_code() {
        let text = help();
        let words: Vec<&str> = text.split_whitespace().collect();
        for flag in flags::all() {
            assert!(
                text.contains(&format!("\n  {}\n", heading(flag))),
                "{flag:?}"
            );
            if let Some(default) = flag.default {
                assert!(words.contains(&format!("{default}]").as_str()), "{flag:?}");
            }
        }
        for mode in Mode::ALL {
            assert!(text.contains(&format!("\n  {:<10} ", mode.name())));
            assert!(flags::find("a").unwrap().help.contains(mode.name()));
        }
        for code in 0..=4 {
            assert!(text.contains(&format!("\n  {code:<10} ")), "{code}");
        }
        assert!(text.starts_with(&format!("dbsync2 {}: ", env!("CARGO_PKG_VERSION"))));
    }

    #[test]
    fn paragraphs_break_at_blanks() {
        let mut text = String::new();
        paragraph(&mut text, &"word ".repeat(20), 10);
        let lines: Vec<&str> = text.lines().collect();
        // 10 blanks and 14 times five characters, less the last blank, are 79 columns.
        assert_eq!(lines.first().unwrap().len(), 79);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines.last().unwrap().split_whitespace().count(), 6);
    }

    #[test]
    fn markdown_has_a_row_per_flag() {
        let table = flag_table_markdown();
        assert_eq!(table.lines().count(), 2 + flags::all().count());
        assert!(table.contains(
            "\n| `--w`, `--workers` | `DBSYNC_W`, `DBSYNC_WORKERS` | `8` | Threads that fetch contacts, and requests at a time to a webhook, 1 to 64. |\n"
        ));
        assert!(table.contains("\n| `--h`, `--help` |  |  | Print all flags with their explanations; -h prints one screen. |\n"));
        for line in table.lines() {
            assert_eq!(
                line.matches('|').count() - line.matches("\\|").count(),
                5,
                "{line}"
            );
        }
    }
}
