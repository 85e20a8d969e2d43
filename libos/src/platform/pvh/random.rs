//! The seed of an image on a stock monitor. Owns the entropy device; must never be the same twice, or say so.

use crate::single::Single;
use crate::time;
use bespoke_abi::boot::Span;
use bespoke_virtio::{DeviceMemory, Entropy, Registers};
use core::arch::x86_64::{__cpuid, _rdrand64_step};

const SEED_BYTES: usize = 32;
/// A source that has not answered after this many looks is not waited for.
const LOOKS: u32 = 10_000_000;

/// The entropy device that has not been asked yet, and memory for its driver.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static DEVICE: Single<Option<(Registers, DeviceMemory)>> = unsafe { Single::new(None) };

/// A fresh seed: of the CPU where that has a source; `device` is asked if not, else when [`stir`] is called.
pub fn seed(device: Option<Registers>, memory: DeviceMemory) -> [u8; SEED_BYTES] {
    let mut seed = [0; SEED_BYTES];
    seed[..8].copy_from_slice(&time::tsc().to_le_bytes());
    DEVICE.with(|place| *place = device.map(|registers| (registers, memory)));
    if !mix_cpu(&mut seed) && !stir(&mut seed) {
        let words = b"bespoke: this machine has no source of randomness; give it one (QEMU: -device virtio-rng-device)\n";
        // Not as reports go: the boot information, which tells them the way, is not there yet.
        let (start, bytes) = (words.as_ptr() as u64, words.len() as u64);
        super::write(2, &[Span { start, bytes }]);
    }
    seed
}

/// Mixes the entropy device's bytes into `seed`, unless it has been asked; whether they came.
///
/// Many a program asks for no random bytes: those that it finds at its start alone are the CPU's own.
pub fn stir(seed: &mut [u8; SEED_BYTES]) -> bool {
    let device = DEVICE.with(Option::take);
    device.is_some_and(|(registers, mut memory)| mix_device(registers, &mut memory, seed))
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

/// Mixes the bytes of the entropy device behind `registers` into `seed`; whether they came.
pub(super) fn mix_device(
    mut registers: Registers,
    memory: &mut DeviceMemory,
    seed: &mut [u8; SEED_BYTES],
) -> bool {
    let features = registers.offered();
    let Ok(mut source) = Entropy::new(registers, features, memory) else {
        return false;
    };
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
