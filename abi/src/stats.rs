//! The statistics page: written by the guest, read by the monitor at any time.
//!
//! One writer, plain relaxed stores, no locks: a reader may see two counters of one
//! operation apart, never a torn counter. Ownership of memory is by component.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// First field of a [`StatsPage`].
pub const STATS_MAGIC: u64 = u64::from_le_bytes(*b"BSPKSTAT");
/// Slots for components.
pub const MAX_COMPONENTS: usize = 8;

/// A counter with one writer.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }
    /// Current value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
    /// Replaces the value.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
    /// Adds, wrapping; not atomic against a second writer, and needs no locked instruction.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
    /// Subtracts, wrapping; same terms as [`Counter::add`].
    #[inline(always)]
    pub fn sub(&self, value: u64) {
        self.set(self.get().wrapping_sub(value));
    }
    /// Raises the value to `value` if that is larger.
    #[inline(always)]
    pub fn raise(&self, value: u64) {
        if value > self.get() {
            self.set(value);
        }
    }
}

/// A name of at most 16 bytes, zero padded, with one writer.
#[repr(transparent)]
#[derive(Debug, Default)]
pub struct Label([Counter; 2]);

impl Label {
    /// No name.
    pub const fn new() -> Self {
        Self([const { Counter::new() }; 2])
    }

    /// Takes the first 16 bytes of `text`.
    pub fn set(&self, text: &str) {
        let mut padded = [0; 16];
        for (place, byte) in padded.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        let value = u128::from_le_bytes(padded);
        self.0[0].set(value as u64);
        self.0[1].set((value >> 64) as u64);
    }

    /// The bytes, and zeros.
    pub fn padded(&self) -> [u8; 16] {
        let [low, high] = [0, 1].map(|half: usize| u128::from(self.0[half].get()));
        (low | high << 64).to_le_bytes()
    }
}

/// Points on the boot time line, in order; each is a slot in [`StatsPage::boot`] holding a
/// time stamp counter value (0: not reached). The monitor fills the first three.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootPoint {
    /// The monitor's first instruction.
    MonitorStart = 0,
    /// The image is in memory, the machine is built.
    MachineReady = 1,
    /// The monitor enters the guest.
    Enter = 2,
    /// First guest instruction.
    FirstInstruction = 3,
    /// The page source is ready.
    Pages = 4,
    /// Every component's heap has started.
    Heaps = 5,
    /// Files are unpacked, the stack is built.
    Files = 6,
    /// `main()` of the application is entered.
    Main = 7,
    /// The application is ready for requests (first `listen()`); 0 for those that never listen.
    Ready = 8,
    /// The application has ended.
    Exit = 9,
}

/// Number of [`BootPoint`]s with a slot.
pub const BOOT_POINTS: usize = 16;

/// What one component's heap did. Bytes are totals since the start.
#[repr(C)]
#[derive(Debug)]
pub struct ComponentStats {
    /// Component name.
    pub name: Label,
    /// Heap name.
    pub heap: Label,
    /// Bytes asked for, over all allocations.
    pub requested_bytes: Counter,
    /// Bytes granted, over all allocations (usable sizes).
    pub granted_bytes: Counter,
    /// Bytes granted that are live now.
    pub live_bytes: Counter,
    /// Most `live_bytes` ever was.
    pub peak_bytes: Counter,
    /// Allocations that succeeded (reallocations not counted).
    pub allocations: Counter,
    /// Frees.
    pub frees: Counter,
    /// Reallocations that succeeded.
    pub reallocations: Counter,
    /// Requests refused for want of memory.
    pub failures: Counter,
    /// Pages the heap holds from the page source now.
    pub held_pages: Counter,
    /// Most pages it ever held.
    pub peak_pages: Counter,
    /// TSC cycles the heap's start took.
    pub start_cycles: Counter,
}

impl ComponentStats {
    /// An unused slot.
    pub const fn new() -> Self {
        Self {
            name: Label::new(),
            heap: Label::new(),
            requested_bytes: Counter::new(),
            granted_bytes: Counter::new(),
            live_bytes: Counter::new(),
            peak_bytes: Counter::new(),
            allocations: Counter::new(),
            frees: Counter::new(),
            reallocations: Counter::new(),
            failures: Counter::new(),
            held_pages: Counter::new(),
            peak_pages: Counter::new(),
            start_cycles: Counter::new(),
        }
    }

    /// Gives the slot to component `name`, served by `heap`; both are cut at 16 bytes.
    pub fn label(&self, name: &str, heap: &str) {
        self.name.set(name);
        self.heap.set(heap);
    }
}

impl Default for ComponentStats {
    fn default() -> Self {
        Self::new()
    }
}

/// What the page source did, in pages unless named otherwise.
#[repr(C)]
#[derive(Debug, Default)]
pub struct PageStats {
    /// Pages the source was given.
    pub total: Counter,
    /// Pages handed out now.
    pub held: Counter,
    /// Most pages ever handed out at once.
    pub high_water: Counter,
    /// Pages that were never handed out.
    pub untouched: Counter,
    /// Pages given back to the host, over all calls.
    pub given_back: Counter,
    /// Requests refused.
    pub failures: Counter,
    /// Bytes cleared because a recycled page had to be zero.
    pub zeroed_bytes: Counter,
}

