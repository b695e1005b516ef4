//! What goes with a mode, and with databases or web services.

use super::*;

#[test]
fn once_goes_with_modes_that_have_no_end() {
    assert!(settings(&["--once"]).once);
    for mode in ["db_init", "db_update", "check"] {
        assert_eq!(
            error(&["--once", "--a", mode]),
            format!(
                "--once can be used only with --a db_sync or webhook: {mode} always ends after one run"
            )
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
