//! The model: an interval map of live blocks, each filled with its own pattern.
//! It is the authority on what is live and does not rely on the heap.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ops::Range;
use std::ptr::NonNull;

/// One live block.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// As given to the heap.
    pub layout: Layout,
    /// Bytes it may use.
    pub granted: usize,
    /// Number of the pattern in its bytes.
    pattern: u64,
}

/// The live blocks.
#[derive(Debug)]
pub struct Shadow {
    bounds: Range<usize>,
    blocks: BTreeMap<usize, Live>,
    patterns: u64,
    live_bytes: u64,
}

/// Word `k` of pattern `id`. The words differ between all positions and all blocks.
fn word(id: u64, k: usize) -> u64 {
    (id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ k as u64).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

fn fill(start: usize, bytes: usize, id: u64) {
    for (k, offset) in (0..bytes).step_by(8).enumerate() {
        let part = word(id, k).to_le_bytes();
        let length = (bytes - offset).min(8);
        // SAFETY: the block is live and at least `bytes` bytes long, as `Shadow::insert` checked.
        unsafe {
            std::ptr::copy_nonoverlapping(part.as_ptr(), (start + offset) as *mut u8, length)
        };
    }
}

/// Returns the first offset below `bytes` that does not hold pattern `id`.
fn first_difference(start: usize, bytes: usize, id: u64) -> Option<usize> {
    (0..bytes).step_by(8).enumerate().find_map(|(k, offset)| {
        let expected = word(id, k).to_le_bytes();
        let length = (bytes - offset).min(8);
        let mut found = [0u8; 8];
        // SAFETY: as in `fill`.
        unsafe {
            std::ptr::copy_nonoverlapping((start + offset) as *const u8, found.as_mut_ptr(), length)
        };
        (0..length)
            .find(|&i| found[i] != expected[i])
            .map(|i| offset + i)
    })
}

impl Shadow {
    /// Makes a model of blocks that must lie in `bounds`.
    pub fn new(bounds: Range<usize>) -> Self {
        Self {
            bounds,
            blocks: BTreeMap::new(),
            patterns: 0,
            live_bytes: 0,
        }
    }

    /// Adds a new block and fills all of it, so that any overlap is detected.
    ///
    /// # Panics
    ///
    /// When the block is misaligned, short, outside the page source or overlaps a live one.
    pub fn insert(&mut self, ptr: NonNull<u8>, layout: Layout, granted: usize) {
        self.check_place(ptr, layout, granted);
        self.patterns += 1;
        let start = ptr.addr().get();
        fill(start, granted, self.patterns);
        self.blocks.insert(
            start,
            Live {
                layout,
                granted,
                pattern: self.patterns,
            },
        );
        self.live_bytes += granted as u64;
    }

    fn check_place(&self, ptr: NonNull<u8>, layout: Layout, granted: usize) {
        let start = ptr.addr().get();
        assert!(
            start.is_multiple_of(layout.align()),
            "wrong alignment: {start:#x} is not a multiple of {}",
            layout.align()
        );
        assert!(
            granted >= layout.size(),
            "short block: granted {granted} of {} bytes at {start:#x}",
            layout.size()
        );
        let end = start
            .checked_add(granted)
            .unwrap_or_else(|| panic!("block wraps: {start:#x} + {granted}"));
        let Range {
            start: low,
            end: high,
        } = self.bounds;
        assert!(
            low <= start && end <= high,
            "outside the page source: {start:#x}..{end:#x}, memory is {low:#x}..{high:#x}"
        );
        if let Some((other, live)) = self.blocks.range(..end).next_back() {
            let other_end = other + live.granted;
            assert!(
                other_end <= start,
                "overlap: {start:#x}..{end:#x} with live {other:#x}..{other_end:#x}"
            );
        }
    }

    /// Checks that the first `layout.size()` bytes are zero.
    ///
    /// # Panics
    ///
    /// When one is not, or the block is misplaced.
    pub fn check_zeroed(&self, ptr: NonNull<u8>, layout: Layout, granted: usize) {
        self.check_place(ptr, layout, granted);
        // SAFETY: `check_place` found the block inside the arena, apart from every live block.
        let bytes = unsafe { std::slice::from_raw_parts(ptr.as_ptr(), layout.size()) };
        if let Some(offset) = bytes.iter().position(|byte| *byte != 0) {
            panic!(
                "not zeroed: byte {offset} of {} at {ptr:p} is {:#x}",
                layout.size(),
                bytes[offset]
            );
        }
    }

    /// Removes a block that is about to be freed from the model, after checking its contents.
    ///
    /// # Panics
    ///
    /// When contents were lost, or the block is not live (an error of the script).
    pub fn remove(&mut self, ptr: NonNull<u8>) -> Live {
        let start = ptr.addr().get();
        self.check_contents(start);
        let live = self
            .blocks
            .remove(&start)
            .expect("the script frees only live blocks");
        self.live_bytes -= live.granted as u64;
        live
    }

    fn check_contents(&self, start: usize) {
        let live = &self.blocks[&start];
        if let Some(offset) = first_difference(start, live.granted, live.pattern) {
            panic!(
                "contents lost: byte {offset} of {} ({} granted) at {start:#x}",
                live.layout.size(),
                live.granted
            );
        }
    }

    /// Moves a block: checks that its first bytes were copied, then fills the rest again.
    ///
    /// # Panics
    ///
    /// When contents were lost or the new position is wrong.
    pub fn moved(&mut self, old: Live, ptr: NonNull<u8>, layout: Layout, granted: usize) {
        self.check_place(ptr, layout, granted);
        let kept = old.layout.size().min(layout.size());
        if let Some(offset) = first_difference(ptr.addr().get(), kept, old.pattern) {
            panic!("contents lost by reallocate: byte {offset} of {kept} kept at {ptr:p}");
        }
        self.insert(ptr, layout, granted);
    }

    /// Adds `old` again after a refused reallocation, which must leave the block unchanged.
    ///
    /// # Panics
    ///
    /// When the block changed.
    pub fn restore(&mut self, ptr: NonNull<u8>, old: Live) {
        self.live_bytes += old.granted as u64;
        self.blocks.insert(ptr.addr().get(), old);
        self.check_contents(ptr.addr().get());
    }

    /// Checks the contents of every live block.
    ///
    /// # Panics
    ///
    /// When contents were lost.
    pub fn check_all(&self) {
        self.blocks
            .keys()
            .for_each(|start| self.check_contents(*start));
    }

    /// Granted bytes of all live blocks.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes
    }
}
