//! Rows of one table as flat buffers, without an allocation per value.

/// Marks a NULL cell. No real cell starts there, as [`Rows`] never grows to 4 GiB (batches are bounded by bytes).
const NULL: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Cell {
    start: u32,
    end: u32,
}

/// Rows of one table: texts one behind the other, cells row by row.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    columns: usize,
    text: String,
    cells: Vec<Cell>,
}

impl Rows {
    /// An empty set of rows with so many columns.
    pub fn new(columns: usize) -> Self {
        Rows {
            columns,
            text: String::new(),
            cells: Vec::new(),
        }
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.cells.len().checked_div(self.columns).unwrap_or(0)
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Bytes of text and cells held.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Cell>()
    }

    /// Bytes that the cells of so many further rows take.
    pub fn bytes_of(&self, rows: usize) -> usize {
        rows.saturating_mul(self.columns * size_of::<Cell>())
    }

    /// Whether some value holds a NUL character.
    pub fn contains_nul(&self) -> bool {
        self.text.contains('\0')
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.text.clear();
        self.cells.clear();
    }

    /// Gives back the memory that no row uses.
    pub fn shrink(&mut self) {
        self.text.shrink_to_fit();
        self.cells.shrink_to_fit();
    }

    /// Starts a new row, all of its cells NULL.
    pub fn begin(&mut self) {
        self.cells.resize(
            self.cells.len() + self.columns,
            Cell {
                start: NULL,
                end: NULL,
            },
        );
    }

    /// Sets a cell of the row that was begun last. A column that the rows don't have is ignored.
    pub fn set(&mut self, column: usize, value: &str) {
        let start = self.text.len();
        let (Ok(from), Ok(to)) = (u32::try_from(start), u32::try_from(start + value.len())) else {
            return;
        };
        let row = self.cells.len().saturating_sub(self.columns);
        if column >= self.columns {
            return;
        }
        if let Some(cell) = self.cells.get_mut(row + column) {
            self.text.push_str(value);
            *cell = Cell {
                start: from,
                end: to,
            };
        }
    }

    /// Sets a cell of the row that was begun last to NULL.
    pub fn set_null(&mut self, column: usize) {
        let row = self.cells.len().saturating_sub(self.columns);
        if column < self.columns
            && let Some(cell) = self.cells.get_mut(row + column)
        {
            *cell = Cell {
                start: NULL,
                end: NULL,
            };
        }
    }

    /// One row; all NULL where there is no such row.
    pub fn row(&self, index: usize) -> Row<'_> {
        let from = index.saturating_mul(self.columns);
        Row {
            text: &self.text,
            cells: self
                .cells
                .get(from..from.saturating_add(self.columns))
                .unwrap_or(&[]),
        }
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// All rows in the order of their keys. A database that finds its place for each row by the key then needs each page
    /// of a table once per batch, not once per row.
    pub fn by_key(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self.iter().collect();
        rows.sort_unstable_by_key(|row| row.key());
        rows
    }

    /// Appends a row of another set; missing columns become NULL, surplus ones are dropped.
    pub fn push(&mut self, row: Row<'_>) {
        self.begin();
        for (column, value) in row.values().enumerate() {
            if let Some(value) = value {
                self.set(column, value);
            }
        }
    }

    /// Appends a row of what a database answered: values in the order of these columns.
    pub fn push_texts(&mut self, columns: impl Iterator<Item = usize>, values: &[Option<String>]) {
        self.begin();
        for (column, value) in columns.zip(values) {
            if let Some(text) = value {
                self.set(column, text);
            }
        }
    }

    /// Appends all rows of another set; missing columns become NULL.
    pub fn append(&mut self, other: &Rows) {
        let shift = u32::try_from(self.text.len()).ok();
        let (Some(shift), true) = (shift, self.columns == other.columns) else {
            for row in other.iter() {
                self.push(row);
            }
            return;
        };
        self.text.push_str(&other.text);
        self.cells.extend(other.cells.iter().map(|cell| {
            if cell.start == NULL {
                *cell
            } else {
                Cell {
                    start: cell.start.saturating_add(shift),
                    end: cell.end.saturating_add(shift),
                }
            }
        }));
    }
}

/// One row: its values in the order of the table's columns.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    text: &'a str,
    cells: &'a [Cell],
}

impl<'a> Row<'a> {
    /// A value; `None` is NULL.
    pub fn get(&self, column: usize) -> Option<&'a str> {
        self.cells
            .get(column)
            .and_then(|cell| value(self.text, *cell))
    }

    /// The primary key (the first column); empty where it is NULL.
    pub fn key(&self) -> &'a str {
        self.get(0).unwrap_or("")
    }

    /// All values in order; `None` is NULL.
    pub fn values(&self) -> impl Iterator<Item = Option<&'a str>> + use<'a> {
        let text = self.text;
        self.cells.iter().map(move |cell| value(text, *cell))
    }
}

fn value(text: &str, cell: Cell) -> Option<&str> {
    if cell.start == NULL {
        return None;
    }
    text.get(usize::try_from(cell.start).ok()?..usize::try_from(cell.end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_the_order_of_their_keys_with_all_their_values() {
        let mut rows = Rows::new(2);
        for (key, value) in [("b", "1"), ("a", "2"), ("é", "3"), ("", "4"), ("B", "5")] {
            rows.begin();
            rows.set(0, key);
            rows.set(1, value);
        }
        let values: Vec<Option<&str>> = rows.by_key().iter().map(|row| row.get(1)).collect();
        assert_eq!(values, ["4", "5", "2", "1", "3"].map(Some));
    }
}
