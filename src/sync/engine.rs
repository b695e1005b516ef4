//! What all passes of a run share: the API, the database, the layout of the tables, and how far the copy has come.

mod trust;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::board::Board;
use super::fetch::{Failures, Fetchers, Job, Reader};
use super::list::Scope;
use super::missing::Missing;
use super::pass::{Leftover, Pass, Tally};
use super::profile::Profile;
use super::retries::{retry_if_room, retry_later};
use super::seen::Seen;
use super::silence::Lists;
use super::splitter::{Splitter, Written};
use super::writer::Writer;
use crate::cli::settings::{Mode, Settings};
use crate::error::{Error, Result};
use crate::logging::limit::LogLimit;
use crate::progress::{Progress, Step};
use crate::shutdown::Shutdown;
use crate::source::client::Client;
use crate::state::{Checkpoint, MAX_RETRIES, StateFiles};
use crate::tables::batch::Batch;
use crate::tables::fields::{CustomField, Layout, Naming, Slot};
use crate::tables::filter::Filter;
use crate::tables::rows::Remarks;
use crate::tables::schema::Table;
use crate::text;

/// How many oddities of one kind are logged one by one; further ones are only counted.
const ODDITIES_LOGGED: u64 = 5;

/// The first pause before columns and indexes that could not be made are tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// The longest such pause.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// Everything that a run works with.
pub struct Engine {
    settings: Settings,
    client: Client,
    fetchers: Fetchers,
    writer: Writer,
    splitter: Splitter,
    layout: Arc<Layout>,
    filter: Arc<Filter>,
    files: StateFiles,
    /// How far the copy has come. Saved by [`Engine::save`].
    pub checkpoint: Checkpoint,
    seen: Seen,
    missing: Missing,
    /// How things stand.
    pub board: Rc<RefCell<Board>>,
    profile: Profile,
    progress: Progress<std::io::Stderr>,
    shutdown: Shutdown,
    oddities: HashMap<String, u64>,
    failures: Failures,
    unread_lines: LogLimit<&'static str>,
    started: bool,
    /// How often something became owed.
    debts: u64,
    /// Contacts whose stored checksums could not be taken away.
    unmarked: usize,
    /// Contacts that the last pass asked for and that Dialfire did not return, or not in a form that can be read.
    unfetched: Vec<String>,
    /// Those that were too many to be remembered there.
    beyond: usize,
    attendance: Attendance,
    /// Why the copy is in doubt although it ended.
    unread: Option<String>,
    /// When columns and indexes that could not be made are tried again, and the pause after that.
    next_try: Option<(Instant, Duration)>,
}

/// What came of what the last complete pass listed and asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Attendance {
    /// Contacts that came.
    pub came: usize,
    /// Contacts that did not come.
    pub absent: usize,
    /// Those of them that did not wait for another try before.
    pub newly_absent: usize,
    /// Those of them that are too many to be asked for again.
    pub given_up: usize,
    /// Entries of listings that were left out, as they can't be used.
    pub left_out: u64,
    /// What was listed.
    pub lists: Lists,
}

/// What an [`Engine`] is made of.
pub struct Parts {
    /// What was asked for.
    pub settings: Settings,
    /// The API; it has answered once, so that its clock is known.
    pub client: Client,
    /// The database, not opened yet.
    pub writer: Writer,
    /// What was found out about tables and refused rows.
    pub splitter: Splitter,
    /// How it names columns.
    pub naming: Naming,
    /// The state directory.
    pub files: StateFiles,
    /// What was loaded from there.
    pub checkpoint: Checkpoint,
    /// How things stand.
    pub board: Rc<RefCell<Board>>,
    /// Where the time goes.
    pub profile: Profile,
    /// The order to end.
    pub shutdown: Shutdown,
}

