//! The page source: against the shadow model, and against the kernel's word on what is resident.

use bespoke_abi::stats::PageStats;
use bespoke_abi::{HEAD_BYTES, LEAST_HEADED_BYTES, PAGE_BYTES};
use bespoke_heap::{Contents, Lender, PageSource, Run};
use bespoke_heap_testkit::arena::drop_pages;
use bespoke_heap_testkit::{Arena, Random, Shadow};
use std::alloc::Layout;
use std::ptr::NonNull;

const MIB: usize = 1 << 20;

/// Bytes of the table for `bytes` bytes of memory.
fn table_pages(bytes: usize) -> usize {
    (bytes / PAGE_BYTES * 16 + 16).div_ceil(PAGE_BYTES)
}

/// Bytes that are handed out before the table, of `bytes` bytes of memory.
fn head_bytes(bytes: usize) -> usize {
    if bytes < LEAST_HEADED_BYTES {
        0
    } else {
        HEAD_BYTES
    }
}

fn dirty(run: Run) {
    // SAFETY: the run is held by the test.
    unsafe { run.start.as_ptr().write_bytes(0xa5, run.pages * PAGE_BYTES) };
}

fn is_zero(run: Run) -> bool {
    // SAFETY: the run is held by the test.
    let bytes = unsafe { std::slice::from_raw_parts(run.start.as_ptr(), run.pages * PAGE_BYTES) };
    bytes.iter().all(|byte| *byte == 0)
}

fn part(run: Run, from: usize, pages: usize) -> Run {
    // SAFETY: `from` is inside the run.
    let start = unsafe { run.start.add(from * PAGE_BYTES) };
    Run { start, pages }
}

fn free(arena: &Arena, run: Run) {
    // SAFETY: the test holds the run and forgets it here.
    unsafe { arena.source.free(run) }
}

fn layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_BYTES, PAGE_BYTES).expect("pages")
}

/// Every page is taken at its address exactly once, wherever it is free: in a run, before the table, in the wilderness.
#[test]
fn hands_out_pages_at_an_address_that_is_free() {
    for bytes in [LEAST_HEADED_BYTES, LEAST_HEADED_BYTES - MIB] {
        let arena = Arena::new(bytes);
        let source = &arena.source;
        let runs: Vec<Run> = (0..64)
            .map(|_| source.allocate(8, 1, Contents::Any).expect("room"))
            .collect();
        for run in runs.iter().step_by(2) {
            dirty(*run);
            free(&arena, part(*run, 1, 6));
        }
        let mut random = Random::new(7);
        let mut taken = std::collections::BTreeSet::new();
        let at = |run: &Run, page: usize| run.start.addr().get() + page * PAGE_BYTES;
        for _ in 0..2000 {
            let run = &runs[random.below(64)];
            let (page, pages) = (random.below(8), 1 + random.below(3));
            let index = runs
                .iter()
                .position(|other| other == run)
                .expect("it is one");
            let is_free = (page..page + pages).all(|page| {
                index % 2 == 0 && (1..7).contains(&page) && !taken.contains(&at(run, page))
            });
            let got = source.allocate_at(at(run, page), pages, Contents::Zero);
            assert_eq!(got.is_some(), is_free, "{index} {page} {pages}");
            if let Some(got) = got {
                assert!(is_zero(got) && got.start.addr().get() == at(run, page));
                taken.extend((page..page + pages).map(|page| at(run, page)));
            }
        }
        let last = arena.range().end - PAGE_BYTES;
        let run = source.allocate_at(last - 9 * PAGE_BYTES, 10, Contents::Zero);
        assert!(run.is_some_and(is_zero));
        assert_eq!(source.allocate_at(last, 1, Contents::Any), None);
        assert_eq!(source.allocate_at(last, 2, Contents::Any), None);
        assert_eq!(source.allocate_at(0, 1, Contents::Any), None);
        let before = source.allocate_at(last - 30 * PAGE_BYTES, 21, Contents::Any);
        assert!(before.is_some());
    }
}

