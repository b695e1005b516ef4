//! src/cli/third_party.txt, which `dbsync2 --licenses` prints, names everything that is linked in, with its license.
//!
//! It and its packed form are made here from the sources of the crates, as Cargo has them: `UPDATE_THIRD_PARTY=1 cargo test --test
//! behaviour licenses` writes it again after a change of Cargo.lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

/// Set it to write the file again.
const UPDATE: &str = "UPDATE_THIRD_PARTY";

/// The list.
const FILE: &str = "src/cli/third_party.txt";

/// The list as the program contains it.
const PACKED: &str = "src/cli/third_party.txt.gz";

/// What is built: each target links other crates.
const TARGETS: [&str; 7] = [
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "armv7-unknown-linux-musleabihf",
    "arm-unknown-linux-musleabihf",
    "x86_64-pc-windows-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
];

const HEAD: &str = "\
Third-party software in dbsync2
===============================

Not every build contains all of it. Where a library may be used under one of several licenses and MIT is among
them, it is used under MIT.

";

/// What no crate says.
const BESIDES: &str = "
Besides these crates:

SQLite, in libsqlite3-sys: its authors have dedicated it to the public domain.

The standard library of Rust (https://github.com/rust-lang/rust): Copyright (c) The Rust Project Contributors, used
under MIT; compiler-rt, of which it contains parts: MIT and the University of Illinois/NCSA license, Copyright (c)
2009-2019 the LLVM contributors (see CREDITS.TXT of LLVM).

The static builds for Linux contain musl (https://musl.libc.org): Copyright (c) 2005-2020 Rich Felker, et al., used
under MIT. Those for Windows contain the runtime of mingw-w64 (https://www.mingw-w64.org), which is in the public
domain or under the Zope Public License 2.1, Copyright (c) 2009-2023 the mingw-w64 project.
";

const MIT: &str = "\
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the \"Software\"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED \"AS IS\", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A crate that is linked in.
struct Linked {
    name: String,
    version: String,
    license: String,
    directory: PathBuf,
    authors: String,
}

fn text_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// The crates that one target's build links, by name and version. Those that only run while building are no part of it.
fn linked(target: &str, found: &mut BTreeMap<(String, String), Linked>) {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked"])
        .arg(format!("--filter-platform={target}"))
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let entries = list.as_array().unwrap().iter();
        entries
            .map(|entry| (text_of(&entry["id"]), entry.clone()))
            .collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let start = text_of(&metadata["resolve"]["root"]);
    let mut waiting = vec![start.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        let package = &packages[&id];
        let is_macro = package["targets"]
            .as_array()
            .unwrap()
            .iter()
            .any(|target| target["kind"][0] == "proc-macro");
        if is_macro || !seen.insert(id.clone()) {
            continue;
        }
        for dependency in nodes[&id]["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                waiting.push(text_of(&dependency["pkg"]));
            }
        }
        if id != start {
            let authors: Vec<String> = package["authors"]
                .as_array()
                .unwrap()
                .iter()
                .map(text_of)
                .collect();
            let crate_ = Linked {
                name: text_of(&package["name"]),
                version: text_of(&package["version"]),
                license: text_of(&package["license"]),
                directory: Path::new(&text_of(&package["manifest_path"]))
                    .parent()
                    .unwrap()
                    .to_owned(),
                authors: authors.join(", "),
            };
            found.insert((crate_.name.clone(), crate_.version.clone()), crate_);
        }
    }
}

/// The license files of a crate: name and text.
fn files(directory: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .filter_map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            let upper = name.to_uppercase();
            [
                "LICENSE",
                "LICENCE",
                "COPYING",
                "COPYRIGHT",
                "NOTICE",
                "UNLICENSE",
            ]
            .iter()
            .any(|begin| upper.starts_with(begin))
            .then(|| (upper, std::fs::read_to_string(entry.path()).unwrap()))
        })
        .collect();
    found.sort();
    found
}

