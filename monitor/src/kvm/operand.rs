//! Which memory an instruction reaches for: where the host refused a page and the kernel does not say which.
//!
//! Decodes no more than prefixes, the opcode's map and its operand (Intel SDM volume 2, 2.1 and 2.3 to 2.7). Whoever
//! asks knows which pages are closed, so an address too many does no harm. Owns nothing.

use crate::report::Registers;

/// Registers by their number in instructions, as indices of [`Registers::general`].
const NUMBERED: [usize; 16] = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];
const RAX: usize = 0;
const RBX: usize = 3;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;
/// Operands are no longer than this.
pub(super) const LONGEST_BYTES: u64 = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Map {
    One,
    Two,
    Three38,
    Three3a,
}

struct Decoder<'a> {
    code: &'a [u8],
    at: usize,
    registers: &'a Registers,
    segment_base: u64,
    is_short_address: bool,
    is_short_operand: bool,
    /// REX or what stands for it: X and B.
    index_high: usize,
    base_high: usize,
    /// Of EVEX: what an 8-bit displacement counts in.
    displacement_unit: u64,
}

/// First addresses of what the instruction at the start of `code` may read or write.
pub(super) fn addresses(code: &[u8], registers: &Registers) -> Vec<u64> {
    let mut decoder = Decoder {
        code,
        at: 0,
        registers,
        segment_base: 0,
        is_short_address: false,
        is_short_operand: false,
        index_high: 0,
        base_high: 0,
        displacement_unit: 1,
    };
    decoder.decode().unwrap_or_default()
}

