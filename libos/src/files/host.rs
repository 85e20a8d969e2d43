//! What the file system needs from the world outside: the console, a clock, randomness.
//! Owns nothing; the library OS implements it over hypercalls, the tests over memory.

use super::generated::Process;
use crate::memory::Shown;
use crate::threads::ThreadId;
use bespoke_abi::boot::Span;
use bespoke_abi::devices::NetInfo;

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Memory of the image in pages, as `statfs` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Pages the image was given.
    pub total_pages: u64,
    /// Pages nobody holds.
    pub free_pages: u64,
}

/// The world outside. Answers are Linux results: bytes, or `-errno`.
pub trait Host {
    /// Writes `spans` to console descriptor 1 or 2; at most
    /// [`bespoke_abi::hypercall::MAX_SPANS`] of them. May write less than asked.
    fn write(&self, descriptor: u32, spans: &[Span]) -> isize;
    /// Reads from console descriptor 0, waiting for the first byte; 0 at the end of input.
    fn read(&self, descriptor: u32, buffer: &mut [u8]) -> isize;
    /// Bytes to ask [`Host::read`] for at least where asking is dear; 0: no more than the program asks for, so that what
    /// it does not read stays for others.
    fn read_ahead_bytes(&self) -> usize;
    /// Whether [`Host::read`] would not wait.
    fn console_is_ready(&self) -> bool;
    /// Whether nothing else could run while the one thread waits in [`Host::read`].
    fn is_alone(&self) -> bool;
    /// Wall clock, nanoseconds since the Unix epoch. Called on every write: make it cheap.
    fn now_ns(&self) -> u64;
    /// Monotonic clock in nanoseconds.
    fn monotonic_ns(&self) -> u64;
    /// The running thread.
    fn thread(&self) -> ThreadId;
    /// Ends the wait of a thread, if it waits.
    fn wake(&self, thread: ThreadId);
    /// Fills `buffer` with random bytes.
    fn random(&self, buffer: &mut [u8]);
    /// The terminal behind console descriptor 0, 1 or 2; `None`: it is not a terminal.
    fn terminal(&self, descriptor: u32) -> Option<Window>;
    /// What the program is, as `/proc/self` tells it.
    fn process(&self) -> Process;
    /// Whether there is a thread of this number.
    fn thread_exists(&self, tid: u32) -> bool {
        tid == 1
    }
    /// The number of the running thread.
    fn tid(&self) -> u32 {
        1
    }
    /// The name of a thread, zero padded.
    fn thread_name(&self, tid: u32) -> [u8; 16];
    /// Time of the processor that a thread has used, the process for 0.
    fn cpu_time_ns(&self, _tid: u32) -> u64 {
        self.monotonic_ns()
    }
    /// The arguments of the program, or its first environment, each with its NUL.
    fn strings(&self, _environment: bool, _visit: &mut dyn FnMut(&'static [u8])) {}
    /// The soft and the hard limit of a resource.
    fn limit(&self, _resource: usize) -> (u64, u64) {
        (u64::MAX, u64::MAX)
    }
    /// The user's and the group's ids: real, effective, saved, of files.
    fn ids(&self) -> [[u32; 4]; 2] {
        [[0; 4]; 2]
    }
    /// A random number of this start.
    fn boot_id(&self) -> [u8; 16] {
        [0; 16]
    }
    /// How much memory there is and how much of it is free.
    fn memory(&self) -> Memory;
    /// Calls `each` for all that is mapped, in the order of addresses, until it refuses.
    fn mappings(&self, _each: &mut dyn FnMut(Shown) -> bool) {}
    /// Pages of text and of data, and those mapped beyond what [`Host::memory`] counts.
    fn sizes(&self) -> (u64, u64, u64) {
        (0, 0, 0)
    }
    /// Bytes of memory that no allocation lives in, and those of all memory; by default nobody is short of it.
    fn spare_bytes(&self) -> (u64, u64) {
        (u64::MAX, 0)
    }
    /// The network; by default loopback alone.
    fn network(&self) -> NetInfo {
        NetInfo::default()
    }
}
