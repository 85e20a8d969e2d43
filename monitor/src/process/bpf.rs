//! Assembles classic BPF programs that filter system calls (seccomp_filter.rst of the kernel):
//! conditions on the number and the arguments of a call, with labels to jump to.
//!
//! This module only encodes; the caller decides what is allowed. Arguments
//! have 64 bits, the filter's words 32.

use std::mem::offset_of;
use std::ops::Range;

pub(super) use libc::sock_filter as Instruction;

/// `AUDIT_ARCH_X86_64`.
const X86_64: u32 = 0xc000_003e;
const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const ABOVE: u32 = libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K;
const NOT_BELOW: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// A label in a program. It is placed once, and only jumped to from earlier instructions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Label(usize);

/// Target of a conditional jump.
#[derive(Clone, Copy)]
enum Target {
    Next,
    To(Label),
}

/// A program being assembled.
#[derive(Default)]
pub(super) struct Program {
    instructions: Vec<(u32, u32, [Target; 2])>,
    labels: Vec<Option<usize>>,
}

impl Program {
    /// Makes a label that is not placed yet.
    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places `label` here.
    pub(super) fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// Jumps if the call is an x86-64 one.
    pub(super) fn if_x86_64(&mut self, target: Label) {
        self.load(offset_of!(libc::seccomp_data, arch));
        self.jump(EQUAL, X86_64, Target::To(target), Target::Next);
    }

    /// Loads the number for [`Program::unless_call`].
    pub(super) fn load_call(&mut self) {
        self.load(offset_of!(libc::seccomp_data, nr));
    }

    /// Jumps for every call but the one with this number; the number then stays loaded.
    pub(super) fn unless_call(&mut self, call: i64, target: Label) {
        self.jump(EQUAL, call as u32, Target::Next, Target::To(target));
    }

    /// Jumps if the argument is not `value`.
    pub(super) fn unless_is(&mut self, argument: u8, value: u64, target: Label) {
        self.unless_low_is(argument, value as u32, target);
        self.load_high(argument);
        let high = (value >> 32) as u32;
        self.jump(EQUAL, high, Target::Next, Target::To(target));
    }

    /// Jumps if the argument's low half is not `value`. The kernel uses
    /// only this half of a descriptor.
    pub(super) fn unless_low_is(&mut self, argument: u8, value: u32, target: Label) {
        self.load_low(argument);
        self.jump(EQUAL, value, Target::Next, Target::To(target));
    }

    /// Jumps if the argument's low half is outside of `range`.
    pub(super) fn unless_low_within(&mut self, argument: u8, range: Range<u32>, target: Label) {
        self.load_low(argument);
        self.jump(NOT_BELOW, range.start, Target::Next, Target::To(target));
        self.jump(NOT_BELOW, range.end, Target::To(target), Target::Next);
    }

    /// Jumps if the argument is above `most`.
    pub(super) fn if_above(&mut self, argument: u8, most: u64, target: Label) {
        let inside = self.label();
        self.compare(argument, most.saturating_add(1), target, inside);
        self.place(inside);
    }

    /// Jumps if the argument is outside of `range`. With `or_null`, 0 is also allowed.
    pub(super) fn unless_within(
        &mut self,
        argument: u8,
        range: Range<u64>,
        or_null: bool,
        target: Label,
    ) {
        let (not_below, inside) = (self.label(), self.label());
        if range.end >> 32 == 0 {
            self.load_high(argument);
            self.jump(EQUAL, 0, Target::Next, Target::To(target));
            self.load_low(argument);
            self.jump(
                NOT_BELOW,
                range.end as u32,
                Target::To(target),
                Target::Next,
            );
            self.jump(
                NOT_BELOW,
                range.start as u32,
                Target::To(inside),
                Target::Next,
            );
        } else {
            self.compare(argument, range.end, target, not_below);
            self.place(not_below);
            let below = self.label();
            self.compare(argument, range.start, inside, below);
            self.place(below);
            self.load_high(argument);
            self.jump(EQUAL, 0, Target::Next, Target::To(target));
            self.load_low(argument);
        }
        if or_null {
            self.jump(EQUAL, 0, Target::To(inside), Target::To(target));
        } else {
            // No value is below zero.
            self.jump(NOT_BELOW, 0, Target::To(target), Target::Next);
        }
        self.place(inside);
    }

    /// Ends the program with `action` (`SECCOMP_RET_*` and its data).
    pub(super) fn answer(&mut self, action: u32) {
        self.instructions.push((RETURN, action, [Target::Next; 2]));
    }

    /// Returns the program in the kernel's format; `None` when a jump
    /// is too far for one instruction.
    pub(super) fn finish(self) -> Option<Vec<Instruction>> {
        let offset = |at: usize, target| match target {
            Target::Next => Some(0),
            Target::To(label) => {
                let place = self.labels.get(label.0).copied().flatten()?;
                u8::try_from(place.checked_sub(at + 1)?).ok()
            }
        };
        let instructions = self.instructions.iter().enumerate();
        instructions
            .map(|(at, &(code, k, [yes, no]))| {
                Some(Instruction {
                    code: code as u16,
                    jt: offset(at, yes)?,
                    jf: offset(at, no)?,
                    k,
                })
            })
            .collect()
    }

    /// Jumps to `not_below` or `below`, depending on how the argument compares with `value`.
    fn compare(&mut self, argument: u8, value: u64, not_below: Label, below: Label) {
        let (high, low) = ((value >> 32) as u32, value as u32);
        self.load_high(argument);
        self.jump(ABOVE, high, Target::To(not_below), Target::Next);
        self.jump(EQUAL, high, Target::Next, Target::To(below));
        self.load_low(argument);
        self.jump(NOT_BELOW, low, Target::To(not_below), Target::To(below));
    }

    fn load_low(&mut self, argument: u8) {
        self.load(offset_of!(libc::seccomp_data, args) + 8 * usize::from(argument));
    }

    fn load_high(&mut self, argument: u8) {
        self.load(offset_of!(libc::seccomp_data, args) + 8 * usize::from(argument) + 4);
    }

    fn load(&mut self, offset: usize) {
        let instruction = (LOAD, offset as u32, [Target::Next; 2]);
        self.instructions.push(instruction);
    }

    fn jump(&mut self, code: u32, k: u32, yes: Target, no: Target) {
        self.instructions.push((code, k, [yes, no]));
    }
}

/// Interprets a program like the kernel, for tests. The codes are written
/// out, as in the kernel's filter.rst.
#[cfg(test)]
pub(super) fn judge(program: &[Instruction], call: i64, arguments: [u64; 6]) -> u32 {
    let words = |offset: u32| match offset {
        0 => call as u32,
        4 => X86_64,
        16.. => (arguments[(offset as usize - 16) / 8] >> (8 * (offset % 8))) as u32,
        _ => panic!("no word of an argument at {offset}"),
    };
    let (mut at, mut word) = (0, 0);
    loop {
        let Instruction { code, jt, jf, k } = program[at];
        at += 1;
        let is = match u32::from(code) {
            // ld, ret, jeq, jgt, jge, each with a constant.
            0x20 => {
                word = words(k);
                continue;
            }
            0x06 => return k,
            0x15 => word == k,
            0x25 => word > k,
            0x35 => word >= k,
            code => panic!("an instruction of code {code:#x}"),
        };
        at += usize::from(if is { jt } else { jf });
    }
}
