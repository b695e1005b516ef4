//! Database servers: the two that scripts/test.sh has started for all tests, and private ones for tests that stop them.
//!
//! SQL Server is the one that `DBSYNC_TEST_SQLSERVER` names, else the TDS test server, inside of the tests' process.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::temp::TempDir;

/// What a test writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Postgres,
    Mysql,
    Sqlite,
    SqlServer,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Postgres, Kind::Mysql, Kind::Sqlite, Kind::SqlServer];

    /// The two that scripts/test.sh starts.
    pub const SERVERS: [Kind; 2] = [Kind::Postgres, Kind::Mysql];
}

/// The address of the shared PostgreSQL server's database, as its almighty user.
pub fn postgres_url() -> String {
    from_environment("DBSYNC_TEST_POSTGRES")
}

/// The address of the shared MariaDB server's database, as its almighty user.
pub fn mysql_url() -> String {
    from_environment("DBSYNC_TEST_MYSQL")
}

/// The address of a real SQL Server, or of what is compatible with it, as its almighty user; it must let clients in
/// that do not encrypt.
pub fn sqlserver_url() -> Option<String> {
    env::var("DBSYNC_TEST_SQLSERVER").ok()
}

/// The directory of `ca.pem`, which signed the servers' `server.pem` and `wrong-host.pem`, and of `other-ca.pem`.
pub fn certificates() -> PathBuf {
    from_environment("DBSYNC_TEST_CERTIFICATES").into()
}

/// A variable that scripts/test.sh sets; a test without its server fails.
pub fn from_environment(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set: run the tests with scripts/test.sh, which starts the servers they need"))
}

/// Starts a server for one test alone, to be stopped and started as it likes.
pub fn private_server(kind: Kind) -> PrivateServer {
    private_server_with_certificate(kind, "server")
}

/// The same with another certificate out of [`certificates`], such as `wrong-host`.
pub fn private_server_with_certificate(kind: Kind, certificate: &'static str) -> PrivateServer {
    private_server_prepared(kind, certificate, &mut |_| ())
}

/// The same, in a directory that `prepare` was shown while it was empty.
pub fn private_server_prepared(
    kind: Kind,
    certificate: &'static str,
    prepare: &mut dyn FnMut(&Path),
) -> PrivateServer {
    launch(
        kind,
        script_name(kind),
        certificate,
        None,
        Vec::new(),
        prepare,
    )
}

/// Starts one with further options of the server's command line, separated by blanks.
pub fn private_server_with_options(kind: Kind, options: &str) -> PrivateServer {
    launch(
        kind,
        script_name(kind),
        "server",
        None,
        vec![("DBSYNC_TEST_OPTIONS", options.to_owned())],
        &mut |_| (),
    )
}

/// What scripts/servers.sh calls it.
fn script_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Postgres => "postgres",
        Kind::Mysql => "mariadb",
        Kind::Sqlite | Kind::SqlServer => panic!("{kind:?} is not started by a script"),
    }
}

/// Three nodes of a Galera cluster of MariaDB, each of which can be written to.
pub fn galera_cluster() -> Vec<PrivateServer> {
    let ports = [(); 3].map(|()| script(&["free-port"]));
    let node = |order: [usize; 3], peers: usize| {
        let ports = order.map(|at| ports[at].as_str());
        let group = ports[..=peers].join(",");
        launch(
            Kind::Mysql,
            "mariadb",
            "server",
            None,
            vec![("DBSYNC_TEST_GALERA", group)],
            &mut |_| (),
        )
    };
    let mut nodes = vec![node([0, 1, 2], 0)];
    // One after the other: the first one copies its data to one node at a time.
    nodes.push(node([1, 0, 2], 1));
    nodes.push(node([2, 0, 1], 2));
    // From now on each of them joins the others.
    for (node, order) in nodes.iter_mut().zip([[0, 1, 2], [1, 0, 2], [2, 0, 1]]) {
        let ports = order.map(|at| ports[at].as_str());
        node.environment = vec![("DBSYNC_TEST_GALERA", ports.join(","))];
    }
    nodes
}