/// Runs of all sizes, alignments, partial frees and extensions, against the model.
#[test]
fn keeps_runs_apart_and_zero_where_promised() {
    for seed in 1..7 {
        let bytes = [LEAST_HEADED_BYTES, LEAST_HEADED_BYTES - MIB][seed as usize % 2];
        let arena = Arena::new(bytes);
        let mut random = Random::new(seed);
        let mut shadow = Shadow::new(arena.range());
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..4000 {
            match random.below(12) {
                0..5 => {
                    let pages = if random.below(2) == 0 {
                        1
                    } else {
                        random.size(64)
                    };
                    let align = 1 << random.below(6);
                    let zero = random.below(2) == 0;
                    let contents = if zero { Contents::Zero } else { Contents::Any };
                    let Some(run) = arena.source.allocate(pages, align, contents) else {
                        continue;
                    };
                    assert_eq!(run.pages, pages);
                    assert!(
                        run.start.addr().get().is_multiple_of(align * PAGE_BYTES),
                        "seed {seed}: alignment {align}"
                    );
                    if zero {
                        shadow.check_zeroed(run.start, layout(pages), pages * PAGE_BYTES);
                    }
                    shadow.insert(run.start, layout(pages), pages * PAGE_BYTES);
                    runs.push(run);
                }
                5..10 if !runs.is_empty() => {
                    let run = runs.swap_remove(random.below(runs.len()));
                    shadow.remove(run.start);
                    // In up to three pieces, the middle one last.
                    let (a, b) = (random.below(run.pages + 1), random.below(run.pages + 1));
                    let (low, high) = (a.min(b), a.max(b));
                    let pieces = [(0, low), (high, run.pages - high), (low, high - low)];
                    for (from, pages) in pieces.into_iter().filter(|piece| piece.1 > 0) {
                        free(&arena, part(run, from, pages));
                    }
                }
                10 if !runs.is_empty() => {
                    let index = random.below(runs.len());
                    let run = runs[index];
                    let more = 1 + random.below(8);
                    // SAFETY: the run is held, whole.
                    if unsafe { arena.source.extend(run, more, Contents::Zero) } {
                        assert!(
                            is_zero(part(run, run.pages, more)),
                            "seed {seed}: extension not zero"
                        );
                        shadow.remove(run.start);
                        let longer = Run {
                            pages: run.pages + more,
                            ..run
                        };
                        shadow.insert(
                            longer.start,
                            layout(longer.pages),
                            longer.pages * PAGE_BYTES,
                        );
                        runs[index] = longer;
                    }
                }
                11 if random.below(50) == 0 => {
                    arena.source.give_back();
                }
                _ => {}
            }
            let held: usize = runs.iter().map(|run| run.pages).sum();
            assert_eq!(arena.stats.held.get(), held as u64, "seed {seed}");
        }
        shadow.check_all();
        runs.drain(..).for_each(|run| free(&arena, run));
        assert_eq!(arena.stats.held.get(), 0);
        // Behind the head, or all there is.
        let whole = (bytes - head_bytes(bytes)) / PAGE_BYTES - table_pages(bytes);
        assert_eq!(
            arena.source.largest_free_pages(),
            whole,
            "seed {seed}: not coalesced into one"
        );
    }
}

#[test]
fn starting_touches_nothing_however_much_memory_there_is() {
    let arena = Arena::new(4096 * MIB);
    assert_eq!(arena.resident_pages(), 0);
    let run = arena
        .source
        .allocate(1, 1, Contents::Zero)
        .expect("memory is ample");
    dirty(run);
    assert!(
        arena.resident_pages() <= 2,
        "one page used, {} resident",
        arena.resident_pages()
    );
}

#[test]
fn untouched_pages_are_not_cleared() {
    let arena = Arena::new(64 * MIB);
    let head = HEAD_BYTES / PAGE_BYTES;
    let first = arena.source.allocate(head, 1, Contents::Zero);
    first.expect("memory is ample");
    let run = arena
        .source
        .allocate(4000, 1, Contents::Zero)
        .expect("memory is ample");
    assert_eq!(
        (arena.resident_pages(), arena.stats.zeroed_bytes.get()),
        (0, 0)
    );
    dirty(part(run, 0, 10));
    free(&arena, run);
    assert_eq!(arena.stats.high_water.get(), (head + 4000) as u64);
    let run = arena
        .source
        .allocate(10, 1, Contents::Zero)
        .expect("memory is ample");
    assert!(is_zero(run));
    assert_eq!(arena.stats.zeroed_bytes.get(), 10 * PAGE_BYTES as u64);
}

