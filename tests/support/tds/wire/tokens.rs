//! The tokens of a response.

use super::types::SqlType;
use super::values::{self, Value};

/// A column of a result.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultColumn {
    pub name: String,
    pub kind: SqlType,
    pub nullable: bool,
    /// The table that it is a column of; `None` for an expression.
    pub table: Option<String>,
}

// What a DONE says.
pub const MORE: u16 = 1;
pub const ERROR: u16 = 2;
pub const COUNT: u16 = 0x10;
pub const ATTENTION: u16 = 0x20;

/// Which of the three DONE tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Batch = 0xfd,
    Procedure = 0xfe,
    InProcedure = 0xff,
}

/// What a DONE says it was that is done; clients look at few of them.
pub mod command {
    pub const SELECT: u16 = 0xc1;
    pub const INSERT: u16 = 0xc3;
    pub const DELETE: u16 = 0xc4;
    pub const UPDATE: u16 = 0xc5;
    pub const BULK: u16 = 0xf0;
    pub const OTHER: u16 = 0xfd;
}

pub fn done(out: &mut Vec<u8>, token: Done, status: u16, command: u16, rows: u64) {
    out.push(token as u8);
    out.extend(status.to_le_bytes());
    out.extend(command.to_le_bytes());
    out.extend(rows.to_le_bytes());
}

pub fn return_status(out: &mut Vec<u8>, status: i32) {
    out.push(0x79);
    out.extend(status.to_le_bytes());
}

/// A message with a number, as errors and informational messages are.
#[derive(Debug, Clone)]
pub struct Notice<'a> {
    pub number: i32,
    pub state: u8,
    pub class: u8,
    pub message: &'a str,
    pub server: &'a str,
    pub line: u32,
}

/// ERROR from class 11 on, INFO below.
pub fn notice(out: &mut Vec<u8>, notice: &Notice<'_>) {
    let mut body = notice.number.to_le_bytes().to_vec();
    body.extend([notice.state, notice.class]);
    us_varchar(&mut body, notice.message);
    b_varchar(&mut body, notice.server);
    b_varchar(&mut body, "");
    body.extend(notice.line.to_le_bytes());
    with_length(out, if notice.class > 10 { 0xaa } else { 0xab }, &body);
}

pub fn login_acknowledgement(out: &mut Vec<u8>, tds_version: u32, version: [u8; 4]) {
    let mut body = vec![1];
    body.extend(tds_version.to_be_bytes());
    b_varchar(&mut body, "Microsoft SQL Server");
    body.extend(version);
    with_length(out, 0xad, &body);
}

/// What has changed about the session.
pub enum Change<'a> {
    Database { new: &'a str, old: &'a str },
    PacketSize { new: usize, old: usize },
    Collation,
    Began(u64),
    Committed(u64),
    RolledBack(u64),
}

pub fn change(out: &mut Vec<u8>, change: &Change<'_>) {
    let mut body = Vec::new();
    match change {
        Change::Database { new, old } => {
            body.push(1);
            b_varchar(&mut body, new);
            b_varchar(&mut body, old);
        }
        Change::PacketSize { new, old } => {
            body.push(4);
            b_varchar(&mut body, &new.to_string());
            b_varchar(&mut body, &old.to_string());
        }
        Change::Collation => body.extend([7, 5, 0x09, 0x04, 0xd0, 0x00, 0x34, 0]),
        Change::Began(transaction) => {
            body.extend([8, 8]);
            body.extend(transaction.to_le_bytes());
            body.push(0);
        }
        Change::Committed(transaction) => {
            body.extend([9, 0, 8]);
            body.extend(transaction.to_le_bytes());
        }
        Change::RolledBack(transaction) => {
            body.extend([10, 0, 8]);
            body.extend(transaction.to_le_bytes());
        }
    }
    with_length(out, 0xe3, &body);
}

pub fn columns(out: &mut Vec<u8>, columns: &[ResultColumn]) {
    out.push(0x81);
    out.extend(
        u16::try_from(columns.len())
            .expect("few columns")
            .to_le_bytes(),
    );
    for column in columns {
        out.extend([0; 4]);
        let nullable = u16::from(column.nullable);
        // A column of a table may be written to ("unknown"), an expression is computed.
        let flags = nullable | if column.table.is_some() { 0x08 } else { 0x20 };
        out.extend(flags.to_le_bytes());
        column.kind.write(column.nullable, out);
        if matches!(column.kind, SqlType::Text | SqlType::NText) {
            let table = column.table.as_deref().unwrap_or("");
            out.push(1);
            us_varchar(out, table);
        }
        b_varchar(out, &column.name);
    }
}

pub fn row(out: &mut Vec<u8>, columns: &[ResultColumn], row: &[Value]) {
    let nulls = row.iter().filter(|value| **value == Value::Null).count();
    // As a real server does: rows with many NULLs are sent with a map of them.
    if nulls > 3 {
        out.push(0xd2);
        for eight in row.chunks(8) {
            let bits = eight.iter().enumerate().fold(0_u8, |bits, (at, value)| {
                bits | u8::from(*value == Value::Null) << at
            });
            out.push(bits);
        }
    } else {
        out.push(0xd1);
    }
    for (column, value) in columns.iter().zip(row) {
        if nulls > 3 && *value == Value::Null {
            continue;
        }
        values::write(value, column.kind, column.nullable, out);
    }
}

fn with_length(out: &mut Vec<u8>, token: u8, body: &[u8]) {
    out.push(token);
    out.extend(u16::try_from(body.len()).expect("short").to_le_bytes());
    out.extend(body);
}

fn us_varchar(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().collect();
    out.extend(u16::try_from(units.len()).expect("short").to_le_bytes());
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}

fn b_varchar(out: &mut Vec<u8>, text: &str) {
    let units: Vec<u16> = text.encode_utf16().collect();
    out.push(u8::try_from(units.len()).expect("short"));
    out.extend(units.into_iter().flat_map(u16::to_le_bytes));
}
