//! The one table of flags: the parser, `--help` and the README's table are all made from it.

use std::iter;

/// One flag.
///
/// `name` is what the vendor's client calls it, so that its command lines go on working; flags that are new
/// have only the readable name.
#[derive(Debug)]
pub struct Flag {
    /// The name behind `--`, and the key by which the parser asks for it.
    pub name: &'static str,
    /// A readable second name.
    pub long: Option<&'static str>,
    /// What stands for the value in `--help`; `None` where the flag is a switch.
    pub value: Option<&'static str>,
    /// The value that counts where none is given.
    pub default: Option<&'static str>,
    /// What it does, in a sentence or two.
    pub help: &'static str,
}

/// Flags that belong together, under one heading of `--help`.
#[derive(Debug)]
pub struct Group {
    /// The heading.
    pub title: &'static str,
    /// Its flags, in the order of `--help`.
    pub flags: &'static [Flag],
}

impl Flag {
    /// The name, then the readable name where there is one.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        iter::once(self.name).chain(self.long)
    }

    /// Whether the value must never be shown again.
    pub fn is_secret(&self) -> bool {
        matches!(self.name, "ct" | "url")
    }

    /// Whether it only prints a text about the program, whatever else is given.
    pub fn prints(&self) -> bool {
        matches!(self.name, "h" | "V" | "man" | "completions" | "licenses")
    }

    /// Names of its environment variables, the strongest first.
    ///
    /// The vendor's client documents `DBSYNC_CT`, but reads `DBSYNCCT`; both count here. `--help`,
    /// `--version` and the like have none: container images like to set a `DBSYNC_VERSION` of their own.
    pub fn environment(&self) -> Vec<String> {
        if self.prints() {
            return Vec::new();
        }
        ["DBSYNC_", "DBSYNC"]
            .iter()
            .flat_map(|prefix| {
                self.names()
                    .map(move |name| format!("{prefix}{}", name.to_uppercase().replace('-', "_")))
            })
            .collect()
    }
}

/// All flags in the order of `--help`.
pub fn all() -> impl Iterator<Item = &'static Flag> {
    GROUPS.iter().flat_map(|group| group.flags)
}

/// The flag of that name, short or readable, without dashes.
pub fn find(name: &str) -> Option<&'static Flag> {
    all().find(|flag| flag.names().any(|known| known == name))
}

const fn flag(
    name: &'static str,
    value: &'static str,
    default: Option<&'static str>,
    help: &'static str,
) -> Flag {
    Flag {
        name,
        long: None,
        value: Some(value),
        default,
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        long: None,
        value: None,
        default: None,
        help,
    }
}

const fn also(long: &'static str, flag: Flag) -> Flag {
    Flag {
        long: Some(long),
        ..flag
    }
}