impl PageStats {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            total: Counter::new(),
            held: Counter::new(),
            high_water: Counter::new(),
            untouched: Counter::new(),
            given_back: Counter::new(),
            failures: Counter::new(),
            zeroed_bytes: Counter::new(),
        }
    }
}

/// The page. One per image; its address is in the image's note.
#[repr(C, align(4096))]
#[derive(Debug)]
pub struct StatsPage {
    /// [`STATS_MAGIC`], once the image has begun to start its heaps.
    pub magic: Counter,
    /// [`crate::VERSION`].
    pub version: AtomicU32,
    /// Components in use, from the front of `components`.
    pub component_count: AtomicU32,
    /// The boot time line, indexed by [`BootPoint`].
    pub boot: [Counter; BOOT_POINTS],
    /// The page source.
    pub pages: PageStats,
    /// System calls made.
    pub calls: Counter,
    /// System calls answered with ENOSYS.
    pub unknown_calls: Counter,
    /// Exits to the monitor (hypercalls).
    pub hypercalls: Counter,
    /// Bit k set: export k of the boot information's list is written out completely. Bit k +
    /// [`crate::export::MAX_EXPORTS`] set: as a list of entries.
    pub exported: Counter,
    /// The components.
    pub components: [ComponentStats; MAX_COMPONENTS],
    /// Signals the user sent, bit n - 1 for signal n: set by the monitor, taken by the image (an atomic
    /// exchange with 0) when a wait ends and whenever it looks at its devices. Only for images
    /// with [`crate::note::TAKES_SIGNALS`].
    pub host_signals: AtomicU64,
    /// Threads that could run but do not, while another one does.
    pub ready: Counter,
    /// Threads whose wait a deadline or a device could end.
    pub waits: Counter,
    /// Not 0: a timer runs that sends a signal.
    pub timers: Counter,
    /// Bit n - 1 set: the image handles signal n. For the signals of faults: others need no monitor.
    pub handled: Counter,
    /// Written by the monitor before it interrupts the image.
    pub interrupt: Interrupt,
    /// The signal of a fault that the image was told of and does not handle: the fault comes once more, and the monitor reports
    /// it. A monitor alone cannot tell a mapping from the end of the file that it shows.
    pub declined: Counter,
}

/// The signals that a user may send to an image that takes signals, by Linux's numbers: SIGHUP, SIGINT, SIGQUIT, SIGUSR1,
/// SIGUSR2, SIGTERM.
pub const USER_SIGNALS: [u8; 6] = [1, 2, 3, 10, 12, 15];

/// In [`StatsPage::host_signals`]: no signal, but an interrupt that came at a bad time; the image makes up for it
/// at its next system call.
pub const MISSED_INTERRUPT: u64 = 1 << 63;

/// [`Interrupt::vector`] of an interrupt that is no fault: the image looks at its timers, devices, signals and threads.
pub const VECTOR_TICK: u64 = 0x100;

/// Why and where an image was interrupted.
#[repr(C)]
#[derive(Debug)]
pub struct Interrupt {
    /// Where it would have gone on.
    pub rip: Counter,
    /// Exception vector, or [`VECTOR_TICK`].
    pub vector: Counter,
    /// Error code of the exception, 0 if it has none.
    pub error_code: Counter,
    /// Address of a page fault.
    pub address: Counter,
}

impl Interrupt {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            rip: Counter::new(),
            vector: Counter::new(),
            error_code: Counter::new(),
            address: Counter::new(),
        }
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}

impl StatsPage {
    /// Whether an interrupt would change anything: somebody else could run, or there may be news for somebody.
    pub fn wants_interrupt(&self) -> bool {
        let counters = [&self.ready, &self.waits, &self.timers];
        self.host_signals.load(Relaxed) != 0 || counters.iter().any(|counter| counter.get() != 0)
    }

    /// All zero: no page yet, and no bytes of an image's file.
    pub const fn new() -> Self {
        Self {
            magic: Counter::new(),
            version: AtomicU32::new(0),
            component_count: AtomicU32::new(0),
            boot: [const { Counter::new() }; BOOT_POINTS],
            pages: PageStats::new(),
            calls: Counter::new(),
            unknown_calls: Counter::new(),
            hypercalls: Counter::new(),
            exported: Counter::new(),
            components: [const { ComponentStats::new() }; MAX_COMPONENTS],
            host_signals: AtomicU64::new(0),
            ready: Counter::new(),
            waits: Counter::new(),
            timers: Counter::new(),
            handled: Counter::new(),
            interrupt: Interrupt::new(),
            declined: Counter::new(),
        }
    }

    /// Makes it a page of `component_count` components, which have their labels.
    pub fn begin(&self, component_count: u32) {
        self.component_count.store(component_count, Relaxed);
        self.version.store(crate::VERSION, Relaxed);
        self.magic.set(STATS_MAGIC);
    }

    /// The components in use; all of them when the page says that there are more.
    pub fn used_components(&self) -> &[ComponentStats] {
        let count = self.component_count.load(Relaxed) as usize;
        &self.components[..count.min(MAX_COMPONENTS)]
    }

    /// Stores a time stamp counter value for `point`.
    #[inline]
    pub fn stamp(&self, point: BootPoint, tsc: u64) {
        self.boot[point as usize].set(tsc);
    }
}

impl Default for StatsPage {
    fn default() -> Self {
        Self::new()
    }
}

const _: () = assert!(size_of::<StatsPage>() == crate::PAGE_BYTES);
