//! Command line and environment.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dbsync2::cli::{Parsed, parse};

use super::memory::bounded;

/// Stands where a token is expected, and must not come out again.
const SECRET: &str = "Zq7SecretWord";

/// Reads the input as arguments, one per line, as they are and behind those that make a whole command line.
pub fn command_line(data: &[u8]) {
    let given: Vec<OsString> = data
        .split(|byte| *byte == b'\n')
        .map(|argument| OsString::from_vec(argument.to_vec()))
        .collect();
    if reads_a_file(data) {
        return;
    }
    read(data.len(), &given);
    let whole = ["--a", "db_sync", "--c", "C", "--ct", SECRET, "--url"]
        .into_iter()
        .map(OsString::from)
        .chain([format!("postgres://u:{SECRET}@h/d").into()])
        .chain(given)
        .collect::<Vec<_>>();
    read(data.len(), &whole);
}

/// Files of this machine are no part of the input.
fn reads_a_file(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data).to_lowercase();
    text.contains("file") || text.contains('@')
}

fn read(length: usize, arguments: &[OsString]) {
    let environment = |_: &str| None;
    let parsed = bounded(length, || parse(arguments.to_vec(), &environment));
    match parsed {
        Ok(Parsed::Run(settings)) => {
            assert!((1..=64).contains(&settings.workers));
            assert!((1..=10_000).contains(&settings.batch));
            assert!(!settings.campaign.is_empty() && settings.campaign.len() <= 100);
            assert!(settings.table_prefix.chars().count() <= 40);
            assert!(
                settings
                    .webhook_rate
                    .is_none_or(|rate| rate.is_finite() && rate >= 0.0)
            );
            assert!(!format!("{settings:?}").contains(SECRET));
        }
        // What only prints.
        Ok(_) => {}
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains(SECRET), "{said}");
            assert!(!said.is_empty());
        }
    }
}
