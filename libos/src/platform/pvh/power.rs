//! The end of an image on a stock monitor: leaves word of it, then turns the machine off. Owns the word.
//!
//! The word is the request whose address stands in the image's note, for whoever reads the machine's memory. Else
//! the exit code goes where the monitor has a place for it: QEMU's `isa-debug-exit` device makes it its own exit
//! status, `2 * code + 1`.

use super::{STATE, State, console, port, stub};
use crate::{memory, report};
use bespoke_abi::hypercall::{
    EXIT, FATAL, FATAL_DEADLOCK, FATAL_HEAP, FATAL_MACHINE, FATAL_MEMORY, FATAL_PANIC,
    FATAL_SIGNAL, FAULT, FaultRecord, Request,
};
use core::fmt;
use core::mem::offset_of;

const DEBUG_EXIT: u16 = 0xf4;
/// The device shifts its value into an exit status of 8 bits: codes beyond arrive as this one.
const MOST_CODE: u8 = 127;
/// ACPI's PM1a control register as QEMU's q35 has it, and its value for S5.
const PM1A_CONTROL: u16 = 0x604;
const SLEEP_S5: u16 = 1 << 13;
/// The keyboard controller's reset line: how Firecracker and microvm end.
const KEYBOARD_COMMAND: u16 = 0x64;
const PULSE_RESET: u8 = 0xfe;

/// Leaves the word of how the image ended, and where the registers are that go with it (0: nowhere).
fn leave(operation: u64, arguments: [u64; 4], registers: usize) {
    crate::platform::leave_request(Request {
        operation,
        arguments,
        result: registers as i64,
    });
}

/// Keeps the registers of the caller that its callers need for their frames; where they are.
#[inline(always)]
fn keep_registers() -> usize {
    let record = stub::FAULT.with(|record| &raw mut *record);
    // SAFETY: fills words of the record, which the stub writes at a fault only, and no register but those named.
    unsafe {
        core::arch::asm!(
            "mov [rax + {general} + 3 * 8], rbx",
            "mov [rax + {general} + 6 * 8], rbp",
            "mov [rax + {general} + 7 * 8], rsp",
            "mov [rax + {general} + 12 * 8], r12",
            "mov [rax + {general} + 13 * 8], r13",
            "mov [rax + {general} + 14 * 8], r14",
            "mov [rax + {general} + 15 * 8], r15",
            "lea rcx, [rip]",
            "mov [rax + {rip}], rcx",
            general = const offset_of!(FaultRecord, general),
            rip = const offset_of!(FaultRecord, rip),
            in("rax") record,
            out("rcx") _,
            options(nostack),
        );
    }
    record as usize
}

/// Ends the image with `code`.
pub fn exit(code: u8) -> ! {
    leave(EXIT, [code.into(), 0, 0, 0], 0);
    off(code)
}

/// Ends the image with a report; see [`bespoke_abi::hypercall::FATAL`].
pub fn fatal(kind: u64, message: &str, value: u64) -> ! {
    leave(
        FATAL,
        [kind, message.as_ptr() as u64, message.len() as u64, value],
        keep_registers(),
    );
    let abort = linux_raw_sys::general::SIGABRT as u8;
    let signal = if kind == FATAL_SIGNAL {
        value as u8
    } else {
        abort
    };
    if !STATE.with(|state| state.is_watched) {
        match kind {
            FATAL_SIGNAL => report::console(format_args!("bespoke: ended by signal {value}")),
            FATAL_PANIC => {
                report::console(format_args!("bespoke: panic in the library OS"));
                tell_callers();
            }
            FATAL_HEAP => report::console(format_args!(
                "bespoke: heap damaged at {value:#x}: {message}"
            )),
            FATAL_MEMORY => report::console(format_args!(
                "bespoke: {message}: the image needs {} MiB, the machine has {}; give it more",
                value.div_ceil(1 << 20),
                crate::platform::boot_info().total_bytes >> 20
            )),
            FATAL_DEADLOCK => report::console(format_args!(
                "bespoke: every thread waits, and nothing could wake any"
            )),
            _ => report::console(format_args!("bespoke: fatal condition {kind}: {message}")),
        }
    }
    off(128 | signal)
}

/// Where the image's instructions lie.
#[cfg(not(test))]
fn text() -> core::ops::Range<usize> {
    unsafe extern "C" {
        static bespoke_text_start: u8;
        static bespoke_text_end: u8;
    }
    &raw const bespoke_text_start as usize..&raw const bespoke_text_end as usize
}

/// The program of a test is linked without these names.
#[cfg(test)]
fn text() -> core::ops::Range<usize> {
    0..0
}

