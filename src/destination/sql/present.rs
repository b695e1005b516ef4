//! Which rows a table holds, and which of their columns have a value: the same question to each database.

/// A row that a table holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentRow {
    /// Its key.
    pub key: String,
    /// For each column that was asked for, whether it is other than NULL.
    pub filled: Vec<bool>,
}

impl PresentRow {
    /// What a statement selects after the key. The values themselves may be large, and are not read.
    pub(super) fn selected(columns: &[&str], quoted: impl Fn(&str) -> String) -> String {
        (columns.iter())
            .map(|column| {
                format!(
                    ", CASE WHEN {} IS NULL THEN '0' ELSE '1' END",
                    quoted(column)
                )
            })
            .collect()
    }

    /// The row of the answer; `None` without a key.
    pub(super) fn read(values: impl IntoIterator<Item = Option<String>>) -> Option<Self> {
        let mut values = values.into_iter();
        Some(PresentRow {
            key: values.next().flatten()?,
            filled: values.map(|value| value.as_deref() == Some("1")).collect(),
        })
    }
}
