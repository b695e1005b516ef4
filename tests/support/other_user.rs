//! Users of a database besides the one that owns all.

use super::database::Database;
use super::servers::Kind;

/// Another user of a database, who goes with it.
pub struct OtherUser<'a> {
    /// The address of the database for this user.
    pub url: String,
    database: &'a Database,
    pub name: String,
}

impl<'a> OtherUser<'a> {
    /// With what these statements give to the user of this name.
    pub fn of(database: &'a Database, grants: impl FnOnce(&str) -> Vec<String>) -> Self {
        let (scheme, rest) = database.url.split_once("://").unwrap();
        let (_, place) = rest.rsplit_once('@').unwrap();
        let (_, number) = place.rsplit_once("dbsync_test").unwrap();
        let name = format!("other{number}");
        database.execute(&match database.kind {
            Kind::Postgres => format!("CREATE ROLE {name} LOGIN PASSWORD 'pw'"),
            _ => format!("CREATE USER {name} IDENTIFIED BY 'pw'"),
        });
        for grant in grants(&name) {
            database.execute(&grant);
        }
        OtherUser {
            url: format!("{scheme}://{name}:pw@{place}"),
            database,
            name,
        }
    }
}

impl Drop for OtherUser<'_> {
    fn drop(&mut self) {
        let name = &self.name;
        self.database.execute(&match self.database.kind {
            Kind::Postgres => format!(
                "REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; DROP ROLE {name}"
            ),
            _ => format!("DROP USER {name}"),
        });
    }
}
