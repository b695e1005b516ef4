//! The reject file: rows that the database refused, with the reason, one JSON object per line.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::files;
use crate::tables::batch::Row;
use crate::tables::schema::TableSchema;

/// When the file has this size it is renamed to `….old`, in place of an earlier one: 20 MiB in all.
const MAX_BYTES: u64 = 10 * 1024 * 1024;

/// How many refusals are remembered so as not to be written again by each reconcile.
const MAX_KNOWN: usize = 10_000;

/// Writes refused rows to the reject file.
#[derive(Debug)]
pub struct RejectFile {
    path: PathBuf,
    largest: u64,
    /// Hashes of table, key and reason.
    known: HashSet<u64>,
}

impl RejectFile {
    /// The reject file at `path`; made when the first row is refused.
    pub fn new(path: PathBuf) -> Self {
        RejectFile {
            path,
            largest: MAX_BYTES,
            known: HashSet::new(),
        }
    }

    /// Appends a row, with all that the server said; the same row refused for the same reason is written once per run.
    ///
    /// # Errors
    /// [`Transient`](crate::error::ErrorKind::Transient) where the file can't be written.
    pub fn append(
        &mut self,
        time: &str,
        table: &TableSchema,
        row: Row<'_>,
        refusal: &Error,
    ) -> Result<()> {
        let mut hasher = DefaultHasher::new();
        (&table.name, row.key(), refusal.message()).hash(&mut hasher);
        let known = hasher.finish();
        if self.known.contains(&known) {
            return Ok(());
        }
        let reason = match refusal.detail() {
            Some(detail) => format!("{refusal}: {detail}"),
            None => refusal.to_string(),
        };
        let values: Map<String, Value> = table
            .columns
            .iter()
            .zip(row.values())
            .map(|(column, value)| (column.name.clone(), value.map_or(Value::Null, Value::from)))
            .collect();
        let line = json!({"time": time, "table": table.name, "key": row.key(), "reason": reason, "row": values});
        self.write(&format!("{line}\n")).map_err(|error| {
            Error::transient(format!(
                "cannot write the reject file {}: {error}",
                self.path.display()
            ))
        })?;
        if self.known.len() >= MAX_KNOWN {
            self.known.clear();
        }
        self.known.insert(known);
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    fn write(&self, line: &str) -> std::io::Result<()> {
        let mut file = files::append(&self.path)?;
        if file.metadata()?.len() >= self.largest {
            files::rename(&self.path, &self.path.with_extension("jsonl.old"))?;
            file = files::append(&self.path)?;
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::fs;

    use super::*;
    use crate::tables::batch::Rows;
    use crate::tables::schema::{Schema, Table};

    #[test]
    fn a_refused_row_is_written_once_with_its_values_and_the_file_stays_bounded() {
        let directory =
            std::env::temp_dir().join(format!("dbsync2-rejected-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut file = RejectFile::new(directory.join("c.rejected.jsonl"));
        file.largest = 400;
        let schema = Schema::new("dfire_");
        let table = schema.table(Table::Recordings);
        let mut rows = Rows::new(table.columns.len());
        for id in ["r1", "r2"] {
            rows.begin();
            rows.set(0, id);
            rows.set(6, "a \"place\"");
        }
        for _ in 0..2 {
            let refusal = Error::data("too long").with_detail("+49\nis");
            file.append("2024-03-05T00:00:00Z", table, rows.row(0), &refusal)
                .unwrap();
        }
        let text = fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["table"], "dfire_recordings");
        assert_eq!(line["key"], "r1");
        assert_eq!(line["reason"], "too long: +49\nis");
        assert_eq!(line["row"]["location"], "a \"place\"");
        assert_eq!(line["row"]["filename"], Value::Null);
        for round in 0..20 {
            file.append(
                "2024-03-05T00:00:00Z",
                table,
                rows.row(1),
                &Error::data(format!("reason {round}")),
            )
            .unwrap();
        }
        assert!(fs::metadata(file.path()).unwrap().len() < 800);
        assert!(
            fs::metadata(directory.join("c.rejected.jsonl.old"))
                .unwrap()
                .len()
                < 800
        );
        fs::remove_dir_all(directory).unwrap();
    }
}
