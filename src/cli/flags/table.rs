//! The table itself, in the order of `--help`.

use super::{Group, also, flag, switch};

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
                    "What to do: db_init, db_update, db_sync, webhook, replay or check.",
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
                 mariadb://...), sqlserver://... (or mssql://...) or sqlite:///path/file.db; for webhook and replay the \
                 web service: https://host/path. Where it holds a password, better use --url-file or the environment.",
            ),
            flag(
                "url-file",
                "FILE",
                None,
                "File with that address in its first line, instead of --url.",
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
                     db_update goes back one week, and db_sync and webhook go on from where they stopped.",
                ),
            ),
            also(
                "filter",
                flag(
                    "fm",
                    "FILTER",
                    None,
                    "Store or post only some transactions: updates_only (those of type update) or hi_updates_only (those of \
                     type update made by a human). Contacts are stored in any case.",
                ),
            ),
            also(
                "tasks",
                flag(
                    "fp",
                    "PREFIXES",
                    None,
                    "Store or post only transactions of tasks whose names have one of these prefixes, separated by commas: fc_,qc_",
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
                "Time between two rounds of db_sync or webhook. Times are numbers of seconds or have a unit: 500ms, 60s, 2m, \
                 1h, 7d.",
            ),
            switch(
                "once",
                "One round of db_sync or webhook, then stop (for cron).",
            ),
            flag(
                "overlap",
                "TIME",
                Some("2m"),
                "How far each round reads back beyond the start of the last one, for events that Dialfire reports late.",
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
                flag(
                    "w",
                    "N",
                    Some("8"),
                    "Threads that fetch contacts, and requests at a time to a webhook, 1 to 64.",
                ),
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
        ],
    },
    Group {
        title: "Webhook",
        flags: &[
            also(
                "webhook-rate",
                flag(
                    "wr",
                    "N",
                    None,
                    "Requests per second to a webhook. Without it, or with 0, as fast as the receiver answers.",
                ),
            ),
            also(
                "webhook-burst",
                flag(
                    "wb",
                    "N",
                    None,
                    "Webhook requests that may go out at once before --wr counts; 0 or not given: twice --wr.",
                ),
            ),
            flag(
                "webhook-timeout",
                "TIME",
                Some("30s"),
                "Time that one request to a webhook may take, 100ms to 10m.",
            ),
            flag(
                "webhook-secret",
                "KEYS",
                None,
                "Keys that sign requests (whsec_...), several separated by blanks. Other users of the machine can see \
                 it in the list of processes: better use --webhook-secret-file or the environment.",
            ),
            flag(
                "webhook-secret-file",
                "FILE",
                None,
                "File with these keys in its first line, instead of --webhook-secret.",
            ),
            flag(
                "header",
                "LINE",
                None,
                "A further header for a webhook: 'Name: value', or 'Name: @FILE' for the first line of a file. Can be \
                 given several times; in the environment one per line.",
            ),
            flag(
                "ledger-days",
                "DAYS",
                Some("90"),
                "How long it is known what was delivered to a webhook, 2 to 3650 days.",
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
                switch(
                    "p",
                    "Log at the end of each round where its time went, and print it.",
                ),
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
                "Write the current state to this file after each round: JSON, for monitoring.",
            ),
        ],
    },
    Group {
        title: "Other",
        flags: &[
            also(
                "help",
                switch(
                    "h",
                    "Print all flags with their explanations; -h prints one screen.",
                ),
            ),
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
