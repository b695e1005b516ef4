//! Writes batches whatever the database refuses of them: splits a batch until the refused row is alone, and tells a bad
//! row, which is set aside, from a bad table, whose rows wait.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Instant;

use super::closed::{ClosedTables, LeftOut, Stripped};
use super::part_size::{PartSize, Tries};
use super::probe::{self, Extent, Refused};
use super::rejected::RejectFile;
use super::stored::StoredRows;
use super::writer::{MAX_ATTEMPTS, MAX_ATTEMPTS_OF_PARTS, Outcome, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::logging::limit::LogLimit;
use crate::tables::batch::{Batch, Row};
use crate::tables::schema::{Schema, Table};
use crate::text;

/// What was found out about tables and refused rows.
pub struct Splitter {
    rejects: RejectFile,
    closed: ClosedTables,
    refusals: LogLimit<Table>,
    part_size: PartSize,
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
    /// Contacts of which stored rows stay although others were to take their place, and that can't be marked as such.
    pub unmarked: Vec<String>,
    /// Inbound calls that were refused or kept back, with the times of their rows.
    pub refused_calls: Vec<(String, Option<String>)>,
    /// Contacts of which rows were kept back, as a table takes none: they have to be fetched again.
    pub kept_back: Vec<String>,
    /// Whether inbound calls were.
    pub calls_kept_back: bool,
}

/// What becomes of a row that was refused, alone.
enum Fate {
    /// It is set aside.
    Bad,
    /// Its table is closed to it.
    LeftOut(LeftOut),
    /// Its table is closed, but not to it: it is written in another way from now on.
    Again,
}

/// A batch that is being written.
struct Work<'a> {
    batch: &'a Batch,
    schema: Schema,
    stamp: &'a str,
    written: Written,
    /// Stored rows that stay as they are, although others were to take their place.
    stay: u64,
    /// Reasons for which single rows are refused, not all of a table.
    single_rows: HashSet<(Table, String)>,
    /// Whether it failed for what may pass: each part of it is not to wait as long.
    was_patient: bool,
}

impl Work<'_> {
    /// Attempts to write so many contacts or calls together. Those of a part that is split are made with its halves.
    fn patience(&self, units: usize) -> u32 {
        match (self.was_patient, units) {
            (false, _) => MAX_ATTEMPTS,
            (true, 0 | 1) => MAX_ATTEMPTS_OF_PARTS,
            (true, _) => 1,
        }
    }

    /// Notes what was left out of a part that is not split any more.
    fn note(&mut self, stripped: &mut Stripped<'_>) {
        let written = &mut self.written;
        written.kept_back.append(&mut stripped.contacts);
        written.unmarked.append(&mut stripped.unmarked);
        written.calls_kept_back |= stripped.keeps_calls;
        written.refused_calls.append(&mut stripped.calls);
        self.stay += stripped.stay;
    }

    /// Whether all rows are stored.
    fn is_complete(&self) -> bool {
        let written = &self.written;
        written.rejected == 0
            && written.incomplete.is_empty()
            && written.kept_back.is_empty()
            && written.refused_calls.is_empty()
            && !written.calls_kept_back
            && self.stay == 0
    }
}

impl Splitter {
    /// Nothing is known yet. Refused rows go to this file.
    pub fn new(rejects: RejectFile) -> Self {
        Splitter {
            rejects,
            closed: ClosedTables::default(),
            refusals: LogLimit::default(),
            part_size: PartSize::default(),
            unchanged: 0,
        }
    }

