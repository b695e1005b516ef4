//! Which events and inbound calls are stored already, in which version. Bounded; losing it costs a re-read.

use std::collections::HashMap;

use md5::{Digest, Md5};

/// Entries per generation. Two generations of 16 + 8 bytes each stay under 10 MB, allocation included.
const GENERATION: usize = 100_000;

/// Checksum of what identifies a thing, and of its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    key: u128,
    version: u64,
}

impl Version {
    /// The version `version` of the thing that `key` names.
    pub fn new(key: &[&str], version: &str) -> Self {
        let mut md5 = Md5::new();
        for part in key {
            md5.update(part.as_bytes());
            md5.update([0]);
        }
        Version {
            key: u128::from_le_bytes(md5.finalize().into()),
            version: half(Md5::digest(version).into()),
        }
    }
}

fn half(sum: [u8; 16]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = sum;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// A map that forgets the older half of its entries when it is full.
#[derive(Debug)]
pub struct Seen {
    young: HashMap<u128, u64>,
    old: HashMap<u128, u64>,
    generation: usize,
}

impl Default for Seen {
    fn default() -> Self {
        Seen::with_generation(GENERATION)
    }
}

impl Seen {
    /// One that keeps between one and two times `generation` entries.
    pub fn with_generation(generation: usize) -> Self {
        Seen {
            young: HashMap::new(),
            old: HashMap::new(),
            generation,
        }
    }

    /// Whether this thing was remembered in this version.
    pub fn contains(&mut self, version: Version) -> bool {
        if self.young.get(&version.key) == Some(&version.version) {
            return true;
        }
        let known = !self.young.contains_key(&version.key)
            && self.old.get(&version.key) == Some(&version.version);
        if known {
            // What is still asked for must not grow old.
            self.remember(version);
        }
        known
    }

    /// Remembers a version, in place of an earlier one of the same thing. Only after its rows were committed.
    pub fn remember(&mut self, version: Version) {
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(version.key, version.version);
    }

    /// Forgets everything: what is stored no longer counts.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_known_in_its_last_version_only() {
        let mut seen = Seen::with_generation(10);
        let (first, second) = (
            Version::new(&["F", "C"], "1"),
            Version::new(&["F", "C"], "2"),
        );
        assert!(!seen.contains(first));
        seen.remember(first);
        assert!(seen.contains(first) && !seen.contains(second));
        seen.remember(second);
        assert!(seen.contains(second) && !seen.contains(first));
        assert!(!seen.contains(Version::new(&["FC", ""], "2")));
        seen.clear();
        assert!(!seen.contains(second));
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_asked_for() {
        let mut seen = Seen::with_generation(10);
        let kept = Version::new(&["kept"], "1");
        seen.remember(kept);
        for n in 0..1000 {
            seen.remember(Version::new(&[&n.to_string()], "1"));
            assert!(seen.contains(kept), "{n}");
            assert!(seen.young.len() + seen.old.len() <= 20);
        }
        assert!(!seen.contains(Version::new(&["5"], "1")));
    }

    #[test]
    fn an_old_version_is_not_found_behind_a_newer_one() {
        let mut seen = Seen::with_generation(1);
        let (first, second) = (Version::new(&["C"], "1"), Version::new(&["C"], "2"));
        seen.remember(first);
        seen.remember(second);
        assert!(seen.contains(second) && !seen.contains(first));
    }
}
