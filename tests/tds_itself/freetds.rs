//! FreeTDS's `tsql` and `freebcp` log in, create, load, select and roll back.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use super::ordinary;
use crate::support::servers::certificates;
use crate::support::tds::TdsServer;
use crate::support::tds::options::{DATABASE, Options, PASSWORD, USER};
use crate::support::tds::wire::prelogin::Encryption;
use crate::support::temp::TempDir;

/// FreeTDS, set up for one server.
struct FreeTds {
    directory: TempDir,
}

impl FreeTds {
    fn new(server: &TdsServer, encryption: &str) -> Self {
        let directory = TempDir::new();
        let authority = certificates().join("ca.pem");
        let check = if encryption == "require" {
            format!("ca file = {}\n", authority.display())
        } else {
            String::new()
        };
        let settings = format!(
            "[tdstest]\nhost = localhost\nport = {}\ntds version = 7.4\nclient charset = UTF-8\nencryption = {encryption}\n{check}",
            server.port()
        );
        fs::write(directory.path().join("freetds.conf"), settings).unwrap();
        FreeTds { directory }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("FREETDSCONF", self.directory.path().join("freetds.conf"))
            .env("LC_ALL", "C.UTF-8")
            .current_dir(self.directory.path());
        command
    }

    /// Both outputs of a session of batches.
    fn tsql_as(&self, password: &str, database: &str, batches: &[&str]) -> String {
        let mut child = self
            .command("tsql")
            .args([
                "-S", "tdstest", "-U", USER, "-P", password, "-D", database, "-o", "qfh",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tsql, of the package freetds-bin: scripts/servers.sh installs it");
        let mut input = child.stdin.take().unwrap();
        for batch in batches {
            // It may have ended because of a refused log-in.
            let _ = write!(input, "{batch}\ngo\n");
        }
        drop(input);
        let output = child.wait_with_output().unwrap();
        let text =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        text.replace("\t\n", "\n")
    }

    fn tsql(&self, batches: &[&str]) -> String {
        self.tsql_as(PASSWORD, DATABASE, batches)
    }

    fn freebcp(&self, table: &str, direction: &str, file: &str) -> String {
        let output = self
            .command("freebcp")
            .args([
                &format!("{DATABASE}..{table}"),
                direction,
                file,
                "-S",
                "tdstest",
                "-U",
                USER,
                "-P",
                PASSWORD,
            ])
            .args(["-c", "-t", "|"])
            .output()
            .expect("freebcp, of the package freetds-bin");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn tsql_creates_writes_selects_and_rolls_back() {
    let server = ordinary();
    let client = FreeTds::new(&server, "off");
    let output = client.tsql(&[
        "CREATE TABLE contacts ([$id] nvarchar(100) NOT NULL PRIMARY KEY, n decimal(10,2), done bit, note nvarchar(max))",
        "INSERT INTO contacts VALUES (N'a', 1.5, 1, N'Grüße, 你好'), (N'b', NULL, NULL, NULL)",
        "BEGIN TRAN DELETE FROM contacts SELECT COUNT(*) FROM contacts ROLLBACK",
        "SELECT * FROM contacts ORDER BY [$id]",
    ]);
    assert_eq!(output, "0\na\t1.50\t1\tGrüße, 你好\nb\tNULL\tNULL\tNULL\n");
}

#[test]
fn tsql_logs_in_with_each_kind_of_encryption() {
    let cases = [
        (Encryption::Offered, "off", true),
        (Encryption::Offered, "request", true),
        (Encryption::Offered, "require", true),
        (Encryption::Required, "require", true),
        (Encryption::Unsupported, "off", true),
        (Encryption::Unsupported, "require", false),
    ];
    for (encryption, wish, works) in cases {
        let server = TdsServer::start(Options {
            encryption,
            ..Options::default()
        });
        let output = FreeTds::new(&server, wish).tsql(&["SELECT DB_NAME()"]);
        assert_eq!(
            output == "dbsync_test\n",
            works,
            "{encryption:?}, {wish}: {output}"
        );
        let encrypted: Vec<bool> = server.logins().into_iter().map(|(_, _, all)| all).collect();
        match (works, wish) {
            (true, "require") => assert_eq!(encrypted, [true]),
            (true, "off") if encryption != Encryption::Required => assert_eq!(encrypted, [false]),
            (true, _) => assert_eq!(encrypted.len(), 1),
            (false, _) => assert!(encrypted.is_empty()),
        }
    }
}

#[test]
fn tsql_refuses_a_certificate_for_another_host() {
    let server = TdsServer::start(Options {
        certificate: "wrong-host",
        ..Options::default()
    });
    let output = FreeTds::new(&server, "require").tsql(&["SELECT 1"]);
    assert!(output.contains("connection failed"), "{output}");
    assert!(server.logins().is_empty());
}

#[test]
fn tsql_is_told_why_it_may_not_log_in() {
    let server = ordinary();
    let client = FreeTds::new(&server, "off");
    let output = client.tsql_as("wrong", DATABASE, &[]);
    assert!(output.contains("Msg 18456 (severity 14"), "{output}");
    assert!(!output.contains("4060"), "{output}");
    let output = client.tsql_as(PASSWORD, "nowhere", &[]);
    assert!(output.contains("Msg 4060 (severity 11"), "{output}");
    assert!(output.contains("Msg 18456 (severity 14"), "{output}");
}

#[test]
fn freebcp_loads_and_unloads_a_table() {
    let server = ordinary();
    server.execute(
        "CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, n int, d decimal(10,2), f float, b bit, note nvarchar(max))",
    );
    let long = "häß ".repeat(5000);
    let rows = format!("a|1|2.50|1.5|1|{long}.\nb|||||\nc|-3|-4.00|0|0|kurz\n");
    for encryption in ["off", "require"] {
        let client = FreeTds::new(&server, encryption);
        fs::write(client.directory.path().join("in"), &rows).unwrap();
        let output = client.freebcp("t", "in", "in");
        assert!(output.contains("3 rows copied."), "{output}");
        let dump = server.dump("t");
        assert_eq!(
            dump["a"]["note"].as_deref(),
            Some(format!("{long}.").as_str())
        );
        assert_eq!(dump["a"]["d"].as_deref(), Some("2.5"));
        assert_eq!(dump["b"]["b"], None);
        assert_eq!(dump["c"]["n"].as_deref(), Some("-3"));
        client.freebcp("t", "out", "out");
        let unloaded = fs::read_to_string(client.directory.path().join("out")).unwrap();
        assert_eq!(unloaded, rows);
        server.execute("TRUNCATE TABLE t");
    }
}

#[test]
fn freebcp_loads_many_rows() {
    let server = ordinary();
    server.execute("CREATE TABLE t (id int NOT NULL PRIMARY KEY, note nvarchar(100))");
    let client = FreeTds::new(&server, "off");
    let rows: String = (0..20_000).map(|n| format!("{n}|row {n}\n")).collect();
    fs::write(client.directory.path().join("in"), rows).unwrap();
    client.freebcp("t", "in", "in");
    assert_eq!(
        super::value(&server, "SELECT COUNT(*) FROM t").as_deref(),
        Some("20000")
    );
    assert_eq!(
        super::value(&server, "SELECT note FROM t WHERE id = 19999").as_deref(),
        Some("row 19999")
    );
}
