#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
use super::*;

#[test]
fn values_keep_what_the_document_wrote() {
    let d = Document::parse(r#"{"a":1e5,"b":"x\ny","c":true,"d":null,"e":[1, "a b" ],"f":"plain","g":12345678901234567890123}"#)
        .unwrap();
    let o = d.root();
    assert_eq!(o.get("a"), Value::Number("1e5"));
    assert_eq!(o.get("b").to_text().unwrap(), "x\ny");
    assert_eq!(o.get("c").to_text().unwrap(), "1");
    assert_eq!(o.get("d"), Value::Null);
    assert_eq!(o.get("e").to_text().unwrap(), r#"[1,"a b"]"#);
    assert!(matches!(o.get("f"), Value::Text(Cow::Borrowed("plain"))));
    assert_eq!(o.get("g").to_text().unwrap(), "12345678901234567890123");
    assert_eq!(o.get("missing"), Value::Null);
}

#[test]
fn the_last_of_equal_keys_counts() {
    assert_eq!(
        Document::parse(r#"{"a":1,"a":2}"#).unwrap().root().get("a"),
        Value::Number("2")
    );
}

#[test]
fn objects_leaves_out_what_is_no_object() {
    let d = Document::parse(
        r#"{"connections":[1,{"b":2},null,[{"b":0}],{"b":3},"x"],"recordings":null,"transactions":"text","a":[{"b":4}]}"#,
    )
    .unwrap();
    let o = d.root();
    let numbers: Vec<_> = o
        .objects("connections")
        .map(|x| x.get("b").to_text().unwrap().into_owned())
        .collect();
    assert_eq!(numbers, ["2", "3"]);
    for key in ["recordings", "transactions", "none", "a"] {
        assert_eq!(o.objects(key).count(), 0, "{key}");
    }
    assert_eq!(
        o.get("connections"),
        Value::Nested(r#"[1,{"b":2},null,[{"b":0}],{"b":3},"x"]"#)
    );
}

#[test]
fn what_stands_where_a_list_belongs_is_told() {
    let d = Document::parse(
        r#"{"connections":[],"recordings":null,"transactions":"[{}]","$task_log":{"0":{"b":1}},"a":"","b":0}"#,
    )
    .unwrap();
    let o = d.root();
    for key in ["connections", "recordings", "none", "a"] {
        assert_eq!(o.no_list(key), None, "{key}");
    }
    assert_eq!(o.no_list("transactions"), Some(r#""[{}]""#));
    assert_eq!(o.no_list("$task_log"), Some(r#"{"0":{"b":1}}"#));
    assert_eq!(o.no_list("b"), Some("0"));
}

#[test]
fn a_list_of_other_things_than_objects_is_told() {
    let d = Document::parse(
        r#"{"connections":[{},{}],"recordings":[],"transactions":[{}, null ,7],"$task_log":[["a"]]}"#,
    )
    .unwrap();
    let o = d.root();
    for key in ["connections", "recordings", "none"] {
        assert_eq!(o.mixed_list(key), None, "{key}");
    }
    assert_eq!(o.mixed_list("transactions"), Some("[{}, null ,7]"));
    assert_eq!(o.mixed_list("$task_log"), Some(r#"[["a"]]"#));
}

#[test]
fn what_is_written_can_be_had_as_it_is() {
    let d = Document::parse(
        r#"{ "a\u00e4" : "x\n\"y" , "b":1e5,"connections":[ {"d": "" } ,null,"[{",[{}], {} , 7 ],"e":{"f": 1} }"#,
    )
    .unwrap();
    let o = d.root();
    let written: Vec<_> = o.as_written().collect();
    assert_eq!(
        written,
        [
            (r#""a\u00e4""#, r#""x\n\"y""#),
            (r#""b""#, "1e5"),
            (
                r#""connections""#,
                r#"[ {"d": "" } ,null,"[{",[{}], {} , 7 ]"#
            ),
            (r#""e""#, r#"{"f": 1}"#),
        ]
    );
    let elements: Vec<_> = o.elements("connections").collect();
    let texts: Vec<_> = elements.iter().map(|e| e.map(|(_, text)| text)).collect();
    assert_eq!(
        texts,
        [Some(r#"{"d": "" }"#), None, None, None, Some("{}"), None]
    );
    let (object, _) = elements[0].unwrap();
    assert_eq!(object.as_written().next(), Some((r#""d""#, r#""""#)));
    assert_eq!(o.elements("b").count() + o.elements("none").count(), 0);
}

#[test]
fn deep_nesting_is_no_error() {
    let deep = format!(
        "{{\"a\":{}1{},\"b\":2}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    assert_eq!(
        Document::parse(&deep).unwrap().root().get("b"),
        Value::Number("2")
    );
}

#[test]
fn each_element_refuses_what_is_no_array_or_goes_on_after_it() {
    let count = |text| {
        let mut count = 0;
        each_element(text, |_| count += 1).map(|()| count)
    };
    assert_eq!(count("[1,{},\"a\"]").unwrap(), 3);
    for text in ["{}", "[1,2", "[1] x", ""] {
        assert!(count(text).is_err(), "{text}");
    }
}

#[test]
fn lists_are_found_at_any_depth_whatever_stands_between() {
    let d = Document::parse(
        r#"{"x":{"connections":[{"no":1}]},"$task\u005flog":[0,1,{"transactions":[{"n":1},2,{"connections":[7,{"n":2},[],8]},3]},[],{"transactions":[{"n":3}]}],"n":4}"#,
    )
    .unwrap();
    let o = d.root();
    let places: Vec<bool> = o.elements("$task_log").map(|e| e.is_some()).collect();
    assert_eq!(places, [false, false, true, false, true]);
    let entries: Vec<_> = o.objects("$task_log").collect();
    let [first, second] = entries[..] else {
        panic!()
    };
    let transactions: Vec<_> = first.elements("transactions").collect();
    assert!(transactions[1].is_none() && transactions[3].is_none());
    let (with_calls, _) = transactions[2].unwrap();
    let calls: Vec<_> = with_calls.elements("connections").collect();
    assert_eq!(calls.len(), 4);
    assert_eq!(calls[1].unwrap().0.get("n"), Value::Number("2"));
    let last: Vec<_> = second.objects("transactions").collect();
    assert_eq!(last[0].get("n"), Value::Number("3"));
    assert_eq!(o.get("n"), Value::Number("4"));
}

#[test]
fn lone_surrogates_are_replaced_and_pairs_kept() {
    let mut text = String::from(
        r#"["\ud800","\ud83d\ude42","\\ud800","\udc00x","\uD83D\u0041","\ud800\ud83d\ude42"]"#,
    );
    assert!(mend_surrogates(&mut text));
    assert_eq!(
        text,
        r#"["\ufffd","\ud83d\ude42","\\ud800","\ufffdx","\ufffd\u0041","\ufffd\ud83d\ude42"]"#
    );
    assert!(serde_json::from_str::<Vec<String>>(&text).is_ok());
    let mut untouched = String::from(r#"["\ud83d\ude42"]"#);
    assert!(!mend_surrogates(&mut untouched));
}

#[test]
fn a_walk_finds_what_serde_finds() {
    let text = r#" { "connections" : [ 1 , { "x" : "\"]}" , "y\n" : [ ] } , [ { "z" : 1 } ] , -1.5e3 ] ,
        "e\u0041" : {} , "t":true,"f" : false,"n":null , "s":"\\" ,"last":{"k":[{"deep":["end"]}]}} "#;
    let d = Document::parse(text).unwrap();
    let wanted: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let keys: Vec<_> = d
        .root()
        .entries()
        .map(|(key, _)| key.into_owned())
        .collect();
    assert_eq!(keys, ["connections", "eA", "t", "f", "n", "s", "last"]);
    for (key, value) in d.root().entries() {
        let wanted = &wanted[key.as_ref()];
        match value {
            Value::Null => assert!(wanted.is_null()),
            Value::Bool(b) => assert_eq!(wanted, &b),
            Value::Text(t) => assert_eq!(wanted, t.as_ref()),
            Value::Number(_) => unreachable!("no number at the top"),
            Value::Nested(json) => {
                assert_eq!(
                    &serde_json::from_str::<serde_json::Value>(json).unwrap(),
                    wanted
                );
            }
        }
    }
    assert_eq!(d.root().get("eA"), Value::Nested("{}"));
    let x = d.root().objects("connections").next().unwrap();
    assert_eq!(x.get("x").to_text().unwrap(), "\"]}");
    assert_eq!(x.get("y\n"), Value::Nested("[ ]"));
    let deep = d.root().get("last");
    assert_eq!(deep, Value::Nested(r#"{"k":[{"deep":["end"]}]}"#));
    assert!(Document::parse("[{}]").is_none() && Document::parse("1").is_none());
}

#[test]
fn strings_end_where_they_do_at_any_place_and_of_any_length() {
    for before in 0..9 {
        for length in 0..20 {
            for inside in ["", r#"\""#, r"\\", "\u{a2}\u{22c2}\u{1f422}"] {
                let (blanks, letters) = (" ".repeat(before), "x".repeat(length));
                let text = format!(r#"{{{blanks}"k{letters}{inside}":"{letters}{inside}","z":1}}"#);
                let document = Document::parse(&text).unwrap();
                let written: Vec<_> = document.root().as_written().collect();
                let string = format!(r#""{letters}{inside}""#);
                let key = format!(r#""k{letters}{inside}""#);
                assert_eq!(written, [(&*key, &*string), (r#""z""#, "1")], "{text}");
                let value = serde_json::from_str::<String>(&string).unwrap();
                let entries: Vec<_> = document.root().entries().collect();
                assert_eq!(entries[0].1, Value::Text(value.into()), "{text}");
                let compacted = text.replacen(&blanks, "", 1);
                assert_eq!(compact(&text), compacted);
            }
        }
    }
}

#[test]
fn blanks_go_only_between_tokens() {
    assert!(matches!(compact(r#"{"a b":"c d"}"#), Cow::Borrowed(_)));
    assert_eq!(
        compact(" { \"a \\\" b\" :\t[1,\r\n 2.50 , \"\\\\\" , \" ] \"]}\n"),
        r#"{"a \" b":[1,2.50,"\\"," ] "]}"#
    );
    assert_eq!(compact(""), "");
}