/// Starts a PgBouncer in transaction mode before the PostgreSQL server at this port. Its users are that server's one.
pub fn pooler(server_port: u16) -> PrivateServer {
    launch(
        Kind::Postgres,
        "pgbouncer",
        "server",
        Some(server_port),
        Vec::new(),
        &mut |_| (),
    )
}

/// Starts a standby of a PostgreSQL server.
pub fn standby(of: &PrivateServer) -> PrivateServer {
    launch(
        Kind::Postgres,
        "standby",
        "server",
        Some(of.port()),
        Vec::new(),
        &mut |_| (),
    )
}

fn launch(
    kind: Kind,
    name: &'static str,
    certificate: &'static str,
    server_port: Option<u16>,
    environment: Vec<(&'static str, String)>,
    prepare: &mut dyn FnMut(&Path),
) -> PrivateServer {
    let dir = TempDir::new();
    prepare(dir.path());
    for file in fs::read_dir(certificates())
        .unwrap()
        .map(|entry| entry.unwrap().path())
    {
        if file
            .extension()
            .is_some_and(|extension| extension == "pem" || extension == "key")
        {
            fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let port = script(&["free-port"]);
    let url = script(&["url", name, text(dir.path()), &port]);
    let server = PrivateServer {
        kind,
        url,
        name,
        port,
        server_port: server_port.map(|port| port.to_string()),
        certificate,
        environment,
        dir,
    };
    server.start();
    server
}

/// A server of one test; its data survive `stop`, `kill` and `start`, and vanish with it.
pub struct PrivateServer {
    pub kind: Kind,
    /// The address of its database, the same after each start.
    pub url: String,
    name: &'static str,
    port: String,
    /// Of the server that a standby copies, or a pooler serves.
    server_port: Option<String>,
    certificate: &'static str,
    environment: Vec<(&'static str, String)>,
    dir: TempDir,
}

impl PrivateServer {
    /// Starts it again after `stop` or `kill`; returns when it answers.
    pub fn start(&self) {
        let mut command = command(&["start", self.name, text(self.dir.path()), &self.port]);
        command.args(&self.server_port);
        command.envs(self.environment.iter().map(|(name, value)| (*name, value)));
        output(command.env("DBSYNC_TEST_CERTIFICATE", self.certificate)).unwrap();
    }

    /// Makes a standby a server that can be written to.
    pub fn promote(&self) {
        script(&["promote", self.name, text(self.dir.path())]);
    }

    /// Ends it in order; its clients lose their connections.
    pub fn stop(&self) {
        script(&["stop", self.name, text(self.dir.path()), "fast"]);
    }

    /// Ends it at once, in the middle of whatever it does.
    pub fn kill(&self) {
        script(&["stop", self.name, text(self.dir.path()), "kill"]);
    }

    /// Lets it stand still: its connections stay open, and nothing comes on them.
    pub fn halt(&self) {
        script(&["halt", self.name, text(self.dir.path())]);
    }

    /// Lets it go on after `halt`.
    pub fn resume(&self) {
        script(&["resume", self.name, text(self.dir.path())]);
    }

    pub fn runs(&self) -> bool {
        output(&mut command(&["status", self.name, text(self.dir.path())])).is_ok()
    }

    /// Where all that it needs is.
    pub fn directory(&self) -> &Path {
        self.dir.path()
    }

    /// Where its clients connect to on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.parse().unwrap()
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let stopped = output(&mut command(&[
            "stop",
            self.name,
            text(self.dir.path()),
            "kill",
        ]));
        if let (Err(message), false) = (stopped, std::thread::panicking()) {
            panic!("{message}");
        }
    }
}

/// scripts/servers.sh with these arguments: what it prints.
fn script(arguments: &[&str]) -> String {
    output(&mut command(arguments)).unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers.sh"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|e| format!("cannot run {command:?}: {e}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    } else {
        Err(format!(
            "{command:?} failed: {}",
            String::from_utf8_lossy(&output.stderr)
        ))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the temporary directory is UTF-8")
}
