//! The ledger in memory: a hash table of 16 bytes per slot.

use super::Mark;

/// Percent of the slots that may be taken.
const FULLEST: usize = 93;

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0 where the slot is free.
    key: u64,
    mark: Mark,
}

/// The table is made of so many parts, of which one at a time grows: to copy all of it would take twice the memory, and
/// what large parts leave behind when they grow is too large for anything else.
const PARTS: usize = 1024;

/// Bits of a key that choose the part.
const PART_BITS: u32 = PARTS.trailing_zeros();

/// Keys with their marks: a transaction costs 17 to 19 bytes.
#[derive(Debug)]
pub struct Table(Vec<Part>);

impl Table {
    /// With room for so many keys.
    pub fn with_room(keys: usize) -> Table {
        let part = || Part {
            slots: vec![Slot::default(); room(keys / PARTS)],
            taken: 0,
        };
        Table(std::iter::repeat_with(part).take(PARTS).collect())
    }

    /// Gives back room that is left over.
    pub fn shrink(&mut self) {
        for part in &mut self.0 {
            let enough = room(part.taken);
            if enough < part.slots.len() {
                part.resize(enough);
            }
        }
    }

    /// The mark of a key.
    pub fn get(&self, key: u64) -> Option<Mark> {
        self.0.get(part_of(key))?.get(key)
    }

    /// Sets the mark of a key; returns the one before.
    pub fn set(&mut self, key: u64, mark: Mark) -> Option<Mark> {
        self.0.get_mut(part_of(key))?.set(key, mark)
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.0.iter().map(|part| part.taken).sum()
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let slots = self.0.iter().map(|part| part.slots.capacity());
        slots.sum::<usize>() * size_of::<Slot>()
    }
}

/// A part, in open addressing: between 86 and 93 percent of the slots are taken.
///
/// Keys are checksums, hence evenly spread: their place is their share of the part.
#[derive(Debug)]
struct Part {
    slots: Vec<Slot>,
    taken: usize,
}

impl Part {
    fn get(&self, key: u64) -> Option<Mark> {
        let slot = self.slots.get(self.find(key))?;
        (slot.key != 0).then_some(slot.mark)
    }

    fn set(&mut self, key: u64, mark: Mark) -> Option<Mark> {
        if (self.taken + 1) * 100 > self.slots.len() * FULLEST {
            self.grow();
        }
        let place = self.find(key);
        let slot = self.slots.get_mut(place)?;
        let before = (slot.key != 0).then_some(slot.mark);
        self.taken += usize::from(before.is_none());
        *slot = Slot {
            key: never_zero(key),
            mark,
        };
        before
    }

    /// The slot that holds the key, or the free one where it belongs. There always is a free one.
    fn find(&self, key: u64) -> usize {
        let key = never_zero(key);
        let length = self.slots.len();
        let share = (u128::from(key << PART_BITS) * length as u128) >> 64;
        let mut place = usize::try_from(share).unwrap_or(0);
        while let Some(slot) = self.slots.get(place) {
            if slot.key == key || slot.key == 0 {
                break;
            }
            place = (place + 1) % length;
        }
        place
    }

    fn grow(&mut self) {
        self.resize(self.slots.len() + (self.slots.len() / 14).max(1));
    }

    fn resize(&mut self, slots: usize) {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in old.into_iter().filter(|slot| slot.key != 0) {
            let place = self.find(slot.key);
            if let Some(free) = self.slots.get_mut(place) {
                *free = slot;
            }
        }
    }
}

/// Slots that are enough for so many keys.
fn room(keys: usize) -> usize {
    keys.saturating_mul(100) / 90 + 8
}

fn part_of(key: u64) -> usize {
    usize::try_from(never_zero(key) >> (u64::BITS - PART_BITS)).unwrap_or(0)
}

fn never_zero(key: u64) -> u64 {
    key.max(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn mark(n: u32) -> Mark {
        Mark {
            event: n,
            content: n ^ 0xffff,
        }
    }

    /// Splitmix64, for evenly spread keys.
    fn key(n: u64) -> u64 {
        let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x ^ (x >> 27)
    }

    #[test]
    fn it_holds_what_was_set_last() {
        let mut table = Table::with_room(0);
        for n in 0..10_000_u32 {
            assert_eq!(table.set(key(u64::from(n)), mark(n)), None);
        }
        for n in (0..10_000_u32).step_by(3) {
            assert_eq!(table.set(key(u64::from(n)), mark(n + 1)), Some(mark(n)));
        }
        assert_eq!(table.len(), 10_000);
        for n in 0..10_000_u32 {
            let wanted = if n % 3 == 0 { n + 1 } else { n };
            assert_eq!(table.get(key(u64::from(n))), Some(mark(wanted)), "{n}");
        }
        assert_eq!(table.get(key(10_001)), None);
    }

    #[test]
    fn it_takes_the_room_that_it_needs() {
        let mut table = Table::with_room(1_000_000);
        for n in 0..100_000_u32 {
            table.set(key(u64::from(n)), mark(n));
        }
        assert!(table.bytes() > 16_000_000);
        table.shrink();
        // 18 bytes each, and the free slots of 1024 parts.
        assert!(table.bytes() <= 1_950_000, "{}", table.bytes());
        for n in 0..100_000_u32 {
            assert_eq!(table.get(key(u64::from(n))), Some(mark(n)));
        }
    }

    #[test]
    fn there_is_always_a_free_slot() {
        for count in 0..200_u32 {
            let mut table = Table::with_room(0);
            for n in 0..count {
                // All in one part.
                table.set(key(u64::from(n)) >> PART_BITS, mark(n));
            }
            table.shrink();
            for part in &table.0 {
                assert!(part.taken < part.slots.len());
            }
            assert_eq!(table.get(u64::MAX), None);
        }
    }

    #[test]
    fn keys_at_the_ends_wrap_around() {
        let mut table = Table::with_room(0);
        let keys: Vec<u64> = (0..40).map(|n| u64::MAX - n).chain([0, 2]).collect();
        for (n, key) in (0..).zip(&keys) {
            table.set(*key, mark(n));
        }
        for (n, key) in (0..).zip(&keys) {
            assert_eq!(table.get(*key), Some(mark(n)), "{key}");
        }
    }

    #[test]
    fn a_transaction_costs_at_most_19_bytes() {
        let mut table = Table::with_room(0);
        for n in 0..200_000 {
            table.set(key(n), Mark::default());
            if n > 50_000 {
                assert!(table.bytes() <= table.len() * 19, "{n}");
            }
        }
    }
}