impl Engine {
    /// Reads the campaign's fields, opens the database, and makes the tables what they have to be.
    ///
    /// # Errors
    /// Whatever the admin has to mend.
    pub fn start(parts: Parts) -> Result<Self> {
        let Parts {
            settings,
            client,
            mut writer,
            splitter,
            naming,
            files,
            checkpoint,
            board,
            profile,
            shutdown,
        } = parts;
        let fields = client.fields()?;
        let filter = Arc::new(Filter {
            mode: settings.filter,
            task_prefixes: settings.task_prefixes.clone(),
        });
        // What ends by itself makes indexes in the end: then they cost less than growing with each row.
        if settings.mode != Mode::DbSync {
            writer.defer_indexes();
        }
        let plain = Layout::new(&settings.table_prefix, naming, settings.fields, &[]);
        let existing = writer.columns(plain.schema().table(Table::Contacts))?;
        let mut layout = Layout::new(&settings.table_prefix, naming, settings.fields, &existing);
        layout.add_fields(&custom_fields(&fields), &existing);
        let reader = Reader {
            client: client.clone(),
            filter: Arc::clone(&filter),
            profile: profile.clone(),
        };
        let missing = Missing::of(&checkpoint, client.clock().now());
        let mut engine = Engine {
            fetchers: Fetchers::start(settings.workers, &reader)?,
            settings,
            client,
            writer,
            splitter,
            layout: Arc::new(layout),
            filter,
            files,
            checkpoint,
            seen: Seen::default(),
            missing,
            board,
            profile,
            progress: Progress::on_terminal(Instant::now()),
            shutdown,
            oddities: HashMap::new(),
            failures: Failures::default(),
            unread_lines: LogLimit::default(),
            started: false,
            debts: 0,
            unmarked: 0,
            unfetched: Vec::new(),
            beyond: 0,
            attendance: Attendance::default(),
            unread: None,
            next_try: None,
        };
        engine.ready()?;
        Ok(engine)
    }

    /// Runs a pass; contacts to try again at the next reconcile are put into the checkpoint.
    ///
    /// # Errors
    /// Whatever kept the pass from being complete; and as [`retry_later`].
    pub fn pass(&mut self, mut scope: Scope) -> Result<Tally> {
        let again = match scope.contacts {
            Some(_) => {
                let waiting = self.checkpoint.retry.iter().chain(&self.checkpoint.absent);
                waiting.cloned().collect()
            }
            None => Vec::new(),
        };
        let refused_call = if scope.contacts.is_some() {
            self.checkpoint.refused_call.take()
        } else {
            None
        };
        if let (Some(refused), Some(Some(from))) = (refused_call, &mut scope.calls) {
            *from = refused.min(*from);
        }
        let before = self.client.traffic().skipped;
        let (events, contacts) = (scope.events.is_some(), scope.contacts.is_some());
        self.unread = None;
        (self.beyond, self.attendance) = (0, Attendance::default());
        let tally = self.turn(scope, again, refused_call)?;
        self.attendance.left_out = self.client.traffic().skipped.saturating_sub(before);
        self.attendance.came = tally.fetched;
        self.attendance.absent = tally.unanswered;
        self.attendance.given_up = tally.given_up;
        self.attendance.lists = Lists {
            events: events.then_some(tally.events),
            contacts: contacts.then_some(tally.contacts),
        };
        Ok(tally)
    }

    /// Asks once more for the contacts that the last pass did not get.
    ///
    /// # Errors
    /// As [`Engine::pass`].
    pub fn ask_again(&mut self) -> Result<Tally> {
        let again = std::mem::take(&mut self.unfetched);
        let tally = self.turn(Scope::default(), again, None)?;
        self.attendance.came += tally.fetched;
        self.attendance.absent = tally.unanswered + self.beyond;
        self.attendance.given_up = tally.given_up + self.beyond;
        Ok(tally)
    }

    /// What came of what the last complete pass listed and asked for.
    pub fn attendance(&self) -> Attendance {
        self.attendance
    }

    fn turn(
        &mut self,
        scope: Scope,
        again: Vec<String>,
        refused_call: Option<OffsetDateTime>,
    ) -> Result<Tally> {
        let mut left = Leftover::default();
        let result = Pass::run(self, scope, again.clone(), &mut left);
        self.take_unread(&mut left);
        self.beyond += left.unfetched.beyond();
        self.unfetched = left.unfetched.into_iter().collect();
        let known: HashSet<&String> = self.checkpoint.absent.iter().collect();
        let is_new = |id: &&String| !known.contains(id);
        self.attendance.newly_absent += left.absent.iter().filter(is_new).count();
        let tried = if result.is_ok() {
            again
        } else {
            self.remember_refused_call(refused_call);
            Vec::new()
        };
        let kept = retry_later(
            &mut self.checkpoint.absent,
            tried.clone(),
            left.absent,
            MAX_RETRIES,
        )
        .and_then(|()| retry_later(&mut self.checkpoint.retry, tried, left.retry, MAX_RETRIES));
        if kept.is_ok() {
            retry_if_room(&mut self.checkpoint.retry, left.unmarked, MAX_RETRIES / 2);
        }
        self.progress.clear();
        let tally = result?;
        kept.map(|()| tally)
    }

    /// Inbound calls are read again from there at the next reconcile, or from earlier on.
    pub fn remember_refused_call(&mut self, started: Option<OffsetDateTime>) {
        let earliest = [self.checkpoint.refused_call, started];
        self.checkpoint.refused_call = earliest.into_iter().flatten().min();
    }

