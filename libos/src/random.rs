//! Random bytes: ChaCha12 seeded by the monitor, fresh for each start.

use crate::platform;
use crate::single::Single;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static GENERATOR: Single<Option<ChaCha12Rng>> = unsafe { Single::new(None) };

/// Fills `buffer`.
pub fn fill(buffer: &mut [u8]) {
    GENERATOR.with(|generator| {
        generator
            .get_or_insert_with(|| ChaCha12Rng::from_seed(platform::seed()))
            .fill_bytes(buffer);
    });
}
