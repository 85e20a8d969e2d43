//! The command line of an image on a stock monitor: words, apart by spaces.
//!
//! ```text
//! arg=TEXT                  an argument; the first is the program's name
//! env=NAME=VALUE            an environment string
//! net=KEY=VALUE,...         address=A/BITS gateway=A dns=A, address and gateway again for IPv6; else DHCP
//! tty=BITS,ROWS,COLUMNS     which of descriptors 0, 1, 2 are terminals, and their size
//! trace                     name each system call
//! watched                   whoever started the machine reads its memory: leave reports to them
//! status                    say on the console how the image ended
//! virtio_mmio.device=...    the monitor's own: a device, SIZE@ADDRESS:INTERRUPT
//! ```
//! `%XX` stands for a byte that would end a word. Words of no meaning here are Linux's, which stock monitors
//! add. Owns nothing; must never read beyond the line.

/// Where a device's registers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmioWindow {
    /// Physical address of the registers.
    pub address: u64,
    /// Its input of the interrupt controllers, counted over all of them.
    pub interrupt: u32,
}

/// Words with the prefix `name`, without it.
pub fn values<'a>(line: &'a [u8], name: &'static [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut rest = line;
    core::iter::from_fn(move || next_value(&mut rest, name))
}

/// Whether `name` is one of the words.
pub fn has(line: &[u8], name: &'static [u8]) -> bool {
    values(line, name).any(<[u8]>::is_empty)
}

/// Cuts off what comes up to the next word with the prefix `name`, once for all who look for words: where code is
/// translated before it runs, less of it is sooner.
#[inline(never)]
fn next_value<'a>(rest: &mut &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let is_apart = |byte: &u8| *byte <= b' ';
    loop {
        let start = rest.iter().position(|byte| !is_apart(byte))?;
        let from = &rest[start..];
        let end = from.iter().position(is_apart).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        *rest = after;
        // Byte by byte: what compares memory is more code.
        if word.len() >= name.len() && word.iter().zip(name).all(|(a, b)| a == b) {
            return Some(&word[name.len()..]);
        }
    }
}

/// The bytes that `word` stands for, one by one.
pub fn decode(word: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let byte = *word.get(at)?;
        if let (b'%', Some(code)) = (byte, word.get(at + 1..at + 3).and_then(hexadecimal)) {
            at += 3;
            return Some(code as u8);
        }
        at += 1;
        Some(byte)
    })
}

/// Digits alone: no sign, no space. `None` for none, and for more than 64 bits.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let add = |number: u64, &digit: &u8| {
        let digit = char::from(digit).to_digit(radix)?;
        number.checked_mul(radix.into())?.checked_add(digit.into())
    };
    (!digits.is_empty())
        .then_some(digits)?
        .iter()
        .try_fold(0, add)
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    number(digits, 16)
}

fn decimal<T: TryFrom<u64>>(digits: &[u8]) -> Option<T> {
    number(digits, 10)?.try_into().ok()
}

/// Values of `virtio_mmio.device=`; `None` for one that is no window.
pub fn windows(line: &[u8]) -> impl Iterator<Item = Option<MmioWindow>> {
    values(line, b"virtio_mmio.device=").map(window)
}

/// `SIZE@ADDRESS:INTERRUPT`, with the address as `0x...`.
#[inline(never)]
fn window(value: &[u8]) -> Option<MmioWindow> {
    let at = value.iter().position(|byte| *byte == b'@')?;
    let mut rest = value[at + 1..].split(|byte| *byte == b':');
    Some(MmioWindow {
        address: hexadecimal(rest.next()?.strip_prefix(b"0x")?)?,
        interrupt: decimal(rest.next()?)?,
    })
}

/// The terminals of `tty=`: bits, rows, columns.
pub fn terminals(value: &[u8]) -> Option<(u32, u16, u16)> {
    let mut parts = value.split(|byte| *byte == b',');
    let (bits, rows) = (decimal(parts.next()?)?, decimal(parts.next()?)?);
    Some((bits, rows, decimal(parts.next()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const LINE: &[u8] =
        b"reboot=k arg=redis  arg=a%20b%25 trace env=A=1 virtio_mmio.device=512@0xfeb00e00:12 \
        virtio_mmio.device=4K@0xc0001000:5\n";

    #[test]
    fn words_of_one_kind_come_in_their_order() {
        let arguments: Vec<Vec<u8>> = values(LINE, b"arg=")
            .map(|word| decode(word).collect())
            .collect();
        assert_eq!(arguments, [b"redis".to_vec(), b"a b%".to_vec()]);
        assert!(has(LINE, b"trace") && !has(LINE, b"watched") && !has(LINE, b"arg="));
        let windows: Vec<_> = windows(LINE).map(Option::unwrap).collect();
        assert_eq!(
            (windows[0].address, windows[0].interrupt),
            (0xfeb0_0e00, 12)
        );
        assert_eq!((windows[1].address, windows[1].interrupt), (0xc000_1000, 5));
    }

    #[test]
    fn codes_cut_short_or_wrong_stand_for_themselves() {
        for word in [&b"100%"[..], b"%4", b"%zz", b"%"] {
            assert_eq!(decode(word).collect::<Vec<_>>(), word);
        }
        assert_eq!(decode(b"%00%ff").collect::<Vec<_>>(), [0, 0xff]);
    }

    #[test]
    fn windows_that_are_none_are_refused() {
        for value in [
            &b""[..],
            b"512",
            b"512@",
            b"512@0x10",
            b"512@10:5",
            b"512@0xg:5",
            b"512@0x10:x",
        ] {
            assert_eq!(window(value), None, "{value:?}");
        }
    }

    #[test]
    fn terminals_are_three_numbers() {
        assert_eq!(terminals(b"7,24,80"), Some((7, 24, 80)));
        assert_eq!(terminals(b"7,24"), None);
    }
}
