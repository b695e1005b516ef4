//! Making the database's tables what the schema wants: tables, columns, indexes.

use crate::destination::sql::columns::distinct;
use crate::destination::sql::dialect::MYSQL;
use crate::destination::sql::{MissingColumn, MissingIndex};
use crate::error::{Error, ErrorKind, Result};
use crate::tables::schema::{Column, TableSchema};

use super::MysqlSink;
use super::catalog::{self, RealTable};
use super::column::{Holds, Limit};
use super::failure::{self, Failure};

/// Characters of a text column that its index holds: enough for any id or time.
const INDEXED_PREFIX: usize = 40;

/// How often to look again after another instance added a column at the same time.
const ROUNDS: usize = 5;

/// Creates what is missing of one table. Columns that the server refuses are added to `missing`.
pub(super) fn table(
    sink: &mut MysqlSink,
    table: &TableSchema,
    missing: &mut Vec<MissingColumn>,
) -> Result<RealTable> {
    let mut real = match read(sink, table)? {
        Some(real) => real,
        None => {
            create(sink, table)?;
            read(sink, table)?.ok_or_else(|| {
                Error::transient(format!(
                    "table {} is gone again after it was created",
                    table.name
                ))
            })?
        }
    };
    usable(sink, table, &real)?;
    let unholdable: Vec<&Column> = table
        .columns
        .iter()
        .filter(|c| refused_name(&c.name).is_some())
        .collect();
    missing.extend(unholdable.iter().map(|column| {
        missing_column(
            table,
            column,
            refused_name(&column.name).unwrap_or_default(),
        )
    }));
    for round in 0..ROUNDS {
        let wanted: Vec<New<'_>> = (table.columns.iter().zip(real.assigned(table)))
            .filter(|(column, at)| at.is_none() && !is_missing(missing, table, column))
            .map(|(wanted, _)| New {
                wanted,
                // What is not there after it was added has a name that the server takes for another's.
                column: match round {
                    0 => wanted.clone(),
                    _ => distinct(wanted, MYSQL.naming),
                },
            })
            .collect();
        if wanted.is_empty() {
            break;
        }
        add(sink, table, &wanted, missing)?;
        real = read(sink, table)?.unwrap_or(real);
    }
    for (column, at) in table.columns.iter().zip(real.assigned(table)) {
        let reason = match at {
            Some(at) if real.columns.get(at).is_some_and(|c| c.generated) => {
                "it is a generated column"
            }
            Some(_) => continue,
            None => "the server takes its name for that of another column",
        };
        if !is_missing(missing, table, column) {
            missing.push(missing_column(table, column, reason));
        }
    }
    Ok(real)
}

/// A column to be added, under its own name or another.
struct New<'a> {
    wanted: &'a Column,
    column: Column,
}

fn is_missing(missing: &[MissingColumn], table: &TableSchema, column: &Column) -> bool {
    let mut missing = missing.iter();
    missing.any(|m| m.table == table.table && m.column == column.name)
}

/// Creates the indexes of one table that was prepared, and notes that it has them.
pub(super) fn index(
    sink: &mut MysqlSink,
    table: &TableSchema,
    real: &mut RealTable,
    missing: &mut Vec<MissingIndex>,
) -> Result<()> {
    if create_indexes(sink, table, real, missing)?
        && let Some(now) = read(sink, table)?
    {
        *real = now;
    }
    Ok(())
}

fn read(sink: &mut MysqlSink, table: &TableSchema) -> Result<Option<RealTable>> {
    let found = catalog::read(&mut sink.session, &table.name);
    found.map_err(|e| {
        sink.failed(
            &format!("reading the columns of {}", table.name),
            &e,
            ErrorKind::Transient,
        )
    })
}

fn missing_column(table: &TableSchema, column: &Column, reason: &str) -> MissingColumn {
    MissingColumn {
        table: table.table,
        column: column.name.clone(),
        reason: reason.to_owned(),
    }
}

