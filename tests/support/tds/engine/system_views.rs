//! `sys.…` and `INFORMATION_SCHEMA.…`, made from the server's own catalogue.

use rusqlite::Connection;

use super::super::wire::types::{Length, SqlType};
use super::catalogue::{Column, Place, Table};

/// Schema, name, and a SELECT whose columns are `expression AS name:type`, separated by semicolons.
struct View {
    schema: &'static str,
    name: &'static str,
    columns: &'static [(&'static str, SqlType, &'static str)],
    from: &'static str,
}

const NAME: SqlType = SqlType::NVarchar(Length::Limited(128));
const SHORT: SqlType = SqlType::Char(2);
const TEXT: SqlType = SqlType::NVarchar(Length::Limited(60));

/// `system_type_id` of a type name in column `{}`.
const TYPE_NUMBER: &str = "CASE type WHEN 'bit' THEN 104 WHEN 'tinyint' THEN 48 WHEN 'smallint' THEN 52 WHEN 'int' THEN 56 \
WHEN 'bigint' THEN 127 WHEN 'decimal' THEN 106 WHEN 'numeric' THEN 108 WHEN 'real' THEN 59 WHEN 'float' THEN 62 \
WHEN 'nvarchar' THEN 231 WHEN 'nchar' THEN 239 WHEN 'varchar' THEN 167 WHEN 'char' THEN 175 WHEN 'text' THEN 35 \
WHEN 'ntext' THEN 99 WHEN 'varbinary' THEN 165 WHEN 'date' THEN 40 WHEN 'datetime' THEN 61 WHEN 'datetime2' THEN 42 END";

const COLLATED: &str = "CASE WHEN type IN ('nvarchar','nchar','varchar','char','text','ntext') THEN 'SQL_Latin1_General_CP1_CI_AS' END";

