//! What columns hold, and what they are widened to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;

fn varchar(n: u64, charset: &str) -> Holds {
    Holds::read(
        "varchar",
        &format!("varchar({n})"),
        Some(n),
        None,
        None,
        charset,
    )
}

fn decimal(precision: u64, scale: u64) -> Holds {
    Holds::read("decimal", "decimal", None, Some(precision), Some(scale), "")
}

fn shortage(holds: Holds, kind: ColumnKind, value: &str) -> Shortage {
    let mut shortage = Shortage::default();
    measure(&holds, kind, value, &mut shortage);
    shortage
}

#[test]
fn texts_are_measured_in_the_units_of_their_type() {
    let lacks = |holds, value: &str| shortage(holds, ColumnKind::Text, value).characters;
    assert_eq!(lacks(varchar(3, "utf8mb4"), "äöü"), 0);
    assert_eq!(lacks(varchar(3, "utf8mb4"), "äöü!"), 4);
    let text = |charset| Holds::read("text", "text", Some(65_535), None, None, charset);
    assert_eq!(lacks(text("utf8mb4"), &"ä".repeat(32_767)), 0);
    assert_eq!(lacks(text("utf8mb4"), &"ä".repeat(32_768)), 32_768);
    assert_eq!(lacks(text("utf16"), &"a".repeat(32_767)), 0);
    assert_eq!(lacks(text("utf16"), &"a".repeat(32_768)), 32_768);
    assert_eq!(lacks(text("utf16"), &"🎉".repeat(16_384)), 16_384);
    let tiny = Holds::read("tinytext", "tinytext", Some(255), None, None, "latin1");
    assert_eq!(
        (lacks(tiny, &"a".repeat(255)), lacks(tiny, &"a".repeat(256))),
        (0, 256)
    );
    let long = Holds::read(
        "longtext",
        "longtext",
        Some(4_294_967_295),
        None,
        None,
        "utf8mb4",
    );
    assert_eq!(lacks(long, &"a".repeat(100_000)), 0);
}

#[test]
fn encodings() {
    let lacks = |charset, value| shortage(varchar(100, charset), ColumnKind::Text, value).encoding;
    for charset in ["utf8mb4", "utf16", "utf32"] {
        assert!(!lacks(charset, "ä東🎉"), "{charset}");
    }
    assert!(!lacks("utf8mb3", "ä東") && lacks("utf8mb3", "🎉") && lacks("utf8", "🎉"));
    assert!(!lacks("latin1", "äß") && lacks("latin1", "東") && lacks("latin1", "\u{85}"));
    assert!(!lacks("ascii", "a") && lacks("ascii", "ä") && lacks("cp1251", "Ж"));
}

#[test]
fn numbers() {
    let exact = |holds, value: &str| shortage(holds, ColumnKind::Number, value).is_none();
    assert!(exact(decimal(10, 0), "1234567890") && exact(decimal(10, 0), "-5.00"));
    assert!(!exact(decimal(10, 0), "12345678901") && !exact(decimal(10, 0), "0.5"));
    assert!(exact(decimal(5, 2), "000123.45") && !exact(decimal(5, 2), "1234"));
    let int = |column_type| Holds::read("int", column_type, None, Some(10), Some(0), "");
    assert!(exact(int("int(11)"), "-2147483648") && !exact(int("int(11)"), "2147483648"));
    assert!(exact(int("int(10) unsigned"), "4294967295") && !exact(int("int(10) unsigned"), "-1"));
    let tiny = Holds::read("tinyint", "tinyint(1)", None, Some(3), Some(0), "");
    assert!(exact(tiny, "0") && exact(tiny, "1") && !exact(tiny, "128"));
    let big = Holds::read("bigint", "bigint(20) unsigned", None, Some(20), Some(0), "");
    assert!(exact(big, "18446744073709551615") && !exact(big, "18446744073709551616"));
    assert!(!exact(big, &"9".repeat(60)));
    let double = Holds::read("double", "double", None, Some(22), None, "");
    assert!(exact(double, "0.1") && !exact(double, "0.12345678901234567"));
    let money = Holds::read("double", "double(8,2)", None, Some(8), Some(2), "");
    assert!(exact(money, "1.25") && !exact(money, "1.255"));
}

#[test]
fn texts_in_numeric_columns() {
    let is_text = |kind, value| shortage(decimal(65, 30), kind, value).no_number_type;
    for value in ["abc", "", "+49301234567", "007", "1e5"] {
        assert!(is_text(ColumnKind::Text, value), "{value:?}");
    }
    for value in ["0", "-7", "0.5", "12.50"] {
        assert!(!is_text(ColumnKind::Text, value), "{value:?}");
    }
    assert!(!is_text(ColumnKind::Number, "007") && is_text(ColumnKind::Number, "abc"));
    let nines = "9".repeat(35);
    assert!(
        !is_text(ColumnKind::Number, &nines) && is_text(ColumnKind::Number, &format!("-{nines}0"))
    );
}

#[test]
fn the_wider_type() {
    let long = |characters| Shortage {
        characters,
        ..Shortage::default()
    };
    let encoding = Shortage {
        encoding: true,
        ..Shortage::default()
    };
    let number = Shortage {
        number: true,
        ..Shortage::default()
    };
    let text = Shortage {
        no_number_type: true,
        ..number
    };
    let old = varchar(50, "utf16");
    let longtext = Ok("longtext CHARACTER SET utf8mb4".to_owned());
    assert_eq!(wider(&old, long(51), Indexed::Freely), longtext);
    assert_eq!(
        wider(&old, long(51), Indexed::Whole),
        Ok("varchar(191) CHARACTER SET utf8mb4".to_owned())
    );
    let key = |n| {
        Ok(format!(
            "varchar({n}) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        ))
    };
    assert_eq!(wider(&old, long(192), Indexed::Key), key(255));
    assert_eq!(wider(&old, encoding, Indexed::Key), key(50));
    assert!(wider(&old, long(769), Indexed::Key).is_err());
    assert_eq!(
        wider(&decimal(10, 0), number, Indexed::Whole),
        Ok("decimal(65,30)".to_owned())
    );
    assert_eq!(wider(&decimal(10, 0), text, Indexed::Freely), longtext);
    assert!(wider(&decimal(65, 30), number, Indexed::Freely).is_err());
}

#[test]
fn fitting_the_widest_decimal() {
    let nines = "9".repeat(35);
    assert_eq!(fit("12.5"), Fitted::Exact("12.5"));
    assert_eq!(fit(&nines), Fitted::Exact(&nines));
    let padded = format!("{}1.5", "0".repeat(40));
    assert_eq!(fit(&padded), Fitted::Exact(&padded));
    let long = format!("1.{}", "123456789".repeat(4));
    assert_eq!(fit(&long), Fitted::Rounded(&long[..33]));
}
