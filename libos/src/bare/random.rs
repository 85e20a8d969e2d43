//! The seed of an image on a stock monitor. Owns nothing; must never be the same twice, or say so.

use crate::{report, time};
use bespoke_virtio::Entropy;
use core::arch::x86_64::{__cpuid, _rdrand64_step};

const SEED_BYTES: usize = 32;
/// A source that has not answered after this many looks is not waited for.
const LOOKS: u32 = 10_000_000;

/// A fresh seed: all sources there are, together.
pub fn seed(source: &mut Option<Entropy>) -> [u8; SEED_BYTES] {
    let mut seed = [0; SEED_BYTES];
    seed[..8].copy_from_slice(&time::tsc().to_le_bytes());
    let from_cpu = mix_cpu(&mut seed);
    let from_device = source
        .as_mut()
        .is_some_and(|source| mix_device(source, &mut seed));
    if !from_cpu && !from_device {
        report::console(format_args!(
            "bespoke: this machine has no source of randomness; give it one (QEMU: -device virtio-rng-device)"
        ));
    }
    seed
}

fn mix_cpu(seed: &mut [u8; SEED_BYTES]) -> bool {
    const RDRAND: u32 = 1 << 30;
    const TRIES: u32 = 10;
    if __cpuid(1).ecx & RDRAND == 0 {
        return false;
    }
    seed.chunks_exact_mut(8).all(|part| {
        let mut word = 0;
        // SAFETY: the CPU says that it has the instruction.
        let came = (0..TRIES).any(|_| unsafe { rdrand(&mut word) });
        part.iter_mut()
            .zip(word.to_le_bytes())
            .for_each(|(byte, more)| *byte ^= more);
        came
    })
}

/// # Safety
///
/// The CPU has the instruction.
#[target_feature(enable = "rdrand")]
unsafe fn rdrand(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}

/// Mixes the device's bytes into `seed`; whether they came.
pub(super) fn mix_device(source: &mut Entropy, seed: &mut [u8; SEED_BYTES]) -> bool {
    let mut used = 0;
    for _ in 0..LOOKS {
        let mut bytes = [0; SEED_BYTES];
        let Ok(count) = source.read(&mut bytes[used..]) else {
            return false;
        };
        seed[used..]
            .iter_mut()
            .zip(&bytes[used..])
            .for_each(|(byte, more)| *byte ^= more);
        used += count;
        if used == SEED_BYTES {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}