const VIEWS: &[View] = &[
    View {
        schema: "sys",
        name: "tables",
        columns: &[
            ("name", NAME, "name"),
            ("object_id", SqlType::Int, "object_id"),
            ("schema_id", SqlType::Int, "1"),
            ("type", SHORT, "'U '"),
            ("type_desc", TEXT, "'USER_TABLE'"),
            ("is_ms_shipped", SqlType::Bit, "0"),
        ],
        from: "FROM {p}.tds_objects",
    },
    View {
        schema: "sys",
        name: "objects",
        columns: &[
            ("name", NAME, "name"),
            ("object_id", SqlType::Int, "object_id"),
            ("schema_id", SqlType::Int, "1"),
            ("type", SHORT, "'U '"),
            ("type_desc", TEXT, "'USER_TABLE'"),
            ("is_ms_shipped", SqlType::Bit, "0"),
        ],
        from: "FROM {p}.tds_objects",
    },
    View {
        schema: "sys",
        name: "columns",
        columns: &[
            ("object_id", SqlType::Int, "object_id"),
            ("name", NAME, "name"),
            ("column_id", SqlType::Int, "column_id"),
            ("system_type_id", SqlType::TinyInt, TYPE_NUMBER),
            ("user_type_id", SqlType::Int, TYPE_NUMBER),
            ("max_length", SqlType::SmallInt, "length"),
            ("precision", SqlType::TinyInt, "precision"),
            ("scale", SqlType::TinyInt, "scale"),
            ("collation_name", NAME, COLLATED),
            ("is_nullable", SqlType::Bit, "nullable"),
            ("is_identity", SqlType::Bit, "0"),
            ("is_computed", SqlType::Bit, "0"),
        ],
        from: "FROM {p}.tds_columns",
    },
    View {
        schema: "sys",
        name: "types",
        columns: &[
            ("name", NAME, "type"),
            ("system_type_id", SqlType::TinyInt, TYPE_NUMBER),
            ("user_type_id", SqlType::Int, TYPE_NUMBER),
        ],
        from: "FROM (SELECT 'bit' AS type UNION SELECT 'tinyint' UNION SELECT 'smallint' UNION SELECT 'int' UNION SELECT 'bigint' \
               UNION SELECT 'decimal' UNION SELECT 'numeric' UNION SELECT 'real' UNION SELECT 'float' UNION SELECT 'nvarchar' \
               UNION SELECT 'nchar' UNION SELECT 'varchar' UNION SELECT 'char' UNION SELECT 'text' UNION SELECT 'ntext' \
               UNION SELECT 'varbinary' UNION SELECT 'date' UNION SELECT 'datetime' UNION SELECT 'datetime2')",
    },
    View {
        schema: "sys",
        name: "schemas",
        columns: &[("name", NAME, "'dbo'"), ("schema_id", SqlType::Int, "1")],
        from: "",
    },
    View {
        schema: "sys",
        name: "filegroups",
        columns: &[
            ("name", NAME, "'PRIMARY'"),
            ("data_space_id", SqlType::Int, "1"),
        ],
        from: "",
    },
    // There are no views here, nor anything else that refers to tables.
    View {
        schema: "sys",
        name: "sql_expression_dependencies",
        columns: &[
            ("referencing_id", SqlType::Int, "0"),
            ("referenced_id", SqlType::Int, "0"),
            ("is_schema_bound_reference", SqlType::Bit, "0"),
        ],
        from: "WHERE 0",
    },
    View {
        schema: "sys",
        name: "indexes",
        columns: &[
            ("object_id", SqlType::Int, "object_id"),
            ("name", NAME, "name"),
            ("index_id", SqlType::Int, "index_id"),
            (
                "type",
                SqlType::TinyInt,
                "CASE index_id WHEN 0 THEN 0 WHEN 1 THEN 1 ELSE 2 END",
            ),
            (
                "type_desc",
                TEXT,
                "CASE index_id WHEN 0 THEN 'HEAP' WHEN 1 THEN 'CLUSTERED' ELSE 'NONCLUSTERED' END",
            ),
            ("is_unique", SqlType::Bit, "uniq > 0"),
            ("ignore_dup_key", SqlType::Bit, "uniq = 2"),
            ("is_disabled", SqlType::Bit, "0"),
            ("has_filter", SqlType::Bit, "0"),
            ("fill_factor", SqlType::TinyInt, "0"),
            ("is_padded", SqlType::Bit, "0"),
            ("allow_row_locks", SqlType::Bit, "1"),
            ("allow_page_locks", SqlType::Bit, "1"),
            ("data_space_id", SqlType::Int, "1"),
            ("is_primary_key", SqlType::Bit, "prim"),
            ("is_unique_constraint", SqlType::Bit, "cons AND NOT prim"),
        ],
        from: "FROM (SELECT object_id, index_id, name, uniq, prim, cons FROM {p}.tds_indexes UNION ALL \
               SELECT object_id, 0, NULL, 0, 0, 0 FROM {p}.tds_objects o WHERE NOT EXISTS \
               (SELECT 1 FROM {p}.tds_indexes i WHERE i.object_id = o.object_id AND i.index_id = 1))",
    },
    View {
        schema: "sys",
        name: "index_columns",
        columns: &[
            ("object_id", SqlType::Int, "object_id"),
            ("index_id", SqlType::Int, "index_id"),
            ("index_column_id", SqlType::Int, "position"),
            ("column_id", SqlType::Int, "column_id"),
            ("key_ordinal", SqlType::TinyInt, "position"),
            ("is_descending_key", SqlType::Bit, "0"),
            ("is_included_column", SqlType::Bit, "0"),
        ],
        from: "FROM {p}.tds_index_columns",
    },
    View {
        schema: "information_schema",
        name: "tables",
        columns: &[
            ("TABLE_CATALOG", NAME, "'{d}'"),
            ("TABLE_SCHEMA", NAME, "'dbo'"),
            ("TABLE_NAME", NAME, "name"),
            (
                "TABLE_TYPE",
                SqlType::Varchar(Length::Limited(10)),
                "'BASE TABLE'",
            ),
        ],
        from: "FROM {p}.tds_objects",
    },
    View {
        schema: "information_schema",
        name: "columns",
        columns: &[
            ("TABLE_CATALOG", NAME, "'{d}'"),
            ("TABLE_SCHEMA", NAME, "'dbo'"),
            ("TABLE_NAME", NAME, "o.name"),
            ("COLUMN_NAME", NAME, "c.name"),
            ("ORDINAL_POSITION", SqlType::Int, "c.column_id"),
            (
                "IS_NULLABLE",
                SqlType::Varchar(Length::Limited(3)),
                "CASE WHEN nullable THEN 'YES' ELSE 'NO' END",
            ),
            ("DATA_TYPE", NAME, "type"),
            (
                "CHARACTER_MAXIMUM_LENGTH",
                SqlType::Int,
                "CASE WHEN type IN ('nvarchar','nchar') AND length > 0 THEN length / 2 WHEN type = 'text' THEN 2147483647 \
                 WHEN type = 'ntext' THEN 1073741823 WHEN type IN ('nvarchar','nchar','varchar','char','varbinary') THEN length END",
            ),
            (
                "NUMERIC_PRECISION",
                SqlType::TinyInt,
                "CASE WHEN type IN ('tinyint','smallint','int','bigint','decimal','numeric','real','float') THEN precision END",
            ),
            (
                "NUMERIC_SCALE",
                SqlType::Int,
                "CASE WHEN type IN ('tinyint','smallint','int','bigint','decimal','numeric') THEN scale END",
            ),
            ("COLLATION_NAME", NAME, COLLATED),
        ],
        from: "FROM {p}.tds_columns c JOIN {p}.tds_objects o USING (object_id)",
    },
    View {
        schema: "information_schema",
        name: "table_constraints",
        columns: &[
            ("TABLE_SCHEMA", NAME, "'dbo'"),
            ("TABLE_NAME", NAME, "o.name"),
            ("CONSTRAINT_NAME", NAME, "i.name"),
            (
                "CONSTRAINT_TYPE",
                SqlType::Varchar(Length::Limited(11)),
                "CASE WHEN prim THEN 'PRIMARY KEY' ELSE 'UNIQUE' END",
            ),
        ],
        from: "FROM {p}.tds_indexes i JOIN {p}.tds_objects o USING (object_id) WHERE cons OR prim",
    },
    View {
        schema: "information_schema",
        name: "key_column_usage",
        columns: &[
            ("TABLE_SCHEMA", NAME, "'dbo'"),
            ("TABLE_NAME", NAME, "o.name"),
            ("CONSTRAINT_NAME", NAME, "i.name"),
            ("COLUMN_NAME", NAME, "c.name"),
            ("ORDINAL_POSITION", SqlType::Int, "k.position"),
        ],
        from: "FROM {p}.tds_indexes i JOIN {p}.tds_objects o USING (object_id) \
               JOIN {p}.tds_index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id \
               JOIN {p}.tds_columns c ON c.object_id = k.object_id AND c.column_id = k.column_id WHERE cons OR prim",
    },
];

