//! Command lines and environments, and the settings or the sentence that come of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use time::macros::datetime;

use super::settings::{FieldLimit, FilterMode, Mode};
use super::{Parsed, Settings, flags, parse};
use crate::error::{Error, ErrorKind};
use crate::scratch::Scratch;

const REQUIRED: [&str; 8] = [
    "--a",
    "db_sync",
    "--c",
    "CAMP",
    "--ct",
    "TOKEN",
    "--url",
    "mysql://u:p@h/db",
];

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Parsed, Error> {
    let lookup = |name: &str| {
        environment
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, text)| OsString::from(text))
    };
    parse(arguments.iter().map(OsString::from), &lookup)
}

#[track_caller]
fn settings_in(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    match run(arguments, environment) {
        Ok(Parsed::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

/// The required flags, then these.
#[track_caller]
fn settings(more: &[&str]) -> Settings {
    settings_in(&[&REQUIRED, more].concat(), &[])
}

#[track_caller]
fn error_in(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let error = run(arguments, environment).expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.exit_code(), 2);
    assert!(!error.to_string().contains('\n'));
    error.to_string()
}

/// The required flags, then these.
#[track_caller]
fn error(more: &[&str]) -> String {
    error_in(&[&REQUIRED, more].concat(), &[])
}

/// The required flags without one of them.
fn without(name: &str) -> Vec<&'static str> {
    let pairs = REQUIRED.chunks(2).filter(|pair| pair[0] != name);
    pairs.flatten().copied().collect()
}

#[test]
fn required_flags_alone_give_the_defaults() {
    let settings = settings(&[]);
    assert_eq!(settings.mode, Mode::DbSync);
    assert_eq!(settings.campaign, "CAMP");
    assert_eq!(settings.token.reveal(), "TOKEN");
    assert_eq!(settings.url.reveal(), "mysql://u:p@h/db");
    assert_eq!(settings.api_url, "https://api.dialfire.com");
    assert_eq!(settings.start, None);
    assert_eq!(settings.filter, FilterMode::All);
    assert_eq!(settings.task_prefixes, [""; 0]);
    assert_eq!(settings.table_prefix, "dfire_");
    assert_eq!((settings.workers, settings.connections), (8, 1));
    assert_eq!(settings.log_level, 4);
    assert!(!settings.verbose && !settings.profile && !settings.once);
    assert_eq!(settings.interval, Duration::from_secs(60));
    assert_eq!(settings.overlap, Duration::from_secs(120));
    assert_eq!(settings.reconcile, Duration::from_secs(3600));
    assert_eq!(settings.retry_wait, Duration::from_secs(1));
    assert_eq!(settings.fields, FieldLimit::First(100));
    assert_eq!(settings.batch, 500);
    assert_eq!(
        (settings.webhook_rate, settings.webhook_burst),
        (None, None)
    );
    assert_eq!((settings.state_dir, settings.log_dir), (None, None));
    assert_eq!((settings.ca_file, settings.status_file), (None, None));
    assert_eq!(settings.warnings, [""; 0]);
}

/// A value for each flag that differs from its default, as it shows in the settings' Debug output.
const CHANGES: [(&str, &str, &str); 31] = [
    ("a", "check", "mode: Check"),
    ("c", "other-1_2", "campaign: \"other-1_2\""),
    ("s", "2024-03-05", "start: Some(2024-03-05 0:00:00.0"),
    ("fm", "updates_only", "filter: UpdatesOnly"),
    ("fp", "fc_, qc_,,", "task_prefixes: [\"fc_\", \"qc_\"]"),
    ("tp", "x_", "table_prefix: \"x_\""),
    ("fields", "7", "fields: First(7)"),
    ("interval", "90", "interval: 90s"),
    ("once", "true", "once: true"),
    ("overlap", "5m", "overlap: 300s"),
    ("reconcile", "2h", "reconcile: 7200s"),
    ("w", "32", "workers: 32"),
    ("d", "33", "connections: 33"),
    ("batch", "10000", "batch: 10000"),
    ("retry-wait", "20ms", "retry_wait: 20ms"),
    ("webhook-timeout", "7s", "webhook_timeout: 7s"),
    ("header", "X-One: 1", "headers: [(\"X-One\", Secret(…))]"),
    ("ledger-days", "7", "ledger_days: 7"),
    (
        "api-url",
        "https://h:8443/x//",
        "api_url: \"https://h:8443/x\"",
    ),
    ("ca-file", "/c", "ca_file: Some(\"/c\")"),
    ("wr", "2.5", "webhook_rate: Some(2.5)"),
    ("wb", "0", "webhook_burst: Some(0)"),
    ("l", "0", "log_level: 0"),
    ("v", "true", "verbose: true"),
    ("p", "true", "profile: true"),
    ("log-dir", "/l", "log_dir: Some(\"/l\")"),
    ("state-dir", "s", "state_dir: Some(\"s\")"),
    ("status-file", "/f", "status_file: Some(\"/f\")"),
    ("fm", "hi_updates_only", "filter: HiUpdatesOnly"),
    ("fields", "all", "fields: All"),
    ("a", "db_init", "mode: DbInit"),
];

#[test]
fn each_flag_is_read_in_every_spelling() {
    for (name, value, expected) in CHANGES {
        let flag = flags::find(name).unwrap();
        assert!(!format!("{:?}", settings(&[])).contains(expected));
        for spelling in flag.names() {
            let attached = format!("--{spelling}={value}");
            let one_dash = format!("-{spelling}={value}");
            let (two, one) = (format!("--{spelling}"), format!("-{spelling}"));
            let detached: [&[&str]; 2] = match flag.value {
                Some(_) => [&[&two, value], &[&one, value]],
                None => [&[&two], &[&one]],
            };
            for arguments in [
                &[attached.as_str()][..],
                &[one_dash.as_str()],
                detached[0],
                detached[1],
            ] {
                let found = format!("{:?}", settings(arguments));
                assert!(found.contains(expected), "{arguments:?}: {found}");
            }
        }
    }
}

#[test]
fn each_flag_is_read_from_every_variable() {
    for (name, value, expected) in CHANGES {
        let flag = flags::find(name).unwrap();
        for variable in flag.environment() {
            let found = settings_in(&without(&format!("--{name}")), &[(&variable, value)]);
            let found = format!("{found:?}");
            assert!(found.contains(expected), "{variable}: {found}");
        }
    }
}

#[test]
fn the_cases_above_leave_no_flag_out() {
    let elsewhere = [
        "ct",
        "token-file",
        "url",
        "url-file",
        "webhook-secret",
        "webhook-secret-file",
    ];
    for flag in flags::all().filter(|flag| !flag.prints()) {
        let here = CHANGES.iter().any(|(name, _, _)| *name == flag.name);
        assert!(here || elsewhere.contains(&flag.name), "{}", flag.name);
    }
}

#[test]
fn command_lines_of_the_vendors_clients_work() {
    let second = "--c X --ct Y --a db_sync --url mysql://u:p@h/db --w 32 --d 32 --l 5 --wr 5 --wb 0 --tp df_ --v";
    let words: Vec<&str> = second.split(' ').collect();
    let found = settings_in(&words, &[]);
    assert_eq!((found.campaign.as_str(), found.token.reveal()), ("X", "Y"));
    assert_eq!((found.workers, found.connections), (32, 32));
    assert_eq!(found.table_prefix, "df_");
    assert!(found.verbose);

    let first = "-a db_update -c X -ct=Y -fp fc_ -fm hi_updates_only -s 2024-03-05T01:02:03 -w 64 -d 16 -p \
                 -url postgres://u:p@h:5432/db";
    let words: Vec<&str> = first.split_whitespace().collect();
    let found = settings_in(&words, &[]);
    assert_eq!(found.mode, Mode::DbUpdate);
    assert_eq!(found.token.reveal(), "Y");
    assert_eq!(found.task_prefixes, ["fc_"]);
    assert_eq!(found.filter, FilterMode::HiUpdatesOnly);
    assert_eq!(found.start, Some(datetime!(2024-03-05 1:02:03 UTC)));
    assert!(found.profile);

    let variables = [
        ("DBSYNCC", "X"),
        ("DBSYNCCT", "Y"),
        ("DBSYNCA", "db_init"),
        ("DBSYNCURL", "sqlite:///x.db"),
    ];
    let found = settings_in(&[], &variables);
    assert_eq!((found.campaign.as_str(), found.token.reveal()), ("X", "Y"));
    assert_eq!(found.url.reveal(), "sqlite:///x.db");
}

#[test]
fn precedence() {
    let all = [
        ("DBSYNCW", "1"),
        ("DBSYNC_W", "2"),
        ("DBSYNC_WORKERS", "3"),
        ("DBSYNCWORKERS", "4"),
    ];
    fn workers(more: &[&str], environment: &[(&str, &str)]) -> usize {
        settings_in(&[&REQUIRED, more].concat(), environment).workers
    }
    assert_eq!(workers(&["--w", "5"], &all), 5);
    assert_eq!(workers(&["--w", "5", "--workers", "6"], &all), 6);
    assert_eq!(workers(&[], &all), 2);
    assert_eq!(workers(&[], &[all[0], all[2]]), 3);
    assert_eq!(workers(&[], &[all[0], all[3]]), 1);
    // A variable that nobody asks cannot be wrong, and an empty one is none.
    assert_eq!(workers(&["--w", "5"], &[("DBSYNC_W", "x")]), 5);
    assert_eq!(workers(&[], &[("DBSYNC_W", ""), ("DBSYNCW", "9")]), 9);
}

#[test]
fn switches() {
    let verbose = |text| settings_in(&REQUIRED, &[("DBSYNC_V", text)]).verbose;
    for text in ["1", "true", "TRUE", "yes"] {
        assert!(verbose(text), "{text}");
    }
    for text in ["0", "false", "No", ""] {
        assert!(!verbose(text), "{text:?}");
    }
    assert!(settings(&["--v"]).verbose);
    assert!(!settings(&["--v=false"]).verbose);
    assert!(!settings_in(&[&REQUIRED[..], &["-v=0"]].concat(), &[("DBSYNC_V", "1")]).verbose);
    assert_eq!(
        error_in(&REQUIRED, &[("DBSYNC_V", "on")]),
        "--v (from DBSYNC_V) \"on\": 1, true or yes, 0, false or no is expected"
    );
}

#[test]
fn an_empty_table_prefix_is_one() {
    assert_eq!(settings(&["--tp", ""]).table_prefix, "");
    assert_eq!(settings(&["--tp="]).table_prefix, "");
    assert_eq!(
        settings_in(&REQUIRED, &[("DBSYNC_TP", "")]).table_prefix,
        ""
    );
    assert_eq!(
        settings(&["--tp", &"ä".repeat(40)])
            .table_prefix
            .chars()
            .count(),
        40
    );
}

#[test]
fn empty_filters_mean_all() {
    let found = settings(&["--fm", "", "--fp=", "--s", "", "--log-dir", ""]);
    assert_eq!(found.filter, FilterMode::All);
    assert_eq!(found.task_prefixes, [""; 0]);
    assert_eq!((found.start, found.log_dir), (None, None));
}

#[test]
fn texts_about_the_program_need_nothing_else() {
    for help in ["--help", "-help", "--h", "-h"] {
        assert!(matches!(run(&[help], &[]), Ok(Parsed::Help)), "{help}");
    }
    for version in ["--version", "-V"] {
        assert!(matches!(
            run(&["--a", "x", version], &[]),
            Ok(Parsed::Version)
        ));
    }
    assert!(matches!(run(&["--man"], &[]), Ok(Parsed::Manual)));
    assert!(matches!(run(&["--licenses"], &[]), Ok(Parsed::Licenses)));
    let variables = [
        ("DBSYNC_HELP", "1"),
        ("DBSYNC_VERSION", "1"),
        ("DBSYNC_H", "1"),
    ];
    assert_eq!(settings_in(&REQUIRED, &variables).mode, Mode::DbSync);
}

#[test]
fn secrets_from_files() {
    let scratch = Scratch::new().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path: PathBuf = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let token = file("token", "\u{feff} TOK_en-1= \r\nsecond line\n");
    let url = file("url", "postgresql://u:p@h/db");
    let base = ["--a", "db_init", "--c", "X"];
    let both = [&base[..], &["--token-file", &token, "--url-file", &url]].concat();
    let found = settings_in(&both, &[]);
    assert_eq!(found.token.reveal(), "TOK_en-1=");
    assert_eq!(found.url.reveal(), "postgresql://u:p@h/db");

    // Of command line and environment the first wins, whichever of the two flags it names.
    let found = settings_in(
        &both,
        &[("DBSYNC_CT", "other"), ("DBSYNC_URL", "mysql://o")],
    );
    assert_eq!(found.token.reveal(), "TOK_en-1=");
    assert_eq!(found.url.reveal(), "postgresql://u:p@h/db");
    let found = settings_in(&REQUIRED, &[("DBSYNC_TOKEN_FILE", &token)]);
    assert_eq!(found.token.reveal(), "TOKEN");

    assert_eq!(
        error(&["--token-file", &token]),
        "--ct and --token-file exclude each other: give one of them"
    );
    assert_eq!(
        error(&["--url-file", &url]),
        "--url and --url-file exclude each other: give one of them"
    );
    let variables = [("DBSYNC_TOKEN", "x"), ("DBSYNC_TOKEN_FILE", token.as_str())];
    assert_eq!(
        error_in(&without("--ct"), &variables),
        "--ct (from DBSYNC_TOKEN) and --token-file (from DBSYNC_TOKEN_FILE) exclude each other: give one of them"
    );

    let empty = file("empty", "\nTOKEN\n");
    assert_eq!(
        error_in(
            &[&without("--ct")[..], &["--token-file", &empty]].concat(),
            &[]
        ),
        format!("--token-file {empty:?}: the first line of this file is empty")
    );
    let wrong = file("wrong", "SECRET");
    let line = [&without("--url")[..], &["--url-file", &wrong]].concat();
    assert_eq!(
        error_in(&line, &[]),
        format!(
            "--url-file {wrong:?}: an address that begins with postgres://, postgresql://, mysql://, mariadb://, \
             sqlserver:// (or mssql://) or sqlite: is expected"
        )
    );
    let missing = scratch.path().join("missing");
    let missing = missing.to_str().unwrap();
    let text = error_in(
        &[&without("--url")[..], &["--url-file", missing]].concat(),
        &[],
    );
    let expected = format!("--url-file {missing:?}: cannot read this file: ");
    assert!(text.starts_with(&expected), "{text}");
}

#[test]
fn required_flags_are_asked_for() {
    for (flag, expected) in [
        (
            "--a",
            "--a is missing: what to do (--help explains all flags)",
        ),
        (
            "--c",
            "--c is missing: the campaign id (--help explains all flags)",
        ),
        (
            "--ct",
            "--token-file or --ct is missing: the token of the campaign (--help explains all flags)",
        ),
        (
            "--url",
            "--url-file or --url is missing: the address of the target (--help explains all flags)",
        ),
    ] {
        assert_eq!(error_in(&without(flag), &[]), expected);
        assert_eq!(error(&[flag, " "]), expected);
    }
}

#[test]
fn unknown_flags_and_stray_arguments() {
    for (name, nearest) in [
        ("--tokne", Some("token")),
        ("--cc", Some("c")),
        ("--Url", Some("url")),
        ("--table_prefix", Some("table-prefix")),
        ("-intervall", Some("interval")),
        ("--once-only", None),
        ("--xyz", None),
        ("-5", None),
    ] {
        let advice = match nearest {
            Some(known) => format!("did you mean --{known}? "),
            None => String::new(),
        };
        let name_only = name.trim_start_matches('-');
        assert_eq!(
            error(&[&format!("{name}=SECRET")]),
            format!("unknown flag --{name_only}: {advice}--help lists all flags")
        );
    }
    let glued = error(&["--ctABCDEFGHIJKLMNOPQRSTUVWXYZ"]);
    assert!(glued.contains("--ctABCDEFGHIJKLMN:"), "{glued}");

    let sentence =
        "belongs to no flag: each value stands behind its flag, and one with blanks in quotes";
    assert_eq!(
        error(&["--fp", "fc_,", "SECRET"]),
        format!("an argument behind --fp {sentence}")
    );
    assert_eq!(
        error_in(&["db_sync"], &[]),
        format!("an argument at the beginning {sentence}")
    );
    assert_eq!(
        error(&["--", "--v"]),
        format!("an argument behind --url {sentence}")
    );
}

#[test]
fn forgotten_values_are_noticed() {
    let expected = "--ct needs a value: --ct TOKEN (one that begins with a dash: --ct=TOKEN)";
    assert_eq!(error(&["--ct"]), expected);
    assert_eq!(error(&["--ct", "--v"]), expected);
    assert_eq!(error(&["--token", "-SECRET"]), expected);
    assert_eq!(settings(&["--ct=-SECRET"]).token.reveal(), "-SECRET");
}

#[test]
fn wrong_values_are_refused_in_one_sentence() {
    let time = "such as 500ms, 60s, 2m, 1h or 1d";
    let date = "YYYY-MM-DD, YYYY-MM-DDThh:mm or YYYY-MM-DDThh:mm:ss (UTC) is expected, and a date that exists";
    let modes = "the modes of this version are db_init, db_update, db_sync, webhook, replay, check";
    let id = "a campaign id has only letters, digits, - and _, and at most 100 of them";
    let api = "an address such as https://api.dialfire.com is expected, without user, ? and #";
    let prefix = "at most 40 characters are expected, none of them a control character";
    for (flag, values, expected) in [
        ("a", &["Webhook", "resend", "DB_SYNC", "sync"][..], modes),
        ("c", &["a/b", "a b", "..", "ä", &"x".repeat(101)], id),
        ("s", &["2024-02-30", "yesterday"], date),
        (
            "fm",
            &["update_only", "all"],
            "updates_only or hi_updates_only is expected, or nothing for all transactions",
        ),
        ("tp", &["a\u{0}b", "a\nb", &"x".repeat(41)], prefix),
        (
            "w",
            &["0", "65", "abc", "1.5", "-1"],
            "a whole number from 1 to 64 is expected",
        ),
        ("d", &["0", "65"], "a whole number from 1 to 64 is expected"),
        (
            "l",
            &["6", "-1", "info"],
            "a whole number from 0 to 5 is expected",
        ),
        (
            "batch",
            &["0", "10001"],
            "a whole number from 1 to 10000 is expected",
        ),
        (
            "fields",
            &["-1", "some", "1.0"],
            "a whole number from 0 up or all is expected",
        ),
        (
            "wr",
            &["-1", "x", "inf", "NaN"],
            "a number from 0 up is expected",
        ),
        ("wb", &["-1", "1.5"], "a whole number from 0 up is expected"),
        (
            "interval",
            &["86401", "25h", "x"],
            &format!("a time from 0 to 1d is expected, {time}"),
        ),
        (
            "overlap",
            &["8d"],
            &format!("a time from 0 to 7d is expected, {time}"),
        ),
        (
            "reconcile",
            &["0", "999ms", "8d"],
            &format!("a time from 1s to 7d is expected, {time}"),
        ),
        (
            "retry-wait",
            &["0", "61s"],
            &format!("a time from 1ms to 60s is expected, {time}"),
        ),
        (
            "api-url",
            &[
                "api.dialfire.com",
                "ftp://x",
                "https://",
                "http:///",
                "https://u:p@h",
                "https://h?x",
                "https://a b",
            ],
            api,
        ),
    ] {
        for value in values {
            assert_eq!(
                error(&[&format!("--{flag}={value}")]),
                format!("--{flag} {value:?}: {expected}")
            );
        }
    }
}

#[test]
fn limits_are_within() {
    for arguments in [
        ["--w", "1"],
        ["--w", "64"],
        ["--l", "5"],
        ["--batch", "1"],
        ["--fields", "0"],
        ["--interval", "0"],
        ["--interval", "1d"],
        ["--overlap", "0"],
        ["--overlap", "7d"],
        ["--reconcile", "1s"],
        ["--reconcile", "7d"],
        ["--retry-wait", "1ms"],
        ["--retry-wait", "60s"],
        ["--wr", "0"],
    ] {
        settings(&arguments);
    }
}

#[test]
fn wrong_secrets_are_not_repeated() {
    let schemes = "an address that begins with postgres://, postgresql://, mysql://, mariadb://, sqlserver:// (or mssql://) or sqlite: is expected";
    for url in ["SECRET", "https://SECRET", "SECRET@h/db", "u:SECRET@h/db"] {
        assert_eq!(error(&["--url", url]), format!("--url: {schemes}"));
    }
    assert_eq!(
        error(&["--ct", "SEC RET"]),
        "--ct: character 4 of the token can't be part of one"
    );
    assert_eq!(
        error(&["--ct", "SECRET\u{e4}"]),
        "--ct: character 7 of the token can't be part of one"
    );
    for url in [
        "MySQL://h/db",
        "mariadb://h/db",
        "sqlserver://h/db",
        "mssql://h/db",
        "sqlite:file.db",
    ] {
        assert_eq!(settings(&["--url", url]).url.reveal(), url);
    }
}

#[test]
fn once_goes_with_modes_that_have_no_end() {
    assert!(settings(&["--once"]).once);
    for mode in ["db_init", "db_update", "check"] {
        assert_eq!(
            error(&["--once", "--a", mode]),
            format!("--once goes only with --a db_sync or webhook: {mode} ends by itself")
        );
        assert!(!settings(&["--once=false", "--a", mode]).once);
    }
}

#[test]
fn plain_http_is_warned_about() {
    let found = settings(&["--api-url", "http://127.0.0.1:8080/"]);
    assert_eq!(found.api_url, "http://127.0.0.1:8080");
    assert_eq!(
        found.warnings,
        ["--api-url is http, not https: everyone on the way can read the token and the contacts"]
    );
}

#[test]
fn debug_output_shows_no_secret() {
    let found = settings(&["--ct", "SECRET-1", "--url", "mysql://u:SECRET-2@h/db"]);
    let text = format!("{found:?} {:?}", Parsed::Run(Box::new(found.clone())));
    assert!(text.contains("Secret(…)"));
    assert!(!text.contains("SECRET"), "{text}");
}

const WEBHOOK: [&str; 8] = [
    "--a",
    "webhook",
    "--c",
    "CAMP",
    "--ct",
    "TOKEN",
    "--url",
    "https://u:p@h/in",
];

#[test]
fn each_mode_takes_its_kind_of_address() {
    let with = |mode, url| error(&["--a", mode, "--url", url]);
    for mode in ["webhook", "replay"] {
        for url in ["mysql://u:SECRET@h/db", "h/SECRET", "ftp://SECRET"] {
            assert_eq!(
                with(mode, url),
                format!(
                    "--url: an address that begins with https:// or http:// is expected for --a {mode}"
                )
            );
        }
        for url in ["https://h/", "HTTP://u:p@h:1/in?x=1"] {
            assert_eq!(settings(&["--a", mode, "--url", url]).url.reveal(), url);
        }
    }
    for mode in ["db_init", "db_update", "db_sync"] {
        assert!(with(mode, "https://h/").contains("or sqlite: is expected"));
    }
    for url in ["https://h/", "sqlite:///x.db"] {
        assert_eq!(settings(&["--a", "check", "--url", url]).url.reveal(), url);
    }
}

#[test]
fn what_concerns_web_services() {
    let defaults = settings_in(&WEBHOOK, &[]);
    assert_eq!(defaults.webhook_timeout, Duration::from_secs(30));
    assert_eq!((defaults.ledger_days, defaults.headers.len()), (90, 0));
    assert_eq!(defaults.webhook_keys.reveal(), "");
    assert!(!defaults.once && defaults.warnings.is_empty());

    let scratch = Scratch::new().unwrap();
    let file = scratch.path().join("keys");
    fs::write(&file, "whsec_A whsec_B \nmore\n").unwrap();
    let file = file.to_str().unwrap();
    let from_file = format!("X-File: @{file}");
    let more = [
        "--header",
        "X-One: a: b",
        "--header",
        &from_file,
        "--header=X-Empty:",
        "--webhook-secret-file",
        file,
        "--webhook-timeout",
        "500ms",
        "--ledger-days",
        "7",
        "--once",
    ];
    let found = settings_in(&[&WEBHOOK[..], &more].concat(), &[]);
    let headers: Vec<(&str, &str)> = found
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.reveal()))
        .collect();
    assert_eq!(
        headers,
        [
            ("X-One", "a: b"),
            ("X-File", "whsec_A whsec_B"),
            ("X-Empty", "")
        ]
    );
    assert_eq!(found.webhook_keys.reveal(), "whsec_A whsec_B");
    assert_eq!(found.webhook_timeout, Duration::from_millis(500));
    assert_eq!((found.ledger_days, found.once), (7, true));

    let variables = [
        ("DBSYNC_HEADER", "X-One: 1\n\nX-Two: 2"),
        ("DBSYNC_WEBHOOK_SECRET", "whsec_C"),
    ];
    let found = settings_in(&WEBHOOK, &variables);
    assert_eq!(found.headers.len(), 2);
    assert_eq!(found.webhook_keys.reveal(), "whsec_C");
    let line = [&WEBHOOK[..], &["--url", "http://h/"]].concat();
    assert_eq!(
        settings_in(&line, &[]).warnings,
        ["--url is http, not https: everyone on the way can read the contacts"]
    );
}

