//! Rows of invented documents, value by value.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use md5::{Digest, Md5};

use super::*;
use crate::source::json::Document;
use crate::tables::fields::FieldLimit;
use crate::tables::fields::{CustomField, NameUnit, Naming};
use crate::tables::filter::FilterMode;

const CONTACT: &str = include_str!("../../../tests/support/samples/sample-contact.json");
const CALL: &str = include_str!("../../../tests/support/samples/sample-inbound-call.json");
const STAMP: &str = "2024-03-08T00:00:00Z";

fn layout() -> Layout {
    let naming = Naming {
        longest: 63,
        unit: NameUnit::Bytes,
        ignores_case: false,
    };
    let mut layout = Layout::new("dfire_", naming, FieldLimit::All, &[]);
    let field = |key: &str, is_number| CustomField {
        key: key.to_owned(),
        is_number,
    };
    layout.add_fields(
        &[
            field("Firma", false),
            field("Betrag", true),
            field("Menge_als_Text", true),
            field("Titel", false),
        ],
        &[],
    );
    layout
}

fn rows_of(document: &str, mode: FilterMode, prefixes: &[&str]) -> (Batch, Remarks) {
    let layout = layout();
    let filter = Filter {
        mode,
        task_prefixes: prefixes.iter().map(|p| (*p).to_owned()).collect(),
    };
    let mut batch = Batch::for_schema(layout.schema());
    let mut remarks = Remarks::default();
    let maker = RowMaker {
        layout: &layout,
        filter: &filter,
        stamp: STAMP,
    };
    maker
        .contact(
            &Document::parse(document).unwrap().root(),
            &mut batch,
            &mut remarks,
        )
        .unwrap();
    (batch, remarks)
}

fn value(batch: &Batch, table: Table, row: usize, column: &str) -> Option<String> {
    let position = layout().schema().table(table).position(column).unwrap();
    batch.rows(table).row(row).get(position).map(str::to_owned)
}

