//! `--man`: the manual page, in the macros of man(7), made from the table of flags and the parts of `--help`.

use std::fmt::Write;

use super::flags::{self, Flag};
use super::help::{self, EXAMPLES, EXIT_CODES};
use super::settings::Mode;

/// When the text of this page was last changed: a page made twice is the same.
const CHANGED: &str = "2026-11-30";

const DESCRIPTION: &[&str] = &[
    "dbsync2 copies the contacts of a Dialfire campaign, with their transactions, connections and recordings, and the \
     campaign's inbound calls into an SQL database (PostgreSQL, MySQL, MariaDB, Microsoft SQL Server or SQLite), and \
     keeps the copy up to date; or it posts every transaction to a web service. It reads the REST API of Dialfire and \
     never writes to it.",
    "Flags take one dash or two, and --flag value or --flag=value. Of several the last one wins; --header alone can be \
     given several times.",
    "Secrets (the token, passwords in addresses, keys and headers of a web service) belong in files or in the \
     environment: a command line can be read by every user of the computer.",
];

const ENVIRONMENT: &str = "Each flag can also be set as an environment variable; the command line wins. Switches take 1, \
     true, yes, 0, false or no. An empty variable counts as not set, except for the table prefix, which may be empty.";

/// Variables that other programs know as well.
const PROXIES: (&str, &str) = (
    "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
    "The proxy on the way to Dialfire, and the hosts that are reached without it.",
);

const FILES: [(&str, &str); 9] = [
    (
        "CAMPAIGN-HASH.json",
        "The checkpoint, in the state directory. HASH stands for the database and the table prefix, or for the web \
         service.",
    ),
    (
        "CAMPAIGN-HASH.lock",
        "Holds the process id; locked while the program runs, so that no second one does the same work.",
    ),
    (
        "CAMPAIGN-HASH.rejected.jsonl",
        "Rows that the database refused, in the clear: one JSON object per line.",
    ),
    (
        "CAMPAIGN-HASH.ledger",
        "What was delivered to the web service, and in which version.",
    ),
    (
        "CAMPAIGN-HASH.undelivered.jsonl",
        "Requests that the web service refused, in the clear: one JSON object per line. --a replay posts them again.",
    ),
    (
        "CAMPAIGN_MODE_YYYYMMDDhhmmss.log",
        "The log, in the log directory. The newest 10 files of a campaign and mode are kept, of 10 MiB each: nothing \
         has to be rotated.",
    ),
    (
        "/var/opt/dbsync",
        "State directory, if --state-dir does not name one. Where it can't be written to: $HOME/.dbsync.",
    ),
    (
        "/var/log/dbsync",
        "Log directory, if --log-dir does not name one. Where it can't be written to: $HOME/.dbsync/logs.",
    ),
    (
        "/etc/default/dbsync2, /etc/default/dbsync2-NAME",
        "Settings of the services, where they were installed. Their credentials are in /etc/dbsync2.",
    ),
];

const SIGNALS: [(&str, &str); 2] = [
    (
        "SIGTERM, SIGINT",
        "End in good order: within 5 seconds, with exit status 0, and without loss. A second one ends the program at \
         once, with status 143 or 130.",
    ),
    (
        "SIGHUP",
        "Left as it is found, so that the program goes on under nohup(1).",
    ),
];

