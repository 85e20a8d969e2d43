//! What a guest's address reaches: every bound, byte by byte, against a list of bytes; and closed pages against a list
//! of pages.

use super::*;

const PAGE: u64 = PAGE_BYTES;
/// Read-only, not the guest's, writable, not the guest's; writable up to the end of memory. In pages.
const READ_ONLY: Range<u64> = 0..2;
const FIRST: Range<u64> = 3..6;
const SECOND: Range<u64> = 7..10;
const END: u64 = 10;

fn pages(range: &Range<u64>) -> Range<u64> {
    IMAGE_BASE + range.start * PAGE..IMAGE_BASE + range.end * PAGE
}

fn memory() -> GuestMemory {
    let parts = [(READ_ONLY, false), (FIRST, true), (SECOND, true)];
    let parts = parts.map(|(part, writable)| (pages(&part), writable));
    GuestMemory::of_parts((END * PAGE) as usize, parts.to_vec())
}

/// Addresses around every border of pages, and where arithmetic could wrap.
fn borders() -> impl Iterator<Item = u64> {
    let around = |at: u64| [at.wrapping_sub(1), at, at + 1];
    let pages = (0..END + 2).flat_map(move |page| around(IMAGE_BASE + page * PAGE));
    pages.chain([0, 1, PAGE, u64::MAX - PAGE, u64::MAX - 1, u64::MAX])
}

const LENGTHS: [u64; 11] = [
    0,
    1,
    2,
    7,
    8,
    PAGE - 1,
    PAGE,
    PAGE + 1,
    2 * PAGE,
    3 * PAGE,
    u64::MAX,
];

/// Whether `bytes` bytes at `start` lie in one of the parts.
fn in_one(parts: &[Range<u64>], start: u64, bytes: u64) -> bool {
    let end = u128::from(start) + u128::from(bytes);
    let holds = |part: Range<u64>| part.start <= start && end <= u128::from(part.end);
    parts.iter().map(pages).any(holds)
}

#[test]
fn an_address_reaches_its_part_and_not_a_byte_more() {
    let memory = memory();
    for start in borders() {
        for bytes in LENGTHS {
            let can_read = in_one(&[READ_ONLY, FIRST, SECOND], start, bytes);
            let can_write = in_one(&[FIRST, SECOND], start, bytes);
            let at = (start.wrapping_sub(IMAGE_BASE)) as usize;
            let place = |allowed: bool| allowed.then(|| memory.mapping.at(at));
            let what = format!("{bytes:#x} bytes at {start:#x}");
            let read = memory.readable(start, bytes).map(<*const u8>::cast_mut);
            assert_eq!(read, place(can_read), "read {what}");
            assert_eq!(memory.writable(start, bytes), place(can_write), "{what}");
            // Nothing is closed.
            let read = memory.open_for_reading(start, bytes);
            assert_eq!(read.map(<*const u8>::cast_mut), place(can_read), "{what}");
            assert_eq!(memory.open(start, bytes), place(can_write), "{what}");
        }
    }
}

#[test]
fn numbers_are_read_and_written_whole_or_not_at_all() {
    let memory = memory();
    let end = pages(&FIRST).end;
    assert!(memory.write(end - 8, 0x0102_0304_0506_0708));
    assert_eq!(memory.read::<u64>(end - 8), Some(0x0102_0304_0506_0708));
    assert_eq!(memory.read::<u8>(end - 1), Some(1));
    assert_eq!(memory.read::<u16>(end - 1), None);
    assert!(!memory.write(end - 7, 0));
    assert!(!memory.write(pages(&READ_ONLY).start, 0));
    let mut text = [0u8; 4];
    assert!(memory.read_bytes(end - 4, &mut text));
    assert_eq!(text, [4, 3, 2, 1]);
    let mut text = [9u8; 4];
    assert!(!memory.read_bytes(end - 3, &mut text));
    assert_eq!(text, [9; 4]);
    // The last number of memory is the guest's, too.
    assert!(memory.write(pages(&SECOND).end - 8, -1));
    assert_eq!(memory.read::<i64>(pages(&SECOND).end - 8), Some(-1));
}

const EINVAL: i64 = -(libc::EINVAL as i64);

#[test]
fn rights_are_for_whole_pages_that_the_guest_may_write() {
    let mut memory = memory();
    let watched = IMAGE_BASE + 8 * PAGE;
    memory.watched.push(watched..watched + PAGE);
    for start in borders() {
        for bytes in LENGTHS {
            let is_whole = start % PAGE == 0 && bytes % PAGE == 0 && bytes != 0;
            let is_apart = start.saturating_add(bytes) <= watched || start >= watched + PAGE;
            let is_allowed = is_whole && is_apart && in_one(&[FIRST, SECOND], start, bytes);
            let expected = if is_allowed { 0 } else { EINVAL };
            let what = format!("{bytes:#x} bytes at {start:#x}");
            assert_eq!(memory.give_back(start, bytes), expected, "{what}");
            for rights in [Rights::None, Rights::Write] {
                assert_eq!(memory.protect(start, bytes, rights), expected, "{what}");
            }
        }
    }
    assert!(memory.closed.is_empty(), "{:?}", memory.closed);
}

