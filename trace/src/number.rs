//! Numbers and texts in the blocks that are not events.

pub(crate) use bespoke_abi::trace::number::{take, take_byte};

/// Appends `value`.
pub(crate) fn put(out: &mut Vec<u8>, value: u64) {
    bespoke_abi::trace::number::put(|byte| out.push(byte), value);
}

/// Appends the length of `text`, then `text`.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Takes a text.
pub(crate) fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(take(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}
