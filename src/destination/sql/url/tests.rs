//! What may be written behind `--url`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]
use super::*;
use crate::error::ErrorKind;

fn pg(url: &str) -> PostgresUrl {
    match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::Postgres(url)) => url,
        other => panic!("{url}: {other:?}"),
    }
}

fn my(url: &str) -> MysqlUrl {
    match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::Mysql(url)) => url,
        other => panic!("{url}: {other:?}"),
    }
}

fn refused(url: &str) -> String {
    let error = DatabaseUrl::parse(url).expect_err(url);
    assert_eq!(error.kind(), ErrorKind::Usage, "{url}");
    error.to_string()
}

fn tcp(hosts: &[(&str, u16)]) -> Servers {
    let host = |(name, port): &(&str, u16)| Host {
        name: (*name).to_owned(),
        port: *port,
    };
    Servers::Tcp(hosts.iter().map(host).collect())
}

#[test]
fn a_plain_url() {
    let url = pg("postgresql://sync:secret@DB.example/reports");
    assert_eq!(url.servers, tcp(&[("db.example", 5432)]));
    assert_eq!(url.user, "sync");
    assert_eq!(url.password.reveal(), "secret");
    assert_eq!(url.database, "reports");
    assert_eq!(url.tls, TlsMode::Prefer);
    assert_eq!(url.connect_timeout, CONNECT_TIMEOUT);
    assert_eq!(url.application_name, "dbsync2");
    assert_eq!(url.options, None);
    let url = my("mariadb://sync@10.0.0.7:3307/reports");
    assert_eq!(url.servers, tcp(&[("10.0.0.7", 3307)]));
    assert_eq!(url.password.reveal(), "");
    assert_eq!(url.tls, TlsMode::Prefer);
}

#[test]
fn encoded_characters_in_the_password() {
    for (encoded, plain) in [
        ("p%40s", "p@s"),
        ("p%3As", "p:s"),
        ("p%2Fs", "p/s"),
        ("p%3Fs", "p?s"),
        ("p%23s", "p#s"),
        ("p%25s", "p%s"),
        ("p%2540s", "p%40s"),
        ("%c3%a4", "ä"),
        ("%40%3A%2F%3F%23%25%26%3D", "@:/?#%&="),
    ] {
        let url = pg(&format!("postgres://u:{encoded}@h/db?sslmode=disable"));
        assert_eq!(url.password.reveal(), plain);
        assert_eq!(url.servers, tcp(&[("h", 5432)]), "{plain}");
        assert_eq!(url.database, "db", "{plain}");
        assert_eq!(url.tls, TlsMode::Disable, "{plain}");
    }
}

#[test]
fn raw_characters_in_the_password() {
    for plain in [
        "p@s", "p@", "@", "p:s", "p/s", "/", "p@s/w", "p/s@w", "p@s:1/w", "p#s", "p%s", "100%",
        "%", "%zz", "p?s", "?", "p@s?w", "p/s?w", "1?2", "a@b/c?d", "p&s=w", "ä€",
    ] {
        for tail in [
            "h:5433/db",
            "h:5433/db?sslmode=require",
            "h:5433/db?application_name=x%40y",
        ] {
            let url = pg(&format!("postgres://u:{plain}@{tail}"));
            assert_eq!(url.password.reveal(), plain, "{plain} {tail}");
            assert_eq!(url.servers, tcp(&[("h", 5433)]), "{plain} {tail}");
            assert_eq!(url.database, "db", "{plain} {tail}");
        }
    }
}

#[test]
fn an_at_sign_behind_the_host() {
    let url = pg("postgres://u:p@h/d@b");
    assert_eq!((url.password.reveal(), url.database.as_str()), ("p", "d@b"));
    let url = pg("postgres://u:p@h/db?application_name=me@home");
    assert_eq!(
        (url.password.reveal(), url.application_name.as_str()),
        ("p", "me@home")
    );
}

#[test]
fn user_and_database_are_decoded() {
    let url = my("mysql://us%40er%3A:x@h/d%2Fb");
    assert_eq!(
        (url.user.as_str(), url.database.as_str()),
        ("us@er:", "d/b")
    );
}

