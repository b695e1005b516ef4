//! All statements of this sink, as functions from names and types to text. No I/O.
//!
//! Nothing in them is newer than SQL Server 2008: no MERGE (two writers can collide in it), no OPENJSON, no IF EXISTS.
//! Objects are named without a schema and so are looked for where the log-in creates them.

use std::time::Duration;

use super::catalog::RealColumn;
use crate::destination::sql::PresentRow;
use crate::destination::sql::dialect::SQLSERVER;
use crate::tables::schema::{Column, Table, TableSchema};

/// Ids in one statement.
pub(super) const IDS: usize = 500;

/// Columns that a table can have.
const MAX_COLUMNS: usize = 1024;

/// The key column of a staging table is this long, whatever the table's own.
const STAGED_KEY: usize = 450;

/// `[name]`
pub(super) fn quote(name: &str) -> String {
    SQLSERVER.quote(name)
}

/// `N'text'`
pub(super) fn literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let literals: Vec<String> = texts.map(literal).collect();
    literals.join(", ")
}

/// For the whole session, whatever the server, the log-in or the database say: an error undoes the transaction, no
/// limit cuts rows or texts, messages are those that we can cut values out of, dates are read year, month, day, a text
/// too long is an error, and writes to tables with indexed views or computed columns are allowed.
pub(super) const SETTINGS: [&str; 17] = [
    "SET XACT_ABORT ON",
    "SET NOCOUNT OFF",
    "SET ROWCOUNT 0",
    "SET TEXTSIZE 2147483647",
    "SET IMPLICIT_TRANSACTIONS OFF",
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET LANGUAGE us_english",
    "SET FMTONLY OFF",
    "SET ANSI_NULLS ON",
    "SET ANSI_PADDING ON",
    "SET ANSI_WARNINGS ON",
    "SET ANSI_NULL_DFLT_ON ON",
    "SET ARITHABORT ON",
    "SET CONCAT_NULL_YIELDS_NULL ON",
    "SET QUOTED_IDENTIFIER ON",
    "SET NUMERIC_ROUNDABORT OFF",
    "SET QUERY_GOVERNOR_COST_LIMIT 0",
];

/// How long statements wait for locks from now on.
pub(super) fn lock_timeout(wait: Duration) -> String {
    format!("SET LOCK_TIMEOUT {}", wait.as_millis().max(1))
}

/// `READ_WRITE`, or `READ_ONLY` for a secondary replica, and for a database that was set so.
pub(super) const UPDATEABILITY: &str =
    "SELECT CONVERT(nvarchar(128), DATABASEPROPERTYEX(DB_NAME(), N'Updateability'))";

/// The server's version, in words.
pub(super) const VERSION: &str = "SELECT @@VERSION";

/// The collation of temporary tables, which may not be that of the database.
pub(super) const TEMPORARY_COLLATION: &str =
    "SELECT CONVERT(nvarchar(128), DATABASEPROPERTYEX(N'tempdb', N'Collation'))";

/// `U` for a table, `V` for a view, and its schema; no row if there is neither.
pub(super) fn object_type(table: &str) -> String {
    format!(
        "SELECT o.[type], s.[name] FROM sys.objects AS o \
         INNER JOIN sys.schemas AS s ON s.[schema_id] = o.[schema_id] WHERE o.[object_id] = OBJECT_ID({})",
        literal(&quote(table))
    )
}

/// Name, type, length, precision, scale, nullable, computed, collation of each column, in order.
pub(super) fn columns(table: &str) -> String {
    format!(
        "SELECT c.[name], t.[name], c.[max_length], c.[precision], c.[scale], c.[is_nullable], c.[is_computed], c.[collation_name] \
         FROM sys.columns AS c \
         INNER JOIN sys.types AS t ON t.[user_type_id] = c.[system_type_id] \
         WHERE c.[object_id] = OBJECT_ID({}) ORDER BY c.[column_id]",
        literal(&quote(table))
    )
}

