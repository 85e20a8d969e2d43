//! Text of a guest, or of a file that anyone may have written, made fit for a terminal.
//!
//! A terminal obeys control characters: with them text clears the screen, changes the window's title, or passes as another line.
//! Characters that reverse the direction of writing make one name look like another.

use std::borrow::Cow;

/// Whether a terminal obeys `c` instead of showing it.
pub fn is_obeyed(c: char) -> bool {
    let reverses = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reverses
}

/// `text` in one line, with everything that a terminal would obey written as an escape, such as `\u{1b}`.
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
