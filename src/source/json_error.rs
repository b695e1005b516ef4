//! What is wrong with a JSON text, for messages.

/// What is wrong with a JSON text, without quoting from it: serde's own messages hold values.
pub fn json_problem(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "it ends too early",
        serde_json::error::Category::Syntax => "wrong syntax",
        serde_json::error::Category::Data => "wrong type or missing key",
        serde_json::error::Category::Io => "unreadable",
    };
    format!(
        "not the JSON expected: {what} at line {} column {}",
        error.line(),
        error.column()
    )
}