    /// Whether the last pass did not get all contacts that it asked for.
    pub fn has_unfetched(&self) -> bool {
        !self.unfetched.is_empty()
    }

    /// The columns that could not be added, as `table.column`.
    pub fn unstored(&self) -> Vec<String> {
        (self.writer.holdings().unstored.iter())
            .flat_map(|(table, columns)| {
                columns
                    .iter()
                    .map(move |column| format!("{}.{column}", table.suffix()))
            })
            .collect()
    }

    /// Makes sure that the database answers, and tries to make what could not be made, if that is due: after a minute, then
    /// after pauses that double up to an hour, and `now` in any case. With a reconcile it is always looked at, as is whether
    /// the rows that were written are still there.
    ///
    /// # Errors
    /// As [`Writer::answer`].
    pub fn look_at_database(&mut self, now: bool) -> Result<()> {
        self.writer.answer()?;
        if !now && !self.writer.lacks_some() {
            self.next_try = None;
            return Ok(());
        }
        let time = Instant::now();
        let (due, pause) = *self
            .next_try
            .get_or_insert((time + FIRST_PAUSE, FIRST_PAUSE));
        if now || time >= due {
            let pause = (pause * 2).min(MAX_PAUSE);
            self.next_try = Some((time + pause, pause));
            self.ready()?;
        }
        Ok(())
    }

    /// See [`Writer::confirm`].
    ///
    /// # Errors
    /// As [`Writer::answer`].
    pub fn confirm(&mut self) -> Result<()> {
        self.writer.confirm()
    }

    /// The number of contacts in the table, of all campaigns, but at most `limit`.
    ///
    /// # Errors
    /// As [`Writer::answer`].
    pub fn count_contacts(&mut self, limit: u32) -> Result<u32> {
        self.writer.count(Table::Contacts, limit)
    }

    /// Where refused rows are.
    pub fn reject_file(&self) -> PathBuf {
        self.files.path("rejected.jsonl")
    }

    /// Makes the indexes that are still missing.
    ///
    /// # Errors
    /// As [`Writer::index`].
    pub fn index(&mut self) -> Result<()> {
        self.writer.index()
    }

    /// Saves the checkpoint.
    ///
    /// # Errors
    /// As [`StateFiles::save`].
    pub fn save(&mut self) -> Result<()> {
        self.writer.holdings().save_in(&mut self.checkpoint);
        self.missing.save_in(&mut self.checkpoint);
        self.files.save(&self.checkpoint)
    }

    /// The start is over: from now on trouble with the database is waited out, except with `--once`, where the next
    /// start comes by itself.
    pub fn wait_for_ever(&mut self) {
        self.started = true;
        if !self.settings.once {
            self.writer.wait_for_ever();
        }
    }

    /// Whether something was written, or a round completed.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// Reads the campaign's fields again, adds columns for new ones, and takes note of other types.
    ///
    /// # Errors
    /// As [`Client::fields`] and [`Writer::prepare`].
    pub fn refresh_fields(&mut self) -> Result<()> {
        let fields = custom_fields(&self.client.fields()?);
        let mut layout = Layout::clone(&self.layout);
        if layout.add_fields(&fields, &[]) + layout.retype_fields(&fields) > 0 {
            self.adopt(layout)?;
        }
        Ok(())
    }

    /// Makes columns for keys that a document showed: `$…` keys at once, others if they are fields of the campaign by
    /// now. All of them are known afterwards.
    ///
    /// # Errors
    /// As [`Engine::refresh_fields`].
    pub fn learn(&mut self, keys: &[String]) -> Result<()> {
        let mut layout = Layout::clone(&self.layout);
        let mut grown = false;
        let (system, custom): (Vec<_>, Vec<_>) = keys
            .iter()
            .filter(|key| self.layout.slot(key).is_none())
            .partition(|key| key.starts_with('$'));
        for key in system {
            grown |= layout.add_system_key(key);
        }
        if !custom.is_empty() {
            let fields = self.client.fields()?;
            grown |= layout.add_fields(&custom_fields(&fields), &[]) > 0;
        }
        for key in custom {
            if layout.slot(key).is_none() {
                log::info!(
                    "contacts hold \"{}\", which is not a field of the campaign: not stored",
                    text::foreign(key)
                );
                layout.ignore(key);
            }
        }
        if grown {
            return self.adopt(layout);
        }
        self.layout = Arc::new(layout);
        Ok(())
    }

    fn adopt(&mut self, layout: Layout) -> Result<()> {
        let table = layout.schema().table(Table::Contacts);
        let before = self.layout.schema().table(Table::Contacts).columns.len();
        for column in table.columns.iter().skip(before) {
            log::info!(
                "new column \"{}\" in table {}",
                text::foreign(&column.name),
                table.name
            );
        }
        self.layout = Arc::new(layout);
        self.ready()
    }