/// What views of a merely compatible system show instead: view, column, expression.
const COMPATIBLE: &[(&str, &str, &str)] = &[
    (
        "columns",
        "name",
        "CASE WHEN octet_length(name) > 63 THEN substr(name, 1, 30) || printf('%032d', column_id) ELSE lower(name) END",
    ),
    (
        "columns",
        "collation_name",
        "CASE WHEN type IN ('nvarchar','nchar','varchar','char','text','ntext') THEN 'compatible_ci_as' END",
    ),
    ("index_columns", "index_id", "index_id + 1000"),
];

/// Defines the views over the catalogue of this place.
pub fn create(
    connection: &Connection,
    place: Place,
    database: &str,
    compatible: bool,
) -> rusqlite::Result<()> {
    for view in VIEWS {
        let shown = |name: &str, expression: &'static str| {
            COMPATIBLE
                .iter()
                .find(|(other, column, _)| {
                    compatible && (view.schema, view.name, name) == ("sys", *other, *column)
                })
                .map_or(expression, |(_, _, expression)| *expression)
        };
        let columns: Vec<String> = (1..)
            .zip(view.columns)
            .map(|(at, (name, _, expression))| format!("{} AS c{at}", shown(name, expression)))
            .collect();
        let select = format!("SELECT {} {}", columns.join(", "), view.from)
            .replace("{p}", place.name())
            .replace("{d}", &database.replace('\'', "''"));
        connection.execute_batch(&format!(
            "CREATE VIEW IF NOT EXISTS {} AS {select}",
            stored_name(view, place)
        ))?;
    }
    Ok(())
}

fn stored_name(view: &View, place: Place) -> String {
    format!("{}.{}_{}", place.name(), view.schema, view.name)
}

/// The view of this name.
pub fn find(place: Place, schema: &str, name: &str) -> Option<Table> {
    let view = VIEWS.iter().find(|view| {
        view.schema.eq_ignore_ascii_case(schema) && view.name.eq_ignore_ascii_case(name)
    })?;
    let columns = (1..)
        .zip(view.columns)
        .map(|(id, (name, kind, _))| Column {
            id,
            name: (*name).to_owned(),
            kind: *kind,
            nullable: true,
        })
        .collect();
    Some(Table {
        place,
        id: 0,
        name: view.name.to_owned(),
        stored: stored_name(view, place),
        system: true,
        columns,
        indexes: Vec::new(),
    })
}
