//! What SQLite calls back: conversions and checks of values on their way into a column.

use std::sync::{Arc, Mutex};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value as Stored, ValueRef};
use rusqlite::{Connection, Error};

use super::super::error::{Result, SqlError};
use super::super::wire::types::SqlType;
use super::super::wire::values::Value;
use super::{collation, convert, decimals, scalar};

/// A column that a statement writes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `database.schema.table`
    pub table: String,
    pub column: String,
    pub kind: SqlType,
    pub nullable: bool,
    /// Name and longest key in bytes of an index that the column is in.
    pub key: Option<(String, usize)>,
    /// Whether the message on a text too long names column and value (SQL Server 2019 and later).
    pub explains_truncation: bool,
    pub is_update: bool,
    /// What the row takes beside its values; set for the first column that a statement writes to.
    pub row_overhead: Option<usize>,
}

/// The most that a row may take in its page.
const MAX_ROW: usize = 8060;

/// What a value leaves behind in the row when it moves to a page of its own.
const POINTER: usize = 24;

/// The size of a row, value by value.
#[derive(Debug, Default)]
pub struct RowSize(usize);

impl RowSize {
    /// Error 511 where the row is too long though all its long values have moved out.
    pub fn add(&mut self, value: &Value, target: &Target) -> Result<()> {
        // What an UPDATE leaves as it is in the row is not known here.
        if target.is_update {
            return Ok(());
        }
        if let Some(overhead) = target.row_overhead {
            self.0 = overhead;
        }
        let length =
            |units: usize| (units * if target.kind.is_unicode() { 2 } else { 1 }).min(POINTER);
        self.0 += match value {
            _ if target.kind.is_fixed() => usize::try_from(target.kind.max_length()).unwrap_or(0),
            Value::Null => 0,
            Value::Text(text) => length(convert::units(text)),
            Value::Bytes(bytes) => length(bytes.len()),
            Value::Int(_) | Value::Float(_) => POINTER,
        };
        if self.0 > MAX_ROW {
            return Err(SqlError::new(
                511,
                16,
                format!(
                    "Cannot create a row of size {} which is greater than the allowable maximum row size of {MAX_ROW}.",
                    self.0
                ),
            ));
        }
        Ok(())
    }
}

/// What the functions share with the session that renders the calls.
#[derive(Debug, Default)]
pub struct Shared {
    types: Vec<SqlType>,
    targets: Vec<Target>,
    error: Option<SqlError>,
    row: RowSize,
}

pub type SharedState = Arc<Mutex<Shared>>;

impl Shared {
    /// The number by which a call names this type.
    pub fn type_number(&mut self, kind: SqlType) -> usize {
        if let Some(known) = self.types.iter().position(|t| *t == kind) {
            return known;
        }
        self.types.push(kind);
        self.types.len() - 1
    }

    pub fn target_number(&mut self, target: Target) -> usize {
        self.targets.push(target);
        self.targets.len() - 1
    }

    /// Forgets the targets of the last statement.
    pub fn clear(&mut self) {
        self.targets.clear();
        self.error = None;
    }

    /// What a function has refused.
    pub fn take_error(&mut self) -> Option<SqlError> {
        self.error.take()
    }
}

