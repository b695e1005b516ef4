//! SQL destinations behind one trait: PostgreSQL, MySQL/MariaDB, SQL Server and SQLite.
//!
//! A sink knows tables, columns and rows ([`crate::tables`]), and nothing of Dialfire. It reports each error
//! with the kind that decides what follows: [`ErrorKind::Transient`] (connection lost, deadlock, lock time-out,
//! server shutting down: the writer reopens the sink and repeats the batch), [`ErrorKind::Data`] (a value or row
//! refused: the writer splits the batch) or [`ErrorKind::Setup`] (log-in, privileges, unknown database).
//!
//! [`ErrorKind::Transient`]: crate::error::ErrorKind::Transient
//! [`ErrorKind::Data`]: crate::error::ErrorKind::Data
//! [`ErrorKind::Setup`]: crate::error::ErrorKind::Setup

mod columns;
pub mod decimal;
pub mod dialect;
mod load;
pub mod mysql;
mod peer;
pub mod postgres;
mod present;
mod resolve;
mod said;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod sqlserver;
pub mod tls;
pub mod url;

pub use present::PresentRow;
use said::Said;

use std::path::Path;
use std::time::Duration;

use crate::error::Result;
use crate::net::tls::Roots;
use crate::tables::batch::{Batch, Rows};
use crate::tables::fields::Naming;
use crate::tables::schema::{Schema, Table, TableSchema};

/// How long a statement that changes a table or adds an index may wait for its lock: others who read or write wait
/// behind it.
pub const MAX_DDL_LOCK_WAIT: Duration = Duration::from_secs(2);

/// Bytes of an answer that holds some whole rows as they are stored: twice the largest answer of Dialfire.
const MAX_SAMPLE: usize = 32 << 20;

/// Values of one answer. A server sends one that is NULL as a byte, or as a bit, and it takes many times that to keep it.
const MAX_VALUES: usize = 500_000;

/// What takes the place of U+0000 in texts where a database can't hold it: PostgreSQL, and some of what is compatible with
/// SQL Server, where many a tool ends the text there.
pub const NUL_SIGN: &str = "\u{2400}";

/// A contact as the database holds it, for the comparison with the API's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredContact {
    /// `$id`
    pub id: String,
    /// `$md5`; `None` where the contact is incomplete.
    pub md5: Option<String>,
    /// `$changed`: when the row was written.
    pub changed: Option<String>,
}

impl StoredContact {
    /// From the texts of an answer that has these columns in this order.
    fn of_texts(row: Vec<Option<String>>) -> Self {
        let mut values = row.into_iter();
        StoredContact {
            id: values.next().flatten().unwrap_or_default(),
            md5: values.next().flatten(),
            changed: values.next().flatten(),
        }
    }
}

/// A column that could not be added now, and why. The program goes on without it and tries again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingColumn {
    /// The table it was meant for.
    pub table: Table,
    /// Its name.
    pub column: String,
    /// The database's reason.
    pub reason: String,
}

/// An index that could not be made now, and why. The program goes on without it and tries again later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingIndex {
    /// The table it was meant for.
    pub table: Table,
    /// Its columns.
    pub columns: &'static [&'static str],
    /// The database's reason.
    pub reason: String,
}

/// One line of the table that `--a check` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckLine {
    /// What was looked at, such as `privilege CREATE`.
    pub subject: String,
    /// What was found, or what is wrong and how to mend it.
    pub outcome: std::result::Result<String, String>,
}

/// A database that rows are written to. One connection; not shared between threads.
pub trait Sink {
    /// Asks the database for an answer, in one cheap round trip.
    fn alive(&mut self) -> Result<()>;

    /// The columns that this table has in the database, spelt as there and in its order; none if there is no such table.
    fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>>;

    /// Creates missing tables and columns, and reads the real types of the columns.
    ///
    /// Called after opening, with each reconcile, and again with more columns while running. Columns that can't be added
    /// now (refused, or the lock was not granted within [`MAX_DDL_LOCK_WAIT`]) are returned, and left out of later writes
    /// by the sink. Idempotent.
    fn prepare(&mut self, schema: &Schema) -> Result<Vec<MissingColumn>>;

    /// Creates the missing indexes of tables that were prepared. Idempotent.
    ///
    /// Apart from [`Sink::prepare`], as an index costs less when it is made once than when it grows with each row. Those
    /// that can't be made now (refused, or the lock was not granted within [`MAX_DDL_LOCK_WAIT`]) are returned:
    /// everything works without them, but slower.
    fn index(&mut self, schema: &Schema) -> Result<Vec<MissingIndex>>;

    /// What is stored of these contacts; unknown ids are absent from the answer.
    fn stored(&mut self, ids: &[&str]) -> Result<Vec<StoredContact>>;

    /// Those of these keys that this table holds, and which of these columns, spelt as [`Sink::columns`] does, have a value
    /// there. Up to a few dozen keys.
    fn present(&mut self, table: Table, keys: &[&str], columns: &[&str])
    -> Result<Vec<PresentRow>>;

