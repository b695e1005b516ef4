//! Loading the rows of a new batch by COPY.

use std::io::Write;

use postgres::error::SqlState;
use postgres::{Error, Transaction};

use super::upsert::Upsert;
use crate::destination::sql::NUL_SIGN;
use crate::destination::sql::load::{NULL, push_field};
use crate::tables::batch::Rows;

/// Bytes that are sent together.
const CHUNK: usize = 64 * 1024;

/// Why rows could not be copied in.
#[derive(Debug)]
pub(super) enum Failure {
    /// The server refuses.
    Refused(Error),
    /// The driver could not go on sending.
    Sending,
    /// A trigger left rows out.
    LeftOut,
}

impl Failure {
    /// Whether a row with one of the keys is there already.
    pub(super) fn is_clash(&self) -> bool {
        matches!(self, Failure::Refused(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Refused(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(_: std::io::Error) -> Self {
        Failure::Sending
    }
}

/// Inserts all rows; fails where one of the keys is there already.
pub(super) fn copy(
    transaction: &mut Transaction<'_>,
    upsert: &Upsert,
    rows: &Rows,
) -> Result<(), Failure> {
    let mut writer = transaction.copy_in(&upsert.copy)?;
    let mut lines = String::with_capacity(2 * CHUNK);
    for row in rows.by_key() {
        for (nth, target) in upsert.targets.iter().enumerate() {
            if nth > 0 {
                lines.push('\t');
            }
            match row.get(target.source) {
                Some(value) => push_field(&mut lines, value, NUL_SIGN),
                None => lines.push_str(NULL),
            }
        }
        lines.push('\n');
        if lines.len() >= CHUNK {
            writer.write_all(lines.as_bytes())?;
            lines.clear();
        }
    }
    writer.write_all(lines.as_bytes())?;
    let written = writer.finish()?;
    if usize::try_from(written).is_ok_and(|written| written < rows.len()) {
        return Err(Failure::LeftOut);
    }
    Ok(())
}
