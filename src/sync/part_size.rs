//! How many contacts the database takes in one transaction: what was too much once is not tried again each time.

/// Batches that have to be taken before twice as much is tried.
const CALM: u32 = 20;

/// The size that worked; none while nothing was too much.
#[derive(Debug, Default)]
pub struct PartSize {
    limit: Option<usize>,
    calm: u32,
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

    /// After a batch of so many units of which some parts were refused. `worked` is the size of the largest part that was
    /// written, if the refused ones were only too large.
    pub fn after(&mut self, units: usize, refused: usize, worked: Option<usize>) {
        if let Some(worked) = worked {
            self.calm = 0;
            self.limit = Some(worked);
            log::info!(
                "the database takes {worked} contacts in one transaction, not {units}: so many are written together for now"
            );
        }
        let Some(limit) = self.limit.filter(|_| refused == 0) else {
            return;
        };
        self.calm += 1;
        if self.calm >= CALM {
            self.calm = 0;
            self.limit = Some(limit * 2).filter(|limit| *limit < units);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_too_much_is_tried_again_in_small_steps() {
        let mut size = PartSize::default();
        assert_eq!(size.cut(500), [(0, 500)]);
        assert_eq!(size.cut(0), [(0, 0)]);
        size.after(500, 9, None);
        assert_eq!(size.cut(500), [(0, 500)]);
        size.after(500, 9, Some(125));
        assert_eq!(size.cut(300), [(250, 300), (125, 250), (0, 125)]);
        let mut batches = 0;
        while size.cut(500).len() > 1 {
            batches += 1;
            size.after(500, 0, None);
        }
        assert_eq!(batches, 2 * CALM);
        size.after(500, 1, Some(1));
        assert_eq!(size.cut(2), [(1, 2), (0, 1)]);
    }
}
