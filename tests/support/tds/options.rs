//! What kind of server a test wants.

use std::time::Duration;

use super::wire::prelogin::Encryption;

/// The server's name in its messages.
pub const SERVER_NAME: &str = "TDSTEST";

/// Which release it passes itself off as. All of them take the language of 2008 only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    V2008R2,
    V2016,
    V2019,
}

impl Version {
    /// Major, minor, build.
    pub fn numbers(self) -> [u8; 4] {
        let (major, minor, build): (u8, u8, u16) = match self {
            Version::V2008R2 => (10, 50, 1600),
            Version::V2016 => (13, 0, 1601),
            Version::V2019 => (15, 0, 2000),
        };
        let [high, low] = build.to_be_bytes();
        [major, minor, high, low]
    }

    pub fn product_version(self) -> String {
        let [major, minor, high, low] = self.numbers();
        format!("{major}.{minor:02}.{}.5", u16::from_be_bytes([high, low])).replace(".00.", ".0.")
    }

    pub fn banner(self) -> String {
        let year = match self {
            Version::V2008R2 => "2008 R2",
            Version::V2016 => "2016",
            Version::V2019 => "2019",
        };
        format!(
            "Microsoft SQL Server {year} (RTM) - {} (TDS test server)",
            self.product_version()
        )
    }

    /// The newest protocol that it speaks.
    pub fn tds(self) -> u32 {
        match self {
            Version::V2008R2 => 0x730b_0003,
            _ => 0x7400_0004,
        }
    }

    /// Error 2628 instead of 8152.
    pub fn explains_truncation(self) -> bool {
        self >= Version::V2019
    }

    /// The longest key of an index, in bytes.
    pub fn longest_key(self, clustered: bool) -> usize {
        if clustered || self < Version::V2016 {
            900
        } else {
            1700
        }
    }
}

/// What a user may do; everybody may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    pub write: bool,
    pub create_table: bool,
    pub alter: bool,
}

impl Rights {
    pub const fn all() -> Self {
        Rights {
            write: true,
            create_table: true,
            alter: true,
        }
    }

    pub const fn read_only() -> Self {
        Rights {
            write: false,
            create_table: false,
            alter: false,
        }
    }
}

#[derive(Debug, Clone)]
pub struct User {
    pub name: String,
    pub password: String,
    pub rights: Rights,
}

/// What kind of server a test wants; [`Options::default`] is an ordinary one.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: Version,
    pub encryption: Encryption,
    /// The certificate: `server` or `wrong-host` of DBSYNC_TEST_CERTIFICATES, or a path without `.pem` and `.key`.
    pub certificate: &'static str,
    pub users: Vec<User>,
    pub databases: Vec<String>,
    /// ALTER DATABASE … SET READ_ONLY
    pub read_only: bool,
    /// The name by which the SQL Server Browser knows it. With one there is a Browser, on a UDP port of its own.
    pub instance: Option<String>,
    /// Not SQL Server itself but a system that is compatible with it, as far as such are known: it shortens long names in
    /// `sys.columns` and writes all in lower case, answers 0 where privileges on what is not there are asked for, is out of
    /// step after a failed bulk load, numbers indexes otherwise in `sys.index_columns` than in `sys.indexes`, names a collation that it
    /// does not take, and refuses NULL and NOT NULL in ALTER COLUMN.
    pub compatible: bool,
    /// What clients get that ask for another packet size.
    pub largest_packet: usize,
    /// How long a log-in takes.
    pub login_delay: Duration,
    /// How many messages of 1,000 characters greet whoever has logged in: as a hostile server may.
    pub greetings: usize,
}

/// The user that is used if a test names none, and its password: every character that means something in a URL.
pub const USER: &str = "dbsync";
pub const PASSWORD: &str = "p@ss:w/rd?#%";
/// The database that is used if a test names none.
pub const DATABASE: &str = "dbsync_test";

impl Default for Options {
    fn default() -> Self {
        Options {
            version: Version::V2019,
            encryption: Encryption::Offered,
            certificate: "server",
            users: vec![User {
                name: USER.to_owned(),
                password: PASSWORD.to_owned(),
                rights: Rights::all(),
            }],
            databases: vec![DATABASE.to_owned(), "master".to_owned()],
            read_only: false,
            instance: None,
            compatible: false,
            largest_packet: 32_767,
            login_delay: Duration::ZERO,
            greetings: 0,
        }
    }
}
