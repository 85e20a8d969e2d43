//! Decides how large the buffers of the next connection are. The total never exceeds the budget.
//!
//! Unless the application chooses sizes, every connection gets 1/256 of what is left, between 8 KiB
//! and 128 KiB for both directions.
//! So in a small image all connections are small. In a large one the first ones
//! are fast, and a thousand still fit.

/// Least and most bytes of one buffer when the application does not choose.
const LEAST_BYTES: usize = 4 << 10;
const MOST_BYTES: usize = 64 << 10;
/// Most bytes of one buffer when the application chooses.
const MOST_CHOSEN_BYTES: usize = 4 << 20;
const LEAST_CHOSEN_BYTES: usize = 2 << 10;

/// The budget of socket buffers.
pub(crate) struct Budget {
    limit_bytes: usize,
    used_bytes: usize,
}

impl Budget {
    /// Makes a budget of `limit_bytes`.
    pub(crate) const fn new(limit_bytes: usize) -> Self {
        Self {
            limit_bytes,
            used_bytes: 0,
        }
    }

    /// Returns the bytes of one buffer. `chosen` is the application's choice, if any.
    pub(crate) fn buffer_bytes(&self, chosen: Option<usize>) -> usize {
        let left = self.limit_bytes.saturating_sub(self.used_bytes);
        match chosen {
            Some(bytes) => bytes
                .clamp(LEAST_CHOSEN_BYTES, MOST_CHOSEN_BYTES)
                .min((left / 2).max(LEAST_BYTES)),
            None => {
                let share = (left / 512).clamp(LEAST_BYTES, MOST_BYTES);
                1 << share.ilog2()
            }
        }
    }

    /// Returns the bytes of the send buffer of a relayed connection: the largest size while half of
    /// the budget is left, provided that there is more than the minimum for all.
    /// Each full buffer costs a round trip to the relay, which is two thread switches.
    pub(crate) fn relayed_send_bytes(&self) -> usize {
        let usual = self.buffer_bytes(None);
        if usual > LEAST_BYTES && self.used_bytes < self.limit_bytes / 2 {
            MOST_BYTES
        } else {
            usual
        }
    }

    /// Counts bytes as used. Returns false, and counts nothing, if that exceeds the budget.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let fits = self.used_bytes + bytes <= self.limit_bytes;
        if fits {
            self.used_bytes += bytes;
        }
        fits
    }

    /// Like [`Budget::take`], but only while a quarter is left for others.
    pub(crate) fn take_spare(&mut self, bytes: usize) -> bool {
        self.used_bytes + bytes <= self.limit_bytes / 4 * 3 && self.take(bytes)
    }

    /// Counts bytes as free again.
    pub(crate) fn give(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections that a budget has room for.
    fn connections(limit_bytes: usize, relayed: bool) -> usize {
        let mut budget = Budget::new(limit_bytes);
        let fits = |_: &usize| {
            let receive_bytes = budget.buffer_bytes(None);
            let send_bytes = match relayed {
                true => budget.relayed_send_bytes(),
                false => budget.buffer_bytes(None),
            };
            budget.take(receive_bytes + send_bytes)
        };
        (0..100_000).take_while(fits).count()
    }

    #[test]
    fn large_buffers_for_some_leave_room_for_many() {
        // Images of 32, 64 and 256 MiB.
        for (limit_bytes, least) in [(4 << 20, 500), (8 << 20, 550), (32 << 20, 1100)] {
            let relayed = connections(limit_bytes, true);
            assert!(relayed >= least, "{relayed} of {least}");
            assert!(relayed * 4 >= connections(limit_bytes, false) * 2);
        }
        assert_eq!(Budget::new(8 << 20).relayed_send_bytes(), MOST_BYTES);
        assert_eq!(Budget::new(1 << 20).relayed_send_bytes(), LEAST_BYTES);
    }

    #[test]
    fn a_buffer_is_a_power_of_two_of_a_512th_of_what_is_left() {
        for (left, bytes) in [
            (0, 4 << 10),
            (512 * 8192 - 1, 4 << 10),
            (512 * 8192, 8 << 10),
            (512 * 16_383, 8 << 10),
            (512 * 65_535, 32 << 10),
            (512 * 65_536, 64 << 10),
            (1 << 30, 64 << 10),
        ] {
            let mut budget = Budget::new(left + 1000);
            assert!(budget.take(1000));
            assert_eq!(budget.buffer_bytes(None), bytes, "{left}");
        }
        let mut over = Budget::new(10);
        over.used_bytes = 11;
        assert_eq!(over.buffer_bytes(None), 4 << 10);
    }

    #[test]
    fn a_chosen_size_is_brought_into_bounds() {
        let large = Budget::new(1 << 30);
        for (chosen, bytes) in [
            (0, 2048),
            (2047, 2048),
            (2048, 2048),
            (2049, 2049),
            (4 << 20, 4 << 20),
            ((4 << 20) + 1, 4 << 20),
            (usize::MAX, 4 << 20),
        ] {
            assert_eq!(large.buffer_bytes(Some(chosen)), bytes, "{chosen}");
        }
        // Half of what is left, and four kilobytes at least.
        for (left, bytes) in [
            (20_000, 10_000),
            (8_194, 4_097),
            (8_192, 4_096),
            (100, 4_096),
        ] {
            assert_eq!(
                Budget::new(left).buffer_bytes(Some(1 << 20)),
                bytes,
                "{left}"
            );
        }
    }

    #[test]
    fn no_more_is_taken_than_there_is() {
        let mut budget = Budget::new(1000);
        assert!(!budget.take(1001));
        assert!(budget.take(600) && !budget.take(401));
        assert!(budget.take(400) && !budget.take(1) && budget.take(0));
        budget.give(300);
        assert!(!budget.take(301) && budget.take(300));
        // More than was taken is all that was taken.
        budget.give(5000);
        assert!(budget.take(1000));
        budget.give(1000);
        // Three quarters are for those that can do without.
        assert!(!budget.take_spare(751) && budget.take_spare(750));
        assert!(!budget.take_spare(1) && budget.take(250));
        budget.give(260);
        assert!(budget.take_spare(10) && !budget.take_spare(1));
        assert!(budget.take(250) && !budget.take(1));
    }

    #[test]
    fn a_relay_gets_the_largest_send_buffer_while_half_is_left() {
        let mut budget = Budget::new(8 << 20);
        assert!(budget.take((4 << 20) - 1));
        assert_eq!(budget.relayed_send_bytes(), 64 << 10);
        assert!(budget.take(1));
        assert_eq!(budget.relayed_send_bytes(), 8 << 10);
    }
}