/// The table.
pub static GROUPS: &[Group] = &[
    Group {
        title: "What to do (required)",
        flags: &[
            also(
                "mode",
                flag(
                    "a",
                    "MODE",
                    None,
                    "What to do: db_init, db_update, db_sync or check.",
                ),
            ),
            also(
                "campaign",
                flag("c", "ID", None, "Id of the campaign, as Dialfire shows it."),
            ),
            also(
                "token",
                flag(
                    "ct",
                    "TOKEN",
                    None,
                    "Sync Client token of the campaign. Other users of the machine can see it in the list of \
                     processes: better use --token-file or the environment.",
                ),
            ),
            flag(
                "token-file",
                "FILE",
                None,
                "File with the token in its first line, instead of --ct.",
            ),
            flag(
                "url",
                "URL",
                None,
                "The database: postgres://user:password@host:port/database (or postgresql://...), mysql://... (or \
                 mariadb://...) or sqlite:///path/file.db. Where it holds a password, better use --url-file or the \
                 environment.",
            ),
            flag(
                "url-file",
                "FILE",
                None,
                "File with the database address in its first line, instead of --url.",
            ),
        ],
    },
    Group {
        title: "What is copied",
        flags: &[
            also(
                "start",
                flag(
                    "s",
                    "DATE",
                    None,
                    "Begin with what has changed since then, in UTC: YYYY-MM-DD or YYYY-MM-DDThh:mm:ss. Without it \
                     db_update goes back one week, and db_sync goes on from where it stopped.",
                ),
            ),
            also(
                "filter",
                flag(
                    "fm",
                    "FILTER",
                    None,
                    "Store only some transactions: updates_only (those of type update) or hi_updates_only (those of \
                     type update made by a human). Contacts are stored in any case.",
                ),
            ),
            also(
                "tasks",
                flag(
                    "fp",
                    "PREFIXES",
                    None,
                    "Store only transactions of tasks whose names begin so, comma separated: fc_,qc_",
                ),
            ),
            also(
                "table-prefix",
                flag(
                    "tp",
                    "PREFIX",
                    Some("dfire_"),
                    "What the names of the tables begin with; may be empty.",
                ),
            ),
            flag(
                "fields",
                "N",
                Some("100"),
                "How many of the campaign's own fields become columns of the contacts table: a number or all.",
            ),
        ],
    },
    Group {
        title: "Pace",
        flags: &[
            flag(
                "interval",
                "TIME",
                Some("60s"),
                "Time between two rounds of db_sync. Times are numbers of seconds or have a unit: 500ms, 60s, 2m, \
                 1h, 7d.",
            ),
            switch("once", "One round of db_sync, then stop (for cron)."),
            flag(
                "overlap",
                "TIME",
                Some("2m"),
                "How far each round reaches back behind the last one, for events that Dialfire reports late.",
            ),
            flag(
                "reconcile",
                "TIME",
                Some("1h"),
                "Time between two comparisons of the contact list with the database, which find whatever the \
                 rounds have missed.",
            ),
            also(
                "workers",
                flag("w", "N", Some("8"), "Threads that fetch contacts, 1 to 64."),
            ),
            also(
                "connections",
                flag(
                    "d",
                    "N",
                    Some("1"),
                    "Accepted for compatibility, 1 to 64. One connection writes, so that an older version of a \
                     contact never overwrites a newer one.",
                ),
            ),
            flag(
                "batch",
                "N",
                Some("500"),
                "Contacts per database transaction, 1 to 10000.",
            ),
            flag(
                "retry-wait",
                "TIME",
                Some("1s"),
                "First wait before a failed request or database call is repeated, 1ms to 60s; it doubles each time.",
            ),
        ],
    },
    Group {
        title: "Network",
        flags: &[
            flag(
                "api-url",
                "URL",
                Some("https://api.dialfire.com"),
                "Base address of the Dialfire API.",
            ),
            flag(
                "ca-file",
                "FILE",
                None,
                "PEM file with the root certificates to trust instead of those that are compiled in.",
            ),
            also(
                "webhook-rate",
                flag(
                    "wr",
                    "N",
                    None,
                    "Requests per second to a webhook. Accepted, but without effect in this version.",
                ),
            ),
            also(
                "webhook-burst",
                flag(
                    "wb",
                    "N",
                    None,
                    "Webhook requests that may go out at once. Accepted, but without effect in this version.",
                ),
            ),
        ],
    },
    Group {
        title: "Log and files",
        flags: &[
            also(
                "log-level",
                flag(
                    "l",
                    "LEVEL",
                    Some("4"),
                    "What the log file holds: 0 nothing, 1 errors, 2 also warnings, 3 and 4 also the course of \
                     things, 5 all details. Errors go to standard output as well.",
                ),
            ),
            also(
                "verbose",
                switch("v", "Log to standard output as well, with all details."),
            ),
            also(
                "profile",
                switch("p", "Log at the end of each round where its time went."),
            ),
            flag(
                "log-dir",
                "DIR",
                None,
                "Directory of the log files. Without it /var/log/dbsync or, where that can't be written to, \
                 $HOME/.dbsync/logs (Windows: %LOCALAPPDATA%\\dbsync\\logs).",
            ),
            flag(
                "state-dir",
                "DIR",
                None,
                "Directory of the checkpoint. Without it /var/opt/dbsync or, where that can't be written to, \
                 $HOME/.dbsync.",
            ),
            flag(
                "status-file",
                "FILE",
                None,
                "Write the state of things there as JSON after each round, for monitoring.",
            ),
        ],
    },
    Group {
        title: "Other",
        flags: &[
            also("help", switch("h", "Print this text.")),
            also("version", switch("V", "Print the version.")),
            switch("man", "Print the manual page, for man -l."),
            flag(
                "completions",
                "SHELL",
                None,
                "Print the completions for a shell: bash, zsh or fish.",
            ),
            switch(
                "licenses",
                "Print the license of this program and those of all that is compiled into it.",
            ),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_and_variables_are_unique() {
        let mut names = HashSet::new();
        let mut variables = HashSet::new();
        for flag in all() {
            for name in flag.names() {
                assert!(names.insert(name), "{name}");
                assert_eq!(find(name).map(|found| found.name), Some(flag.name));
            }
            for variable in flag.environment() {
                assert!(variables.insert(variable.clone()), "{variable}");
            }
        }
    }

    #[test]
    fn the_names_of_the_vendors_clients_are_there() {
        for name in [
            "c", "ct", "a", "url", "s", "fm", "fp", "tp", "w", "d", "l", "v", "p", "wr", "wb",
        ] {
            assert_eq!(find(name).map(|found| found.name), Some(name));
        }
    }

    #[test]
    fn variables_have_both_spellings() {
        let variables = |name| find(name).map(Flag::environment).unwrap_or_default();
        assert_eq!(
            variables("ct"),
            ["DBSYNC_CT", "DBSYNC_TOKEN", "DBSYNCCT", "DBSYNCTOKEN"]
        );
        assert_eq!(
            variables("retry-wait"),
            ["DBSYNC_RETRY_WAIT", "DBSYNCRETRY_WAIT"]
        );
        assert_eq!(variables("version"), [""; 0]);
    }
}