/// What the kernel says of a byte of this process.
fn host_rights(place: *mut u8) -> Rights {
    let mut ends = [0; 2];
    // SAFETY: two descriptors of this function's, closed below; the kernel answers EFAULT for memory it may not use.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let can_read = libc::write(ends[1], place.cast(), 1) == 1;
        // What was written comes back to where it was.
        let can_write = can_read && libc::read(ends[0], place.cast(), 1) == 1;
        ends.iter().for_each(|&end| assert_eq!(libc::close(end), 0));
        match (can_read, can_write) {
            (true, true) => Rights::Write,
            (true, false) => Rights::Read,
            _ => Rights::None,
        }
    }
}

/// 2,000 changes, each compared with a list of pages, with what the host allows, and with every query.
#[test]
fn closed_pages_are_those_that_were_closed_last() {
    const PAGES: u64 = 12;
    let all = IMAGE_BASE..IMAGE_BASE + PAGES * PAGE;
    let mut memory = GuestMemory::of_parts((PAGES * PAGE) as usize, vec![(all.clone(), true)]);
    let mut model = [Rights::Write; PAGES as usize];
    let mut state = 1u64;
    let mut random = |limit: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) % limit
    };
    for step in 0..2000 {
        let first = random(PAGES);
        let count = 1 + random(PAGES - first);
        let rights = [Rights::None, Rights::Read, Rights::Write][random(3) as usize];
        let (start, bytes) = (all.start + first * PAGE, count * PAGE);
        assert_eq!(memory.protect(start, bytes, rights), 0);
        model[first as usize..(first + count) as usize].fill(rights);
        // Nothing of it changes when KVM is to forget some of it.
        let first = random(PAGES);
        let count = 1 + random(PAGES - first);
        memory.forget(all.start + first * PAGE, count * PAGE);
        if step % 20 == 0 {
            for (page, rights) in model.iter().enumerate() {
                let last = memory.mapping.at((page + 1) * PAGE as usize - 1);
                assert_eq!(host_rights(last), *rights, "page {page} at step {step}");
            }
        }
        // A range of bytes: what touches a page needs its rights.
        let first = random(PAGES * PAGE);
        let count = 1 + random((PAGES * PAGE - first).min(3 * PAGE));
        let (start, end) = (all.start + first, all.start + first + count);
        let touched = &model[(first / PAGE) as usize..(first + count).div_ceil(PAGE) as usize];
        let least = touched.iter().min().expect("at least one page");
        assert_eq!(memory.open(start, count).is_some(), *least == Rights::Write);
        let can_read = *least >= Rights::Read;
        assert_eq!(memory.open_for_reading(start, count).is_some(), can_read);
        let closed =
            |address: &u64| model[((address - all.start) / PAGE) as usize] != Rights::Write;
        let page_starts = (start / PAGE + 1..end.div_ceil(PAGE)).map(|page| page * PAGE);
        let expected = std::iter::once(start).chain(page_starts).find(closed);
        assert_eq!(memory.first_closed(start, count), expected);
        let nearest = (all.start..all.end).step_by(PAGE as usize).filter(closed);
        let distance = |page: u64| {
            let inside = start.clamp(page, page + PAGE - 1);
            (start.abs_diff(inside), inside)
        };
        let nearest = nearest.map(distance).min();
        let found = memory.closed_near(start);
        assert_eq!(
            found.map(|at| start.abs_diff(at)),
            nearest.map(|(far, _)| far)
        );
        assert!(found.is_none_or(|at| closed(&at)));
    }
}

/// To the byte.
#[test]
fn a_closed_page_ends_what_is_open() {
    let mut memory = memory();
    let page = pages(&FIRST).start + PAGE;
    assert_eq!(memory.protect(page, PAGE, Rights::None), 0);
    for (start, bytes, closed) in [
        (page - 8, 8, None),
        (page - 8, 9, Some(page)),
        (page, 1, Some(page)),
        (page + PAGE - 1, 1, Some(page + PAGE - 1)),
        (page + PAGE, 1, None),
        (page - PAGE, 3 * PAGE, Some(page)),
        (page - PAGE, PAGE, None),
    ] {
        let is_open = closed.is_none();
        let what = format!("{bytes} bytes at {start:#x}");
        assert_eq!(memory.open(start, bytes).is_some(), is_open, "{what}");
        let read = memory.open_for_reading(start, bytes);
        assert_eq!(read.is_some(), is_open, "{what}");
        assert_eq!(memory.first_closed(start, bytes), closed, "{what}");
    }
}

