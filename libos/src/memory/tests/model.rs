//! Random calls against a list of pages: what is mapped, with which rights, and what each page holds.

use super::super::{Rights, check, munmap};
use super::super::{madvise, mincore, mlock, mmap, mprotect, msync, munlock};
use super::{FAR, Guest, PAGE, READ, READ_WRITE, in_own_process, mremap};
use crate::calls::errno;
use linux_raw_sys::general::{
    MADV_COLD, MADV_DONTNEED, MADV_FREE, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_REMOVE,
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE, MAP_SHARED, MREMAP_MAYMOVE,
    MS_SYNC,
};
use std::collections::BTreeMap;
use std::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Page {
    rights: Rights,
    is_shared: bool,
    /// Its first and last byte.
    value: u8,
}

/// Pages by their address.
type Model = BTreeMap<usize, Page>;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }

    /// One of the mapped pages, or one beside.
    fn page(&mut self, model: &Model, guest: &Guest) -> usize {
        let beside = [0, 0, 0, 0, PAGE, PAGE.wrapping_neg()][self.below(6)];
        let any = guest.ram.start + self.below(guest.ram.len() / PAGE) * PAGE;
        let page = match model.len() {
            0 => any,
            count => *model.keys().nth(self.below(count)).expect("one of them"),
        };
        let page = page.wrapping_add(beside);
        let is_there = guest.ram.contains(&page) || FAR.contains(&page);
        if is_there { page } else { any }
    }
}

/// The pages of `count` from `start` on.
fn range(start: usize, count: usize) -> impl Iterator<Item = usize> + Clone {
    (0..count).map(move |page| start + page * PAGE)
}

fn protection(random: &mut Random) -> (usize, Rights) {
    [
        (0, Rights::None),
        (READ, Rights::Read),
        (READ_WRITE, Rights::Write),
        (READ_WRITE, Rights::Write),
    ][random.below(4)]
}

fn check(model: &Model, guest: &Guest, what: &str) {
    for (&at, page) in model {
        let last = at + PAGE - 1;
        for rights in [Rights::Read, Rights::Write] {
            let allowed = rights <= page.rights;
            for at in [at, last] {
                assert_eq!(check::allows(at, 1, rights), allowed, "{what}: {at:#x}");
            }
        }
        // Memory beyond RAM is there now that it was looked at.
        assert_eq!(guest.host_rights(at), page.rights, "{what}: {at:#x}");
        if page.rights >= Rights::Read {
            // SAFETY: a mapped page that may be read.
            let found = unsafe { [*(at as *const u8), *(last as *const u8)] };
            assert_eq!(found, [page.value; 2], "{what}: {at:#x}");
        }
    }
}

/// How far from `start` on a model's pages allow `rights`, in bytes.
fn reach(model: &Model, start: usize, end: usize, rights: Rights) -> usize {
    let fits = |at: &usize| model.get(at).is_some_and(|page| page.rights >= rights);
    range(start, (end - start) / PAGE).take_while(fits).count() * PAGE
}

