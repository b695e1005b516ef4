//! What the README says is what the program does, where a test can tell: flags, tables, status file, messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dbsync2::cli::help;
use dbsync2::cli::settings::Mode;
use dbsync2::destination::sql::dialect::{MYSQL, POSTGRES, SQLITE, SQLSERVER};
use dbsync2::status::{Status, Totals};
use dbsync2::tables::schema::{ColumnKind, Table, columns};
use time::OffsetDateTime;

const BEGIN: &str = "<!-- flags -->\n";
const END: &str = "<!-- /flags -->";

/// Set it to write the table of flags again.
const UPDATE: &str = "UPDATE_README";

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

fn readme() -> String {
    std::fs::read_to_string(path()).unwrap()
}

/// What stands between two texts.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    let (_, behind) = text
        .split_once(begin)
        .unwrap_or_else(|| panic!("no {begin:?} in the README"));
    behind
        .split_once(end)
        .unwrap_or_else(|| panic!("no {end:?} behind {begin:?} in the README"))
        .0
}

/// The cells of the table that follows a text, without its head.
fn rows(text: &str, behind: &str) -> Vec<Vec<String>> {
    let (_, rest) = text
        .split_once(behind)
        .unwrap_or_else(|| panic!("no {behind:?} in the README"));
    rest.lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            line.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_readmes_table_of_flags_is_current() {
    let text = readme();
    let old = between(&text, BEGIN, END);
    let new = format!("\n{}\n", help::flag_table_markdown());
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(
            path(),
            text.replacen(
                &format!("{BEGIN}{old}{END}"),
                &format!("{BEGIN}{new}{END}"),
                1,
            ),
        )
        .unwrap();
    } else {
        assert!(
            old == new,
            "the README's table of flags is old (run: {UPDATE}=1 cargo test --test behaviour readme)"
        );
    }
}

#[test]
fn the_readme_names_every_mode_and_exit_code() {
    let text = readme();
    let modes: BTreeSet<String> = rows(&text, "\n## Modes\n")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    let wanted: BTreeSet<String> = Mode::ALL
        .iter()
        .map(|mode| format!("`{}`", mode.name()))
        .collect();
    assert_eq!(modes, wanted);

    let help = help::help();
    let codes: Vec<String> = between(&help, "Exit codes:\n", "\n\n")
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .take_while(|code| code.parse::<u8>().is_ok())
        .collect();
    let told: Vec<String> = rows(&text, "\n## Exit codes\n")
        .into_iter()
        .map(|row| row[0].clone())
        .collect();
    assert_eq!(told, codes);
    assert_eq!(codes.len(), 6);
}

fn kind_name(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Key => "key",
        ColumnKind::Time => "time",
        ColumnKind::Text => "text",
        ColumnKind::Number => "number",
        ColumnKind::Bool => "bool",
    }
}

#[test]
fn the_readme_lists_every_column_with_its_kind() {
    let text = readme();
    for table in Table::ALL {
        let heading = format!("\n### `{}`\n", table.suffix());
        let told: Vec<(String, String)> = rows(&text, &heading)
            .into_iter()
            .map(|row| (row[0].clone(), row[1].clone()))
            .collect();
        let wanted: Vec<(String, String)> = columns(table)
            .iter()
            .map(|(name, kind)| (format!("`{name}`"), kind_name(*kind).to_owned()))
            .collect();
        assert_eq!(told, wanted, "{}", table.suffix());

        let section = between(&text, &heading, "\n| ");
        for index in table.indexes() {
            let name = index.join("`, `");
            assert!(
                section.contains(&format!("`{name}`")),
                "index on {name} of {}",
                table.suffix()
            );
        }
        assert!(section.contains(&format!("Primary key `{}`", table.key())));
    }
}

#[test]
fn the_readme_names_the_types_of_new_columns() {
    let told = rows(&readme(), "\n## Tables\n");
    let kinds = [
        ColumnKind::Key,
        ColumnKind::Time,
        ColumnKind::Text,
        ColumnKind::Number,
        ColumnKind::Bool,
    ];
    assert_eq!(told.len(), kinds.len());
    for (row, kind) in told.iter().zip(kinds) {
        assert_eq!(row[0], kind_name(kind));
        for (cell, dialect) in row[1..5].iter().zip([POSTGRES, MYSQL, SQLSERVER, SQLITE]) {
            let wanted = match dialect.column_type(kind).split(' ').next() {
                None | Some("") => "no type".to_owned(),
                Some(first) => format!("`{first}`"),
            };
            assert!(cell.starts_with(&wanted), "{cell}: {wanted}");
        }
    }
}

#[test]
fn the_readmes_status_file_has_the_fields_of_a_real_one() {
    let text = readme();
    let told: serde_json::Value = serde_json::from_str(between(&text, "```json\n", "```")).unwrap();
    let real = serde_json::to_value(Status {
        version: "",
        campaign: String::new(),
        mode: "",
        target: String::new(),
        pid: 0,
        started: OffsetDateTime::UNIX_EPOCH,
        last_success: None,
        checkpoint: None,
        lag_seconds: None,
        rounds: 0,
        failed_rounds: 0,
        written: Totals::default(),
        rejected: 0,
        unanswered: 0,
        webhook: None,
        last_error: None,
    })
    .unwrap();
    let keys = |value: &serde_json::Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(keys(&told), keys(&real));
    assert_eq!(keys(&told["written"]), keys(&real["written"]));
}

/// All of the program's source in one text, with its string literals in one line each.
fn source() -> String {
    fn gather(directory: &Path, text: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                gather(&path, text);
            } else if path.extension().is_some_and(|e| e == "rs")
                && path.file_name().is_some_and(|name| name != "tests.rs")
            {
                let file = std::fs::read_to_string(&path).unwrap();
                text.push_str(file.split("\nmod tests {").next().unwrap());
            }
        }
    }
    let mut text = String::new();
    gather(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut text,
    );
    let mut joined = String::new();
    for (index, part) in text.split("\\\n").enumerate() {
        joined.push_str(if index == 0 { part } else { part.trim_start() });
    }
    joined
}

#[test]
fn each_message_of_the_readmes_troubleshooting_is_one_of_the_program() {
    let source = source();
    let told = rows(&readme(), "\n## Troubleshooting by message\n");
    assert!(told.len() > 20, "{}", told.len());
    for row in told {
        let messages = row[0].trim_matches('`').split("`, `");
        for part in messages
            .flat_map(|message| message.split('…'))
            .map(str::trim)
        {
            assert!(source.contains(part), "no message has: {part}");
        }
    }
}

/// The tests that the README names for what it says about security.
#[test]
fn the_promises_of_security_have_the_tests_that_are_named() {
    let readme = readme();
    let section = between(&readme, "## Security\n", "\n## ");
    let mut sources = String::new();
    for directory in ["src", "tests"] {
        add_sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(directory),
            &mut sources,
        );
    }
    let rows = rows(section, "the checkpoint waits.\n");
    assert!(rows.len() >= 11, "{rows:?}");
    for row in rows {
        let names: Vec<&str> = row[1].split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{row:?}");
        for name in names {
            let (before, _) = sources
                .split_once(&format!("fn {name}()"))
                .unwrap_or_else(|| panic!("there is no {name}"));
            let mut attributes = before.rsplit('\n').skip(1).take(3).map(str::trim);
            assert!(
                attributes.any(|line| line == "#[test]"),
                "{name} is not a test"
            );
        }
    }
}

fn add_sources(directory: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_sources(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}
