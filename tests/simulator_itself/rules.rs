//! The rules that the true rows are made by, on documents whose rows are known.

use crate::support::reading;
use crate::support::simulator::ids::{contact_id, contact_index, md5_hex};
use crate::support::simulator::instant::{
    HOUR, from_datetime, http_date, local, parse, zulu, zulu_short,
};
use crate::support::simulator::numbers::normalise;
use crate::support::simulator::random::{mix, unmix};
use crate::support::simulator::truth::{of_contact, of_inbound};
use crate::support::simulator::{Config, FilterMode, Row, Rows, Truth, TruthFilter, fields};
use time::macros::datetime;

const SAMPLE: &str = include_str!("../support/samples/sample-contact.json");
const SAMPLE_CALL: &str = include_str!("../support/samples/sample-inbound-call.json");

fn rows(json: &str, filter: &TruthFilter) -> Truth {
    let config = Config {
        custom_fields: 40,
        ..Config::default()
    };
    of_contact(
        &reading::contact(json).unwrap(),
        filter,
        &fields::all(&config),
    )
}

fn cell<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    row.get(column).and_then(|cell| cell.as_deref())
}

/// The values of a column, by that of another one.
fn by<'a>(rows: &'a Rows, key: &str, column: &str) -> Vec<(Option<&'a str>, Option<&'a str>)> {
    let mut found: Vec<_> = rows
        .values()
        .map(|row| (cell(row, key), cell(row, column)))
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn samples_have_the_rows_that_the_notes_say() {
    let all = rows(SAMPLE, &TruthFilter::default());
    assert_eq!(all.counts(), [1, 5, 3, 2, 0]);
    let third = by(&all.connections, "isThirdPartyConnection", "id");
    assert_eq!(
        third
            .iter()
            .map(|(third, _)| third.unwrap())
            .collect::<Vec<_>>(),
        ["0", "0", "1"]
    );
    let hi = TruthFilter {
        mode: FilterMode::HiUpdatesOnly,
        ..TruthFilter::default()
    };
    assert_eq!(rows(SAMPLE, &hi).transactions.len(), 2);
    let first_calls = TruthFilter {
        prefixes: vec!["fc_".to_owned()],
        ..TruthFilter::default()
    };
    assert_eq!(rows(SAMPLE, &first_calls).transactions.len(), 3);
    let call = of_inbound(&reading::fields_of(SAMPLE_CALL).unwrap());
    assert_eq!(call.len(), 16);
    assert_eq!(cell(&call, "remote_number"), Some("+493023125017"));
    assert_eq!(cell(&call, "started"), Some("2024-03-07T10:00:00.000Z"));
    assert_eq!(cell(&call, "dispatch_error"), Some("0"));
}

#[test]
fn sample_values_are_those_of_the_document() {
    let truth = rows(SAMPLE, &TruthFilter::default());
    let contact = &truth.contacts["K7QM2XWD9RTA4HPB"];
    for (column, value) in [
        ("$md5", Some("682359a4840aa2e494658ac93ca5bc15")),
        ("$caller_id", None),
        ("$trigger", Some("other")),
        ("$$outbound_status_detail", Some("Termin vereinbart")),
        ("Titel", None),
        ("titel", Some("Dr.")),
        ("Betrag", Some("1249.95")),
        ("Menge_als_Text", Some("12")),
        ("Bemerkung_intern", Some("Zeile eins\nZeile zwei – äöü 🙂")),
        ("$task_log", None),
    ] {
        assert_eq!(cell(contact, column), value, "{column}");
    }
    assert!(!contact.contains_key("$task_log"));
    // printf '%s%s' K7QM2XWD9RTA4HPB 2024-03-05T09:15:42.468Z | md5sum
    let success = &truth.transactions["fc234a39602ee3f8d8e6ec0cf0540882"];
    assert_eq!(cell(success, "edit_time_sec"), Some("102.5"));
    assert_eq!(cell(success, "isHI"), Some("1"));
    let leg = &truth.connections["6d9b1f40-0000-4000-8000-000000000002"];
    assert_eq!(
        cell(leg, "parent_connection_id"),
        Some("6d9b1f40-0000-4000-8000-000000000001")
    );
    let transfer = &truth.connections["6d9b1f40-0000-4000-8000-000000000003"];
    assert_eq!(
        cell(transfer, "parent_connection_id"),
        Some("6d9b1f40-0000-4000-8000-000000000001")
    );
    assert_eq!(cell(transfer, "code"), Some("200"));
    // printf '%s%s' 6d9b1f40-0000-4000-8000-000000000003 2024-03-05T09:15:40.000Z | md5sum
    let waiting = &truth.recordings["facc392c15d842a6034bffb7e313a903"];
    assert_eq!(cell(waiting, "location"), None);
}

#[test]
fn transactions_with_one_fired_are_told_apart_by_their_sequence() {
    let json = r#"{"$id":"C","$task_log":[null,{"transactions":[
        {"fired":"2024-01-01T00:00:00.0Z","sequence_nr":9,"type":"update","user":"u","disconnected":"x"},
        {"fired":"2024-01-01T00:00:00.000Z","sequence_nr":1},
        {"fired":null,"sequence_nr":2},{"sequence_nr":3},{"fired":17}]},
        {"transactions":[{"fired":"2024-01-01T00:00:00.0Z","sequence_nr":4,"type":"dial_result"},null]},
        {"transactions":{}},{}]}"#;
    let id = |parts: &[&str]| md5_hex(parts);
    let short = "2024-01-01T00:00:00.0Z";
    let (first, second) = (id(&["C", short]), id(&["C", short, "9"]));
    let other = id(&["C", "2024-01-01T00:00:00.000Z"]);
    let mut expected = vec![&first, &second, &other];
    expected.sort_unstable();
    let all = rows(json, &TruthFilter::default());
    assert_eq!(all.transactions.keys().collect::<Vec<_>>(), expected);
    assert_eq!(cell(&all.transactions[&first], "type"), Some("dial_result"));
    assert_eq!(cell(&all.transactions[&second], "type"), Some("update"));
    // The one that is filtered out still counts.
    let updates = TruthFilter {
        mode: FilterMode::HiUpdatesOnly,
        ..TruthFilter::default()
    };
    assert_eq!(
        rows(json, &updates).transactions.keys().collect::<Vec<_>>(),
        [&second]
    );
}

