//! Inputs that are small for what they could become: too large for the corpus, as one line says them.

/// How large they are, about.
const SIZE: usize = 1 << 20;

/// Those of a check, with what they are.
pub fn bombs(check: &str) -> Vec<(&'static str, String)> {
    let many = |before: &str, part: &str, behind: &str| {
        format!("{before}{}{behind}", part.repeat(SIZE / part.len()))
    };
    match check {
        "contacts" => vec![
            ("many documents", many("[", "{},", "{}]")),
            ("many numbers", many("[", "0,", "0]")),
            (
                "deep nesting",
                format!("{}{}", "[".repeat(SIZE / 2), "]".repeat(SIZE / 2)),
            ),
            ("many keys", many(r#"[{"$id":"C""#, r#","a":0"#, "}]")),
            ("many empty keys", many(r#"[{"$id":"C""#, r#","":0"#, "}]")),
            (
                "a list of numbers",
                many(r#"[{"$id":"C","$task_log":["#, "0,", "0]}]"),
            ),
            (
                "a list of lists",
                many(r#"[{"$id":"C","$task_log":["#, "[],", "0]}]"),
            ),
            (
                "empty log entries",
                many(r#"[{"$id":"C","$task_log":["#, "{},", "{}]}]"),
            ),
            (
                "empty transactions",
                many(
                    r#"[{"$id":"C","$task_log":[{"transactions":["#,
                    "{},",
                    "{}]}]}]",
                ),
            ),
            (
                "numbers as a value",
                many(r#"[{"$id":"C","a":["#, "0, ", "0]}]"),
            ),
            ("escapes", many(r#"[{"$id":"C","a":""#, r"\n", r#""}]"#)),
            (
                "half surrogate pairs",
                many(r#"[{"$id":"C","a":""#, r"\ud800", r#""}]"#),
            ),
            (
                "nested legs",
                format!(
                    r#"[{{"$id":"C","$task_log":[{{"transactions":[{{"fired":"1","connections":[{}{}]}}]}}]}}]"#,
                    r#"{"id":"1","disconnected":"d","third_party_connections":["#.repeat(20_000),
                    "]}".repeat(20_000)
                ),
            ),
            (
                "a huge id that each row repeats",
                format!(
                    r#"[{{"$id":"{}","$task_log":[{{"transactions":[{}]}}]}}]"#,
                    "C".repeat(SIZE / 32),
                    [r#"{"fired":"1"}"#; 2000].join(",")
                ),
            ),
            (
                "a huge id that each oddity repeats",
                format!(
                    r#"[{{"$id":"{}","$task_log":[{{"transactions":[{}]}}]}}]"#,
                    "C".repeat(SIZE / 32),
                    ["{}"; 2000].join(",")
                ),
            ),
        ],
        "event" => vec![
            ("many parts", many("a", "|", "")),
            (
                "a nested pointer",
                many(r#"{"contact_id":"C","pointer":["#, "0,", "0]}"),
            ),
            ("many keys", many(r#"{"contact_id":"C""#, r#","":0"#, "}")),
        ],
        "page" => vec![
            ("many numbers", many(r#"{"results":["#, "0,", "0]}")),
            ("many events", many(r#"{"results":["#, r#""||C","#, "0]}")),
            (
                "many contacts",
                many(r#"{"results":["#, r#"{"id":1},"#, "0]}"),
            ),
            ("many keys", many(r#"{"results":[]"#, r#","":0"#, "}")),
            (
                "a nested count",
                many(r#"{"results":[],"count":["#, "0,", "0]}"),
            ),
        ],
        "fields" => vec![
            ("many numbers", many("[", "0,", "0]")),
            ("many objects", many("[", r#"{"":0},"#, "0]")),
            ("equal fields", many("[", r#"{"name":"a"},"#, "0]")),
            (
                "different fields",
                format!(
                    "[{}]",
                    (0..SIZE / 12)
                        .map(|n| format!(r#"{{"name":{n}}}"#))
                        .collect::<Vec<_>>()
                        .join(",")
                ),
            ),
        ],
        "address" => vec![
            ("many at signs", "@".repeat(20_000)),
            ("many hosts", format!("h/d{}", ",h".repeat(20_000))),
        ],
        "command_line" => vec![
            ("many flags", many("", "--v\n", "")),
            ("many prefixes", format!("--fp={}", "a,".repeat(SIZE / 32))),
            ("many headers", many("", "--header\na: b\n", "")),
        ],
        "state_file" => vec![
            ("many retries", many(r#"{"retry":["#, r#""","#, r#"""]}"#)),
            ("many lines", many("", "{}\n", "")),
        ],
        "web_service" => {
            let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            vec![
                (
                    "informational answers",
                    many("", "HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n", ""),
                ),
                ("a long head", many("HTTP/1.1 200 OK\r\nX: ", "x", "")),
                ("a long body", many("HTTP/1.1 400 No\r\n\r\n", "x", "")),
                ("small chunks", many(chunked, "1;x=y\r\nx\r\n", "0\r\n\r\n")),
                (
                    "trailers",
                    many(&format!("{chunked}0\r\n"), "X-Sum: 1\r\n", "\r\n"),
                ),
            ]
        }
        "postgres_log_in" => vec![
            ("notices before it is ready", many("", "N\0\0\0\x05\0", "")),
            (
                "parameters before it is ready",
                many("R\0\0\0\x08\0\0\0\0", "S\0\0\0\x08a\0b\0", ""),
            ),
            (
                "a message of two gigabytes",
                many("S\x7f\x7f\x7f\x7f", "x", ""),
            ),
        ],
        "mysql_log_in" => vec![
            ("a long greeting", many("\x7f\x7f\x7f\0\n", "x", "")),
            ("many packets", many("", "\x01\0\0\0\n", "")),
        ],
        "sqlserver_log_in" => vec![
            (
                "a long answer",
                many("", "\x04\0\0\x10\0\0\x01\0xxxxxxxx", ""),
            ),
            (
                "a packet of 32 KB",
                many("\x04\x01\x7f\x7f\0\0\x01\0", "x", ""),
            ),
        ],
        _ => Vec::new(),
    }
}
