//! Encodes records to bytes and decodes them. Both sides keep the same shapes, clock and addresses.
//!
//! ```text
//! item     number: 0  all shapes so far are void
//!                  1  clock: steps since the one before
//!                  2  shape, that takes the next number from 0: kind (u8), component (u8), align (u8), site
//!                  n  event of shape n - 3: size unless it is a free; address of the block before, of frees and
//!                     reallocations; address of the block now, unless it is a free or was refused
//! address  number: lowest bit 1: of the slot where it lies in a table of 64 of which each keeps the address that came
//!                  last of those that belong there; else how far it is from the address before, with a sign in the lowest
//!                  bit, shifted by two: in steps of 16 bytes, or, if bit 1 is set, of one
//! ```

use super::number::{put, take, take_byte};
use super::{ADDRESS_BITS, ALLOCATE, ALLOCATE_ZEROED, FREE, RESIZE, Record};

/// Most bytes of an event, including all new items before it.
pub const MOST_EVENT_BYTES: usize = 64;

const FORGET: u64 = 0;
const CLOCK: u64 = 1;
const SHAPE: u64 = 2;
const FIRST_EVENT: u64 = 3;

/// Added to the operation in a shape's kind: the request was refused.
const REFUSED: u8 = 8;

/// Largest number of shapes at once. Programs with more call sites send shapes again.
const MOST_SHAPES: usize = 768;
const SHAPE_SLOTS: usize = 1024;
/// As many as a one-byte number can name.
const BLOCK_SLOTS: usize = 64;

/// Returns a hash whose upper bits are nearly random.
fn mix(key: u64) -> u64 {
    key.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Previous addresses, the same on both sides.
#[derive(Debug)]
struct Addresses {
    slots: [u64; BLOCK_SLOTS],
    last: u64,
}

impl Addresses {
    const fn new() -> Self {
        Self {
            slots: [0; BLOCK_SLOTS],
            last: 0,
        }
    }

    #[inline(always)]
    fn slot(address: u64) -> usize {
        (mix(address) >> (64 - BLOCK_SLOTS.ilog2())) as usize
    }

    #[inline(always)]
    fn put(&mut self, out: &mut Cursor<'_>, address: u64) {
        let slot = Self::slot(address);
        if self.slots[slot] == address {
            out.push((slot << 1 | 1) as u8);
        } else {
            self.slots[slot] = address;
            let away = address.wrapping_sub(self.last) as i64;
            let (away, unit) = if away % 16 == 0 {
                (away / 16, 0)
            } else {
                (away, 2)
            };
            let signed = (away << 1 ^ away >> 63) as u64;
            out.number(signed << 2 | unit);
        }
        self.last = address;
    }

    fn take(&mut self, bytes: &mut &[u8]) -> Option<u64> {
        let number = take(bytes)?;
        if number & 1 == 1 {
            let slot = self.slots.get(usize::try_from(number >> 1).ok()?)?;
            self.last = Some(*slot).filter(|&address| address != 0)?;
            return Some(self.last);
        }
        let signed = number >> 2;
        let away = (signed >> 1) as i64 ^ -((signed & 1) as i64);
        let away = if number & 2 == 0 {
            away.checked_mul(16)?
        } else {
            away
        };
        let address = self.last.checked_add_signed(away)?;
        if address == 0 || address >> ADDRESS_BITS != 0 {
            return None;
        }
        self.slots[Self::slot(address)] = address;
        self.last = address;
        Some(address)
    }
}

/// The destination of an event's bytes.
struct Cursor<'a> {
    out: &'a mut [u8; MOST_EVENT_BYTES],
    at: usize,
}

impl Cursor<'_> {
    #[inline(always)]
    fn push(&mut self, byte: u8) {
        self.out[self.at % MOST_EVENT_BYTES] = byte;
        self.at += 1;
    }

    #[inline(always)]
    fn number(&mut self, value: u64) {
        put(|byte| self.push(byte), value);
    }
}

/// The encoder. All zero at first.
#[derive(Debug)]
pub struct Encoder {
    addresses: Addresses,
    clock: Option<u64>,
    /// Shapes by their hash. Each is in the first slot from there that was free.
    /// The table is never full. 0: free.
    keys: [u64; SHAPE_SLOTS],
    /// Numbers of the shapes.
    numbers: [u16; SHAPE_SLOTS],
    shapes: u16,
}

impl Encoder {
    /// An encoder that has written nothing.
    pub const fn new() -> Self {
        Self {
            addresses: Addresses::new(),
            clock: None,
            keys: [0; SHAPE_SLOTS],
            numbers: [0; SHAPE_SLOTS],
            shapes: 0,
        }
    }

