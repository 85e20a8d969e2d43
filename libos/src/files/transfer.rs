//! Calls that move bytes: read, write, seek, truncate, allocate.
//! Must never touch a file's contents when the call answers an error.

use super::data::MAX_LENGTH;
use super::descriptors::Object;
use super::inode::{InodeId, Kind};
use super::objects::{Gather, Manner, Scatter, Waitable};
use super::{Errno, Files, Guest, Host, Result};
use bespoke_abi::PAGE_BYTES;
use bespoke_abi::boot::Span;
use bespoke_abi::hypercall::MAX_SPANS;
use linux_raw_sys::general::*;

/// Most bytes one call moves, as on Linux.
pub(super) const MAX_TRANSFER: usize = 0x7fff_f000;
/// Most spans one call takes.
pub(super) const MAX_VECTOR: usize = UIO_MAXIOV as usize;

/// Where in a file a transfer takes place.
#[derive(Clone, Copy)]
pub(crate) enum At {
    /// At the file position, which moves.
    Position,
    /// At this offset; the position stays.
    Offset(u64),
}

impl At {
    /// From the argument of `pread64` and its like.
    pub fn argument(offset: usize) -> Result<Self> {
        if (offset as i64) < 0 {
            Err(Errno::INVAL)
        } else {
            Ok(Self::Offset(offset as u64))
        }
    }
}

/// What a pipe copies of a buffer that ends too early after so many bytes.
fn whole_pages(bytes: usize) -> usize {
    bytes / PAGE_BYTES * PAGE_BYTES
}

/// What a write answers where a file may not grow: with a signal when the program set the limit.
#[cold]
fn too_large(limit: u64) -> Errno {
    if limit == MAX_LENGTH {
        Errno::FBIG
    } else {
        Errno::SIZE_SIGNAL
    }
}

impl<H: Host> Files<H> {
    /// `read`, `pread64`, to an address of the application.
    #[inline(never)]
    pub(crate) fn read_into(
        &mut self,
        guest: Guest,
        descriptor: usize,
        address: usize,
        bytes: usize,
        at: At,
    ) -> Result {
        if guest.is_outside(address, bytes) {
            self.descriptors.get(descriptor)?.readable()?;
            return Err(Errno::FAULT);
        }
        match guest.target(address, bytes.min(MAX_TRANSFER)) {
            Ok(buffer) => self.read(descriptor, buffer, at),
            Err(error) => self.read_to_nowhere(descriptor, at, error),
        }
    }

    /// `write`, `pwrite64`, from an address of the application.
    #[inline(never)]
    pub(crate) fn write_from(
        &mut self,
        guest: Guest,
        descriptor: usize,
        address: usize,
        bytes: usize,
        at: At,
    ) -> Result {
        if guest.is_outside(address, bytes) {
            self.descriptors.get(descriptor)?.writable()?;
            return Err(Errno::FAULT);
        }
        let wanted = bytes.min(MAX_TRANSFER);
        match guest.source(address, wanted) {
            Ok(bytes) if bytes.len() < wanted => self.write_cut(descriptor, bytes, wanted, at),
            Ok(bytes) => self.write(descriptor, bytes, at),
            Err(error) => self.write_from_nowhere(descriptor, wanted, error),
        }
    }

