//! db_init, db_update and db_sync.

use std::io::Write;
use std::time::Instant;

use time::{Duration, OffsetDateTime};

use super::engine::Engine;
use super::list::Scope;
use super::pass::Tally;
use super::windows::{Due, Nets, after_listing, after_round, back_from_the_future, due};
use crate::cli::settings::{FilterMode, Mode};
use crate::dialfire::client::EventQuery;
use crate::dialfire::retry::{RetryPolicy, random};
use crate::error::{Error, ErrorKind, Result};
use crate::moment;
use crate::tables::schema::Table;

/// How far db_update goes back without `--s`.
const UPDATE_SPAN: Duration = Duration::days(7);

/// The longest wait between two failed rounds.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(300);

/// The waits between failed rounds, and between attempts to reach the database: doubling from `first` to five minutes.
pub fn backoff(first: std::time::Duration, attempts: u32) -> RetryPolicy {
    RetryPolicy {
        attempts,
        first_wait: first,
        longest_wait: LONGEST_WAIT,
    }
}

/// Copies until done (db_init, db_update, `--once`), or until told to stop.
///
/// # Errors
/// [`Stopped`](ErrorKind::Stopped) when told to; with `--once` whatever kept the round from being complete, else only
/// trouble of the very start.
pub fn run(engine: &mut Engine, old_client: Option<OffsetDateTime>) -> Result<()> {
    match engine.settings().mode {
        Mode::DbSync => follow(engine, old_client),
        _ => copy(engine),
    }
}

/// So many contacts that are missing make one suspicious.
const MANY: usize = 20;

/// A list of which nobody comes is believed after so many attempts: about half a minute.
const BELIEVED_AFTER: u32 = 5;

/// db_init and db_update: everything, or everything changed since a day, then the end.
fn copy(engine: &mut Engine) -> Result<()> {
    let since = match engine.settings().mode {
        Mode::DbUpdate => Some(
            engine
                .settings()
                .start
                .unwrap_or_else(|| engine.client().clock().now() - UPDATE_SPAN),
        ),
        _ => engine.settings().start,
    };
    let mut failures = 0;
    engine.notice_losses()?;
    loop {
        let (begin, began) = (Instant::now(), last_answer(engine));
        let scope = Scope {
            events: None,
            calls: Some(since),
            contacts: Some(since.map(|since| since.date())),
        };
        // Tables that were lost meanwhile lack what was written before.
        let copied = engine
            .pass(scope)
            .and_then(|tally| some_came(engine, tally, failures))
            .and_then(|tally| engine.index().map(|()| tally))
            .and_then(|tally| engine.notice_losses().map(|lost| (tally, lost)));
        match copied {
            Ok((_, true)) => {}
            Ok((tally, false)) => {
                after_listing(&mut engine.checkpoint, since, began);
                ended(engine, &tally, begin);
                return engine.save();
            }
            Err(error) => {
                failures += 1;
                failed(engine, error, failures)?;
            }
        }
    }
}

/// A list of contacts of whom not one comes is trouble, or names nobody but deleted ones: which of them shows when they are
/// asked for several times.
fn some_came(engine: &mut Engine, tally: Tally, failures: u32) -> Result<Tally> {
    if tally.fetched > 0 || tally.unanswered < MANY {
        return Ok(tally);
    }
    let none = "none of the contacts that Dialfire lists came when they were asked for";
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
fn follow(engine: &mut Engine, old_client: Option<OffsetDateTime>) -> Result<()> {
    let start = engine.settings().start;
    if engine.checkpoint.poll.is_none() {
        let now = last_answer(engine);
        engine.checkpoint.poll = Some(old_client.unwrap_or(now));
        // A damaged checkpoint said where it once began.
        let since_now = old_client.is_none() && !engine.checkpoint.refill;
        engine.checkpoint.since = start.or(since_now.then_some(now));
        match (start, old_client) {
            (Some(start), _) => {
                log::info!(
                    "first start: contacts changed since {} are copied",
                    moment::rfc3339(start)
                )
            }
            (None, Some(old)) => {
                log::info!(
                    "first start: going on at {}, where the old client stopped",
                    moment::rfc3339(old)
                )
            }
            (None, None) => log::info!(
                "first start: changes from now on are copied (for the past run db_init, or give --start)"
            ),
        }
    } else if let (Some(start), Some(lowest)) = (start, engine.checkpoint.since) {
        engine.checkpoint.since = Some(start.min(lowest));
    }
    let nets = Nets::new(engine.settings().overlap, engine.settings().reconcile);
    // Each start begins with a reconcile; with --once, where every minute may be a start, only if it is due.
    let mut begin_with = if engine.settings().once {
        start
    } else {
        Some(start.unwrap_or_else(|| last_answer(engine)))
    };
    let (mut failures, mut fields_are_fresh) = (0, true);
    loop {
        let begin = Instant::now();
        let now = engine.client().clock().now();
        back_from_the_future(&mut engine.checkpoint, &nets, now);
        let poll = engine.checkpoint.poll.unwrap_or(now);
        let noticed = engine.notice_losses();
        if engine.checkpoint.refill {
            begin_with = Some(OffsetDateTime::UNIX_EPOCH);
        }
        let due = due(&engine.checkpoint, poll, &nets, now, begin_with);
        let done = noticed.and_then(|_| round(engine, &due, std::mem::take(&mut fields_are_fresh)));
        match done {
            Ok(tally) => {
                failures = 0;
                begin_with = None;
                after_round(&mut engine.checkpoint, &due, tally.answered.unwrap_or(poll));
                if let Err(error) = engine.save() {
                    log::error!(
                        "{error}; the copy goes on, and would begin at {} after a restart",
                        moment::rfc3339(poll)
                    );
                    engine.board.borrow_mut().trouble(&error);
                }
                engine.wait_for_ever();
                ended(engine, &tally, begin);
            }
            Err(error) => {
                failures += 1;
                failed(engine, error, failures)?;
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

fn round(engine: &mut Engine, due: &Due, fields_are_fresh: bool) -> Result<Tally> {
    if due.listing.is_some() && !fields_are_fresh {
        engine.refresh_fields()?;
    }
    let filter = engine.filter();
    let events = EventQuery {
        from: due.from,
        to: None,
        updates_only: filter.mode != FilterMode::All,
        tasks: filter.task_prefixes.clone(),
    };
    let calls = if engine.checkpoint.refill {
        engine.checkpoint.since
    } else {
        Some(due.from)
    };
    engine.pass(Scope {
        events: Some(events),
        calls: Some(calls),
        contacts: due.listing.map(Some),
    })
}

fn last_answer(engine: &Engine) -> OffsetDateTime {
    let clock = engine.client().clock();
    clock.last_answer_time().unwrap_or_else(|| clock.now())
}

/// Logs and publishes a complete round.
fn ended(engine: &Engine, tally: &Tally, begin: Instant) {
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
    board.status.rounds += 1;
    board.status.unanswered += u64::try_from(tally.unanswered).unwrap_or(u64::MAX);
    board.status.last_success = Some(OffsetDateTime::now_utc());
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
        board.trouble(&error);
    }
    if engine.sleep(wait) {
        Err(Error::stopped())
    } else {
        Ok(())
    }
}
