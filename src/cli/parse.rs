//! Command line and environment become settings; each wrong input is one sentence.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use super::arguments::{self, Origin, Request, Value, Values};
use super::completions::Shell;
use super::flags;
use super::settings::{Mode, Settings};
use super::{duration, first_line, start_date, webhook};
use crate::error::{Error, Result};
use crate::files::input;
use crate::net::secret::Secret;
use crate::net::web_address::{is_host_and_port, is_web_address};
use crate::tables::fields::FieldLimit;
use crate::tables::filter::FilterMode;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest campaign id, in characters; real ones have 16.
const MAX_CAMPAIGN_LENGTH: usize = 100;
/// The longest table prefix, in characters: leaves room for the table's name within PostgreSQL's 63.
const MAX_TABLE_PREFIX_LENGTH: usize = 40;
/// Beginnings of the database addresses that are understood, for messages.
const DATABASE_SCHEMES: &str = "an address that begins with postgres://, postgresql://, mysql://, mariadb://, sqlserver:// (or mssql://) or sqlite: is expected";

/// What the command line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// Run with these settings.
    Run(Box<Settings>),
    /// Print [`short`](super::help::short).
    ShortHelp,
    /// Print [`help`](super::help::help).
    Help,
    /// Print [`version`](super::help::version).
    Version,
    /// Print [`manual`](super::man::manual).
    Manual,
    /// Print [`completions`](super::completions::completions).
    Completions(Shell),
    /// Print [`licenses`](super::licenses::licenses).
    Licenses,
}

/// Reads the arguments (without the program's name) and the environment; of the two the command line wins.
///
/// Nothing is touched, but the files that flags name are read.
///
/// # Errors
/// [`Usage`](crate::error::ErrorKind::Usage) for the first thing that is wrong: names the flag, the value unless it
/// is a secret, and what is allowed.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Parsed> {
    match arguments::read(arguments, environment)? {
        Request::ShortHelp => Ok(Parsed::ShortHelp),
        Request::Help => Ok(Parsed::Help),
        Request::Version => Ok(Parsed::Version),
        Request::Manual => Ok(Parsed::Manual),
        Request::Completions(value) => shell(&value).map(Parsed::Completions),
        Request::Licenses => Ok(Parsed::Licenses),
        Request::Work(values) => settings(&values).map(|all| Parsed::Run(Box::new(all))),
    }
}

fn settings(values: &Values) -> Result<Settings> {
    let mode = mode(&required(values, "a", &mode_names())?)?;
    let (api_url, mut warnings) = api_url(values)?;
    let campaign = campaign(&required(
        values,
        "c",
        "the id of the campaign, as Dialfire shows it",
    )?)?;
    let token = token(values)?;
    let url = target_url(values, mode)?;
    warnings.extend(webhook::warning(values, mode, url.reveal()));
    warnings.extend(open_to_all(values));
    Ok(Settings {
        mode,
        campaign,
        token,
        url,
        api_url,
        start: optional(values, "s", |value| {
            start_date::parse(&value.text).ok_or_else(|| value.wrong(start_date::SPELLINGS))
        })?,
        filter: optional(values, "fm", filter)?.unwrap_or(FilterMode::All),
        task_prefixes: optional(values, "fp", |value| Ok(list(&value.text)))?.unwrap_or_default(),
        table_prefix: table_prefix(values)?,
        workers: number(values, "w", 1, 64)?,
        connections: number(values, "d", 1, 64)?,
        log_level: number(values, "l", 0, 5)?,
        verbose: switch(values, "v"),
        profile: switch(values, "p"),
        interval: length_of_time(values, "interval", Duration::ZERO, DAY, "0 to 1d")?,
        overlap: length_of_time(values, "overlap", Duration::ZERO, 7 * DAY, "0 to 7d")?,
        reconcile: length_of_time(
            values,
            "reconcile",
            Duration::from_secs(1),
            7 * DAY,
            "1s to 7d",
        )?,
        retry_wait: length_of_time(
            values,
            "retry-wait",
            Duration::from_millis(1),
            Duration::from_secs(60),
            "1ms to 60s",
        )?,
        once: once(values, mode)?,
        fields: fields(values)?,
        batch: number(values, "batch", 1, 10_000)?,
        webhook_rate: optional(values, "wr", |value| {
            let rate: Option<f64> = value.text.trim().parse().ok();
            rate.filter(|rate| rate.is_finite() && *rate >= 0.0)
                .ok_or_else(|| value.wrong("a number from 0 up is expected"))
        })?,
        webhook_burst: optional(values, "wb", |value| {
            let burst: Option<u32> = value.text.trim().parse().ok();
            burst.ok_or_else(|| value.wrong("a whole number from 0 up is expected"))
        })?,
        webhook_timeout: length_of_time(
            values,
            "webhook-timeout",
            Duration::from_millis(100),
            Duration::from_secs(600),
            "100ms to 10m",
        )?,
        webhook_keys: webhook::keys(values)?,
        headers: webhook::headers(values)?,
        ledger_days: number(values, "ledger-days", 2, 3650)?,
        state_dir: path(values, "state-dir"),
        log_dir: path(values, "log-dir"),
        ca_file: path(values, "ca-file"),
        status_file: path(values, "status-file"),
        warnings,
    })
}

