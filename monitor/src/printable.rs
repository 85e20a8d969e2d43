//! Makes text of a guest, or of an untrusted file, safe for a terminal.
//!
//! A terminal interprets control characters: with them, text can clear the screen, change the
//! window's title, or imitate another line.
//! Characters that reverse the writing direction can make one name look like another.

use std::borrow::Cow;

/// Whether a terminal interprets `c` instead of showing it.
pub fn is_obeyed(c: char) -> bool {
    let reverses = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reverses
}

/// Returns `text` in one line, with every character that a terminal would
/// interpret as an escape, such as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_obeyed(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_a_terminal_obeys_is_shown_instead() {
        for (text, safe) in [
            ("plain, with ü and 漢", "plain, with ü and 漢"),
            ("\x1b[2Jred", "\\u{1b}[2Jred"),
            ("\u{9b}2J\x07", "\\u{9b}2J\\u{7}"),
            ("a\nb\r\tc\x7f", "a\\nb\\r\\tc\\u{7f}"),
            ("\u{202e}gpj.exe", "\\u{202e}gpj.exe"),
        ] {
            assert_eq!(printable(text), safe);
        }
    }
}