/// Names what may be return addresses on the stack, the last call first, for lack of tables to unwind by.
#[cold]
fn tell_callers() {
    const WORDS: usize = 96;
    const MOST_CALLERS: usize = 8;
    let text = text();
    let stack = stub::FAULT.with(|record| record.general[7]) as *const usize;
    // SAFETY: what called `fatal` has more than these words of stack in use; where not, the fault is reported.
    let words = (0..WORDS).map(|index| unsafe { stack.add(index).read() });
    for caller in words.filter(|word| text.contains(word)).take(MOST_CALLERS) {
        report::console(format_args!(
            "  source line: addr2line -fipe IMAGE.debug {caller:#x}"
        ));
    }
}

/// Where the stub goes on after a fault, on the rescue stack.
#[cfg_attr(
    test,
    expect(dead_code, reason = "the entry is not part of host tests")
)]
pub unsafe extern "C" fn fault() -> ! {
    let thread: u64;
    // SAFETY: the stub enabled the instruction, or `start` gave up.
    unsafe { core::arch::asm!("rdfsbase {}", out(reg) thread, options(nomem, nostack)) };
    // The stub filled it and writes it no more: a second fault shuts the machine down.
    let record = stub::FAULT.with(|record| {
        record.fs_base = thread;
        *record
    });
    let leave = |signal: u8| {
        leave(
            FAULT,
            [&raw const stub::FAULT as u64, signal.into(), 0, 0],
            0,
        );
    };
    leave(0);
    // Last of all what may fault again: it reads lists of the library OS.
    let signal = signal(&record);
    leave(signal);
    if !STATE.with(|state| state.is_watched) {
        tell(&record);
    }
    off(128 | signal)
}

/// The signal a Linux process would have ended by.
fn signal(record: &FaultRecord) -> u8 {
    use linux_raw_sys::general::{SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
    let signal = match record.vector {
        14 => memory::fault_signal(record.address as usize).0,
        0 | 16 | 19 => SIGFPE,
        1 | 3 => SIGTRAP,
        6 => SIGILL,
        17 => SIGBUS,
        _ => SIGSEGV,
    };
    signal as u8
}

/// The report for whoever started the machine by hand.
fn tell(record: &FaultRecord) {
    const PAGE_FAULT: u64 = 14;
    let (rip, rsp) = (record.rip, record.general[7]);
    match record.vector {
        PAGE_FAULT => {
            let access = match record.error_code {
                code if code & 16 != 0 => "execution",
                code if code & 2 != 0 => "write",
                _ => "read",
            };
            report::console(format_args!(
                "bespoke: page fault: {access} of {:#x} at rip {rip:#x}, rsp {rsp:#x}",
                record.address
            ));
        }
        vector => report::console(format_args!(
            "bespoke: fault {vector}, error code {:#x}, at rip {rip:#x}, rsp {rsp:#x}",
            record.error_code
        )),
    }
    const NAMES: [&str; 16] = [
        "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12",
        "r13", "r14", "r15",
    ];
    for (names, values) in NAMES.chunks(4).zip(record.general.chunks(4)) {
        report::console(format_args!(
            "  {:<3} {:016x}  {:<3} {:016x}  {:<3} {:016x}  {:<3} {:016x}",
            names[0], values[0], names[1], values[1], names[2], values[2], names[3], values[3]
        ));
    }
    report::console(format_args!(
        "  source line: addr2line -fipe IMAGE.debug {rip:#x}"
    ));
}

/// Nothing works yet but the serial port: says why the image cannot start, and ends.
pub fn give_up(reason: fmt::Arguments<'_>) -> ! {
    const FAILED: u8 = 125;
    let mut text = [0; 200];
    let used = report::write_text(&mut text, reason);
    let reason = &text[..used];
    for part in [b"bespoke: ", reason, b"\n"] {
        console::write_serial_early(part);
    }
    leave(
        FATAL,
        [FATAL_MACHINE, reason.as_ptr() as u64, used as u64, 0],
        0,
    );
    off_now(FAILED)
}

fn off(code: u8) -> ! {
    if STATE.with(|state| state.tells_status) {
        report::console(format_args!("bespoke: ended with code {code}"));
    }
    STATE.with(State::flush);
    off_now(code)
}

fn off_now(code: u8) -> ! {
    port::write32(DEBUG_EXIT, code.min(MOST_CODE).into());
    port::write16(PM1A_CONTROL, SLEEP_S5);
    port::write8(KEYBOARD_COMMAND, PULSE_RESET);
    stub::power_off()
}