/// Names that the server would change or misread instead of refusing them.
fn refused_name(name: &str) -> Option<&'static str> {
    if name.chars().any(|c| c > '\u{ffff}') {
        Some("names of MySQL columns hold no characters beyond the Basic Multilingual Plane")
    } else if name.contains('\0') {
        Some("names of MySQL columns hold no NUL character")
    } else if name.ends_with(' ') {
        Some("names of MySQL columns do not end with a blank")
    } else {
        None
    }
}

/// Whether rows can be replaced in this table.
pub(super) fn usable(sink: &MysqlSink, table: &TableSchema, real: &RealTable) -> Result<()> {
    let key = table.table.key();
    let problem = if real.table_type.contains("VIEW") {
        "is a view".to_owned()
    } else if real.position(key).is_none() {
        format!("has no column {key}")
    } else if !real.is_unique(key) {
        format!("has no primary key on {key}")
    } else {
        for index in real.other_unique(key) {
            log::warn!(
                "table {}: rows that have another row's values in the unique index {} are refused: drop it, or make it a \
                 plain index",
                table.name,
                index.name
            );
        }
        if !real.engine.eq_ignore_ascii_case("InnoDB") {
            log::warn!(
                "table {} has the engine {}, which may know no transactions: after a crash a contact can be half \
                 written there (ALTER TABLE … ENGINE=InnoDB)",
                table.name,
                real.engine
            );
        }
        return Ok(());
    };
    Err(Error::setup(format!(
        "MySQL at {}: the table {} {problem}: another program made it (choose another table prefix with --tp)",
        sink.session.place, table.name
    )))
}

fn definition(column: &Column) -> String {
    format!(
        "{} {}",
        MYSQL.quote(&column.name),
        MYSQL.column_type(column.kind)
    )
}

/// Creates a table, with its key alone if the server refuses a column.
fn create(sink: &mut MysqlSink, table: &TableSchema) -> Result<()> {
    let mut columns: Vec<String> = table
        .columns
        .iter()
        .filter(|c| refused_name(&c.name).is_none())
        .map(definition)
        .collect();
    if let Some(key) = columns.first_mut() {
        key.push_str(" NOT NULL");
    }
    let sql = |columns: &[String]| {
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({})) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 ROW_FORMAT=DYNAMIC",
            MYSQL.quote(&table.name),
            columns.join(", "),
            MYSQL.quote(table.table.key())
        )
    };
    let mut outcome = sink.session.alter(&sql(&columns));
    if matches!(&outcome, Err(e) if failure::is_refusal(e) && failure::code(e) != 1142) {
        columns.truncate(1);
        outcome = sink.session.alter(&sql(&columns));
    }
    match outcome {
        // Another instance was faster.
        Err(e) if failure::code(&e) == 1050 => Ok(()),
        Err(e) => Err(sink.failed(
            &format!("creating table {}", table.name),
            &e,
            ErrorKind::Setup,
        )),
        Ok(_) => Ok(()),
    }
}

