//! Secrets come from files, and stand in no message.

use super::*;

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

/// Each flag that names a file with a secret reads what PowerShell's `>` writes.
#[test]
fn secrets_in_utf16_are_read_by_every_flag() {
    let scratch = Scratch::new().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path: PathBuf = scratch.path().join(name);
        let units = format!("\u{feff}{text}\r\n");
        let bytes: Vec<u8> = units.encode_utf16().flat_map(u16::to_le_bytes).collect();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let header = format!("X-Key: @{}", file("header", "KEY"));
    let found = settings_in(
        &[
            "--a",
            "webhook",
            "--c",
            "X",
            "--token-file",
            &file("token", "TOKEN"),
            "--url-file",
            &file("url", "https://u:pä€@h/in"),
            "--webhook-secret-file",
            &file("secret", "whsec_A whsec_B"),
            "--header",
            &header,
        ],
        &[],
    );
    assert_eq!(found.token.reveal(), "TOKEN");
    assert_eq!(found.url.reveal(), "https://u:pä€@h/in");
    assert_eq!(found.webhook_keys.reveal(), "whsec_A whsec_B");
    assert_eq!(found.headers[0].1.reveal(), "KEY");

    let garbage = scratch.path().join("garbage");
    fs::write(&garbage, b"SECRET\0\n").unwrap();
    let garbage = garbage.to_str().unwrap();
    assert_eq!(
        error_in(
            &[&without("--ct")[..], &["--token-file", garbage]].concat(),
            &[]
        ),
        format!(
            "--token-file {garbage:?}: the first line of this file holds NUL characters: it is not plain text, or UTF-16 \
             without a byte order mark; save it as UTF-8"
        )
    );
}

#[cfg(unix)]
#[test]
fn a_secret_that_everybody_may_read_gets_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path: PathBuf = scratch.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let names = ["token", "url", "key", "header"];
    let [token, url, key, header] = names.map(|name| {
        file(
            name,
            match name {
                "url" => "http://h/",
                "key" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                _ => "TOKEN",
            },
        )
    });
    let header = format!("Authorization: @{header}");
    let line = [
        &["--a", "webhook", "--c", "X", "--token-file", &token][..],
        &["--url-file", &url, "--webhook-secret-file", &key],
        &["--header", &header],
    ]
    .concat();
    let exposed = |mode: u32| -> Vec<String> {
        for name in names {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(scratch.path().join(name), mode).unwrap();
        }
        let warnings = settings_in(&line, &[]).warnings;
        let exposed = warnings.into_iter().filter(|w| w.contains("every user"));
        exposed.collect()
    };
    assert_eq!(exposed(0o600), [""; 0]);
    assert_eq!(exposed(0o640), [""; 0]);
    let found = exposed(0o644);
    assert_eq!(found.len(), 4, "{found:?}");
    assert_eq!(
        found.first().unwrap(),
        &format!("--token-file: every user of this computer may read {token}: chmod 600 {token}")
    );
    assert!(exposed(0o666).iter().all(|w| w.contains("may change")));
}

#[test]
fn wrong_secrets_are_not_repeated() {
    let schemes = "an address that begins with postgres://, postgresql://, mysql://, mariadb://, sqlserver:// (or mssql://) or sqlite: is expected";
    for url in ["SECRET", "https://SECRET", "SECRET@h/db", "u:SECRET@h/db"] {
        assert_eq!(error(&["--url", url]), format!("--url: {schemes}"));
    }
    assert_eq!(
        error(&["--ct", "SEC RET"]),
        "--ct: character 4 is not allowed in a token, which has letters, digits and signs of ASCII only"
    );
    assert_eq!(
        error(&["--ct", "SECRET\u{e4}"]),
        "--ct: character 7 is not allowed in a token, which has letters, digits and signs of ASCII only"
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