#[test]
fn free_pages_are_never_written_to() {
    let arena = Arena::new(16 * MIB);
    let runs: Vec<Run> = (0..100)
        .map(|_| arena.source.allocate(16, 1, Contents::Any).expect("ample"))
        .collect();
    // Every other run is freed untouched: bookkeeping may touch the table, nothing else.
    runs.iter().step_by(2).for_each(|run| free(&arena, *run));
    assert!(arena.resident_pages() <= table_pages(16 * MIB));
}

#[test]
fn give_back_lowers_what_is_resident() {
    let arena = Arena::new(64 * MIB);
    let runs: Vec<Run> = (0..40)
        .map(|_| arena.source.allocate(100, 1, Contents::Any).expect("ample"))
        .collect();
    runs.iter().for_each(|run| dirty(*run));
    assert!(arena.resident_pages() >= 4000);
    runs.iter().step_by(2).for_each(|run| free(&arena, *run));
    assert_eq!(arena.source.give_back(), 2000);
    assert!(
        arena.resident_pages() <= 2000 + table_pages(64 * MIB),
        "{} resident",
        arena.resident_pages()
    );
    assert_eq!(arena.source.give_back(), 0, "given back twice");
    // What was given back is known to be zero: handed out zero, and not cleared.
    let run = arena
        .source
        .allocate(100, 1, Contents::Zero)
        .expect("ample");
    assert!(is_zero(run));
    assert_eq!(arena.stats.zeroed_bytes.get(), 0);
}

#[test]
fn large_dirty_runs_go_back_by_themselves_and_small_swings_do_not() {
    let arena = Arena::new(256 * MIB);
    let pages = 64 * MIB / PAGE_BYTES;
    let run = arena
        .source
        .allocate(pages, 1, Contents::Any)
        .expect("ample");
    let fence = arena.source.allocate(1, 1, Contents::Any).expect("ample");
    dirty(run);
    free(&arena, run);
    let kept = 4 * MIB / PAGE_BYTES;
    assert_eq!(arena.stats.given_back.get(), (pages - kept) as u64);
    assert!(arena.resident_pages() <= kept + table_pages(256 * MIB) + 1);
    for _ in 0..20 {
        let run = arena
            .source
            .allocate(8 * MIB / PAGE_BYTES, 1, Contents::Any)
            .expect("ample");
        dirty(run);
        free(&arena, run);
    }
    assert_eq!(
        arena.stats.given_back.get(),
        (pages - kept) as u64,
        "a swing of 8 MiB made calls to the host"
    );
    free(&arena, fence);
}

#[test]
fn memory_freed_in_small_pieces_goes_back_too() {
    let arena = Arena::new(64 * MIB);
    let runs: Vec<Run> = (0..8192)
        .map(|_| arena.source.allocate(1, 1, Contents::Any).expect("ample"))
        .collect();
    runs.iter().for_each(|run| dirty(*run));
    runs.iter().for_each(|run| free(&arena, *run));
    assert!(
        arena.stats.given_back.get() >= 4096 / 2,
        "{:?}",
        arena.stats
    );
    assert!(arena.resident_pages() < 6000);
}

#[test]
fn a_host_that_refuses_is_not_asked_for_ever() {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    fn refuse(_start: usize, _bytes: usize) -> bool {
        CALLS.fetch_add(1, SeqCst);
        false
    }
    let arena = Arena::with_hook(128 * MIB, Some(refuse));
    for _ in 0..5 {
        let run = arena
            .source
            .allocate(64 * MIB / PAGE_BYTES, 1, Contents::Any)
            .expect("ample");
        dirty(part(run, 0, 1));
        free(&arena, run);
    }
    assert_eq!(CALLS.load(SeqCst), 1);
    let run = arena.source.allocate(1, 1, Contents::Zero).expect("ample");
    assert!(is_zero(run), "memory the host kept was taken for zero");
}

