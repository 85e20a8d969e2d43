//! What everybody asks about memory beyond RAM. `far` answers, which an image has only if something of it maps memory there:
//! so nothing here may name it.

use super::Rights;
use crate::platform::boot_info;
use crate::single::Single;

/// The answers of `far`, which documents them.
pub struct Far {
    /// How far memory may be used.
    pub reach: fn(usize, usize, Rights) -> usize,
    /// Serves a fault.
    pub touched: fn(usize) -> bool,
    /// Makes room on a stack.
    pub room: fn(usize, usize),
    /// Whether pages are shown there, too.
    pub is_shown: fn(usize, usize) -> bool,
    /// Shows pages of a file that grew there, too.
    pub show: fn(usize, usize),
    /// Shows pages past the end of a file there no more.
    pub hide: fn(usize, usize),
}

// SAFETY: only code of the library OS enters it, which neither yields nor enters it again inside.
static FAR: Single<Option<&Far>> = unsafe { Single::new(None) };

/// There is memory beyond RAM from now on.
pub fn begin(far: &'static Far) {
    FAR.with(|place| *place = Some(far));
}

fn far() -> Option<&'static Far> {
    FAR.with(|far| *far)
}

/// Whether the address lies beyond RAM.
pub fn is_far(address: usize) -> bool {
    let ram = boot_info().ram;
    address >= (ram.start + ram.bytes) as usize
}

/// How far from `address` on there is memory, at most to `end`, to be used so.
pub fn reach(address: usize, end: usize, rights: Rights) -> usize {
    far().map_or(address, |far| (far.reach)(address, end, rights))
}

/// Whether the fault at `address` came before its memory, which is there now.
pub fn touched(address: usize) -> bool {
    far().is_some_and(|far| (far.touched)(address))
}

/// Makes memory of the `bytes` bytes below the stack pointer, as far as the stack goes and there is memory.
pub fn room(stack_pointer: usize, bytes: usize) {
    if let Some(far) = far() {
        (far.room)(stack_pointer, bytes);
    }
}

/// Whether one of these pages of a file, where it lies, is shown beyond RAM, too.
pub fn is_shown(start: usize, end: usize) -> bool {
    far().is_some_and(|far| (far.is_shown)(start, end))
}

/// The file has grown to these pages: shows them wherever their mappings are.
pub fn show(start: usize, end: usize) {
    if let Some(far) = far() {
        (far.show)(start, end);
    }
}

/// The file ends before these pages now.
pub fn hide(start: usize, end: usize) {
    if let Some(far) = far() {
        (far.hide)(start, end);
    }
}
