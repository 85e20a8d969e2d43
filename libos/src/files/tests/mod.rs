//! Tests of the file system, by what they prove: single calls, agreement with Linux,
//! behaviour when memory runs out, and the boot archive.

mod against_linux;
mod archive;
mod calls;
mod exhaustion;
mod export;
mod generated;
#[cfg(feature = "net")]
mod internet;
mod objects_against_linux;
mod other;
mod positions;
mod same;
mod terminal;

use super::{Files, Host, Memory, Process, Window};
use crate::calls::groups;
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::Span;
use bespoke_abi::stats::{ComponentStats, PageStats};
use bespoke_heap::{Contents, PageSource, Pages};
use linux_raw_sys::general::*;
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::CString;
use std::vec::Vec;

/// How many random cases a test tries: `usual`, or a part of them where each run has to be short (`scripts/mutants`).
fn cases(usual: u32) -> u32 {
    let part = std::env::var("BESPOKE_CASES_PART").ok();
    let part = part.and_then(|part| part.parse().ok());
    (usual / part.unwrap_or(1)).max(1)
}

/// A console in memory and a clock that ticks with every look.
#[derive(Default)]
pub struct Console {
    pub output: RefCell<Vec<u8>>,
    pub input: RefCell<VecDeque<u8>>,
    pub terminal: bool,
    /// There is no input yet.
    pub waits: Cell<bool>,
    /// How often it was read, and what a read asks for at least.
    pub reads: Cell<usize>,
    pub read_ahead_bytes: usize,
    /// Threads whose waits were ended.
    pub woken: RefCell<Vec<u32>>,
    clock: Cell<u64>,
}

impl Host for Console {
    fn write(&self, _descriptor: u32, spans: &[Span]) -> isize {
        let mut count = 0;
        for span in spans {
            // SAFETY: the file system passes spans of the buffers it was given.
            let bytes = unsafe {
                core::slice::from_raw_parts(span.start as *const u8, span.bytes as usize)
            };
            self.output.borrow_mut().extend_from_slice(bytes);
            count += bytes.len();
        }
        count as isize
    }

    fn read(&self, _descriptor: u32, buffer: &mut [u8]) -> isize {
        self.reads.set(self.reads.get() + 1);
        let mut input = self.input.borrow_mut();
        let count = buffer.len().min(input.len());
        for (to, from) in buffer.iter_mut().zip(input.drain(..count)) {
            *to = from;
        }
        count as isize
    }

    fn read_ahead_bytes(&self) -> usize {
        self.read_ahead_bytes
    }

    fn console_is_ready(&self) -> bool {
        !self.waits.get()
    }

    fn is_alone(&self) -> bool {
        false
    }

    fn now_ns(&self) -> u64 {
        self.clock.set(self.clock.get() + 1_000);
        1_700_000_000_000_000_000 + self.clock.get()
    }

    fn monotonic_ns(&self) -> u64 {
        self.clock.set(self.clock.get() + 1_000);
        self.clock.get()
    }

    fn thread(&self) -> u32 {
        0
    }

    fn wake(&self, thread: u32) {
        self.woken.borrow_mut().push(thread);
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(4);
    }

    fn terminal(&self, _descriptor: u32) -> Option<Window> {
        self.terminal.then_some(Window {
            rows: 24,
            columns: 80,
        })
    }

    fn process(&self) -> Process {
        Process { threads: 3 }
    }

    fn thread_name(&self, _tid: u32) -> [u8; 16] {
        *b"test\0\0\0\0\0\0\0\0\0\0\0\0"
    }

    fn thread_exists(&self, tid: u32) -> bool {
        (1..=3).contains(&tid)
    }

    fn cpu_time_ns(&self, tid: u32) -> u64 {
        // The process, and its threads.
        [6, 1, 2, 3][tid as usize % 4] * 12_340_000_000
    }

    fn strings(&self, environment: bool, visit: &mut dyn FnMut(&'static [u8])) {
        let strings: &[&[u8]] = match environment {
            false => &[b"./program\0", b"argument\0"],
            true => &[b"HOME=/root\0"],
        };
        strings.iter().for_each(|string| visit(string));
    }

    fn limit(&self, resource: usize) -> (u64, u64) {
        (1000 + resource as u64, u64::MAX)
    }

    fn ids(&self) -> [[u32; 4]; 2] {
        [[1, 2, 3, 4], [5, 6, 7, 8]]
    }

    fn boot_id(&self) -> [u8; 16] {
        core::array::from_fn(|at| 0xe0 + at as u8)
    }

    fn sizes(&self) -> (u64, u64, u64) {
        (11, 22, 33)
    }

    fn mappings(&self, each: &mut dyn FnMut(crate::memory::Shown) -> bool) {
        let shown = |start, rights: &[u8; 4], file, name| crate::memory::Shown {
            range: start..start + 0x2000,
            rights: *rights,
            file,
            name,
        };
        let _ = each(shown(0x20_0000, b"r-xp", None, ""))
            && each(shown(0x7fff_0000_0000, b"rw-p", None, "[stack]"))
            && each(shown(0x30_0000, b"r--s", Some((0, 0x3000)), ""));
    }

    fn memory(&self) -> Memory {
        Memory {
            total_pages: 1000,
            free_pages: 400,
        }
    }
}

/// A file system over `pages` pages of its own, and what its page account counts.
pub struct Machine {
    pub files: Files<Console>,
    pub stats: &'static ComponentStats,
    /// Pages there are for files: the source may keep some for itself.
    pub capacity: usize,
}

impl Machine {
    pub fn new(pages: usize) -> Self {
        Self::with_console(pages, Console::default())
    }