impl Decoder<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.code.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn register(&self, number: usize) -> u64 {
        self.registers.general[NUMBERED[number]]
    }

    fn number(&mut self, bytes: usize) -> Option<u64> {
        let mut value = 0;
        for shift in 0..bytes {
            value |= u64::from(self.next()?) << (8 * shift);
        }
        Some(value)
    }

    fn decode(&mut self) -> Option<Vec<u64>> {
        let (map, opcode) = self.opcode()?;
        let stack = self.register(RSP);
        let (source, target) = (
            self.register(RSI).wrapping_add(self.segment_base),
            self.register(RDI),
        );
        if map == Map::One {
            match opcode {
                0xa4..=0xa7 => return Some(vec![source, target]),
                0xaa | 0xab | 0xae | 0xaf => return Some(vec![target]),
                0xac | 0xad => return Some(vec![source]),
                0x50..=0x57 | 0x68 | 0x6a | 0x9c | 0xe8 => {
                    return Some(vec![stack.wrapping_sub(8)]);
                }
                0x58..=0x5f | 0x9d | 0xc2 | 0xc3 => return Some(vec![stack]),
                0xc9 => return Some(vec![self.register(RBP)]),
                0xd7 => {
                    let low = self.registers.general[RAX] & 0xff;
                    let table = self.registers.general[RBX];
                    return Some(vec![table.wrapping_add(low)]);
                }
                0xa0..=0xa3 => {
                    let bytes = if self.is_short_address { 4 } else { 8 };
                    let address = self.number(bytes)?;
                    return Some(vec![address.wrapping_add(self.segment_base)]);
                }
                _ if !has_operand(opcode) => return Some(Vec::new()),
                _ => {}
            }
        }
        let modrm = self.next()?;
        let extension = modrm >> 3 & 7;
        let mut found = Vec::new();
        if modrm >> 6 != 3 {
            found.push(self.operand(modrm, immediate_bytes(map, opcode, extension))?);
        }
        match (map, opcode, extension) {
            (Map::One, 0xff, 2 | 3 | 6) => found.push(stack.wrapping_sub(8)),
            (Map::One, 0x8f, _) => found.push(stack),
            _ => {}
        }
        Some(found)
    }

    /// Passes prefixes and opcode.
    fn opcode(&mut self) -> Option<(Map, u8)> {
        loop {
            let byte = self.next()?;
            match byte {
                0x64 => self.segment_base = self.registers.fs_base,
                0x66 => self.is_short_operand = true,
                0x67 => self.is_short_address = true,
                0x26 | 0x2e | 0x36 | 0x3e | 0x65 | 0xf0 | 0xf2 | 0xf3 => {}
                0x40..=0x4f => {
                    self.high(byte >> 1 & 1, byte & 1);
                }
                0xc5 => {
                    self.next()?;
                    return Some((Map::Two, self.next()?));
                }
                0xc4 => {
                    let (first, _) = (self.next()?, self.next()?);
                    self.high(!first >> 6 & 1, !first >> 5 & 1);
                    return Some((vector_map(first & 0x1f)?, self.next()?));
                }
                0x62 => {
                    let (first, _, third) = (self.next()?, self.next()?, self.next()?);
                    self.high(!first >> 6 & 1, !first >> 5 & 1);
                    self.displacement_unit = 16 << (third >> 5 & 3);
                    return Some((vector_map(first & 7)?, self.next()?));
                }
                0x0f => {
                    return Some(match self.next()? {
                        0x38 => (Map::Three38, self.next()?),
                        0x3a => (Map::Three3a, self.next()?),
                        second => (Map::Two, second),
                    });
                }
                _ => return Some((Map::One, byte)),
            }
        }
    }

    fn high(&mut self, index: u8, base: u8) {
        (self.index_high, self.base_high) = (usize::from(index) << 3, usize::from(base) << 3);
    }

    /// The address that `modrm` and what follows it say.
    fn operand(&mut self, modrm: u8, immediate_bytes: usize) -> Option<u64> {
        let (mode, low) = (modrm >> 6, usize::from(modrm & 7));
        let mut address = 0u64;
        let mut is_displaced = mode == 0 && low == 5;
        let is_relative = is_displaced;
        if low == 4 {
            let sib = self.next()?;
            let index = usize::from(sib >> 3 & 7) | self.index_high;
            let base = usize::from(sib & 7);
            if index != RSP {
                address = self.register(index) << (sib >> 6);
            }
            if base == RBP && mode == 0 {
                is_displaced = true;
            } else {
                address = address.wrapping_add(self.register(base | self.base_high));
            }
        } else if !is_displaced {
            address = self.register(low | self.base_high);
        }
        let displacement = match mode {
            1 => (self.next()? as i8 as u64).wrapping_mul(self.displacement_unit),
            2 => self.number(4)? as u32 as i32 as u64,
            _ if is_displaced => self.number(4)? as u32 as i32 as u64,
            _ => 0,
        };
        address = address.wrapping_add(displacement);
        if is_relative {
            let immediate = match immediate_bytes {
                4 if self.is_short_operand => 2,
                bytes => bytes,
            };
            let next = self
                .registers
                .rip
                .wrapping_add((self.at + immediate) as u64);
            address = address.wrapping_add(next);
        }
        if self.is_short_address {
            address &= u64::from(u32::MAX);
        }
        Some(address.wrapping_add(self.segment_base))
    }
}

fn vector_map(number: u8) -> Option<Map> {
    match number {
        1 => Some(Map::Two),
        2 => Some(Map::Three38),
        3 => Some(Map::Three3a),
        _ => None,
    }
}

/// Whether an opcode of one byte has an operand in memory or a register.
fn has_operand(opcode: u8) -> bool {
    match opcode {
        0x00..=0x3f => opcode & 7 < 4,
        0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc0 | 0xc1 | 0xc6 | 0xc7 => true,
        0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe | 0xff => true,
        _ => false,
    }
}

/// Bytes of the constant behind the operand, 4 standing for 2 with a prefix.
fn immediate_bytes(map: Map, opcode: u8, extension: u8) -> usize {
    match (map, opcode) {
        (Map::One, 0x6b | 0x80 | 0x82 | 0x83 | 0xc0 | 0xc1 | 0xc6) => 1,
        (Map::One, 0xf6) if extension < 2 => 1,
        (Map::One, 0x69 | 0x81 | 0xc7) => 4,
        (Map::One, 0xf7) if extension < 2 => 4,
        (Map::Two, 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6) => 1,
        (Map::Three3a, _) => 1,
        _ => 0,
    }
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
            // Registers only, nothing at all, and an instruction that is cut off.
            (&[0x89, 0xc8], vec![]),
            (&[0x90], vec![]),
            (&[0x8b], vec![]),
        ] {
            assert_eq!(found(code), expected, "{code:x?}");
        }
    }
}
