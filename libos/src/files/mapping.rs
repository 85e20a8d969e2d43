//! What mappings of files need of the file system; the list of mappings is `crate::memory`'s.
//! Owns nothing: a mapping holds a reference to its inode as an open description does.

use super::data::{Data, Place};
use super::descriptors::Object;
use super::inode::{InodeId, Kind};
use super::{Errno, Files, Host, Result};
use bespoke_heap::Pages;
use linux_raw_sys::general::{O_NOATIME, O_PATH};

/// What a descriptor gives to map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mapped {
    /// Zeros: `/dev/zero`.
    Zeros,
    /// A regular file, as its descriptor may be used.
    File { inode: InodeId, may_write: bool },
}

impl<H: Host> Files<H> {
    /// What `descriptor` gives to map.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EACCES` when it is not open for reading; `ENODEV` for what cannot be mapped.
    pub(crate) fn map_source(&mut self, descriptor: usize) -> Result<Mapped> {
        let description = self.descriptors.get(descriptor)?;
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        description.readable().map_err(|_| Errno::ACCES)?;
        match description.object {
            Object::Regular | Object::Sealed => {
                let (inode, flags) = (description.inode, description.flags);
                let may_write = description.writable().is_ok() && self.may_be_written(inode);
                if flags & O_NOATIME == 0 {
                    self.accessed(inode);
                }
                Ok(Mapped::File { inode, may_write })
            }
            Object::Zero => Ok(Mapped::Zeros),
            _ => Err(Errno::NODEV),
        }
    }

    fn mapped_data(&mut self, inode: InodeId) -> Result<(&mut Data, &Pages)> {
        self.inodes.data_mut(inode)
    }

    /// Places pages `page .. page + count` of a file in one run of memory until [`Files::unmap`]; answers its address.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn map(
        &mut self,
        inode: InodeId,
        page: usize,
        count: usize,
        place: Place,
    ) -> Result {
        let (data, pages) = self.mapped_data(inode)?;
        let start = data.map(pages, page, count, place)?;
        self.inodes[inode].note_access(|| self.host.now_ns() as i64);
        Ok(start.addr().get())
    }

    /// The last mapping of these pages is gone; closes them if `keep_closed` and that is worth it.
    pub(crate) fn unmap(&mut self, inode: InodeId, page: usize, count: usize, keep_closed: bool) {
        if let Ok((data, pages)) = self.mapped_data(inode) {
            data.unmap(pages, page, count, keep_closed);
        }
    }

    /// Whether one mapping is all that leads to a file.
    pub(crate) fn is_last_reference(&self, inode: InodeId) -> bool {
        let inode = &self.inodes[inode];
        inode.links == 0 && inode.references == 1
    }

    /// Moves these pages, which one mapping shows, elsewhere: where they were belongs to `account` from then on.
    /// What they hold is lost unless `keeps`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing was moved.
    pub(crate) fn vacate_mapped(
        &mut self,
        inode: InodeId,
        page: usize,
        count: usize,
        keeps: bool,
        account: &Pages,
    ) -> Result<()> {
        let (data, pages) = self.mapped_data(inode)?;
        data.vacate(pages, page, count, keeps)?;
        account.take_over(pages, count);
        Ok(())
    }

    /// `count` pages of `account` were given to a file by [`Files::map`].
    pub(crate) fn adopt(&mut self, account: &Pages, count: usize) {
        self.inodes.pages.take_over(account, count);
    }

    /// Somebody stored into a mapping of a file.
    pub(crate) fn note_stores(&mut self, inode: InodeId) {
        let now = self.now();
        self.inodes[inode].touch(now);
    }

    /// Pages of a file, as far as it goes.
    pub(crate) fn file_pages(&self, inode: InodeId) -> usize {
        match &self.inodes[inode].kind {
            Kind::Regular(data) => data.length_pages(),
            _ => 0,
        }
    }

    /// `more` mappings refer to a file, or so many fewer.
    pub(crate) fn count_mappings(&mut self, inode: InodeId, more: i32) {
        let references = &mut self.inodes[inode].references;
        *references = references.saturating_add_signed(more);
        self.inodes.collect(inode);
    }

    /// Makes a part of a file read as zero.
    ///
    /// # Errors
    ///
    /// Those of what is no regular file.
    pub(crate) fn punch(&mut self, inode: InodeId, offset: u64, bytes: u64) -> Result<()> {
        let now = self.now();
        let (data, pages) = self.mapped_data(inode)?;
        let end = offset.saturating_add(bytes).min(data.length());
        data.punch(pages, offset, end.saturating_sub(offset));
        self.inodes[inode].touch(now);
        Ok(())
    }
}