/// The value of a flag, unless it is empty: an empty text counts as not given, as for the vendor's client.
pub(super) fn given(values: &Values, name: &str) -> Option<Value> {
    values
        .get(name)
        .filter(|value| !value.text.trim().is_empty())
}

fn required(values: &Values, name: &str, what: &str) -> Result<Value> {
    given(values, name).ok_or_else(|| {
        Error::usage(format!(
            "{} is required: {what} (see dbsync2 --help)",
            shown(name)
        ))
    })
}

/// A flag with the word for its value: `--a MODE`.
fn shown(name: &str) -> String {
    let value = flags::find(name).and_then(|flag| flag.value);
    format!("--{name} {}", value.unwrap_or_default())
}

pub(super) fn optional<T>(
    values: &Values,
    name: &str,
    read: impl FnOnce(&Value) -> Result<T>,
) -> Result<Option<T>> {
    given(values, name).map(|value| read(&value)).transpose()
}

fn switch(values: &Values, name: &str) -> bool {
    values.get(name).is_some_and(|value| value.text == "true")
}

fn path(values: &Values, name: &str) -> Option<PathBuf> {
    given(values, name).map(|value| PathBuf::from(value.text))
}

/// A whole number; the flag has a default, so that it is missing only where its value was given empty.
fn number<T: FromStr + PartialOrd + std::fmt::Display>(
    values: &Values,
    name: &str,
    least: T,
    most: T,
) -> Result<T> {
    let value = required(values, name, "a whole number")?;
    let number: Option<T> = value.text.trim().parse().ok();
    number
        .filter(|number| *number >= least && *number <= most)
        .ok_or_else(|| {
            value.wrong(&format!(
                "a whole number from {least} to {most} is expected"
            ))
        })
}

fn length_of_time(
    values: &Values,
    name: &str,
    least: Duration,
    most: Duration,
    range: &str,
) -> Result<Duration> {
    let value = required(values, name, "a time")?;
    duration::parse(&value.text)
        .filter(|time| (least..=most).contains(time))
        .ok_or_else(|| {
            value.wrong(&format!(
                "a time from {range} is expected, such as 500ms, 60s, 2m, 1h or 1d"
            ))
        })
}

fn shell(value: &Value) -> Result<Shell> {
    Shell::ALL
        .into_iter()
        .find(|shell| shell.name() == value.text.trim())
        .ok_or_else(|| value.wrong("bash, zsh or fish is expected"))
}

fn mode(value: &Value) -> Result<Mode> {
    Mode::ALL
        .into_iter()
        .find(|mode| mode.name() == value.text.trim())
        .ok_or_else(|| value.wrong(&format!("{} is expected", mode_names())))
}

fn mode_names() -> String {
    let [others @ .., last] = Mode::ALL.map(Mode::name);
    format!("{} or {last}", others.join(", "))
}

fn campaign(value: &Value) -> Result<String> {
    let id = value.text.trim();
    // It becomes part of file names and of the API's addresses.
    let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if id.len() > MAX_CAMPAIGN_LENGTH || !id.chars().all(harmless) {
        return Err(value.wrong(&format!(
            "a campaign id has only letters, digits, - and _, and at most {MAX_CAMPAIGN_LENGTH} of them"
        )));
    }
    Ok(id.to_owned())
}

fn token(values: &Values) -> Result<Secret> {
    let (value, text) = secret(values, "ct", "token-file", "the token of the campaign")?;
    // It travels in an HTTP header, where blanks and control characters would end it or worse.
    match text.chars().position(|c| !c.is_ascii_graphic()) {
        Some(position) => Err(value.wrong(&format!(
            "character {} is not allowed in a token, which has letters, digits and signs of ASCII only",
            position + 1
        ))),
        None => Ok(Secret::new(text)),
    }
}

fn target_url(values: &Values, mode: Mode) -> Result<Secret> {
    let (value, text) = secret(values, "url", "url-file", "the address of the target")?;
    let is_web = is_web_address(&text);
    let is_database = text.split_once(':').is_some_and(|(scheme, _)| {
        [
            "postgres",
            "postgresql",
            "mysql",
            "mariadb",
            "sqlserver",
            "mssql",
            "sqlite",
        ]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
    });
    match mode {
        Mode::Webhook | Mode::Replay if !is_web => Err(value.wrong(&format!(
            "an address that begins with https:// or http:// is expected for --a {}",
            mode.name()
        ))),
        Mode::DbInit | Mode::DbUpdate | Mode::DbSync if !is_database => {
            Err(value.wrong(DATABASE_SCHEMES))
        }
        Mode::Check if !is_database && !is_web => Err(value.wrong(DATABASE_SCHEMES)),
        _ => Ok(Secret::new(text)),
    }
}

