//! The threads of a deadlock as the image lists them, each with its call frames.
//! Counts and lengths of the guest are untrusted.

use super::{Backtrace, Registers, Subject};
use bespoke_abi::hypercall::{Deadlock, DeadlockedThread, MAX_DEADLOCKED};
use std::mem::{offset_of, size_of};

/// A thread that waits forever.
#[derive(Debug)]
pub struct WaitingThread {
    /// Its name and the event it waits for.
    pub text: String,
    /// Where it waits, innermost first.
    pub backtrace: Backtrace,
}

/// Reads the [`Deadlock`] at `address`. `reporting` are the registers of the thread that reports.
/// Also returns the number of threads that are not listed.
pub(super) fn threads(
    subject: &Subject,
    address: u64,
    reporting: Option<&Registers>,
) -> (Vec<WaitingThread>, u64) {
    let Some(count) = word(subject, address) else {
        return (Vec::new(), 0);
    };
    let named = count.min(MAX_DEADLOCKED as u64);
    let first = address.wrapping_add(offset_of!(Deadlock, threads) as u64);
    let entries =
        (0..named).map(|index| first.wrapping_add(index * size_of::<DeadlockedThread>() as u64));
    let threads = entries.filter_map(|entry| thread(subject, entry, reporting));
    (threads.collect(), count - named)
}

fn thread(subject: &Subject, entry: u64, reporting: Option<&Registers>) -> Option<WaitingThread> {
    let field = |offset: usize| entry.wrapping_add(offset as u64);
    let context = word(subject, field(offset_of!(DeadlockedThread, context)))?;
    let bytes = word(subject, field(offset_of!(DeadlockedThread, text_bytes)))?;
    let mut text = vec![0; bytes.min(112) as usize];
    if !(subject.read)(field(offset_of!(DeadlockedThread, text)), &mut text) {
        return None;
    }
    let registers = match context {
        0 => reporting.cloned(),
        context => saved(subject, context),
    };
    let mut backtrace = registers.map_or_else(Backtrace::default, |registers| {
        Backtrace::take(subject, &registers)
    });
    // The library OS's own frames are the same for all threads; the program's frames follow them.
    let own = |file: &Option<String>| {
        file.as_ref()
            .is_some_and(|file| file.contains("libos/src/") || file.starts_with("/rustc/"))
    };
    let foreign = backtrace
        .frames
        .iter()
        .position(|frame| frame.file.is_some() && !own(&frame.file));
    backtrace.frames.drain(..foreign.unwrap_or(0));
    Some(WaitingThread {
        text: String::from_utf8_lossy(&text).into_owned(),
        backtrace,
    })
}

/// Returns the registers of a thread that is not running, as its context switch saved them.
fn saved(subject: &Subject, context: u64) -> Option<Registers> {
    // DWARF numbers of r15 r14 r13 r12 rbx rbp, in the order they lie in memory.
    const ORDER: [usize; 6] = [15, 14, 13, 12, 3, 6];
    let at = |index: u64| word(subject, context.checked_add(8 * (index + 1))?);
    let mut registers = Registers {
        general: [0; 16],
        rip: at(ORDER.len() as u64)?,
        rflags: 0,
        fs_base: 0,
    };
    for (index, register) in ORDER.into_iter().enumerate() {
        registers.general[register] = at(index as u64)?;
    }
    registers.general[Registers::STACK] = context.checked_add(8 * 8)?;
    Some(registers)
}

fn word(subject: &Subject, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (subject.read)(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
}
