//! From source to destination: the only part that knows both.

mod backlog;
mod board;
mod by_contact;
mod check;
mod closed;
mod closing;
mod database;
mod documents;
mod engine;
mod fetch;
mod holdings;
mod list;
mod marking;
mod missing;
mod part_size;
mod pass;
mod probe;
mod profile;
mod readings;
mod rejected;
mod replay;
mod retries;
mod seen;
mod silence;
mod splitter;
mod stored;
mod webhook;
mod windows;
mod witness;
mod writer;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Instant;

use time::OffsetDateTime;

use crate::cli::Settings;
use crate::cli::settings::Mode;
use crate::destination::sql::Target;
use crate::destination::webhook::ledger::Ledger;
use crate::destination::webhook::rate::Rate;
use crate::destination::webhook::receiver::{self, Address, Receiver};
use crate::destination::webhook::sender::{self, Sender};
use crate::destination::webhook::signature::Signer;
use crate::destination::webhook::spool::Spool;
use crate::error::{Error, ErrorKind, Result};
use crate::logging::LogFile;
use crate::moment;
use crate::net::http::Limits;
use crate::net::proxy;
use crate::net::retry::{Pause, RetryPolicy};
use crate::net::tls::{self, Roots};
use crate::net::web_address::is_web_address;
use crate::shutdown::Shutdown;
use crate::source::client::{Client, Options};
use crate::state::{Checkpoint, StateFiles, old_client_timestamp};
use crate::status::{self, Status, Totals};
use board::Board;
use check::Place;
use closing::Closing;
use engine::{Engine, Parts};
use holdings::Holdings;
use profile::Profile;
use rejected::RejectFile;
use splitter::Splitter;
use writer::{ATTEMPTS_AT_START, Writer};

/// Refuses what can be known to be wrong before anything is touched: addresses, keys, headers, certificates, the proxy.
///
/// # Errors
/// [`Usage`](ErrorKind::Usage) for the first of them.
pub fn validate(settings: &Settings) -> Result<()> {
    tls::install_provider();
    client(settings, 1, Pause::new(|_| Ok(())))?;
    if is_web_address(settings.url.reveal()) {
        receiver(settings).map(drop)
    } else {
        target(settings).map(drop)
    }
}

/// Does what was asked for, and returns the exit code.
///
/// # Errors
/// What ended the program and was not printed yet: [`Error::exit_code`] says with which code.
pub fn run(settings: Settings, log: &LogFile, shutdown: Shutdown) -> Result<u8> {
    log::info!(
        "dbsync2 {}, {} of campaign {}",
        env!("CARGO_PKG_VERSION"),
        settings.mode.name(),
        settings.campaign
    );
    for warning in &settings.warnings {
        log::warn!("{warning}");
    }
    tls::install_provider();
    if let Some(path) = &settings.status_file
        && settings.mode != Mode::Check
    {
        status::prepare(path)?;
    }
    let (mode, ends_by_itself) = (settings.mode.name(), settings.ends_by_itself());
    let done = match settings.mode {
        Mode::Webhook | Mode::Replay => {
            let receiver = receiver(&settings)?;
            let board = board(&settings, receiver.display().to_owned());
            let done = post(settings, receiver, Rc::clone(&board), shutdown);
            board.borrow_mut().end(done)
        }
        Mode::DbInit | Mode::DbUpdate | Mode::DbSync => {
            let target = target(&settings)?;
            let board = board(&settings, target.display());
            let done = copy(settings, target, Rc::clone(&board), shutdown);
            board.borrow_mut().end(done)
        }
        Mode::Check => {
            let place = if is_web_address(settings.url.reveal()) {
                Place::WebService(Box::new(receiver(&settings)?))
            } else {
                Place::Database(Box::new(target(&settings)?))
            };
            let pause = pause(&shutdown);
            check::run(&settings, &place, &state_directories(), log, &pause)
        }
    };
    match done {
        Err(error) if error.kind() == ErrorKind::Stopped && ends_by_itself => {
            let closing = Closing {
                mode,
                counts: "nothing was begun".to_owned(),
                ..Closing::default()
            };
            Ok(closing.end(Err(error), None))
        }
        done => done,
    }
}