    /// Tries again whether tables that took no rows do so now. Where one still takes none, only db_sync goes on without
    /// it: what others could do meanwhile they have done.
    ///
    /// # Errors
    /// As [`Splitter::try_closed_tables`], and what is known of the table that takes no rows.
    pub fn try_closed_tables(&mut self) -> Result<()> {
        self.splitter.try_closed_tables(&mut self.writer, None)?;
        match self.splitter.closed_table() {
            Some(error) if self.settings.mode != Mode::DbSync => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// How many rows stay as they were stored, as their tables refuse changes.
    pub fn unchanged(&self) -> u64 {
        self.splitter.unchanged()
    }

    /// Why rows were kept back.
    pub fn why_kept_back(&self) -> Error {
        self.splitter.why_kept_back()
    }

    /// Writes a batch and counts its rows.
    ///
    /// # Errors
    /// As [`Splitter::write`].
    pub fn write(&mut self, batch: &Batch) -> Result<Written> {
        let stamp = self.stamp();
        let written = self.splitter.write(&mut self.writer, batch, &stamp)?;
        // Where every row stays as it is, the privileges may be missing: that is still to end the start.
        if written.rows.iter().any(|rows| *rows > 0) {
            self.wait_for_ever();
        }
        let mut board = self.board.borrow_mut();
        board.status.written.add(written.rows);
        board.status.rejected += u64::try_from(written.rejected).unwrap_or(u64::MAX);
        Ok(written)
    }

    /// Logs what was odd in documents: the first ones of a kind one by one.
    pub fn report(&mut self, remarks: &Remarks) {
        for unread in &remarks.incomplete {
            let line = self.unread_lines.count(unread.place, "", Instant::now());
            line.log(
                log::Level::Error,
                &format!(
                    "contact {} is not stored as a whole, and asked for again later: {}",
                    text::foreign(&unread.id),
                    unread.what
                ),
            );
        }
        for oddity in &remarks.oddities {
            let count = self.oddities.entry(oddity.what.clone()).or_insert(0);
            *count += 1;
            match (*count).cmp(&ODDITIES_LOGGED) {
                std::cmp::Ordering::Less => log::warn!("{}: {}", oddity.id, oddity.what),
                std::cmp::Ordering::Equal => {
                    log::warn!(
                        "{}: {} (further ones are only counted)",
                        oddity.id,
                        oddity.what
                    );
                }
                std::cmp::Ordering::Greater => log::debug!("{}: {}", oddity.id, oddity.what),
            }
        }
    }

    /// Shows how far a pass is, on a terminal.
    pub fn show_progress(&mut self, tally: &Tally, total: Option<usize>) {
        let done = u64::try_from(tally.fetched).unwrap_or(u64::MAX);
        self.progress.update(
            Step {
                unit: "contacts",
                done,
                total: total.map(|total| u64::try_from(total).unwrap_or(u64::MAX)),
            },
            Instant::now(),
        );
    }

    /// The contacts that could not be fetched, for the log.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Whether some key was never seen.
    pub fn has_unknown(&self, keys: &[String]) -> bool {
        keys.iter().any(|key| self.layout.slot(key).is_none())
    }

    /// Whether a key has a column.
    pub fn has_column(&self, key: &str) -> bool {
        matches!(self.layout.slot(key), Some(Slot::Column(..)))
    }

    /// Hands a job to the fetching threads.
    pub fn fetch(&self, job: Job) {
        self.fetchers.send(job);
    }

    /// Whether the program was told to stop.
    pub fn stop_requested(&self) -> bool {
        self.shutdown.requested()
    }

    /// Number of fetching threads.
    pub fn workers(&self) -> usize {
        self.settings.workers
    }

    /// Contacts per batch.
    pub fn batch_size(&self) -> usize {
        self.settings.batch
    }

    /// The API.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the time goes.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Columns of the contacts table at this time.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Which transactions are stored.
    pub fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// What is stored already.
    pub fn seen(&mut self) -> &mut Seen {
        &mut self.seen
    }

    /// Who did not come.
    pub fn missing(&mut self) -> &mut Missing {
        &mut self.missing
    }

    /// What was asked for.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sleeps; true if told to stop.
    pub fn sleep(&self, time: Duration) -> bool {
        self.shutdown.sleep(time)
    }
}

/// The campaign's fields as far as their columns are concerned.
pub fn custom_fields(fields: &[crate::source::fields::Field]) -> Vec<CustomField> {
    fields
        .iter()
        .map(|field| CustomField {
            key: field.name.clone(),
            is_number: field.is_number(),
        })
        .collect()
}
