//! Which address ranges the application has mapped, with which rights, and what lies behind them.
//! Owns one sorted list of disjoint regions; never allocates after `reserve` succeeded.

use super::Rights;
use crate::calls::errno;
use crate::files::InodeId;
use alloc::vec::Vec;
use bespoke_abi::PAGE_BYTES;

/// What a region shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Memory of its own.
    Anonymous,
    /// Anonymous memory of a shared mapping: advice does not drop its contents.
    Shared,
    /// A private copy of pages of a file, which it is not told from any more: what is dropped cannot be read again.
    Copy,
    /// Pages of a private mapping that lie wholly past the end of its file.
    PastEnd,
    /// Pages of a file that the library OS keeps in these places while they are mapped.
    File(FilePart),
}

impl Backing {
    /// Whether it is the process's alone, as `RLIMIT_DATA` counts it where it may be written.
    pub fn is_data(self) -> bool {
        matches!(self, Self::Anonymous | Self::Copy)
    }

    /// Whether its pages are memory of the application's account.
    pub fn is_memory(self) -> bool {
        matches!(self, Self::Anonymous | Self::Shared | Self::Copy)
    }
}

/// The file pages behind a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// The file; each region holds one reference to it.
    pub inode: InodeId,
    /// The file page at the region's start.
    pub page: usize,
    /// Whether the descriptor that was mapped allowed writes.
    pub may_write: bool,
    /// How many mappings show these pages at this address.
    pub mappings: u32,
    /// Where the library OS keeps the page: the region's start, or it shows pages that lie elsewhere.
    pub home: usize,
}

/// A half-open address range of whole pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub start: usize,
    /// One past the last address.
    pub end: usize,
    /// What the application asked for.
    pub rights: Rights,
    /// What it shows.
    pub backing: Backing,
}

impl Region {
    /// Length in bytes.
    pub fn bytes(&self) -> usize {
        self.end - self.start
    }

    /// The part of the region in `start..end`.
    pub fn part(&self, start: usize, end: usize) -> Self {
        let (start, end) = (start.max(self.start), end.min(self.end));
        let backing = match self.backing {
            Backing::File(file) => Backing::File(FilePart {
                page: file.page + (start - self.start) / PAGE_BYTES,
                home: file.home + (start - self.start),
                ..file
            }),
            other => other,
        };
        Self {
            start,
            end,
            backing,
            ..*self
        }
    }

    /// Whether `next`, which follows in the list, can be one region with this one. Regions of files stay apart:
    /// each holds a reference.
    fn joins(&self, next: &Self) -> bool {
        self.end == next.start
            && self.rights == next.rights
            && self.backing == next.backing
            && !matches!(self.backing, Backing::File(_))
    }
}

/// The application's mappings.
pub struct Regions(Vec<Region>);

impl Regions {
    /// No mappings.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Room for two more regions: one operation splits at most two.
    pub fn reserve(&mut self) -> Result<(), isize> {
        self.0.try_reserve(2).map_err(|_| errno::ENOMEM)
    }