    /// Writes `record` to the front of `out` and returns its length in bytes.
    /// Bytes behind it may be overwritten.
    /// Takes constant time, except for one record in `MOST_SHAPES` shapes at most.
    #[inline(always)]
    pub fn put(&mut self, out: &mut [u8; MOST_EVENT_BYTES], record: &Record) -> usize {
        let mut out = Cursor { out, at: 0 };
        if self.clock != Some(record.clock) {
            self.put_clock(&mut out, record.clock);
        }
        let is_free = record.operation == FREE;
        let is_granted = !is_free && record.new != 0;
        let kind = match is_free || is_granted {
            true => record.operation,
            false => record.operation | REFUSED,
        };
        let key = u64::from(record.site)
            | u64::from(kind) << 32
            | u64::from(record.component) << 40
            | u64::from(record.align_log2) << 48;
        let mut slot = Self::slot(key);
        while self.keys[slot] != key {
            if self.keys[slot] == 0 {
                slot = self.put_shape(&mut out, key, slot);
                break;
            }
            slot = (slot + 1) % SHAPE_SLOTS;
        }
        out.number(FIRST_EVENT + u64::from(self.numbers[slot]));
        if !is_free {
            out.number(record.size);
        }
        if is_free || record.operation == RESIZE {
            self.addresses.put(&mut out, record.old);
        }
        if is_granted {
            self.addresses.put(&mut out, record.new);
        }
        out.at
    }

    #[inline(always)]
    fn slot(key: u64) -> usize {
        (mix(key) >> (64 - SHAPE_SLOTS.ilog2())) as usize
    }

    #[inline(always)]
    fn put_clock(&mut self, out: &mut Cursor<'_>, clock: u64) {
        let before = self.clock.unwrap_or(clock);
        if clock > before {
            out.number(CLOCK);
            out.number(clock - before);
        }
        self.clock = Some(clock.max(before));
    }

    /// Introduces the shape `key`, in the free slot `slot` if the table has room; returns its slot.
    #[cold]
    #[inline(never)]
    fn put_shape(&mut self, out: &mut Cursor<'_>, key: u64, mut slot: usize) -> usize {
        if usize::from(self.shapes) == MOST_SHAPES {
            out.number(FORGET);
            self.keys = [0; SHAPE_SLOTS];
            self.shapes = 0;
            slot = Self::slot(key);
        }
        self.keys[slot] = key;
        self.numbers[slot] = self.shapes;
        self.shapes += 1;
        out.number(SHAPE);
        for byte in [key >> 32, key >> 40, key >> 48] {
            out.push(byte as u8);
        }
        out.number(key & u64::from(u32::MAX));
        slot
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Properties that many events share.
#[derive(Clone, Copy, Debug)]
struct Shape {
    kind: u8,
    component: u8,
    align_log2: u8,
    site: u32,
}

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    addresses: Addresses,
    clock: u64,
    shapes: [Shape; MOST_SHAPES],
    known: usize,
}

impl Decoder {
    /// A decoder that has read nothing.
    pub const fn new() -> Self {
        let none = Shape {
            kind: 0,
            component: 0,
            align_log2: 0,
            site: 0,
        };
        Self {
            addresses: Addresses::new(),
            clock: 0,
            shapes: [none; MOST_SHAPES],
            known: 0,
        }
    }

    /// Decodes an event from the front; returns `None` when the bytes are not valid.
    #[inline]
    pub fn take(&mut self, bytes: &mut &[u8]) -> Option<Record> {
        loop {
            match take(bytes)? {
                FORGET => self.known = 0,
                CLOCK => self.clock = self.clock.checked_add(take(bytes)?)?,
                SHAPE => {
                    *self.shapes.get_mut(self.known)? = Shape {
                        kind: take_byte(bytes)?,
                        component: take_byte(bytes)?,
                        align_log2: take_byte(bytes)?,
                        site: take(bytes)?.try_into().ok()?,
                    };
                    self.known += 1;
                }
                number => {
                    let number = usize::try_from(number - FIRST_EVENT).ok()?;
                    let shape = *self.shapes[..self.known].get(number)?;
                    return self.take_event(bytes, shape);
                }
            }
        }
    }

