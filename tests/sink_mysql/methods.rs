//! How accounts prove who they are.

use super::*;

#[test]
fn an_account_of_the_method_ed25519_works() {
    let mut db = Database::new("ed25519");
    db.run("INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'");
    let mut url = db.user("ed", "ALL");
    for password in ["pw", "p@ss ü with 40 bytes and a few more of them"] {
        db.run(&format!(
            "ALTER USER {}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{password}')",
            url.user
        ));
        // Each log-in has another challenge.
        for tls in [TlsMode::Disable, TlsMode::Require].repeat(3) {
            url.tls = tls;
            url.password = dbsync2::net::secret::Secret::new(password);
            let mut sink = open(&url).unwrap();
            sink.prepare(&schema(&[])).unwrap();
        }
        url.password = dbsync2::net::secret::Secret::new("hush");
        let error = open_error(&url);
        assert_eq!(error.kind(), ErrorKind::Setup);
        assert!(
            error.to_string().contains("user or password rejected"),
            "{error}"
        );
    }
}

#[test]
fn a_method_that_is_not_known_is_named() {
    let mut db = Database::new("methods");
    db.run("INSTALL PLUGIN IF NOT EXISTS pam SONAME 'auth_pam'");
    let url = db.user("pam", "ALL");
    db.run(&format!(
        "ALTER USER {}@'%' IDENTIFIED VIA pam USING 'dbsync_no_such_service'",
        url.user
    ));
    let error = open_error(&url);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error
            .to_string()
            .contains("by dialog, which this program does not know"),
        "{error}"
    );
    db.run(&format!(
        "ALTER USER {}@'%' IDENTIFIED VIA unix_socket",
        url.user
    ));
    let error = open_error(&url);
    assert_eq!(error.kind(), ErrorKind::Setup);
    assert!(
        error.to_string().contains("user or password rejected"),
        "{error}"
    );
}