/// db_init, db_update, db_sync.
fn copy(
    settings: Settings,
    target: Target,
    board: Rc<RefCell<Board>>,
    shutdown: Shutdown,
) -> Result<u8> {
    let files = state_files(&settings, &identity(&settings, &target), &target.display())?;
    let _lock = files.lock()?;
    let checkpoint = files.load()?;
    begin(&board, checkpoint.as_ref(), &shutdown);
    let old_client = from_old_client(&settings, checkpoint.as_ref());
    let now = try_api(&settings, &shutdown)?;
    let holdings = Holdings::of(checkpoint.as_ref());
    let mut checkpoint = checkpoint.unwrap_or_default();
    let is_first = database::begin(&settings, &mut checkpoint, old_client, now);
    // Before the database is touched: whatever happens from here on, nothing of it is forgotten.
    files.save(&checkpoint)?;
    let profile = Profile::default();
    let naming = target.naming();
    let writer = Writer::new(writer::Options {
        target,
        backoff: database::backoff(settings.retry_wait, ATTEMPTS_AT_START),
        pause: pause(&shutdown),
        profile: profile.clone(),
        board: Rc::clone(&board),
        holdings,
        naming,
    });
    let splitter = Splitter::new(RejectFile::new(files.path("rejected.jsonl")));
    let mut engine = Engine::start(Parts {
        client: client(&settings, retries(&settings).attempts, pause(&shutdown))?,
        settings,
        writer,
        splitter,
        naming,
        files,
        checkpoint,
        board,
        profile,
        shutdown,
    })?;
    database::run(&mut engine, is_first)
}

/// webhook, replay.
fn post(
    settings: Settings,
    receiver: Receiver,
    board: Rc<RefCell<Board>>,
    shutdown: Shutdown,
) -> Result<u8> {
    let files = state_files(&settings, &receiver_identity(&receiver), receiver.display())?;
    let _lock = files.lock()?;
    let (ledger, undelivered) = (files.path("ledger"), files.path("undelivered.jsonl"));
    let mut retry = retries(&settings);
    if settings.mode == Mode::Replay {
        let checkpoint = files.load()?;
        let mut ledger = Ledger::open(&ledger, 0)?;
        let spool = Spool::open(&undelivered, &mut ledger)?;
        let poll = checkpoint.as_ref().and_then(|checkpoint| checkpoint.poll);
        if !spool.lost().is_empty() {
            webhook::post_lost_again(&files, checkpoint, &mut ledger, &spool)?;
        }
        retry.attempts = ATTEMPTS_AT_START;
        let today = today_of_replay(&settings, poll, ledger.newest_day(), &shutdown)?;
        let sender = sender(&settings, receiver, ledger, spool, retry, today)?;
        return replay::run(&sender, &shutdown);
    }
    let checkpoint = files.load()?;
    begin(&board, checkpoint.as_ref(), &shutdown);
    let old_client = from_old_client(&settings, checkpoint.as_ref());
    try_api(&settings, &shutdown)?;
    let client = client(&settings, retry.attempts, pause(&shutdown))?;
    client.fields()?;
    let cutoff = webhook::ledger_cutoff(
        checkpoint.as_ref(),
        client.clock().now(),
        settings.ledger_days,
    );
    let mut ledger = Ledger::open(&ledger, cutoff)?;
    let spool = Spool::open(&undelivered, &mut ledger)?;
    let checkpoint = webhook::post_lost_again(&files, checkpoint, &mut ledger, &spool)?;
    let today = today(client.clone());
    let sender = sender(&settings, receiver, ledger, spool, retry, today)?;
    let parts = webhook::Parts {
        settings,
        client,
        sender,
        files,
        checkpoint: checkpoint.unwrap_or_default(),
        board,
        shutdown,
    };
    webhook::WebhookRun::start(parts, old_client)?.run()
}

/// The lanes with all that they work with.
fn sender(
    settings: &Settings,
    receiver: Receiver,
    ledger: Ledger,
    spool: Spool,
    retry: RetryPolicy,
    today: Today,
) -> Result<Sender> {
    Sender::start(
        settings.workers,
        sender::Options {
            campaign: settings.campaign.clone(),
            receiver,
            ledger,
            spool,
            retry,
            rate: Rate::new(
                settings.webhook_rate,
                settings.webhook_burst,
                Instant::now(),
            ),
            today,
        },
    )
}

type Today = Box<dyn Fn() -> u32 + Send + Sync>;