    /// The number of rows of this table, but at most `limit`.
    fn count(&mut self, table: Table, limit: u32) -> Result<u32>;

    /// Sets `$md5` to NULL where `$changed` is later than `stamp` or NULL, of contacts whose `$campaign_id` is `campaign` or
    /// NULL; returns the number of rows.
    fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64>;

    /// The ids of up to `most` of the contacts that [`Sink::distrust_after`] is for, the first ones after the id `after` in the
    /// order of the database.
    fn trusted_after(
        &mut self,
        stamp: &str,
        campaign: &str,
        after: &str,
        most: usize,
    ) -> Result<Vec<String>>;

    /// Sets `$md5` of these contacts to NULL; returns the number of rows.
    fn distrust(&mut self, ids: &[&str]) -> Result<u64>;

    /// Writes a batch in one database transaction: first deletes the placeholders, then inserts or replaces the rows.
    ///
    /// Each column that the schema has is written. Values too long for an existing column widen the column first.
    /// The batch holds no key twice in one table. A [rehearsal](Batch::is_rehearsal) is undone in the end. Where rows are
    /// [only added](Batch::only_adds), no privilege to change them is needed.
    ///
    /// What the server says of a write may hold values of its rows, whatever the error: the message has the server's
    /// code and names, and only [`Error::detail`](crate::error::Error::detail) has the text.
    fn write(&mut self, batch: &Batch) -> Result<()>;

    /// The keys of up to `most` stored rows of a prepared table.
    fn sample(&mut self, table: Table, most: usize) -> Result<Vec<String>>;

    /// Adds the stored rows with these keys, of which there are up to a few dozen, to `rows`, whose columns are those of the
    /// schema. Of long rows only few fit into an answer.
    fn rows(&mut self, table: Table, keys: &[&str], rows: &mut Rows) -> Result<()>;

    /// The names of the triggers of a prepared table.
    fn triggers(&mut self, table: Table) -> Result<Vec<String>>;

    /// Looks at privileges and tables without changing anything.
    fn check(&mut self, schema: &Schema) -> Result<Vec<CheckLine>>;
}

/// Where and how to connect, read from a database URL once at start.
#[derive(Clone)]
pub struct Target {
    address: url::DatabaseUrl,
    tls: Roots,
    said: Said,
}

impl Target {
    /// Reads a database URL; `ca_file` holds the root certificates to trust instead of the compiled-in ones.
    ///
    /// # Errors
    /// [`Usage`](crate::error::ErrorKind::Usage) with a sentence that names what is wrong in the address.
    pub fn new(url: &str, ca_file: Option<&Path>) -> Result<Self> {
        let address = url::DatabaseUrl::parse(url)?;
        let ca_file = match &address {
            url::DatabaseUrl::SqlServer(url) => url.ca_file.as_deref().or(ca_file),
            _ => ca_file,
        };
        Ok(Target {
            tls: Roots::load(ca_file)?,
            address,
            said: Said::default(),
        })
    }

    /// The address without user and password, such as `postgres://db.example:5432/reports`:
    /// for messages, and as the identity of this target.
    pub fn display(&self) -> String {
        self.address.display()
    }

    /// How the database compares and limits column names.
    pub fn naming(&self) -> Naming {
        match &self.address {
            url::DatabaseUrl::Postgres(_) => dialect::POSTGRES.naming,
            url::DatabaseUrl::Mysql(_) => dialect::MYSQL.naming,
            url::DatabaseUrl::SqlServer(_) => dialect::SQLSERVER.naming,
            #[cfg(feature = "sqlite")]
            url::DatabaseUrl::Sqlite(_) => dialect::SQLITE.naming,
        }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Setup`](crate::error::ErrorKind::Setup) where the admin has to mend something (password, database name),
    /// [`Transient`](crate::error::ErrorKind::Transient) where the server can't be reached now.
    pub fn open(&self) -> Result<Box<dyn Sink>> {
        match &self.address {
            url::DatabaseUrl::Postgres(address) => {
                let mut sink = postgres::PostgresSink::open(address, &self.tls)?;
                sink.said = self.said.clone();
                Ok(Box::new(sink))
            }
            url::DatabaseUrl::Mysql(address) => {
                let mut sink = mysql::MysqlSink::open(address, &self.tls)?;
                sink.said = self.said.clone();
                Ok(Box::new(sink))
            }
            url::DatabaseUrl::SqlServer(address) => {
                let mut sink = sqlserver::SqlServerSink::open(address, &self.tls)?;
                sink.said = self.said.clone();
                Ok(Box::new(sink))
            }
            #[cfg(feature = "sqlite")]
            url::DatabaseUrl::Sqlite(path) => {
                let sink = sqlite::SqliteSink::open(path)?;
                sink.warn(&self.said);
                Ok(Box::new(sink))
            }
        }
    }
}
