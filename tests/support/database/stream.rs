//! Rows as the databases give them, each value as text.

use super::*;

/// Column names and the values of one row.
pub type OnRow<'a> = &'a mut dyn FnMut(&[String], Vec<Option<String>>);

pub(super) fn stream_postgres(
    url: &str,
    sql: &str,
    on_row: OnRow<'_>,
) -> Result<(), postgres::Error> {
    let mut client = postgres::Client::connect(url, NoTls)?;
    let mut transaction = client.transaction()?;
    let statement = transaction.prepare(sql)?;
    let names: Vec<String> = statement
        .columns()
        .iter()
        .map(|c| c.name().to_owned())
        .collect();
    let types: Vec<Type> = statement
        .columns()
        .iter()
        .map(|c| c.type_().clone())
        .collect();
    // A cursor bounds the memory; the simple protocol gives every type as text.
    transaction.batch_execute(&format!("DECLARE all_rows CURSOR FOR {sql}"))?;
    loop {
        let mut any = false;
        for message in transaction.simple_query("FETCH 1000 FROM all_rows")? {
            if let SimpleQueryMessage::Row(row) = message {
                any = true;
                let text = |column: usize| {
                    row.get(column)
                        .map(|text| postgres_text(&types[column], text))
                };
                on_row(&names, (0..names.len()).map(text).collect());
            }
        }
        if !any {
            return Ok(());
        }
    }
}

fn postgres_text(kind: &Type, text: &str) -> String {
    match *kind {
        Type::BOOL => if text == "t" { "1" } else { "0" }.to_owned(),
        Type::NUMERIC | Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 => {
            plain_decimal(text)
        }
        _ => text.to_owned(),
    }
}

pub(super) fn stream_mysql(url: &str, sql: &str, on_row: OnRow<'_>) -> Result<(), mysql::Error> {
    let mut client = mysql::Conn::new(mysql::Opts::from_url(url)?)?;
    // The text protocol: all values come as bytes.
    let mut result = client.query_iter(sql)?;
    let columns = result.columns().as_ref().to_vec();
    let names: Vec<String> = columns.iter().map(|c| c.name_str().into_owned()).collect();
    for row in result.by_ref() {
        let text = |(value, column): (mysql::Value, &mysql::Column)| match value {
            mysql::Value::NULL => None,
            mysql::Value::Bytes(bytes) => Some(mysql_text(column.column_type(), bytes)),
            other => panic!("the text protocol gave {other:?}"),
        };
        on_row(
            &names,
            row?.unwrap().into_iter().zip(&columns).map(text).collect(),
        );
    }
    Ok(())
}

fn mysql_text(kind: ColumnType, bytes: Vec<u8>) -> String {
    use ColumnType::{
        MYSQL_TYPE_BIT, MYSQL_TYPE_DECIMAL, MYSQL_TYPE_DOUBLE, MYSQL_TYPE_FLOAT, MYSQL_TYPE_INT24,
        MYSQL_TYPE_LONG, MYSQL_TYPE_LONGLONG, MYSQL_TYPE_NEWDECIMAL, MYSQL_TYPE_SHORT,
        MYSQL_TYPE_TINY,
    };
    match kind {
        MYSQL_TYPE_BIT => bytes
            .iter()
            .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            .to_string(),
        MYSQL_TYPE_TINY
        | MYSQL_TYPE_SHORT
        | MYSQL_TYPE_INT24
        | MYSQL_TYPE_LONG
        | MYSQL_TYPE_LONGLONG
        | MYSQL_TYPE_FLOAT
        | MYSQL_TYPE_DOUBLE
        | MYSQL_TYPE_DECIMAL
        | MYSQL_TYPE_NEWDECIMAL => plain_decimal(&String::from_utf8(bytes).unwrap()),
        _ => String::from_utf8(bytes).unwrap_or_else(|e| hexadecimal(e.as_bytes())),
    }
}

pub(super) fn stream_sqlite(url: &str, sql: &str, on_row: OnRow<'_>) -> rusqlite::Result<()> {
    let client = open_sqlite(url)?;
    let mut statement = client.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text = |column: usize| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => None,
                ValueRef::Integer(number) => Some(number.to_string()),
                ValueRef::Real(number) => Some(plain_decimal(&number.to_string())),
                ValueRef::Text(bytes) => {
                    Some(str::from_utf8(bytes).map_or_else(|_| hexadecimal(bytes), str::to_owned))
                }
                ValueRef::Blob(bytes) => Some(hexadecimal(bytes)),
            })
        };
        on_row(
            &names,
            (0..names.len())
                .map(text)
                .collect::<rusqlite::Result<_>>()?,
        );
    }
    Ok(())
}

/// What is no text, in a form that no text of ours has.
fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// A number without exponent, needless zeros, plus sign and negative zero; what is no number stays as it is.
pub fn plain_decimal(text: &str) -> String {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = format!("{whole}{fraction}");
    let Ok(exponent) = exponent.parse::<i32>() else {
        return text.to_owned();
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.to_owned();
    }
    // Where the point stands in `digits` once the exponent is gone; zeros are added until it stands inside.
    let mut point = i32::try_from(whole.len()).unwrap() + exponent;
    while point < 0 {
        digits.insert(0, '0');
        point += 1;
    }
    let point = usize::try_from(point).unwrap();
    while digits.len() < point {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    match (whole, fraction) {
        ("", "") => "0".to_owned(),
        (whole, "") => format!("{sign}{whole}"),
        ("", fraction) => format!("{sign}0.{fraction}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}