    #[inline(always)]
    fn take_event(&mut self, bytes: &mut &[u8], shape: Shape) -> Option<Record> {
        let operation = shape.kind & !REFUSED;
        let is_granted = shape.kind & REFUSED == 0;
        let (has_size, has_old, has_new) = match operation {
            ALLOCATE | ALLOCATE_ZEROED => (true, false, is_granted),
            FREE if is_granted => (false, true, false),
            RESIZE => (true, true, is_granted),
            _ => return None,
        };
        let size = if has_size { take(bytes)? } else { 0 };
        let mut address = |is_there: bool| match is_there {
            true => self.addresses.take(bytes),
            false => Some(0),
        };
        let (old, new) = (address(has_old)?, address(has_new)?);
        Some(Record {
            operation,
            component: shape.component,
            align_log2: shape.align_log2,
            site: shape.site,
            clock: self.clock,
            size,
            old,
            new,
        })
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes and decodes the events one after the other; returns the bytes of all.
    fn round_trip(records: impl Iterator<Item = Record>) -> usize {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let (mut all, mut first_clock) = (0, None);
        for record in records {
            let mut bytes = [0; MOST_EVENT_BYTES];
            let length = encoder.put(&mut bytes, &record);
            assert!(length <= MOST_EVENT_BYTES, "{record:?}: {length} bytes");
            let first_clock = *first_clock.get_or_insert(record.clock);
            let expected = Record {
                clock: record.clock - first_clock,
                ..record
            };
            let mut rest = &bytes[..length];
            assert_eq!((decoder.take(&mut rest), rest.len()), (Some(expected), 0));
            all += length;
        }
        all
    }

    #[test]
    fn records_come_back_whatever_their_numbers() {
        const MOST: u64 = (1 << ADDRESS_BITS) - 1;
        let sizes = [0, 127, 128, u64::from(u32::MAX), u64::MAX];
        let addresses = [16, 17, 4096, 0x20_0001, 1 << 40, MOST - 15, MOST];
        let clocks = [0, 1, 1 << 20, u64::MAX];
        let sites = [0, 1, u32::MAX];
        let all = sizes.len() * addresses.len().pow(2) * clocks.len() * sites.len() * 4;
        let records = (0..all).map(|at| {
            // Clocks never go back: they take the longest to change.
            let mut rest = at;
            let mut digit = |most: usize| {
                let digit = rest % most;
                rest /= most;
                digit
            };
            let operation = [ALLOCATE, ALLOCATE_ZEROED, FREE, RESIZE][digit(4)];
            let (size, old, new, site) = (digit(5), digit(7), digit(7), digit(3));
            let is_refused = at % 11 == 0;
            Record {
                operation,
                component: at as u8 % 8,
                align_log2: at as u8 % 64,
                site: sites[site],
                clock: clocks[digit(4)],
                size: if operation == FREE { 0 } else { sizes[size] },
                old: if matches!(operation, FREE | RESIZE) {
                    addresses[old]
                } else {
                    0
                },
                new: if operation == FREE || is_refused {
                    0
                } else {
                    addresses[new]
                },
            }
        });
        round_trip(records);
    }

    #[test]
    fn the_longest_event_has_room() {
        let far = |old: u64, clock| Record {
            operation: RESIZE,
            component: 255,
            align_log2: 255,
            site: u32::MAX,
            clock,
            size: u64::MAX,
            old,
            new: (1 << ADDRESS_BITS) - 1,
        };
        round_trip([far(1, 0), far(3, u64::MAX)].into_iter());
    }

    #[test]
    fn more_shapes_than_there_is_room_for_are_said_again() {
        let calls = |of: u32, rounds: u32| {
            (0..of * rounds).map(move |at| Record {
                operation: ALLOCATE,
                site: 0x20_0000 + at % of * 5,
                size: 8,
                new: 4096,
                ..Record::default()
            })
        };
        let few = round_trip(calls(MOST_SHAPES as u32, 10));
        let many = round_trip(calls(MOST_SHAPES as u32 + 1, 10));
        assert!(few < 5 * MOST_SHAPES * 10 && many > 2 * few, "{few} {many}");
    }

    #[test]
    fn an_operation_on_few_blocks_takes_three_bytes() {
        let records = (0..10_000u64).map(|at| Record {
            operation: if at % 2 == 0 { ALLOCATE } else { FREE },
            site: 0x20_0000 + (at % 2) as u32,
            clock: at / 8 * 40,
            size: (1 - at % 2) * 48,
            old: at % 2 * (0x80_0000 + at / 2 % 4 * 64),
            new: (1 - at % 2) * (0x80_0000 + at / 2 % 4 * 64),
            ..Record::default()
        });
        let bytes = round_trip(records);
        assert!(bytes < 28_000, "{bytes}");
    }

    #[test]
    fn many_blocks_in_turn_take_three_bytes_too() {
        // Far apart: without a slot each takes five bytes.
        let address = |block: u64| 0x80_0000 + block * 0x1234_5670;
        let records = (0..16_000u64).map(|at| Record {
            operation: if at / 8 % 2 == 0 { ALLOCATE } else { FREE },
            size: (1 - at / 8 % 2) * 48,
            old: at / 8 % 2 * address(at % 8),
            new: (1 - at / 8 % 2) * address(at % 8),
            ..Record::default()
        });
        let bytes = round_trip(records);
        assert!(bytes < 50_000, "{bytes}");
    }

    /// The format: a file that was written with it is read with it, or its version is another one.
    #[test]
    fn events_are_these_bytes() {
        let (mut encoder, mut out) = (Encoder::new(), [0; MOST_EVENT_BYTES]);
        let first = Record {
            operation: ALLOCATE,
            component: 5,
            align_log2: 4,
            site: 0x81,
            clock: 1000,
            size: 200,
            old: 0,
            new: 0x100,
        };
        let mut bytes = |record| {
            let length = encoder.put(&mut out, &record);
            out[..length].to_vec()
        };
        // The shape; its event: the size, and sixteen steps of 16 bytes up.
        let shape = [SHAPE as u8, ALLOCATE, 5, 4, 0x81, 1];
        let event = [3, 0xc8, 1, 0x80, 1];
        assert_eq!(bytes(first), [&shape[..], &event].concat());
        // Nothing is new but a step of the clock, and an odd address one byte down.
        let second = Record {
            clock: 1003,
            new: 0xff,
            ..first
        };
        assert_eq!(bytes(second), [CLOCK as u8, 3, 3, 0xc8, 1, 1 << 2 | 2]);
        // A clock that goes back stands still.
        let earlier = Record {
            clock: 1002,
            new: 0,
            ..first
        };
        let shape = [SHAPE as u8, ALLOCATE | REFUSED, 5, 4, 0x81, 1];
        assert_eq!(bytes(earlier), [&shape[..], &[4, 0xc8, 1]].concat());
        // By its slot.
        let slot = (Addresses::slot(0x100) << 1 | 1) as u8;
        let resize = Record {
            operation: RESIZE,
            site: 0,
            clock: 1003,
            size: 1,
            old: 0x100,
            new: 0x110,
            ..first
        };
        let shape = [SHAPE as u8, RESIZE, 5, 4, 0];
        assert_eq!(bytes(resize), [&shape[..], &[5, 1, slot, 1 << 3]].concat());
    }

    #[test]
    fn nonsense_is_no_event() {
        let shape = |kind: u8| [2, kind, 0, 0, 1, 3, 1, 8, 8];
        for (bytes, is_event) in [
            (&shape(ALLOCATE)[..], true),
            (&shape(0), false),
            (&shape(5), false),
            (&[2, FREE, 0, 0, 1, 3, 8], true),
            (&[2, FREE | REFUSED, 0, 0, 1, 3, 8], false),
            (&[2, ALLOCATE | REFUSED, 0, 0, 1, 3, 1], true),
            (&[2, RESIZE | REFUSED, 0, 0, 1, 3, 1, 8], true),
            (&[3], false),
            (&[0, 1], false),
            (&[2, ALLOCATE, 0, 0, 1, 3, 1, 129, 1], false),
            // Addresses below zero, zero, of an empty slot, and of more bits than there are.
            (&[2, ALLOCATE, 0, 0, 1, 3, 1, 4], false),
            (&[2, ALLOCATE, 0, 0, 1, 3, 1, 0], false),
            (&[2, ALLOCATE, 0, 0, 1, 3, 1, 1], false),
            (
                &[
                    2, ALLOCATE, 0, 0, 1, 3, 1, 128, 128, 128, 128, 128, 128, 128, 8,
                ],
                false,
            ),
        ] {
            let taken = Decoder::new().take(&mut &bytes[..]);
            assert_eq!(taken.is_some(), is_event, "{bytes:?}");
        }
        // A distance of 2^64 bytes from a block.
        let mut decoder = Decoder::new();
        let far = [3, 1, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1];
        let mut bytes = &[2, ALLOCATE, 0, 0, 1, 3, 1, 8][..];
        assert!(decoder.take(&mut bytes).is_some());
        assert!(decoder.take(&mut &far[..]).is_none());
        // Voided, and not said again.
        let mut decoder = Decoder::new();
        let mut bytes = &[2, ALLOCATE, 0, 0, 1, 3, 1, 8, 0, 3, 1, 8][..];
        assert!(decoder.take(&mut bytes).is_some());
        assert!(decoder.take(&mut bytes).is_none());
    }
}