#[test]
fn refuses_what_cannot_be() {
    let arena = Arena::new(MIB);
    for pages in [
        0,
        256,
        257,
        1 << 20,
        1 << 32,
        usize::MAX / PAGE_BYTES,
        usize::MAX,
    ] {
        for align in [1, 2, 1 << 20, 1 << 40] {
            assert_eq!(
                arena.source.allocate(pages, align, Contents::Any),
                None,
                "{pages} pages, alignment {align}"
            );
        }
    }
    assert_eq!(arena.stats.failures.get(), 28);
    let all = arena.source.largest_free_pages();
    let run = arena
        .source
        .allocate(all, 1, Contents::Any)
        .expect("all that is free");
    assert_eq!(arena.source.allocate(1, 1, Contents::Any), None);
    free(&arena, run);
    assert_eq!(arena.source.largest_free_pages(), all);
}

/// Lends the pages of another source, one run of this one.
struct Inner {
    source: PageSource,
    start: usize,
    bytes: usize,
}

// SAFETY: used by one thread only.
unsafe impl Sync for Inner {}

impl Lender for Inner {
    fn span(&self) -> (usize, usize) {
        (self.start, self.bytes)
    }
    fn lend(&self, pages: usize, align_pages: usize) -> Option<Run> {
        self.source.allocate(pages, align_pages, Contents::Any)
    }
    unsafe fn take_back(&self, run: Run) {
        // SAFETY: the caller's promise.
        unsafe { self.source.free(run) }
    }
    fn largest_free_pages(&self) -> usize {
        self.source.largest_free_pages()
    }
}

#[test]
fn borrows_when_own_pages_are_gone_and_returns_to_the_lender() {
    let arena = Arena::new(8 * MIB);
    let own = arena.source.allocate(10, 1, Contents::Any).expect("ample");
    let rest = arena.source.largest_free_pages();
    let all = arena
        .source
        .allocate(rest, 1, Contents::Any)
        .expect("all that is free");
    let (start, bytes) = (all.start.addr().get(), all.pages * PAGE_BYTES);
    let inner: &'static Inner = Box::leak(Box::new(Inner {
        // SAFETY: one thread at a time works with it.
        source: unsafe { PageSource::new() },
        start,
        bytes,
    }));
    let stats = Box::leak(Box::<PageStats>::default());
    // SAFETY: the run was just handed out and is untouched.
    unsafe {
        inner
            .source
            .start(start, bytes, Contents::Zero, stats, Some(drop_pages))
    };
    assert!(!arena.source.has_lender());
    assert!(arena.source.set_lender(inner));
    assert!(arena.source.has_lender());
    assert!(
        !arena.source.set_lender(inner),
        "a second lender replaced the first"
    );

    let before = inner.largest_free_pages();
    assert_eq!(arena.source.largest_free_pages(), before);
    let lent = arena
        .source
        .allocate(100, 1, Contents::Zero)
        .expect("the lender has it");
    dirty(lent);
    assert!(arena.range().contains(&lent.start.addr().get()) && lent.start.addr().get() >= start);
    // SAFETY: the run is held.
    let extended = unsafe { arena.source.extend(lent, 1, Contents::Any) };
    assert!(!extended, "extended into the lender's memory");
    free(&arena, part(lent, 0, 40));
    free(&arena, part(lent, 40, 60));
    assert_eq!(inner.largest_free_pages(), before);
    let again = arena
        .source
        .allocate(100, 1, Contents::Zero)
        .expect("the lender has it");
    assert!(
        is_zero(again),
        "borrowed memory was handed out dirty as zero"
    );
    free(&arena, again);
    free(&arena, own);
    let back = arena
        .source
        .allocate(10, 1, Contents::Any)
        .expect("own pages are free again");
    assert_eq!(back.start, own.start, "own pages come before borrowed ones");
}

