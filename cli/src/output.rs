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

use crate::error::Error;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::sync::Mutex;

/// The first error of standard output but a closed pipe.
static FAILURE: Mutex<Option<io::Error>> = Mutex::new(None);

macro_rules! print {
    ($($text:tt)*) => { $crate::output::out(format_args!($($text)*)) };
}

macro_rules! println {
    () => { $crate::output::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::output::out(format_args!("{}\n", format_args!($($text)*))) };
}

macro_rules! eprint {
    ($($text:tt)*) => { $crate::output::err(format_args!($($text)*)) };
}

macro_rules! eprintln {
    ($($text:tt)*) => { $crate::output::err(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to standard output; see the module for what becomes of errors.
pub fn out(text: Arguments) {
    keep(io::stdout().write_fmt(text));
}

/// Writes to standard error; one that takes nothing more, such as a log on a full disk, changes nothing.
pub fn err(text: Arguments) {
    let _ = io::stderr().write_fmt(text);
}

/// Whether everything printed was written, or dropped for a reader that went away.
///
/// # Errors
///
/// The first thing else that went wrong.
pub fn finish() -> Result<(), Error> {
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
