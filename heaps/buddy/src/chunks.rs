//! Free chunks: one doubly linked list per order, with the links inside the chunks.
//! A chunk in a list is free in the bitmap.

use bespoke_heap::PAGE_BYTES;
use core::ptr::NonNull;

/// Orders 0..: a chunk of order k has 2^k pages.
pub(crate) const ORDERS: usize = usize::BITS as usize - PAGE_BYTES.trailing_zeros() as usize;

/// Written at the start of a free chunk. Its order is written at the end as well.
#[repr(C)]
pub(crate) struct Chunk {
    next: Link,
    /// The link that points to this chunk: a list's head or another chunk's `next`.
    previous: NonNull<Link>,
    /// Pages of the chunk, as a power of two.
    pub order: usize,
}

type Link = Option<NonNull<Chunk>>;

impl Chunk {
    /// The chunk at an address, which is not 0.
    pub(crate) fn at(address: usize) -> NonNull<Self> {
        NonNull::new(address as *mut Self).unwrap_or(NonNull::dangling())
    }
}

/// The lists.
pub(crate) struct Chunks {
    heads: [Link; ORDERS],
    /// Each list ends in one of these, so that linking needs no check for the end.
    tails: [Chunk; ORDERS],
}

impl Chunks {
    /// Not usable before [`Chunks::link_ends`].
    pub(crate) const EMPTY: Self = Self {
        heads: [None; ORDERS],
        tails: [const {
            Chunk {
                next: None,
                previous: NonNull::dangling(),
                order: 0,
            }
        }; ORDERS],
    };

    /// Empties the lists. From now on they must not move in memory.
    pub(crate) fn link_ends(&mut self) {
        for (head, tail) in self.heads.iter_mut().zip(&mut self.tails) {
            tail.previous = NonNull::from(&mut *head);
            *head = Some(NonNull::from(tail));
        }
    }

    /// Returns the first chunk of an order.
    fn first(&self, order: usize) -> Link {
        // SAFETY: heads point to chunks in the list or to its tail.
        self.heads[order].filter(|chunk| unsafe { chunk.as_ref().next.is_some() })
    }

    /// Returns the smallest order from `order` on that has a chunk.
    pub(crate) fn smallest_from(&self, order: usize) -> Option<usize> {
        (order..ORDERS).find(|order| self.first(*order).is_some())
    }

    /// Returns the largest order that has a chunk.
    pub(crate) fn largest(&self) -> Option<usize> {
        (0..ORDERS).rev().find(|order| self.first(*order).is_some())
    }

    /// Adds a chunk.
    ///
    /// # Safety
    ///
    /// Its pages are free and belong to these lists.
    pub(crate) unsafe fn insert(&mut self, chunk: NonNull<Chunk>, order: usize) {
        let head = NonNull::from(&mut self.heads[order]);
        // SAFETY: the chunk's pages are ours; the head's chunk is in the list or its tail.
        unsafe {
            let next = head.read();
            chunk.write(Chunk {
                next,
                previous: head,
                order,
            });
            let tail = chunk
                .cast::<u8>()
                .add(PAGE_BYTES << order)
                .cast::<u32>()
                .sub(1);
            tail.write(order as u32);
            if let Some(next) = next {
                (*next.as_ptr()).previous = NonNull::from(&mut (*chunk.as_ptr()).next);
            }
            head.write(Some(chunk));
        }
    }

    /// Removes a chunk from its list.
    ///
    /// # Safety
    ///
    /// The chunk is in a list.
    pub(crate) unsafe fn unlink(chunk: NonNull<Chunk>) {
        // SAFETY: both neighbours are chunks, heads or tails of the list.
        unsafe {
            let Chunk { next, previous, .. } = chunk.read();
            previous.write(next);
            if let Some(next) = next {
                (*next.as_ptr()).previous = previous;
            }
        }
    }

    /// Takes the first chunk of order `from` and halves it down to `order`. Puts the
    /// upper halves into their lists.
    ///
    /// # Safety
    ///
    /// The list of `from` is not empty, and `order <= from`.
    pub(crate) unsafe fn split(&mut self, from: usize, order: usize) -> NonNull<Chunk> {
        // SAFETY: the caller's promise; the halves are parts of a free chunk.
        unsafe {
            let chunk = self.heads[from].unwrap_unchecked();
            Self::unlink(chunk);
            for half in (order..from).rev() {
                self.insert(chunk.cast::<u8>().add(PAGE_BYTES << half).cast(), half);
            }
            chunk
        }
    }
}