#[test]
fn works_in_very_little_memory() {
    for pages in 0..10 {
        let arena = Arena::new(pages * PAGE_BYTES);
        let runs: Vec<Run> =
            std::iter::from_fn(|| arena.source.allocate(1, 1, Contents::Zero)).collect();
        assert_eq!(runs.len(), pages.max(1) - 1, "all but the table");
        runs.into_iter().for_each(|run| free(&arena, run));
    }
    // An empty span is no memory, not a fault.
    // SAFETY: one thread at a time works with it.
    let source: &'static PageSource = Box::leak(Box::new(unsafe { PageSource::new() }));
    let stats = Box::leak(Box::<PageStats>::default());
    // SAFETY: no bytes.
    unsafe {
        source.start(
            NonNull::<u8>::dangling().addr().get(),
            0,
            Contents::Zero,
            stats,
            None,
        )
    };
    assert_eq!(source.allocate(1, 1, Contents::Any), None);
}

#[test]
fn the_first_allocations_lie_at_the_start_whatever_the_size() {
    for bytes in [LEAST_HEADED_BYTES, 64 * MIB, 4096 * MIB] {
        let arena = Arena::new(bytes);
        let start = arena.range().start;
        let head = HEAD_BYTES / PAGE_BYTES;
        let runs: Vec<Run> = (0..head)
            .map(|_| arena.source.allocate(1, 1, Contents::Zero).expect("ample"))
            .collect();
        for (index, run) in runs.iter().enumerate() {
            assert_eq!(run.start.addr().get(), start + index * PAGE_BYTES);
        }
        assert_eq!(arena.resident_pages(), 0, "the table was touched");
        let behind = arena.source.allocate(1, 1, Contents::Zero).expect("ample");
        let first = start + HEAD_BYTES + table_pages(bytes) * PAGE_BYTES;
        assert_eq!(behind.start.addr().get(), first);
        runs.iter().for_each(|run| free(&arena, *run));
        free(&arena, behind);
        arena.source.give_back();
        let whole = arena.source.allocate(head, 1, Contents::Zero);
        assert_eq!(whole.expect("coalesced").start.addr().get(), start);
    }
}

/// Memory of a machine whose firmware used it: the table works all the same, and what is to be zero is.
#[test]
fn used_memory_is_cleared_before_it_counts_as_zero() {
    // Without a head before the table, and with one.
    for (seed, bytes) in [(1, LEAST_HEADED_BYTES / 2), (2, 2 * LEAST_HEADED_BYTES)] {
        let old = Arena::new(2 * bytes);
        let block = old
            .source
            .allocate(bytes / PAGE_BYTES, 1, Contents::Any)
            .expect("half of it");
        dirty(block);
        // SAFETY: one thread at a time works with it.
        let source: &'static PageSource = Box::leak(Box::new(unsafe { PageSource::new() }));
        let stats: &'static PageStats = Box::leak(Box::new(PageStats::new()));
        let start = block.start.addr().get();
        // SAFETY: the test holds the run, and gives it to the source for ever.
        unsafe { source.start(start, bytes, Contents::Any, stats, None) };
        let mut random = Random::new(seed);
        let mut shadow = Shadow::new(start..start + bytes);
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..2000 {
            if random.below(3) == 0 && !runs.is_empty() {
                let run = runs.swap_remove(random.below(runs.len()));
                shadow.remove(run.start);
                dirty(run);
                // SAFETY: the test holds the run and forgets it here.
                unsafe { source.free(run) };
                continue;
            }
            let pages = random.size(48);
            let contents = [Contents::Zero, Contents::Any][random.below(2)];
            let Some(run) = source.allocate(pages, 1 << random.below(4), contents) else {
                continue;
            };
            assert!(contents == Contents::Any || is_zero(run), "seed {seed}");
            shadow.insert(run.start, layout(pages), pages * PAGE_BYTES);
            runs.push(run);
        }
        assert!(stats.zeroed_bytes.get() > 0, "nothing was cleared");
    }
}