#[test]
fn several_hosts_and_ipv6() {
    let url = pg("postgres://u:p@h1:5432,H2:5433,h3/db");
    assert_eq!(
        url.servers,
        tcp(&[("h1", 5432), ("h2", 5433), ("h3", 5432)])
    );
    let url = pg("postgres://u:p@[::1]:5433,[fe80::2]/db");
    assert_eq!(url.servers, tcp(&[("::1", 5433), ("fe80::2", 5432)]));
    assert_eq!(url.servers.to_string(), "[::1]:5433,[fe80::2]:5432");
}

#[test]
fn unix_sockets() {
    let socket = |path: &str, port| Servers::Socket {
        path: PathBuf::from(path),
        port,
    };
    let run = "/var/run/postgresql";
    assert_eq!(
        pg("postgres://u@/db?host=/var/run/postgresql").servers,
        socket(run, 5432)
    );
    assert_eq!(
        pg("postgres://u@/db?host=%2Fvar%2Frun%2Fpostgresql&port=5433").servers,
        socket(run, 5433)
    );
    assert_eq!(
        pg("postgres://u@x:5434/db?host=/var/run/postgresql").servers,
        socket(run, 5434)
    );
    assert_eq!(
        pg("postgres://u@%2Fvar%2Frun%2Fpostgresql/db").servers,
        socket(run, 5432)
    );
    let my_socket = socket("/run/mysqld/mysqld.sock", 3306);
    assert_eq!(
        my("mysql://u:p@localhost/db?socket=/run/mysqld/mysqld.sock").servers,
        my_socket
    );
    assert_eq!(
        my("mysql://u:p@unix(/run/mysqld/mysqld.sock)/db").servers,
        my_socket
    );
}

#[test]
fn the_go_driver_form() {
    let url = my("mysql://user:p@ss@tcp(db.example:3307)/reports?charset=utf8mb4&parseTime=true");
    assert_eq!(url.servers, tcp(&[("db.example", 3307)]));
    assert_eq!((url.user.as_str(), url.password.reveal()), ("user", "p@ss"));
    assert_eq!(
        my("mysql://u:p@tcp([::1]:3306)/db").servers,
        tcp(&[("::1", 3306)])
    );
}

#[test]
fn tls_words() {
    for (option, mode) in [
        ("sslmode=disable", TlsMode::Disable),
        ("sslmode=prefer", TlsMode::Prefer),
        ("SSLMode=Require", TlsMode::Require),
        ("sslmode=verify-ca", TlsMode::VerifyCa),
        ("sslmode=VERIFY-FULL", TlsMode::VerifyFull),
    ] {
        assert_eq!(
            pg(&format!("postgres://u:p@h/db?{option}")).tls,
            mode,
            "{option}"
        );
    }
    for (option, mode) in [
        ("useSSL=false", TlsMode::Disable),
        ("useSSL=true", TlsMode::Require),
        ("useSSL=verify-ca", TlsMode::VerifyCa),
        ("useSSL=verify-identity", TlsMode::VerifyFull),
        ("ssl-mode=DISABLED", TlsMode::Disable),
        ("ssl-mode=PREFERRED", TlsMode::Prefer),
        ("sslMode=REQUIRED", TlsMode::Require),
        ("sslMode=VERIFY_CA", TlsMode::VerifyCa),
        ("ssl_mode=VERIFY_IDENTITY", TlsMode::VerifyFull),
        ("tls=skip-verify", TlsMode::Require),
        ("tls=true", TlsMode::VerifyFull),
    ] {
        assert_eq!(
            my(&format!("mysql://u:p@h/db?{option}")).tls,
            mode,
            "{option}"
        );
    }
}

#[test]
fn other_options() {
    let url = pg(
        "postgres://u:p@h/db?connect_timeout=3&application_name=my%20app&options=-csearch_path%3Dx",
    );
    assert_eq!(url.connect_timeout, Duration::from_secs(3));
    assert_eq!(url.application_name, "my app");
    assert_eq!(url.options.as_deref(), Some("-csearch_path=x"));
    // A later `=` belongs to the value.
    let url = pg("postgres://u:p@h/db?options=-csearch_path=x");
    assert_eq!(url.options.as_deref(), Some("-csearch_path=x"));
}