/// The name of each column by another view, in the same order: what is compatible with SQL Server may write names in
/// lower case in `sys.columns`, or shorten them.
pub(super) fn column_names(schema: &str, table: &str) -> String {
    format!(
        "SELECT c.[COLUMN_NAME] FROM [INFORMATION_SCHEMA].[COLUMNS] AS c \
         WHERE c.[TABLE_SCHEMA] = {} AND c.[TABLE_NAME] = {} ORDER BY c.[ORDINAL_POSITION]",
        literal(schema),
        literal(table)
    )
}

/// The columns of the primary key and its name by another view: what is compatible with SQL Server may number indexes
/// otherwise in `sys.indexes` than in `sys.index_columns`.
pub(super) fn primary_key(schema: &str, table: &str) -> String {
    format!(
        "SELECT k.[COLUMN_NAME], c.[CONSTRAINT_NAME] FROM [INFORMATION_SCHEMA].[TABLE_CONSTRAINTS] AS c \
         INNER JOIN [INFORMATION_SCHEMA].[KEY_COLUMN_USAGE] AS k ON k.[TABLE_SCHEMA] = c.[TABLE_SCHEMA] \
         AND k.[TABLE_NAME] = c.[TABLE_NAME] AND k.[CONSTRAINT_NAME] = c.[CONSTRAINT_NAME] \
         WHERE c.[TABLE_SCHEMA] = {} AND c.[TABLE_NAME] = {} AND c.[CONSTRAINT_TYPE] = N'PRIMARY KEY' \
         ORDER BY k.[ORDINAL_POSITION]",
        literal(schema),
        literal(table)
    )
}

/// What the primary key's index is like: type (1 is clustered), fill factor, padding, duplicates ignored, locks of rows
/// and of pages, and the filegroup.
pub(super) fn primary_key_options(table: &str) -> String {
    format!(
        "SELECT i.[type], i.[fill_factor], i.[is_padded], i.[ignore_dup_key], i.[allow_row_locks], i.[allow_page_locks], f.[name] \
         FROM sys.indexes AS i LEFT JOIN sys.filegroups AS f ON f.[data_space_id] = i.[data_space_id] \
         WHERE i.[object_id] = OBJECT_ID({}) AND i.[is_primary_key] = 1",
        literal(&quote(table))
    )
}

/// A primary key as it is made again.
pub(super) struct PrimaryKey {
    pub(super) name: String,
    pub(super) columns: Vec<String>,
    pub(super) clustered: bool,
    /// Such as `FILLFACTOR = 80`; none that is as usual.
    pub(super) options: Vec<String>,
    pub(super) filegroup: Option<String>,
}

/// Takes a primary key away.
pub(super) fn drop_primary_key(table: &str, key: &PrimaryKey) -> String {
    format!(
        "ALTER TABLE {} DROP CONSTRAINT {}",
        quote(table),
        quote(&key.name)
    )
}

/// Makes a primary key as it was.
pub(super) fn add_primary_key(table: &str, key: &PrimaryKey) -> String {
    let columns: Vec<String> = key.columns.iter().map(|column| quote(column)).collect();
    let kind = match key.clustered {
        true => "CLUSTERED",
        false => "NONCLUSTERED",
    };
    let options = match key.options.as_slice() {
        [] => String::new(),
        options => format!(" WITH ({})", options.join(", ")),
    };
    let filegroup = (key.filegroup.as_deref())
        .map(|name| format!(" ON {}", quote(name)))
        .unwrap_or_default();
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY {kind} ({}){options}{filegroup}",
        quote(table),
        quote(&key.name),
        columns.join(", ")
    )
}

/// Schema and name of what refers to an object, whose name is quoted: `bound` to its columns as they are, or views.
pub(super) fn dependents(object: &str, bound: bool) -> String {
    format!(
        "SELECT DISTINCT s.[name], o.[name] FROM sys.sql_expression_dependencies AS d \
         INNER JOIN sys.objects AS o ON o.[object_id] = d.[referencing_id] \
         INNER JOIN sys.schemas AS s ON s.[schema_id] = o.[schema_id] \
         WHERE d.[referenced_id] = OBJECT_ID({}) AND d.[is_schema_bound_reference] = {}{}",
        literal(object),
        u8::from(bound),
        if bound { "" } else { " AND o.[type] = N'V'" }
    )
}

/// Lets a view read the types of its columns again.
pub(super) fn refresh_view(view: &str) -> String {
    format!("EXECUTE sp_refreshview {}", literal(view))
}