#[test]
fn connections_follow_their_rules() {
    let json = r#"{"$id":"C","$task_log":[{"transactions":[{"fired":"T","type":"update","connections":[
        {"id":"a","technology":"transfer","disconnected":"x","isThirdPartyConnection":"true"},
        {"id":"b","disconnected":"","third_party_connections":[{"id":"lost","disconnected":"x"}]},
        {"id":"c","technology":"transfer","disconnected":"x","duration":"9.3e1","code":"n/a"},
        {"id":17,"disconnected":"x","isThirdPartyConnection":1,
         "third_party_connections":[{"id":"d","disconnected":"x","technology":"transfer","third_party_connections":[
            {"id":"","fired":"F","disconnected":"x","recordings":[{"location":""},{"started":"S","location":null}]}]}]},
        {"disconnected":"x"},
        {"id":"e","technology":"transfer","disconnected":"x"}]}]}]}"#;
    let truth = rows(json, &TruthFilter::default());
    let transaction = md5_hex(&["C", "T"]);
    let derived = md5_hex(&[&transaction, "F"]);
    let mut expected = vec![
        (Some("17"), None),
        (Some("a"), None),
        (Some("c"), Some("b")),
        (Some("d"), Some("17")),
        (Some("e"), None),
        (Some(derived.as_str()), Some("d")),
    ];
    expected.sort_unstable();
    assert_eq!(
        by(&truth.connections, "id", "parent_connection_id"),
        expected
    );
    let third: Vec<_> = by(&truth.connections, "isThirdPartyConnection", "id")
        .into_iter()
        .filter(|(third, _)| *third == Some("1"))
        .collect();
    assert_eq!(third, [(Some("1"), Some("17")), (Some("1"), Some("a"))]);
    assert_eq!(cell(&truth.connections["c"], "duration"), Some("93"));
    assert_eq!(cell(&truth.connections["c"], "code"), None);
    let mut recordings = vec![md5_hex(&[&derived]), md5_hex(&[&derived, "S"])];
    recordings.sort_unstable();
    assert_eq!(
        truth.recordings.keys().cloned().collect::<Vec<_>>(),
        recordings
    );
    let filtered = TruthFilter {
        prefixes: vec!["fc_".to_owned()],
        ..TruthFilter::default()
    };
    // No task passes every prefix.
    assert_eq!(rows(json, &filtered).connections.len(), 6);
    let human = TruthFilter {
        mode: FilterMode::HiUpdatesOnly,
        ..TruthFilter::default()
    };
    assert_eq!(rows(json, &human).counts(), [1, 0, 0, 0, 0]);
}

