//! Writes batches whatever happens: reopens the database, waits while it is away, splits a batch that it refuses until
//! the refused row is alone, and tells a bad row from a bad table.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Instant;

use super::board::Board;
use super::closed::ClosedTables;
use super::holdings::{Holdings, Loss};
use super::part_size::{PartSize, Tries};
use super::probe::{self, Extent};
use super::profile::{Activity, Profile};
use super::refusals::{Line, Refusals};
use super::rejected::RejectFile;
use super::witness;
use crate::dialfire::retry::{Pause, RetryPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::{MissingColumn, MissingIndex, Sink, StoredContact, Target};
use crate::tables::batch::{Batch, Row};
use crate::tables::fields::Naming;
use crate::tables::schema::{Schema, Table, TableSchema};
use crate::text;

/// Attempts to reach the database at start, before the program gives up with an error: about half a minute, the time
/// that a database server needs to start beside us.
pub const ATTEMPTS_AT_START: u32 = 6;

/// Attempts to write a batch that fails for what may pass, before it is split.
const MAX_ATTEMPTS: u32 = 3;

/// The same for its parts.
const MAX_ATTEMPTS_OF_PARTS: u32 = 2;

/// Contacts whose checksums are taken away together where the database refuses this for all at once.
const MAX_MARKED_TOGETHER: usize = 1000;

/// So many contacts that can't be marked are found one by one: more of them are a table that refuses it for all.
const MAX_UNMARKED: usize = 20;

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
    closed: ClosedTables,
    refusals: Refusals,
    part_size: PartSize,
    /// Rows that stay as they were stored, as their tables refuse changes.
    unchanged: u64,
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
    /// Inbound calls that were refused or kept back, with the times of their rows.
    pub refused_calls: Vec<(String, Option<String>)>,
    /// Contacts of which rows were kept back, as a table takes none: they have to be fetched again.
    pub kept_back: Vec<String>,
    /// Whether inbound calls were.
    pub calls_kept_back: bool,
}

/// A batch that is being written.
struct Work<'a> {
    stamp: &'a str,
    written: Written,
    /// Reasons for which single rows are refused, not all of a table.
    single_rows: HashSet<(Table, String)>,
    patience: u32,
}

enum Outcome {
    Written,
    Refused(Error),
}

/// What becomes of a row that was refused, alone.
enum Fate {
    /// It is set aside.
    Bad,
    /// It is written when its table takes rows again.
    Waits,
    /// It stays as it is stored, as its table refuses changes.
    Stays,
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
            closed: ClosedTables::default(),
            refusals: Refusals::default(),
            part_size: PartSize::default(),
            unchanged: 0,
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
                        self.options.board.borrow_mut().trouble(&error);
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

    /// See [`Sink::distrust_after`]. Contacts of which the database refuses it are named in the log: nothing depends on it
    /// but those that bear a time of writing in the future.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn distrust_after(&mut self, stamp: &str, campaign: &str) -> Result<u64> {
        let all = |sink: &mut dyn Sink| sink.distrust_after(stamp, campaign);
        match self.attempt(Some(MAX_ATTEMPTS), all)? {
            Ok(rows) => return Ok(rows),
            Err(error) => {
                log::debug!("contacts are marked in parts, as it is refused for all: {error}");
            }
        }
        let (mut marked, mut unmarked) = (0, HashSet::new());
        loop {
            let found =
                self.run(|sink| sink.trusted_after(stamp, campaign, MAX_MARKED_TOGETHER))?;
            let ids: Vec<&str> = (found.iter())
                .filter(|id| !unmarked.contains(*id))
                .map(String::as_str)
                .collect();
            let before = marked;
            let mut parts = vec![ids.as_slice()];
            while let Some(part) = parts.pop() {
                if part.is_empty() {
                    continue;
                }
                match self.attempt(Some(MAX_ATTEMPTS_OF_PARTS), |sink| sink.distrust(part))? {
                    Ok(rows) => marked += rows,
                    Err(error) if part.len() == 1 => {
                        let id = part.first().copied().unwrap_or_default();
                        log::error!(
                            "contact {}, whose time of writing lies in the future or is not known, can't be marked to be \
                             fetched again: {error}",
                            text::foreign(id)
                        );
                        unmarked.insert(id.to_owned());
                    }
                    Err(_) => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
                if unmarked.len() >= MAX_UNMARKED {
                    log::error!(
                        "no more contacts are marked to be fetched again, as {MAX_UNMARKED} of them can't be"
                    );
                    return Ok(marked);
                }
            }
            // A trigger may leave them as they are without a word.
            if marked == before {
                return Ok(marked);
            }
        }
    }

