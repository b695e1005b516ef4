//! Which column of a table in the database is which of the schema, where databases take names for the same that differ.
//!
//! The layout gives names apart that differ in case only ([`crate::tables::fields`]). What else a database takes for the
//! same (accents, ligatures, whatever its collation says) shows when a column is added: it says that the column is
//! there. Then the column gets its distinct name ([`Naming::distinct`]).

use crate::tables::fields::Naming;
use crate::tables::schema::Column;

/// Whether a name of the schema means the column at this position in the database.
type Rule<'a> = &'a dyn Fn(&str, usize) -> bool;

/// For each column of the schema, the position of the one in the database that holds it: of the same name, else of its
/// distinct name, else of a name that the database takes for the same. No column holds two.
pub(super) fn assign(wanted: &[Column], real: &[&str], naming: Naming) -> Vec<Option<usize>> {
    let mut found: Vec<Option<usize>> = vec![None; wanted.len()];
    let mut taken = vec![false; real.len()];
    let folded: Vec<String> = real.iter().map(|name| naming.folded(name)).collect();
    let rules: [Rule<'_>; 3] = [
        &|name, at| real.get(at) == Some(&name),
        &|name, at| {
            real.get(at)
                .is_some_and(|real| *real == naming.distinct(name))
        },
        &|name, at| {
            folded
                .get(at)
                .is_some_and(|real| *real == naming.folded(name))
        },
    ];
    for is_same in rules {
        for (column, found) in wanted.iter().zip(&mut found) {
            if found.is_some() {
                continue;
            }
            let mut free = taken.iter_mut().enumerate().filter(|(_, taken)| !**taken);
            if let Some((at, taken)) = free.find(|(at, _)| is_same(&column.name, *at)) {
                *taken = true;
                *found = Some(at);
            }
        }
    }
    found
}

/// The column under its distinct name, for a database that takes its own for another's.
pub(super) fn distinct(column: &Column, naming: Naming) -> Column {
    Column {
        name: naming.distinct(&column.name),
        kind: column.kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destination::sql::dialect::SQLSERVER;
    use crate::tables::schema::ColumnKind;

    fn assigned(wanted: &[&str], real: &[&str]) -> Vec<Option<usize>> {
        let wanted: Vec<Column> = (wanted.iter())
            .map(|name| Column {
                name: (*name).to_owned(),
                kind: ColumnKind::Text,
            })
            .collect();
        assign(&wanted, real, SQLSERVER.naming)
    }

    #[test]
    fn each_column_has_one_of_its_own() {
        assert_eq!(assigned(&["a", "B"], &["b", "A"]), [Some(1), Some(0)]);
        // Lower case of the first is the second.
        assert_eq!(assigned(&["İ", "i\u{307}"], &["İ"]), [Some(0), None]);
        assert_eq!(assigned(&["i\u{307}", "İ"], &["İ"]), [None, Some(0)]);
        let own = SQLSERVER.naming.distinct("i\u{307}");
        assert_eq!(
            assigned(&["i\u{307}", "İ"], &["x", &own, "İ"]),
            [Some(1), Some(2)]
        );
        assert_eq!(assigned(&["A", "a"], &["a"]), [None, Some(0)]);
    }
}
