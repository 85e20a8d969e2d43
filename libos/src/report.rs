//! Messages of the library OS itself, and the ways it dies. Must never allocate.

use crate::platform;
use bespoke_abi::boot::Span;
use bespoke_abi::hypercall::{Deadlock, FATAL_DEADLOCK, FATAL_HEAP, FATAL_MEMORY, FATAL_PANIC};
use core::fmt::{self, Write};

/// A line under construction; what does not fit is cut.
struct Line {
    bytes: [u8; 240],
    used: usize,
}

impl Line {
    fn new(arguments: fmt::Arguments<'_>) -> Self {
        let mut line = Self {
            bytes: [0; 240],
            used: 0,
        };
        // A cut line is still worth printing.
        let _ = line.write_fmt(arguments);
        line
    }

    fn text(&self) -> &str {
        let bytes = &self.bytes[..self.used];
        match core::str::from_utf8(bytes) {
            Ok(text) => text,
            // A cut inside a character: print what is whole.
            Err(error) => core::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
        }
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.bytes.len() - self.used;
        let taken = text.len().min(room);
        self.bytes[self.used..self.used + taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.used += taken;
        if taken == text.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}

/// Prints one line on the monitor's standard error.
pub fn console(arguments: fmt::Arguments<'_>) {
    let line = Line::new(arguments);
    let text = line.text();
    let spans = [
        Span {
            start: text.as_ptr() as u64,
            bytes: text.len() as u64,
        },
        Span {
            start: b"\n".as_ptr() as u64,
            bytes: 1,
        },
    ];
    // There is nowhere to report that the console is gone.
    let _ = platform::write(2, &spans);
}

/// The panic handler of an image.
///
/// It reads neither message nor place, so that the link-time optimiser drops them, and what would format them, at each of
/// the thousand checks that may panic: 24 KiB of hello, 48 KiB of Redis. The report's backtrace names function and line.
pub fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    platform::fatal(FATAL_PANIC, "", 0)
}

/// What heaps call on damage (see [`bespoke_heap::report_corruption`]).
pub fn corruption(what: &str, address: usize) -> ! {
    platform::fatal(FATAL_HEAP, what, address as u64)
}

/// The image cannot start in its memory: `what` lacks `missing_bytes` beyond what is free.
#[cold]
pub fn too_little_memory(what: &str, missing_bytes: usize) -> ! {
    let total = platform::boot_info().total_bytes;
    platform::fatal(
        FATAL_MEMORY,
        what,
        total.saturating_add(missing_bytes as u64),
    )
}

/// Writes what fits into `text`; answers the bytes used.
pub fn write_text(text: &mut [u8], arguments: fmt::Arguments<'_>) -> usize {
    let line = Line::new(arguments);
    let line = line.text().as_bytes();
    let used = line.len().min(text.len());
    text[..used].copy_from_slice(&line[..used]);
    used
}

/// Every thread waits, and nothing could wake any of them.
#[cold]
pub fn deadlock(deadlock: &Deadlock) -> ! {
    let address: *const Deadlock = deadlock;
    platform::fatal(FATAL_DEADLOCK, "", address as u64)
}

/// A heap lacks `missing_bytes` to start.
#[cold]
pub fn heap_cannot_start(heap: &str, component: &str, missing_bytes: usize) -> ! {
    let line = Line::new(format_args!(
        "heap {heap} of component {component} cannot start"
    ));
    too_little_memory(line.text(), missing_bytes)
}