/// The manual page as roff source.
pub fn manual() -> String {
    let mut page = String::new();
    let _ = writeln!(
        page,
        ".TH DBSYNC2 1 \"{}\" \"{}\" \"User Commands\"\n.nh\n.ad l",
        CHANGED,
        escape(&help::version())
    );
    section(&mut page, "NAME");
    text(
        &mut page,
        "dbsync2 - copies the contact updates of a Dialfire campaign into a database or to a web service",
    );
    section(&mut page, "SYNOPSIS");
    page.push_str(".B dbsync2\n");
    text(
        &mut page,
        "--a MODE --c ID --token-file FILE --url-file FILE [flags]",
    );
    section(&mut page, "DESCRIPTION");
    for (nth, paragraph) in DESCRIPTION.iter().enumerate() {
        if nth > 0 {
            page.push_str(".PP\n");
        }
        text(&mut page, paragraph);
    }
    section(&mut page, "MODES");
    for mode in Mode::ALL {
        entry(&mut page, mode.name(), help::summary(mode));
    }
    options(&mut page);
    environment(&mut page);
    section(&mut page, "FILES");
    for (file, meaning) in FILES {
        entry(&mut page, file, meaning);
    }
    section(&mut page, "EXIT STATUS");
    for (code, meaning) in EXIT_CODES {
        entry(&mut page, code, meaning);
    }
    section(&mut page, "EXAMPLES");
    for (nth, (purpose, command)) in EXAMPLES.into_iter().enumerate() {
        if nth > 0 {
            page.push_str(".PP\n");
        }
        text(&mut page, purpose);
        page.push_str(".PP\n.RS 4\n.nf\n");
        text(&mut page, command);
        page.push_str(".fi\n.RE\n");
    }
    section(&mut page, "SIGNALS");
    for (signal, meaning) in SIGNALS {
        entry(&mut page, signal, meaning);
    }
    page
}

fn options(page: &mut String) {
    section(page, "OPTIONS");
    for group in flags::GROUPS {
        let _ = writeln!(page, ".SS {}", escape(group.title));
        for flag in group.flags {
            let names: Vec<String> = flag
                .names()
                .map(|name| format!("\\fB{}\\fR", escape(&format!("--{name}"))))
                .collect();
            let value = flag
                .value
                .map_or_else(String::new, |value| format!(" \\fI{}\\fR", escape(value)));
            let _ = writeln!(page, ".TP\n{}{value}", names.join(", "));
            text(page, flag.help);
            if let Some(default) = flag.default {
                text(page, &format!("Default: {default}"));
            }
        }
    }
}

fn environment(page: &mut String) {
    section(page, "ENVIRONMENT");
    text(page, ENVIRONMENT);
    for flag in flags::all().filter(|flag| !flag.prints()) {
        entry(page, &variables(flag), &format!("As --{}.", flag.name));
    }
    entry(page, PROXIES.0, PROXIES.1);
}

/// Its variables without the vendor's spelling, which is there for compatibility only.
fn variables(flag: &Flag) -> String {
    let names: Vec<String> = flag
        .environment()
        .into_iter()
        .filter(|variable| variable.starts_with("DBSYNC_"))
        .collect();
    names.join(", ")
}

fn section(page: &mut String, title: &str) {
    let _ = writeln!(page, ".SH {title}");
}

/// A term and its meaning.
fn entry(page: &mut String, term: &str, meaning: &str) {
    let _ = writeln!(page, ".TP\n\\fB{}\\fR", escape(term));
    text(page, meaning);
}

/// Lines of running text, none of which is taken for a request.
fn text(page: &mut String, words: &str) {
    for line in words.lines() {
        // A dot or an apostrophe at the beginning of a line would make it a request.
        if line.starts_with(['.', '\'']) {
            page.push_str("\\&");
        }
        let _ = writeln!(page, "{}", escape(line));
    }
}

/// Characters that have a meaning for roff, or that it would print as others: a dash as a hyphen, which can't be
/// copied into a command line, and quotes as typographic ones.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\'' => escaped.push_str("\\(aq"),
            '"' => escaped.push_str("\\(dq"),
            '`' => escaped.push_str("\\(ga"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_take_for_its_own_is_escaped() {
        let mut page = String::new();
        text(
            &mut page,
            ".profile\n'tis -v and %LOCALAPPDATA%\\dbsync\n`~^\"",
        );
        assert_eq!(
            page,
            "\\&.profile\n\\&\\(aqtis \\-v and %LOCALAPPDATA%\\edbsync\n\\(ga\\(ti\\(ha\\(dq\n"
        );
    }

    #[test]
    fn the_sections_stand_in_their_usual_order() {
        let page = manual();
        let sections: Vec<&str> = page
            .lines()
            .filter_map(|l| l.strip_prefix(".SH "))
            .collect();
        assert_eq!(
            sections,
            [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "MODES",
                "OPTIONS",
                "ENVIRONMENT",
                "FILES",
                "EXIT STATUS",
                "EXAMPLES",
                "SIGNALS"
            ]
        );
    }
}
