//! The one error type, and the one place that decides what each kind of error leads to.

use std::fmt;

/// What an error leads to. Everything that can go wrong is one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or the environment is wrong: nothing was touched, exit code 2.
    Usage,
    /// Dialfire answered 401 or 403. Ends the program at start (exit code 3); later it is waited out.
    Refused,
    /// Another process holds the lock of this campaign and target: exit code 4.
    Locked,
    /// Passing trouble (connection lost, time-out, 5xx, deadlock): tried again after a wait.
    Transient,
    /// The database refused the data itself: the batch is split until the refused row is alone, which is set aside.
    Data,
    /// Something that the admin has to mend (unknown database, missing privilege, unknown campaign).
    /// Ends the program at start (exit code 1); later it is waited out.
    Setup,
    /// The program was told to end: no error, exit code 0.
    Stopped,
}

/// An error with its context: `what was tried: on what: why (what to do)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` is a plain English sentence for the admin, without secrets.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
        }
    }

    /// A wrong command line or environment.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Passing trouble.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// Something that the admin has to mend.
    pub fn setup(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Setup, message)
    }

    /// Data that the database refused.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// The order to end.
    pub fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "told to stop")
    }

    /// What this error leads to.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message);
        self
    }

    /// The exit code of a process that ends with this error.
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Stopped => 0,
            ErrorKind::Transient | ErrorKind::Data | ErrorKind::Setup => 1,
            ErrorKind::Usage => 2,
            ErrorKind::Refused => 3,
            ErrorKind::Locked => 4,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
