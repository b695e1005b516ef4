//! `--licenses`: the own license and those of all that is compiled in, which ask to go along with every copy.

use std::io::Read;

/// third_party.txt, packed as it is a hundredth of the program otherwise; a test compares both with Cargo.lock.
const THIRD_PARTY: &[u8] = include_bytes!("third_party.txt.gz");
const OWN: &str = include_str!("../../LICENSE");

/// The text of `--licenses`.
pub fn licenses() -> String {
    let mut text = format!("dbsync2\n=======\n\n{}\n\n", OWN.trim_end());
    // What is compiled in can be unpacked.
    let _ = flate2::read::MultiGzDecoder::new(THIRD_PARTY).read_to_string(&mut text);
    text
}
