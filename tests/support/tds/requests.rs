//! Requests other than batches: procedure calls, transactions, bulk loads.

use std::io::{self, ErrorKind};

use super::engine::session::{Flow, Session};
use super::error::{Result, SqlError};
use super::wire::answer::Answer;
use super::wire::message::Message;
use super::wire::tokens::command;
use super::wire::types::{self, SqlType, WireType};
use super::wire::values::{self, Value};

/// The most parameters of a call.
const MAX_PARAMETERS: usize = 2100;

/// Name (in lower case; none for a positional one), type and value.
pub type Parameter = (Option<String>, (SqlType, Value));

/// A procedure call as it came.
pub struct Call {
    procedure: String,
    parameters: Result<Vec<Parameter>>,
}

/// Reads a call. After a type that the server does not take nothing more of the call can be understood.
pub fn read_call(message: &mut Message<'_>) -> io::Result<Call> {
    let length = message.u16()?;
    let procedure = if length == u16::MAX {
        match message.u16()? {
            10 => "sp_executesql".to_owned(),
            other => format!("procedure number {other}"),
        }
    } else {
        message.utf16(usize::from(length))?
    };
    message.u16()?;
    let mut parameters = Vec::new();
    let mut refused = None;
    while refused.is_none() && !message.is_at_end()? {
        let name = message.b_varchar()?.to_lowercase();
        let status = message.u8()?;
        let number = parameters.len() + 1;
        let stream_error = |what: String| {
            SqlError::new(
                8009,
                16,
                format!(
                    "The incoming tabular data stream (TDS) remote procedure call (RPC) protocol stream is incorrect. Parameter {number} (\"{name}\"): {what}"
                ),
            )
        };
        if status & 1 != 0 {
            refused = Some(SqlError::beyond_this_server("output parameters"));
            continue;
        }
        match types::read(message)? {
            Err(token) => {
                refused = Some(stream_error(format!("Data type 0x{token:02X} is unknown.")));
            }
            Ok(kind) => match values::read(message, kind)? {
                Some(value) => {
                    let name = (!name.is_empty()).then_some(name);
                    parameters.push((name, (kind.sql, value)));
                }
                None => refused = Some(stream_error("Invalid value length.".to_owned())),
            },
        }
    }
    if parameters.len() > MAX_PARAMETERS {
        refused = Some(SqlError::new(
            8003,
            16,
            format!(
                "The incoming request has too many parameters. The server supports a maximum of {MAX_PARAMETERS} parameters. Reduce the number of parameters and resend the request."
            ),
        ));
    }
    Ok(Call {
        procedure,
        parameters: refused.map_or(Ok(parameters), Err),
    })
}

pub fn call(session: &mut Session, call: Call, answer: &mut Answer<'_>) -> Flow {
    let done = call
        .parameters
        .and_then(|parameters| session.procedure(&call.procedure, &parameters, answer));
    match done {
        Ok(_) => Flow::Next,
        Err(error) if error.is_interruption() => Flow::End,
        Err(error) => session.fail(error, 1, answer),
    }
}

/// A request to the transaction manager.
pub enum TransactionRequest {
    Begin,
    Commit { begin_another: bool },
    RollBack { begin_another: bool },
    Other(u16),
}

pub fn read_transaction_request(message: &mut Message<'_>) -> io::Result<TransactionRequest> {
    Ok(match message.u16()? {
        5 => TransactionRequest::Begin,
        kind @ (7 | 8) => {
            message.b_varchar()?;
            let begin_another = !message.is_at_end()? && message.u8()? & 1 != 0;
            if kind == 7 {
                TransactionRequest::Commit { begin_another }
            } else {
                TransactionRequest::RollBack { begin_another }
            }
        }
        other => TransactionRequest::Other(other),
    })
}

pub fn transaction(
    session: &mut Session,
    request: TransactionRequest,
    answer: &mut Answer<'_>,
) -> Flow {
    let done = match request {
        TransactionRequest::Begin => session.begin(answer),
        TransactionRequest::Commit { begin_another } => session.commit(answer).and_then(|()| {
            if begin_another {
                session.begin(answer)
            } else {
                Ok(())
            }
        }),
        TransactionRequest::RollBack { begin_another } => {
            session.roll_back_asked(answer).and_then(|()| {
                if begin_another {
                    session.begin(answer)
                } else {
                    Ok(())
                }
            })
        }
        TransactionRequest::Other(number) => Err(SqlError::beyond_this_server(&format!(
            "transaction request {number}"
        ))),
    };
    match done {
        Ok(()) => {
            answer.done(command::OTHER, None, false);
            Flow::Next
        }
        Err(error) => session.fail(error, 1, answer),
    }
}

/// What has become of a bulk load: rows, or the error.
pub type Loaded = Result<u64>;

