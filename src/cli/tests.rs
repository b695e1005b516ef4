//! Command lines and environments, and the settings or the sentence that come of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod destinations;
mod refusals;
mod secrets;
mod spelling;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use time::macros::datetime;

use super::settings::Mode;
use super::{Parsed, Settings, flags, parse};
use crate::error::{Error, ErrorKind};
use crate::scratch::Scratch;
use crate::tables::fields::FieldLimit;
use crate::tables::filter::FilterMode;

const REQUIRED: [&str; 8] = [
    "--a",
    "db_sync",
    "--c",
    "CAMP",
    "--ct",
    "TOKEN",
    "--url",
    "mysql://u:p@h/db",
];

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Parsed, Error> {
    let lookup = |name: &str| {
        environment
            .iter()
            .find(|(variable, _)| *variable == name)
            .map(|(_, text)| OsString::from(text))
    };
    parse(arguments.iter().map(OsString::from), &lookup)
}

#[track_caller]
fn settings_in(arguments: &[&str], environment: &[(&str, &str)]) -> Settings {
    match run(arguments, environment) {
        Ok(Parsed::Run(settings)) => *settings,
        other => panic!("{other:?}"),
    }
}

/// The required flags, then these.
#[track_caller]
fn settings(more: &[&str]) -> Settings {
    settings_in(&[&REQUIRED, more].concat(), &[])
}

#[track_caller]
fn error_in(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let error = run(arguments, environment).expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.exit_code(), 2);
    assert!(!error.to_string().contains('\n'));
    error.to_string()
}

/// The required flags, then these.
#[track_caller]
fn error(more: &[&str]) -> String {
    error_in(&[&REQUIRED, more].concat(), &[])
}

/// The required flags without one of them.
fn without(name: &str) -> Vec<&'static str> {
    let pairs = REQUIRED.chunks(2).filter(|pair| pair[0] != name);
    pairs.flatten().copied().collect()
}
