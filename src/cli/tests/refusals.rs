//! What is wrong is refused in one sentence.

use super::*;

#[test]
fn required_flags_are_asked_for() {
    for (flag, expected) in [
        (
            "--a",
            "--a MODE is required: db_init, db_update, db_sync, webhook, replay or check (see dbsync2 --help)",
        ),
        (
            "--c",
            "--c ID is required: the id of the campaign, as Dialfire shows it (see dbsync2 --help)",
        ),
        (
            "--ct",
            "--token-file FILE or --ct TOKEN is required: the token of the campaign (see dbsync2 --help)",
        ),
        (
            "--url",
            "--url-file FILE or --url URL is required: the address of the target (see dbsync2 --help)",
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

    let sentence = "each value follows its flag, and a value with blanks needs quotes";
    assert_eq!(
        error(&["--fp", "fc_,", "SECRET"]),
        format!("unexpected argument after --fp: {sentence}")
    );
    for first in [&["SECRET"][..], &["help", "SECRET"], &["version", "--v"]] {
        assert_eq!(
            error_in(first, &[]),
            format!("unexpected first argument: {sentence}")
        );
    }
    assert_eq!(
        error(&["--", "--v"]),
        format!("unexpected argument after --url: {sentence}")
    );
    assert_eq!(
        error_in(&["db_sync", "--c", "X"], &[]),
        "unexpected first argument: did you mean --a db_sync?"
    );
    assert_eq!(
        error_in(&["--c", "X", "check"], &[]),
        "unexpected argument after --c: did you mean --a check?"
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
    let modes = "db_init, db_update, db_sync, webhook, replay or check is expected";
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
                "https://h:0",
                "https://h:99999/x",
                "https://:443",
                "https://[::1",
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
