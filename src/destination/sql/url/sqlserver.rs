//! SQL Server's database URLs: instances beside databases, and the options of Microsoft's drivers.

use std::path::PathBuf;
use std::time::Duration;

use super::address::{Parts, servers};
use super::{CONNECT_TIMEOUT, Host, Scheme, Servers, choose, seconds, unknown_option};
use crate::error::{Error, Result};
use crate::net::secret::Secret;

/// The TCP port of a server whose URL names neither port nor instance.
const PORT: u16 = 1433;

/// The UDP port of SQL Server Browser, which knows the TCP ports of instances.
const BROWSER_PORT: u16 = 1434;

/// How much of a connection is encrypted (`encrypt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// `strict`: everything, from the first byte on (TDS 8.0, SQL Server 2022 and later).
    Strict,
    /// `true`: everything from the log-in on. The default of Microsoft's drivers, and ours.
    Full,
    /// `login`: the log-in, and the rest only if the server insists.
    Login,
    /// `false`: nothing.
    Nothing,
}

/// What a SQL Server URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlServerUrl {
    /// Where the server listens, tried in this order. Never empty. The ports are those of SQL Server Browser (UDP)
    /// where [`SqlServerUrl::ask_browser`] says so.
    pub hosts: Vec<Host>,
    /// The instance; decides nothing where a port is given.
    pub instance: Option<String>,
    /// Whether SQL Server Browser is to be asked for the instance's port.
    pub ask_browser: bool,
    /// Log-in name.
    pub user: String,
    /// Its password; empty if there is none.
    pub password: Secret,
    /// Database name.
    pub database: String,
    /// `encrypt`
    pub encryption: Encryption,
    /// `trustServerCertificate`: whether any certificate will do.
    pub trust_certificate: bool,
    /// `caFile`: root certificates to trust, in place of those of `--ca-file`.
    pub ca_file: Option<PathBuf>,
    /// `connectTimeout`: per address for the connection, and again for the log-in.
    pub connect_timeout: Duration,
    /// `applicationName`: as shown in `sys.dm_exec_sessions`.
    pub application_name: String,
}

impl SqlServerUrl {
    /// See [`super::DatabaseUrl::display`].
    pub(super) fn display(&self) -> String {
        let hosts: Vec<String> = (self.hosts.iter())
            .map(|host| match self.ask_browser {
                true => host.name.clone(),
                false => host.to_string(),
            })
            .collect();
        let instance = match &self.instance {
            Some(instance) if self.ask_browser => format!("/{}", instance.to_lowercase()),
            _ => String::new(),
        };
        format!(
            "sqlserver://{}{instance}/{}",
            hosts.join(","),
            self.database
        )
    }
}

/// Reads what stands behind `sqlserver://`.
pub(super) fn parse(rest: &str) -> Result<SqlServerUrl> {
    let parts = Parts::split(rest, Scheme::SqlServer)?;
    let (user, password) = parts.login()?;
    let mut url = SqlServerUrl {
        hosts: Vec::new(),
        instance: None,
        ask_browser: false,
        user,
        password,
        database: String::new(),
        encryption: Encryption::Full,
        trust_certificate: false,
        ca_file: None,
        connect_timeout: CONNECT_TIMEOUT,
        application_name: "dbsync2".to_owned(),
    };
    let mut database = None;
    for (name, value) in parts.options()? {
        match name.as_str() {
            "encrypt" => {
                url.encryption = choose(
                    "encrypt",
                    &value,
                    // Microsoft's words of now, and those of the drivers for ODBC and Go.
                    &[
                        ("true", Encryption::Full),
                        ("false", Encryption::Nothing),
                        ("strict", Encryption::Strict),
                        ("login", Encryption::Login),
                        ("mandatory", Encryption::Full),
                        ("optional", Encryption::Login),
                        ("disable", Encryption::Nothing),
                    ],
                )?;
            }
            "trustservercertificate" => {
                url.trust_certificate = choose(
                    "trustServerCertificate",
                    &value,
                    &[
                        ("true", true),
                        ("false", false),
                        ("yes", true),
                        ("no", false),
                    ],
                )?;
            }
            "cafile" if !value.is_empty() => url.ca_file = Some(PathBuf::from(value)),
            "applicationname" => url.application_name = value,
            "connecttimeout" => url.connect_timeout = seconds("connectTimeout", &value)?,
            "instance" if !value.is_empty() => url.instance = Some(value),
            "database" if !value.is_empty() => database = Some(value),
            _ => {
                return Err(unknown_option(
                    &name,
                    "encrypt, trustServerCertificate, caFile, applicationName, connectTimeout, instance, database",
                ));
            }
        }
    }
    let mut path = parts.segments();
    url.database = match database {
        Some(database) => database,
        None => path.pop().unwrap_or_default(),
    };
    if let Some(instance) = path.pop() {
        if url.instance.is_some() || !path.is_empty() {
            return Err(Error::usage(format!(
                "database address (--url): more names than an instance and a database: expected {}",
                Scheme::SqlServer.longest_example()
            )));
        }
        url.instance = Some(instance);
    }
    if url.database.is_empty() {
        return Err(Error::usage(format!(
            "database address (--url): no database name: expected {}",
            Scheme::SqlServer.example()
        )));
    }
    // The instance of that name is the one that listens at the usual port.
    if (url.instance.as_deref()).is_some_and(|name| name.eq_ignore_ascii_case("MSSQLSERVER")) {
        url.instance = None;
    }
    if (url.instance.as_deref()).is_some_and(|name| !is_instance(name)) {
        return Err(Error::usage(
            "database address (--url): the instance holds characters that no instance has",
        ));
    }
    (url.hosts, url.ask_browser) = hosts(parts.hosts, url.instance.is_some())?;
    Ok(url)
}

