//! The answer to one request: tokens, sent while they are made.

use super::super::error::SqlError;
use super::super::options::SERVER_NAME;
use super::message::Response;
use super::tokens::{self, Change, Done, Notice, ResultColumn};
use super::transport::Transport;
use super::values::Value;

/// A DONE that waits to know whether it is the last one.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    status: u16,
    command: u16,
    rows: u64,
}

/// What an answer to nobody holds: the last result and all errors.
#[derive(Debug, Default)]
pub struct Recorded {
    pub columns: Vec<ResultColumn>,
    pub rows: Vec<Vec<Value>>,
    pub errors: Vec<SqlError>,
}

pub struct Answer<'a> {
    /// `None` where the server asks itself.
    transport: Option<&'a mut Transport>,
    recorded: Recorded,
    response: Response,
    waiting: Option<Waiting>,
    /// The request was a call of a procedure.
    procedure: bool,
    failed: Option<std::io::Error>,
    interrupted: bool,
}

impl<'a> Answer<'a> {
    pub fn new(transport: &'a mut Transport, packet_size: usize, procedure: bool) -> Self {
        Answer {
            transport: Some(transport),
            recorded: Recorded::default(),
            response: Response::new(packet_size),
            waiting: None,
            procedure,
            failed: None,
            interrupted: false,
        }
    }

    /// An answer to nobody, to be looked at.
    pub fn detached() -> Self {
        Answer {
            transport: None,
            recorded: Recorded::default(),
            response: Response::new(4096),
            waiting: None,
            procedure: false,
            failed: None,
            interrupted: false,
        }
    }

    pub fn into_recorded(self) -> Recorded {
        self.recorded
    }

    /// Whether the client wants no more of it, or has gone.
    pub fn is_interrupted(&mut self) -> bool {
        let signalled = self
            .transport
            .as_ref()
            .is_some_and(|transport| transport.is_interrupted());
        self.interrupted = self.interrupted || self.failed.is_some() || signalled;
        self.interrupted
    }

    /// An error, or a message without consequences.
    pub fn message(&mut self, error: &SqlError, line: u32) {
        let notice = Notice {
            number: error.number,
            state: error.state,
            class: error.class,
            message: &error.message,
            server: SERVER_NAME,
            line,
        };
        if error.class > 10 && self.transport.is_none() {
            self.recorded.errors.push(error.clone());
        }
        self.put(|out| tokens::notice(out, &notice));
    }

    pub fn change(&mut self, change: &Change<'_>) {
        self.put(|out| tokens::change(out, change));
    }

    pub fn columns(&mut self, columns: &[ResultColumn]) {
        if self.transport.is_none() {
            self.recorded.columns = columns.to_vec();
            self.recorded.rows.clear();
        }
        self.put(|out| tokens::columns(out, columns));
    }

    pub fn row(&mut self, columns: &[ResultColumn], row: &[Value]) {
        let Some(transport) = self.transport.as_deref_mut() else {
            self.recorded.rows.push(row.to_vec());
            return;
        };
        tokens::row(self.response.buffer(), columns, row);
        if self.failed.is_none()
            && let Err(error) = self.response.send_full_packets(transport)
        {
            self.failed = Some(error);
        }
    }

    /// The end of a statement. `rows` only where they are to be counted.
    pub fn done(&mut self, command: u16, rows: Option<u64>, error: bool) {
        self.release(tokens::MORE);
        let mut status = if error { tokens::ERROR } else { 0 };
        if rows.is_some() {
            status |= tokens::COUNT;
        }
        self.waiting = Some(Waiting {
            status,
            command,
            rows: rows.unwrap_or(0),
        });
    }

    pub fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.release(tokens::MORE);
        write(self.response.buffer());
    }

    fn release(&mut self, more: u16) {
        if let Some(done) = self.waiting.take() {
            let token = if self.procedure {
                Done::InProcedure
            } else {
                Done::Batch
            };
            tokens::done(
                self.response.buffer(),
                token,
                done.status | more,
                done.command,
                done.rows,
            );
        }
    }

    /// Ends the answer.
    pub fn finish(mut self) -> std::io::Result<()> {
        if self.procedure {
            self.put(|out| {
                tokens::return_status(out, 0);
                tokens::done(out, Done::Procedure, 0, 0xe0, 0);
            });
        } else if self.waiting.is_none() {
            self.done(tokens::command::OTHER, None, false);
        }
        self.release(0);
        self.send()
    }

    fn send(self) -> std::io::Result<()> {
        match (self.transport, self.failed) {
            (_, Some(error)) => Err(error),
            (Some(transport), None) => self.response.finish(transport),
            (None, None) => Ok(()),
        }
    }

    /// Whether the answer was given up because of what has come from the client.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// What is not sent yet, to be ended by [`finish_after_attention`].
    pub fn into_response(mut self) -> Response {
        self.release(tokens::MORE);
        self.response
    }
}

/// Ends the answer to a request that the client does not want any more.
pub fn finish_after_attention(
    mut response: Response,
    transport: &mut Transport,
) -> std::io::Result<()> {
    tokens::done(
        response.buffer(),
        Done::Batch,
        tokens::ATTENTION,
        tokens::command::OTHER,
        0,
    );
    response.finish(transport)
}