#[test]
fn methods_of_logging_in() {
    let methods = |value: &str| {
        let AuthMethods {
            none,
            password,
            md5,
            scram,
        } = pg(&format!("postgres://u:p@h/db?require_auth={value}"))
            .require_auth
            .unwrap();
        [none, password, md5, scram]
    };
    assert_eq!(pg("postgres://u:p@h/db").require_auth, None);
    assert_eq!(methods("scram-sha-256"), [false, false, false, true]);
    assert_eq!(methods("md5,PASSWORD"), [false, true, true, false]);
    assert_eq!(methods("none,gss"), [true, false, false, false]);
    assert_eq!(methods("!password,!md5"), [true, false, false, true]);
    for wrong in ["", "scram", "md5,!password", "!md5,password"] {
        let url = format!("postgres://u:hush@h/db?require_auth={wrong}");
        let error = DatabaseUrl::parse(&url).unwrap_err().to_string();
        assert!(error.contains("require_auth"), "{error}");
    }
    let defaults = |trusted, encrypted| {
        let methods = AuthMethods::by_default(trusted, encrypted);
        assert!(methods.none && methods.scram);
        [methods.password, methods.md5]
    };
    assert_eq!(defaults(true, false), [true, true]);
    assert_eq!(defaults(false, true), [false, true]);
    assert_eq!(defaults(false, false), [false, false]);
}

#[test]
fn the_identity_of_a_target() {
    for (url, shown) in [
        (
            "postgres://u:p@H/db?sslmode=require",
            "postgres://h:5432/db",
        ),
        ("postgresql://x@h:5432/db", "postgres://h:5432/db"),
        ("mariadb://u:p@h1,[::1]/db", "mysql://h1:3306,[::1]:3306/db"),
        ("mysql://u:p@tcp(h)/db", "mysql://h:3306/db"),
        (
            "postgres://u:p@/db?host=/tmp",
            "postgres:///db?host=/tmp&port=5432",
        ),
        (
            "mysql://u:p@h/db?socket=/tmp/s",
            "mysql:///db?socket=/tmp/s",
        ),
    ] {
        assert_eq!(DatabaseUrl::parse(url).unwrap().display(), shown, "{url}");
    }
}

#[test]
fn errors_say_what_is_wrong_and_keep_the_password() {
    for (url, part) in [
        ("", "no scheme"),
        ("hostonly", "no scheme"),
        ("oracle://u:hush@h/db", "unknown scheme"),
        ("postgres:u:hush@h/db", "`//` is missing"),
        ("postgres://u:hush@h", "no database name"),
        ("postgres://u:hush@h/", "no database name"),
        ("postgres://u:hush@h/?sslmode=require", "no database name"),
        ("postgres://u:hush@h/a/b", "%2F"),
        ("postgres://h/db", "no user name"),
        ("postgres://:hush@h/db", "no user name"),
        ("postgres://u:hush@/db", "no valid host name"),
        ("postgres://u:hush@h h/db", "no valid host name"),
        ("postgres://u:hush@[::1/db", "no valid host name"),
        ("postgres://u:hush@[nov6]/db", "no valid host name"),
        ("postgres://u:hush@h:0/db", "port must be"),
        ("postgres://u:hush@h:65536/db", "port must be"),
        ("postgres://u:hush@h:x/db", "port must be"),
        (
            "postgres://u:hush@h/db?sslmode=allow",
            "disable, prefer, require, verify-ca, verify-full",
        ),
        ("postgres://u:hush@h/db?sslrootcert=/x", "--ca-file"),
        (
            "postgres://u:hush@h/db?useSSL=true",
            "unknown option usessl: known are sslmode, require_auth, connect_timeout",
        ),
        (
            "postgres://u:hush@h/db?connect_timeout=0",
            "connect_timeout must be",
        ),
        ("postgres://u:hush@h/db?x", "has no `=`"),
        (
            "mysql://u:hush@h/db?allowAll=1",
            "unknown option allowall: known are useSSL",
        ),
        ("mysql://u:hush@pipe(x)/db", "no valid host name"),
        (
            "mysql://u:hush@h/db?useSSL=maybe",
            "must be one of false, true",
        ),
    ] {
        let message = refused(url);
        assert!(message.contains(part), "{url}: {message}");
        assert!(!message.contains("hush"), "{url}: {message}");
    }
}