/// Names of instances, and nothing that could pass for more than one word of the Browser's protocol.
fn is_instance(name: &str) -> bool {
    let valid = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '#' | '-');
    !name.is_empty() && name.len() <= 32 && name.chars().all(valid)
}

/// The hosts with their ports, and whether these are the Browser's.
fn hosts(text: &str, has_instance: bool) -> Result<(Vec<Host>, bool)> {
    // Microsoft writes `host,port`.
    let text = match text.rsplit_once(',') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{host}:{port}")
        }
        _ => text.to_owned(),
    };
    // No port is 0, which stands for "not given".
    let Servers::Tcp(mut hosts) = servers(&text, 0, Scheme::SqlServer)? else {
        return Err(Error::usage(
            "database address (--url): SQL Server is reached at a host name, not at a path",
        ));
    };
    let ask_browser = has_instance && hosts.iter().all(|host| host.port == 0);
    for host in hosts.iter_mut().filter(|host| host.port == 0) {
        host.port = if ask_browser { BROWSER_PORT } else { PORT };
    }
    Ok((hosts, ask_browser))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::super::DatabaseUrl;
    use super::*;
    use crate::error::ErrorKind;

    fn url(text: &str) -> SqlServerUrl {
        match DatabaseUrl::parse(text) {
            Ok(DatabaseUrl::SqlServer(url)) => url,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        let error = DatabaseUrl::parse(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
        error.to_string()
    }

    fn place(text: &str) -> (String, Option<String>, bool, String) {
        let url = url(text);
        let hosts: Vec<String> = url.hosts.iter().map(Host::to_string).collect();
        (hosts.join(","), url.instance, url.ask_browser, url.database)
    }

    #[test]
    fn hosts_ports_instances_and_databases() {
        for (text, hosts, instance, ask_browser) in [
            (
                "sqlserver://u:p@DB.example/db",
                "db.example:1433",
                None,
                false,
            ),
            (
                "mssql://u:p@db.example:1500/db",
                "db.example:1500",
                None,
                false,
            ),
            (
                "sqlserver://u:p@db.example,1500/db",
                "db.example:1500",
                None,
                false,
            ),
            (
                "sqlserver://u:p@h/SQLEXPRESS/db",
                "h:1434",
                Some("SQLEXPRESS"),
                true,
            ),
            (
                "sqlserver://u:p@h/db?instance=SQLEXPRESS",
                "h:1434",
                Some("SQLEXPRESS"),
                true,
            ),
            (
                "sqlserver://u:p@h/SQLEXPRESS?database=db",
                "h:1434",
                Some("SQLEXPRESS"),
                true,
            ),
            (
                "sqlserver://u:p@h:1500/SQLEXPRESS/db",
                "h:1500",
                Some("SQLEXPRESS"),
                false,
            ),
            ("sqlserver://u:p@h/MSSQLSERVER/db", "h:1433", None, false),
            ("sqlserver://u:p@h:1500?database=db", "h:1500", None, false),
            ("sqlserver://u:p@h/?Database=db", "h:1433", None, false),
            ("sqlserver://u:p@a,b:1500/db", "a:1433,b:1500", None, false),
            ("sqlserver://u:p@[::1]:1500/db", "[::1]:1500", None, false),
        ] {
            let expected = (
                hosts.to_owned(),
                instance.map(str::to_owned),
                ask_browser,
                "db".to_owned(),
            );
            assert_eq!(place(text), expected, "{text}");
        }
    }

    #[test]
    fn passwords_with_the_characters_that_divide_a_url() {
        for (text, password) in [
            ("sqlserver://u:p@w/o:r#d@h:1433/i/db", "p@w/o:r#d"),
            ("sqlserver://u:p%40w%3F%25@h/db?encrypt=false", "p@w?%"),
            ("sqlserver://u:p?x@h/db", "p?x"),
        ] {
            let url = url(text);
            assert_eq!(url.password.reveal(), password, "{text}");
            assert_eq!((url.user.as_str(), url.hosts[0].name.as_str()), ("u", "h"));
        }
        assert_eq!(
            url("sqlserver://u:p@h/my%2Fdata base").database,
            "my/data base"
        );
    }

    #[test]
    fn options_and_their_defaults() {
        let plain = url("sqlserver://u:p@h/db");
        assert_eq!(plain.encryption, Encryption::Full);
        assert!(!plain.trust_certificate);
        assert_eq!(plain.ca_file, None);
        assert_eq!(plain.connect_timeout, CONNECT_TIMEOUT);
        assert_eq!(plain.application_name, "dbsync2");
        let full = url(
            "sqlserver://u:p@h/db?encrypt=strict&TrustServerCertificate=TRUE&caFile=%2Fetc%2Fca.pem\
             &applicationName=Call%20centre&connectTimeout=5",
        );
        assert_eq!(full.encryption, Encryption::Strict);
        assert!(full.trust_certificate);
        assert_eq!(full.ca_file, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(full.connect_timeout, Duration::from_secs(5));
        assert_eq!(full.application_name, "Call centre");
        for (word, encryption) in [
            ("true", Encryption::Full),
            ("mandatory", Encryption::Full),
            ("false", Encryption::Nothing),
            ("disable", Encryption::Nothing),
            ("login", Encryption::Login),
            ("optional", Encryption::Login),
        ] {
            let url = url(&format!("sqlserver://u:p@h/db?encrypt={word}"));
            assert_eq!(url.encryption, encryption, "{word}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (text, said) in [
            ("sqlserver://u:hush@h", "no database name"),
            ("sqlserver://u:hush@h/", "no database name"),
            ("sqlserver://h/db", "no user name"),
            ("sqlserver://u:hush@h/a/b/c", "database"),
            ("sqlserver://u:hush@h/i/db?instance=j", "more names"),
            ("sqlserver://u:hush@h/a/b?database=c", "more names"),
            ("sqlserver://u:hush@h/in;stance/db", "instance"),
            (
                "sqlserver://u:hush@h/db?encrypt=maybe",
                "encrypt must be one of true, false",
            ),
            (
                "sqlserver://u:hush@h/db?trustServerCertificate=1",
                "must be one of true, false",
            ),
            (
                "sqlserver://u:hush@h/db?connectTimeout=0",
                "connectTimeout must be seconds",
            ),
            ("sqlserver://u:hush@h/db?tls=x", "unknown option tls"),
            ("sqlserver://u:hush@h:0/db", "port"),
            ("sqlserver://u:hush@/var/sock/db", "database"),
        ] {
            let message = refused(text);
            assert!(message.contains(said), "{text}: {message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn each_spelling_of_a_target_is_shown_alike() {
        for (text, shown) in [
            ("sqlserver://u:p@H/db", "sqlserver://h:1433/db"),
            (
                "mssql://v:q@h,1433/db?encrypt=false",
                "sqlserver://h:1433/db",
            ),
            ("sqlserver://u:p@h:1433/X/db", "sqlserver://h:1433/db"),
            (
                "sqlserver://u:p@h/SqlExpress/db",
                "sqlserver://h/sqlexpress/db",
            ),
            (
                "sqlserver://u:p@h/db?instance=SQLEXPRESS",
                "sqlserver://h/sqlexpress/db",
            ),
        ] {
            let parsed = DatabaseUrl::parse(text).unwrap();
            assert_eq!(parsed.display(), shown, "{text}");
        }
    }
}
