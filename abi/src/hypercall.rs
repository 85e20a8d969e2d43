//! The calls from an image to its monitor. They are few, and each
//! one is a system call on `process`.
//!
//! On `kvm` the image fills a [`Request`] that lies below 4 GiB and executes `out dx, eax`, with
//! `dx` = [`PORT`] and `eax` = the request's guest-virtual address.
//! The monitor stores `result` before the guest continues.
//! On `process` the same operations are Linux system calls.
//! The exception is [`FATAL`]: `int3` with `rax` = [`FATAL_MAGIC`]
//! and `rbx` = the request's address.

/// I/O port of every hypercall.
pub const PORT: u16 = 0xb5;

/// Value of `rax` at the `int3` that reports a fatal condition under the process monitor.
pub const FATAL_MAGIC: u64 = u64::from_le_bytes(*b"bespfatl");

/// One hypercall.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// One of the operation constants below.
    pub operation: u64,
    /// Arguments of the operation.
    pub arguments: [u64; 4],
    /// `>= 0` or `-errno`; the monitor writes it.
    pub result: i64,
}

/// Ends the image. Argument 0 is the exit code (0..=255). Does not return.
pub const EXIT: u64 = 1;
/// `writev`: descriptor, address of an array of
/// [`crate::boot::Span`], count (at most [`MAX_SPANS`]).
/// For descriptors 1 and 2 and exports. Returns the bytes written.
pub const WRITE: u64 = 2;
/// Blocking `read`: descriptor 0, address, bytes. Returns the bytes read, 0 at the end.
pub const READ: u64 = 3;
/// Sets the access rights of whole pages: address, bytes, rights (`ACCESS_*`).
pub const PROTECT: u64 = 4;
/// For [`PROTECT`]: no access.
pub const ACCESS_NONE: u64 = 0;
/// For [`PROTECT`]: reading and writing.
pub const ACCESS_WRITE: u64 = 1;
/// For [`PROTECT`]: reading.
pub const ACCESS_READ: u64 = 2;
/// Gives the host memory behind whole pages back: address, bytes. They read as zero afterwards.
pub const GIVE_BACK: u64 = 5;
/// Sleeps for at most argument 0 nanoseconds ([`FOREVER`]: no limit), until one of the events in
/// argument 1 (bits `WAIT_*`) may have occurred.
/// Returns the bits of the events that may have occurred. An event before the call ends it at once.
/// It may return early without any bit. It does so when a host signal arrives
/// ([`crate::stats::StatsPage::host_signals`]).
pub const WAIT: u64 = 6;
/// For [`WAIT`]: no time limit.
pub const FOREVER: u64 = u64::MAX;
/// For [`WAIT`]: the network has frames for the image, or can take more from it.
pub const WAIT_NET: u64 = 1 << 0;
/// For [`WAIT`]: descriptor 0 can be read without blocking.
pub const WAIT_CONSOLE: u64 = 1 << 1;
/// Reports a condition that the image cannot survive: kind (`FATAL_*`), message address, message
/// bytes, and a value (the address concerned, or bytes for [`FATAL_MEMORY`]).
/// The monitor reports it with registers and backtrace.
/// Does not return to the caller. The monitor may enter the image again at its rescue
/// entry ([`crate::note::ImageNote`]).
pub const FATAL: u64 = 7;

/// Starts periodic interrupts of the image: every few milliseconds that it runs while
/// [`crate::stats::StatsPage::wants_interrupt`] is true.
/// On `process` this is a write of the byte [`TICK_NOTICE`] to descriptor [`NOTICE_DESCRIPTOR`].
pub const TICK: u64 = 9;
/// Descriptor on which a process notifies its monitor of a fault, or sends [`TICK_NOTICE`].
pub const NOTICE_DESCRIPTOR: u64 = 50;
/// See [`TICK`].
pub const TICK_NOTICE: u8 = b'T';

/// Maps whole pages of the image's memory at a second address, beyond the end of memory: that
/// address, bytes, address of the pages, rights (`ACCESS_*`).
/// Nothing may be mapped there yet. On `process` and on stock monitors the image does this itself.
pub const MAP: u64 = 10;
/// Unmaps whole pages beyond the end of memory: address, bytes.
pub const UNMAP: u64 = 11;
/// End of the addresses for [`MAP`]: the last page of the lower half stays unmapped, as on Linux.
pub const FAR_END: u64 = (1 << 47) - 4096;

/// Physical address of the word that holds the address of the top page
/// table, in an image on a stock monitor.
pub const STOCK_TABLES: u64 = 0x10_3680;

/// First descriptor of the files written out at exit.
/// When file k is complete the image sets bit k of [`crate::stats::StatsPage::exported`]. Only then
/// may the file replace a host file.
pub const EXPORT_DESCRIPTOR: u64 = 100;
/// Most spans in one [`WRITE`].
pub const MAX_SPANS: u64 = 64;

/// `abort()` or an unhandled signal: the value is the signal number.
pub const FATAL_SIGNAL: u64 = 1;
/// The library OS detected an inconsistent state of its own (a Rust panic).
pub const FATAL_PANIC: u64 = 2;
/// A heap found damaged structures or a double free: the value is the address.
pub const FATAL_HEAP: u64 = 3;
/// Not enough memory to start: the value is the total RAM needed, in bytes.
pub const FATAL_MEMORY: u64 = 4;
/// Every thread waits and no event can wake any: the value is the address of a [`Deadlock`].
pub const FATAL_DEADLOCK: u64 = 5;

/// How a run on a stock virtual machine ended. There, hypercalls have no receiver.
/// A reader of the machine's memory finds the outcome in the image's request
/// ([`crate::note::ImageNote::request`]), which holds one of three operations:
/// - an [`EXIT`];
/// - a [`FATAL`], whose result is the address of a [`FaultRecord`] with the
///   callee-saved registers (0: none);
/// - a `FAULT`: argument 0 is the address of a [`FaultRecord`], argument 1 the signal of the fault
///   if the image knows it (0: unknown).
pub const FAULT: u64 = 8;

/// A fault at CPL 3 as recorded by the ring-0 stub, for [`FAULT`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultRecord {
    /// Exception vector.
    pub vector: u64,
    /// Its error code, 0 where it has none.
    pub error_code: u64,
    /// CR2: the address of a page fault.
    pub address: u64,
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub flags: u64,
    /// Thread pointer.
    pub fs_base: u64,
    /// General registers in DWARF order: rax rdx rcx rbx rsi rdi rbp rsp r8 ... r15.
    pub general: [u64; 16],
}

/// The image cannot start on this machine; the message gives the reason.
pub const FATAL_MACHINE: u64 = 6;

/// Most threads a [`Deadlock`] names.
pub const MAX_DEADLOCKED: usize = 16;

/// Threads that wait forever, for [`FATAL_DEADLOCK`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Deadlock {
    /// Total number of threads; those beyond [`MAX_DEADLOCKED`] are not listed.
    pub count: u64,
    /// The first threads.
    pub threads: [DeadlockedThread; MAX_DEADLOCKED],
}

/// One thread of a [`Deadlock`].
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DeadlockedThread {
    /// Address of its saved registers: `r15 r14 r13 r12 rbx rbp`, then the return address, from
    /// 8 bytes above this address on.
    /// 0: it is the reporting thread.
    pub context: u64,
    /// Bytes of `text` in use.
    pub text_bytes: u64,
    /// The thread's name and the event it waits for.
    pub text: [u8; 112],
}