    /// Writes a batch. Rows that the database refuses are set aside, each alone; rows of a table that takes none are kept
    /// back.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn write(&mut self, writer: &mut Writer, batch: &Batch, stamp: &str) -> Result<Written> {
        self.try_closed_tables(writer, Some(batch))?;
        let mut work = Work {
            batch,
            schema: writer.schema()?,
            stamp,
            written: Written::default(),
            stay: 0,
            single_rows: HashSet::new(),
            was_patient: false,
        };
        let mut tries = Tries::default();
        let mut parts = self.part_size.cut(batch.units());
        while let Some((from, to)) = parts.pop() {
            let units = to - from;
            let part = if units == batch.units() {
                Cow::Borrowed(batch)
            } else {
                Cow::Owned(batch.slice(from, to))
            };
            let mut stripped = self.strip(writer, &part, &work.schema)?;
            let patience = work.patience(units);
            match self.write_part(writer, &stripped.batch, patience)? {
                Outcome::Written => {
                    work.note(&mut stripped);
                    add(&mut work.written.rows, stripped.batch.counts());
                    tries.taken(units);
                }
                Outcome::Refused(error) => {
                    tries.refused(units);
                    work.was_patient |= error.kind() == ErrorKind::Transient;
                    if units <= 1 {
                        work.note(&mut stripped);
                        let contact = part.rows(Table::Contacts).row(0).key();
                        self.write_unit(writer, contact, &stripped, &mut work)?;
                    } else {
                        log::debug!("a batch of {units} is refused and split: {error}");
                        let middle = from + units / 2;
                        parts.push((middle, to));
                        parts.push((from, middle));
                    }
                }
            }
        }
        self.unchanged += work.stay;
        let is_complete = work.is_complete();
        // Where each part alone was taken, they were too much together.
        self.part_size.after(batch.units(), &tries, is_complete);
        // What is not there can't be lost.
        if is_complete {
            writer.note(batch);
        } else {
            writer.doubt(batch);
        }
        Ok(work.written)
    }

    /// What was last found out about a table for which rows wait, if there is still one.
    pub fn closed_table(&self) -> Option<&Error> {
        self.closed.error().filter(|_| self.closed.keeps_back())
    }

    /// How many stored rows stay as they are, as their tables refuse changes.
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

    /// Tries again whether tables that took no rows do so now: those for which it is time before this batch is written, or
    /// all.
    ///
    /// # Errors
    /// As [`Writer::columns`].
    pub fn try_closed_tables(&mut self, writer: &mut Writer, before: Option<&Batch>) -> Result<()> {
        if !self.closed.any() {
            return Ok(());
        }
        let schema = writer.schema()?;
        let due = match before {
            Some(_) => self.closed.due(Instant::now()),
            None => Table::ALL.to_vec(),
        };
        for table in due {
            let Some(closed) = self.closed.get_mut(table) else {
                continue;
            };
            closed.wait_longer();
            let (key, reason, extent) = (closed.key.clone(), closed.reason.clone(), closed.extent);
            let refused = Refused {
                table,
                key: &key,
                reason: &reason,
            };
            // MySQL looks at what a user may do when the database is opened.
            if reason.kind() == ErrorKind::Setup {
                writer.reopen();
            }
            let others = before.map_or(Vec::new(), |batch| batch.rows(table).iter().collect());
            let name = &schema.table(table).name;
            match writer.attempt(Some(MAX_ATTEMPTS_OF_PARTS), |sink| {
                probe::refuses(sink, &schema, refused, &others)
            })? {
                Ok(None) => {
                    log::info!("table {name} takes rows again");
                    self.closed.open(table);
                }
                Ok(Some((found, why))) if found != extent => {
                    self.close(writer, &schema, refused, found, &why)?;
                }
                Ok(Some(_)) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Leaves out the rows of tables that refuse them.
    fn strip<'b>(
        &self,
        writer: &mut Writer,
        part: &'b Batch,
        schema: &Schema,
    ) -> Result<Stripped<'b>> {
        if !self.closed.any() {
            return Ok(Stripped::none(part));
        }
        let mut stored = StoredRows::default();
        for table in self.closed.partly() {
            let keys: HashSet<&str> = part.rows(table).iter().map(|row| row.key()).collect();
            let keys: Vec<&str> = keys.into_iter().collect();
            stored.add(writer, schema, table, &keys)?;
        }
        Ok(self.closed.strip(part, schema, &stored))
    }

    fn write_part(&self, writer: &mut Writer, part: &Batch, patience: u32) -> Result<Outcome> {
        writer.write(part, patience, self.closed.only_adds())
    }

    /// Writes one contact or inbound call that is refused as a whole: row by row, the contact's own row last, and without
    /// its `$md5` if one of its rows is not stored, as a stored one means that everything of this version is there. What a
    /// closed table refuses of it is left out already.
    fn write_unit(
        &mut self,
        writer: &mut Writer,
        contact: &str,
        stripped: &Stripped<'_>,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let unit = &stripped.batch;
        let mut placeholders = unit.slice(0, 0);
        placeholders.placeholders.clone_from(&unit.placeholders);
        let (mut incomplete, mut kept_back, mut stays) = (false, false, stripped.stay > 0);
        let mut is_marked = false;
        let patience = work.patience(1);
        if let Outcome::Refused(error) = self.write_part(writer, &placeholders, patience)? {
            incomplete = true;
            let line = (self.refusals).count(Table::Recordings, error.message(), Instant::now());
            line.log(
                log::Level::Error,
                &format!(
                    "rows of contact {contact} that are out of date can't be deleted: {error}"
                ),
            );
        }
        for kind in Table::ALL.into_iter().rev() {
            // Most tables take all of their rows.
            if unit.rows(kind).len() > 1 && self.closed.extent(kind).is_none() {
                let rows = unit.only(kind);
                if let Outcome::Written = self.write_part(writer, &rows, patience)? {
                    add(&mut work.written.rows, rows.counts());
                    continue;
                }
            }
            for index in 0..unit.rows(kind).len() {
                let row = unit.rows(kind).row(index);
                let mut single = unit.single(kind, index);
                if kind == Table::Contacts
                    && (incomplete || kept_back || stays)
                    && let Some(md5) = work.schema.table(kind).position("$md5")
                {
                    single.rows_mut(kind).set_null(md5);
                }
                match self.write_row(writer, kind, row, &single, work)? {
                    None => {
                        is_marked |= kind == Table::Contacts;
                        add(&mut work.written.rows, single.counts());
                    }
                    Some(Ok(left_out)) => {
                        kept_back |= left_out == LeftOut::Waits;
                        stays |= left_out == LeftOut::Stays;
                        Self::leave_out(kind, row, left_out, work);
                    }
                    Some(Err(error)) => {
                        incomplete = true;
                        self.set_aside(kind, row, &error, work)?;
                    }
                }
            }
        }
        if contact.is_empty() {
            return Ok(());
        }
        let written = &mut work.written;
        if kept_back {
            written.kept_back.push(contact.to_owned());
        }
        if incomplete {
            written.incomplete.push(contact.to_owned());
        } else if stays && !is_marked {
            written.unmarked.push(contact.to_owned());
        }
        Ok(())
    }

    /// Writes one row, of which `single` is made; `None` where it is stored, else why it is left out, or the reason of the
    /// database for which it is a bad one.
    fn write_row(
        &mut self,
        writer: &mut Writer,
        kind: Table,
        row: Row<'_>,
        single: &Batch,
        work: &mut Work<'_>,
    ) -> Result<Option<Result<LeftOut>>> {
        if let Some(extent) = self.closed.extent(kind)
            && let Some(left_out) = left_out(writer, &work.schema, kind, row, extent)?
        {
            return Ok(Some(Ok(left_out)));
        }
        // A table is closed to one thing after the other, and to everything in the end.
        loop {
            let error = match self.write_part(writer, single, work.patience(1))? {
                Outcome::Written => return Ok(None),
                Outcome::Refused(error) => error,
            };
            match self.fate(writer, kind, row, &error, work)? {
                Fate::Bad => return Ok(Some(Err(error))),
                Fate::LeftOut(left_out) => return Ok(Some(Ok(left_out))),
                Fate::Again => {}
            }
        }
    }

    /// Notes a row that is not written to a closed table.
    fn leave_out(kind: Table, row: Row<'_>, left_out: LeftOut, work: &mut Work<'_>) {
        if left_out == LeftOut::Same {
            return;
        }
        if left_out == LeftOut::Stays {
            work.stay += 1;
        }
        // One whose stored row stays would stay each time it is read.
        if left_out == LeftOut::Waits {
            work.written.calls_kept_back |= kind == Table::InboundCalls;
            note_call(kind, row, work);
        }
    }

    /// What becomes of a refused row. Whatever the code, nobody can tell by it whether others are refused as well: the table
    /// is asked, once for each reason in a batch. What it refuses of all rows, it is closed to from then on.
    fn fate(
        &mut self,
        writer: &mut Writer,
        table: Table,
        row: Row<'_>,
        reason: &Error,
        work: &mut Work<'_>,
    ) -> Result<Fate> {
        let single_row = (table, reason.message().to_owned());
        if reason.is_of_row() || work.single_rows.contains(&single_row) {
            return Ok(Fate::Bad);
        }
        let refused = Refused {
            table,
            key: row.key(),
            reason,
        };
        let others: Vec<Row<'_>> = work.batch.rows(table).iter().collect();
        let found = writer.attempt(Some(MAX_ATTEMPTS_OF_PARTS), |sink| {
            probe::refuses(sink, &work.schema, refused, &others)
        })?;
        let found = match found {
            Ok(found) => found,
            Err(why) => Some((Extent::All, why)),
        };
        if let Some((extent, why)) = found {
            let is_new = self.closed.extent(table) != Some(extent);
            if is_new {
                self.close(writer, &work.schema, refused, extent, &why)?;
            }
            if let Some(left_out) = left_out(writer, &work.schema, table, row, extent)? {
                return Ok(Fate::LeftOut(left_out));
            }
            if is_new {
                return Ok(Fate::Again);
            }
        }
        work.single_rows.insert(single_row);
        Ok(Fate::Bad)
    }

    /// From now on a table is closed, by what was found out with a row that was refused.
    fn close(
        &mut self,
        writer: &mut Writer,
        schema: &Schema,
        refused: Refused<'_>,
        extent: Extent,
        why: &Error,
    ) -> Result<()> {
        let Refused { table, key, reason } = refused;
        let triggers = match writer.attempt(Some(1), |sink| sink.triggers(table))? {
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
        if writer.gives_up() && kind == ErrorKind::Setup && extent != Extent::Changes {
            return Err(error);
        }
        log::error!("{error}");
        writer.report_trouble(&error);
        self.closed.close(table, extent, key, reason.clone(), error);
        Ok(())
    }

    /// Puts a refused row into the reject file.
    fn set_aside(
        &mut self,
        kind: Table,
        row: Row<'_>,
        error: &Error,
        work: &mut Work<'_>,
    ) -> Result<()> {
        let table = work.schema.table(kind);
        let line = self.refusals.count(kind, error.message(), Instant::now());
        line.log(
            log::Level::Error,
            &format!(
                "row {} of table {} is refused and set aside in {}: {error}",
                text::foreign(row.key()),
                table.name,
                self.rejects.path().display()
            ),
        );
        self.rejects.append(work.stamp, table, row, error)?;
        work.written.rejected += 1;
        note_call(kind, row, work);
        Ok(())
    }
}

/// What becomes of a row in a table that is closed to this extent; `None` where it should have taken the row.
fn left_out(
    writer: &mut Writer,
    schema: &Schema,
    table: Table,
    row: Row<'_>,
    extent: Extent,
) -> Result<Option<LeftOut>> {
    let mut stored = StoredRows::default();
    if extent != Extent::All {
        stored.add(writer, schema, table, &[row.key()])?;
    }
    let found = stored.find(table, row.key());
    Ok(LeftOut::of(extent, schema.table(table), row, found))
}

/// Notes an inbound call that was refused or waits: it has to be read again.
fn note_call(kind: Table, row: Row<'_>, work: &mut Work<'_>) {
    if kind == Table::InboundCalls {
        let started = work.schema.table(kind).position("started");
        let started = started.and_then(|at| row.get(at)).map(str::to_owned);
        (work.written.refused_calls).push((row.key().to_owned(), started));
    }
}

fn add(sum: &mut [usize; 5], more: [usize; 5]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