#[test]
fn values_become_cells() {
    let json = r#"{"$task_log":null,"$comment":"eins","$id":"C","$comment":null,"$changed":"x","$new":[1,"ä"],
        "Firma":true,"Vorname":2.50,"Nachname":{"a":1e5},"Anzahl":" 12 ","Betrag":"1,5","Ort":"  ","Altfeld":"x"}"#;
    let truth = rows(json, &TruthFilter::default());
    let contact = &truth.contacts["C"];
    for (column, value) in [
        ("$comment", None),
        ("$new", Some("[1,\"ä\"]")),
        ("Firma", Some("1")),
        ("Vorname", Some("2.50")),
        ("Nachname", Some("{\"a\":1e5}")),
        ("Anzahl", Some("12")),
        ("Betrag", None),
        ("Ort", Some("  ")),
    ] {
        assert_eq!(cell(contact, column), value, "{column}");
    }
    assert!(!contact.contains_key("$changed"));
    assert!(!contact.contains_key("Altfeld"));
    let few = TruthFilter {
        fields: 2,
        ..TruthFilter::default()
    };
    let contact = &rows(json, &few).contacts["C"];
    assert!(contact.contains_key("Vorname") && !contact.contains_key("Nachname"));
}

#[test]
fn numbers_are_normalised() {
    for (token, value) in [
        ("0", Some("0")),
        ("-0", Some("0")),
        ("-0.00", Some("0")),
        ("12.50", Some("12.5")),
        ("100", Some("100")),
        ("1e5", Some("100000")),
        ("1.5e+2", Some("150")),
        ("1E-3", Some("0.001")),
        ("-17.250", Some("-17.25")),
        ("12345678901234567890", Some("12345678901234567890")),
        ("0.10e1", Some("1")),
        ("10.0", Some("10")),
        ("007", None),
        ("+5", None),
        (".5", None),
        ("5.", None),
        ("1,5", None),
        ("", None),
        ("-", None),
        ("1e", None),
        ("NaN", None),
    ] {
        assert_eq!(normalise(token).as_deref(), value, "{token}");
    }
}

#[test]
fn ids_tell_their_number() {
    for number in [0, 1, 77, u64::MAX, 1 << 63] {
        assert_eq!(unmix(mix(number)), number);
    }
    let ids: Vec<String> = (0..1000).map(|index| contact_id(5, index)).collect();
    for (index, id) in (0..).zip(&ids) {
        assert_eq!(contact_index(5, id), Some(index));
        assert_eq!(contact_index(6, id), None);
    }
    assert!(
        ids.iter()
            .all(|id| id.len() == 16 && !id.contains(['0', '1', 'I', 'O']))
    );
}

#[test]
fn times_are_read_and_written() {
    let at = from_datetime(datetime!(2024-02-29 23:59:58.120 UTC));
    assert_eq!(zulu(at), "2024-02-29T23:59:58.120Z");
    assert_eq!(zulu_short(at), "2024-02-29T23:59:58.12Z");
    assert_eq!(zulu_short(at - 120), "2024-02-29T23:59:58.0Z");
    assert_eq!(http_date(at), "Thu, 29 Feb 2024 23:59:58 GMT");
    for text in ["2024-02-29T23:59:58.12", "2024-02-29T23:59:58.120Z"] {
        assert_eq!(parse(text), Some(at), "{text}");
    }
    assert_eq!(parse("2024-03-01"), parse("2024-03-01T00:00:00"));
    for text in [
        "",
        "2024-3-1",
        "2024-03-01T",
        "2024-03-01 00:00:00",
        "2024-03-01T00:00:00.x",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    for days in 0..40_000 {
        let at = days * 26 * HOUR;
        let text = crate::support::simulator::instant::to_datetime(at)
            .date()
            .to_string();
        assert_eq!(local(at)[..10], text);
        assert_eq!(parse(&local(at)), Some(at));
    }
}