/// Letters and digits only, to compare texts that are broken or quoted differently.
fn essence(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whether a crate may be used under MIT alone.
fn offers_mit(license: &str) -> bool {
    !license.contains(" AND ") && license.split([' ', '/']).any(|word| word == "MIT")
}

/// The copyright lines before the usual text of MIT; `None` if it is another text.
fn usual_mit(text: &str) -> Option<Vec<String>> {
    let position = text.find("Permission is hereby granted")?;
    let (before, body) = text.split_at(position);
    if essence(body) != essence(MIT) {
        return None;
    }
    let lines = before.lines().map(str::trim).filter(|line| {
        !["", "mitlicense", "themitlicense", "themitlicensemit", "mit"]
            .contains(&essence(line).as_str())
    });
    Some(lines.map(str::to_owned).collect())
}

/// A line that says who holds the copyright, or who wrote it where no file does.
fn holder(linked: &Linked) -> String {
    if linked.authors.is_empty() {
        format!("Copyright (c) the authors of {}", linked.name)
    } else {
        // Addresses are no part of a notice.
        let names: Vec<&str> = linked
            .authors
            .split(", ")
            .map(|author| author.split(" <").next().unwrap())
            .collect();
        format!("Copyright (c) {}", names.join(", "))
    }
}

/// The whole file.
fn third_party() -> String {
    let mut crates = BTreeMap::new();
    for target in TARGETS {
        linked(target, &mut crates);
    }
    let mut text = HEAD.to_owned();
    let mut mit: Vec<(String, Vec<String>)> = Vec::new();
    let mut others: Vec<(String, Vec<String>)> = Vec::new();
    for linked in crates.values() {
        let title = format!("{} {}", linked.name, linked.version);
        let name = match linked.license.as_str() {
            "" => "its own, see below",
            name => name,
        };
        let _ = writeln!(text, "  {title}: {name}");
        let mut wanted = files(&linked.directory);
        if offers_mit(&linked.license) {
            let chosen: Vec<(String, String)> = wanted
                .iter()
                .filter(|(_, text)| text.contains("Permission is hereby granted, free"))
                .cloned()
                .collect();
            if chosen.is_empty() {
                mit.push((title, vec![holder(linked)]));
                continue;
            }
            wanted = chosen;
        }
        assert!(!wanted.is_empty(), "{title} has no license file");
        for (_, file) in wanted {
            if let Some(mut lines) = usual_mit(&file) {
                if lines.is_empty() {
                    lines.push(holder(linked));
                }
                mit.push((title.clone(), lines));
                continue;
            }
            let file: String = file
                .replace('\u{feff}', "")
                .lines()
                .map(|line| format!("{}\n", line.trim_end()))
                .collect();
            match others
                .iter_mut()
                .find(|(known, _)| essence(known) == essence(&file))
            {
                Some((_, titles)) => titles.push(title.clone()),
                None => others.push((file, vec![title.clone()])),
            }
        }
    }
    text.push_str(BESIDES);
    let rule = "-".repeat(80);
    let _ = writeln!(text, "\n{rule}\nMIT License\n");
    for (title, lines) in mit {
        let _ = writeln!(text, "  {title}: {}", lines.join("\n    "));
    }
    let _ = write!(text, "\n{MIT}");
    for (file, mut titles) in others {
        titles.dedup();
        let _ = write!(
            text,
            "\n{rule}\nOf {}:\n\n{}\n",
            titles.join(", "),
            file.trim_matches('\n')
        );
    }
    text
}

#[test]
fn the_list_of_licenses_is_current() {
    let path = root().join(FILE);
    let new = third_party();
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(&path, &new).unwrap();
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(new.as_bytes()).unwrap();
        std::fs::write(root().join(PACKED), packed.finish().unwrap()).unwrap();
    }
    let packed = std::fs::read(root().join(PACKED)).unwrap();
    let mut unpacked = String::new();
    MultiGzDecoder::new(packed.as_slice())
        .read_to_string(&mut unpacked)
        .unwrap();
    for (file, text) in [
        (FILE, std::fs::read_to_string(&path).unwrap()),
        (PACKED, unpacked),
    ] {
        assert!(
            text == new,
            "{file} is old (run: {UPDATE}=1 cargo test --test behaviour licenses)"
        );
    }
    // The crates without which there is no program, and one that only runs while it is built.
    for begin in [
        "ring",
        "rustls",
        "libsqlite3-sys",
        "postgres",
        "mysql_common",
        "ureq",
    ] {
        assert!(new.contains(&format!("\n  {begin} ")), "{begin}");
    }
    for begin in ["cc", "serde_derive", "rcgen"] {
        assert!(!new.contains(&format!("\n  {begin} ")), "{begin}");
    }
}

/// The versions of a crate in Cargo.lock.
fn locked(name: &str) -> Vec<String> {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    lock.split(&format!("\nname = \"{name}\"\nversion = \""))
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// TLS is rustls, with ring under it. A second library for either is easily linked in by a driver's default features: it
/// would cost a megabyte, and the set-up in the program would have to choose.
#[test]
fn one_library_does_tls_and_one_its_cryptography() {
    for other in [
        "aws-lc-rs",
        "aws-lc-sys",
        "aws-lc-fips-sys",
        "openssl",
        "openssl-sys",
        "native-tls",
    ] {
        assert_eq!(locked(other), [""; 0], "{other}");
    }
    for once in ["rustls", "ring"] {
        assert_eq!(locked(once).len(), 1, "{once}: {:?}", locked(once));
    }
}

/// Host names in addresses are ASCII. The crate that looks up others has a version without tables for them; those after it
/// bring ICU's along, and `cargo update` goes to them: `cargo update -p idna_adapter --precise 1.0.0` comes back.
#[test]
fn no_tables_of_unicode_come_with_addresses() {
    assert_eq!(locked("idna_adapter"), ["1.0.0"]);
    for tables in ["icu_normalizer", "icu_properties", "icu_provider"] {
        assert_eq!(locked(tables), [""; 0], "{tables}");
    }
}

#[test]
fn the_program_prints_its_license_and_all_others() {
    let output = Command::new(env!("CARGO_BIN_EXE_dbsync2"))
        .arg("--licenses")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let own = std::fs::read_to_string(root().join("LICENSE")).unwrap();
    let others = std::fs::read_to_string(root().join(FILE)).unwrap();
    assert!(text.contains(own.trim()));
    assert!(text.ends_with(&others));
}