#[test]
fn the_list_of_closed_pages_has_an_end_and_pages_open_there_too() {
    let mut memory = memory();
    let start = pages(&FIRST).start;
    let elsewhere = IMAGE_BASE + 100 * PAGE;
    memory.closed = vec![(elsewhere..elsewhere + PAGE, Rights::None); MAX_CLOSED - 1];
    assert_eq!(memory.protect(start, PAGE, Rights::Read), 0);
    let full = -i64::from(libc::ENOMEM);
    assert_eq!(memory.protect(start + PAGE, PAGE, Rights::Read), full);
    assert_eq!(memory.protect(start + PAGE, PAGE, Rights::None), full);
    assert!(memory.open(start + PAGE, PAGE).is_some());
    assert_eq!(memory.protect(start, PAGE, Rights::Write), 0);
    assert_eq!(memory.protect(start + PAGE, PAGE, Rights::None), 0);
}

#[test]
fn pages_given_back_read_as_zero_and_their_neighbours_keep_theirs() {
    let memory = memory();
    let part = pages(&FIRST);
    let bytes = [part.start, part.end - 8];
    for at in [
        part.start,
        part.start + PAGE,
        part.start + 2 * PAGE - 8,
        part.end - 8,
    ] {
        assert!(memory.write(at, 7));
    }
    assert_eq!(memory.give_back(part.start + PAGE, PAGE), 0);
    assert_eq!(memory.read::<i64>(part.start + PAGE), Some(0));
    assert_eq!(memory.read::<i64>(part.start + 2 * PAGE - 8), Some(0));
    for at in bytes {
        assert_eq!(memory.read::<i64>(at), Some(7));
    }
}

mod of_an_image {
    use super::*;
    use crate::image::tests::Draft;

    fn started() -> (Image, Layout, GuestMemory) {
        let draft = Draft::new().with_trace_ring();
        let image = draft.open().expect("a good image");
        let layout = Layout::new(&image.segments, 64 << 10, 4096, 16 << 20, true, false)
            .expect("16 MiB is enough");
        let memory = GuestMemory::new(&image, &layout).expect("memory of the host");
        (image, layout, memory)
    }

    #[test]
    fn the_guest_has_its_segments_its_stack_and_what_it_was_given() {
        let (image, layout, memory) = started();
        let mut at = layout.all.start;
        while at < layout.all.end {
            let segment = image.segment_at(at);
            let is_given = layout.stack.contains(&at) || at >= layout.boot.start;
            let can_read = segment.is_some() || is_given;
            let can_write = segment.map_or(is_given, |segment| segment.access == Access::Write);
            assert_eq!(memory.readable(at, PAGE).is_some(), can_read, "{at:#x}");
            assert_eq!(memory.writable(at, PAGE).is_some(), can_write, "{at:#x}");
            at += PAGE;
        }
        assert!(memory.writable(layout.all.end - 1, 2).is_none());
        assert!(
            memory
                .writable(layout.boot.start, layout.all.end - layout.boot.start)
                .is_some()
        );
    }

    #[test]
    fn what_the_monitor_looks_at_stays_open() {
        let (image, _, mut memory) = started();
        let ring = image.trace_ring.expect("it was asked for");
        for watched in [image.note.stats, ring, ring + RING_BYTES - PAGE] {
            assert_eq!(memory.protect(watched, PAGE, Rights::None), EINVAL);
            assert_eq!(memory.give_back(watched, PAGE), EINVAL);
        }
        let behind = image.note.stats + PAGE;
        assert!(behind < ring, "the draft has a page between the two");
        assert_eq!(memory.protect(behind, PAGE, Rights::None), 0);
        assert_eq!(memory.protect(ring + RING_BYTES, PAGE, Rights::None), 0);
    }

    #[test]
    fn populating_brings_the_file_s_pages_and_those_written_first_and_not_the_rest() {
        let (image, layout, memory) = started();
        memory.populate(&image, &layout);
        let is_there = |at: u64| {
            let mut there = 0u8;
            let place = memory.mapping.at((at - IMAGE_BASE) as usize);
            // SAFETY: asks about a page of our own mapping and fills one byte.
            let answer =
                unsafe { libc::mincore(place.cast(), PAGE as usize, (&raw mut there).cast()) };
            assert_eq!(answer, 0);
            there & 1 == 1
        };
        for segment in &image.segments {
            assert!(is_there(segment.pages.start));
            let last = segment.address + segment.file_bytes - 1;
            assert!(is_there(last / PAGE * PAGE));
        }
        let [stack, boot] = layout.first_writes();
        for page in [stack.start, stack.end - PAGE, boot.start, boot.end - PAGE] {
            assert!(is_there(page), "{page:#x}");
        }
        let data = image.segments.last().expect("data");
        assert!(is_there(data.pages.start + POPULATED_DATA_BYTES - PAGE));
        assert!(!is_there(data.pages.start + POPULATED_DATA_BYTES));
        // A huge page there would be a choice of the host's.
        assert!(!is_there(layout.all.end - PAGE));
    }
}
