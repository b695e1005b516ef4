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
    let d = Document::parse(r#"{"a":[1,{"b":2},null,{"b":3},"x"],"n":null,"s":"text"}"#).unwrap();
    let o = d.root();
    let numbers: Vec<_> = o
        .objects("a")
        .iter()
        .map(|x| x.get("b").to_text().unwrap().into_owned())
        .collect();
    assert_eq!(numbers, ["2", "3"]);
    assert!(o.objects("n").is_empty() && o.objects("s").is_empty() && o.objects("none").is_empty());
}

#[test]
fn what_is_written_can_be_had_as_it_is() {
    let d = Document::parse(
        r#"{ "a\u00e4" : "x\n\"y" , "b":1e5,"c":[ {"d": "" } ,null, {} , 7 ],"e":{"f": 1} }"#,
    )
    .unwrap();
    let o = d.root();
    let written: Vec<_> = o.as_written().collect();
    assert_eq!(
        written,
        [
            (r#""a\u00e4""#, r#""x\n\"y""#),
            (r#""b""#, "1e5"),
            (r#""c""#, r#"[ {"d": "" } ,null, {} , 7 ]"#),
            (r#""e""#, r#"{"f": 1}"#),
        ]
    );
    let elements = o.elements("c");
    let texts: Vec<_> = elements.iter().map(|e| e.map(|(_, text)| text)).collect();
    assert_eq!(texts, [Some(r#"{"d": "" }"#), None, Some("{}"), None]);
    let (object, _) = elements[0].unwrap();
    assert_eq!(object.as_written().next(), Some((r#""d""#, r#""""#)));
    assert!(o.elements("b").is_empty() && o.elements("none").is_empty());
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
fn elements_refuses_what_is_no_array_or_goes_on_after_it() {
    assert_eq!(elements("[1,{},\"a\"]").unwrap().len(), 3);
    assert!(elements("{}").is_err());
    assert!(elements("[1,2").is_err());
    assert!(elements("[1] x").is_err());
    assert!(elements("").is_err());
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
    let text = r#" { "a" : [ 1 , { "x" : "\"]}" , "y\n" : [ ] } , [ { "z" : 1 } ] , -1.5e3 ] ,
        "e\u0041" : {} , "t":true,"f" : false,"n":null , "s":"\\" ,"last":{"k":[{"deep":["end"]}]}} "#;
    let d = Document::parse(text).unwrap();
    let wanted: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    let keys: Vec<_> = d
        .root()
        .entries()
        .map(|(key, _)| key.into_owned())
        .collect();
    assert_eq!(keys, ["a", "eA", "t", "f", "n", "s", "last"]);
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
    let [x] = d.root().objects("a")[..] else {
        panic!()
    };
    assert_eq!(x.get("x").to_text().unwrap(), "\"]}");
    assert_eq!(x.get("y\n"), Value::Nested("[ ]"));
    let deep = d.root().get("last");
    assert_eq!(deep, Value::Nested(r#"{"k":[{"deep":["end"]}]}"#));
    assert!(Document::parse("[{}]").is_none() && Document::parse("1").is_none());
}
