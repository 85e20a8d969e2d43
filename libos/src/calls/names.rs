//! Names of system calls for people: the trace, and calls that are not implemented.
//! Owns the record of which unknown calls were named; must never name one twice.

use super::{Arguments, Outcome, errno};
use crate::report::console;
use crate::single::Single;
use crate::stats;
use syscalls::Sysno;

static NAMED: Single<[u64; 8]> = Single::new([0; 8]);

fn name(number: usize) -> &'static str {
    Sysno::new(number).map_or("unknown", |call| call.name())
}

/// Prints the call (`bespoke run --trace-calls`).
#[cold]
pub fn trace(number: usize, arguments: &Arguments) {
    let [a, b, c, d, ..] = arguments;
    console(format_args!(
        "bespoke: call {}({a:#x}, {b:#x}, {c:#x}, {d:#x})",
        name(number)
    ));
}

/// Answers ENOSYS and says so the first time.
#[cold]
pub fn unknown(number: usize) -> Outcome {
    stats().unknown_calls.add(1);
    let first = NAMED.with(|named| {
        let Some(word) = named.get_mut(number / 64) else {
            return true;
        };
        let bit = 1 << (number % 64);
        let first = *word & bit == 0;
        *word |= bit;
        first
    });
    if first {
        console(format_args!(
            "bespoke: the application made system call {} ({number}), which this library OS does not have; it got ENOSYS",
            name(number)
        ));
    }
    Err(errno::ENOSYS)
}
