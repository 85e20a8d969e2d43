//! Call frames from registers, unwind tables and guest memory.
//! Unwinding ends on any input: the number of frames is limited, and the stack pointer must rise.

use super::symbols::{SectionBytes, Symbols};
use super::{Registers, Subject};
use gimli::{CfaRule, RegisterRule, UnwindContext, UnwindSection, UnwindTableRow};

const MAX_FRAMES: usize = 64;
const RETURN_ADDRESS: u16 = 16;

/// One call frame; an inlined function has a frame of its own with the same address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Guest-virtual address of the instruction.
    pub address: u64,
    /// Function, demangled.
    pub function: Option<String>,
    /// Source file.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<u32>,
}

/// Call frames, with a hint how to improve them.
#[derive(Clone, Debug, Default)]
pub struct Backtrace {
    /// Innermost first.
    pub frames: Vec<Frame>,
    /// The backtrace was truncated.
    pub cut: bool,
    /// Why there are no source lines.
    pub hint: Option<String>,
}

impl Backtrace {
    pub(super) fn take(subject: &Subject, registers: &Registers) -> Self {
        let (symbols, hint) = match Symbols::load(subject.image) {
            Ok(symbols) => (Some(symbols), None),
            Err(hint) => (None, Some(hint)),
        };
        let mut trace = Self {
            frames: Vec::new(),
            cut: false,
            hint,
        };
        let mut at = registers.clone();
        // After a call through a wild pointer, the caller's address is on the stack.
        if !executable(subject, at.rip) {
            trace.frames.push(Frame {
                address: at.rip,
                ..Frame::default()
            });
            match read_word(subject, at.stack()).filter(|&address| executable(subject, address)) {
                Some(caller) => {
                    at.rip = caller;
                    at.general[Registers::STACK] += 8;
                }
                None => return trace,
            }
        }
        let mut inner = trace.frames.is_empty();
        loop {
            // A return address is one past its call.
            let lookup = if inner {
                at.rip
            } else {
                at.rip.saturating_sub(1)
            };
            match &symbols {
                Some(symbols) => trace.frames.extend(symbols.frames(at.rip, lookup)),
                None => trace.frames.push(Frame {
                    address: at.rip,
                    ..Frame::default()
                }),
            }
            inner = false;
            if trace.frames.len() >= MAX_FRAMES {
                trace.frames.truncate(MAX_FRAMES);
                trace.cut = true;
                return trace;
            }
            let caller = symbols
                .as_ref()
                .and_then(|symbols| by_tables(subject, symbols, &at, lookup));
            let caller = caller.unwrap_or_else(|| by_frame_pointer(subject, &at));
            match caller.filter(|next| next.stack() > at.stack() && executable(subject, next.rip)) {
                Some(next) => at = next,
                None => return trace,
            }
        }
    }
}

fn executable(subject: &Subject, address: u64) -> bool {
    subject
        .image
        .segment_at(address)
        .is_some_and(|segment| segment.access == crate::image::Access::Execute)
}

fn read_word(subject: &Subject, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    (subject.read)(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
}

/// Finds the caller by the frame pointer chain, for code without tables.
fn by_frame_pointer(subject: &Subject, at: &Registers) -> Option<Registers> {
    const FRAME: usize = 6;
    let frame = at.general[FRAME];
    let mut next = at.clone();
    next.general[FRAME] = read_word(subject, frame)?;
    next.rip = read_word(subject, frame.checked_add(8)?)?;
    next.general[Registers::STACK] = frame.checked_add(16)?;
    Some(next)
}

/// Finds the caller by unwind tables. `None`: no table for this address. `Some(None)`: the
/// outermost frame, or rules that cannot be followed.
fn by_tables(
    subject: &Subject,
    symbols: &Symbols,
    at: &Registers,
    lookup: u64,
) -> Option<Option<Registers>> {
    let mut context = UnwindContext::new();
    let bases = &symbols.bases;
    if let Ok(row) = symbols.eh_frame.unwind_info_for_address(
        bases,
        &mut context,
        lookup,
        gimli::EhFrame::cie_from_offset,
    ) {
        return Some(follow(subject, at, row));
    }
    let mut context = UnwindContext::new();
    let row = symbols.debug_frame.unwind_info_for_address(
        bases,
        &mut context,
        lookup,
        gimli::DebugFrame::cie_from_offset,
    );
    row.ok().map(|row| follow(subject, at, row))
}

fn follow(
    subject: &Subject,
    at: &Registers,
    row: &UnwindTableRow<<SectionBytes as gimli::Reader>::Offset>,
) -> Option<Registers> {
    let frame = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => at
            .general
            .get(usize::from(register.0))?
            .checked_add_signed(*offset)?,
        CfaRule::Expression(_) => return None,
    };
    let mut next = at.clone();
    next.general[Registers::STACK] = frame;
    let mut return_address = None;
    for (register, rule) in row.registers() {
        let value = match rule {
            RegisterRule::Offset(offset) => read_word(subject, frame.checked_add_signed(*offset)?)?,
            RegisterRule::ValOffset(offset) => frame.checked_add_signed(*offset)?,
            RegisterRule::Register(other) => *at.general.get(usize::from(other.0))?,
            // The outermost frame is marked by an undefined return address.
            _ => continue,
        };
        match register.0 {
            RETURN_ADDRESS => return_address = Some(value),
            number => *next.general.get_mut(usize::from(number))? = value,
        }
    }
    next.rip = return_address?;
    Some(next)
}
