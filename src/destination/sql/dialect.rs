//! What differs between the databases as data: quoting, types, limits of names.

use crate::tables::fields::{NameUnit, Naming};
use crate::tables::schema::ColumnKind;

/// One database's SQL, as far as it differs from the others'.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// Rules for column names.
    pub naming: Naming,
    /// Opening and closing quote of an identifier; a closing quote inside is doubled.
    pub quotes: (char, char),
    /// Types of new columns.
    pub types: Types,
}

/// Types of new columns per kind.
#[derive(Debug, Clone, Copy)]
pub struct Types {
    /// For [`ColumnKind::Key`].
    pub key: &'static str,
    /// For [`ColumnKind::Time`].
    pub time: &'static str,
    /// For [`ColumnKind::Text`].
    pub text: &'static str,
    /// For [`ColumnKind::Number`].
    pub number: &'static str,
    /// For [`ColumnKind::Bool`].
    pub bool: &'static str,
}

impl Dialect {
    /// A quoted identifier.
    pub fn quote(&self, name: &str) -> String {
        let (open, close) = self.quotes;
        let mut quoted = String::with_capacity(name.len() + 2);
        quoted.push(open);
        for c in name.chars() {
            if c == close {
                quoted.push(close);
            }
            quoted.push(c);
        }
        quoted.push(close);
        quoted
    }

    /// The type of a new column.
    pub fn column_type(&self, kind: ColumnKind) -> &'static str {
        match kind {
            ColumnKind::Key => self.types.key,
            ColumnKind::Time => self.types.time,
            ColumnKind::Text => self.types.text,
            ColumnKind::Number => self.types.number,
            ColumnKind::Bool => self.types.bool,
        }
    }
}

/// PostgreSQL: names fold only when unquoted, which ours never are; 63 bytes.
pub const POSTGRES: Dialect = Dialect {
    naming: Naming {
        longest: 63,
        unit: NameUnit::Bytes,
        ignores_case: false,
    },
    quotes: ('"', '"'),
    types: Types {
        key: "varchar(100)",
        time: "varchar(100)",
        text: "text",
        number: "numeric",
        bool: "boolean",
    },
};

/// MySQL and MariaDB: column names ignore case; 64 characters. Keys compare by code point, so that ids that
/// differ in case stay two contacts. DECIMAL(65,30) is the widest exact number they have.
pub const MYSQL: Dialect = Dialect {
    naming: Naming {
        longest: 64,
        unit: NameUnit::BmpCharacters,
        ignores_case: true,
    },
    quotes: ('`', '`'),
    types: Types {
        key: "varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
        time: "varchar(100)",
        text: "longtext",
        number: "decimal(65,30)",
        bool: "boolean",
    },
};

/// SQL Server: column names ignore case; 128 UTF-16 units, so that characters of two units are left out of names. Its
/// numbers have at most 38 digits; 10 of them behind the point is where a column begins (see [`super::sqlserver`]).
pub const SQLSERVER: Dialect = Dialect {
    naming: Naming {
        longest: 128,
        unit: NameUnit::BmpCharacters,
        ignores_case: true,
    },
    quotes: ('[', ']'),
    types: Types {
        key: "nvarchar(100)",
        time: "nvarchar(100)",
        text: "nvarchar(max)",
        number: "decimal(38,10)",
        bool: "bit",
    },
};

/// SQLite: column names ignore case, ASCII only. A number column has no declared type, hence no affinity:
/// NUMERIC would turn numbers of more than 15 digits into rounded floats.
#[cfg(feature = "sqlite")]
pub const SQLITE: Dialect = Dialect {
    naming: Naming {
        longest: 1000,
        unit: NameUnit::Bytes,
        ignores_case: true,
    },
    quotes: ('"', '"'),
    types: Types {
        key: "TEXT",
        time: "TEXT",
        text: "TEXT",
        number: "",
        bool: "BOOLEAN",
    },
};
