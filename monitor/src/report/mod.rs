//! Crash reports, in one form for all monitors.
//! Making a report never fails, whatever the guest left behind: missing parts
//! are omitted or reported as unknown.

mod backtrace;
mod deadlock;
mod fault;
mod format;
mod symbols;

pub use backtrace::{Backtrace, Frame};
pub(crate) use deadlock::WaitingThread;
pub(crate) use fault::{Fault, FaultAccess, vector};
pub use symbols::SourceLines;

use crate::image::{Access, Image};
use crate::layout::Layout;
use bespoke_abi::hypercall::{
    FATAL_DEADLOCK, FATAL_HEAP, FATAL_MACHINE, FATAL_MEMORY, FATAL_PANIC, FATAL_SIGNAL,
};
use std::time::Duration;

/// How long an image may take to write its files after a crash.
pub(crate) const RESCUE_LIMIT: Duration = Duration::from_secs(10);

/// The kind of a crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrashKind {
    /// An access below the image, where nothing is mapped.
    NullDereference,
    /// Execution reached an address without code.
    WildJump,
    /// An access just below the stack, in a guard page or unmapped memory.
    StackOverflow,
    /// An access to a page that the image itself closed, away from the stack.
    GuardPage,
    /// An access to a page of a mapped file that lies past the file's end.
    PastFile,
    /// A write to text or constants.
    WriteReadOnly,
    /// Execution of data.
    ExecuteData,
    /// An access to memory that the image does not have.
    BadAccess,
    /// Integer division by zero, or a quotient that does not fit.
    DivisionByZero,
    /// An unmasked floating point exception.
    FloatingPoint,
    /// An instruction that does not exist.
    IllegalInstruction,
    /// A misaligned access with alignment checks on.
    Misaligned,
    /// A general protection fault: a non-canonical address, a misaligned vector access, or a privileged instruction.
    Protection,
    /// A breakpoint or trap instruction.
    Breakpoint,
    /// A Linux system call that images must not make.
    ForbiddenCall {
        /// Its number.
        number: u64,
    },
    /// An invalid hypercall.
    MalformedHypercall,
    /// `abort()` or an unhandled signal.
    Signal {
        /// Its number.
        number: u8,
    },
    /// The library OS detected an inconsistent state of its own.
    Panic,
    /// A heap found damaged structures or a double free.
    HeapCorruption,
    /// Every thread waits and no event can wake any.
    Deadlock,
    /// A fatal condition of a kind unknown to this monitor.
    OtherFatal {
        /// Its number.
        kind: u64,
    },
    /// The machine stopped without a reason.
    Unknown,
}

/// General registers at the crash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers {
    /// In DWARF order: rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15.
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// Thread pointer.
    pub fs_base: u64,
}

impl Registers {
    const STACK: usize = 7;

    /// The stack pointer.
    pub fn stack(&self) -> u64 {
        self.general[Self::STACK]
    }
}

/// The outcome of the rescue, which lets a crashed image write its exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rescue {
    /// No exports were requested.
    NotNeeded,
    /// The image has no rescue entry.
    NoEntry,
    /// The image wrote its files and ended.
    Done,
    /// The image crashed again.
    Failed,
    /// The image took too long.
    TimedOut,
}

/// A complete crash; `Display` formats the report.
#[derive(Debug)]
pub struct CrashReport {
    /// What happened.
    pub kind: CrashKind,
    /// The signal that would have ended a Linux process.
    pub signal: u8,
    /// The address concerned.
    pub address: Option<u64>,
    /// Description of that address.
    pub owner: Option<String>,
    /// Message of the guest or the machine.
    pub message: Option<String>,
    /// Registers, if the machine kept them.
    pub registers: Option<Registers>,
    /// Call frames, innermost first.
    pub backtrace: Backtrace,
    /// For a deadlock: each thread, what it waits for, and where.
    pub threads: Vec<WaitingThread>,
    /// For a deadlock: number of further threads.
    pub unnamed_threads: u64,
    /// Outcome of the rescue of exports.
    pub rescue: Rescue,
}

/// The subject of a report, with access to its memory.
pub(crate) struct Subject<'a> {
    pub image: &'a Image,
    pub layout: &'a Layout,
    /// Reads the bytes at a guest-virtual address; returns false on failure.
    pub read: &'a dyn Fn(u64, &mut [u8]) -> bool,
}

/// A fatal condition that the image itself reported.
pub(crate) struct Fatal {
    kind: u64,
    message: String,
    value: u64,
}

