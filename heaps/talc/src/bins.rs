//! The bin of a free chunk: the crate's own rule, with another
//! number of bins for each power of two.

use talc::base::binning::{Binning, linear_extent_then_linearly_divided_exponential_binning};
use talc::base::bitfield::BitField;

/// The bins, `DIVISIONS` for each power of two.
pub(crate) struct Bins<const DIVISIONS: usize>;

/// With 8 divisions these are the crate's default bins, whose linear part is
/// four times as long as necessary.
impl<const DIVISIONS: usize> Binning for Bins<DIVISIONS> {
    type AvailabilityBitField = [usize; 3];
    const BIN_COUNT: u32 = Self::AvailabilityBitField::BITS - 1;

    #[inline]
    fn size_to_bin(size: usize) -> u32 {
        linear_extent_then_linearly_divided_exponential_binning::<DIVISIONS, 4>(size)
    }
}
