//! Writes batches whatever happens: reopens the database, waits while it is away, splits a batch that it refuses.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use super::board::Board;
use super::holdings::{Holdings, Loss};
use super::profile::{Activity, Profile};
use super::rejected::RejectFile;
use super::witness;
use crate::dialfire::retry::{Pause, RetryPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{MissingColumn, MissingIndex, Sink, StoredContact, Target};
use crate::tables::batch::Batch;
use crate::tables::fields::Naming;
use crate::tables::schema::{Schema, Table, TableSchema};

/// Attempts to reach the database at start, before the program gives up with an error: about half a minute, the time
/// that a database server needs to start beside us.
pub const ATTEMPTS_AT_START: u32 = 6;

/// What a [`Writer`] is made of.
pub struct Options {
    /// Where to.
    pub target: Target,
    /// The waits between attempts; its number of attempts counts only until [`Writer::wait_for_ever`].
    pub backoff: RetryPolicy,
    /// How to wait, and when to stop.
    pub pause: Pause,
    /// For refused rows.
    pub rejects: RejectFile,
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

/// What became of a batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows written, in the order of [`Table::ALL`].
    pub rows: [usize; 5],
    /// Rows refused.
    pub rejected: usize,
    /// Contacts of which a row was refused.
    pub incomplete: Vec<String>,
    /// Inbound calls that were refused, with the times of their rows.
    pub refused_calls: Vec<(String, Option<String>)>,
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
                Err(error) => log::debug!("the tables are prepared again after: {error}"),
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
        match self.run(|sink| witness::look(&mut witnesses, sink))? {
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

    /// See [`Sink::distrust_after`].
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn distrust_after(&mut self, stamp: &str) -> Result<u64> {
        self.run(|sink| sink.distrust_after(stamp))
    }

    /// Writes a batch. Rows that the database refuses are set aside, each alone.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn write(&mut self, batch: &Batch, stamp: &str) -> Result<Written> {
        let mut written = Written::default();
        let mut parts = vec![(0, batch.units())];
        while let Some((from, to)) = parts.pop() {
            let whole = from == 0 && to == batch.units();
            let part = if whole {
                None
            } else {
                Some(batch.slice(from, to))
            };
            let part = part.as_ref().unwrap_or(batch);
            match self.write_part(part) {
                Ok(()) => add(&mut written.rows, part.counts()),
                Err(error) if error.kind() == ErrorKind::Data => {
                    if to - from <= 1 {
                        self.write_unit(part, stamp, &mut written)?;
                    } else {
                        log::debug!("a batch of {} is refused and split: {error}", to - from);
                        let middle = from + (to - from) / 2;
                        parts.push((middle, to));
                        parts.push((from, middle));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // Of new contacts no earlier state can come back, so their times need not be known.
        let contacts = witness::last_of(batch, Table::Contacts);
        let stored = match &mut self.sink {
            Some(sink) if !batch.is_new && !contacts.is_empty() => sink.stored(&contacts),
            _ => Ok(Vec::new()),
        };
        self.options
            .holdings
            .note(batch, stored.unwrap_or_default());
        Ok(written)
    }

    /// Writes one contact or inbound call of which some row is refused: row by row, the contact's own row last, and
    /// without its `$md5`, as a stored one would mean that everything of this version is there.
    fn write_unit(&mut self, unit: &Batch, stamp: &str, written: &mut Written) -> Result<()> {
        let mut placeholders = unit.slice(0, 0);
        placeholders.placeholders.clone_from(&unit.placeholders);
        self.write_part(&placeholders)?;
        let Some(schema) = self.schema.clone() else {
            return Ok(());
        };
        let contact = unit.rows(Table::Contacts).row(0).key().to_owned();
        let mut incomplete = false;
        for kind in Table::ALL.into_iter().rev() {
            for index in 0..unit.rows(kind).len() {
                let mut single = unit.single(kind, index);
                if kind == Table::Contacts
                    && let Some(md5) = schema.table(kind).position("$md5")
                {
                    single.rows_mut(kind).set_null(md5);
                }
                match self.write_part(&single) {
                    Ok(()) => add(&mut written.rows, single.counts()),
                    Err(error) if error.kind() == ErrorKind::Data => {
                        let (table, row) = (schema.table(kind), unit.rows(kind).row(index));
                        log::error!(
                            "row {} of table {} is refused and set aside in {}: {error}",
                            row.key(),
                            table.name,
                            self.options.rejects.path().display()
                        );
                        self.options
                            .rejects
                            .append(stamp, table, row, &error.to_string())?;
                        written.rejected += 1;
                        incomplete = true;
                        if kind == Table::InboundCalls {
                            let started = table.position("started").and_then(|at| row.get(at));
                            written
                                .refused_calls
                                .push((row.key().to_owned(), started.map(str::to_owned)));
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        if incomplete && !contact.is_empty() {
            written.incomplete.push(contact);
        }
        Ok(())
    }

    fn write_part(&mut self, part: &Batch) -> Result<()> {
        if part.is_empty() {
            return Ok(());
        }
        let mut clean = part.without_duplicates();
        let profile = self.options.profile.clone();
        let (mut hints, mut tried) = (self.hints, false);
        let written = self.run(|sink| {
            // What broke the connection may be a proxy that can't do bulk loading: the next one is not to break as well.
            hints &= !(tried && clean.is_new);
            tried = true;
            if clean.is_new && !hints {
                clean.to_mut().is_new = false;
            }
            profile.measure(Activity::Writing, || sink.write(&clean))
        });
        self.hints = hints;
        written
    }

    /// Does something with the open database, and again after each loss.
    fn run<T>(&mut self, mut work: impl FnMut(&mut dyn Sink) -> Result<T>) -> Result<T> {
        let mut attempt = 0;
        loop {
            if let Some(loss) = &self.found {
                return Err(Error::transient(format!(
                    "{}; everything is copied again",
                    loss.told
                )));
            }
            let error = match self.open().and_then(&mut work) {
                Ok(done) => {
                    if attempt > 0 {
                        log::info!("the database is back");
                    }
                    return Ok(done);
                }
                Err(error) if matches!(error.kind(), ErrorKind::Transient | ErrorKind::Setup) => {
                    error
                }
                Err(error) => return Err(error),
            };
            self.sink = None;
            if self.found.is_some() {
                return Err(error);
            }
            attempt += 1;
            if self.gives_up
                && (error.kind() == ErrorKind::Setup || attempt >= self.options.backoff.attempts)
            {
                return Err(error);
            }
            let wait = self
                .options
                .backoff
                .wait(attempt, None, (self.options.pause.random)());
            log::error!("{error}; trying again in {:.1} s", wait.as_secs_f64());
            self.options.board.borrow_mut().trouble(&error);
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
                    column.column,
                    column.table.suffix(),
                    column.reason
                );
            }
        }
    }
}

fn add(sum: &mut [usize; 5], more: [usize; 5]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
