//! Functions and global variables that ask the server or the session, answered while a statement is rendered.

use super::super::error::{Result, SqlError};
use super::super::language::ast::Name;
use super::super::language::tokens::Tokens;
use super::super::options::{Rights, Version};
use super::super::wire::types::{Length, SqlType};
use super::super::wire::values::Value;
use super::catalogue::same_name;
use super::render::Renderer;

/// What is known of session and server when a statement is rendered.
#[derive(Debug, Clone)]
pub struct Facts {
    pub database: String,
    pub user: String,
    pub application: String,
    pub rights: Rights,
    pub version: Version,
    pub read_only: bool,
    pub compatible: bool,
    pub session: u16,
    pub transactions: i64,
    /// The transaction can only be rolled back.
    pub doomed: bool,
    pub rows: i64,
    pub last_error: i64,
    pub lock_timeout: i64,
    /// What a CATCH block is about.
    pub caught: Option<SqlError>,
    pub caught_line: u32,
}

const NAME: SqlType = SqlType::NVarchar(Length::Limited(128));
const LONG: SqlType = SqlType::NVarchar(Length::Limited(4000));

fn text(text: impl Into<String>) -> Result<(SqlType, Value)> {
    Ok((NAME, Value::Text(text.into())))
}

fn int(number: impl Into<i64>) -> Result<(SqlType, Value)> {
    Ok((SqlType::Int, Value::Int(number.into())))
}

const NOTHING: Result<(SqlType, Value)> = Ok((NAME, Value::Null));