fn run(guest: &Guest, seed: u64) {
    let mut random = Random(seed);
    let mut model = Model::new();
    for step in 0..800 {
        let start = random.page(&model, guest);
        let count = 1 + random.below(12);
        let end = start + count * PAGE;
        let end = match guest.ram.contains(&start) {
            true => end.min(guest.ram.end),
            false => end,
        };
        let count = (end - start) / PAGE;
        let is_mapped = range(start, count).all(|at| model.contains_key(&at));
        let is_touched = range(start, count).any(|at| model.contains_key(&at));
        // Sometimes a length that is no whole number of pages.
        let bytes = count * PAGE - random.below(2) * random.below(PAGE);
        let what;
        match random.below(10) {
            0 | 1 if model.len() < 300 => {
                let (prot, rights) = protection(&mut random);
                let is_shared = random.below(4) == 0;
                let kind = if is_shared { MAP_SHARED } else { MAP_PRIVATE };
                let flags = (kind | MAP_ANONYMOUS) as usize;
                let count = 1 + random.below(40);
                let at = mmap(0, count * PAGE - random.below(PAGE), prot, flags);
                let at = at.expect("memory is ample");
                what = std::format!("step {step}: mmap of {count} at {at:#x}");
                let end = at + count * PAGE;
                let in_ram = guest.ram.start <= at && end <= guest.ram.end;
                // Beyond RAM lies what cannot be used yet.
                let is_beyond = rights == Rights::None && FAR.contains(&at) && FAR.contains(&end);
                assert!(at.is_multiple_of(PAGE) && (in_ram || is_beyond), "{what}");
                for at in range(at, count) {
                    let page = Page {
                        rights,
                        is_shared,
                        value: 0,
                    };
                    assert!(model.insert(at, page).is_none(), "{what}: taken before");
                }
            }
            2 => {
                what = std::format!("step {step}: munmap of {bytes} at {start:#x}");
                assert_eq!(munmap(start, bytes), Ok(0), "{what}");
                model.retain(|at, _| !(start..end).contains(at));
            }
            3 | 4 => {
                let (prot, rights) = protection(&mut random);
                what = std::format!("step {step}: mprotect of {bytes} at {start:#x} {rights:?}");
                if !is_touched {
                    // Memory of nobody's, or heap.
                    continue;
                }
                let answer = mprotect(start, bytes, prot);
                let expected = if is_mapped { Ok(0) } else { Err(errno::ENOMEM) };
                assert_eq!(answer, expected, "{what}");
                let reach = reach(&model, start, end, Rights::None);
                for at in range(start, reach / PAGE) {
                    model.get_mut(&at).expect("mapped").rights = rights;
                }
            }
            5 => {
                let (prot, rights) = protection(&mut random);
                let is_whole = is_mapped;
                let fixed = [MAP_FIXED, MAP_FIXED_NOREPLACE][random.below(2)];
                let flags = (fixed | MAP_PRIVATE | MAP_ANONYMOUS) as usize;
                what = std::format!("step {step}: fixed {fixed:#x} {bytes} at {start:#x}");
                let answer = mmap(start, bytes, prot, flags);
                if fixed == MAP_FIXED_NOREPLACE && is_touched {
                    assert_eq!(answer, Err(errno::EEXIST), "{what}");
                } else if is_whole {
                    assert_eq!(answer, Ok(start), "{what}");
                }
                // Elsewhere it depends on what was unmapped a moment ago.
                assert!(answer == Ok(start) || answer.is_err(), "{what}");
                if answer.is_ok() {
                    let page = Page {
                        rights,
                        is_shared: false,
                        value: 0,
                    };
                    model.extend(range(start, count).map(|at| (at, page)));
                }
            }
            6 => {
                let new_count = 1 + random.below(20);
                let flags = [0, MREMAP_MAYMOVE as usize][random.below(2)];
                what = std::format!("step {step}: mremap of {count} at {start:#x} to {new_count}");
                let Ok(new) = mremap(start, bytes, new_count * PAGE, flags) else {
                    // Nothing may have changed.
                    check(&model, guest, &what);
                    continue;
                };
                assert!(flags != 0 || new == start, "{what}");
                let old: Vec<Option<Page>> = range(start, count)
                    .map(|at| model.get(&at).copied())
                    .collect();
                let first = old[0].expect("its first page was mapped");
                if new_count > count || new != start {
                    model.retain(|at, _| !(start..end).contains(at));
                } else {
                    let kept = start + new_count * PAGE;
                    model.retain(|at, _| !(kept..end).contains(at));
                }
                for (index, at) in range(new, new_count).enumerate() {
                    let page = match old.get(index) {
                        Some(page) if new_count > count => *page,
                        Some(_) => continue,
                        None => Some(Page { value: 0, ..first }),
                    };
                    assert!(model.insert(at, page.expect("mapped")).is_none(), "{what}");
                }
            }
            7 => {
                let advice = [
                    MADV_DONTNEED,
                    MADV_FREE,
                    MADV_REMOVE,
                    MADV_COLD,
                    MADV_POPULATE_READ,
                    MADV_POPULATE_WRITE,
                ][random.below(6)];
                what = std::format!("step {step}: madvise {advice} of {bytes} at {start:#x}");
                let answer = madvise(start, bytes, advice as usize);
                let drops = advice == MADV_DONTNEED || advice == MADV_FREE;
                let is_refused = |page: &Page| match advice {
                    MADV_REMOVE => !page.is_shared,
                    MADV_FREE => page.is_shared,
                    _ => false,
                };
                if drops || advice == MADV_REMOVE {
                    // Up to what refuses it.
                    let mut expected = if is_mapped { Ok(0) } else { Err(errno::ENOMEM) };
                    for at in range(start, count) {
                        let Some(page) = model.get_mut(&at) else {
                            continue;
                        };
                        if is_refused(page) {
                            expected = Err(errno::EINVAL);
                            break;
                        }
                        if !(advice == MADV_DONTNEED && page.is_shared) {
                            page.value = 0;
                        }
                    }
                    assert_eq!(answer, expected, "{what}");
                } else if is_mapped {
                    let wanted = match advice {
                        MADV_POPULATE_READ => Rights::Read,
                        MADV_POPULATE_WRITE => Rights::Write,
                        _ => Rights::None,
                    };
                    let all = reach(&model, start, end, wanted) == end - start;
                    let expected = if all { Ok(0) } else { Err(errno::EFAULT) };
                    assert_eq!(answer, expected, "{what}");
                }
            }
            8 => {
                what = std::format!("step {step}: queries of {bytes} at {start:#x}");
                let whole = reach(&model, start, end, Rights::Read);
                if is_touched && is_mapped {
                    let found = check::reach(start, end - start, Rights::Read);
                    assert_eq!(found, whole, "{what}");
                    let found = check::reach(start + 5, end - start - 5, Rights::Write);
                    let writable = reach(&model, start, end, Rights::Write);
                    assert_eq!(found, writable.saturating_sub(5), "{what}");
                    let mut vector = [7u8; 16];
                    let place = vector.as_mut_ptr() as usize;
                    assert_eq!(mincore(start, bytes, place), Ok(0), "{what}");
                    for (at, &byte) in range(start, count).zip(&vector) {
                        let page = &model[&at];
                        let is_known = page.rights >= Rights::Read;
                        assert!(!is_known || byte == u8::from(page.value != 0), "{what}");
                    }
                    assert!(vector[count..].iter().all(|&byte| byte == 7), "{what}");
                    assert_eq!(msync(start, bytes, MS_SYNC as usize), Ok(0), "{what}");
                    assert_eq!(munlock(start, bytes), Ok(0), "{what}");
                    let expected = match whole == end - start {
                        true => Ok(0),
                        false => Err(errno::ENOMEM),
                    };
                    assert_eq!(mlock(start, bytes), expected, "{what}");
                }
            }
            _ => {
                what = std::format!("step {step}: stores at {start:#x}");
                for at in range(start, count) {
                    let Some(page) = model.get_mut(&at) else {
                        continue;
                    };
                    if page.rights == Rights::Write {
                        // As a fault does: memory beyond RAM may not be there yet.
                        super::super::touched(at);
                        page.value = 1 + random.below(255) as u8;
                        // SAFETY: a mapped page that may be written.
                        unsafe {
                            (at as *mut u8).write(page.value);
                            ((at + PAGE - 1) as *mut u8).write(page.value);
                        }
                    }
                }
            }
        }
        // All of RAM now and then, for it takes its time.
        let ram_pages = if step % 20 == 0 {
            guest.ram.len() / PAGE
        } else {
            0
        };
        for at in range(guest.ram.start, ram_pages).chain(range(FAR.start, 200)) {
            let is_mapped = super::super::REGIONS.with(|regions| regions.touches(at, at + 1));
            assert_eq!(is_mapped, model.contains_key(&at), "{what}: {at:#x}");
        }
        if step % 20 == 0 {
            check(&model, guest, &what);
        }
    }
    check(&model, guest, "at the end");
    munmap(FAR.start, FAR.len()).expect("all of it");
    munmap(guest.ram.start, guest.ram.len()).expect("all of it");
}

#[test]
fn calls_on_memory_behave_as_a_list_of_pages() {
    in_own_process(|guest| (1..=3).for_each(|seed| run(guest, seed)));
}
