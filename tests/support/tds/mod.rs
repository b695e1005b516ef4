//! A server that speaks TDS 7.4 and answers like SQL Server, for the tests: no real one can be installed by them.
//!
//! What it is: the protocol of Microsoft's specification MS-TDS over a socket, T-SQL parsed by a strict grammar of
//! the size that a program writing rows needs, types, limits and error numbers of a real server, and SQLite to
//! keep the rows. What it is not: SQL Server. It locks whole databases, it does not optimise, and what it does not
//! know it refuses, with the error of a real server where that would refuse it too, otherwise with error 99999.
//!
//! `tests/tds_itself.rs` lets other people's clients (FreeTDS, python-tds) loose on it.

pub mod controls;
pub mod engine;
pub mod error;
pub mod language;
pub mod options;
pub mod wire;

mod browser;
mod connection;
mod requests;

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use self::controls::Controls;
use self::engine::session::Session;
use self::engine::store::Store;
use self::options::{Options, Rights};
use self::wire::answer::{Answer, Recorded};
use self::wire::types::SqlType;
use self::wire::values::Value;
use super::database::{Dump, Row, plain_decimal};
use super::servers::certificates;

/// How long a port may be taken when the server is started again.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all connections share.
pub struct ServerState {
    options: Arc<Options>,
    store: Arc<Store>,
    controls: Arc<Controls>,
    /// TLS 1.2, which is what TDS 7 knows.
    tls: Arc<ServerConfig>,
    /// Of TDS 8.0.
    strict_tls: Arc<ServerConfig>,
    /// User, application and whether the log-in's answer was encrypted, of each log-in.
    logins: Mutex<Vec<(String, String, bool)>>,
    connections: Mutex<Vec<TcpStream>>,
}

/// A server of one test; it stops when dropped.
pub struct TdsServer {
    state: Arc<ServerState>,
    port: u16,
    running: Option<Running>,
    browser: Option<browser::Browser>,
}

struct Running {
    stopping: Arc<AtomicBool>,
    listener: JoinHandle<()>,
}

impl TdsServer {
    /// Starts a server on a free port of 127.0.0.1.
    pub fn start(options: Options) -> Self {
        let state = Arc::new(ServerState {
            store: Arc::new(Store::new(&options.databases, options.compatible)),
            controls: Arc::new(Controls::default()),
            tls: tls(&options, &[&rustls::version::TLS12]),
            strict_tls: tls(
                &options,
                &[&rustls::version::TLS12, &rustls::version::TLS13],
            ),
            logins: Mutex::default(),
            connections: Mutex::default(),
            options: Arc::new(options),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let browser = state
            .options
            .instance
            .as_ref()
            .map(|instance| browser::Browser::start(instance, port));
        let running = Some(listen(listener, &state));
        TdsServer {
            state,
            port,
            running,
            browser,
        }
    }

    /// Its address as the program takes it, with the first user and database.
    pub fn url(&self) -> String {
        let user = &self.state.options.users[0];
        let database = &self.state.options.databases[0];
        self.url_for(&user.name, &user.password, database)
    }

    /// The address for another user or database.
    pub fn url_for(&self, user: &str, password: &str, database: &str) -> String {
        format!(
            "sqlserver://{}:{}@127.0.0.1:{}/{}",
            percent_encoded(user),
            percent_encoded(password),
            self.port,
            percent_encoded(database)
        )
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The UDP port of its SQL Server Browser.
    pub fn browser_port(&self) -> u16 {
        self.browser
            .as_ref()
            .expect("Options::instance is set")
            .port()
    }

    /// Ends it; all connections are lost, what was committed stays.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        running.stopping.store(true, Ordering::SeqCst);
        // The listener looks at the flag when somebody connects.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        running
            .listener
            .join()
            .expect("the listener does not panic");
        self.drop_connections();
    }

    /// Starts it again on the same port, with the data it had.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server runs");
        // For a moment somebody's outgoing connection may have it.
        let begin = Instant::now();
        let listener = loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)) {
                Ok(listener) => break listener,
                Err(error) => assert!(begin.elapsed() < PATIENCE, "port {}: {error}", self.port),
            }
            thread::sleep(Duration::from_millis(20));
        };
        self.running = Some(listen(listener, &self.state));
    }

    /// Breaks all connections, as a failover does.
    pub fn drop_connections(&self) {
        for connection in self.state.connections.lock().expect("no panics").drain(..) {
            // The client may have gone first.
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }

    /// The next `times` writes to permanent tables, of whatever session, fail with this error.
    pub fn fail_next(&self, number: i32, times: u32) {
        self.state.controls.fail_next(number, times);
    }

    pub fn controls(&self) -> &Controls {
        &self.state.controls
    }

    /// User, application and whether all is encrypted, of each log-in so far.
    pub fn logins(&self) -> Vec<(String, String, bool)> {
        self.state.logins.lock().expect("no panics").clone()
    }

    /// Runs a batch as an almighty user.
    pub fn execute(&self, sql: &str) {
        self.run(sql);
    }

    /// The rows of the batch's last SELECT.
    pub fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let recorded = self.run(sql);
        let columns = &recorded.columns;
        recorded
            .rows
            .iter()
            .map(|row| {
                row.iter()
                    .zip(columns)
                    .map(|(value, column)| text(value, column.kind))
                    .collect()
            })
            .collect()
    }

    fn run(&self, sql: &str) -> Recorded {
        let recorded = self.attempt(sql);
        if let Some(error) = recorded.errors.first() {
            panic!("error {}: {}: {sql}", error.number, error.message);
        }
        recorded
    }

    /// Runs a batch; its errors are in the answer.
    pub fn attempt(&self, sql: &str) -> Recorded {
        let mut session = self.session("sa", Rights::all());
        session.facts.read_only = false;
        session.spares_failures = true;
        run_detached(&mut session, sql)
    }

    /// The same as the user of this number in [`Options::users`].
    pub fn attempt_as(&self, user: usize, sql: &str) -> Recorded {
        let user = &self.state.options.users[user];
        run_detached(&mut self.session(&user.name, user.rights), sql)
    }

    fn session(&self, user: &str, rights: Rights) -> Session {
        let state = &self.state;
        let database = &state.options.databases[0];
        Session::open(
            &state.store,
            &state.controls,
            &state.options,
            database,
            user,
            "tests",
            rights,
        )
        .expect("a session of the server's own")
    }

    /// A whole table by its first column, as [`super::database::Database::dump`] gives it.
    pub fn dump(&self, table: &str) -> Dump {
        let recorded = self.run(&format!("SELECT * FROM [{}]", table.replace(']', "]]")));
        let mut dump = BTreeMap::new();
        for values in &recorded.rows {
            let row: Row = recorded
                .columns
                .iter()
                .zip(values)
                .map(|(column, value)| (column.name.clone(), text(value, column.kind)))
                .collect();
            let key = text(&values[0], recorded.columns[0].kind)
                .unwrap_or_else(|| panic!("{table} holds a row without key"));
            if dump.insert(key.clone(), row).is_some() {
                panic!("{table} holds the key {key} twice");
            }
        }
        dump
    }
}

