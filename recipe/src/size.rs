//! Sizes as the user writes and reads them.

/// Parses a size in bytes: a number, or one with K, M or G for KiB, MiB or GiB (`256M`, `4096`).
///
/// # Errors
///
/// In words, for the command line, when it is no number, is 0, or does not fit 64 bits.
pub fn parse(text: &str) -> Result<u64, String> {
    let (digits, unit) = match text.char_indices().last() {
        Some((last, 'k' | 'K')) => (&text[..last], 1 << 10),
        Some((last, 'm' | 'M')) => (&text[..last], 1 << 20),
        Some((last, 'g' | 'G')) => (&text[..last], 1 << 30),
        _ => (text, 1u64),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(
            "expected a number of bytes, or a number with K, M or G (KiB, MiB, GiB), such as 64M"
                .into(),
        );
    }
    let number: Option<u64> = digits.parse().ok();
    match number.and_then(|number| number.checked_mul(unit)) {
        Some(0) => Err("size must be greater than zero; give a size such as 64M".into()),
        Some(bytes) => Ok(bytes),
        None => Err("size must fit in 64 bits; give a size such as 64M".into()),
    }
}

/// A size for reading: `512`, `12.3 KiB`, `1.40 MiB`.
pub fn show(bytes: u64) -> String {
    const KIB: f64 = 1024.0;
    let value = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..0x10_0000 => format!("{:.1} KiB", value / KIB),
        0x10_0000..0x4000_0000 => format!("{:.2} MiB", value / KIB / KIB),
        _ => format!("{:.2} GiB", value / KIB / KIB / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_binary_units() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64k"), Ok(64 << 10));
        assert_eq!(parse("256M"), Ok(256 << 20));
        assert_eq!(parse("4G"), Ok(4 << 30));
        assert_eq!(parse("18446744073709551615"), Ok(u64::MAX));
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in [
            "",
            "M",
            "-1",
            "1.5M",
            "64MB",
            "0x10",
            "+1",
            "0",
            "0G",
            "18446744073709551616",
            "17179869184G",
            "é",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shows_three_figures() {
        assert_eq!(show(512), "512 B");
        assert_eq!(show(12_595), "12.3 KiB");
        assert_eq!(show(1_468_006), "1.40 MiB");
        assert_eq!(show(4 << 30), "4.00 GiB");
    }
}
