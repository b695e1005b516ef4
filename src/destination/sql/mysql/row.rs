//! One row as text, for a statement or for the bulk loader.

use std::collections::BTreeSet;

use super::Prepared;
use super::column::{Fitted, Holds, Shortage, WIDEST, fit, measure};
use super::literal::push_text;
use crate::destination::sql::load::{NULL, push_field};
use crate::error::{Error, Result};
use crate::tables::batch::Row;

/// How a row is written down.
pub(super) struct Form {
    begin: &'static str,
    between: &'static str,
    end: &'static str,
    null: &'static str,
    text: fn(&mut String, &str),
}

/// `('a','b')`
pub(super) const LITERALS: Form = Form {
    begin: "(",
    between: ",",
    end: ")",
    null: "NULL",
    text: push_text,
};

/// A line of `LOAD DATA`, with its defaults.
pub(super) const LINE: Form = Form {
    begin: "",
    between: "\t",
    end: "\n",
    null: NULL,
    text: |line, value| push_field(line, value, "\\0"),
};

/// Appends a row, and notes which columns got a rounded number. A value that the server would change without an error is
/// refused here.
pub(super) fn push_row(
    sql: &mut String,
    form: &Form,
    table: &Prepared,
    row: Row<'_>,
    narrow: &[bool],
    rounded: &mut BTreeSet<usize>,
) -> Result<()> {
    sql.push_str(form.begin);
    for (at, column) in table.columns.iter().enumerate() {
        if at > 0 {
            sql.push_str(form.between);
        }
        let (Some(value), Some(real)) = (
            row.get(column.position),
            table.real.columns.get(column.real),
        ) else {
            sql.push_str(form.null);
            continue;
        };
        if narrow.get(at).copied().unwrap_or_default() {
            let mut shortage = Shortage::default();
            measure(&real.holds, column.kind, value, &mut shortage);
            if shortage.characters > 0
                || shortage.no_number_type
                || (shortage.number && real.holds != Holds::Number(WIDEST))
            {
                return Err(Error::of_row(format!(
                    "table {}: the column {} ({}) can't hold the value, and can't be widened",
                    table.name, real.name, real.declared
                )));
            }
        }
        if real.holds != Holds::Number(WIDEST) {
            (form.text)(sql, value);
            continue;
        }
        match fit(value) {
            Fitted::Exact(text) => (form.text)(sql, text),
            Fitted::Rounded(text) => {
                rounded.insert(column.real);
                (form.text)(sql, text);
            }
        }
    }
    sql.push_str(form.end);
    Ok(())
}