/// Adds columns, one by one if the server refuses them together.
fn add(
    sink: &mut MysqlSink,
    table: &TableSchema,
    columns: &[New<'_>],
    missing: &mut Vec<MissingColumn>,
) -> Result<()> {
    let alter = |columns: &[New<'_>]| {
        let added: Vec<String> = columns
            .iter()
            .map(|new| format!("ADD COLUMN {} NULL", definition(&new.column)))
            .collect();
        format!(
            "ALTER TABLE {} {}",
            MYSQL.quote(&table.name),
            added.join(", ")
        )
    };
    let doing = format!("adding columns to {}", table.name);
    let mut held = match sink.session.alter(&alter(columns)) {
        Ok(_) => return Ok(()),
        Err(e) if failure::is_held(&e) => true,
        Err(e) if !failure::is_refusal(&e) => {
            return Err(sink.failed(&doing, &e, ErrorKind::Setup));
        }
        Err(_) => false,
    };
    for new in columns {
        // One wait is enough: the others would wait for the same lock.
        let outcome = match held {
            true => None,
            false => Some(sink.session.alter(&alter(std::slice::from_ref(new)))),
        };
        let reason = match outcome {
            Some(Ok(_)) => continue,
            Some(Err(e)) if failure::code(&e) == 1060 => continue,
            Some(Err(e)) if !failure::is_held(&e) => {
                let error = sink.failed(&doing, &e, ErrorKind::Setup);
                if !failure::is_refusal(&e) {
                    return Err(error);
                }
                error.to_string()
            }
            _ => {
                held = true;
                failure::HELD.to_owned()
            }
        };
        missing.push(missing_column(table, new.wanted, &reason));
    }
    Ok(())
}

/// Creates the indexes that no other can stand in for; returns whether there were any to create. Only lost
/// connections are errors: what can't be made is added to `missing`.
fn create_indexes(
    sink: &mut MysqlSink,
    table: &TableSchema,
    real: &RealTable,
    missing: &mut Vec<MissingIndex>,
) -> Result<bool> {
    let mut any = false;
    let mut held = false;
    for wanted in table.table.indexes().iter().copied() {
        let columns: Option<Vec<String>> = wanted
            .iter()
            .map(|name| {
                let column = real.columns.get(real.position(name)?)?;
                Some(match column.holds {
                    Holds::Text {
                        limit: Limit::Bytes(_) | Limit::None,
                        ..
                    } => {
                        format!("{}({INDEXED_PREFIX})", MYSQL.quote(&column.name))
                    }
                    _ => MYSQL.quote(&column.name),
                })
            })
            .collect();
        let Some(columns) = columns.filter(|_| !real.has_index(wanted)) else {
            continue;
        };
        any = true;
        let reason = match held {
            true => failure::HELD.to_owned(),
            false => match create_index(sink, table, wanted, &columns.join(", ")) {
                Ok(()) => continue,
                Err(e) if failure::is_lost(&e) => {
                    return Err(sink.failed("adding an index", &e, ErrorKind::Setup));
                }
                Err(e) if failure::is_held(&e) => {
                    held = true;
                    failure::HELD.to_owned()
                }
                Err(e) => sink
                    .failed("adding an index", &e, ErrorKind::Setup)
                    .to_string(),
            },
        };
        missing.push(MissingIndex {
            table: table.table,
            columns: wanted,
            reason,
        });
    }
    Ok(any)
}

/// Creates one index, without blocking writers if the server can.
fn create_index(
    sink: &mut MysqlSink,
    table: &TableSchema,
    wanted: &[&str],
    columns: &str,
) -> std::result::Result<(), Failure> {
    let full = format!("{}_{}", table.name, wanted.join("_"));
    let mut outcome = Ok(());
    // The name may be that of another index.
    for suffix in ["", "_2"] {
        let name: String = full.chars().take(64 - suffix.len()).collect::<String>() + suffix;
        let sql = format!(
            "ALTER TABLE {} ADD INDEX {} ({columns})",
            MYSQL.quote(&table.name),
            MYSQL.quote(&name)
        );
        outcome = sink
            .session
            .alter(&format!("{sql}, ALGORITHM=INPLACE, LOCK=NONE"))
            .map(|_| ());
        // What a server can't do without blocking writers, a small table bears.
        if matches!(&outcome, Err(e) if matches!(failure::code(e), 1235 | 1845 | 1846)) {
            outcome = sink.session.alter(&sql).map(|_| ());
        }
        match &outcome {
            Ok(()) => {
                log::info!(
                    "added the index {name} on {}.{}",
                    table.name,
                    wanted.join(", ")
                );
                return Ok(());
            }
            Err(e) if failure::code(e) == 1061 => {}
            Err(_) => return outcome,
        }
        // Another instance was faster.
        if catalog::read(&mut sink.session, &table.name)?.is_some_and(|now| now.has_index(wanted)) {
            return Ok(());
        }
    }
    outcome
}