    /// Bytes of all regions.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(Region::bytes).sum()
    }

    /// Bytes of the regions from `address` on.
    pub fn bytes_from(&self, address: usize) -> usize {
        let regions = self.0[self.after(address)..].iter();
        regions.map(Region::bytes).sum()
    }

    /// Bytes of private memory that may be written.
    pub fn data_bytes(&self) -> usize {
        let is_data = |region: &&Region| region.rights == Rights::Write && region.backing.is_data();
        self.0.iter().filter(is_data).map(Region::bytes).sum()
    }

    /// The first of the pages `page..end` of a file that a region shows, and the end of those it shows.
    pub fn first_shown(&self, inode: InodeId, page: usize, end: usize) -> Option<(usize, usize)> {
        let shown = self.0.iter().filter_map(|region| match region.backing {
            Backing::File(file) if file.inode == inode => {
                let last = file.page + region.bytes() / PAGE_BYTES;
                let (first, last) = (file.page.max(page), last.min(end));
                (first < last).then_some((first, last))
            }
            _ => None,
        });
        shown.min()
    }

    /// The first part from `address` on that shows file pages which lie in `start..end`, elsewhere.
    pub fn first_alias(&self, address: usize, start: usize, end: usize) -> Option<Region> {
        self.0[self.after(address)..].iter().find_map(|region| {
            let Backing::File(file) = region.backing else {
                return None;
            };
            let (from, to) = (file.home.max(start), (file.home + region.bytes()).min(end));
            if file.home == region.start || from >= to {
                return None;
            }
            let at = |home: usize| region.start + (home - file.home);
            let (from, to) = (at(from).max(address), at(to));
            (from < to).then(|| region.part(from, to))
        })
    }

    /// Index of the first region that ends behind `address`.
    fn after(&self, address: usize) -> usize {
        self.0.partition_point(|region| region.end <= address)
    }

    /// Adds a region that overlaps no other; `reserve` came before.
    pub fn insert(&mut self, region: Region) {
        let mut index = self.after(region.start);
        let mut region = region;
        if let Some(next) = self.0.get(index).filter(|next| region.joins(next)) {
            region.end = next.end;
            self.0.remove(index);
        }
        if let Some(before) = index
            .checked_sub(1)
            .and_then(|before| self.0.get(before))
            .filter(|before| before.joins(&region))
        {
            region.start = before.start;
            index -= 1;
            self.0[index] = region;
        } else {
            self.0.insert(index, region);
        }
    }

    /// The region that `address` lies in.
    pub fn whole(&self, address: usize) -> Option<Region> {
        let region = self.0.get(self.after(address))?;
        (region.start <= address).then_some(*region)
    }

    /// The first part of `start..end` that is mapped.
    pub fn first(&self, start: usize, end: usize) -> Option<Region> {
        let region = self.0.get(self.after(start))?;
        (start < end && region.start < end).then(|| region.part(start, end))
    }

    /// Takes out the first mapped part of the range. The rest of a region of a file stays in one or two
    /// pieces, for which the second answer says how many more references they need than before (-1, 0, 1).
    pub fn remove_first(&mut self, start: usize, end: usize) -> Option<(Region, i32)> {
        let index = self.after(start);
        let met = |region: &&Region| start < end && region.start < end;
        let whole = *self.0.get(index).filter(met)?;
        let cut = whole.part(start, end);
        let pieces = match (whole.start < cut.start, cut.end < whole.end) {
            (false, false) => {
                self.0.remove(index);
                0
            }
            (true, false) => {
                self.0[index] = whole.part(whole.start, cut.start);
                1
            }
            (false, true) => {
                self.0[index] = whole.part(cut.end, whole.end);
                1
            }
            (true, true) => {
                self.0[index] = whole.part(whole.start, cut.start);
                self.0.insert(index + 1, whole.part(cut.end, whole.end));
                2
            }
        };
        Some((cut, pieces - 1))
    }

    /// How far memory is mapped from `address` on, without a gap, with at least `rights`; at most to `end`.
    pub fn reach(&self, address: usize, end: usize, rights: Rights) -> usize {
        let mut at = address;
        for region in &self.0[self.after(address)..] {
            if region.start > at || at >= end || region.rights < rights {
                break;
            }
            at = region.end;
        }
        at.min(end)
    }

    /// The memory around `address` that is all of one region to read and write, or of none; `None` in other regions.
    pub fn around(&self, address: usize) -> Option<core::ops::Range<usize>> {
        let next = self.after(address);
        let start = next.checked_sub(1).map_or(0, |before| self.0[before].end);
        match self.0.get(next) {
            Some(region) if region.start <= address => {
                (region.rights == Rights::Write).then_some(region.start..region.end)
            }
            Some(region) => Some(start..region.start),
            None => Some(start..usize::MAX),
        }
    }

    /// Whether any of the range is mapped.
    pub fn touches(&self, start: usize, end: usize) -> bool {
        self.first(start, end).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{Backing, FilePart, Region, Regions, Rights};
    use crate::files::InodeId;
    use bespoke_abi::PAGE_BYTES;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    const FILE: FilePart = FilePart {
        inode: InodeId(7),
        page: 0,
        may_write: true,
        mappings: 1,
        home: 0,
    };

    /// What each page shows: its rights, and its page of the file if it is one.
    type Model = BTreeMap<usize, (Rights, Option<usize>)>;

    fn model_of(regions: &Regions) -> Model {
        for pair in regions.0.windows(2) {
            assert!(pair[0].end <= pair[1].start, "regions overlap: {pair:?}");
            assert!(!pair[0].joins(&pair[1]), "regions stay apart: {pair:?}");
        }
        let pages = regions.0.iter().flat_map(|region| {
            assert!(region.start < region.end);
            (region.start / PAGE_BYTES..region.end / PAGE_BYTES).map(move |page| {
                let file = match region.backing {
                    Backing::File(file) => Some(file.page + page - region.start / PAGE_BYTES),
                    _ => None,
                };
                (page, (region.rights, file))
            })
        });
        pages.collect()
    }

    #[test]
    fn pages_of_a_file_are_found_wherever_they_are_shown() {
        let mut regions = Regions(Vec::new());
        let mut show = |start: usize, home: usize, page, pages: usize| {
            regions.reserve().unwrap();
            regions.insert(Region {
                start: start * PAGE_BYTES,
                end: (start + pages) * PAGE_BYTES,
                rights: Rights::Read,
                backing: Backing::File(FilePart {
                    page,
                    home: home * PAGE_BYTES,
                    ..FILE
                }),
            });
        };
        show(10, 10, 4, 3);
        show(100, 11, 5, 2);
        show(200, 50, 20, 1);
        let inode = FILE.inode;
        assert_eq!(regions.first_shown(inode, 0, 100), Some((4, 7)));
        assert_eq!(regions.first_shown(inode, 6, 100), Some((6, 7)));
        assert_eq!(regions.first_shown(inode, 7, 100), Some((20, 21)));
        assert_eq!(regions.first_shown(inode, 0, 4), None);
        assert_eq!(regions.first_shown(InodeId(8), 0, 100), None);
        let alias = |at: usize, start: usize, end: usize| {
            let part =
                regions.first_alias(at * PAGE_BYTES, start * PAGE_BYTES, end * PAGE_BYTES)?;
            Some((part.start / PAGE_BYTES, part.end / PAGE_BYTES))
        };
        assert_eq!(alias(0, 0, 100), Some((100, 102)));
        assert_eq!(alias(0, 12, 13), Some((101, 102)));
        assert_eq!(alias(102, 0, 100), Some((200, 201)));
        assert_eq!(alias(0, 10, 11), None);
        assert_eq!(alias(101, 0, 100), Some((101, 102)));
        assert_eq!(alias(101, 0, 12), None);
    }

    /// Against a map of pages: 20,000 random operations.
    #[test]
    fn regions_behave_as_a_map_of_pages() {
        let mut regions = Regions(Vec::new());
        let mut model = Model::new();
        let mut references = 0;
        let mut seed = 12345u64;
        let mut random = |limit: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((seed >> 33) % limit) as usize
        };
        for _ in 0..20_000 {
            let start = random(60);
            let end = start + 1 + random(12);
            let (from, to) = (start * PAGE_BYTES, end * PAGE_BYTES);
            let rights = [Rights::None, Rights::Read, Rights::Write][random(3)];
            match random(3) {
                0 if (start..end).all(|page| !model.contains_key(&page)) => {
                    regions.reserve().unwrap();
                    let is_file = random(2) == 0;
                    let backing = match is_file {
                        true => Backing::File(FilePart { page: 100, ..FILE }),
                        false => Backing::Anonymous,
                    };
                    references += i32::from(is_file);
                    let region = Region {
                        start: from,
                        end: to,
                        rights,
                        backing,
                    };
                    regions.insert(region);
                    let file = |page| is_file.then_some(100 + page - start);
                    model.extend((start..end).map(|page| (page, (rights, file(page)))));
                }
                1 => {
                    regions.reserve().unwrap();
                    while let Some((part, more)) = regions.remove_first(from, to) {
                        assert!(from <= part.start && part.end <= to);
                        if let Backing::File(_) = part.backing {
                            references += more;
                        }
                        for page in part.start / PAGE_BYTES..part.end / PAGE_BYTES {
                            assert!(model.remove(&page).is_some());
                        }
                    }
                    assert!(!regions.touches(from, to));
                }
                _ => {
                    let reach = (start..end)
                        .find(|page| model.get(page).is_none_or(|(has, _)| *has < rights))
                        .unwrap_or(end);
                    assert_eq!(regions.reach(from, to, rights), reach * PAGE_BYTES);
                    let any = (start..end).any(|page| model.contains_key(&page));
                    assert_eq!(regions.touches(from, to), any);
                }
            }
            assert_eq!(model_of(&regions), model);
            let files = |region: &&Region| matches!(region.backing, Backing::File(_));
            assert_eq!(regions.0.iter().filter(files).count() as i32, references);
        }
    }
}
