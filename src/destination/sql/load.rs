//! Bulk loading of new rows: the text format that PostgreSQL and MySQL share, and when it is tried.
//!
//! The bulk loaders are about twice as fast as statements, but can't replace rows. So they are tried where no row of a
//! batch is expected in the database, inside the batch's transaction; where they fail, the batch is written by
//! statements, as any other.

/// Batches written by statements after one of which some row was there already.
const PAUSE: u32 = 20;

/// Whether the bulk loader is worth a try.
#[derive(Debug, Default)]
pub(super) struct Loading {
    batches_to_skip: u32,
}

impl Loading {
    /// Asked once per new batch.
    pub(super) fn is_due(&mut self) -> bool {
        let due = self.batches_to_skip == 0;
        self.batches_to_skip = self.batches_to_skip.saturating_sub(1);
        due
    }

    /// Some row was there already: the next ones may be as well.
    pub(super) fn met_a_row(&mut self) {
        self.batches_to_skip = PAUSE;
    }

    /// The server refuses to load.
    pub(super) fn refused(&mut self) {
        self.batches_to_skip = u32::MAX;
    }
}

/// Appends a value as a field of a line; `nul` stands for a NUL character. Fields end with a tab, lines with a line
/// feed; NULL is [`NULL`].
pub(super) fn push_field(line: &mut String, value: &str, nul: &str) {
    let mut clean = 0;
    for (at, byte) in value.bytes().enumerate() {
        let escape = match byte {
            b'\\' => "\\\\",
            b'\t' => "\\t",
            b'\n' => "\\n",
            b'\r' => "\\r",
            0 => nul,
            _ => continue,
        };
        line.push_str(value.get(clean..at).unwrap_or_default());
        line.push_str(escape);
        clean = at + 1;
    }
    line.push_str(value.get(clean..).unwrap_or_default());
}

/// A field that is NULL.
pub(super) const NULL: &str = "\\N";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_no_bare_separator() {
        let mut line = String::new();
        push_field(&mut line, "a\tb\nc\rd\\e\0ä", "\\0");
        push_field(&mut line, "", "\\0");
        push_field(&mut line, "\\N", "\\0");
        assert_eq!(line, "a\\tb\\nc\\rd\\\\e\\0ä\\\\N");
    }

    #[test]
    fn after_a_row_that_was_there_some_batches_go_by() {
        let mut loading = Loading::default();
        assert!(loading.is_due() && loading.is_due());
        loading.met_a_row();
        let skipped = (0..100).take_while(|_| !loading.is_due()).count();
        assert_eq!(skipped, 20);
        assert!(loading.is_due());
        loading.refused();
        assert!((0..1000).all(|_| !loading.is_due()));
    }
}
