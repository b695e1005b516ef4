//! How many contacts the database takes in one transaction: what was too much once is not tried again each time.

use std::collections::BTreeMap;

/// Batches that have to be taken before twice as much is tried.
const CALM: u32 = 20;

/// The size that worked; none while nothing was too much.
#[derive(Debug, Default)]
pub struct PartSize {
    limit: Option<usize>,
    calm: u32,
    /// Units of the largest batch: at this size nothing is cut.
    largest: usize,
}

impl PartSize {
    /// The parts of a batch of so many units, from and to; the first one comes last.
    pub fn cut(&self, units: usize) -> Vec<(usize, usize)> {
        let size = self.limit.unwrap_or(units).max(1);
        let mut parts: Vec<(usize, usize)> = (0..units.max(1))
            .step_by(size)
            .map(|from| (from, (from + size).min(units)))
            .collect();
        parts.reverse();
        parts
    }

    /// After a batch of so many units. `together` says whether the parts that were refused were only too large.
    pub fn after(&mut self, units: usize, tries: &Tries, together: bool) {
        self.largest = self.largest.max(units);
        let refused = tries.any_refused();
        if let Some(worked) = tries.worked().filter(|_| refused && together) {
            self.calm = 0;
            self.limit = Some(worked);
            log::info!(
                "the database takes {worked} contacts in one transaction, not {units}: no more are written together for now"
            );
        }
        // Smaller batches say nothing of more than this.
        let Some(limit) = self.limit.filter(|limit| !refused && units >= *limit) else {
            return;
        };
        self.calm += 1;
        if self.calm >= CALM {
            self.calm = 0;
            self.limit = Some(limit * 2).filter(|limit| *limit < self.largest);
        }
    }
}

/// How the parts of one batch fared: by their size, how many were taken and how many refused.
#[derive(Debug, Default)]
pub struct Tries(BTreeMap<usize, (usize, usize)>);

impl Tries {
    /// A part of this size was written.
    pub fn taken(&mut self, size: usize) {
        self.0.entry(size).or_default().0 += 1;
    }

    /// A part of this size was refused.
    pub fn refused(&mut self, size: usize) {
        self.0.entry(size).or_default().1 += 1;
    }

    fn any_refused(&self) -> bool {
        self.0.values().any(|(_, refused)| *refused > 0)
    }

    /// The largest size of which more parts were taken than refused: contacts differ in size, so that one part may be
    /// taken where most others of its length are too much.
    fn worked(&self) -> Option<usize> {
        let mut sizes = self.0.iter().rev();
        sizes
            .find(|(_, (taken, refused))| taken > refused)
            .map(|(size, _)| *size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each size so many parts that were taken, and refused.
    fn tries(fared: &[(usize, usize, usize)]) -> Tries {
        let mut tries = Tries::default();
        for (size, taken, refused) in fared {
            (0..*taken).for_each(|_| tries.taken(*size));
            (0..*refused).for_each(|_| tries.refused(*size));
        }
        tries
    }

    #[test]
    fn what_was_too_much_is_tried_again_in_small_steps() {
        let mut size = PartSize::default();
        assert_eq!(size.cut(500), [(0, 500)]);
        assert_eq!(size.cut(0), [(0, 0)]);
        let split = tries(&[(500, 0, 1), (250, 0, 2), (125, 4, 0)]);
        size.after(500, &split, false);
        assert_eq!(size.cut(500), [(0, 500)]);
        size.after(500, &split, true);
        assert_eq!(size.cut(300), [(250, 300), (125, 250), (0, 125)]);
        let mut batches = 0;
        while size.cut(500).len() > 1 {
            batches += 1;
            let limit = size.limit.unwrap_or_default();
            size.after(500, &tries(&[(limit, 500 / limit, 0)]), true);
        }
        assert_eq!(batches, 2 * CALM);
        size.after(500, &tries(&[(2, 0, 1), (1, 2, 0)]), true);
        assert_eq!(size.cut(2), [(1, 2), (0, 1)]);
    }

    #[test]
    fn small_batches_do_not_have_it_forgotten() {
        let mut size = PartSize::default();
        let split = tries(&[(500, 0, 1), (250, 0, 2), (125, 4, 0)]);
        size.after(500, &split, true);
        for _ in 0..3 * CALM {
            size.after(3, &tries(&[(3, 1, 0)]), true);
        }
        assert_eq!(size.limit, Some(125));
        for _ in 0..CALM {
            size.after(130, &tries(&[(125, 1, 0), (5, 1, 0)]), true);
        }
        assert_eq!(size.limit, Some(250));
        assert_eq!(size.cut(500).len(), 2);
    }

    #[test]
    fn a_size_is_kept_that_most_parts_had() {
        let after = |fared: &[(usize, usize, usize)]| {
            let mut size = PartSize::default();
            size.after(100, &tries(fared), true);
            size.limit
        };
        assert_eq!(after(&[(100, 0, 1), (50, 1, 1), (25, 2, 0)]), Some(25));
        assert_eq!(
            after(&[(100, 0, 1), (50, 0, 2), (25, 1, 3), (12, 5, 1), (6, 2, 0)]),
            Some(12)
        );
        assert_eq!(after(&[(100, 1, 0)]), None);
        // Single contacts that are refused, too, are written row by row.
        assert_eq!(after(&[(2, 0, 1), (1, 0, 2)]), None);
    }
}
