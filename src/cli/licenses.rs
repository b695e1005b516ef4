//! `--licenses`: the own license and those of all that is compiled in, which ask to go along with every copy.

/// Made from the sources of the crates; a test compares it with Cargo.lock.
const THIRD_PARTY: &str = include_str!("third_party.txt");
const OWN: &str = include_str!("../../LICENSE");

/// The text of `--licenses`.
pub fn licenses() -> String {
    format!("dbsync2\n=======\n\n{}\n{THIRD_PARTY}", OWN.trim_end())
}