/// Reads a bulk load into the table that INSERT BULK has named. `None` where a test wants the connection to break.
pub fn bulk_load(session: &mut Session, mut message: Message<'_>) -> io::Result<Option<Loaded>> {
    let Some(bulk) = session.bulk.take() else {
        message.finish()?;
        return Ok(Some(Err(SqlError::new(
            4022,
            16,
            "Bulk load data was expected but not sent. The batch will be terminated.",
        ))));
    };
    let kinds = match read_columns(&mut message)? {
        Ok(kinds) => kinds,
        Err(error) => {
            message.finish()?;
            return Ok(Some(Err(error)));
        }
    };
    let declared = bulk.columns.iter().map(|(column, _)| column.kind);
    if kinds.len() != bulk.columns.len() {
        message.finish()?;
        return Ok(Some(Err(SqlError::new(
            4804,
            21,
            "While reading current row from host, a premature end-of-message was encountered.",
        ))));
    }
    for (at, (sent, column)) in (1..).zip(kinds.iter().zip(declared)) {
        if !same_family(sent.sql, column) {
            message.finish()?;
            return Ok(Some(Err(SqlError::new(
                4816,
                16,
                format!("Invalid column type from bcp client for colid {at}."),
            ))));
        }
    }
    let controls = std::sync::Arc::clone(&session.controls);
    let mut broken = None;
    let mut breaks = false;
    let mut rows = 0;
    let sql_kinds: Vec<SqlType> = kinds.iter().map(|kind| kind.sql).collect();
    let mut next = || {
        rows += 1;
        if controls.breaks_here(rows) {
            breaks = true;
            return Err(SqlError::interrupted());
        }
        match read_row(&mut message, &kinds) {
            Ok(Ok(None)) => match message.finish() {
                Ok(true) => Ok(None),
                // The client has thought better of it.
                Ok(false) => Err(SqlError::interrupted()),
                Err(error) => {
                    broken = Some(error);
                    Err(SqlError::interrupted())
                }
            },
            Ok(row) => row,
            Err(error) => {
                broken = Some(error);
                Err(SqlError::interrupted())
            }
        }
    };
    let loaded = session.bulk_load(&bulk, &sql_kinds, &mut Answer::detached(), &mut next);
    if let Some(error) = broken {
        return Err(error);
    }
    if breaks {
        return Ok(None);
    }
    message.finish()?;
    Ok(Some(loaded))
}

const COLUMNS: u8 = 0x81;
const ROW: u8 = 0xd1;
const ROW_WITH_NULLS: u8 = 0xd2;
const DONE: u8 = 0xfd;

fn read_columns(message: &mut Message<'_>) -> io::Result<Result<Vec<WireType>>> {
    if message.u8()? != COLUMNS {
        return Err(io::Error::new(
            ErrorKind::InvalidData,
            "a bulk load that does not begin with its columns",
        ));
    }
    let count = message.u16()?;
    let mut kinds = Vec::new();
    for at in 1..=count {
        message.u32()?;
        message.u16()?;
        let kind = match types::read(message)? {
            Ok(kind) => kind,
            Err(_) => {
                return Ok(Err(SqlError::new(
                    4816,
                    16,
                    format!("Invalid column type from bcp client for colid {at}."),
                )));
            }
        };
        if matches!(kind.sql, SqlType::Text | SqlType::NText) {
            let name = message.u16()?;
            message.utf16(usize::from(name))?;
        }
        message.b_varchar()?;
        kinds.push(kind);
    }
    Ok(Ok(kinds))
}

fn read_row(
    message: &mut Message<'_>,
    kinds: &[WireType],
) -> io::Result<Result<Option<Vec<Value>>>> {
    if message.is_at_end()? {
        return Ok(Ok(None));
    }
    let nulls = match message.u8()? {
        ROW => Vec::new(),
        ROW_WITH_NULLS => message.bytes(kinds.len().div_ceil(8))?,
        DONE => {
            message.bytes(12)?;
            return Ok(Ok(None));
        }
        other => {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                format!("token {other:#x} in a bulk load"),
            ));
        }
    };
    let mut row = Vec::with_capacity(kinds.len());
    for (at, kind) in kinds.iter().enumerate() {
        if nulls
            .get(at / 8)
            .is_some_and(|bits| bits >> (at % 8) & 1 != 0)
        {
            row.push(Value::Null);
            continue;
        }
        match values::read(message, *kind)? {
            Some(value) => row.push(value),
            None => {
                return Ok(Err(SqlError::new(
                    4815,
                    16,
                    format!(
                        "Received an invalid column length from the bcp client for colid {}.",
                        at + 1
                    ),
                )));
            }
        }
    }
    Ok(Ok(Some(row)))
}

/// Whether values of a bulk load may be of this type: the server converts lengths, but nothing else.
fn same_family(sent: SqlType, column: SqlType) -> bool {
    if sent.is_text() && column.is_text() {
        return sent.is_unicode() == column.is_unicode();
    }
    if sent.is_exact_decimal() && column.is_exact_decimal() {
        return true;
    }
    sent == column
        || matches!(
            (sent, column),
            (SqlType::Varbinary(_), SqlType::Varbinary(_))
                | (SqlType::DateTime2(_), SqlType::DateTime2(_))
        )
}