    /// What a read answers whose buffer is not there: `error`, unless it would not touch it.
    #[cold]
    fn read_to_nowhere(&mut self, descriptor: usize, at: At, error: Errno) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.readable()?;
        let offset = match at {
            At::Offset(offset) => offset,
            At::Position => description.position,
        };
        match (&description.object, &self.inodes[description.inode].kind) {
            (Object::Regular | Object::Sealed, Kind::Regular(data)) if offset >= data.length() => {
                Ok(0)
            }
            (Object::Null, _) => Ok(0),
            (Object::Directory(_), _) => Err(Errno::ISDIR),
            _ => Err(error),
        }
    }

    /// As [`Files::read_to_nowhere`], for writes.
    #[cold]
    fn write_from_nowhere(&mut self, descriptor: usize, bytes: usize, error: Errno) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.writable()?;
        match &description.object {
            Object::Null | Object::Zero => Ok(bytes),
            Object::Full => Err(Errno::NOSPC),
            _ => Err(error),
        }
    }

    /// A write of `wanted` bytes, of which the caller has no more than `bytes`. A pipe takes whole pages.
    #[cold]
    fn write_cut(&mut self, descriptor: usize, bytes: &[u8], wanted: usize, at: At) -> Result {
        let object = &self.descriptors.get(descriptor)?.object;
        let taken = match object {
            Object::Null | Object::Zero => 0,
            Object::Waitable(Waitable::Pipe(..)) => whole_pages(bytes.len()),
            _ => bytes.len(),
        };
        match taken {
            0 => self.write_from_nowhere(descriptor, wanted, Errno::FAULT),
            _ => self.write(descriptor, &bytes[..taken], at),
        }
    }

    /// `read`, `pread64`
    pub(crate) fn read(&mut self, descriptor: usize, buffer: &mut [u8], at: At) -> Result {
        let description = self.descriptors.get_mut(descriptor)?;
        // Linux asks for a position first.
        description
            .readable()
            .map_err(|error| match (&description.object, at) {
                (Object::Waitable(_), At::Offset(_)) => Errno::SPIPE,
                _ => error,
            })?;
        let end = buffer.len().min(MAX_TRANSFER);
        let buffer = &mut buffer[..end];
        match (&description.object, at) {
            (Object::Regular | Object::Sealed, _) => {
                let offset = if let At::Offset(offset) = at {
                    offset
                } else {
                    description.position
                };
                let inode = &mut self.inodes[description.inode];
                let Kind::Regular(data) = &inode.kind else {
                    return Err(Errno::INVAL);
                };
                let count = data.read_at(offset, buffer);
                if let At::Position = at {
                    description.position += count as u64;
                }
                if description.flags & O_NOATIME == 0 {
                    inode.note_access(|| self.host.now_ns() as i64);
                }
                Ok(count)
            }
            (Object::Snapshot(_), _) => self.read_snapshot(descriptor, buffer, at),
            (Object::Console { .. }, At::Offset(_)) => Err(Errno::SPIPE),
            (&Object::Console { input, .. }, At::Position) => {
                self.read_console(descriptor, input, buffer)
            }
            (Object::Null, _) => Ok(0),
            (Object::Zero | Object::Full, _) => {
                buffer.fill(0);
                Ok(buffer.len())
            }
            (Object::Random, _) => {
                self.host.random(buffer);
                Ok(buffer.len())
            }
            (Object::Waitable(_), At::Offset(_)) => Err(Errno::SPIPE),
            (&Object::Waitable(waitable), At::Position) => {
                let mut to = Scatter::of(buffer);
                self.read_stream(descriptor, waitable, &mut to, Manner::default())
            }
            (Object::Directory(_) | Object::Listing(_), _) => Err(Errno::ISDIR),
            (Object::Path | Object::Free(_), _) => Err(Errno::BADF),
        }
    }

    /// `write`, `pwrite64`
    pub(crate) fn write(&mut self, descriptor: usize, bytes: &[u8], at: At) -> Result {
        let description = self.descriptors.get_mut(descriptor)?;
        description
            .writable()
            .map_err(|error| match (&description.object, at) {
                (Object::Waitable(_), At::Offset(_)) => Errno::SPIPE,
                _ => error,
            })?;
        let bytes = &bytes[..bytes.len().min(MAX_TRANSFER)];
        match (&description.object, at) {
            (Object::Regular, _) => {
                let (data, pages) = self.inodes.data_mut(description.inode)?;
                let offset = match at {
                    _ if description.flags & O_APPEND != 0 => data.length(),
                    At::Offset(offset) => offset,
                    At::Position => description.position,
                };
                if bytes.is_empty() {
                    return Ok(0);
                }
                let limit = self.size_limit;
                if offset >= limit {
                    return Err(too_large(limit));
                }
                let room = usize::try_from(limit - offset).unwrap_or(usize::MAX);
                let count = data.write_at(pages, offset, &bytes[..bytes.len().min(room)])?;
                if let At::Position = at {
                    description.position = offset + count as u64;
                }
                self.inodes[description.inode].touch(self.host.now_ns() as i64);
                Ok(count)
            }
            (Object::Console { .. }, At::Offset(_)) => Err(Errno::SPIPE),
            (&Object::Console { output, .. }, At::Position) => {
                let span = Span {
                    start: bytes.as_ptr() as u64,
                    bytes: bytes.len() as u64,
                };
                let answer = self.host.write(output, &[span]);
                usize::try_from(answer).map_err(|_| Errno::from_answer(answer))
            }
            (Object::Null | Object::Zero | Object::Random, _) => Ok(bytes.len()),
            (Object::Full, _) => Err(Errno::NOSPC),
            (Object::Sealed, _) => self.write_sealed(descriptor, bytes, at),
            (Object::Waitable(_), At::Offset(_)) => Err(Errno::SPIPE),
            (&Object::Waitable(waitable), At::Position) => {
                let mut from = Gather::of(bytes);
                self.write_stream(descriptor, waitable, &mut from, Manner::default())
            }
            (
                Object::Snapshot(_)
                | Object::Listing(_)
                | Object::Directory(_)
                | Object::Path
                | Object::Free(_),
                _,
            ) => Err(Errno::BADF),
        }
    }

    /// The spans of `readv` and `writev`; their lengths together fit.
    pub(crate) fn vector<'a>(guest: Guest, address: usize, count: usize) -> Result<&'a [Span]> {
        if count > MAX_VECTOR {
            return Err(Errno::INVAL);
        }
        let bytes = guest.bytes(address, count * size_of::<Span>())?;
        if bytes.is_empty() {
            return Ok(&[]);
        }
        if !address.is_multiple_of(align_of::<Span>()) {
            return Err(Errno::FAULT);
        }
        // SAFETY: checked memory of `count` structures, aligned; a `Span` has the layout of an
        // `iovec` and any bits are valid.
        let spans = unsafe { core::slice::from_raw_parts(bytes.as_ptr().cast::<Span>(), count) };
        let mut total: i64 = 0;
        for span in spans {
            let bytes = i64::try_from(span.bytes).map_err(|_| Errno::INVAL)?;
            total = total.checked_add(bytes).ok_or(Errno::INVAL)?;
        }
        Ok(spans)
    }

    /// `readv`, `preadv`
    pub(crate) fn read_vector(
        &mut self,
        guest: Guest,
        descriptor: usize,
        spans: usize,
        count: usize,
        at: At,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.readable()?;
        let spans = Self::vector(guest, spans, count)?;
        if let &Object::Waitable(waitable) = &description.object {
            if let At::Offset(_) = at {
                return Err(Errno::SPIPE);
            }
            let mut to = Scatter::new(guest, spans)?;
            if to.remaining() == 0 && waitable.transfers() {
                return Ok(0);
            }
            return self.read_stream(descriptor, waitable, &mut to, Manner::default());
        }
        // What one wait brings: going on with the next span could wait again.
        let spans = match (
            &description.object,
            spans.iter().find(|span| span.bytes > 0),
        ) {
            (Object::Console { .. }, Some(first)) => core::slice::from_ref(first),
            _ => spans,
        };
        each(spans, at, |span, at| {
            self.read(
                descriptor,
                guest.target(span.start as usize, span.bytes as usize)?,
                at,
            )
        })
    }

    /// `writev`, `pwritev`
    pub(crate) fn write_vector(
        &mut self,
        guest: Guest,
        descriptor: usize,
        spans: usize,
        count: usize,
        at: At,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.writable()?;
        let spans = Self::vector(guest, spans, count)?;
        if let (&Object::Console { output, .. }, At::Position) = (&description.object, at) {
            let mut done = 0;
            for span in spans {
                guest.bytes(span.start as usize, span.bytes as usize)?;
            }
            for group in spans.chunks(MAX_SPANS as usize) {
                let answer = self.host.write(output, group);
                match usize::try_from(answer) {
                    Ok(count) => done += count,
                    Err(_) if done == 0 => return Err(Errno::from_answer(answer)),
                    Err(_) => break,
                }
                if answer as u64 != group.iter().map(|span| span.bytes).sum::<u64>() {
                    break;
                }
            }
            return Ok(done);
        }
        if let &Object::Waitable(waitable) = &description.object {
            if let At::Offset(_) = at {
                return Err(Errno::SPIPE);
            }
            let mut from = Gather::new(guest, spans)?;
            if from.is_cut() && matches!(waitable, Waitable::Pipe(..)) {
                from.shorten(whole_pages(from.remaining()));
                if from.remaining() == 0 {
                    return Err(Errno::FAULT);
                }
            }
            if from.remaining() == 0 && waitable.transfers() {
                return Ok(0);
            }
            return self.write_stream(descriptor, waitable, &mut from, Manner::default());
        }
        each(spans, at, |span, at| {
            self.write(
                descriptor,
                guest.source(span.start as usize, span.bytes as usize)?,
                at,
            )
        })
    }

    /// `lseek`
    #[inline(never)]
    pub(crate) fn seek(&mut self, descriptor: usize, offset: usize, whence: usize) -> Result {
        let description = self.descriptors.get_mut(descriptor)?;
        let offset = offset as i64;
        let inode = &self.inodes[description.inode];
        let length = match (&description.object, &inode.kind) {
            (Object::Regular | Object::Sealed, Kind::Regular(data)) => data.length(),
            (Object::Directory(_) | Object::Snapshot(_) | Object::Listing(_), _) => 0,
            (Object::Null | Object::Zero | Object::Full | Object::Random, _) => return Ok(0),
            // They have a position that never moves.
            (
                Object::Waitable(Waitable::Counter(_) | Waitable::Epoll(_) | Waitable::Timer(_)),
                _,
            ) => return Ok(0),
            (&Object::Waitable(Waitable::Other(object)), _) => {
                return match self.objects.other_file_type(object) {
                    0 => Ok(0),
                    _ => Err(Errno::SPIPE),
                };
            }
            (Object::Console { .. } | Object::Waitable(_), _) => return Err(Errno::SPIPE),
            _ => return Err(Errno::BADF),
        };
        let target = match whence as u32 {
            SEEK_SET => Some(offset),
            SEEK_CUR => (description.position as i64).checked_add(offset),
            // A directory has no end to count from.
            SEEK_END if matches!(description.object, Object::Directory(_)) => {
                return Err(Errno::INVAL);
            }
            SEEK_END => (length as i64).checked_add(offset),
            SEEK_DATA | SEEK_HOLE => {
                let Kind::Regular(data) = &inode.kind else {
                    return Err(Errno::INVAL);
                };
                let from = u64::try_from(offset).map_err(|_| Errno::NXIO)?;
                Some(
                    data.seek(from, whence as u32 == SEEK_DATA)
                        .ok_or(Errno::NXIO)? as i64,
                )
            }
            _ => return Err(Errno::INVAL),
        };
        let target = target.ok_or(Errno::INVAL)?;
        if target < 0 {
            return Err(Errno::INVAL);
        }
        description.position = target as u64;
        if let Object::Directory(resume) = &mut description.object {
            *resume = None;
        }
        Ok(target as usize)
    }

    /// `fsync`, `fdatasync`: everything is where it will ever be.
    #[inline(never)]
    pub(crate) fn synchronize(&self, descriptor: usize) -> Result {
        self.opened(descriptor, true)?;
        match self.descriptors.get(descriptor)?.object {
            Object::Regular | Object::Sealed | Object::Directory(_) => Ok(0),
            _ => Err(Errno::INVAL),
        }
    }

    /// `sync_file_range`: as `fsync`, for a part.
    pub(crate) fn synchronize_range(
        &self,
        descriptor: usize,
        offset: usize,
        bytes: usize,
        flags: u32,
    ) -> Result {
        self.opened(descriptor, true)?;
        let known =
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
        let (offset, bytes) = (offset as i64, bytes as i64);
        if flags & !known != 0 || offset < 0 || bytes < 0 || offset.checked_add(bytes).is_none() {
            return Err(Errno::INVAL);
        }
        match self.descriptors.get(descriptor)?.object {
            Object::Console { .. } | Object::Waitable(_) => Err(Errno::SPIPE),
            _ => Ok(0),
        }
    }

    /// `posix_fadvise`, of advice that is known.
    pub(crate) fn advise(&self, descriptor: usize, bytes: usize) -> Result {
        self.opened(descriptor, true)?;
        match self.descriptors.get(descriptor)?.object {
            Object::Waitable(Waitable::Pipe(..)) => Err(Errno::SPIPE),
            _ if (bytes as i64) < 0 => Err(Errno::INVAL),
            _ => Ok(0),
        }
    }

    /// `readahead`: nothing is further away than memory.
    pub(crate) fn read_ahead(&self, descriptor: usize) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.readable()?;
        match description.object {
            Object::Regular | Object::Sealed => Ok(0),
            _ => Err(Errno::INVAL),
        }
    }

    fn file_length(&self, inode: InodeId) -> u64 {
        match &self.inodes[inode].kind {
            Kind::Regular(data) => data.length(),
            _ => 0,
        }
    }

    pub(super) fn resize(&mut self, inode: InodeId, length: usize) -> Result {
        let length = u64::try_from(length as i64).map_err(|_| Errno::INVAL)?;
        let now = self.now();
        let limit = self.size_limit;
        let (data, pages) = self.inodes.data_mut(inode)?;
        if length > limit && length > data.length() {
            return Err(too_large(limit));
        }
        data.set_length(pages, length);
        self.inodes[inode].touch(now);
        Ok(0)
    }

    /// `truncate`
    pub(crate) fn truncate(&mut self, base: usize, path: &[u8], length: usize) -> Result {
        if (length as i64) < 0 {
            return Err(Errno::INVAL);
        }
        let inode = self.target(base, path, 0)?;
        if self.is_sealed(inode) {
            self.allows_length(inode, length as u64, false)?;
        }
        self.resize(inode, length)
    }

    /// `ftruncate`
    pub(crate) fn truncate_open(&mut self, descriptor: usize, length: usize) -> Result {
        if (length as i64) < 0 {
            return Err(Errno::INVAL);
        }
        let description = self.descriptors.get(descriptor)?;
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        if description.writable().is_err()
            || !matches!(description.object, Object::Regular | Object::Sealed)
        {
            return Err(Errno::INVAL);
        }
        if let Object::Sealed = description.object {
            self.allows_length(description.inode, length as u64, false)?;
        }
        self.resize(description.inode, length)
    }

    /// `fallocate`: mode 0, `KEEP_SIZE`, `PUNCH_HOLE | KEEP_SIZE` and `ZERO_RANGE`.
    pub(crate) fn allocate(
        &mut self,
        descriptor: usize,
        mode: u32,
        offset: usize,
        bytes: usize,
    ) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let (offset, bytes) = (offset as i64, bytes as i64);
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        if offset < 0 || bytes <= 0 {
            return Err(Errno::INVAL);
        }
        let punch = mode & FALLOC_FL_PUNCH_HOLE != 0;
        let keep = mode & FALLOC_FL_KEEP_SIZE != 0;
        let clears = mode & FALLOC_FL_ZERO_RANGE != 0;
        if mode & !(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE) != 0
            || punch && (!keep || clears)
        {
            return Err(Errno::OPNOTSUPP);
        }
        description.writable()?;
        match description.object {
            Object::Regular | Object::Sealed => {}
            Object::Console { .. } | Object::Waitable(_) => return Err(Errno::SPIPE),
            _ => return Err(Errno::NODEV),
        }
        let end = offset.checked_add(bytes).ok_or(Errno::FBIG)?;
        let inode = description.inode;
        if matches!(description.object, Object::Sealed) {
            // A file that is not to grow would not have room behind its end either.
            let length = if punch { 0 } else { end as u64 };
            self.allows_length(inode, length.max(self.file_length(inode)), punch || clears)?;
        }
        let now = self.now();
        let limit = self.size_limit;
        let (data, pages) = self.inodes.data_mut(inode)?;
        if !punch && !keep && end as u64 > limit && end as u64 > data.length() {
            return Err(too_large(limit));
        }
        if punch || clears {
            data.punch(pages, offset as u64, bytes as u64);
        }
        if !punch {
            data.preallocate(pages, offset as u64, bytes as u64, keep)?;
        }
        self.inodes[inode].touch(now);
        Ok(0)
    }
}

impl At {
    /// The place after `bytes` more bytes.
    pub fn after(self, bytes: usize) -> Self {
        match self {
            Self::Position => Self::Position,
            Self::Offset(offset) => Self::Offset(offset + bytes as u64),
        }
    }
}

/// Transfers span by span until one is not served whole.
fn each(spans: &[Span], at: At, mut transfer: impl FnMut(&Span, At) -> Result) -> Result {
    let (mut done, mut at) = (0, at);
    for span in spans.iter().filter(|span| span.bytes > 0) {
        match transfer(span, at) {
            Ok(count) => {
                done += count;
                at = at.after(count);
                if count as u64 != span.bytes {
                    break;
                }
            }
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}
