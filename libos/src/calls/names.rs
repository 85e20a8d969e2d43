//! Names of system calls for people: the trace, and calls that are not implemented.
//! Owns the record of which unknown calls were named; must never name one twice.

use super::{Arguments, Outcome, errno};
use crate::filesystem::BESPOKE_FAILED;
use crate::report::console;
use crate::single::Single;
use crate::stats;
use core::slice::EscapeAscii;
use linux_raw_sys::general::{__NR_clone, __NR_fork};
use syscalls::Sysno;

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static NAMED: Single<[u64; 8]> = unsafe { Single::new([0; 8]) };

/// All names in the order of their numbers, each ended by a NUL; an unused number has none. A table of
/// string slices would take three times the bytes of an image.
// Out of the way of what a start reads (`libos/image.ld`).
#[unsafe(link_section = ".constants_for_people")]
static NAMES: [u8; names_bytes()] = join_names();

const fn text(number: usize) -> &'static [u8] {
    match Sysno::new(number) {
        Some(call) => call.name().as_bytes(),
        None => &[],
    }
}

const fn names_bytes() -> usize {
    let (mut bytes, mut number) = (0, 0);
    while number < Sysno::table_size() {
        bytes += text(number).len() + 1;
        number += 1;
    }
    bytes
}

const fn join_names() -> [u8; names_bytes()] {
    let mut joined = [0; names_bytes()];
    let (mut at, mut number) = (0, 0);
    while number < Sysno::table_size() {
        let name = text(number);
        let mut i = 0;
        while i < name.len() {
            joined[at + i] = name[i];
            i += 1;
        }
        at += name.len() + 1;
        number += 1;
    }
    joined
}

/// Takes time in proportion to `number`: for people only.
fn name(number: usize) -> EscapeAscii<'static> {
    let name = NAMES.split(|&byte| byte == 0).nth(number);
    name.filter(|name| !name.is_empty())
        .unwrap_or(b"unknown")
        .escape_ascii()
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

/// Calls made when the program asked for a second process last, and since then only changes of the signal mask.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static FORKED_AT: Single<Option<u64>> = unsafe { Single::new(None) };

/// The call that runs changes the signal mask. The C library does so around `fork`, so it does not show that the
/// program noticed the failure.
pub fn pass_over_mask() {
    FORKED_AT.with(|at| {
        if let Some(at) = at {
            *at += 1;
        }
    });
}

/// The exit code of a program that ends with `code`: 125 where it asks for a second process and then ends with 0 without
/// another call. It takes itself for the parent of a process that goes on in the background, and there is none. A program
/// that only tries `fork` says what it got, which is a call.
pub fn exit_code(code: u8) -> u8 {
    let forked = FORKED_AT.with(|at| *at);
    let is_parent = forked.is_some_and(|at| stats().calls.get() == at + 1);
    if code != 0 || !is_parent {
        return code;
    }
    console(format_args!(
        "bespoke: the application ended to go on in a process in the background, which an image cannot have: \
         let it run in the foreground (bespoke run -d puts the image into the background)"
    ));
    BESPOKE_FAILED
}

/// Answers ENOSYS and says so the first time.
#[cold]
pub fn unknown(number: usize) -> Outcome {
    stats().unknown_calls.add(1);
    if matches!(number as u32, __NR_fork | __NR_clone) {
        FORKED_AT.with(|at| *at = Some(stats().calls.get()));
    }
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Sysno, name};
    use std::string::ToString;

    #[test]
    fn every_call_has_its_name_and_no_other_number_has_one() {
        for number in (0..2000).chain([usize::MAX]) {
            let expected = Sysno::new(number).map_or("unknown", |call| call.name());
            assert_eq!(name(number).to_string(), expected, "{number}");
        }
    }
}
