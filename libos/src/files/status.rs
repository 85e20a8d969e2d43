//! Access mode and status flags of descriptors, for calls of their own. Owns nothing.

use super::error::Result;
use super::{Files, Host};
use linux_raw_sys::general::O_NONBLOCK;

impl<H: Host> Files<H> {
    /// Access mode and status flags (`O_*`).
    pub(crate) fn flags_of(&self, descriptor: usize) -> Result<u32> {
        Ok(self.descriptors.get(descriptor)?.flags)
    }

    /// Whether calls on a descriptor wait.
    pub(crate) fn set_waiting(&mut self, descriptor: usize, waits: bool) -> Result<()> {
        let flags = &mut self.descriptors.get_mut(descriptor)?.flags;
        match waits {
            true => *flags &= !O_NONBLOCK,
            false => *flags |= O_NONBLOCK,
        }
        Ok(())
    }
}
