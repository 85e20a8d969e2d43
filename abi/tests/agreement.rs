//! What an image and its monitor rely on: bits of one word that do not meet, sizes that follow from each other, and what is
//! written coming back.

use bespoke_abi::export::{ENTRY_BYTES, Entry};
use bespoke_abi::stats::{BootPoint, ComponentStats, Counter, Label, MAX_COMPONENTS, StatsPage};
use bespoke_abi::{HEAD_BYTES, LEAST_HEADED_BYTES, PAGE_BYTES, PAGE_ENTRY_BYTES};
use bespoke_abi::{boot, devices, hypercall, note, stats, trace};
use std::mem::offset_of;
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn flags_of_a_word_are_single_bits_and_no_two_alike() {
    let words: [(&str, &[u64]); 5] = [
        (
            "boot information",
            &[
                boot::FLAG_NO_FSGSBASE.into(),
                boot::FLAG_TRACE_CALLS.into(),
                boot::FLAG_USED_RAM.into(),
                boot::FLAG_EXPORT_ALWAYS.into(),
            ],
        ),
        (
            "network",
            &[
                devices::NET_DHCP.into(),
                devices::NET_OFFLOAD.into(),
                devices::NET_AT_EXITS.into(),
                devices::NET_RELAYED.into(),
            ],
        ),
        (
            "note",
            &[
                note::TAKES_SIGNALS.into(),
                note::NO_NETWORK.into(),
                note::EAGER.into(),
                note::SMALL_PAGES.into(),
            ],
        ),
        ("wait", &[hypercall::WAIT_NET, hypercall::WAIT_CONSOLE]),
        // Signals have the bits below, from the first on.
        ("signals", &[stats::MISSED_INTERRUPT, (1 << 63) - 1]),
    ];
    for (word, flags) in words {
        let mut all = 0u64;
        for &flag in flags {
            assert!(flag != 0 && all & flag == 0, "{word}: {flag:#x}");
            all |= flag;
        }
        if word != "signals" {
            assert!(flags.iter().all(|flag| flag.is_power_of_two()), "{word}");
        }
    }
}

#[test]
fn numbers_of_a_kind_are_apart() {
    let kinds: [&[u64]; 5] = [
        &[
            hypercall::EXIT,
            hypercall::WRITE,
            hypercall::READ,
            hypercall::PROTECT,
            hypercall::GIVE_BACK,
            hypercall::WAIT,
            hypercall::FATAL,
            hypercall::FAULT,
            hypercall::TICK,
        ],
        &[
            hypercall::FATAL_SIGNAL,
            hypercall::FATAL_PANIC,
            hypercall::FATAL_HEAP,
            hypercall::FATAL_MEMORY,
            hypercall::FATAL_DEADLOCK,
            hypercall::FATAL_MACHINE,
        ],
        &[
            hypercall::ACCESS_NONE,
            hypercall::ACCESS_READ,
            hypercall::ACCESS_WRITE,
        ],
        &[
            devices::NET_NONE.into(),
            devices::NET_VIRTIO.into(),
            devices::NET_TAP.into(),
            devices::NET_STREAM.into(),
            devices::NET_PACKET.into(),
        ],
        &[
            note::TYPE_IMAGE.into(),
            note::TYPE_COMPOSITION.into(),
            note::TYPE_TRACE.into(),
            note::TYPE_RUN.into(),
            note::TYPE_NOTICE.into(),
        ],
    ];
    for numbers in kinds {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), numbers.len(), "{numbers:?}");
    }
}

