//! Notices that tables which were there are gone, before they are made again empty, and remembers that rows are gone.
//!
//! The note is a file: a process killed between making the tables and filling them must not forget it.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::files;
use crate::sink::Sink;
use crate::tables::schema::Schema;

/// The note that tables or rows were lost.
#[derive(Debug)]
pub struct Losses {
    path: PathBuf,
    /// Whether the tables were made in an earlier run, or in this one.
    made: bool,
}

impl Losses {
    /// The note at `path`. Before the first run has `made` tables, missing ones are not lost.
    pub fn new(path: PathBuf, made: bool) -> Self {
        Losses { path, made }
    }

    /// Looks for the tables, just before those that are missing are made.
    ///
    /// # Errors
    /// As [`Sink::columns`]; [`Transient`](crate::error::ErrorKind::Transient) where the note can't be written.
    pub fn look(&self, sink: &mut dyn Sink, schema: &Schema) -> Result<()> {
        if !self.made {
            return Ok(());
        }
        let mut missing = Vec::new();
        for table in schema.tables() {
            if sink.columns(table)?.is_empty() {
                missing.push(table.name.as_str());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        log::error!(
            "tables are gone and made again, empty: {}; everything is copied again",
            missing.join(", ")
        );
        self.note()
    }

    /// Notes that what the database held is not there any more.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where the note can't be written.
    pub fn note(&self) -> Result<()> {
        files::update(&self.path)
            .and_then(|file| file.sync_all())
            .map_err(|error| {
                Error::transient(format!(
                    "cannot note in {} that rows are gone: {error} (check --state-dir)",
                    self.path.display()
                ))
            })
    }

    /// The tables are there.
    pub fn made(&mut self) {
        self.made = true;
    }

    /// Whether tables or rows were lost since the note was last removed.
    pub fn noted(&self) -> bool {
        files::exists(&self.path)
    }

    /// Removes the note, after the checkpoint says that everything is to be copied again.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where it can't be removed.
    pub fn remove(&self) -> Result<()> {
        files::remove(&self.path).map_err(|error| {
            Error::transient(format!(
                "cannot remove {}: {error} (check --state-dir)",
                self.path.display()
            ))
        })
    }
}
