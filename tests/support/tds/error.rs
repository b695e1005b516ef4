//! The errors of a real server: number, class and wording.

/// An error, or (class 10 and below) a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub number: i32,
    pub class: u8,
    pub state: u8,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, SqlError>;

impl SqlError {
    pub fn new(number: i32, class: u8, message: impl Into<String>) -> Self {
        SqlError {
            number,
            class,
            state: 1,
            message: message.into(),
        }
    }

    pub fn syntax_near(what: &str) -> Self {
        Self::new(102, 15, format!("Incorrect syntax near '{what}'."))
    }

    pub fn syntax_near_keyword(what: &str) -> Self {
        Self::new(
            156,
            15,
            format!("Incorrect syntax near the keyword '{what}'."),
        )
    }

    pub fn no_such_column(name: &str) -> Self {
        Self::new(207, 16, format!("Invalid column name '{name}'."))
    }

    pub fn no_such_object(name: &str) -> Self {
        Self::new(208, 16, format!("Invalid object name '{name}'."))
    }

    pub fn no_such_function(name: &str) -> Self {
        Self::new(
            195,
            15,
            format!("'{name}' is not a recognized built-in function name."),
        )
    }

    /// What this server can't do although a real one could: never to be taken for a real server's refusal.
    pub fn beyond_this_server(what: &str) -> Self {
        Self::new(
            99_999,
            16,
            format!("The TDS test server does not know {what}."),
        )
    }

    /// Whether the whole batch ends and its transaction is undone, also without XACT_ABORT.
    pub fn aborts_batch(&self) -> bool {
        // Conversions, deadlock victim, time conversions.
        matches!(self.number, 245 | 8114 | 241 | 242 | 235 | 1205) || self.class >= 17
    }

    /// Whether the batch ends, the transaction staying as it is.
    pub fn ends_batch(&self) -> bool {
        matches!(
            self.number,
            207 | 208 | 102 | 156 | 195 | 2812 | 99_999 | 137 | 911
        )
    }
}

/// What SQLite's refusals and the hooks of tests become.
impl SqlError {
    /// The error of this number, as a real server words it, for tests that ask for it.
    pub fn asked_for(number: i32) -> Self {
        let (class, message) = match number {
            1205 => (
                13,
                "Transaction (Process ID 52) was deadlocked on lock resources with another process and has been chosen as the deadlock victim. Rerun the transaction.",
            ),
            1222 => (16, "Lock request time out period exceeded."),
            2627 => (
                14,
                "Violation of PRIMARY KEY constraint 'PK__contacts'. Cannot insert duplicate key in object 'dbo.contacts'. The duplicate key value is (x).",
            ),
            3906 => (
                16,
                "Failed to update database \"dbsync_test\" because the database is read-only.",
            ),
            1105 => (
                17,
                "Could not allocate space for object 'dbo.contacts' in database 'dbsync_test' because the 'PRIMARY' filegroup is full. Create disk space by deleting unneeded files, dropping objects in the filegroup, adding additional files to the filegroup, or setting autogrowth on for existing files in the filegroup.",
            ),
            9002 => (
                17,
                "The transaction log for database 'dbsync_test' is full due to 'LOG_BACKUP'.",
            ),
            701 => (
                17,
                "There is insufficient system memory in resource pool 'default' to run this query.",
            ),
            40197 => (
                17,
                "The service has encountered an error processing your request. Please try again. Error code 4815.",
            ),
            40501 => (
                17,
                "The service is currently busy. Retry the request after 10 seconds. Code: 11.",
            ),
            40613 => (
                17,
                "Database 'dbsync_test' on server 'tdstest' is not currently available. Please retry the connection later.",
            ),
            6005 => (20, "SHUTDOWN is in progress."),
            596 => (
                21,
                "Cannot continue the execution because the session is in the kill state.",
            ),
            983 => (
                14,
                "Unable to access availability database 'dbsync_test' because the database replica is not in the PRIMARY or SECONDARY role.",
            ),
            976 => (
                14,
                "The target database, 'dbsync_test', is participating in an availability group and is currently not accessible for queries.",
            ),
            229 => (
                14,
                "The INSERT permission was denied on the object 'contacts', database 'dbsync_test', schema 'dbo'.",
            ),
            _ => (16, "An error that a test has asked for."),
        };
        Self::new(number, class, message)
    }

    /// A real server closes the connection.
    pub fn is_fatal(&self) -> bool {
        self.class >= 20
    }

    /// The client does not want the answer any more; never sent.
    pub fn interrupted() -> Self {
        Self::new(Self::INTERRUPTED, 16, "")
    }

    const INTERRUPTED: i32 = -1;

    pub fn is_interruption(&self) -> bool {
        self.number == Self::INTERRUPTED
    }
}
