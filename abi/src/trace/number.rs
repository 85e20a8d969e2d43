//! Numbers with 7 bits per byte, lowest bits first.

/// Passes the bytes of `value` to `push` one after the other: at most ten.
#[inline(always)]
pub fn put(mut push: impl FnMut(u8), mut value: u64) {
    while value >= 0x80 {
        push(value as u8 | 0x80);
        value >>= 7;
    }
    push(value as u8);
}

/// Takes a number from the front; returns `None` when it has no end or does not fit into 64 bits.
#[inline]
pub fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take_byte(bytes)?;
        let part = u64::from(byte & 0x7f);
        if part << shift >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Takes a byte.
#[inline]
pub fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_comes_back_and_no_cut_does() {
        for bits in 0..64 {
            for value in [1 << bits, (1 << bits) - 1, u64::MAX >> (63 - bits)] {
                let (mut bytes, mut length) = ([0; 10], 0);
                put(
                    |byte| {
                        bytes[length] = byte;
                        length += 1;
                    },
                    value,
                );
                let mut rest = &bytes[..length];
                assert_eq!((take(&mut rest), rest.len()), (Some(value), 0));
                assert_eq!(take(&mut &bytes[..length - 1]), None);
            }
        }
        assert_eq!(take(&mut &[0x80; 20][..]), None);
        assert_eq!(take(&mut &[0xff; 10][..]), None);
    }
}
