//! From source to destination: the only part that knows both.

mod board;
mod check;
mod database;
mod engine;
mod fetch;
mod list;
mod lost;
mod pass;
mod profile;
mod rejected;
mod seen;
mod windows;
mod writer;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use time::OffsetDateTime;

use crate::cli::Settings;
use crate::cli::settings::Mode;
use crate::dialfire::client::{Client, Options};
use crate::dialfire::http::Limits;
use crate::dialfire::proxy;
use crate::dialfire::retry::{Pause, RetryPolicy};
use crate::error::{Error, ErrorKind, Result};
use crate::logging::LogFile;
use crate::shutdown::Shutdown;
use crate::sink::Target;
use crate::state::{StateFiles, old_client_timestamp};
use crate::status::{Status, Totals};
use crate::tls::{self, Roots};
use board::Board;
use engine::{Engine, Parts};
use lost::LostTables;
use profile::Profile;
use rejected::RejectFile;
use writer::{ATTEMPTS_AT_START, Writer};

/// Does what was asked for.
///
/// # Errors
/// What ended the program: [`Error::exit_code`] says with which code.
pub fn run(settings: Settings, log: &LogFile, shutdown: Shutdown) -> Result<()> {
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
    let target = Target::new(settings.url.reveal(), settings.ca_file.as_deref())?;
    let identity = format!("{} {}", target.display(), settings.table_prefix);
    let wanted = settings.state_dir.as_deref();
    if settings.mode == Mode::Check {
        return check::run(
            &settings,
            &target,
            &state_directories(),
            log,
            &pause(&shutdown),
        );
    }
    let files = StateFiles::locate(wanted, &state_directories(), &settings.campaign, &identity)?;
    let _lock = files.lock()?;
    let checkpoint = files.load()?;
    let first_start = checkpoint
        .as_ref()
        .is_none_or(|checkpoint| checkpoint.poll.is_none());
    let old_client = if first_start {
        from_old_client(&settings.campaign)
    } else {
        None
    };
    // A wrong token or address is to be told within half a minute, not after the 17 minutes of a later outage.
    client(&settings, ATTEMPTS_AT_START, pause(&shutdown))?
        .fields()
        .map_err(|error| at_start(error, &settings.api_url))?;
    let board = Rc::new(RefCell::new(Board::new(
        Status {
            version: env!("CARGO_PKG_VERSION"),
            campaign: settings.campaign.clone(),
            mode: settings.mode.name(),
            target: target.display(),
            pid: std::process::id(),
            started: OffsetDateTime::now_utc(),
            last_success: None,
            checkpoint: None,
            lag_seconds: None,
            rounds: 0,
            failed_rounds: 0,
            written: Totals::default(),
            rejected: 0,
            unanswered: 0,
            last_error: None,
        },
        settings.status_file.clone(),
    )));
    let profile = Profile::default();
    let naming = target.naming();
    let writer = Writer::new(writer::Options {
        target,
        backoff: database::backoff(settings.retry_wait, ATTEMPTS_AT_START),
        pause: pause(&shutdown),
        rejects: RejectFile::new(files.path("rejected.jsonl")),
        profile: profile.clone(),
        board: Rc::clone(&board),
        lost: LostTables::new(
            files.path("lost"),
            checkpoint
                .as_ref()
                .is_some_and(|checkpoint| checkpoint.trusted_after.is_some()),
        ),
    });
    let mut engine = Engine::start(Parts {
        client: client(&settings, RetryPolicy::default().attempts, pause(&shutdown))?,
        settings,
        writer,
        naming,
        files,
        checkpoint: checkpoint.unwrap_or_default(),
        board,
        profile,
        shutdown,
    })?;
    database::run(&mut engine, old_client)
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
            first_wait: settings.retry_wait,
            ..RetryPolicy::default()
        },
        pause,
    })
}

/// The first call failed: the address may be the wrong one.
fn at_start(error: Error, api_url: &str) -> Error {
    match error.kind() {
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

fn from_old_client(campaign: &str) -> Option<OffsetDateTime> {
    let directories = [in_home(".dbsync2"), Some(PathBuf::from("/var/opt/dbsync2"))];
    let directories: Vec<PathBuf> = directories.into_iter().flatten().rev().collect();
    let (path, time) = old_client_timestamp(&directories, campaign)?;
    log::info!("found the old client's state in {}: {time}", path.display());
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