/// Index, uniqueness and name of each column of each index that holds all rows, in order.
pub(super) fn indexes(table: &str) -> String {
    format!(
        "SELECT i.[index_id], i.[is_unique], c.[name] \
         FROM sys.indexes AS i \
         INNER JOIN sys.index_columns AS k ON k.[object_id] = i.[object_id] AND k.[index_id] = i.[index_id] \
         INNER JOIN sys.columns AS c ON c.[object_id] = k.[object_id] AND c.[column_id] = k.[column_id] \
         WHERE i.[object_id] = OBJECT_ID({}) AND k.[key_ordinal] > 0 AND i.[is_disabled] = 0 AND i.[has_filter] = 0 ORDER BY i.[index_id], k.[key_ordinal]",
        literal(&quote(table))
    )
}

/// Creates a table with as many columns as fit.
pub(super) fn create_table(table: &TableSchema, columns: &[Column]) -> String {
    let columns: Vec<String> = columns
        .iter()
        .take(MAX_COLUMNS)
        .enumerate()
        .map(|(at, column)| {
            let null = if at == 0 {
                "NOT NULL PRIMARY KEY"
            } else {
                "NULL"
            };
            format!("{} {null}", definition(column))
        })
        .collect();
    format!(
        "IF OBJECT_ID({}) IS NULL CREATE TABLE {} ({})",
        literal(&quote(&table.name)),
        quote(&table.name),
        columns.join(", ")
    )
}

fn definition(column: &Column) -> String {
    format!(
        "{} {}",
        quote(&column.name),
        SQLSERVER.column_type(column.kind)
    )
}

/// Adds one column.
pub(super) fn add_column(table: &str, column: &Column) -> String {
    format!(
        "ALTER TABLE {} ADD {} NULL",
        quote(table),
        definition(column)
    )
}

/// Changes the type of a column. NULL is what it allows if nothing is said; what is compatible with SQL Server may not
/// know the word here.
pub(super) fn alter_column(table: &str, column: &RealColumn, new: &str, not_null: bool) -> String {
    let null = if not_null { " NOT NULL" } else { "" };
    format!(
        "ALTER TABLE {} ALTER COLUMN {} {new}{null}",
        quote(table),
        quote(&column.name)
    )
}

/// Takes the zeros that say nothing from numbers that have just become texts.
pub(super) fn trim_decimals(table: &str, column: &str) -> String {
    let column = quote(column);
    let trimmed =
        format!("REPLACE(RTRIM(REPLACE(CONVERT(nvarchar(50), {column}), N'0', N' ')), N' ', N'0')");
    format!(
        "UPDATE {} SET {column} = CASE WHEN RIGHT({trimmed}, 1) = N'.' \
         THEN LEFT({trimmed}, LEN({trimmed}) - 1) ELSE {trimmed} END \
         WHERE {column} LIKE N'%.%'",
        quote(table)
    )
}

/// Adds an index.
pub(super) fn create_index(name: &str, table: &str, columns: &[&str]) -> String {
    let columns: Vec<String> = columns.iter().map(|column| quote(column)).collect();
    format!(
        "CREATE INDEX {} ON {} ({})",
        quote(name),
        quote(table),
        columns.join(", ")
    )
}

/// The name of a table's staging table, quoted.
pub(super) fn stage(table: Table) -> String {
    quote(&format!("#stage_{}", table.suffix()))
}

/// The columns of a staging table, quoted: as many as are written, the key first.
pub(super) fn staged_columns(count: usize) -> Vec<String> {
    (0..count).map(|at| quote(&format!("c{at}"))).collect()
}

/// Creates a staging table for so many columns. `collation` is the key's, where it is not that of temporary tables.
pub(super) fn create_stage(table: Table, count: usize, collation: Option<&str>) -> String {
    let collation = collation
        .map(|name| format!(" COLLATE {name}"))
        .unwrap_or_default();
    let columns: Vec<String> = staged_columns(count)
        .into_iter()
        .enumerate()
        .map(|(at, name)| match at {
            0 => format!("{name} nvarchar({STAGED_KEY}){collation} NOT NULL"),
            _ => format!("{name} nvarchar(max) NULL"),
        })
        .collect();
    format!("CREATE TABLE {} ({})", stage(table), columns.join(", "))
}

