//! Replays of small traces whose outcome is known.

use super::*;
use bespoke_trace::{Action, Event};
use std::collections::BTreeSet;

fn event(action: Action) -> Event {
    Event {
        component: 0,
        align_log2: 4,
        site: 0,
        clock: 0,
        action,
    }
}

fn allocate(size: u64, new: u64) -> Event {
    event(Action::Allocate {
        size,
        zeroed: new % 2 == 1,
        new: Some(new),
    })
}

fn free(old: u64) -> Event {
    event(Action::Free { old: Some(old) })
}

fn task(mode: Mode) -> Task {
    Task {
        file: String::new(),
        component: "app".into(),
        arena_bytes: 1 << 20,
        events: u64::MAX,
        mode,
    }
}

/// A hundred blocks of 1000 bytes live at most, 10,000 in all.
fn churn() -> Operations {
    let events = (0..10_000).flat_map(|new| {
        let old = u64::checked_sub(new, 100).map(free);
        old.into_iter().chain([allocate(1000, new)])
    });
    Operations::of(events)
}

#[test]
fn slots_are_as_many_as_ever_lived_and_what_cannot_be_repeated_is_left_out() {
    let operations = churn();
    assert_eq!((operations.slots, operations.list.len()), (100, 19_900));
    let mut full = BTreeSet::new();
    for operation in &operations.list {
        let changed = match operation.kind {
            Kind::Free => full.remove(&operation.slot),
            _ => full.insert(operation.slot),
        };
        assert!(
            changed,
            "slots are emptied before they are filled: {operation:?}"
        );
    }
    let refused = Action::Allocate {
        size: 1,
        zeroed: false,
        new: None,
    };
    let moved = Action::Resize {
        old: Some(0),
        size: 9,
        new: Some(1),
    };
    let events = [
        allocate(1, 0),
        event(refused),
        event(moved),
        free(7),
        free(1),
    ];
    let operations = Operations::of(events.into_iter());
    let kinds: Vec<_> = operations
        .list
        .iter()
        .map(|operation| operation.kind)
        .collect();
    assert_eq!(kinds, [Kind::Allocate, Kind::Resize, Kind::Free]);
    assert_eq!(
        operations.skipped,
        Skipped {
            refused: 1,
            unknown: 1
        }
    );
    assert_eq!(operations.slots, 1);
}

#[test]
fn a_heap_that_frees_serves_more_than_memory_and_one_that_does_not_says_where_it_ended() {
    let operations = churn();
    for mode in [Mode::Cycles, Mode::Count, Mode::Memory, Mode::Check] {
        let answer = replay::<CInterface<heap_tlsf::AppHeap>>(&task(mode), &operations);
        assert_eq!(
            (answer.operations, answer.failure),
            (19_900, None),
            "{mode:?}"
        );
    }
    for mode in [Mode::Cycles, Mode::Count, Mode::Memory] {
        let answer = replay::<CInterface<heap_region::AppHeap>>(&task(mode), &operations);
        let failure = answer.failure.expect("10 MB do not fit in one");
        assert!(
            failure.starts_with("out of memory at operation"),
            "{failure}"
        );
        assert!((1_800..2_200).contains(&answer.operations), "{failure}");
    }
}

#[test]
fn memory_is_that_of_the_blocks_and_more() {
    let answer = replay::<RustInterface<heap_tlsf::Heap>>(&task(Mode::Memory), &churn());
    let usage = answer.usage.expect("it was measured");
    assert_eq!(usage.requested_peak_bytes, 100_000);
    assert!(
        usage.granted_peak_bytes >= 100_000 && usage.held_peak_bytes >= usage.granted_peak_bytes
    );
    assert!(usage.resident_peak_bytes <= 1 << 20 && usage.resident_peak_bytes >= 100_000);
    assert_eq!(usage.points.len(), 64);
    assert_eq!(
        usage.points.last().map(|point| point.operations),
        Some(19_900)
    );
    assert!(
        usage.points[32..]
            .iter()
            .all(|point| point.requested_bytes == 100_000 || point.requested_bytes == 99_000)
    );
}

#[test]
#[should_panic(expected = "contents lost")]
fn a_heap_that_loses_contents_is_found() {
    let big = [
        allocate(100, 0),
        event(Action::Resize {
            old: Some(0),
            size: 400,
            new: Some(1),
        }),
        free(1),
    ];
    replay::<RustInterface<broken::Forgetful>>(
        &task(Mode::Check),
        &Operations::of(big.into_iter()),
    );
}

/// A heap that does not copy what it moves.
mod broken {
    use bespoke_heap::{Block, Heap, Info, OutOfMemory, Pages};
    use std::alloc::Layout;
    use std::ptr::NonNull;

    pub(super) struct Forgetful(heap_region::Heap);

    // SAFETY: it does not keep the contract, which is what the test is about; blocks are those of a sound heap.
    unsafe impl Heap for Forgetful {
        const INFO: Info = <heap_region::Heap as Heap>::INFO;
        const EMPTY: Self = Self(<heap_region::Heap as Heap>::EMPTY);

        fn start(&mut self, pages: Pages) -> Result<(), OutOfMemory> {
            self.0.start(pages)
        }
        fn allocate(&mut self, layout: Layout) -> Option<Block> {
            self.0.allocate(layout)
        }
        unsafe fn deallocate(&mut self, ptr: NonNull<u8>, layout: Layout) -> usize {
            // SAFETY: the caller's promise.
            unsafe { self.0.deallocate(ptr, layout) }
        }
        unsafe fn reallocate(
            &mut self,
            _: NonNull<u8>,
            old: Layout,
            new_size: usize,
        ) -> Option<(Block, usize)> {
            let layout = Layout::from_size_align(new_size, old.align()).ok()?;
            Some((self.0.allocate(layout)?, old.size().next_multiple_of(16)))
        }
    }
}