pub fn lock(shared: &SharedState) -> std::sync::MutexGuard<'_, Shared> {
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Defines the collations and functions that rendered statements use.
pub fn register(connection: &Connection, shared: &SharedState) -> rusqlite::Result<()> {
    connection.create_collation("tsql", collation::compare)?;
    connection.create_collation("tsql_exact", collation::compare_exactly)?;
    connection.create_collation("tsql_decimal", decimals::compare)?;
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let state = Arc::clone(shared);
    // (value, number of its type, number of the wanted type, style)
    connection.create_scalar_function("tsql_convert", 4, flags, move |context| {
        let mut shared = lock(&state);
        let from = shared.types[number(context, 1)?];
        let to = shared.types[number(context, 2)?];
        let converted = convert::convert(value(context.get_raw(0)), from, to, context.get(3)?);
        shared.answer(converted)
    })?;
    let state = Arc::clone(shared);
    // (value, number of its type, number of the column)
    connection.create_scalar_function(
        "tsql_store",
        3,
        FunctionFlags::SQLITE_UTF8,
        move |context| {
            let mut shared = lock(&state);
            let from = shared.types[number(context, 1)?];
            let at = number(context, 2)?;
            let Shared { targets, row, .. } = &mut *shared;
            let stored = store(value(context.get_raw(0)), from, &targets[at])
                .and_then(|stored| row.add(&stored, &targets[at]).map(|()| stored));
            shared.answer(stored)
        },
    )?;
    let state = Arc::clone(shared);
    // (name, arguments …)
    connection.create_scalar_function("tsql_call", -1, flags, move |context| {
        let name: String = context.get(0)?;
        let result = scalar::call(&name, &arguments(context));
        lock(&state).answer(result)
    })
}

/// A number that a rendered call names a type or a column by.
fn number(context: &Context<'_>, at: usize) -> rusqlite::Result<usize> {
    context
        .get::<u32>(at)
        .map(|number| usize::try_from(number).expect("usize holds u32"))
}

fn arguments(context: &Context<'_>) -> Vec<Value> {
    (1..context.len())
        .map(|at| value(context.get_raw(at)))
        .collect()
}

impl Shared {
    fn answer(&mut self, result: Result<Value>) -> rusqlite::Result<Stored> {
        result.map(stored).map_err(|error| {
            let message = error.message.clone();
            self.error = Some(error);
            Error::UserFunctionError(message.into())
        })
    }
}

/// A value as it is written to a column.
pub fn store(value: Value, from: SqlType, target: &Target) -> Result<Value> {
    if value == Value::Null {
        if target.nullable {
            return Ok(Value::Null);
        }
        let verb = if target.is_update { "UPDATE" } else { "INSERT" };
        return Err(SqlError {
            state: 2,
            ..SqlError::new(
                515,
                16,
                format!(
                    "Cannot insert the value NULL into column '{}', table '{}'; column does not allow nulls. {verb} fails.",
                    target.column, target.table
                ),
            )
        });
    }
    let stored = match (value, target.kind.is_text()) {
        (Value::Text(text), true) if from.is_text() => {
            Value::Text(fit(convert::recode(text, target.kind), target)?)
        }
        (value, _) => convert::convert(value, from, target.kind, 0)?,
    };
    if let (Some((index, longest)), Value::Text(text)) = (&target.key, &stored) {
        let each = if target.kind.is_unicode() { 2 } else { 1 };
        let bytes = convert::units(text) * each;
        if bytes > *longest {
            return Err(SqlError::new(
                1946,
                16,
                format!(
                    "Operation failed. The index entry of length {bytes} bytes for the index '{index}' exceeds the maximum length of {longest} bytes."
                ),
            ));
        }
    }
    Ok(stored)
}

/// Refuses a text that is too long; blanks at its end may be lost.
fn fit(text: String, target: &Target) -> Result<String> {
    let Some(capacity) = target.kind.capacity() else {
        return Ok(text);
    };
    if convert::units(&text) <= capacity {
        return Ok(convert::pad(text, target.kind));
    }
    if convert::units(text.trim_end_matches(' ')) <= capacity {
        return Ok(convert::cut(text, capacity));
    }
    Err(if target.explains_truncation {
        SqlError::new(
            2628,
            16,
            format!(
                "String or binary data would be truncated in table '{}', column '{}'. Truncated value: '{}'.",
                target.table,
                target.column,
                convert::cut(text, capacity)
            ),
        )
    } else {
        SqlError::new(8152, 16, "String or binary data would be truncated.")
    })
}

pub fn value(stored: ValueRef<'_>) -> Value {
    match stored {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

pub fn stored(value: Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Int(number) => Stored::Integer(number),
        Value::Float(number) => Stored::Real(number),
        Value::Text(text) => Stored::Text(text),
        Value::Bytes(bytes) => Stored::Blob(bytes),
    }
}