/// Calls such a function; SQL Server 2012's and later ones are unknown (195).
pub fn call(renderer: &Renderer<'_>, name: &str, arguments: &[Value]) -> Result<(SqlType, Value)> {
    let facts = renderer.facts;
    let argument = |at: usize| match arguments.get(at) {
        Some(Value::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    match (name, arguments.len()) {
        ("DB_NAME", 0) => text(&facts.database),
        ("SCHEMA_NAME", 0) => text("dbo"),
        ("SCHEMA_NAME", 1) => match arguments[0] {
            Value::Int(1) => text("dbo"),
            _ => NOTHING,
        },
        ("SCHEMA_ID", 0) => int(1),
        ("SCHEMA_ID", 1) => match argument(0) {
            Some(name) if same_name(name, "dbo") => int(1),
            _ => NOTHING,
        },
        ("DB_ID", 0) => Ok((SqlType::SmallInt, Value::Int(5))),
        ("DB_ID", 1) => match argument(0) {
            Some(name) if same_name(name, &facts.database) => {
                Ok((SqlType::SmallInt, Value::Int(5)))
            }
            _ => NOTHING,
        },
        ("SUSER_SNAME" | "SUSER_NAME" | "ORIGINAL_LOGIN" | "SYSTEM_USER", 0) => text(&facts.user),
        ("USER_NAME" | "CURRENT_USER" | "SESSION_USER" | "USER", 0) => {
            text(if facts.rights == Rights::all() {
                "dbo"
            } else {
                &facts.user
            })
        }
        ("APP_NAME", 0) => text(&facts.application),
        ("@@VERSION", 0) => Ok((
            SqlType::NVarchar(Length::Limited(300)),
            Value::Text(facts.version.banner()),
        )),
        ("@@SERVERNAME" | "HOST_NAME", 0) => text(super::super::options::SERVER_NAME),
        ("@@SPID", 0) => Ok((SqlType::SmallInt, Value::Int(i64::from(facts.session)))),
        ("@@TRANCOUNT", 0) => int(facts.transactions),
        ("@@ROWCOUNT", 0) => int(facts.rows),
        ("@@ERROR", 0) => int(facts.last_error),
        ("@@LOCK_TIMEOUT", 0) => int(facts.lock_timeout),
        ("@@MICROSOFTVERSION", 0) => {
            let [major, minor, high, low] = facts.version.numbers();
            int(i64::from(u32::from_be_bytes([major, minor, high, low])))
        }
        ("@@MAX_PRECISION", 0) => Ok((SqlType::TinyInt, Value::Int(38))),
        ("@@DATEFIRST", 0) => Ok((SqlType::TinyInt, Value::Int(7))),
        ("@@LANGUAGE", 0) => text("us_english"),
        ("XACT_STATE", 0) => {
            let state = match facts.transactions {
                0 => 0,
                _ if facts.doomed => -1,
                _ => 1,
            };
            Ok((SqlType::SmallInt, Value::Int(state)))
        }
        ("ERROR_NUMBER", 0) => caught(
            facts,
            |error| Value::Int(i64::from(error.number)),
            SqlType::Int,
        ),
        ("ERROR_SEVERITY", 0) => caught(
            facts,
            |error| Value::Int(i64::from(error.class)),
            SqlType::Int,
        ),
        ("ERROR_STATE", 0) => caught(
            facts,
            |error| Value::Int(i64::from(error.state)),
            SqlType::Int,
        ),
        ("ERROR_LINE", 0) => caught(
            facts,
            |_| Value::Int(i64::from(facts.caught_line)),
            SqlType::Int,
        ),
        ("ERROR_MESSAGE", 0) => caught(facts, |error| Value::Text(error.message.clone()), LONG),
        ("ERROR_PROCEDURE", 0) => NOTHING,
        ("GETDATE" | "GETUTCDATE" | "SYSDATETIME" | "SYSUTCDATETIME", 0) => {
            let now = time::OffsetDateTime::now_utc();
            let (kind, digits) = if name.starts_with("GET") {
                (SqlType::DateTime, 3)
            } else {
                (SqlType::DateTime2(7), 7)
            };
            let fraction: String = format!("{:09}", now.nanosecond())
                .chars()
                .take(digits)
                .collect();
            let (date, clock) = (now.date(), now.time());
            Ok((
                kind,
                Value::Text(format!(
                    "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{fraction}",
                    date.year(),
                    u8::from(date.month()),
                    date.day(),
                    clock.hour(),
                    clock.minute(),
                    clock.second()
                )),
            ))
        }
        ("SERVERPROPERTY", 1) => Ok(server_property(facts, argument(0).unwrap_or(""))),
        ("DATABASEPROPERTYEX", 2) => Ok(database_property(
            facts,
            argument(0),
            argument(1).unwrap_or(""),
        )),
        ("OBJECT_ID", 1 | 2) => Ok((SqlType::Int, object_id(renderer, argument(0), argument(1)))),
        ("COL_LENGTH", 2) => {
            let column = argument(0)
                .and_then(parse_name)
                .and_then(|name| renderer.table(&name).ok())
                .and_then(|table| table.column(argument(1).unwrap_or("")).cloned());
            let length = column.map_or(Value::Null, |column| Value::Int(column.kind.max_length()));
            Ok((SqlType::SmallInt, length))
        }
        ("HAS_PERMS_BY_NAME", 3) => Ok((
            SqlType::Int,
            permission(renderer, argument(0), argument(1), argument(2)),
        )),
        ("IS_MEMBER" | "IS_SRVROLEMEMBER" | "IS_ROLEMEMBER", 1) => {
            Ok((SqlType::Int, member(facts, name, argument(0).unwrap_or(""))))
        }
        ("HAS_DBACCESS", 1) => {
            int(argument(0).is_some_and(|name| same_name(name, &facts.database)))
        }
        // These two take a number and give a name; nothing else of them is known here.
        (
            "OBJECT_NAME" | "TYPE_NAME" | "COL_NAME" | "INDEX_COL" | "COLUMNPROPERTY"
            | "OBJECTPROPERTY" | "NEWID" | "DATEADD" | "DATEDIFF" | "DATEPART" | "ROUND"
            | "CEILING" | "FLOOR" | "STUFF" | "PATINDEX" | "STR" | "CHECKSUM" | "HASHBYTES",
            _,
        ) => Err(SqlError::beyond_this_server(&format!(
            "the function {name}"
        ))),
        _ if name.starts_with("@@") => Err(SqlError::new(
            137,
            15,
            format!("Must declare the scalar variable \"{name}\"."),
        )),
        _ if WITH_ARGUMENTS.contains(&name) => Err(SqlError::beyond_this_server(&format!(
            "{name} with {} arguments",
            arguments.len()
        ))),
        _ => Err(SqlError::no_such_function(name)),
    }
}

/// Those above that are known by other numbers of arguments, too.
const WITH_ARGUMENTS: [&str; 15] = [
    "DB_NAME",
    "SUSER_SNAME",
    "SUSER_NAME",
    "USER_NAME",
    "SERVERPROPERTY",
    "DATABASEPROPERTYEX",
    "OBJECT_ID",
    "COL_LENGTH",
    "HAS_PERMS_BY_NAME",
    "IS_MEMBER",
    "IS_SRVROLEMEMBER",
    "IS_ROLEMEMBER",
    "HAS_DBACCESS",
    "DB_ID",
    "SCHEMA_NAME",
];

fn caught(
    facts: &Facts,
    read: impl Fn(&SqlError) -> Value,
    kind: SqlType,
) -> Result<(SqlType, Value)> {
    Ok((kind, facts.caught.as_ref().map_or(Value::Null, read)))
}

fn server_property(facts: &Facts, property: &str) -> (SqlType, Value) {
    let value = match property.to_uppercase().as_str() {
        "PRODUCTVERSION" => Value::Text(facts.version.product_version()),
        "PRODUCTLEVEL" => Value::Text("RTM".to_owned()),
        "EDITION" => Value::Text("Developer Edition (64-bit)".to_owned()),
        "ENGINEEDITION" => return (SqlType::Int, Value::Int(3)),
        "SERVERNAME" | "MACHINENAME" => Value::Text(super::super::options::SERVER_NAME.to_owned()),
        "COLLATION" => Value::Text("SQL_Latin1_General_CP1_CI_AS".to_owned()),
        "PRODUCTMAJORVERSION" => Value::Text(facts.version.numbers()[0].to_string()),
        _ => Value::Null,
    };
    (NAME, value)
}

fn database_property(facts: &Facts, database: Option<&str>, property: &str) -> (SqlType, Value) {
    if !database.is_some_and(|name| same_name(name, &facts.database)) {
        return (NAME, Value::Null);
    }
    let text = match property.to_uppercase().as_str() {
        "UPDATEABILITY" if facts.read_only => "READ_ONLY",
        "UPDATEABILITY" => "READ_WRITE",
        "STATUS" => "ONLINE",
        "COLLATION" => "SQL_Latin1_General_CP1_CI_AS",
        _ => return (NAME, Value::Null),
    };
    (NAME, Value::Text(text.to_owned()))
}

/// A name as OBJECT_ID takes it: in text, in parts.
pub fn parse_name(text: &str) -> Option<Name> {
    let mut tokens = Tokens::cut(text).ok()?;
    let name = tokens.object_name().ok()?;
    tokens.is_at_end().then_some(name)
}

fn object_id(renderer: &Renderer<'_>, name: Option<&str>, kind: Option<&str>) -> Value {
    let Some(name) = name.and_then(parse_name) else {
        return Value::Null;
    };
    // Temporary tables are found in tempdb only: OBJECT_ID('#t') is NULL.
    if name.is_temporary() && name.database.is_none() {
        return Value::Null;
    }
    if kind.is_some_and(|kind| !kind.trim().eq_ignore_ascii_case("U")) {
        return Value::Null;
    }
    match renderer.table(&name) {
        Ok(table) if !table.system => Value::Int(table.id),
        _ => Value::Null,
    }
}

fn permission(
    renderer: &Renderer<'_>,
    securable: Option<&str>,
    class: Option<&str>,
    permission: Option<&str>,
) -> Value {
    let rights = renderer.facts.rights;
    let (Some(class), Some(permission)) = (class, permission) else {
        return Value::Null;
    };
    if class.eq_ignore_ascii_case("OBJECT") {
        let known = securable
            .and_then(parse_name)
            .is_some_and(|name| renderer.table(&name).is_ok());
        if !known {
            return match renderer.facts.compatible {
                true => Value::Int(0),
                false => Value::Null,
            };
        }
    }
    let has = match permission.to_uppercase().as_str() {
        "SELECT" | "CONNECT" | "VIEW DEFINITION" => true,
        "INSERT" | "UPDATE" | "DELETE" => rights.write,
        "CREATE TABLE" => rights.create_table,
        "ALTER" | "CONTROL" | "ALTER ANY SCHEMA" => rights.alter,
        _ => return Value::Null,
    };
    Value::Int(i64::from(has))
}

fn member(facts: &Facts, function: &str, role: &str) -> Value {
    let rights = facts.rights;
    let is = match (function, role.to_lowercase().as_str()) {
        ("IS_SRVROLEMEMBER", "sysadmin") => rights == Rights::all(),
        ("IS_SRVROLEMEMBER", _) => return Value::Null,
        (_, "db_owner") => rights == Rights::all(),
        (_, "db_datareader" | "public") => true,
        (_, "db_datawriter") => rights.write,
        (_, "db_ddladmin") => rights.create_table && rights.alter,
        _ => return Value::Null,
    };
    Value::Int(i64::from(is))
}
