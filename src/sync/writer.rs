//! Writes to a database whatever happens to the connection: reopens it, waits while the server is away, and notices what
//! was lost meanwhile. What it refuses is the business of the [`Splitter`](super::splitter::Splitter).

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use super::board::Board;
use super::holdings::{Holdings, Loss};
use super::profile::{Activity, Profile};
use super::witness;
use crate::destination::sql::{MissingColumn, MissingIndex, Sink, StoredContact, Target};
use crate::error::{Error, ErrorKind, Result};
use crate::net::retry::{Pause, RetryPolicy};
use crate::tables::batch::Batch;
use crate::tables::fields::Naming;
use crate::tables::schema::{Schema, Table, TableSchema};
use crate::text;

/// Attempts to reach the database at start, before the program gives up with an error: about half a minute, the time
/// that a database server needs to start beside us.
pub const ATTEMPTS_AT_START: u32 = 6;

/// Attempts to write a batch that fails for what may pass, before it is split.
pub const MAX_ATTEMPTS: u32 = 3;

/// The same for its parts.
pub const MAX_ATTEMPTS_OF_PARTS: u32 = 2;

/// What a [`Writer`] is made of.
pub struct Options {
    /// Where to.
    pub target: Target,
    /// The waits between attempts; its number of attempts counts only until [`Writer::wait_for_ever`].
    pub backoff: RetryPolicy,
    /// How to wait, and when to stop.
    pub pause: Pause,
    /// Where the time goes.
    pub profile: Profile,
    /// Where trouble is reported.
    pub board: Rc<RefCell<Board>>,
    /// What was written in earlier runs.
    pub holdings: Holdings,
    /// How the database compares names.
    pub naming: Naming,
}

/// A database that is opened when needed and again after each loss.
pub struct Writer {
    options: Options,
    sink: Option<Box<dyn Sink>>,
    schema: Option<Schema>,
    gives_up: bool,
    /// What was lost and is not noted yet. Nothing is written before.
    found: Option<Loss>,
    /// Columns and indexes that were reported as missing.
    reported: HashSet<(Table, String)>,
    /// Indexes that could not be made.
    unmade: usize,
    /// Whether the database is told which batches are new, so that it may load them in its fastest way.
    hints: bool,
    /// Whether missing indexes are made with the tables.
    indexes: bool,
}

/// What came of an attempt to write a batch.
#[derive(Debug)]
pub enum Outcome {
    /// All of it is stored.
    Written,
    /// Nothing of it is, for this reason.
    Refused(Error),
}

impl Writer {
    /// A writer that has not opened anything yet, and gives up after some attempts.
    pub fn new(options: Options) -> Self {
        Writer {
            options,
            sink: None,
            schema: None,
            gives_up: true,
            found: None,
            reported: HashSet::new(),
            unmade: 0,
            hints: true,
            indexes: true,
        }
    }

    /// From now on indexes that are missing stay so until [`Writer::index`].
    pub fn defer_indexes(&mut self) {
        self.indexes = false;
    }

    /// Makes the missing indexes; see [`Sink::index`].
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn index(&mut self) -> Result<()> {
        let Some(schema) = self.schema.clone() else {
            return Ok(());
        };
        let begin = Instant::now();
        let made = self.run(|sink| sink.index(&schema));
        self.options
            .profile
            .add(Activity::Indexing, begin.elapsed());
        self.report_indexes(made?);
        self.indexes = true;
        Ok(())
    }

    /// From now on the database is waited for, however long it is away.
    pub fn wait_for_ever(&mut self) {
        self.gives_up = false;
    }

    /// What the database is known to hold.
    pub fn holdings(&self) -> &Holdings {
        &self.options.holdings
    }

    /// What was lost, so that nothing is written until [`Writer::forget`].
    pub fn found(&self) -> Option<&Loss> {
        self.found.as_ref()
    }

    /// What was lost is noted: nothing of what the database held is relied on any more.
    pub fn forget(&mut self) {
        self.found = None;
        self.options.holdings.forget();
    }

    /// Whether columns or indexes could not be made until now.
    pub fn lacks_some(&self) -> bool {
        !self.options.holdings.unstored.is_empty() || self.unmade > 0
    }