    pub fn with_console(pages: usize, console: Console) -> Self {
        let memory: &'static mut [u8] = Vec::leak(std::vec![0; (pages + 1) * PAGE_BYTES]);
        // SAFETY: one thread at a time works with it.
        let source: &'static PageSource = Box::leak(Box::new(unsafe { PageSource::new() }));
        let stats: &'static ComponentStats = Box::leak(Box::new(ComponentStats::new()));
        let page_stats: &'static PageStats = Box::leak(Box::new(PageStats::new()));
        let start = memory.as_ptr() as usize;
        let first = start.next_multiple_of(PAGE_BYTES);
        // SAFETY: leaked memory that nobody else uses, zero from the allocator.
        unsafe { source.start(first, pages * PAGE_BYTES, Contents::Zero, page_stats, None) };
        let capacity = source.largest_free_pages();
        let files = Files::new(Pages::new(source, stats), console).expect("memory suffices");
        Self {
            files,
            stats,
            capacity,
        }
    }

    pub fn call(&mut self, number: u32, arguments: &[usize]) -> isize {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        // SAFETY: the tests pass addresses of buffers of theirs.
        unsafe {
            let [a, b, c, d, ..] = all;
            let prompt = self.files.prompt_call(number as usize, a, b, c, d);
            prompt
                .or_else(|| self.files.system_call(number as usize, all))
                .or_else(|| groups::call_of_files(&mut self.files, number as usize, all))
        }
        .expect("a file call")
    }

    pub fn open(&mut self, path: &str, flags: u32) -> isize {
        let path = CString::new(path).expect("no NUL");
        self.call(__NR_open, &[path.as_ptr() as usize, flags as usize, 0o644])
    }

    /// A call with one path and up to two further arguments.
    pub fn path(&mut self, number: u32, path: &str, b: usize, c: usize) -> isize {
        let path = CString::new(path).expect("no NUL");
        self.call(number, &[path.as_ptr() as usize, b, c])
    }

    pub fn paths(&mut self, number: u32, from: &str, to: &str) -> isize {
        let (from, to) = (
            CString::new(from).expect("no NUL"),
            CString::new(to).expect("no NUL"),
        );
        self.call(number, &[from.as_ptr() as usize, to.as_ptr() as usize])
    }

    pub fn write(&mut self, descriptor: isize, bytes: &[u8]) -> isize {
        self.call(
            __NR_write,
            &[descriptor as usize, bytes.as_ptr() as usize, bytes.len()],
        )
    }

    pub fn pwrite(&mut self, descriptor: isize, bytes: &[u8], offset: usize) -> isize {
        self.call(
            __NR_pwrite64,
            &[
                descriptor as usize,
                bytes.as_ptr() as usize,
                bytes.len(),
                offset,
            ],
        )
    }

    pub fn pread(&mut self, descriptor: isize, bytes: usize, offset: usize) -> Vec<u8> {
        let mut buffer = std::vec![0xaa; bytes];
        let count = self.call(
            __NR_pread64,
            &[
                descriptor as usize,
                buffer.as_mut_ptr() as usize,
                bytes,
                offset,
            ],
        );
        buffer.truncate(usize::try_from(count).expect("pread succeeds"));
        buffer
    }

    pub fn close(&mut self, descriptor: isize) -> isize {
        self.call(__NR_close, &[descriptor as usize])
    }

    pub fn fstat(&mut self, descriptor: isize) -> stat {
        // SAFETY: integers: all zero is a value.
        let mut answer: stat = unsafe { core::mem::zeroed() };
        assert_eq!(
            self.call(__NR_fstat, &[descriptor as usize, &raw mut answer as usize]),
            0
        );
        answer
    }

    /// Pages held for file data, by the page account.
    pub fn held(&self) -> u64 {
        assert_eq!(self.stats.held_pages.get(), self.files.usage().pages as u64);
        self.stats.held_pages.get()
    }
}