impl Drop for TdsServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run_detached(session: &mut Session, sql: &str) -> Recorded {
    let mut answer = Answer::detached();
    session.run(sql, std::collections::HashMap::new(), &mut answer);
    answer.into_recorded()
}

fn listen(listener: TcpListener, state: &Arc<ServerState>) -> Running {
    let stopping = Arc::new(AtomicBool::new(false));
    let (flag, state) = (Arc::clone(&stopping), Arc::clone(state));
    let listener = thread::spawn(move || {
        for tcp in listener.incoming() {
            if flag.load(Ordering::SeqCst) {
                return;
            }
            let Ok(tcp) = tcp else {
                continue;
            };
            if let Ok(copy) = tcp.try_clone() {
                let mut connections = state.connections.lock().expect("no panics");
                // Those whose client has gone are forgotten.
                connections.retain(|connection| connection.peer_addr().is_ok());
                connections.push(copy);
            }
            let state = Arc::clone(&state);
            thread::spawn(move || {
                let copy = tcp.try_clone();
                // A client that goes or breaks the protocol ends its own connection only.
                if let Err(error) = connection::serve(tcp, &state)
                    && std::env::var_os("DBSYNC_TEST_TDS_LOG").is_some()
                {
                    eprintln!("TDS test server: {error}");
                }
                // The list of connections holds a copy, which would keep it open.
                if let Ok(copy) = copy {
                    let _ = copy.shutdown(std::net::Shutdown::Both);
                }
            });
        }
    });
    Running { stopping, listener }
}

fn tls(
    options: &Options,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> Arc<ServerConfig> {
    let directory = certificates();
    let file = |extension: &str| directory.join(format!("{}.{extension}", options.certificate));
    let chain = CertificateDer::pem_slice_iter(&fs::read(file("pem")).expect("the certificate"))
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(file("key")).expect("its key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = (provider.key_provider.load_private_key(key)).expect("ring calculates with it");
    // Whatever certificate a test wants to be shown, also one that rustls can't read.
    let shown = SingleCertAndKey::from(CertifiedKey::new(chain, key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("ring knows both versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    // TDS 8.0 names itself; clients of TDS 7 name nothing.
    config.alpn_protocols = vec![b"tds/8.0".to_vec()];
    Arc::new(config)
}

/// A value as text that compares equal across databases.
fn text(value: &Value, kind: SqlType) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Int(number) => Some(number.to_string()),
        Value::Float(number) => Some(plain_decimal(&number.to_string())),
        Value::Text(text) if kind.is_exact_decimal() => Some(plain_decimal(text)),
        Value::Text(text) => Some(text.clone()),
        Value::Bytes(bytes) => Some(bytes.iter().map(|b| format!("{b:02x}")).collect()),
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