    /// Makes sure that the database answers. A connection that was lost while nobody used it is opened again without a word.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn answer(&mut self) -> Result<()> {
        if let Some(sink) = &mut self.sink {
            match sink.alive() {
                Ok(()) => return Ok(()),
                Err(error) => {
                    log::debug!("the connection was lost while it was not used: {error}");
                    self.sink = None;
                }
            }
        }
        self.run(|_| Ok(()))
    }

    /// See [`Sink::columns`].
    ///
    /// # Errors
    /// As all calls of a writer: [`Stopped`](ErrorKind::Stopped), and at start whatever the database says.
    pub fn columns(&mut self, table: &TableSchema) -> Result<Vec<String>> {
        self.run(|sink| sink.columns(table))
    }

    /// From now on the tables are to be like this; see [`Sink::prepare`].
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn prepare(&mut self, schema: &Schema) -> Result<()> {
        self.schema = Some(schema.clone());
        if let Some(mut sink) = self.sink.take() {
            match self.make_ready(sink.as_mut(), schema) {
                Ok(()) => {
                    self.sink = Some(sink);
                    return Ok(());
                }
                Err(error) => {
                    log::debug!("the tables are prepared again after: {error}");
                    // At the start it may have waited a minute for a lock: whoever watches is not to wait for another one.
                    if self.gives_up && self.found.is_none() {
                        self.options.board.borrow_mut().record_error(&error);
                    }
                }
            }
        }
        self.run(|_| Ok(()))
    }

    /// See [`Sink::stored`].
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn stored(&mut self, ids: &[&str]) -> Result<Vec<StoredContact>> {
        let begin = Instant::now();
        let stored = self.run(|sink| sink.stored(ids));
        self.options
            .profile
            .add(Activity::WaitingForDatabase, begin.elapsed());
        stored
    }

    /// Looks for the rows that were written since the last look, so that from now on they can tell of a loss. What was lost
    /// meanwhile is an error, and [`Writer::found`] says it.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn confirm(&mut self) -> Result<()> {
        let mut witnesses = self.options.holdings.witnesses.clone();
        if !witnesses.iter().any(|witness| witness.young) {
            return Ok(());
        }
        let columns = self.options.holdings.columns.clone();
        match self.run(|sink| witness::look(&mut witnesses, sink, &columns))? {
            None => {
                self.options.holdings.witnesses = witnesses;
                Ok(())
            }
            Some((reason, told)) => {
                let error = Error::transient(told.as_str());
                self.found = Some(Loss { reason, told });
                Err(error)
            }
        }
    }

    /// See [`Sink::count`].
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn count(&mut self, table: Table, limit: u32) -> Result<u32> {
        self.run(|sink| sink.count(table, limit))
    }

    /// What the tables are to be like.
    ///
    /// # Errors
    /// Before [`Writer::prepare`].
    pub fn schema(&self) -> Result<Schema> {
        self.schema
            .clone()
            .ok_or_else(|| Error::transient("the tables are not prepared yet"))
    }

    /// Whether it still gives up after some attempts.
    pub fn gives_up(&self) -> bool {
        self.gives_up
    }

    /// The database is opened again before it is used the next time.
    pub fn reopen(&mut self) {
        self.sink = None;
    }

    /// Shows an error in the status.
    pub fn report_trouble(&self, error: &Error) {
        self.options.board.borrow_mut().record_error(error);
    }

    /// Writes a batch as a whole. What may pass is tried so many times, as for [`Writer::attempt`]; to tables of `only_adds`
    /// rows are [only added](Batch::only_adds).
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn write(&mut self, batch: &Batch, patience: u32, only_adds: [bool; 5]) -> Result<Outcome> {
        if batch.is_empty() {
            return Ok(Outcome::Written);
        }
        let mut clean = batch.without_duplicates();
        if only_adds.contains(&true) {
            clean.to_mut().only_adds = only_adds;
        }
        let profile = self.options.profile.clone();
        let (mut hints, mut tried) = (self.hints, false);
        let written = self.attempt(Some(patience), |sink| {
            // What broke the connection may be a proxy that can't do bulk loading: the next one is not to break as well.
            hints &= !(tried && clean.is_new);
            tried = true;
            if clean.is_new && !hints {
                clean.to_mut().is_new = false;
            }
            profile.measure(Activity::Writing, || sink.write(&clean))
        });
        self.hints = hints;
        Ok(match written? {
            Ok(()) => Outcome::Written,
            Err(error) => Outcome::Refused(error),
        })
    }

    /// Takes note of a batch that is stored: it can be lost.
    pub fn note(&mut self, batch: &Batch) {
        // Of new contacts no earlier state can come back, so their times need not be known.
        let contacts = witness::last_of(batch, Table::Contacts);
        let stored = match &mut self.sink {
            Some(sink) if !batch.is_new && !contacts.is_empty() => sink.stored(&contacts),
            _ => Ok(Vec::new()),
        };
        if let Some(schema) = &self.schema {
            (self.options.holdings).note(batch, schema, stored.unwrap_or_default());
        }
    }

    /// Takes note of a batch of which not all is stored.
    pub fn doubt(&mut self, batch: &Batch) {
        self.options.holdings.doubt(batch);
    }

    /// Does something with the open database, and again after each loss.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn run<T>(&mut self, work: impl FnMut(&mut dyn Sink) -> Result<T>) -> Result<T> {
        self.attempt(None, work)?
    }

    /// The same, but only until it has failed `patience` times although the database could be opened, or was refused: then
    /// the inner result says why. Nobody can tell by a code alone what will pass.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn attempt<T>(
        &mut self,
        patience: Option<u32>,
        mut work: impl FnMut(&mut dyn Sink) -> Result<T>,
    ) -> Result<Result<T>> {
        let (mut attempt, mut failures) = (0, 0);
        loop {
            if let Some(loss) = &self.found {
                return Err(Error::transient(format!(
                    "{}; everything is copied again",
                    loss.told
                )));
            }
            let (error, opened) = match self.open() {
                Err(error) => (error, false),
                Ok(sink) => match work(sink) {
                    Ok(done) => {
                        if attempt > 0 {
                            log::info!("the database is back");
                        }
                        return Ok(Ok(done));
                    }
                    Err(error) => (error, true),
                },
            };
            let kind = error.kind();
            match (patience, kind) {
                // The connection is as good as another one, and each row may be refused so.
                (Some(_), ErrorKind::Data | ErrorKind::Setup) if opened => return Ok(Err(error)),
                (_, ErrorKind::Transient | ErrorKind::Setup) => self.sink = None,
                _ => return Err(error),
            }
            if self.found.is_some() {
                return Err(error);
            }
            if let Some(patience) = patience
                && opened
            {
                failures += 1;
                if failures >= patience {
                    return Ok(Err(error));
                }
            }
            attempt += 1;
            if self.gives_up
                && (kind == ErrorKind::Setup || attempt >= self.options.backoff.attempts)
            {
                return Err(error);
            }
            let wait = self
                .options
                .backoff
                .wait(attempt, None, (self.options.pause.random)());
            log::error!("{error}; trying again in {:.1} s", wait.as_secs_f64());
            self.options.board.borrow_mut().record_error(&error);
            let waited = (self.options.pause.sleep)(wait);
            self.options.profile.add(Activity::WaitingForDatabase, wait);
            waited?;
        }
    }

    fn open(&mut self) -> Result<&mut dyn Sink> {
        if self.sink.is_none() {
            let mut sink = self.options.target.open()?;
            if let Some(schema) = self.schema.clone() {
                self.make_ready(sink.as_mut(), &schema)?;
            }
            self.sink = Some(sink);
        }
        match &mut self.sink {
            Some(sink) => Ok(sink.as_mut()),
            None => Err(Error::transient("the database was closed")),
        }
    }

    /// Makes the tables what they have to be. Where something was lost, [`Writer::found`] says so: a database that was
    /// restored, or a server that took over, is met when a connection is opened.
    fn make_ready(&mut self, sink: &mut dyn Sink, schema: &Schema) -> Result<()> {
        let Options {
            holdings, naming, ..
        } = &mut self.options;
        let missing = match holdings.prepare(sink, schema, *naming)? {
            Ok(missing) => missing,
            Err(loss) => {
                let error = Error::transient(loss.told.as_str());
                self.found = Some(loss);
                return Err(error);
            }
        };
        self.report(missing);
        if self.indexes {
            let missing = sink.index(schema)?;
            self.report_indexes(missing);
        }
        Ok(())
    }

    fn report_indexes(&mut self, missing: Vec<MissingIndex>) {
        self.unmade = missing.len();
        for index in missing {
            let columns = index.columns.join(", ");
            if self.reported.insert((index.table, format!("({columns})"))) {
                log::warn!(
                    "no index on {}({columns}), some queries are slow: {}; it is tried again later",
                    index.table.suffix(),
                    index.reason
                );
            }
        }
    }

    fn report(&mut self, missing: Vec<MissingColumn>) {
        for column in missing {
            if self.reported.insert((column.table, column.column.clone())) {
                log::error!(
                    "column \"{}\" of table {} cannot be added, its values are not stored: {}; it is tried again later",
                    text::foreign(&column.column),
                    column.table.suffix(),
                    column.reason
                );
            }
        }
    }
}
