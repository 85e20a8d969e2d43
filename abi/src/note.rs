//! The ELF notes by which a monitor recognises an image.
//!
//! They lie in section `.note.bespoke` with owner `Bespoke`:
//! - [`TYPE_IMAGE`]: an [`ImageNote`].
//! - [`TYPE_COMPOSITION`]: text such as `app=tlsf libos=talc`.
//! - [`TYPE_RUN`]: the defaults of a run.
//! - [`TYPE_NOTICE`]: present if the image's data would be lost silently.
//! - [`TYPE_ORIGIN`]: what the image was made from.
//! - [`TYPE_TRACE`]: only in an image built for tracing.

/// Owner name of the notes, without its NUL.
pub const OWNER: &str = "Bespoke";
/// Note type of an [`ImageNote`].
pub const TYPE_IMAGE: u32 = 1;
/// Note type of the composition text.
pub const TYPE_COMPOSITION: u32 = 2;
/// Note type of the guest-virtual address of the [`crate::trace::TraceRing`], 8 bytes.
pub const TYPE_TRACE: u32 = 3;
/// Note type of the default memory and arguments of a run: bytes of memory as a decimal number,
/// then the application's arguments, each ended by a NUL.
/// In arguments `{50% of memory}` stands for that number of bytes.
pub const TYPE_RUN: u32 = 4;
/// Note type of a text that is printed at the start of a run without `--out`.
pub const TYPE_NOTICE: u32 = 5;
/// Note type of the image's origin, as text. It has a line `key=value` for each of `app`,
/// `made_for` (versions of its sources and a hash of its recipe), `composition` (with parameters),
/// `libc`, `bespoke`, and `heap NAME` for the version of each heap.
/// No monitor reads it.
pub const TYPE_ORIGIN: u32 = 6;

/// The image takes signals of the host from [`crate::stats::StatsPage::host_signals`].
pub const TAKES_SIGNALS: u32 = 1 << 0;
/// The image was built without a network. A user who configures one gets a message.
pub const NO_NETWORK: u32 = 1 << 1;
/// A heap of the image takes or initialises a share of all RAM at start. Memory that is given to
/// the machine on first touch would then be touched at once.
pub const EAGER: u32 = 1 << 2;
/// RAM must not lie on huge pages of the host.
pub const SMALL_PAGES: u32 = 1 << 3;

/// Facts that the monitor needs beyond the ELF headers. All addresses are guest-virtual.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ImageNote {
    /// [`crate::VERSION`] of the build.
    pub version: u32,
    /// Bits [`TAKES_SIGNALS`], [`NO_NETWORK`], [`EAGER`], [`SMALL_PAGES`].
    pub flags: u32,
    /// Address of the [`crate::stats::StatsPage`].
    pub stats: u64,
    /// Entry point after a fault, so that files named by `--out` are still written.
    /// The monitor sets `rip` to this and `rsp` to `rescue_stack`. The code
    /// ends with an `EXIT` hypercall.
    pub rescue_entry: u64,
    /// Top of a stack that nothing else uses, 16-byte aligned.
    pub rescue_stack: u64,
    /// Size in bytes of the main stack that the monitor must provide
    /// ([`crate::boot::BootInfo::stack`]).
    pub stack_bytes: u64,
    /// Address of the image's [`crate::hypercall::Request`], which tells how a run on
    /// a stock virtual machine ended.
    pub request: u64,
    /// Where an interrupted image continues. 0: the image cannot be interrupted.
    /// The monitor fills [`crate::stats::StatsPage::interrupt`] and sets `rip` to
    /// this; it changes no other register.
    pub interrupt_entry: u64,
    /// Code that may be interrupted: `rip` must be at least this...
    pub interruptible_start: u64,
    /// ... and less than this. The library OS and the heaps lie outside.
    pub interruptible_end: u64,
    /// Code shared between them and the application (`memcpy` and the like), from this address...
    pub shared_start: u64,
    /// ... to before this one. It never touches the stack, so `rsp` points to its return address.
    /// It may be interrupted if the code at that address may be.
    pub shared_end: u64,
}

impl ImageNote {
    /// Whether the image may be interrupted at `rip`. `return_address` reads the word at `rsp`.
    pub fn may_interrupt(&self, rip: u64, return_address: impl FnOnce() -> Option<u64>) -> bool {
        let own = self.interruptible_start..self.interruptible_end;
        let is_shared = (self.shared_start..self.shared_end).contains(&rip);
        own.contains(&rip)
            || is_shared && return_address().is_some_and(|caller| own.contains(&caller))
    }
}

/// Bytes of an encoded [`ImageNote`].
pub const IMAGE_NOTE_BYTES: usize = 88;

const _: () = assert!(size_of::<ImageNote>() == IMAGE_NOTE_BYTES);

#[cfg(test)]
mod tests {
    use super::ImageNote;

    #[test]
    fn shared_code_may_be_interrupted_when_its_caller_may() {
        let note = ImageNote {
            version: crate::VERSION,
            flags: 0,
            stats: 0,
            rescue_entry: 0,
            rescue_stack: 0,
            stack_bytes: 0,
            request: 0,
            interrupt_entry: 0x10,
            interruptible_start: 0x200,
            interruptible_end: 0x300,
            shared_start: 0x100,
            shared_end: 0x200,
        };
        let caller = |address| move || Some(address);
        for (rip, expected) in [(0xff, false), (0x200, true), (0x2ff, true), (0x300, false)] {
            assert_eq!(note.may_interrupt(rip, || None), expected, "{rip:#x}");
        }
        assert!(note.may_interrupt(0x100, caller(0x250)));
        assert!(!note.may_interrupt(0x1ff, caller(0x300)));
        assert!(!note.may_interrupt(0x1ff, caller(0x1ff)));
        assert!(!note.may_interrupt(0x1ff, || None));
    }
}
