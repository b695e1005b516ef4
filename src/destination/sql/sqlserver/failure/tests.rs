//! What errors of the server lead to, and that no value gets into a message.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;

fn explained(code: u32, message: &str) -> (ErrorKind, String) {
    let report = Report {
        code,
        class: 16,
        message,
    };
    explain(&report, ErrorKind::Transient)
}

#[test]
fn no_value_gets_into_a_message() {
    for (code, message, shown) in [
        (
            2627,
            "Violation of PRIMARY KEY constraint 'PK_1'. Cannot insert duplicate key in object 'dbo.t'. The duplicate key value is (hush).",
            "Violation of PRIMARY KEY constraint 'PK_1'. Cannot insert duplicate key in object 'dbo.t'.… (error 2627)",
        ),
        (
            2628,
            "String or binary data would be truncated in table 'd.dbo.t', column 'c'. Truncated value: 'hush'.",
            "String or binary data would be truncated in table 'd.dbo.t', column 'c'.… (error 2628)",
        ),
        (
            245,
            "Conversion failed when converting the nvarchar value 'hush' to data type int.",
            "Conversion failed when converting the nvarchar value … to data type int. (error 245)",
        ),
        (
            2628,
            "Daten würden in Tabelle 'd.dbo.t', Spalte 'c' abgeschnitten. Abgeschnittener Wert: 'hush'.",
            "Daten würden in Tabelle … (error 2628)",
        ),
        (
            2627,
            "In 'dbo.t' kann kein doppelter Schlüssel eingefügt werden. Der doppelte Schlüsselwert ist (hush).",
            "In 'dbo.t' kann kein doppelter Schlüssel eingefügt werden. Der doppelte Schlüsselwert ist … (error 2627)",
        ),
        (
            8152,
            "String or binary data would be truncated.",
            "String or binary data would be truncated. (error 8152)",
        ),
    ] {
        assert_eq!(explained(code, message).1, shown);
    }
}

#[test]
fn what_is_said_of_ddl_and_log_in_is_shown() {
    for (code, message) in [
        (102, "Incorrect syntax near 'view'."),
        (
            4119,
            "Default values cannot be assigned to property setters of system-versioned tables (see 'x').",
        ),
        (50001, "no changes of tables on (Friday)"),
        (33_557_097, "relation \"x\" already exists"),
    ] {
        let shown = explained(code, message).1;
        assert_eq!(shown, format!("{message} (error {code})"));
    }
    let long = explained(50001, &"x".repeat(201)).1;
    assert_eq!(long, format!("{}… (error 50001)", "x".repeat(199)));
}

#[test]
fn what_is_said_of_a_write_is_kept_for_the_reject_file() {
    for code in [
        50_000,
        50_001,
        2_147_483_647,
        33_557_097,
        3609,
        208,
        245,
        241,
        8114,
        99,
        18_456,
        1205,
    ] {
        let report = Report {
            code,
            class: 16,
            message: "hush 'hush' (hush)",
        };
        let shown = refusal(&report);
        assert!(!shown.contains("hush"), "{shown}");
        assert!(shown.ends_with(&format!("(error {code})")), "{shown}");
    }
    let kind = |code| {
        let report = Report {
            code,
            class: 16,
            message: "",
        };
        write_kind(&report)
    };
    for code in [50_000, 33_557_097, 18_456, 99, 2627] {
        assert_eq!(kind(code), ErrorKind::Data, "{code}");
    }
    assert_eq!(kind(229), ErrorKind::Setup);
    assert_eq!(kind(1205), ErrorKind::Transient);
}

#[test]
fn what_errors_lead_to() {
    use ErrorKind::{Data, Setup, Transient};
    for (code, kind) in [
        (1205, Transient),
        (1222, Transient),
        (976, Transient),
        (6005, Transient),
        (9002, Transient),
        (208, Transient),
        (40613, Transient),
        (18456, Setup),
        (4060, Setup),
        (3906, Transient),
        (983, Transient),
        (229, Setup),
        (262, Setup),
        (2627, Data),
        (8152, Data),
        (2628, Data),
        (245, Data),
        (8114, Data),
        (515, Data),
        (511, Data),
        (50000, Data),
    ] {
        for otherwise in [Transient, Setup, Data] {
            let report = Report {
                code,
                class: 16,
                message: "m",
            };
            assert_eq!(explain(&report, otherwise).0, kind, "{code}");
        }
    }
    let unknown = |class| {
        let report = Report {
            code: 12345,
            class,
            message: "m",
        };
        explain(&report, Data).0
    };
    assert_eq!((unknown(16), unknown(20)), (Data, Transient));
    assert!(explained(18456, "m").1.contains("--url"));
    assert!(explained(262, "m").1.contains("CREATE TABLE"));
}
