//! What the command prints: `print!`, `println!`, `eprint!` and `eprintln!` of this crate, in place of those of the
//! standard library, which panic where nobody reads.
//!
//! A reader that closes its end, as `head` does, has seen enough. What is printed from then on is dropped, and the
//! command goes on to its end and its own exit status: `bespoke tune APP --for GOAL | head -1` still writes its lock,
//! `bespoke run -d APP | true` still says whether the image is up, and no script with `pipefail` fails for it.
//! `SIGPIPE` therefore stays ignored: by default it would end a search in the middle of its work, and a monitor whose
//! guest, console or client closes a pipe or a socket. `logs` and `stats` write by themselves, for they would go on
//! for ever, and end with 0 as well. The output of an image is no concern of this module: there the guest sees the
//! error.
//!
//! Any other error of standard output, such as a full disk, is kept for [`finish`].
//!
//! Text of an image, a debug file, a trace, a recipe or a state file may hold what a terminal obeys, such as escape
//! sequences. All that is printed goes through here, and here such characters become escapes, lines and tabs
//! apart. The command's own sequences take [`control`]. The output of an image, which `run` and `logs` hand on, is
//! the image's: it is left as it is, as a shell leaves that of a program.

use crate::error::Error;
use bespoke_monitor::is_obeyed;
use std::fmt::{self, Arguments, Write as _};
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// The first error of standard output but a closed pipe.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

macro_rules! print {
    ($($text:tt)*) => { $crate::print::output::out(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::print::output::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::print::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::print::output::err(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::print::output::err(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output; see the module for what becomes of errors.
pub(crate) fn out(text: Arguments) {
    keep(plain(io::stdout().lock(), text));
}

/// Writes to standard error; one that takes nothing more, such as a log on a full disk, changes nothing.
pub(crate) fn err(text: Arguments) {
    let _ = plain(io::stderr().lock(), text);
}

/// Writes `text` to `to` without what a terminal would obey.
///
/// # Errors
///
/// Those of `to`.
pub(crate) fn plain(to: impl Write, text: Arguments) -> io::Result<()> {
    let mut plain = Plain { to, error: Ok(()) };
    match plain.write_fmt(text) {
        Ok(()) => Ok(()),
        Err(fmt::Error) => plain
            .error
            .and(Err(io::Error::other("a value cannot be shown"))),
    }
}

/// Writes a sequence for the terminal behind `to`.
///
/// # Errors
///
/// Those of `to`.
pub(crate) fn control(mut to: impl Write, sequence: &'static str) -> io::Result<()> {
    to.write_all(sequence.as_bytes())
}

/// `value` as JSON that needs no escapes of [`plain`]: JSON has its own.
pub(crate) fn json(value: &impl serde::Serialize, pretty: bool) -> String {
    let text = match pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    };
    let text = text.expect("plain data becomes JSON");
    if !text.contains(is_shown_as_escape) {
        return text;
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        // In JSON such a character stands in strings alone, and all of them have 16 bits.
        let _ = match is_shown_as_escape(c) {
            true => write!(safe, "\\u{:04x}", u32::from(c)),
            false => write!(safe, "{c}"),
        };
    }
    safe
}

fn is_shown_as_escape(c: char) -> bool {
    is_obeyed(c) && c != '\n' && c != '\t'
}

/// See [`plain`].
struct Plain<W> {
    to: W,
    error: io::Result<()>,
}

impl<W: Write> Plain<W> {
    fn put(&mut self, mut rest: &str) -> io::Result<()> {
        while let Some(at) = rest.find(is_shown_as_escape) {
            let (before, after) = rest.split_at(at);
            self.to.write_all(before.as_bytes())?;
            let mut after = after.chars();
            for c in after.by_ref().take(1) {
                write!(self.to, "{}", c.escape_default())?;
            }
            rest = after.as_str();
        }
        self.to.write_all(rest.as_bytes())
    }
}

impl<W: Write> fmt::Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.error = self.put(text);
        if self.error.is_ok() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Whether everything printed was written, or dropped for a reader that went away.
///
/// # Errors
///
/// The first thing else that went wrong.
pub(crate) fn finish() -> Result<(), Error> {
    keep(io::stdout().flush());
    let failure = FAILURE.lock().ok().and_then(|mut kept| kept.take());
    failure.map_or(Ok(()), |source| {
        Err(Error::System {
            action: "write to standard output",
            source,
        })
    })
}

fn keep(result: io::Result<()>) {
    let failure = result.err();
    if let Some(error) = failure.filter(|error| error.kind() != ErrorKind::BrokenPipe)
        && let Ok(mut kept) = FAILURE.lock()
    {
        kept.get_or_insert(error);
    }
}

#[cfg(test)]
mod tests {
    use super::{json, plain};
    use serde_json::{Value, json};

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let mut out = Vec::new();
        let foreign = "\x1b]0;title\x07\u{9b}2J\r";
        plain(&mut out, format_args!("a\tb: {foreign}\n")).expect("memory takes it");
        let expected = "a\tb: \\u{1b}]0;title\\u{7}\\u{9b}2J\\r\n";
        assert_eq!(String::from_utf8(out).expect("UTF-8"), expected);
    }

    #[test]
    fn json_stays_json() {
        let value = json!({ "name": "\x1b[2J\u{9b}\u{7f}\u{202e}ü", "list": [1, "\n"] });
        for pretty in [false, true] {
            let text = json(&value, pretty);
            assert!(!text.contains(super::is_shown_as_escape), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), value);
        }
    }

    #[test]
    fn errors_of_the_reader_come_back() {
        let full = &mut [0u8; 4][..];
        let error = plain(full, format_args!("more than {}", 4)).expect_err("no room");
        assert_eq!(error.kind(), std::io::ErrorKind::WriteZero);
    }
}
