//! Finds the memory that an instruction accesses, for cases where the host refused a page and
//! the kernel does not report which.
//!
//! The caller knows which pages are closed, so extra addresses are harmless.

use crate::report::Registers;
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, Register};

/// Registers by their number in instructions, as indices of [`Registers::general`].
const NUMBERED: [usize; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
/// Longest operand, except for those of `xsave` and similar instructions.
pub(super) const LONGEST_BYTES: u64 = 64;

/// Returns the first addresses that the instruction at the start of
/// `code` may read or write, in order.
/// Elements of a vector of addresses are not included: [`Registers`] has no vectors.
pub(super) fn addresses(code: &[u8], registers: &Registers) -> Vec<u64> {
    const BITS: u32 = 64;
    let instruction = Decoder::with_ip(BITS, code, registers.rip, DecoderOptions::NONE).decode();
    let value = |register: Register, _element: usize, _bytes: usize| match register {
        Register::FS => Some(registers.fs_base),
        // Their base is zero.
        Register::CS | Register::DS | Register::ES | Register::GS | Register::SS => Some(0),
        _ if register.is_gpr() => {
            let mask = u64::MAX >> (64 - 8 * register.size());
            let number = register.full_register().number();
            Some(registers.general[NUMBERED[number]] & mask)
        }
        _ => None,
    };
    let mut factory = InstructionInfoFactory::new();
    let used = factory.info(&instruction).used_memory();
    let mut found: Vec<u64> = used
        .iter()
        .filter_map(|memory| memory.virtual_address(0, value))
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Register number n holds n * 0x1000; code lies at 0x10_0000.
    fn found(code: &[u8]) -> Vec<u64> {
        let mut general = [0; 16];
        for (number, index) in NUMBERED.into_iter().enumerate() {
            general[index] = number as u64 * 0x1000;
        }
        let registers = Registers {
            general,
            rip: 0x10_0000,
            rflags: 0,
            fs_base: 0x20_0000,
        };
        addresses(code, &registers)
    }

    #[test]
    fn operands_are_found_where_the_instruction_reaches() {
        for (code, expected) in [
            // mov (%rax),%eax with rax = 0, and every kind of address around it.
            (&[0x8b, 0x00][..], vec![0]),
            (&[0x8b, 0x0b], vec![0x3000]),
            (&[0x41, 0x8b, 0x09], vec![0x9000]),
            (&[0x48, 0x89, 0x47, 0x10], vec![0x7010]),
            (&[0x89, 0x87, 0xf0, 0xff, 0xff, 0xff], vec![0x6ff0]),
            (&[0x88, 0x04, 0x37], vec![0xd000]),
            (
                &[0x42, 0x8b, 0x44, 0xa6, 0x08],
                vec![0x6000 + 4 * 0xc000 + 8],
            ),
            (&[0x8b, 0x04, 0x25, 0, 0, 0x30, 0], vec![0x30_0000]),
            (&[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], vec![0x20_0000]),
            // movb $1,disp(%rip); movl $1,disp(%rip); movw $1,disp(%rip)
            (&[0xc6, 0x05, 0x10, 0, 0, 0, 1], vec![0x10_0017]),
            (&[0xc7, 0x05, 0x10, 0, 0, 0, 1, 0, 0, 0], vec![0x10_001a]),
            (&[0x66, 0xc7, 0x05, 0x10, 0, 0, 0, 1, 0], vec![0x10_0019]),
            (&[0xf3, 0xa4], vec![0x6000, 0x7000]),
            (&[0xf3, 0xaa], vec![0x7000]),
            (&[0x55], vec![0x3ff8]),
            (&[0xff, 0x13], vec![0x3000, 0x3ff8]),
            (&[0xc3], vec![0x4000]),
            // movups, lock xadd, movdqu of AVX and of AVX-512, pcmpistri with its constant
            (&[0x0f, 0x11, 0x03], vec![0x3000]),
            (&[0xf0, 0x48, 0x0f, 0xc1, 0x43, 0x08], vec![0x3008]),
            (&[0xc5, 0xfe, 0x6f, 0x46, 0x20], vec![0x6020]),
            (&[0xc4, 0xc1, 0x7e, 0x6f, 0x01], vec![0x9000]),
            (&[0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x47, 0x01], vec![0x7040]),
            (
                &[0x66, 0x0f, 0x3a, 0x63, 0x05, 0, 0, 0, 0, 0x0c],
                vec![0x10_000a],
            ),
            (&[0x67, 0x8b, 0x03], vec![0x3000]),
            // Registers only, no code at all, and a truncated instruction.
            (&[0x89, 0xc8], vec![]),
            (&[0x90], vec![]),
            (&[0x8b], vec![]),
        ] {
            assert_eq!(found(code), expected, "{code:x?}");
        }
    }
}
