//! Allowed numbers of free lists for a power of two, each with a suitable bitmap.

use rlsf::int::BinInteger;

/// A number of lists for each power of two.
#[derive(Debug)]
pub struct PerPower<const SL: usize>;

/// Implemented for the allowed numbers.
pub trait Lists {
    /// A bit for each list.
    type Bitmap: BinInteger;
}

macro_rules! lists {
    ($($number:literal $bitmap:ty),*) => {
        $(impl Lists for PerPower<$number> {
            type Bitmap = $bitmap;
        })*
    };
}

lists!(2 u8, 4 u8, 8 u8, 16 u16, 32 u32, 64 u64);
