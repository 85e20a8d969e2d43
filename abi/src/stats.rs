//! The statistics page. The guest writes it; the monitor may read it at any time.
//!
//! There is one writer, with plain relaxed stores and no locks.
//! A reader may see one of two related counters updated before the other, but never a torn counter.
//! Memory is attributed to components.

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
    /// Adds, wrapping. It is not atomic against a second writer and so needs no locked instruction.
    #[inline(always)]
    pub fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
    /// Subtracts, wrapping, under the same conditions as [`Counter::add`].
    #[inline(always)]
    pub fn sub(&self, value: u64) {
        self.set(self.get().wrapping_sub(value));
    }
    /// Raises the value to `value` if `value` is larger.
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

    /// Stores the first 16 bytes of `text`.
    pub fn set(&self, text: &str) {
        let mut padded = [0; 16];
        for (place, byte) in padded.iter_mut().zip(text.bytes()) {
            *place = byte;
        }
        let value = u128::from_le_bytes(padded);
        self.0[0].set(value as u64);
        self.0[1].set((value >> 64) as u64);
    }

    /// Returns the bytes, padded with zeros.
    pub fn padded(&self) -> [u8; 16] {
        let [low, high] = [0, 1].map(|half: usize| u128::from(self.0[half].get()));
        (low | high << 64).to_le_bytes()
    }
}

/// Points on the boot time line, in order.
/// Each is a slot in [`StatsPage::boot`] that holds a time stamp counter value (0: not reached).
/// The monitor fills the first three.
#[repr(usize)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootPoint {
    /// The monitor's first instruction.
    MonitorStart = 0,
    /// The image is in memory and the machine is built.
    MachineReady = 1,
    /// The monitor enters the guest.
    Enter = 2,
    /// First guest instruction.
    FirstInstruction = 3,
    /// The page source is ready.
    Pages = 4,
    /// Every component's heap has started.
    Heaps = 5,
    /// Files are unpacked and the stack is built.
    Files = 6,
    /// `main()` of the application is entered.
    Main = 7,
    /// The application is ready for requests (first `listen()`); 0 for
    /// applications that never listen.
    Ready = 8,
    /// The application has ended.
    Exit = 9,
}

/// Number of [`BootPoint`]s with a slot.
pub const BOOT_POINTS: usize = 16;

/// Statistics of one component's heap. Byte counts are totals since the start.
#[repr(C)]
#[derive(Debug)]
pub struct ComponentStats {
    /// Component name.
    pub name: Label,
    /// Heap name.
    pub heap: Label,
    /// Bytes requested, over all allocations.
    pub requested_bytes: Counter,
    /// Bytes granted, over all allocations (usable sizes).
    pub granted_bytes: Counter,
    /// Bytes granted that are live now.
    pub live_bytes: Counter,
    /// Largest value of `live_bytes`.
    pub peak_bytes: Counter,
    /// Allocations that succeeded (reallocations not counted).
    pub allocations: Counter,
    /// Frees.
    pub frees: Counter,
    /// Reallocations that succeeded.
    pub reallocations: Counter,
    /// Requests refused for lack of memory.
    pub failures: Counter,
    /// Pages the heap holds from the page source now.
    pub held_pages: Counter,
    /// Largest number of pages it held.
    pub peak_pages: Counter,
    /// TSC cycles that the heap's start took.
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

    /// Assigns the slot to component `name` with heap `heap`; both names are cut at 16 bytes.
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

/// Statistics of the page source, in pages unless named otherwise.
#[repr(C)]
#[derive(Debug, Default)]
pub struct PageStats {
    /// Pages the source was given.
    pub total: Counter,
    /// Pages handed out now.
    pub held: Counter,
    /// Largest number of pages handed out at once.
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

/// The page. Each image has one; its address is in the image's note.
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
    /// Bit k set: export k of the boot information's list is written out completely.
    /// Bit k + [`crate::export::MAX_EXPORTS`] set: it is written as a list of entries.
    pub exported: Counter,
    /// The components.
    pub components: [ComponentStats; MAX_COMPONENTS],
    /// Signals that the user sent: bit n - 1 for signal n.
    /// The monitor sets bits. The image takes them (by an atomic exchange with 0) when a wait ends
    /// and whenever it polls its devices.
    /// Only for images with [`crate::note::TAKES_SIGNALS`].
    pub host_signals: AtomicU64,
    /// Threads that are ready to run while another one runs.
    pub ready: Counter,
    /// Threads whose wait can be ended by a deadline or a device.
    pub waits: Counter,
    /// Not 0: a timer that sends a signal is running.
    pub timers: Counter,
    /// Bit n - 1 set: the image handles signal n. Only for signals of faults;
    /// others do not involve the monitor.
    pub handled: Counter,
    /// The monitor writes this before it interrupts the image.
    pub interrupt: Interrupt,
    /// The signal of a fault that was delivered to the image and that it does not handle. The fault
    /// occurs once more, and the monitor reports it.
    /// The monitor alone cannot tell a fault outside of a mapping from one
    /// beyond the end of the mapped file.
    pub declined: Counter,
}

/// Signals that a user may send to an image that takes signals, by Linux number: SIGHUP, SIGINT,
/// SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM.
pub const USER_SIGNALS: [u8; 6] = [1, 2, 3, 10, 12, 15];

/// In [`StatsPage::host_signals`]: not a signal but an interrupt that came while the image could
/// not be interrupted. The image makes up for it at its next system call.
pub const MISSED_INTERRUPT: u64 = 1 << 63;

/// [`Interrupt::vector`] of an interrupt that is not a fault: the image polls its
/// timers, devices, signals and threads.
pub const VECTOR_TICK: u64 = 0x100;

/// Cause and position of an interrupt.
#[repr(C)]
#[derive(Debug)]
pub struct Interrupt {
    /// Address at which the image would have continued.
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
    /// Whether an interrupt could have an effect: another thread could
    /// run, or an event may have arrived.
    pub fn wants_interrupt(&self) -> bool {
        let counters = [&self.ready, &self.waits, &self.timers];
        self.host_signals.load(Relaxed) != 0 || counters.iter().any(|counter| counter.get() != 0)
    }

    /// All zero: the page is not valid yet and takes no bytes of the image file.
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

    /// Makes this a valid page of `component_count` components, which already have their labels.
    pub fn begin(&self, component_count: u32) {
        self.component_count.store(component_count, Relaxed);
        self.version.store(crate::VERSION, Relaxed);
        self.magic.set(STATS_MAGIC);
    }

    /// Returns the components in use, or all of them if the page claims more.
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