/// What is asked before a request is refused: it frees what it kept, and the request is served.
#[test]
fn spare_pages_are_asked_for_last() {
    use std::cell::Cell;
    thread_local! {
        static KEPT: Cell<Option<(&'static PageSource, Run)>> = const { Cell::new(None) };
        static ASKED: Cell<usize> = const { Cell::new(0) };
    }
    fn spare() -> bool {
        ASKED.set(ASKED.get() + 1);
        let Some((source, run)) = KEPT.take() else {
            return false;
        };
        // SAFETY: the test kept the run for this.
        unsafe { source.free(run) };
        true
    }
    let arena = Arena::new(MIB);
    let all = arena.source.largest_free_pages();
    let kept = arena.source.allocate(20, 1, Contents::Any).expect("ample");
    let rest = arena.source.allocate(all - 20, 1, Contents::Any);
    let rest = rest.expect("what is left");
    KEPT.set(Some((arena.source, kept)));
    assert!(arena.source.allocate(1, 1, Contents::Any).is_none());
    arena.source.set_spare(spare);
    let run = arena.source.allocate(20, 1, Contents::Zero);
    assert_eq!(run.expect("it was given up").start, kept.start);
    assert_eq!(ASKED.get(), 1);
    assert!(arena.source.allocate(1, 1, Contents::Any).is_none());
    assert_eq!(ASKED.get(), 2);
    // Nobody is asked while there is memory.
    free(&arena, rest);
    assert!(arena.source.allocate(1, 1, Contents::Any).is_some());
    assert_eq!(ASKED.get(), 2);
}

#[test]
fn pages_in_use_reach_to_the_first_free_one() {
    for bytes in [LEAST_HEADED_BYTES / 2, LEAST_HEADED_BYTES] {
        let arena = Arena::new(bytes);
        let runs: Vec<Run> = (0..6)
            .map(|_| arena.source.allocate(4, 1, Contents::Any).expect("ample"))
            .collect();
        let start = runs[0].start.addr().get();
        let at = |page: usize| start + page * PAGE_BYTES;
        let end = arena.range().end;
        let reach = |from: usize, to: usize| arena.source.used_reach(from, to);
        // The wilderness is free.
        assert_eq!(reach(at(0), end), at(24));
        assert_eq!(reach(at(0) + 5, at(3) + 7), at(3) + 7);
        assert_eq!(reach(at(24), at(24)), at(24));
        assert_eq!(reach(at(24), at(25)), at(24));
        // A run of four, by its first page and by its last; of those between, nothing is known.
        free(&arena, runs[2]);
        assert_eq!(reach(at(0), end), at(8));
        assert_eq!(reach(at(0), at(8)), at(8));
        assert_eq!(reach(at(0), at(8) + 1), at(8));
        assert_eq!(reach(at(8) + 9, end), at(8) + 9);
        assert_eq!(reach(at(10), end), at(11));
        assert_eq!(reach(at(11) + 1, end), at(11) + 1);
        assert_eq!(reach(at(12), end), at(24));
        // Where the memory ends, nothing is free.
        let rest = arena.source.largest_free_pages();
        if let Some(run) = arena.source.allocate(rest, 1, Contents::Any) {
            let behind = run.start.addr().get() + rest * PAGE_BYTES;
            assert_eq!(reach(run.start.addr().get(), behind), behind);
        }
    }
}

/// A page that was freed a moment ago is in the caches: it is handed out first.
#[test]
fn single_pages_come_back_the_last_one_first() {
    let arena = Arena::new(4 * MIB);
    let take = || arena.source.allocate(1, 1, Contents::Any).expect("ample");
    let runs: Vec<Run> = (0..80).map(|_| take()).collect();
    let singles: Vec<Run> = runs.iter().copied().step_by(2).collect();
    let (few, more) = singles.split_at(20);
    few.iter().for_each(|run| free(&arena, *run));
    let back: Vec<Run> = few.iter().map(|_| take()).collect();
    assert!(back.iter().eq(few.iter().rev()));
    // More of them than are kept so: no page is lost, and none is handed out twice.
    singles.iter().for_each(|run| free(&arena, *run));
    let mut back: Vec<usize> = singles.iter().map(|_| take().start.addr().get()).collect();
    back.sort_unstable();
    let expected: Vec<usize> = singles.iter().map(|run| run.start.addr().get()).collect();
    assert_eq!(back, expected);
    assert!(more.len() < expected.len());
}

/// An aligned request takes what was freed before it takes memory that nobody has touched.
#[test]
fn aligned_runs_are_cut_from_free_ones_first() {
    let arena = Arena::new(8 * MIB);
    let take = |pages, align| arena.source.allocate(pages, align, Contents::Any);
    // Ten pages from one behind an aligned page on hold no eight that are aligned, fifteen do wherever they begin.
    let base = take(9, 8).expect("ample");
    let short = take(10, 1).expect("ample");
    let _fence = take(9, 1).expect("ample");
    let long = take(15, 1).expect("ample");
    let _fence = take(9, 1).expect("ample");
    assert_eq!(short.start, part(base, 9, 10).start);
    free(&arena, short);
    free(&arena, long);
    let untouched = arena.stats.untouched.get();
    let run = take(8, 8).expect("ample");
    let (start, end) = (long.start, part(long, 15, 0).start);
    assert!(
        (start..end).contains(&run.start),
        "{run:?} is not of {long:?}"
    );
    assert_eq!(arena.stats.untouched.get(), untouched);
    // Without an alignment the rest of it serves.
    let rest = take(7, 1).expect("ample");
    assert_eq!(arena.stats.untouched.get(), untouched, "{rest:?}");
}

/// Right before and behind what a lender lends, pages are the source's own.
#[test]
fn pages_beside_a_lenders_are_not_its_own() {
    let arena = Arena::new(8 * MIB);
    let take = |pages| {
        arena
            .source
            .allocate(pages, 1, Contents::Any)
            .expect("ample")
    };
    let (before, lent, behind) = (take(2), take(100), take(2));
    let (start, bytes) = (lent.start.addr().get(), lent.pages * PAGE_BYTES);
    let inner: &'static Inner = Box::leak(Box::new(Inner {
        // SAFETY: one thread at a time works with it.
        source: unsafe { PageSource::new() },
        start,
        bytes,
    }));
    let stats = Box::leak(Box::<PageStats>::default());
    // SAFETY: the run was just handed out and is untouched.
    unsafe {
        inner
            .source
            .start(start, bytes, Contents::Zero, stats, None)
    };
    assert!(arena.source.set_lender(inner));
    let held = arena.stats.held.get();
    free(&arena, before);
    free(&arena, behind);
    assert_eq!(arena.stats.held.get(), held - 4);
    // The first and the last page that is lent go back to where they came from.
    let largest = inner.largest_free_pages();
    let all = inner.lend(largest, 1).expect("all of it");
    for page in [0, largest - 1] {
        free(&arena, part(all, page, 1));
    }
    assert_eq!(arena.stats.held.get(), held - 4);
    assert_eq!(inner.largest_free_pages(), 1);
}

