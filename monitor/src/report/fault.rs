//! The CPU's data on a fault, in one form for all monitors, and its classification.
//! The result claims no more than the evidence supports.

use super::{CrashKind, Registers, Subject};
use crate::image::Access;
use crate::memory::PAGE_BYTES;
use bespoke_abi::IMAGE_BASE;

/// Exception vectors (Intel SDM volume 3, 6.3.1).
pub(crate) mod vector {
    pub(crate) const DIVIDE: u8 = 0;
    pub(crate) const DEBUG: u8 = 1;
    pub(crate) const BREAKPOINT: u8 = 3;
    pub(crate) const OPCODE: u8 = 6;
    pub(crate) const DOUBLE: u8 = 8;
    pub(crate) const STACK: u8 = 12;
    pub(crate) const PROTECTION: u8 = 13;
    pub(crate) const PAGE: u8 = 14;
    pub(crate) const X87: u8 = 16;
    pub(crate) const ALIGNMENT: u8 = 17;
    pub(crate) const SIMD: u8 = 19;

    /// Returns the vector that the instruction at the start of `code` must have raised, if its
    /// opcode allows only one. The caller excludes page faults.
    pub(crate) fn from_instruction(code: &[u8]) -> Option<u8> {
        let prefix = |byte: &u8| matches!(byte, 0x66 | 0xf2 | 0xf3 | 0x40..=0x4f);
        let start = code.iter().position(|byte| !prefix(byte))?;
        match code.get(start..start + 2)? {
            [0xf6 | 0xf7, modrm] if modrm >> 4 & 3 == 3 => Some(DIVIDE),
            [0x0f, 0x0b | 0xff | 0xb9] => Some(OPCODE),
            [0xcc, _] => Some(BREAKPOINT),
            [0xf4 | 0xfa | 0xfb | 0xe4..=0xe7 | 0xec..=0xef | 0xcd, _] => Some(PROTECTION),
            _ => None,
        }
    }
}

/// The guest's access to the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultAccess {
    Read,
    Write,
    Execute,
}

impl FaultAccess {
    /// Decodes a page fault's error code.
    pub(crate) fn from_error_code(code: u64) -> Self {
        const WRITE: u64 = 1 << 1;
        const FETCH: u64 = 1 << 4;
        match (code & FETCH != 0, code & WRITE != 0) {
            (true, _) => Self::Execute,
            (false, true) => Self::Write,
            (false, false) => Self::Read,
        }
    }

    /// Returns the error code of such an access at CPL 3.
    pub(crate) fn error_code(self) -> u64 {
        const USER: u64 = 1 << 2;
        match self {
            Self::Read => USER,
            Self::Write => USER | 1 << 1,
            Self::Execute => USER | 1 << 4,
        }
    }
}

/// A fault as the machine reported it. Unreported values are `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fault {
    pub vector: Option<u8>,
    /// Address of a page fault.
    pub address: Option<u64>,
    pub access: Option<FaultAccess>,
    /// The host refused a page that the guest closed.
    pub closed: bool,
    pub registers: Option<Registers>,
    /// A Linux system call that the filter refused.
    pub refused_call: Option<u64>,
    /// The signal that ended a process which could not report.
    pub signal: Option<u8>,
    /// The image reported that a page fault lies past the end of the mapped file.
    pub past_file: bool,
    pub detail: Option<String>,
}

impl Fault {
    /// Adds the signal that the image reported, if it is plausible.
    pub(crate) fn explained(self, signal: u64) -> Self {
        Self {
            past_file: signal == libc::SIGBUS as u64,
            ..self
        }
    }

    /// Returns kind and signal.
    pub(super) fn classify(&self, subject: &Subject) -> (CrashKind, u8) {
        if let Some(number) = self.refused_call {
            return (CrashKind::ForbiddenCall { number }, libc::SIGSYS as u8);
        }
        let (kind, signal) = match self.vector {
            Some(vector::PAGE) if self.past_file => (CrashKind::PastFile, libc::SIGBUS),
            Some(vector::PAGE) => (self.page_fault(subject), libc::SIGSEGV),
            Some(vector::DIVIDE) => (CrashKind::DivisionByZero, libc::SIGFPE),
            Some(vector::X87 | vector::SIMD) => (CrashKind::FloatingPoint, libc::SIGFPE),
            Some(vector::OPCODE) => (CrashKind::IllegalInstruction, libc::SIGILL),
            Some(vector::BREAKPOINT | vector::DEBUG) => (CrashKind::Breakpoint, libc::SIGTRAP),
            Some(vector::ALIGNMENT) => (CrashKind::Misaligned, libc::SIGBUS),
            Some(vector::PROTECTION | vector::STACK) => (self.protection(), libc::SIGSEGV),
            _ => (
                CrashKind::Unknown,
                i32::from(self.signal.unwrap_or(libc::SIGSEGV as u8)),
            ),
        };
        (kind, signal as u8)
    }

    /// A general protection fault on a wild instruction pointer is a wild jump.
    fn protection(&self) -> CrashKind {
        match &self.registers {
            Some(registers) if !canonical(registers.rip) => CrashKind::WildJump,
            _ => CrashKind::Protection,
        }
    }

    fn page_fault(&self, subject: &Subject) -> CrashKind {
        const STACK_REACH: u64 = 64 << 10;
        let (Some(address), Some(registers)) = (self.address, &self.registers) else {
            return CrashKind::BadAccess;
        };
        let segment = subject
            .image
            .segment_at(address)
            .map(|segment| segment.access);
        let layout = subject.layout;
        let data = layout.stack.contains(&address)
            || (layout.boot.start..layout.all.end).contains(&address);
        let fetch = address == registers.rip || self.access == Some(FaultAccess::Execute);
        if fetch && !self.closed {
            let mapped = data || segment.is_some_and(|access| access != Access::Execute);
            return if mapped {
                CrashKind::ExecuteData
            } else {
                CrashKind::WildJump
            };
        }
        let stack = registers.stack();
        let near_stack = address < stack.saturating_add(PAGE_BYTES)
            && stack.saturating_sub(STACK_REACH) <= address;
        let writable = data || segment == Some(Access::Write);
        match segment {
            _ if address < IMAGE_BASE => CrashKind::NullDereference,
            _ if self.closed || writable => {
                if near_stack {
                    CrashKind::StackOverflow
                } else {
                    CrashKind::GuardPage
                }
            }
            Some(Access::Read | Access::Execute) => CrashKind::WriteReadOnly,
            _ if near_stack => CrashKind::StackOverflow,
            _ => CrashKind::BadAccess,
        }
    }
}

fn canonical(address: u64) -> bool {
    matches!(address >> 47, 0 | 0x1_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_that_leave_no_choice_are_told() {
        for (code, expected) in [
            (&[0xf7, 0xf9][..], Some(vector::DIVIDE)),
            (&[0x48, 0xf7, 0x3c, 0x24], Some(vector::DIVIDE)),
            (&[0xf7, 0xd8], None),
            (&[0x0f, 0x0b], Some(vector::OPCODE)),
            (&[0xcc, 0], Some(vector::BREAKPOINT)),
            (&[0xf4, 0], Some(vector::PROTECTION)),
            (&[0x8b, 0], None),
            (&[], None),
            (&[0x66, 0x66], None),
        ] {
            assert_eq!(vector::from_instruction(code), expected, "{code:x?}");
        }
    }
}