/// Puts one text into a staged row. `column` counts from 0.
pub(super) fn stage_text(table: Table, column: usize, key: &str, text: &str) -> String {
    format!(
        "UPDATE {} SET [c{column}] = {} WHERE [c0] = {}",
        stage(table),
        literal(text),
        literal(key)
    )
}

/// Drops a staging table.
pub(super) fn drop_stage(table: Table) -> String {
    format!("DROP TABLE {}", stage(table))
}

/// Empties a staging table.
pub(super) fn clear_stage(table: Table) -> String {
    format!("TRUNCATE TABLE {}", stage(table))
}

/// Begins the transaction of a batch.
pub(super) const BEGIN: &str = "BEGIN TRANSACTION";

/// Ends it.
pub(super) const COMMIT: &str = "COMMIT TRANSACTION";

/// Undoes it if it is still there: most errors have done so already.
pub(super) const ROLLBACK: &str = "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION";

/// Writes the staged rows over those with the same key, then adds the others. `columns` are in the order of the staging
/// table's, the key first.
pub(super) fn upsert(table: &TableSchema, columns: &[&RealColumn]) -> [String; 2] {
    let (name, stage) = (quote(&table.name), stage(table.table));
    let staged = staged_columns(columns.len());
    let values: Vec<String> = columns
        .iter()
        .zip(&staged)
        .map(|(column, staged)| converted(column, staged))
        .collect();
    let names: Vec<String> = columns.iter().map(|column| quote(&column.name)).collect();
    let key = |at: &[String]| at.first().cloned().unwrap_or_default();
    let same = format!("d.{} = {}", key(&names), key(&values));
    let assignments: Vec<String> = names
        .iter()
        .zip(&values)
        .skip(1)
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    [
        format!(
            "UPDATE d SET {} FROM {name} AS d WITH (UPDLOCK, HOLDLOCK) INNER JOIN {stage} AS s ON {same}",
            assignments.join(", ")
        ),
        format!(
            "INSERT INTO {name} ({}) SELECT {} FROM {stage} AS s \
             WHERE NOT EXISTS (SELECT 1 FROM {name} AS d WITH (UPDLOCK, HOLDLOCK) WHERE {same})",
            names.join(", "),
            values.join(", ")
        ),
    ]
}

/// A staged text as the type that the column really has.
fn converted(column: &RealColumn, staged: &str) -> String {
    if column.declared.starts_with("nvarchar(") {
        format!("s.{staged}")
    } else {
        // What is in a text column's code page is a varchar; a conversion to text itself is deprecated.
        let declared = match column.declared.as_str() {
            "text" => "varchar(max)",
            "ntext" => "nvarchar(max)",
            other => other,
        };
        format!("CONVERT({declared}, s.{staged})")
    }
}

/// How many of the staged rows are not in the table.
pub(super) fn left_out(table: &TableSchema, columns: &[&RealColumn]) -> String {
    let key = columns
        .first()
        .map(|key| (quote(&key.name), converted(key, "[c0]")));
    let (name, value) = key.unwrap_or_default();
    format!(
        "SELECT COUNT(*) FROM {} AS s WHERE NOT EXISTS (SELECT 1 FROM {} AS d WHERE d.{name} = {value})",
        stage(table.table),
        quote(&table.name)
    )
}

/// Deletes recordings that were placeholders.
pub(super) fn delete<'a>(table: &TableSchema, ids: impl Iterator<Item = &'a str>) -> String {
    format!(
        "DELETE FROM {} WHERE {} IN ({})",
        quote(&table.name),
        quote(table.table.key()),
        list(ids)
    )
}

/// The keys of some stored rows.
pub(super) fn sample(table: &str, key: &str, most: usize) -> String {
    let key = quote(key);
    format!(
        "SELECT TOP ({most}) CONVERT(nvarchar(max), {key}) FROM {}",
        quote(table)
    )
}