#[test]
fn free_pages_reach_to_where_their_run_ends() {
    for bytes in [LEAST_HEADED_BYTES / 2, LEAST_HEADED_BYTES] {
        let arena = Arena::new(bytes);
        let runs: Vec<Run> = (0..5)
            .map(|_| arena.source.allocate(4, 1, Contents::Any).expect("ample"))
            .collect();
        let start = runs[0].start.addr().get();
        let at = |page: usize| start + page * PAGE_BYTES;
        let reach = |address: usize| arena.source.free_reach(address);
        // What is in use reaches nowhere.
        assert_eq!((reach(at(0)), reach(at(7) + 5)), (at(0), at(7) + 5));
        free(&arena, runs[1]);
        free(&arena, runs[2]);
        assert_eq!((reach(at(4)), reach(at(12))), (at(12), at(12)));
        // The wilderness, which ends with the head where there is one; behind the table comes the rest.
        let table = table_pages(bytes) * PAGE_BYTES;
        let end = arena.range().start + bytes;
        match head_bytes(bytes) {
            0 => assert_eq!(reach(at(20)), end),
            head => {
                let table_start = arena.range().start + head;
                assert_eq!(reach(at(20)), table_start);
                assert_eq!(reach(table_start), table_start);
                assert_eq!(reach(table_start + table), end);
                assert_eq!(reach(end - PAGE_BYTES), end);
            }
        }
    }
}