impl Fatal {
    /// Reads a [`bespoke_abi::hypercall::FATAL`] request from its four arguments.
    pub(crate) fn read(
        read: impl Fn(u64, &mut [u8]) -> bool,
        [kind, start, bytes, value]: [u64; 4],
    ) -> Self {
        const MOST: u64 = 4096;
        let mut text = vec![0; bytes.min(MOST) as usize];
        // An empty message may have any address.
        let message = match bytes == 0 || read(start, &mut text) {
            true => String::from_utf8_lossy(&text).into_owned(),
            false => format!("(its message at {start:#x} cannot be read)"),
        };
        Self {
            kind,
            message,
            value,
        }
    }

    /// Returns the bytes needed, if the image lacks the memory to start.
    pub(crate) fn needed_bytes(&self) -> Option<u64> {
        (self.kind == FATAL_MEMORY).then_some(self.value)
    }

    /// Returns the reason, if the image cannot start on its machine.
    pub(crate) fn machine(&self) -> Option<&str> {
        (self.kind == FATAL_MACHINE).then_some(&*self.message)
    }
}

impl CrashReport {
    /// Makes the report of a fault.
    pub(crate) fn fault(subject: &Subject, fault: Fault) -> Self {
        let (kind, signal) = fault.classify(subject);
        let address = fault.address.or(match kind {
            CrashKind::WildJump => fault.registers.as_ref().map(|registers| registers.rip),
            _ => None,
        });
        Self::new(
            subject,
            (kind, signal),
            address,
            fault.detail,
            fault.registers,
        )
    }

    /// Makes the report of a condition that the image itself reported.
    pub(crate) fn fatal(subject: &Subject, fatal: Fatal, registers: Option<Registers>) -> Self {
        let abort = libc::SIGABRT as u8;
        let (kind, signal, address) = match fatal.kind {
            FATAL_SIGNAL => {
                let number = u8::try_from(fatal.value)
                    .ok()
                    .filter(|number| (1..=64).contains(number))
                    .unwrap_or(abort);
                (CrashKind::Signal { number }, number, None)
            }
            FATAL_PANIC => (CrashKind::Panic, abort, None),
            FATAL_HEAP => (CrashKind::HeapCorruption, abort, Some(fatal.value)),
            FATAL_DEADLOCK => (CrashKind::Deadlock, abort, None),
            kind => (CrashKind::OtherFatal { kind }, abort, None),
        };
        let (threads, unnamed_threads) = match kind {
            CrashKind::Deadlock => deadlock::threads(subject, fatal.value, registers.as_ref()),
            _ => (Vec::new(), 0),
        };
        let report = Self::new(
            subject,
            (kind, signal),
            address,
            Some(fatal.message),
            registers,
        );
        Self {
            threads,
            unnamed_threads,
            ..report
        }
    }

    /// Makes the report of an invalid hypercall.
    pub(crate) fn malformed(
        subject: &Subject,
        reason: String,
        registers: Option<Registers>,
    ) -> Self {
        let kind = (CrashKind::MalformedHypercall, libc::SIGSYS as u8);
        Self::new(subject, kind, None, Some(reason), registers)
    }

    fn new(
        subject: &Subject,
        (kind, signal): (CrashKind, u8),
        address: Option<u64>,
        message: Option<String>,
        registers: Option<Registers>,
    ) -> Self {
        let owner = address.map(|address| owner(subject, address));
        let message = message.filter(|message| !message.is_empty());
        let backtrace = registers
            .as_ref()
            .map_or_else(Backtrace::default, |registers| {
                Backtrace::take(subject, registers)
            });
        Self {
            kind,
            signal,
            address,
            owner,
            message,
            registers,
            backtrace,
            threads: Vec::new(),
            unnamed_threads: 0,
            rescue: Rescue::NotNeeded,
        }
    }
}

fn owner(subject: &Subject, address: u64) -> String {
    let (image, layout) = (subject.image, subject.layout);
    if address < layout.all.start {
        return "nothing: below the image".into();
    }
    if let Some(segment) = image.segment_at(address) {
        let part = match segment.access {
            Access::Read => "constants",
            Access::Execute => "text",
            Access::Write => "data",
        };
        return format!("the image's {part}");
    }
    if layout.stack.contains(&address) {
        return "the main stack".into();
    }
    if layout.boot.contains(&address) {
        return "boot information and files given to the image".into();
    }
    if layout.ram.contains(&address) {
        return format!(
            "RAM, {:#x} bytes from its start",
            address - layout.ram.start
        );
    }
    if layout.all.contains(&address) {
        "nothing: a gap".into()
    } else {
        "nothing: outside the image's memory".into()
    }
}
