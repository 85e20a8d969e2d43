//! Signals that are read from a descriptor (`signalfd`).
//!
//! A descriptor holds no signals: whoever reads takes those that wait for its thread or the process. So it is ready for
//! one thread and not for another. Owns the list of descriptors to tell of new signals.

use super::call_group;
use crate::calls::files::answered;
use crate::calls::{Arguments, errno};
use crate::files::{Errno, Guest, Other, Result, Scatter, World, boxed};
use crate::filesystem::{self, Root};
use crate::signals::{self, Detail, Info};
use crate::single::Single;
use alloc::vec::Vec;
use linux_raw_sys::general::{
    __NR_signalfd, __NR_signalfd4, O_CLOEXEC, O_NONBLOCK, O_RDWR, POLLIN, SIGKILL, SIGSTOP,
};

/// Bytes of a `struct signalfd_siginfo`.
const BYTES: usize = 128;

/// The object behind a descriptor.
struct SignalFile {
    number: u32,
    /// Signals that are read from it.
    set: u64,
}

/// Number and set of each.
// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static ALL: Single<Vec<(u32, u64)>> = unsafe { Single::new(Vec::new()) };

impl Other for SignalFile {
    fn kind(&self) -> &'static str {
        "[signalfd]"
    }

    fn readiness(&mut self) -> u32 {
        match signals::waiting() & self.set {
            0 => 0,
            _ => POLLIN,
        }
    }

    fn read(&mut self, _world: &mut World<'_>, to: &mut Scatter<'_>) -> Result {
        if to.remaining() < BYTES {
            return Err(Errno::INVAL);
        }
        let mut done = 0;
        while to.remaining() >= BYTES
            && let Some(info) = signals::take(self.set)
        {
            to.put(&record(info));
            done += BYTES;
        }
        match done {
            0 => Err(Errno::AGAIN),
            done => Ok(done),
        }
    }

    fn close(&mut self, _world: &mut World<'_>) {
        ALL.with(|all| all.retain(|&(number, _)| number != self.number));
        watch();
    }
}

/// What is told of a signal: a `struct signalfd_siginfo`.
fn record(info: Info) -> [u8; BYTES] {
    /// Places of words: the first three are those of `siginfo_t`.
    const PROCESS: usize = 12;
    const TIMER: usize = 24;
    const OVERRUN: usize = 32;
    const NUMBER: usize = 44;
    const POINTER: usize = 48;
    let mut record = [0; BYTES];
    let mut put = |place: usize, bytes: &[u8]| {
        record[place..place + bytes.len()].copy_from_slice(bytes);
    };
    let [first, code, third, value] = info.0;
    put(0, &first.to_ne_bytes());
    put(8, &(code as u32).to_ne_bytes());
    let halves = third.to_ne_bytes();
    match info.detail() {
        Detail::Sender => put(PROCESS, &halves),
        Detail::Value => {
            put(PROCESS, &halves);
            put(NUMBER, &(value as u32).to_ne_bytes());
            put(POINTER, &value.to_ne_bytes());
        }
        Detail::Timer => {
            put(TIMER, &halves[..4]);
            put(OVERRUN, &halves[4..]);
            put(NUMBER, &(value as u32).to_ne_bytes());
            put(POINTER, &value.to_ne_bytes());
        }
    }
    record
}

/// Signals of `set` have begun to wait.
fn arrived(set: u64) {
    let mut place = 0;
    // One after the other: nothing may be borrowed while threads are told.
    while let Some((number, own)) = ALL.with(|all| all.get(place).copied()) {
        if own & set != 0 {
            filesystem::with(|root| root.tell_other(number, POLLIN));
        }
        place += 1;
    }
}

/// Says which signals are of interest.
fn watch() {
    let set = ALL.with(|all| all.iter().fold(0, |set, &(_, own)| set | own));
    signals::watch(set, arrived);
}

/// # Safety
///
/// As for [`crate::calls::bespoke_syscall`].
unsafe fn call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    let [descriptor, set, bytes, flags, ..] = arguments;
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { Guest::new() };
    let flags = match number as u32 {
        __NR_signalfd => 0,
        __NR_signalfd4 => flags as u32,
        _ => return None,
    };
    if bytes != size_of::<u64>() {
        return Some(errno::EINVAL);
    }
    Some(answered(make(root, guest, descriptor, set, flags)))
}

fn make(root: &mut Root, guest: Guest, descriptor: usize, set: usize, flags: u32) -> Result {
    let unreadable = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1);
    let set = guest.read::<u64>(set)? & !unreadable;
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(Errno::INVAL);
    }
    if descriptor as i32 != -1 {
        let (number, file) = root.other::<SignalFile>(descriptor)?;
        file.set = set;
        ALL.with(|all| {
            let own = all.iter_mut().find(|(other, _)| *other == number);
            if let Some((_, own)) = own {
                *own = set;
            }
        });
        watch();
        // Whoever waits may find something now.
        root.tell_other(number, POLLIN);
        return Ok(descriptor as u32 as usize);
    }
    ALL.with(|all| all.try_reserve(1))
        .map_err(|_| Errno::NOMEM)?;
    let file = SignalFile { number: 0, set };
    let descriptor = root.open_other(boxed(file)?, flags | O_RDWR)?;
    let (number, file) = root.other::<SignalFile>(descriptor)?;
    file.number = number;
    ALL.with(|all| all.push((number, set)));
    watch();
    Ok(descriptor)
}

call_group!(bespoke_calls_signal_files, plain: None, files: Some(call));
