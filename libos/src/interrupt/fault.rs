//! Which signal a fault is, as Linux on x86-64 has it (arch/x86/kernel/traps.c).

use super::Context;
use crate::memory;
use linux_raw_sys::general::{
    BUS_ADRALN, FPE_FLTDIV, FPE_FLTINV, FPE_FLTOVF, FPE_FLTRES, FPE_FLTUND, FPE_INTDIV, ILL_ILLOPN,
    SI_KERNEL, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, TRAP_TRACE,
};

const DIVIDE: u64 = 0;
const DEBUG: u64 = 1;
const BREAKPOINT: u64 = 3;
const INVALID_OPCODE: u64 = 6;
const SEGMENT_ABSENT: u64 = 11;
const STACK_SEGMENT: u64 = 12;
const PAGE: u64 = 14;
const X87: u64 = 16;
const ALIGNMENT: u64 = 17;
const SIMD: u64 = 19;

/// Whether [`Context::address`] says what could not be reached.
pub fn is_page_fault(context: &Context) -> bool {
    context.vector == PAGE
}

/// Signal, `si_code` and `si_addr` of the fault that interrupted `context`.
pub fn signal(context: &Context) -> (u32, i32, u64) {
    let kernel = SI_KERNEL as i32;
    match context.vector {
        DIVIDE => (SIGFPE, FPE_INTDIV as i32, context.rip),
        DEBUG => (SIGTRAP, TRAP_TRACE as i32, context.rip),
        BREAKPOINT => (SIGTRAP, kernel, 0),
        INVALID_OPCODE => (SIGILL, ILL_ILLOPN as i32, context.rip),
        SEGMENT_ABSENT | STACK_SEGMENT => (SIGBUS, kernel, 0),
        PAGE => {
            let (signal, code) = memory::fault_signal(context.address as usize);
            (signal, code, context.address)
        }
        X87 | SIMD => (SIGFPE, arithmetic(context), context.rip),
        ALIGNMENT => (SIGBUS, BUS_ADRALN as i32, 0),
        _ => (SIGSEGV, kernel, 0),
    }
}

/// Where an instruction begins whose fault is to come once more: a breakpoint reports the one behind itself.
pub fn again(context: &Context) -> u64 {
    context.rip - u64::from(context.vector == BREAKPOINT)
}

/// `si_code` of an arithmetic exception: the first that is set and not masked.
fn arithmetic(context: &Context) -> i32 {
    let word = |at: usize| u16::from_le_bytes([context.extended[at], context.extended[at + 1]]);
    // Control and status of x87, and MXCSR with both, whose mask begins at bit 7 (`fxsave`).
    let (control, status, both) = (word(0), word(2), word(24));
    let raised = match context.vector {
        X87 => status & !control,
        _ => both & !(both >> 7),
    };
    const CODES: [(u16, u32); 6] = [
        (1 << 0, FPE_FLTINV),
        (1 << 2, FPE_FLTDIV),
        (1 << 3, FPE_FLTOVF),
        (1 << 1, FPE_FLTUND),
        (1 << 4, FPE_FLTUND),
        (1 << 5, FPE_FLTRES),
    ];
    let found = CODES.iter().find(|(bit, _)| raised & bit != 0);
    found.map_or(SI_KERNEL as i32, |&(_, code)| code as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interrupt::EXTENDED_BYTES;

    #[test]
    fn arithmetic_exceptions_are_told_apart() {
        let mut context = Context {
            extended: [0; EXTENDED_BYTES],
            general: [0; 16],
            rip: 7,
            flags: 0,
            vector: SIMD,
            error_code: 0,
            address: 0,
        };
        // All masked but the division by zero, which came together with an inexact result.
        let both: u16 = 0x1f80 & !(1 << 9) | 1 << 2 | 1 << 5;
        context.extended[24..26].copy_from_slice(&both.to_le_bytes());
        assert_eq!(signal(&context), (SIGFPE, FPE_FLTDIV as i32, 7));
        context.vector = X87;
        context.extended[..4].copy_from_slice(&[0x7e, 3, 1, 0]);
        assert_eq!(signal(&context), (SIGFPE, FPE_FLTINV as i32, 7));
    }
}
