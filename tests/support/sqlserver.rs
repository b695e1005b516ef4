//! A client of SQL Server for the tests: the driver without the program's own code around it.

use std::cell::RefCell;
use std::net::TcpStream as StdTcpStream;

use futures_util::TryStreamExt;
use tiberius::{AuthMethod, Client, ColumnData, Config, EncryptionLevel};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use dbsync2::destination::sql::url::{DatabaseUrl, Encryption, Host, SqlServerUrl};

use super::database::{Database, OnRow, fresh_database, plain_decimal};
use super::proxy::Proxy;
use super::servers::{Kind, sqlserver_url};
use super::tds::TdsServer;
use super::tds::options::Options;

/// The parts of a `sqlserver://` address.
pub fn parsed(url: &str) -> SqlServerUrl {
    match DatabaseUrl::parse(url) {
        Ok(DatabaseUrl::SqlServer(url)) => url,
        other => panic!("no address of SQL Server: {other:?}"),
    }
}

/// A connection, without encryption.
pub struct SqlServerClient {
    runtime: Runtime,
    client: Client<Compat<TcpStream>>,
}

impl SqlServerClient {
    pub fn connect(url: &str) -> Result<Self, String> {
        let url = parsed(url);
        let host = &url.hosts[0];
        let mut config = Config::new();
        config.host(&host.name);
        config.port(host.port);
        config.database(&url.database);
        config.authentication(AuthMethod::sql_server(&url.user, url.password.reveal()));
        config.encryption(EncryptionLevel::NotSupported);
        config.command_timeout(None);
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let tcp = StdTcpStream::connect((host.name.as_str(), host.port)).map_err(text)?;
        tcp.set_nonblocking(true).map_err(text)?;
        tcp.set_nodelay(true).map_err(text)?;
        let client = runtime
            .block_on(async {
                let tcp = TcpStream::from_std(tcp)?;
                Client::connect(config, tcp.compat_write()).await
            })
            .map_err(text)?;
        Ok(SqlServerClient { runtime, client })
    }

    /// Runs a batch of statements.
    pub fn run(&mut self, sql: &str) -> Result<(), String> {
        self.runtime.block_on(async {
            let results = self.client.simple_query(sql).await.map_err(text)?;
            results.into_results().await.map(drop).map_err(text)
        })
    }

    /// The rows of a query, without holding more than one of them.
    pub fn stream(&mut self, sql: &str, on_row: OnRow<'_>) -> Result<(), String> {
        self.runtime.block_on(async {
            let results = self.client.simple_query(sql).await.map_err(text)?;
            let mut rows = results.into_row_stream();
            let mut names: Vec<String> = Vec::new();
            while let Some(row) = rows.try_next().await.map_err(text)? {
                if names.is_empty() {
                    names = row.columns().iter().map(|c| c.name().to_owned()).collect();
                }
                on_row(&names, row.into_iter().map(value).collect());
            }
            Ok(())
        })
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn value(data: ColumnData<'static>) -> Option<String> {
    match data {
        ColumnData::String(text) => text.map(|text| text.into_owned()),
        ColumnData::Bit(bit) => bit.map(|bit| u8::from(bit).to_string()),
        ColumnData::U8(number) => number.map(|n| n.to_string()),
        ColumnData::I16(number) => number.map(|n| n.to_string()),
        ColumnData::I32(number) => number.map(|n| n.to_string()),
        ColumnData::I64(number) => number.map(|n| n.to_string()),
        ColumnData::F32(number) => number.map(|n| plain_decimal(&n.to_string())),
        ColumnData::F64(number) => number.map(|n| plain_decimal(&n.to_string())),
        ColumnData::Numeric(number) => number.map(|n| plain_decimal(&n.to_string())),
        other => panic!("no text for {other:?}"),
    }
}

/// An address like this one, but of another host and database.
pub fn address(url: &SqlServerUrl, host: &Host, database: &str) -> String {
    let encryption = match url.encryption {
        Encryption::Strict => "strict",
        Encryption::Full => "true",
        Encryption::Login => "login",
        Encryption::Nothing => "false",
    };
    let ca_file = url
        .ca_file
        .as_ref()
        .map(|file| format!("&caFile={}", encoded(&file.display().to_string())))
        .unwrap_or_default();
    format!(
        "sqlserver://{}:{}@{host}/{}?encrypt={encryption}&trustServerCertificate={}{ca_file}",
        encoded(&url.user),
        encoded(url.password.reveal()),
        encoded(database),
        url.trust_certificate,
    )
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// SQL Server for one test, which ends it and starts it again: the TDS test server; of a real one, the way to it.
pub struct PrivateSqlServer {
    running: RefCell<Running>,
    /// Its database, whose address stays the same.
    pub database: Database,
}

enum Running {
    Tds(TdsServer),
    Proxy(Proxy),
}

impl PrivateSqlServer {
    pub fn new() -> Self {
        if sqlserver_url().is_none() {
            let server = TdsServer::start(Options::default());
            let url = format!("{}?encrypt=false", server.url());
            return PrivateSqlServer {
                running: RefCell::new(Running::Tds(server)),
                database: Database::at(Kind::SqlServer, url),
            };
        }
        let mut database = fresh_database(Kind::SqlServer);
        let url = parsed(&database.url);
        let proxy = Proxy::start(&url.hosts[0].name, url.hosts[0].port);
        let here = Host {
            name: "127.0.0.1".to_owned(),
            port: proxy.port(),
        };
        database.url = address(&url, &here, &url.database);
        PrivateSqlServer {
            running: RefCell::new(Running::Proxy(proxy)),
            database,
        }
    }

    /// All connections break, and nobody answers any more.
    pub fn stop(&self) {
        match &mut *self.running.borrow_mut() {
            Running::Tds(server) => server.stop(),
            Running::Proxy(proxy) => proxy.stop(),
        }
    }

    /// All connections break; whoever connects again gets on.
    pub fn drop_connections(&self) {
        match &mut *self.running.borrow_mut() {
            Running::Tds(server) => server.drop_connections(),
            Running::Proxy(proxy) => {
                proxy.stop();
                proxy.start_again();
            }
        }
    }

    /// Starts it again with its data.
    pub fn start(&self) {
        match &mut *self.running.borrow_mut() {
            Running::Tds(server) => server.start_again(),
            Running::Proxy(proxy) => proxy.start_again(),
        }
    }
}