/// What the layouts of version 8 are: an image of that version is run by every monitor of it. Whoever changes one of these
/// changes [`bespoke_abi::VERSION`].
#[test]
fn version_7_is_laid_out_so() {
    assert_eq!(bespoke_abi::VERSION, 8);
    assert_eq!((HEAD_BYTES, LEAST_HEADED_BYTES), (1 << 20, 16 << 20));
    assert_eq!((PAGE_BYTES, PAGE_ENTRY_BYTES), (4096, 16));
    assert_eq!(bespoke_abi::IMAGE_BASE, 2 << 20);
    assert_eq!(size_of::<boot::BootInfo>(), 392);
    assert_eq!(offset_of!(boot::BootInfo, ram), 40);
    assert_eq!(offset_of!(boot::BootInfo, arguments), 144);
    assert_eq!(offset_of!(boot::BootInfo, net), 208);
    assert_eq!(offset_of!(boot::BootInfo, ring), 376);
    assert_eq!(size_of::<hypercall::Request>(), 64);
    assert_eq!(offset_of!(hypercall::Request, result), 40);
    assert_eq!(size_of::<hypercall::FaultRecord>(), 22 * 8);
    assert_eq!(size_of::<ComponentStats>(), 15 * 8);
    assert_eq!(offset_of!(StatsPage, components), 232);
    let behind = 232 + MAX_COMPONENTS * size_of::<ComponentStats>();
    assert_eq!(offset_of!(StatsPage, host_signals), behind);
    assert_eq!(trace::CAPACITY_BYTES, 256 << 10);
    assert_eq!(offset_of!(trace::TraceRing, words), PAGE_BYTES);
}

#[test]
fn a_counter_counts_and_remembers_its_most() {
    let counter = Counter::new();
    assert_eq!(counter.get(), 0);
    counter.add(5);
    counter.add(7);
    assert_eq!(counter.get(), 12);
    counter.sub(2);
    assert_eq!(counter.get(), 10);
    for (raised, most) in [(9, 10), (10, 10), (11, 11), (3, 11)] {
        counter.raise(raised);
        assert_eq!(counter.get(), most);
    }
    counter.set(1);
    counter.sub(2);
    assert_eq!(counter.get(), u64::MAX);
    counter.add(2);
    assert_eq!(counter.get(), 1);
}

#[test]
fn a_label_keeps_sixteen_bytes() {
    let label = Label::new();
    assert_eq!(label.padded(), [0; 16]);
    label.set("dlmalloc");
    assert_eq!(&label.padded(), b"dlmalloc\0\0\0\0\0\0\0\0");
    label.set("0123456789abcdef, and more");
    assert_eq!(&label.padded(), b"0123456789abcdef");
    // Nothing is left of the one before.
    label.set("x");
    assert_eq!(&label.padded(), b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_page_begins_with_its_components_and_is_stamped() {
    let page = StatsPage::new();
    assert_eq!((page.magic.get(), page.used_components().len()), (0, 0));
    page.components[1].label("libos", "tlsf");
    page.begin(2);
    assert_eq!(page.magic.get(), stats::STATS_MAGIC);
    assert_eq!(page.version.load(Relaxed), bespoke_abi::VERSION);
    let [_, second] = page.used_components() else {
        panic!("two components");
    };
    assert_eq!(second.name.padded()[..6], *b"libos\0");
    assert_eq!(second.heap.padded()[..5], *b"tlsf\0");
    for (count, used) in [(8, 8), (9, 8), (u32::MAX, 8), (0, 0)] {
        page.component_count.store(count, Relaxed);
        assert_eq!(page.used_components().len(), used);
    }
    page.stamp(BootPoint::Main, 77);
    let stamped = page.boot.iter().map(Counter::get);
    assert_eq!(stamped.sum::<u64>(), 77);
    assert_eq!(page.boot[BootPoint::Main as usize].get(), 77);
}

#[test]
fn an_interrupt_is_wanted_when_anybody_could_go_on() {
    let page = StatsPage::new();
    assert!(!page.wants_interrupt());
    for counter in [&page.ready, &page.waits, &page.timers] {
        counter.set(1);
        assert!(page.wants_interrupt());
        counter.set(0);
    }
    page.host_signals.store(1 << 1, Relaxed);
    assert!(page.wants_interrupt());
    page.host_signals.store(0, Relaxed);
    // Neither calls nor handlers are a reason.
    page.handled.set(1);
    page.calls.set(1);
    assert!(!page.wants_interrupt());
}

#[test]
fn an_entry_is_its_fields_in_order() {
    let entry = Entry {
        kind: 0x0403_0201,
        mode: 0x0807_0605,
        name_bytes: 0x100f_0e0d_0c0b_0a09,
        bytes: 0x1817_1615_1413_1211,
    };
    let bytes = entry.encode();
    let expected: [u8; ENTRY_BYTES] = std::array::from_fn(|at| at as u8 + 1);
    assert_eq!(bytes, expected);
    assert_eq!(Entry::decode(&bytes), entry);
}