/// A secret that is given directly or as the first line of a file; and which of the two flags it came by.
///
/// The command line wins over the environment; both flags in one place contradict each other.
pub(super) fn secret(
    values: &Values,
    direct: &str,
    file: &str,
    what: &str,
) -> Result<(Value, String)> {
    let value = chosen(values, direct, file, what)?;
    let text = if value.flag.name == file {
        first_line::read(&value, Path::new(&value.text))?
    } else {
        value.text.trim().to_owned()
    };
    Ok((value, text))
}

/// The flag by which a secret comes.
pub(super) fn chosen(values: &Values, direct: &str, file: &str, what: &str) -> Result<Value> {
    let on_command_line = |value: &Value| value.origin == Origin::CommandLine;
    match (given(values, direct), given(values, file)) {
        (Some(direct), Some(file)) if on_command_line(&direct) == on_command_line(&file) => {
            Err(Error::usage(format!(
                "{} and {} exclude each other: give one of them",
                direct.name(),
                file.name()
            )))
        }
        (Some(_), Some(file)) if on_command_line(&file) => Ok(file),
        (Some(direct), _) => Ok(direct),
        (None, Some(file)) => Ok(file),
        (None, None) => Err(Error::usage(format!(
            "{} or {} is required: {what} (see dbsync2 --help)",
            shown(file),
            shown(direct)
        ))),
    }
}

/// One warning for each file with a secret that every user of this computer may read or change.
fn open_to_all(values: &Values) -> Vec<String> {
    let files = [
        ("ct", "token-file"),
        ("url", "url-file"),
        ("webhook-secret", "webhook-secret-file"),
    ]
    .into_iter()
    .filter_map(|(direct, file)| {
        let value = chosen(values, direct, file, "").ok()?;
        (value.flag.name == file).then(|| (value.name(), PathBuf::from(&value.text)))
    });
    let header = given(values, "header");
    let header_files = header.iter().flat_map(|value| {
        webhook::files_of_headers(&value.text).map(|path| (value.name(), PathBuf::from(path)))
    });
    files
        .chain(header_files)
        .filter_map(|(name, path)| {
            let may = input::open_to_all(&path)?;
            let path = path.display();
            Some(format!(
                "{name}: every user of this computer may {may} {path}: chmod 600 {path}"
            ))
        })
        .collect()
}

/// The API's address, and warnings about it.
fn api_url(values: &Values) -> Result<(String, Vec<String>)> {
    let value = required(values, "api-url", "the address of the API")?;
    let wrong = || {
        value
            .wrong("an address such as https://api.dialfire.com is expected, without user, ? and #")
    };
    let url = value.text.trim().trim_end_matches('/');
    let (encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (None, Some(rest)) => (false, rest),
        (None, None) => return Err(wrong()),
    };
    let harmless = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#');
    let host = rest.split('/').next().unwrap_or_default();
    if !is_host_and_port(host) || !rest.chars().all(harmless) {
        return Err(wrong());
    }
    let warnings = if encrypted {
        Vec::new()
    } else {
        vec![format!(
            "{} is http, not https: everyone on the way can read the token and the contacts",
            value.name()
        )]
    };
    Ok((url.to_owned(), warnings))
}

fn filter(value: &Value) -> Result<FilterMode> {
    match value.text.trim() {
        "updates_only" => Ok(FilterMode::UpdatesOnly),
        "hi_updates_only" => Ok(FilterMode::HiUpdatesOnly),
        _ => Err(value
            .wrong("updates_only or hi_updates_only is expected, or nothing for all transactions")),
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn table_prefix(values: &Values) -> Result<String> {
    let Some(value) = values.get("tp") else {
        return Ok(String::new());
    };
    if value.text.chars().any(char::is_control)
        || value.text.chars().count() > MAX_TABLE_PREFIX_LENGTH
    {
        return Err(value.wrong(&format!(
            "at most {MAX_TABLE_PREFIX_LENGTH} characters are expected, none of them a control character"
        )));
    }
    Ok(value.text)
}

fn once(values: &Values, mode: Mode) -> Result<bool> {
    let once = switch(values, "once");
    if once && !matches!(mode, Mode::DbSync | Mode::Webhook) {
        let name = values.get("once").map_or_else(String::new, |v| v.name());
        return Err(Error::usage(format!(
            "{name} can be used only with --a db_sync or webhook: {} always ends after one run",
            mode.name()
        )));
    }
    Ok(once)
}

fn fields(values: &Values) -> Result<FieldLimit> {
    let value = required(values, "fields", "a whole number or all")?;
    match value.text.trim() {
        "all" => Ok(FieldLimit::All),
        text => text
            .parse()
            .map(FieldLimit::First)
            .map_err(|_| value.wrong("a whole number from 0 up or all is expected")),
    }
}