#[test]
fn errors_show_the_form_of_their_own_scheme() {
    let form = |scheme: &str| format!("expected {scheme}://user:password@host:port/database");
    for (scheme, shown) in [
        ("postgres", "postgres"),
        ("postgresql", "postgres"),
        ("mysql", "mysql"),
        ("MariaDB", "mysql"),
        ("sqlserver", "sqlserver"),
        ("mssql", "sqlserver"),
    ] {
        let start = "database address (--url): ";
        for (rest, problem) in [
            ("//u:hush@h", "no database name"),
            ("//u:hush@h/", "no database name"),
            ("//h/db", "no user name"),
            ("//:hush@h/db", "no user name"),
            ("u:hush@h/db", "`//` is missing after the scheme"),
        ] {
            assert_eq!(
                refused(&format!("{scheme}:{rest}")),
                format!("{start}{problem}: {}", form(shown))
            );
        }
        let host = format!("{start}no valid host name: {} (write an IPv6", form(shown));
        for rest in [
            "//u:hush@/db",
            "//u:hush@h h/db",
            "//u:hush@[nov6]/db",
            "//u:hush@pipe(x)/db",
        ] {
            let message = refused(&format!("{scheme}:{rest}"));
            assert!(message.starts_with(&host), "{rest}: {message}");
        }
        for port in ["0", "99999", "65536", "-1", "x", ""] {
            assert_eq!(
                refused(&format!("{scheme}://u:hush@h:{port}/db")),
                format!("{start}the port must be a number from 1 to 65535")
            );
        }
    }
    for unknown in ["", "h/db", "oracle://u:hush@h/db"] {
        let message = refused(unknown);
        assert!(message.ends_with("or sqlite:path/of/file.db"), "{message}");
    }
}

#[test]
fn no_address_makes_it_panic() {
    let pieces = [
        "postgres://",
        "mysql://",
        "u",
        ":",
        "@",
        "/",
        "?",
        "%",
        "[",
        "]",
        "tcp(",
        ")",
        ",",
        "=",
        "ä",
        "4",
        "",
    ];
    for a in pieces {
        for b in pieces {
            for c in pieces {
                for d in pieces {
                    let _ = DatabaseUrl::parse(&format!("mysql://{a}{b}{c}{d}"));
                    let _ = DatabaseUrl::parse(&format!("{a}u:{b}@{c}h/{d}"));
                }
            }
        }
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_paths() {
    let path = |url: &str| match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::Sqlite(path)) => path,
        other => panic!("{url}: {other:?}"),
    };
    let here = std::env::current_dir().unwrap();
    assert_eq!(
        path("sqlite:///var/lib/a%20b.db"),
        PathBuf::from("/var/lib/a%20b.db")
    );
    assert_eq!(path("sqlite:/var/lib/x.db"), PathBuf::from("/var/lib/x.db"));
    assert_eq!(path("sqlite://rel/x.db"), here.join("rel/x.db"));
    assert_eq!(path("sqlite:x.db"), here.join("x.db"));
    let shown = DatabaseUrl::parse("sqlite:x.db").unwrap().display();
    assert_eq!(shown, format!("sqlite:{}", here.join("x.db").display()));
    assert!(refused("sqlite::memory:").contains("gone when the program ends"));
    assert!(refused("sqlite://:memory:").contains("gone when the program ends"));
    assert!(refused("sqlite:").contains("no file name"));
    assert!(refused("sqlite:///").contains("no file name"));
    assert!(refused("sqlite:x.db?mode=ro").contains("takes no options"));
}
