//! db_init, db_update and db_sync.

use std::io::Write;
use std::time::Instant;

use time::{Date, Duration, OffsetDateTime};

use super::closing;
use super::engine::Engine;
use super::list::Scope;
use super::pass::Tally;
use super::readings::{Doubt, Readings, unread};
use super::silence::{contradiction, is_empty_list_believed, not_for_a_day};
use super::windows::{Due, Nets, after_listing, after_round, back_from_the_future, due, promise};
use crate::cli::settings::{Mode, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::moment;
use crate::net::retry::{RetryPolicy, random};
use crate::source::client::EventQuery;
use crate::state::{Checkpoint, Owed, Reason};
use crate::tables::filter::FilterMode;
use crate::tables::schema::Table;

/// How far db_update goes back without `--s`.
const UPDATE_SPAN: Duration = Duration::days(7);

/// The longest wait between two failed rounds.
const MAX_WAIT: std::time::Duration = std::time::Duration::from_secs(300);

/// The waits between failed rounds, and between attempts to reach the database: doubling from `first` to five minutes.
pub fn backoff(first: std::time::Duration, attempts: u32) -> RetryPolicy {
    RetryPolicy {
        attempts,
        first_wait: first,
        longest_wait: MAX_WAIT,
    }
}

/// Notes in the checkpoint what a run promises that begins at `now`: what it owes, and from when on everything that happens
/// is to be read. To be saved before any work. Returns whether this is the first start.
pub fn begin(
    settings: &Settings,
    checkpoint: &mut Checkpoint,
    old_client: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    let is_first = checkpoint.poll.is_none() && checkpoint.owed.is_none();
    let start = settings.start;
    if let Some(owed) = &checkpoint.owed {
        let since = owed.since.map_or_else(String::new, |since| {
            format!(" since {}", moment::rfc3339(since))
        });
        log::info!("everything{since} is copied first: {}", owed.reason);
    }
    let copied = match settings.mode {
        Mode::DbSync => {
            begin_following(checkpoint, start, old_client, now);
            start.map(Some)
        }
        mode => {
            let week = (mode == Mode::DbUpdate).then(|| now.saturating_sub(UPDATE_SPAN));
            let since = start.or(week);
            promise(checkpoint, since, now);
            Some(since)
        }
    };
    if let Some(since) = copied {
        let reason = Reason::Copy;
        Owed::add(&mut checkpoint.owed, Owed { since, reason });
    }
    is_first
}

/// Where db_sync begins: where it stopped, at the start date, where the old client stopped, or now.
fn begin_following(
    checkpoint: &mut Checkpoint,
    start: Option<OffsetDateTime>,
    old_client: Option<OffsetDateTime>,
    now: OffsetDateTime,
) {
    if checkpoint.poll.is_some() {
        if let (Some(start), Some(lowest)) = (start, checkpoint.since) {
            checkpoint.since = Some(start.min(lowest));
        }
        return;
    }
    checkpoint.poll = Some(old_client.unwrap_or(now));
    if checkpoint.owed.is_some() {
        // A damaged checkpoint said where it once began, or a first copy of an earlier version.
        return;
    }
    checkpoint.since = start.or(old_client.is_none().then_some(now));
    match (start, old_client) {
        (Some(start), _) => log::info!(
            "first start: contacts changed since {} are copied",
            moment::rfc3339(start)
        ),
        (None, Some(old)) => log::info!(
            "first start: going on at {}, where the old client stopped",
            moment::rfc3339(old)
        ),
        (None, None) => closing::say(
            "warning: first start: only changes from now on are copied (for the past run --a db_init, or give a start date \
             with --s)",
        ),
    }
}

/// Copies until done (db_init, db_update, `--once`), and returns the exit code; or until told to stop.
///
/// # Errors
/// [`Stopped`](ErrorKind::Stopped) when told to, or trouble of the very start.
pub fn run(engine: &mut Engine, is_first: bool) -> Result<u8> {
    let begin = Instant::now();
    if is_first {
        announce_rows(engine)?;
    }
    let done = match engine.settings().mode {
        Mode::DbSync => follow(engine),
        _ => copy(engine),
    };
    if engine.settings().ends_by_itself() {
        return Ok(closing::of_copy(engine, begin, done));
    }
    done.map(|()| 0)
}

/// Says on the terminal that the first start meets tables that are not empty.
fn announce_rows(engine: &mut Engine) -> Result<()> {
    let (count, table) = (
        engine.count_contacts(MAX_COUNTED)?,
        engine.layout().schema().table(Table::Contacts).name.clone(),
    );
    if count > 0 {
        let more = if count == MAX_COUNTED { " or more" } else { "" };
        closing::say(&format!(
            "first start: the table {table} holds {count}{more} contacts already; they stay, and those of this campaign are \
             replaced when they are copied"
        ));
    }
    Ok(())
}

/// So many rows are counted at a first start, and no more.
const MAX_COUNTED: u32 = 100_000;

/// So many contacts that are missing make one suspicious.
const MANY: usize = 20;

/// A list of which nobody comes is believed after so many attempts: about half a minute.
const BELIEVED_AFTER: u32 = 5;

/// How often db_init and db_update ask again for contacts that Dialfire did not return: they have no next reconcile.
const MAX_ASKED_AGAIN: u32 = 2;

/// db_init and db_update: everything, or everything changed since a day, then the end. What is owed from before is copied as
/// well.
fn copy(engine: &mut Engine) -> Result<()> {
    let mut failures = 0;
    loop {
        let (begin, began, debts) = (Instant::now(), last_answer(engine), engine.debts());
        let since = (engine.checkpoint.owed.as_ref()).and_then(|owed| owed.since);
        let scope = Scope {
            events: None,
            calls: Some(since),
            contacts: Some(since.map(|since| since.date())),
        };
        let copied = engine
            .pass(scope)
            .and_then(|tally| some_came(engine, tally, failures))
            .and_then(|tally| all_came(engine, tally))
            .and_then(|tally| Ok((doubtful(engine, &tally, since)?, tally)))
            .and_then(|tally| engine.index().map(|()| tally))
            .and_then(|tally| engine.look_at_database(true).map(|()| tally));
        match copied {
            Ok((Some(why), _)) => {
                // What is owed stays so: the next run copies all again.
                log::error!("{why}");
                engine.doubt(why);
                return engine.save();
            }
            Ok((None, tally)) => {
                if engine.debts() == debts {
                    after_listing(&mut engine.checkpoint, since, began);
                    // Those that nobody remembers are found by listing everything once more.
                    if engine.attendance().given_up == 0 {
                        engine.checkpoint.owed = None;
                    }
                    // A success is what the next run knows of.
                    engine.save()?;
                    ended(engine, &tally, begin, true);
                    return Ok(());
                }
                log::info!("something became owed meanwhile: everything is compared once more");
            }
            Err(error) => {
                if let Err(error) = recovered(engine, error) {
                    failures += 1;
                    failed(engine, error, failures)?;
                }
            }
        }
    }
}

/// Why a copy can't be complete although it ended, if there is a reason.
fn doubtful(
    engine: &mut Engine,
    tally: &Tally,
    since: Option<OffsetDateTime>,
) -> Result<Option<String>> {
    if let Some(why) = engine.unread() {
        return Ok(Some(why.to_owned()));
    }
    let unlisted = match documents(engine, tally, since, true)? {
        Ok(unlisted) => unlisted,
        Err(why) => return Ok(Some(why)),
    };
    let day = since.map(|since| since.date());
    Ok(silence(engine, None, day, unlisted))
}

/// Looks at what the documents of a pass hold: why they are in doubt, or else why it is that nobody is listed.
fn documents(
    engine: &mut Engine,
    tally: &Tally,
    since: Option<OffsetDateTime>,
    is_copy: bool,
) -> Result<std::result::Result<Option<String>, String>> {
    let doubt = unread(engine, tally, since, is_copy)?;
    if is_copy {
        engine.checkpoint.unasked = matches!(doubt, Some(Doubt::Unasked(_)));
    }
    Ok(match doubt {
        None => Ok(None),
        Some(Doubt::Unlisted(why)) => Ok(Some(why)),
        Some(Doubt::Unasked(why)) => Err(why),
        Some(Doubt::Unread(why)) => {
            engine.distrust();
            Err(why)
        }
    })
}

/// Why lists without any entry are not believed. `unlisted` is what is wrong with a list of contacts besides.
fn silence(
    engine: &mut Engine,
    events: Option<&EventQuery>,
    since: Option<Date>,
    unlisted: Option<String>,
) -> Option<String> {
    let lists = engine.attendance().lists;
    let unlisted = unlisted.filter(|_| !is_empty_list_believed(&engine.checkpoint, since));
    let wrong = contradiction(&engine.checkpoint, lists, events, since).or(unlisted);
    let now = last_answer(engine);
    not_for_a_day(&mut engine.checkpoint, wrong, (lists, since), now)
}

/// Notes what was lost, if that is what the error tells of, and makes the tables again; else returns the error.
fn recovered(engine: &mut Engine, error: Error) -> Result<()> {
    if engine.note_loss()? {
        engine.ready()
    } else {
        Err(error)
    }
}

/// Asks again for contacts that Dialfire did not return: the trouble may pass.
fn all_came(engine: &mut Engine, mut tally: Tally) -> Result<Tally> {
    for attempt in 1..=MAX_ASKED_AGAIN {
        if !engine.has_unfetched() {
            break;
        }
        let wait = backoff(engine.settings().retry_wait, u32::MAX).wait(attempt, None, random());
        if engine.sleep(wait) {
            return Err(Error::stopped());
        }
        let more = engine.ask_again()?;
        tally.fetched += more.fetched;
        for (sum, rows) in tally.rows.iter_mut().zip(more.rows) {
            *sum += rows;
        }
        tally.rejected += more.rejected;
        tally.unanswered = more.unanswered;
        tally.failing = more.failing;
    }
    Ok(tally)
}

/// A list of contacts of whom not one comes is trouble, or names nobody but deleted ones: which of them shows when they are
/// asked for several times.
fn some_came(engine: &mut Engine, tally: Tally, failures: u32) -> Result<Tally> {
    if tally.fetched > 0 || tally.unanswered < MANY {
        return Ok(tally);
    }
    let none = "Dialfire returned none of the contacts that it lists";
    if failures >= BELIEVED_AFTER {
        log::error!(
            "{none}: they are taken for deleted; if they are not, db_sync asks for up to 5,000 of them again, and db_init \
             for all"
        );
        return Ok(tally);
    }
    engine.seen().clear();
    Err(Error::transient(none))
}

/// db_sync: round after round.
fn follow(engine: &mut Engine) -> Result<()> {
    let nets = Nets::new(engine.settings().overlap, engine.settings().reconcile);
    // Each start begins with a reconcile; with --once, where every minute may be a start, only if it is due.
    let mut begin_with = (!engine.settings().once).then(|| last_answer(engine));
    let (mut failures, mut is_fresh) = (0, true);
    let mut readings = Readings::default();
    loop {
        let begin = Instant::now();
        let fresh = std::mem::take(&mut is_fresh);
        match round(engine, &nets, begin_with, fresh, &mut readings) {
            Ok(tally) => {
                failures = 0;
                begin_with = None;
                let saved = engine.save();
                let is_saved = saved.is_ok();
                if let Err(error) = saved {
                    if engine.settings().once {
                        return Err(error);
                    }
                    log::error!(
                        "{error}; the copy goes on, and would begin at the last saved checkpoint after a restart"
                    );
                    engine.board.borrow_mut().record_error(&error);
                }
                engine.wait_for_ever();
                ended(engine, &tally, begin, is_saved && engine.unread().is_none());
            }
            Err(error) => {
                if let Err(error) = recovered(engine, error) {
                    failures += 1;
                    failed(engine, error, failures)?;
                }
                continue;
            }
        }
        let rest = engine.settings().interval.saturating_sub(begin.elapsed());
        if engine.settings().once {
            return Ok(());
        }
        if engine.sleep(rest) {
            return Err(Error::stopped());
        }
    }
}

/// One round: what is due by now is read, and the checkpoint moves.
fn round(
    engine: &mut Engine,
    nets: &Nets,
    begin_with: Option<OffsetDateTime>,
    is_fresh: bool,
    readings: &mut Readings,
) -> Result<Tally> {
    let now = engine.client().clock().now();
    if engine.client().clock().doubt().is_none() {
        back_from_the_future(&mut engine.checkpoint, nets, now);
    }
    let poll = engine.checkpoint.poll.unwrap_or(now);
    let reconciles = due(&engine.checkpoint, poll, nets, now, begin_with)
        .listing
        .is_some();
    // At the start both were just done.
    engine.look_at_database(reconciles && !is_fresh)?;
    if reconciles && !is_fresh {
        engine.refresh_fields()?;
    }
    // By now more may be owed.
    let mut due = due(&engine.checkpoint, poll, nets, now, begin_with);
    let debts = engine.debts();
    // What can't be read for longer must not have everything copied without a pause.
    let waits = (engine.settings().once)
        || (engine.checkpoint.owed.as_ref()).is_some_and(|owed| owed.reason == Reason::Unread);
    let filter = engine.filter();
    let events = EventQuery {
        from: due.from,
        to: None,
        updates_only: filter.mode != FilterMode::All,
        tasks: filter.task_prefixes.clone(),
    };
    let tally = engine.pass(Scope {
        events: Some(events.clone()),
        calls: Some(due.calls),
        contacts: due.listing,
    })?;
    if let Some(why) = engine.unread().filter(|_| !waits) {
        return Err(Error::transient(why));
    }
    let unlisted = understood(engine, &tally, readings, &due)?;
    engine.confirm()?;
    if is_silent(engine, &events, due.listing.flatten(), unlisted)? {
        return Ok(tally);
    }
    due.pays &= engine.debts() == debts && tally.given_up == 0;
    if !engine.board.borrow_mut().doubts(engine.client().clock()) {
        after_round(&mut engine.checkpoint, &due, tally.answered.unwrap_or(poll));
    } else if due.pays {
        // What was owed is there, whatever the time is.
        engine.checkpoint.owed = None;
    }
    Ok(tally)
}

/// Whether the documents could be read, and hold the transactions that the event list names, as far as that can be told.
/// Returns what is wrong with a list of contacts that holds nobody.
fn understood(
    engine: &mut Engine,
    tally: &Tally,
    before: &mut Readings,
    due: &Due,
) -> Result<Option<String>> {
    if let Err(error) = before.judge(tally.readings) {
        *before = Readings::default();
        // What the events name is not stored as it should be.
        engine.seen().clear();
        return Err(error);
    }
    let since = (due.listing.flatten()).map(|day| day.midnight().assume_utc());
    documents(engine, tally, since, due.pays)?.map_err(Error::transient)
}

/// Whether lists without any entry are not to be believed: then the checkpoint stays where it is.
fn is_silent(
    engine: &mut Engine,
    events: &EventQuery,
    since: Option<Date>,
    unlisted: Option<String>,
) -> Result<bool> {
    let Some(why) = silence(engine, Some(events), since, unlisted) else {
        return Ok(false);
    };
    if !engine.settings().once {
        return Err(Error::transient(why));
    }
    engine.doubt(why);
    Ok(true)
}

fn last_answer(engine: &Engine) -> OffsetDateTime {
    let clock = engine.client().clock();
    clock.last_answer_time().unwrap_or_else(|| clock.now())
}

/// Logs and publishes a complete round, which is a success if the checkpoint was saved as well.
fn ended(engine: &Engine, tally: &Tally, begin: Instant, is_saved: bool) {
    let lag = engine.checkpoint.poll.map(|poll| {
        (engine.client().clock().now() - poll)
            .whole_seconds()
            .max(0)
    });
    let rows: Vec<String> = Table::ALL
        .iter()
        .zip(tally.rows)
        .map(|(table, rows)| format!("{} {rows}", table.suffix()))
        .collect();
    log::info!(
        "{}: {} entries looked at, {} contacts fetched; rows written: {}; {} rejected, {} unanswered; {:.1} s, {} s behind",
        engine.settings().mode.name(),
        tally.listed,
        tally.fetched,
        rows.join(", "),
        tally.rejected,
        tally.unanswered,
        begin.elapsed().as_secs_f64(),
        lag.unwrap_or(0)
    );
    if engine.settings().profile {
        let line = format!("time of this round: {}", engine.profile());
        log::info!("{line}");
        let _ = writeln!(std::io::stdout(), "{line}");
        engine.profile().reset();
    }
    let mut board = engine.board.borrow_mut();
    match engine.unread() {
        None => board.status.rounds += 1,
        Some(why) => {
            log::error!("this round does not count as a success: {why}");
            board.status.failed_rounds += 1;
            board.record_error(&Error::transient(why));
        }
    }
    board.status.unanswered += u64::try_from(tally.unanswered).unwrap_or(u64::MAX);
    if is_saved {
        board.status.last_success = Some(OffsetDateTime::now_utc());
    }
    board.status.checkpoint = engine.checkpoint.poll;
    board.status.lag_seconds = lag.and_then(|lag| u64::try_from(lag).ok());
    board.publish();
}

/// Logs and publishes a failed round, and waits before the next one; returns the error where there is none.
fn failed(engine: &mut Engine, error: Error, failures: u32) -> Result<()> {
    let gives_up = match error.kind() {
        ErrorKind::Stopped | ErrorKind::Usage | ErrorKind::Locked => true,
        ErrorKind::Setup => engine.settings().once || !engine.has_started(),
        ErrorKind::Transient | ErrorKind::Refused | ErrorKind::Data => engine.settings().once,
    };
    if let Err(error) = engine.save() {
        log::error!("{error}");
    }
    if gives_up {
        return Err(error);
    }
    let wait = backoff(engine.settings().retry_wait, u32::MAX).wait(failures, None, random());
    log::error!(
        "this round is not complete, what is missing is read again: {error}; next try in {:.1} s",
        wait.as_secs_f64()
    );
    {
        let mut board = engine.board.borrow_mut();
        board.status.failed_rounds += 1;
        board.record_error(&error);
    }
    if engine.sleep(wait) {
        Err(Error::stopped())
    } else {
        Ok(())
    }
}
