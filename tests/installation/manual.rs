//! `--man`: roff that its readers have nothing to say about, and that shows what is meant.

use std::process::Command;

use dbsync2::cli::flags;

use super::{printed, run, said, succeed};
use crate::support::temp::TempDir;

#[test]
fn man_and_mandoc_find_no_fault() {
    let directory = TempDir::new();
    let page = directory.path().join("dbsync2.1");
    std::fs::write(&page, printed(&["--man"])).unwrap();
    for columns in ["60", "80", "200"] {
        let shown = run(Command::new("man")
            .args(["-l", "--warnings", "-E", "UTF-8"])
            .arg(&page)
            .env("MANWIDTH", columns)
            .env("LC_ALL", "C.UTF-8"));
        assert!(shown.status.success());
        assert_eq!(String::from_utf8_lossy(&shown.stderr), "", "{columns}");
    }
    let lint = run(Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .arg(&page));
    assert_eq!(said(&lint), "");
    assert!(lint.status.success());
}

#[test]
fn what_is_shown_is_what_is_meant() {
    let directory = TempDir::new();
    let page = directory.path().join("dbsync2.1");
    std::fs::write(&page, printed(&["--man"])).unwrap();
    let shown = succeed(
        Command::new("mandoc")
            .args(["-T", "utf8", "-O", "width=500"])
            .arg(&page),
    );
    // Bold and underlined letters are written twice.
    let mut plain = String::new();
    for character in shown.chars() {
        if character == '\u{8}' {
            plain.pop();
        } else {
            plain.push(character);
        }
    }
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let plain = words(&plain);
    for flag in flags::all() {
        let names: Vec<String> = flag.names().map(|name| format!("--{name}")).collect();
        let entry = match flag.value {
            Some(value) => format!("{} {value} {}", names.join(", "), flag.help),
            None => format!("{} {}", names.join(", "), flag.help),
        };
        assert!(plain.contains(&words(&entry)), "{entry}");
        if let Some(variable) = flag.environment().first() {
            assert!(plain.contains(variable), "{variable}");
        }
    }
    assert!(plain.contains("dbsync2 -a db_sync -c ID -ct TOKEN -fp fc_ -url postgres://..."));
}