/// The day for what replay delivers. Where Dialfire does not answer, it is the last one on which it did: not the one of
/// this computer, as a ledger without its checkpoint tells by its days where to go on.
fn today_of_replay(
    settings: &Settings,
    poll: Option<OffsetDateTime>,
    newest: Option<u32>,
    shutdown: &Shutdown,
) -> Result<Today> {
    let client = client(settings, 1, pause(shutdown))?;
    let last = newest.max(poll.map(sender::day));
    match (client.fields(), last) {
        (Err(error), Some(last)) => {
            log::warn!("Dialfire's time is not known, that of the last round is taken: {error}");
            Ok(Box::new(move || last))
        }
        _ => Ok(today(client)),
    }
}

/// The day of Dialfire's clock.
fn today(client: Client) -> Today {
    Box::new(move || sender::day(client.clock().now()))
}

fn receiver(settings: &Settings) -> Result<Receiver> {
    Receiver::new(receiver::Options {
        address: Address::read(settings.url.reveal())?,
        signer: Signer::read(settings.webhook_keys.reveal()).map_err(|problem| {
            Error::usage(format!(
                "the webhook's secret: {problem} (check --webhook-secret-file)"
            ))
        })?,
        headers: settings.headers.clone(),
        roots: Roots::load(settings.ca_file.as_deref())?,
        timeout: settings.webhook_timeout,
        connections: settings.workers,
    })
}

fn target(settings: &Settings) -> Result<Target> {
    Target::new(settings.url.reveal(), settings.ca_file.as_deref())
}

/// What the state of a database depends on, for the names of its files.
fn identity(settings: &Settings, target: &Target) -> String {
    format!("{} {}", target.display(), settings.table_prefix)
}

/// The same of a web service.
fn receiver_identity(receiver: &Receiver) -> String {
    format!("webhook {}", receiver.identity())
}

/// `target` names the target in log and checkpoint, as the names of files have only a hash of its identity.
fn state_files(settings: &Settings, identity: &str, target: &str) -> Result<StateFiles> {
    let wanted = settings.state_dir.as_deref();
    let files = StateFiles::locate(wanted, &state_directories(), &settings.campaign, identity)?;
    let files = files.named(target);
    log::info!(
        "target {target}, checkpoint {}",
        files.path("json").display()
    );
    Ok(files)
}

/// The first call. A wrong token, address or start is to be noticed within half a minute, not after the 17 minutes of a
/// later outage.
fn try_api(settings: &Settings, shutdown: &Shutdown) -> Result<OffsetDateTime> {
    let client = client(settings, ATTEMPTS_AT_START, pause(shutdown))?;
    client
        .fields()
        .map_err(|error| at_start(error, &settings.api_url, client.was_answered()))?;
    let clock = client.clock();
    match future_start(settings.start, clock.last_answer_time()) {
        Some(problem) => Err(Error::usage(problem)),
        None => Ok(clock.last_answer_time().unwrap_or_else(|| clock.now())),
    }
}

/// What is wrong with a `--s` that lies more than a day in the future, by Dialfire's clock and by that of this computer:
/// nothing would be copied, and nobody would notice.
fn future_start(start: Option<OffsetDateTime>, server: Option<OffsetDateTime>) -> Option<String> {
    let local = OffsetDateTime::now_utc();
    let now = server.map_or(local, |server| server.max(local));
    let start = start.filter(|start| *start > now.saturating_add(time::Duration::DAY))?;
    Some(format!(
        "--s {}: this is in the future, so that nothing would be copied (it is {} now)",
        moment::rfc3339(start),
        moment::rfc3339(now)
    ))
}

fn board(settings: &Settings, target: String) -> Rc<RefCell<Board>> {
    Rc::new(RefCell::new(Board::new(
        Status {
            version: env!("CARGO_PKG_VERSION"),
            campaign: settings.campaign.clone(),
            mode: settings.mode.name(),
            target,
            pid: std::process::id(),
            started: OffsetDateTime::now_utc(),
            last_success: (settings.status_file.as_deref())
                .and_then(|path| status::last_success(path, &settings.campaign)),
            checkpoint: None,
            lag_seconds: None,
            rounds: 0,
            failed_rounds: 0,
            written: Totals::default(),
            rejected: 0,
            unanswered: 0,
            webhook: None,
            last_error: None,
        },
        settings.status_file.clone(),
    )))
}