#[test]
fn headers_that_cannot_be_are_refused_without_their_values() {
    let form = "--header: 'Name: value' is expected, or 'Name: @FILE'";
    for (line, wanted) in [
        ("SECRET", form),
        (": SECRET", form),
        ("X Y: SECRET", form),
        (
            "Content-Type: SECRET",
            "--header: Content-Type can't be set: the program does so itself",
        ),
        (
            "Webhook-Id: SECRET",
            "--header: Webhook-Id can't be set: the program does so itself",
        ),
        (
            "X-One: SEC\u{7}RET",
            "--header: the value of X-One holds a control character",
        ),
    ] {
        let arguments = [&WEBHOOK[..], &["--header", line]].concat();
        assert_eq!(error_in(&arguments, &[]), wanted);
    }
    let missing = error_in(
        &[&WEBHOOK[..], &["--header", "X-One: @/nowhere/key"]].concat(),
        &[],
    );
    assert!(missing.starts_with("X-One from /nowhere/key: --header: cannot read this file: "));
    let days = error_in(&[&WEBHOOK[..], &["--ledger-days", "1"]].concat(), &[]);
    assert_eq!(
        days,
        "--ledger-days \"1\": a whole number from 2 to 3650 is expected"
    );
}

#[cfg(unix)]
#[test]
fn text_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let broken = || OsString::from_vec(vec![b'x', 0xff]);
    let required = REQUIRED.iter().map(OsString::from);
    let line = required.chain([OsString::from("--log-dir"), broken()]);
    let error = parse(line, &|_| None).unwrap_err();
    assert_eq!(error.to_string(), "--log-dir: the value is not valid UTF-8");
    let required = REQUIRED.iter().map(OsString::from);
    let lookup = |name: &str| (name == "DBSYNC_FP").then(broken);
    let error = parse(required, &lookup).unwrap_err();
    assert_eq!(
        error.to_string(),
        "--fp (from DBSYNC_FP): the value is not valid UTF-8"
    );
    let argument = [OsString::from_vec(vec![b'-', 0xff])];
    let error = parse(argument, &|_| None).unwrap_err();
    assert!(error.to_string().starts_with("unknown flag --\u{fffd}:"));
}
