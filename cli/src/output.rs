//! What the command prints on standard output. Must never end a command because its reader has seen enough: what it was
//! asked to do beside printing, a lock to write or an exit code, stays the same under `| head`.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::process;

/// Prints, as [`print!`], but does not mind a reader that is gone.
macro_rules! say {
    ($($what:tt)*) => { $crate::output::print(format_args!($($what)*)) };
}

/// Prints a line, as [`println!`], but does not mind a reader that is gone.
macro_rules! say_line {
    () => { $crate::output::print(format_args!("\n")) };
    ($($what:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($what)*))) };
}

pub(crate) use {say, say_line};

/// Exit code when standard output cannot take what is printed, a full disk for one.
const CANNOT_PRINT: i32 = 1;

/// For [`say`] and [`say_line`].
pub fn print(what: Arguments) {
    let mut out = io::stdout().lock();
    match out.write_fmt(what) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("bespoke: cannot write to standard output: {error}");
            process::exit(CANNOT_PRINT);
        }
        _ => {}
    }
}