    /// Writes a batch. Rows that the database refuses are set aside, each alone; rows of a table that takes none are kept
    /// back.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn write(&mut self, batch: &Batch, stamp: &str) -> Result<Written> {
        self.try_closed_tables(false)?;
        let mut work = Work {
            stamp,
            written: Written::default(),
            single_rows: HashSet::new(),
            patience: MAX_ATTEMPTS,
        };
        let (mut tries, unchanged) = (Tries::default(), self.unchanged);
        let mut parts = self.part_size.cut(batch.units());
        while let Some((from, to)) = parts.pop() {
            let whole = from == 0 && to == batch.units();
            let part = if whole {
                Cow::Borrowed(batch)
            } else {
                Cow::Owned(batch.slice(from, to))
            };
            let part = self.open_part(part, &mut work.written);
            match self.write_part(&part, work.patience)? {
                Outcome::Written => {
                    add(&mut work.written.rows, part.counts());
                    tries.taken(to - from);
                }
                Outcome::Refused(error) => {
                    tries.refused(to - from);
                    if error.kind() == ErrorKind::Transient {
                        work.patience = MAX_ATTEMPTS_OF_PARTS;
                    }
                    if to - from <= 1 {
                        self.write_unit(&part, &mut work)?;
                    } else {
                        log::debug!("a batch of {} is refused and split: {error}", to - from);
                        let middle = from + (to - from) / 2;
                        parts.push((middle, to));
                        parts.push((from, middle));
                    }
                }
            }
        }
        let written = work.written;
        // Where each part alone was taken, they were too much together.
        let all_there = written.rejected == 0
            && written.incomplete.is_empty()
            && written.kept_back.is_empty()
            && written.refused_calls.is_empty()
            && !written.calls_kept_back
            && self.unchanged == unchanged;
        self.part_size.after(batch.units(), &tries, all_there);
        // What is not there can't be lost.
        if !all_there {
            return Ok(written);
        }
        // Of new contacts no earlier state can come back, so their times need not be known.
        let contacts = witness::last_of(batch, Table::Contacts);
        let stored = match &mut self.sink {
            Some(sink) if !batch.is_new && !contacts.is_empty() => sink.stored(&contacts),
            _ => Ok(Vec::new()),
        };
        if let Some(schema) = &self.schema {
            (self.options.holdings).note(batch, schema, stored.unwrap_or_default());
        }
        Ok(written)
    }

    /// What was last found out about a table for which rows wait, if there is still one.
    pub fn closed_table(&self) -> Option<&Error> {
        self.closed.error().filter(|_| self.closed.keeps_back())
    }

    /// How many rows stay as they were stored, as their tables refuse changes.
    pub fn unchanged(&self) -> u64 {
        self.unchanged
    }

    /// Why rows were kept back.
    pub fn why_kept_back(&self) -> Error {
        self.closed
            .error()
            .cloned()
            .unwrap_or_else(|| Error::transient("a table took no rows"))
    }

    /// Tries again whether tables that took no rows do so now: those for which it is time, or all.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn try_closed_tables(&mut self, all: bool) -> Result<()> {
        if !self.closed.any() {
            return Ok(());
        }
        let due = if all {
            Table::ALL.to_vec()
        } else {
            self.closed.due(Instant::now())
        };
        for table in due {
            let (Some(closed), Some(schema)) = (self.closed.get_mut(table), self.schema.clone())
            else {
                continue;
            };
            let (key, reason) = (closed.key.clone(), closed.reason.clone());
            let closed_to = closed.extent;
            match self.attempt(Some(MAX_ATTEMPTS_OF_PARTS), |sink| {
                probe::refuses(sink, &schema, table, &key, &reason)
            })? {
                Ok(None) => {
                    log::info!("table {} takes rows again", schema.table(table).name);
                    self.closed.open(table);
                }
                Ok(Some((extent, _))) if extent != closed_to => {
                    log::info!(
                        "table {} refuses other rows than before",
                        schema.table(table).name
                    );
                    self.closed.open(table);
                }
                Ok(Some(_)) | Err(_) => {
                    if let Some(closed) = self.closed.get_mut(table) {
                        closed.wait_longer();
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves out the rows of tables that take none.
    fn open_part<'b>(&self, part: Cow<'b, Batch>, written: &mut Written) -> Cow<'b, Batch> {
        let Some(schema) = self.schema.as_ref().filter(|_| self.closed.any()) else {
            return part;
        };
        let stripped = self.closed.strip(&part, schema);
        written.kept_back.extend(stripped.contacts);
        written.calls_kept_back |= !stripped.calls.is_empty();
        written.refused_calls.extend(stripped.calls);
        Cow::Owned(stripped.batch)
    }

    /// Writes one contact or inbound call that is refused as a whole: row by row, the contact's own row last, and without
    /// its `$md5` if one of its rows is not stored, as a stored one means that everything of this version is there.
    fn write_unit(&mut self, unit: &Batch, work: &mut Work<'_>) -> Result<()> {
        let Some(schema) = self.schema.clone() else {
            return Ok(());
        };
        let contact = unit.rows(Table::Contacts).row(0).key().to_owned();
        let mut placeholders = unit.slice(0, 0);
        placeholders.placeholders.clone_from(&unit.placeholders);
        let (mut incomplete, mut kept_back, mut stays) = (false, false, false);
        if let Outcome::Refused(error) = self.write_part(&placeholders, work.patience)? {
            incomplete = true;
            let line = (self.refusals).count(Table::Recordings, error.message(), Instant::now());
            log_refusal(
                line,
                &format!(
                    "rows of contact {contact} that are out of date can't be deleted: {error}"
                ),
            );
        }
        for kind in Table::ALL.into_iter().rev() {
            // Most tables take all of their rows.
            if unit.rows(kind).len() > 1 && !self.closed.has(kind) {
                let rows = unit.only(kind);
                if let Outcome::Written = self.write_part(&rows, work.patience)? {
                    add(&mut work.written.rows, rows.counts());
                    continue;
                }
            }
            for index in 0..unit.rows(kind).len() {
                let mut single = unit.single(kind, index);
                if kind == Table::Contacts
                    && (incomplete || kept_back || stays)
                    && let Some(md5) = schema.table(kind).position("$md5")
                {
                    single.rows_mut(kind).set_null(md5);
                }
                let single = self.open_part(Cow::Owned(single), &mut work.written);
                if single.counts() == [0; 5] {
                    kept_back = true;
                    continue;
                }
                let Outcome::Refused(error) = self.write_part(&single, work.patience)? else {
                    add(&mut work.written.rows, single.counts());
                    continue;
                };
                let row = unit.rows(kind).row(index);
                match self.fate(kind, row, &error, work)? {
                    Fate::Waits => {
                        kept_back = true;
                        work.written.calls_kept_back |= kind == Table::InboundCalls;
                        self.note_call(kind, row, work);
                    }
                    Fate::Stays => {
                        stays = true;
                        self.unchanged += 1;
                        self.note_call(kind, row, work);
                    }
                    Fate::Bad => {
                        incomplete = true;
                        self.set_aside(kind, row, &error, work)?;
                    }
                }
            }
        }
        if contact.is_empty() {
            return Ok(());
        }
        if kept_back {
            work.written.kept_back.push(contact.clone());
        }
        if incomplete {
            work.written.incomplete.push(contact);
        }
        Ok(())
    }

    /// What becomes of a refused row. Whatever the code, nobody can tell by it whether others are refused as well: the table
    /// is asked, once for each reason in a batch. What it refuses of all rows, it is closed to from then on.
    fn fate(
        &mut self,
        table: Table,
        row: Row<'_>,
        reason: &Error,
        work: &mut Work<'_>,
    ) -> Result<Fate> {
        let Some(schema) = self.schema.clone() else {
            return Ok(Fate::Bad);
        };
        if reason.is_of_row() {
            return Ok(Fate::Bad);
        }
        let known = self.closed.extent(table);
        if let Some(fate) = self.fate_in(table, row, known)? {
            return Ok(fate);
        }
        let single_row = (table, reason.message().to_owned());
        if work.single_rows.contains(&single_row) {
            return Ok(Fate::Bad);
        }
        let found = self.attempt(Some(MAX_ATTEMPTS_OF_PARTS), |sink| {
            probe::refuses(sink, &schema, table, row.key(), reason)
        })?;
        let (extent, why) = match found {
            Ok(None) => {
                work.single_rows.insert(single_row);
                return Ok(Fate::Bad);
            }
            Ok(Some(found)) => found,
            Err(why) => (Extent::All, why),
        };
        if known != Some(extent) {
            self.close(&schema, table, row, (extent, &why), reason)?;
        }
        match self.fate_in(table, row, Some(extent))? {
            Some(fate) => Ok(fate),
            None => {
                work.single_rows.insert(single_row);
                Ok(Fate::Bad)
            }
        }
    }

    /// The fate of a row in a table that is closed; `None` where it should have taken it.
    fn fate_in(
        &mut self,
        table: Table,
        row: Row<'_>,
        extent: Option<Extent>,
    ) -> Result<Option<Fate>> {
        let Some(extent) = extent else {
            return Ok(None);
        };
        if extent == Extent::All {
            return Ok(Some(Fate::Waits));
        }
        let is_stored = !(self.run(|sink| sink.present(table, &[row.key()], &[])))?.is_empty();
        Ok(match extent {
            Extent::Changes if is_stored => Some(Fate::Stays),
            Extent::New if !is_stored => Some(Fate::Waits),
            _ => None,
        })
    }

    /// From now on a table is closed, by what was found out with a row that was refused for this reason.
    fn close(
        &mut self,
        schema: &Schema,
        table: Table,
        row: Row<'_>,
        (extent, why): (Extent, &Error),
        reason: &Error,
    ) -> Result<()> {
        let triggers = match self.attempt(Some(1), |sink| sink.triggers(table))? {
            Ok(names) if !names.is_empty() => {
                let names: Vec<String> = names.iter().map(|name| text::foreign(name)).collect();
                format!(" (it has the trigger {})", names.join(", "))
            }
            _ => String::new(),
        };
        let name = &schema.table(table).name;
        let message = match extent {
            Extent::All => format!(
                "table {name} takes no rows now, whatever they hold{triggers}: {why}; its rows are written when it takes them \
                 again, those of the other tables meanwhile"
            ),
            Extent::New => format!(
                "table {name} takes no new rows now, whatever they hold{triggers}: {why}; they are written when it takes them \
                 again, changes of those that it holds and rows of the other tables meanwhile"
            ),
            Extent::Changes => format!(
                "table {name} refuses changes of rows that it holds, whatever they hold{triggers}: {why}; these stay as they \
                 are, and new rows are written"
            ),
        };
        let kind = match reason.kind() {
            ErrorKind::Setup => ErrorKind::Setup,
            _ => ErrorKind::Transient,
        };
        let error = Error::new(kind, message);
        if self.gives_up && kind == ErrorKind::Setup {
            return Err(error);
        }
        log::error!("{error}");
        self.options.board.borrow_mut().trouble(&error);
        self.closed
            .close(table, extent, row.key(), reason.clone(), error);
        Ok(())
    }

    /// Notes an inbound call that is not stored as it is: it has to be read again.
    fn note_call(&self, kind: Table, row: Row<'_>, work: &mut Work<'_>) {
        let schema = self.schema.as_ref();
        if let Some(schema) = schema.filter(|_| kind == Table::InboundCalls) {
            let started = schema.table(kind).position("started");
            let started = started.and_then(|at| row.get(at));
            (work.written.refused_calls).push((row.key().to_owned(), started.map(str::to_owned)));
        }
    }

    /// Puts a refused row into the reject file.
    fn set_aside(
        &mut self,
        kind: Table,
        row: Row<'_>,
        error: &Error,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let Some(schema) = self.schema.clone() else {
            return Ok(());
        };
        let table = schema.table(kind);
        let line = self.refusals.count(kind, error.message(), Instant::now());
        log_refusal(
            line,
            &format!(
                "row {} of table {} is refused and set aside in {}: {error}",
                text::foreign(row.key()),
                table.name,
                self.options.rejects.path().display()
            ),
        );
        self.options.rejects.append(work.stamp, table, row, error)?;
        work.written.rejected += 1;
        self.note_call(kind, row, work);
        Ok(())
    }

    fn write_part(&mut self, part: &Batch, patience: u32) -> Result<Outcome> {
        if part.is_empty() {
            return Ok(Outcome::Written);
        }
        let mut clean = part.without_duplicates();
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

    /// Does something with the open database, and again after each loss.
    fn run<T>(&mut self, work: impl FnMut(&mut dyn Sink) -> Result<T>) -> Result<T> {
        self.attempt(None, work)?
    }

    /// The same, but only until it has failed `patience` times although the database could be opened, or was refused: then
    /// the inner result says why. Nobody can tell by a code alone what will pass.
    fn attempt<T>(
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
                (Some(_), ErrorKind::Data) if opened => return Ok(Err(error)),
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
                if failures >= patience || kind == ErrorKind::Setup {
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
                    text::foreign(&column.column),
                    column.table.suffix(),
                    column.reason
                );
            }
        }
    }
}

fn log_refusal(line: Line, message: &str) {
    match line {
        Line::Whole => log::error!("{message}"),
        Line::Last => {
            log::error!("{message}; further ones like it are only counted for an hour");
        }
        Line::None => log::debug!("{message}"),
    }
}

fn add(sum: &mut [usize; 5], more: [usize; 5]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
