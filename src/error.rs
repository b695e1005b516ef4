//! The one error type, and the one place that decides what each kind of error leads to.

use std::fmt;

use crate::text;

/// Characters of [`Error::detail`]: the reject file is bounded, and so are its lines.
const MAX_DETAIL_CHARS: usize = 10_000;

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

/// Exit code of a process that ended with something missing, as its closing line says.
pub const EXIT_INCOMPLETE: u8 = 5;

/// An error with its context: `what was tried: on what: why (what to do)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    detail: Option<String>,
    is_of_row: bool,
}

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `kind`; `message` is a plain English sentence for the admin, without secrets and without values of
    /// rows. Texts from outside that it quotes have passed through [`text::foreign`].
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Error {
            kind,
            message: text::line(message.as_ref()).into_owned(),
            detail: None,
            is_of_row: false,
        }
    }

    /// The same error with the whole text of the server, which may hold values of the row: see [`Error::detail`].
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        self.detail = Some(text::beginning(detail, MAX_DETAIL_CHARS).into_owned());
        self
    }

    /// A wrong command line or environment.
    pub fn usage(message: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Passing trouble.
    pub fn transient(message: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// Something that the admin has to mend.
    pub fn setup(message: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Setup, message)
    }

    /// Data that the database refused.
    pub fn data(message: impl AsRef<str>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// The order to end.
    pub fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "stopped by a signal")
    }

    /// Data that can't be stored for what this row holds, as we found out ourselves: no code of a server says so, as
    /// triggers fail with the same codes for all rows.
    pub fn of_row(message: impl AsRef<str>) -> Self {
        Self::data(message).because_of_row()
    }

    /// The same error, which is one of this row alone if it is one of the data: the values are those of another row where
    /// that must not be.
    #[must_use]
    pub fn because_of_row(mut self) -> Self {
        self.is_of_row = self.kind == ErrorKind::Data;
        self
    }

    /// Whether no other row is refused for this: see [`Error::of_row`].
    pub fn is_of_row(&self) -> bool {
        self.is_of_row
    }

    /// What this error leads to.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The sentence for log, terminal and status file.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the server said in full where it can hold values of the row that it refused: for the reject file, and for
    /// nothing else.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The same error with `context: ` before its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = text::line(&format!("{context}: {}", self.message)).into_owned();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_bounded_line_and_a_detail_is_only_bounded() {
        let error = Error::data("refused\u{1b}[2J\nforged\n")
            .context("writing \u{202e}")
            .with_detail(&"x\n".repeat(MAX_DETAIL_CHARS));
        assert_eq!(
            error.to_string(),
            "writing \\u{202e}: refused\\u{1b}[2J forged"
        );
        let detail = error.detail().unwrap_or_default();
        assert_eq!(detail.chars().count(), MAX_DETAIL_CHARS);
        assert!(detail.starts_with("x\nx\n"));
        let long = Error::setup("ä".repeat(20_000_000));
        assert_eq!(long.message().chars().count(), text::MAX_LINE_CHARS);
    }

    #[test]
    fn an_error_never_shows_its_detail() {
        let error = Error::data("refused (45000)").with_detail("number +4989123");
        assert!(!error.to_string().contains("4989"));
        assert!(!error.context("writing").message().contains("4989"));
    }
}