/// md5 by an independent way of writing it: the digest's own formatting.
fn md5_of(text: &str) -> String {
    Md5::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn the_sample_contact_gives_the_rows_that_its_notes_name() {
    let (batch, _) = rows_of(CONTACT, FilterMode::All, &[]);
    assert_eq!(batch.counts(), [1, 5, 3, 2, 0]);
    assert_eq!(
        rows_of(CONTACT, FilterMode::HiUpdatesOnly, &[]).0.counts()[1],
        2
    );
    assert_eq!(rows_of(CONTACT, FilterMode::All, &["fc_"]).0.counts()[1], 3);
}

#[test]
fn a_contact_row_has_texts_numbers_and_nulls() {
    let (batch, remarks) = rows_of(CONTACT, FilterMode::All, &[]);
    let contact = |column| value(&batch, Table::Contacts, 0, column);
    assert_eq!(contact("$id").as_deref(), Some("K7QM2XWD9RTA4HPB"));
    assert_eq!(contact("$follow_up_date").as_deref(), Some("auto"));
    assert_eq!(contact("$caller_id"), None);
    assert_eq!(contact("$changed").as_deref(), Some(STAMP));
    assert_eq!(contact("Betrag").as_deref(), Some("1249.95"));
    assert_eq!(contact("Menge_als_Text").as_deref(), Some("12"));
    assert_eq!(contact("Titel"), None);
    assert!(remarks.unknown_keys.contains(&"$$outbound_task".to_owned()));
    assert!(remarks.unknown_keys.contains(&"titel".to_owned()));
    assert!(!remarks.unknown_keys.contains(&"$task_log".to_owned()));
}

/// A campaign cannot have a field of a longer name: reading the fields again would bring nothing.
#[test]
fn an_unknown_key_of_the_longest_length_is_named_and_one_byte_more_is_not() {
    let longest = "ü".repeat(500);
    let longer = format!("{longest}x");
    let document =
        format!(r#"{{"$id":"C1","{longest}":"a","{longer}":"secret","Titel":"the rest"}}"#);
    let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
    assert_eq!(remarks.unknown_keys, [longest]);
    let whats: Vec<&str> = remarks.oddities.iter().map(|o| o.what.as_str()).collect();
    assert_eq!(
        whats,
        [r#"field "(too long)": the name of a field is longer than 1000 bytes, left out"#]
    );
    let title = value(&batch, Table::Contacts, 0, "Titel");
    assert_eq!(title.as_deref(), Some("the rest"));
}

#[test]
fn ids_and_parents_follow_the_old_client() {
    let (batch, _) = rows_of(CONTACT, FilterMode::All, &[]);
    let transaction = md5_of("K7QM2XWD9RTA4HPB2024-03-05T09:15:42.468Z");
    assert_eq!(
        value(&batch, Table::Transactions, 3, "id"),
        Some(transaction.clone())
    );
    assert_eq!(
        value(&batch, Table::Transactions, 4, "fired").as_deref(),
        Some("2024-03-06T07:00:00.1Z")
    );
    for row in 0..3 {
        assert_eq!(
            value(&batch, Table::Connections, row, "transaction_id"),
            Some(transaction.clone())
        );
    }
    let id = |row| value(&batch, Table::Connections, row, "id").unwrap();
    let parent = |row| value(&batch, Table::Connections, row, "parent_connection_id");
    assert_eq!(parent(0), None);
    assert_eq!(parent(1), Some(id(0)));
    assert_eq!(parent(2), Some(id(0)));
    assert_eq!(
        value(&batch, Table::Connections, 1, "isThirdPartyConnection").as_deref(),
        Some("1")
    );
    assert_eq!(
        value(&batch, Table::Connections, 2, "isThirdPartyConnection").as_deref(),
        Some("0")
    );
    let placeholder = md5_of(&format!("{}2024-03-05T09:15:40.000Z", id(2)));
    assert!(
        (0..2).any(|row| value(&batch, Table::Recordings, row, "id") == Some(placeholder.clone()))
    );
    assert!(!batch.placeholders.contains(&placeholder));
    assert_eq!(batch.placeholders.len(), 2);
}

fn contact_with(transactions: &str) -> String {
    format!(r#"{{"$id":"C","$task_log":[{{"transactions":[{transactions}]}}]}}"#)
}

#[test]
fn transactions_with_one_fired_keep_apart_and_the_lowest_number_keeps_the_plain_id() {
    let document = contact_with(
        r#"{"fired":"F","sequence_nr":7,"task":"b"},{"fired":"F","sequence_nr":3,"task":"a"},{"fired":"G","sequence_nr":9}"#,
    );
    let (batch, _) = rows_of(&document, FilterMode::All, &[]);
    let ids: Vec<_> = (0..3)
        .map(|row| value(&batch, Table::Transactions, row, "id").unwrap())
        .collect();
    assert_eq!(ids, [md5_of("CF7"), md5_of("CF"), md5_of("CG")]);
    let (filtered, _) = rows_of(&document, FilterMode::All, &["b"]);
    assert_eq!(
        value(&filtered, Table::Transactions, 0, "id"),
        Some(md5_of("CF7"))
    );
}

#[test]
fn damaged_histories_give_what_can_be_read_of_them() {
    for task_log in [
        "null",
        "\"\"",
        "5",
        "{}",
        "[]",
        "[null,1,{}]",
        r#"[{"transactions":null}]"#,
    ] {
        let document = format!(r#"{{"$task_log":{task_log},"$id":"C"}}"#);
        assert_eq!(
            rows_of(&document, FilterMode::All, &[]).0.counts(),
            [1, 0, 0, 0, 0],
            "{task_log}"
        );
    }
    let document = contact_with(
        r#"{"sequence_nr":1},{"fired":5},{"fired":"F","connections":"no"},null,{"fired":"G","connections":[1,{"id":"K"}]}"#,
    );
    let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
    assert_eq!(batch.counts(), [1, 2, 0, 0, 0]);
    assert_eq!(remarks.oddities.len(), 2);
}

#[test]
fn connections_without_an_id_get_one_and_running_ones_are_left_out_with_their_legs() {
    let document = contact_with(
        r#"{"fired":"F","connections":[
            {"fired":"c1","disconnected":"d","recordings":[{"started":"s"}]},
            {"id":12,"disconnected":"","recordings":[{"started":"s"}],"third_party_connections":[{"id":"L","disconnected":"d"}]},
            {"id":"T","technology":"transfer","disconnected":"d"},
            {"disconnected":"d"}]}"#,
    );
    let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
    assert_eq!(batch.counts(), [1, 1, 2, 1, 0]);
    let derived = md5_of(&format!("{}c1", md5_of("CF")));
    assert_eq!(
        value(&batch, Table::Connections, 0, "id"),
        Some(derived.clone())
    );
    assert_eq!(
        value(&batch, Table::Connections, 1, "parent_connection_id").as_deref(),
        Some("12")
    );
    assert_eq!(
        value(&batch, Table::Recordings, 0, "id"),
        Some(md5_of(&format!("{derived}s")))
    );
    assert_eq!(remarks.oddities.len(), 1);
}

#[test]
fn what_is_no_number_or_truth_becomes_null_and_is_noted_without_its_value() {
    let document = contact_with(
        r#"{"fired":"F","pause_time_sec":"soon","edit_time_sec":"1e2","wait_time_sec":true,"isHI":"perhaps","revoked":true}"#,
    );
    let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
    assert_eq!(
        value(&batch, Table::Transactions, 0, "pause_time_sec"),
        None
    );
    assert_eq!(
        value(&batch, Table::Transactions, 0, "edit_time_sec").as_deref(),
        Some("100")
    );
    assert_eq!(value(&batch, Table::Transactions, 0, "isHI"), None);
    assert_eq!(
        value(&batch, Table::Transactions, 0, "revoked").as_deref(),
        Some("1")
    );
    assert_eq!(value(&batch, Table::Transactions, 0, "wait_time_sec"), None);
    assert_eq!(remarks.oddities.len(), 3);
    for oddity in &remarks.oddities {
        assert_eq!(oddity.id, "C");
        assert!(
            !oddity.what.contains("soon") && !oddity.what.contains("perhaps"),
            "{}",
            oddity.what
        );
    }
}

#[test]
fn a_recording_names_its_placeholders_once_its_location_is_there() {
    let with = |location: &str| {
        let document = contact_with(&format!(
            r#"{{"fired":"F","connections":[{{"id":"K","disconnected":"d","recordings":[{{"started":"s"{location}}}]}}]}}"#
        ));
        let (batch, _) = rows_of(&document, FilterMode::All, &[]);
        (
            value(&batch, Table::Recordings, 0, "id").unwrap(),
            batch.placeholders,
        )
    };
    assert_eq!(with(""), (md5_of("Ks"), vec![]));
    assert_eq!(with(r#","location":null"#), (md5_of("Ks"), vec![]));
    assert_eq!(with(r#","location":"""#), (md5_of("K"), vec![md5_of("Ks")]));
    assert_eq!(
        with(r#","location":"L""#),
        (md5_of("KL"), vec![md5_of("Ks"), md5_of("K")])
    );
}

#[test]
fn an_inbound_call_is_renamed() {
    let layout = layout();
    let filter = Filter {
        mode: FilterMode::All,
        task_prefixes: vec![],
    };
    let mut batch = Batch::for_schema(layout.schema());
    let mut remarks = Remarks::default();
    let maker = RowMaker {
        layout: &layout,
        filter: &filter,
        stamp: STAMP,
    };
    assert!(maker.inbound_call(
        &Document::parse(CALL).unwrap().root(),
        &mut batch,
        &mut remarks
    ));
    assert!(!maker.inbound_call(
        &Document::parse(r#"{"id":""}"#).unwrap().root(),
        &mut batch,
        &mut remarks
    ));
    assert_eq!(batch.counts(), [0, 0, 0, 0, 1]);
    let call = |column| value(&batch, Table::InboundCalls, 0, column);
    assert_eq!(call("remote_number").as_deref(), Some("+493023125017"));
    assert_eq!(call("line_number").as_deref(), Some("+493023125000"));
    assert_eq!(call("started").as_deref(), Some("2024-03-07T10:00:00.000Z"));
    assert_eq!(
        call("disconnected").as_deref(),
        Some("2024-03-07T10:03:45.900Z")
    );
    assert_eq!(call("dispatch_error").as_deref(), Some("0"));
}

#[test]
fn rows_that_would_take_many_times_their_document_are_refused() {
    let refused = |document: String| {
        let layout = layout();
        let filter = Filter {
            mode: FilterMode::All,
            task_prefixes: Vec::new(),
        };
        let maker = RowMaker {
            layout: &layout,
            filter: &filter,
            stamp: STAMP,
        };
        let mut batch = Batch::for_schema(layout.schema());
        let document = Document::parse(&document).unwrap();
        let result = maker.contact(&document.root(), &mut batch, &mut Remarks::default());
        assert!(batch.bytes() < 8 * document.root().length_of_document() + (1 << 18));
        result.is_err()
    };
    let contact = |id: &str, transaction: &str, count: usize| {
        let transactions = vec![transaction; count].join(",");
        format!(r#"{{"$id":"{id}","$task_log":[{{"transactions":[{transactions}]}}]}}"#)
    };
    assert!(refused(contact("C", r#"{"fired":"1"}"#, 50_000)));
    assert!(refused(contact(
        &"C".repeat(50_000),
        r#"{"fired":"1"}"#,
        100
    )));
    assert!(!refused(contact("C", r#"{"fired":"1"}"#, 100)));
    let ordinary = r#"{"fired":"2024-03-05T09:15:42.468Z","type":"update","task":"fc_sales"}"#;
    assert!(!refused(contact("K7QM2XWD9RTA4HPB", ordinary, 50_000)));
}

#[test]
fn of_very_many_oddities_the_first_ones_are_told() {
    let document = format!(
        r#"{{"$id":"{}","$task_log":[{{"transactions":[{}]}}]}}"#,
        "ü".repeat(500),
        [r#"{"type":"update","task":"fc_outbound"}"#; 2000].join(",")
    );
    let (_, remarks) = rows_of(&document, FilterMode::All, &[]);
    assert_eq!(remarks.oddities.len(), 1001);
    assert_eq!(remarks.oddities[0].id, "ü".repeat(100));
    assert_eq!(remarks.oddities[1000].what, "more was odd than is listed");
}

#[test]
fn what_is_written_in_an_unknown_form_makes_the_contact_incomplete() {
    let fired = r#""fired":"2024-03-05T09:15:42.468Z""#;
    let in_transaction =
        |more: &str| format!(r#""$task_log":[{{"transactions":[{{{fired},{more}}}]}}]"#);
    let in_connection = |more: &str| {
        let ended = r#""id":"C","disconnected":"x""#;
        in_transaction(&format!(r#""connections":[{{{ended},{more}}}]"#))
    };
    let call = r#"{"call_uuid":"u","hangup_party":"a","disconnected":"x"}"#;
    let odd = [
        (r#""$task_log":"[{}]""#.to_owned(), "$task_log"),
        (r#""$task_log":7"#.to_owned(), "$task_log"),
        (r#""$task_log":{"0":{}}"#.to_owned(), "$task_log"),
        (r#""$task_log":[null,null]"#.to_owned(), "$task_log"),
        (r#""$task_log":[[{}]]"#.to_owned(), "$task_log"),
        (
            r#""$task_log":[{"transactions":[1,{}]}]"#.to_owned(),
            "transactions",
        ),
        (
            r#""$task_log":[{"transactions":false}]"#.to_owned(),
            "transactions",
        ),
        (in_transaction(r#""connections":"none""#), "connections"),
        (in_transaction(r#""connections":2"#), "connections"),
        (in_transaction(r#""connections":[""]"#), "connections"),
        (
            in_transaction(&format!(r#""calls":[{call}]"#)),
            "another key",
        ),
        (
            in_transaction(&format!(r#""connection":{call}"#)),
            "another key",
        ),
        (
            in_connection(r#""recordings":["https://x.invalid/a.mp3"]"#),
            "recordings",
        ),
        (
            in_connection(r#""audio":[{"filename":"a","location":"b"}]"#),
            "another key",
        ),
        (
            in_connection(&format!(r#""third_party_connections":{{"0":{call}}}"#)),
            "third_party_connections",
        ),
    ];
    for (json, place) in odd {
        let document = format!(r#"{{"$id":"A","$md5":"m",{json}}}"#);
        let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
        let places: Vec<_> = remarks
            .incomplete
            .iter()
            .map(|unread| unread.place)
            .collect();
        assert_eq!(places, [place], "{document}");
        assert_eq!(
            value(&batch, Table::Contacts, 0, "$md5"),
            None,
            "{document}"
        );
        assert!(!remarks.incomplete[0].what.contains("mp3"), "{document}");
    }
    let known = [
        r#""$task_log":[]"#.to_owned(),
        r#""$task_log":"""#.to_owned(),
        r#""$task_log":[{"transactions":[]},null]"#.to_owned(),
        in_transaction(r#""connections":0"#),
        in_transaction(r#""connections":{"0":null}"#),
        in_transaction(
            r#""tags":[{"name":"a","user":"b"}],"data":{"filename":"a","location":"b"}"#,
        ),
        in_connection(r#""recordings":[{"location":null},null,""]"#),
    ];
    for json in known {
        let document = format!(r#"{{"$id":"A","$md5":"m",{json}}}"#);
        let (batch, remarks) = rows_of(&document, FilterMode::All, &[]);
        assert_eq!(remarks.incomplete, [], "{document}");
        assert!(value(&batch, Table::Contacts, 0, "$md5").is_some());
    }
}

/// Whoever calls right now has not ended, and nothing is wrong with that.
#[test]
fn connections_without_an_end_are_counted_the_day_after() {
    let document = |fired: &str| {
        format!(
            r#"{{"$id":"A","$task_log":[{{"transactions":[{{"fired":"2024-03-07T23:00:00Z","connections":[{{"id":"C",{fired}}}]}}]}}]}}"#
        )
    };
    for (fired, left_out) in [
        (r#""fired":"2024-03-08T00:00:00.000Z""#, 0),
        (r#""started":"2024-03-08T00:00:00.000Z""#, 0),
        (r#""fired":"2024-03-07T23:59:59.999Z""#, 1),
        (r#""firedAt":"2024-03-08T00:00:00.000Z""#, 1),
        (
            r#""fired":"2024-03-07T23:59:59.999Z","disconnected":"x""#,
            0,
        ),
    ] {
        let (_, remarks) = rows_of(&document(fired), FilterMode::All, &[]);
        assert_eq!(remarks.connections_left_out, left_out, "{fired}");
    }
}
