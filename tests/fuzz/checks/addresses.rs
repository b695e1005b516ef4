//! Addresses of databases and web services.

use std::fmt::Write;

use dbsync2::destination::sql::url::DatabaseUrl;
use dbsync2::destination::webhook::receiver::Address;

use super::memory::bounded;

/// Stands in the password, and must not come out again.
const SECRET: &str = "Zq7SecretWord";

/// Reads the input as an address, as a part of one, and as the values of one.
pub fn address(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _ = bounded(text.len(), || DatabaseUrl::parse(text));
    let _ = bounded(text.len(), || Address::read(text));
    for scheme in ["postgres", "mysql", "sqlserver"] {
        whole_values(scheme, text);
        keeps_its_secret(&format!("{scheme}://u:{SECRET}{text}@h.example/db"));
        keeps_its_secret(&format!("{scheme}://u:{SECRET}@{text}"));
    }
    let web = format!("https://u:{SECRET}@{text}");
    match Address::read(&web) {
        Ok(address) => {
            let shown = address.display().to_owned();
            // Another `@` makes it a part of the user's name or of the path, which is no secret.
            assert!(
                text.contains('@') || !shown.contains(SECRET),
                "{web}: {shown}"
            );
        }
        Err(error) => assert!(!error.to_string().contains(SECRET), "{web}: {error}"),
    }
}

fn keeps_its_secret(url: &str) {
    let said = match DatabaseUrl::parse(url) {
        Ok(address) => format!("{} {address:?}", address.display()),
        Err(error) => error.to_string(),
    };
    assert!(!said.contains(SECRET), "{url}: {said}");
}

/// User, password and database that are percent-encoded come out as they are.
fn whole_values(scheme: &str, text: &str) {
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or("x");
    let (user, password, database) = (part(), part(), part());
    if user.is_empty() || database.is_empty() {
        return;
    }
    let url = format!(
        "{scheme}://{}:{}@h.example/{}",
        encoded(user),
        encoded(password),
        encoded(database)
    );
    let found = match DatabaseUrl::parse(&url) {
        Ok(DatabaseUrl::Postgres(found)) => (found.user, found.password, found.database),
        Ok(DatabaseUrl::Mysql(found)) => (found.user, found.password, found.database),
        Ok(DatabaseUrl::SqlServer(found)) => (found.user, found.password, found.database),
        other => panic!("{url}: {other:?}"),
    };
    assert_eq!(
        (found.0.as_str(), found.1.reveal(), found.2.as_str()),
        (user, password, database)
    );
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}
