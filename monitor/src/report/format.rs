//! Formats crash reports from their collected values.

use super::{Backtrace, CrashKind, CrashReport, Registers, Rescue};
use crate::printable::printable;
use std::fmt;

const NAMES: [&str; 16] = [
    "rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

impl fmt::Display for CrashKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::NullDereference => "null dereference",
            Self::WildJump => "wild jump: execution reached an address without code",
            Self::StackOverflow => "stack overflow",
            Self::PastFile => "access past the end of a mapped file",
            Self::GuardPage => "access to a guard page",
            Self::WriteReadOnly => "write to read-only memory",
            Self::ExecuteData => "execution of non-executable memory",
            Self::BadAccess => "access to memory the image does not have",
            Self::DivisionByZero => "division by zero",
            Self::FloatingPoint => "floating point exception",
            Self::IllegalInstruction => "illegal instruction",
            Self::Misaligned => "misaligned access",
            Self::Protection => {
                "general protection fault: a non-canonical address, a misaligned vector access or a privileged instruction"
            }
            Self::Breakpoint => "breakpoint",
            Self::ForbiddenCall { number } => return write!(f, "forbidden system call {number}"),
            Self::MalformedHypercall => "malformed hypercall",
            Self::Signal { number: 6 } => "abort",
            Self::Signal { number } => return write!(f, "signal {number}"),
            Self::Panic => "panic in the library OS",
            Self::HeapCorruption => "heap corruption",
            Self::Deadlock => "deadlock: every thread waits, and nothing can wake one",
            Self::OtherFatal { kind } => return write!(f, "fatal condition {kind}"),
            Self::Unknown => "the machine stopped",
        };
        f.write_str(text)
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, frame) in self.frames.iter().enumerate() {
            write!(f, "  #{number:<2} {:#x}", frame.address)?;
            if let Some(function) = &frame.function {
                write!(f, " {}", printable(function))?;
            }
            match (&frame.file, frame.line) {
                (Some(file), Some(line)) => writeln!(f, " at {}:{line}", printable(file))?,
                (Some(file), None) => writeln!(f, " at {}", printable(file))?,
                _ => writeln!(f)?,
            }
        }
        if self.cut {
            writeln!(f, "  ... more frames left out")?;
        }
        Ok(())
    }
}

impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bespoke: the image crashed: {}", self.kind)?;
        if let Some(address) = self.address {
            write!(f, " at {address:#x}")?;
            if let Some(owner) = &self.owner {
                write!(f, " ({owner})")?;
            }
        }
        writeln!(f)?;
        if let Some(message) = &self.message {
            writeln!(f, "  {}", printable(message))?;
        }
        for thread in &self.threads {
            writeln!(f, "  {}", printable(&thread.text))?;
            write!(f, "{}", thread.backtrace)?;
        }
        if self.unnamed_threads > 0 {
            writeln!(f, "  and {} more", self.unnamed_threads)?;
        }
        if self.threads.is_empty() {
            write!(f, "{}", self.backtrace)?;
        }
        if let Some(hint) = &self.backtrace.hint {
            writeln!(f, "  {}", printable(hint))?;
        }
        match &self.registers {
            // They contain no data on waiting threads.
            _ if !self.threads.is_empty() => {}
            Some(registers) => write!(f, "{registers}")?,
            None => writeln!(f, "  no registers are known")?,
        }
        match self.rescue {
            Rescue::NotNeeded => Ok(()),
            Rescue::NoEntry => writeln!(
                f,
                "  files for --out were not written: the image has no rescue entry"
            ),
            Rescue::Done => writeln!(f, "  files for --out were still written"),
            Rescue::Failed => writeln!(
                f,
                "  files for --out may be missing: the image crashed again while writing them"
            ),
            Rescue::TimedOut => writeln!(
                f,
                "  files for --out may be missing: the image took too long to write them"
            ),
        }
    }
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "  rip {:016x}  rflags {:08x}  fs {:016x}",
            self.rip, self.rflags, self.fs_base
        )?;
        for (names, values) in NAMES.chunks(4).zip(self.general.chunks(4)) {
            for (name, value) in names.iter().zip(values) {
                write!(f, "  {name:<3} {value:016x}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::Backtrace;

    #[test]
    fn names_of_a_debug_file_cannot_speak_to_the_terminal() {
        let frame = Frame {
            address: 1,
            function: Some("main\x1b[2J\nbespoke: all is well".into()),
            file: Some("\u{9b}2Ja.c".into()),
            line: Some(7),
        };
        let backtrace = Backtrace {
            frames: vec![frame],
            ..Backtrace::default()
        };
        let expected = "  #0  0x1 main\\u{1b}[2J\\nbespoke: all is well at \\u{9b}2Ja.c:7\n";
        assert_eq!(backtrace.to_string(), expected);
    }
}