/// From now on the status file tells of this run.
fn begin(board: &RefCell<Board>, checkpoint: Option<&Checkpoint>, shutdown: &Shutdown) {
    let mut board = board.borrow_mut();
    board.status.checkpoint = checkpoint.and_then(|checkpoint| checkpoint.poll);
    board.begin(shutdown);
}

fn retries(settings: &Settings) -> RetryPolicy {
    RetryPolicy {
        first_wait: settings.retry_wait,
        ..RetryPolicy::default()
    }
}

fn client(settings: &Settings, attempts: u32, pause: Pause) -> Result<Client> {
    Client::new(Options {
        api_url: settings.api_url.clone(),
        campaign: settings.campaign.clone(),
        token: settings.token.clone(),
        roots: Roots::load(settings.ca_file.as_deref())?,
        proxy: proxy::from_environment(&settings.api_url)?,
        limits: Limits {
            connections: settings.workers + 1,
            ..Limits::default()
        },
        retry: RetryPolicy {
            attempts,
            ..retries(settings)
        },
        pause,
    })
}

/// The first call failed: the address may be the wrong one.
fn at_start(error: Error, api_url: &str, was_answered: bool) -> Error {
    match error.kind() {
        ErrorKind::Transient if was_answered => Error::transient(format!(
            "the server at {api_url} answers, but not as Dialfire should: {error} (check --api-url and the proxy; or try again \
             later)"
        )),
        ErrorKind::Transient => Error::transient(format!(
            "cannot reach Dialfire at {api_url}: {error} (check --api-url, the network and the proxy)"
        )),
        _ => error,
    }
}

fn pause(shutdown: &Shutdown) -> Pause {
    let shutdown = shutdown.clone();
    Pause::new(move |time| {
        if shutdown.sleep(time) {
            Err(Error::stopped())
        } else {
            Ok(())
        }
    })
}

/// Where the vendor's client stopped, for a first start.
fn from_old_client(settings: &Settings, checkpoint: Option<&Checkpoint>) -> Option<OffsetDateTime> {
    if checkpoint.is_some_and(|checkpoint| checkpoint.poll.is_some()) {
        return None;
    }
    let directories = [in_home(".dbsync2"), Some(PathBuf::from("/var/opt/dbsync2"))];
    let directories: Vec<PathBuf> = directories.into_iter().flatten().rev().collect();
    let (path, time) = old_client_timestamp(&directories, &settings.campaign)?;
    log::info!(
        "found the old client's state in {}: {}",
        path.display(),
        moment::rfc3339(time)
    );
    Some(time)
}

/// Where state is kept without `--state-dir`, best first.
fn state_directories() -> Vec<PathBuf> {
    let system = if cfg!(windows) {
        None
    } else {
        Some(PathBuf::from("/var/opt/dbsync"))
    };
    system.into_iter().chain(in_home(".dbsync")).collect()
}

fn in_home(name: &str) -> Option<PathBuf> {
    let variable = if cfg!(windows) {
        "LOCALAPPDATA"
    } else {
        "HOME"
    };
    let home = std::env::var_os(variable).filter(|home| !home.is_empty())?;
    Some(PathBuf::from(home).join(if cfg!(windows) {
        name.trim_start_matches('.')
    } else {
        name
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn a_start_in_the_future_of_both_clocks_is_refused() {
        let now = OffsetDateTime::now_utc();
        let day = time::Duration::DAY;
        for (start, server) in [
            (None, None),
            (Some(now), None),
            (Some(now + day), None),
            (Some(now + day), Some(now - day)),
            // One of the clocks may be wrong.
            (Some(now + 40 * day), Some(now + 40 * day)),
            (
                Some(datetime!(9999-12-31 0:00 UTC)),
                Some(datetime!(9999-12-31 0:00 UTC)),
            ),
        ] {
            assert_eq!(future_start(start, server), None, "{start:?} {server:?}");
        }
        let start = datetime!(9998-02-01 0:00 UTC);
        for server in [None, Some(now), Some(datetime!(1970-01-01 0:00 UTC))] {
            let problem = future_start(Some(start), server).unwrap_or_default();
            let begin = "--s 9998-02-01T00:00:00.000Z: this is in the future, so that nothing would be copied (it is 2";
            assert!(problem.starts_with(begin), "{problem}");
        }
    }
}