/// The stored rows with these keys, each value as text.
pub(super) fn rows<'a>(
    table: &TableSchema,
    columns: &[&RealColumn],
    keys: impl Iterator<Item = &'a str>,
) -> String {
    let texts: Vec<String> = (columns.iter())
        .map(|column| format!("CONVERT(nvarchar(max), {})", quote(&column.name)))
        .collect();
    format!(
        "SELECT {} FROM {} WHERE {} IN ({})",
        texts.join(", "),
        quote(&table.name),
        quote(table.table.key()),
        list(keys)
    )
}

/// The names of a table's triggers that are switched on.
pub(super) fn triggers(table: &str) -> String {
    format!(
        "SELECT [name] FROM sys.triggers WHERE [parent_id] = OBJECT_ID({}) AND [is_disabled] = 0 ORDER BY [name]",
        literal(&quote(table))
    )
}

/// Id, checksum and time of writing of contacts.
pub(super) fn stored<'a>(contacts: &str, ids: impl Iterator<Item = &'a str>) -> String {
    format!(
        "SELECT [$id], [$md5], [$changed] FROM {} WHERE [$id] IN ({})",
        quote(contacts),
        list(ids)
    )
}

/// Those of these keys that a table holds, and which of these columns have a value.
pub(super) fn present<'a>(
    table: &str,
    key: &str,
    keys: impl Iterator<Item = &'a str>,
    columns: &[&str],
) -> String {
    format!(
        "SELECT {key}{} FROM {} WHERE {key} IN ({})",
        PresentRow::selected(columns, quote),
        quote(table),
        list(keys),
        key = quote(key)
    )
}

/// The number of rows of a table, but at most `limit`.
pub(super) fn count(table: &str, limit: u32) -> String {
    format!(
        "SELECT COUNT(*) FROM (SELECT TOP ({limit}) 1 AS c0 FROM {}) AS few",
        quote(table)
    )
}

/// Forgets the checksums of contacts that claim to be written later than `stamp`, in this campaign or in none. Without a
/// campaign, those of all.
pub(super) fn distrust_after(contacts: &str, stamp: &str, campaign: Option<&str>) -> String {
    format!(
        "UPDATE {} SET [$md5] = NULL WHERE {}",
        quote(contacts),
        is_trusted_after(stamp, campaign)
    )
}

/// The ids of up to `most` of them.
pub(super) fn trusted_after(
    contacts: &str,
    stamp: &str,
    campaign: Option<&str>,
    after: &str,
    most: usize,
) -> String {
    format!(
        "SELECT TOP ({most}) [$id] FROM {} WHERE {} AND [$id] > {} ORDER BY [$id]",
        quote(contacts),
        is_trusted_after(stamp, campaign),
        literal(after)
    )
}

fn is_trusted_after(stamp: &str, campaign: Option<&str>) -> String {
    let campaign = campaign.map(|campaign| {
        format!(
            " AND ([$campaign_id] IS NULL OR [$campaign_id] = {})",
            literal(campaign)
        )
    });
    format!(
        "[$md5] IS NOT NULL AND ([$changed] IS NULL OR [$changed] > {}){}",
        literal(stamp),
        campaign.unwrap_or_default()
    )
}

/// Forgets the checksums of these contacts.
pub(super) fn distrust<'a>(contacts: &str, ids: impl Iterator<Item = &'a str>) -> String {
    format!(
        "UPDATE {} SET [$md5] = NULL WHERE [$id] IN ({})",
        quote(contacts),
        list(ids)
    )
}

/// 1 if the log-in has a permission on a table, 0 if not.
pub(super) fn permission_on_table(table: &str, permission: &str) -> String {
    format!(
        "SELECT HAS_PERMS_BY_NAME({}, N'OBJECT', {})",
        literal(&quote(table)),
        literal(permission)
    )
}

/// 1 if the log-in has a permission on all tables of its schema, 0 if not.
pub(super) fn permission_on_schema(permission: &str) -> String {
    format!(
        "SELECT HAS_PERMS_BY_NAME(SCHEMA_NAME(), N'SCHEMA', {})",
        literal(permission)
    )
}

/// 1 if the log-in may create tables in this database, 0 if not.
pub(super) const PERMISSION_TO_CREATE: &str =
    "SELECT HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE TABLE')";

#[cfg(test)]
mod tests;
