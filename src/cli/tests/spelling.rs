//! What is read: every flag in every spelling, from command line and environment.

use super::*;

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
    // A variable that nobody asks cannot be wrong, and an empty one counts as not set.
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
    for help in ["--help", "-help", "help"] {
        assert!(matches!(run(&[help], &[]), Ok(Parsed::Help)), "{help}");
    }
    for help in ["--h", "-h"] {
        assert!(matches!(run(&[help], &[]), Ok(Parsed::ShortHelp)), "{help}");
    }
    assert!(matches!(run(&["version"], &[]), Ok(Parsed::Version)));
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
