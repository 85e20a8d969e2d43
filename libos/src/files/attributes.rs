//! Calls that read and set what is known about a file: stat, access, mode, owner, times,
//! and what `statfs` says of the file system. Changes inodes, never their contents.

use super::generated::begins_elsewhere;
use super::inode::{Device, Inode, InodeId, Kind};
use super::walk::Steps;
use super::{Errno, Files, Guest, Host, Result};
use bespoke_abi::PAGE_BYTES;
use linux_raw_sys::general::*;

/// `st_dev` of the one file system there is.
pub(super) const DEVICE: u64 = 0x15;
const NS: i64 = 1_000_000_000;
/// Sectors of 512 bytes in a page, the unit of `st_blocks`.
const SECTORS: u64 = (PAGE_BYTES / 512) as u64;
/// Bytes a directory entry counts for in `st_size`, as on tmpfs.
const ENTRY_BYTES: u64 = 20;

/// A time that `utimensat` and its like set.
#[derive(Clone, Copy)]
pub(crate) enum Time {
    /// This one, nanoseconds since the epoch.
    At(i64),
    /// The present.
    Now,
    /// Leave it.
    Omit,
}

impl Time {
    /// From seconds and nanoseconds, or `UTIME_NOW` and `UTIME_OMIT`.
    pub fn new(seconds: i64, ns: i64) -> Result<Self> {
        match ns {
            0..NS => Ok(Self::At(seconds.saturating_mul(NS).saturating_add(ns))),
            _ if ns == i64::from(UTIME_NOW) => Ok(Self::Now),
            _ if ns == i64::from(UTIME_OMIT) => Ok(Self::Omit),
            _ => Err(Errno::INVAL),
        }
    }
}

impl Inode {
    /// Links as programs see them: what has no name counts as having one.
    fn names(&self) -> u32 {
        if let Kind::Anonymous(_) = self.kind {
            1
        } else {
            self.links
        }
    }

    fn size(&self) -> u64 {
        match &self.kind {
            Kind::Regular(data) => data.length(),
            Kind::Directory(directory) => (directory.entries().len() as u64 + 2) * ENTRY_BYTES,
            Kind::Link(target) => target.len() as u64,
            Kind::Device(_)
            | Kind::Anonymous(_)
            | Kind::Socket(_)
            | Kind::Node(_)
            | Kind::Free(_) => 0,
        }
    }

    fn sectors(&self) -> u64 {
        if let Kind::Regular(data) = &self.kind {
            data.resident_pages() as u64 * SECTORS
        } else {
            0
        }
    }

    /// Major and minor number of a device.
    fn numbers(&self) -> (u32, u32) {
        match self.kind {
            Kind::Device(Device::Null) => (1, 3),
            Kind::Device(Device::Zero) => (1, 5),
            Kind::Device(Device::Full) => (1, 7),
            Kind::Device(Device::Random { urandom }) => (1, if urandom { 9 } else { 8 }),
            Kind::Device(Device::Terminal) => (5, 0),
            Kind::Device(Device::Console { terminal: true, .. }) => (136, 0),
            _ => (0, 0),
        }
    }
}

/// Why a path leads to no inode.
pub(crate) struct Missing {
    /// What is answered where nothing else is there.
    pub error: Errno,
    /// A generated file may be there.
    pub may_be_generated: bool,
}

impl From<Errno> for Missing {
    fn from(error: Errno) -> Self {
        Self {
            error,
            may_be_generated: false,
        }
    }
}

impl<H: Host> Files<H> {
    /// What an `*at` call with `flags` refers to; `AT_EMPTY_PATH` lets an empty path mean `base` itself.
    pub(crate) fn target(&self, base: usize, path: &[u8], flags: u32) -> Result<InodeId> {
        self.target_or_missing(base, path, flags)
            .map_err(|missing| missing.error)
    }

    /// As [`Files::target`]; tells where a file without an inode may be.
    pub(crate) fn target_or_missing(
        &self,
        base: usize,
        path: &[u8],
        flags: u32,
    ) -> core::result::Result<InodeId, Missing> {
        if path.is_empty() && flags & AT_EMPTY_PATH != 0 {
            return Ok(self.base_inode(base)?);
        }
        let follows = flags & AT_SYMLINK_NOFOLLOW == 0;
        let mut steps = Steps::default();
        let start = self.base(base, path)?;
        let found = self.inodes.lookup_noting(start, path, follows, &mut steps);
        let error = match found {
            Err(error @ (Errno::NOENT | Errno::NOTDIR))
                if steps.dots || !begins_elsewhere(path) =>
            {
                error
            }
            other => return Ok(other?),
        };
        let linked = match follows {
            true => self.generated_target(base, path),
            false => None,
        };
        linked.ok_or(Missing {
            error,
            may_be_generated: true,
        })
    }

    /// What an open descriptor refers to; `changes`: not for descriptors opened with `O_PATH`.
    pub(crate) fn opened(&self, descriptor: usize, changes: bool) -> Result<InodeId> {
        let description = self.descriptors.get(descriptor)?;
        if changes && description.flags & O_PATH != 0 {
            Err(Errno::BADF)
        } else {
            Ok(description.inode)
        }
    }

    /// `stat` and its like.
    pub(crate) fn stat(&self, guest: Guest, id: InodeId, address: usize) -> Result {
        self.stat_inode(guest, &self.inodes[id], u64::from(id.0) + 1, address)
    }

    /// `stat` of an inode and its number.
    pub(crate) fn stat_inode(
        &self,
        guest: Guest,
        inode: &Inode,
        number: u64,
        address: usize,
    ) -> Result {
        let (major, minor) = inode.numbers();
        let seconds = |ns: i64| (ns.div_euclid(NS) as u64, ns.rem_euclid(NS) as u64);
        let (accessed, modified, changed) = (
            seconds(inode.accessed),
            seconds(inode.modified),
            seconds(inode.changed),
        );
        let answer = stat {
            st_dev: DEVICE,
            st_ino: number,
            st_nlink: u64::from(inode.names()),
            st_mode: inode.full_mode(),
            st_uid: inode.uid,
            st_gid: inode.gid,
            __pad0: 0,
            st_rdev: u64::from(major << 8 | minor),
            st_size: inode.size() as i64,
            st_blksize: PAGE_BYTES as i64,
            st_blocks: inode.sectors() as i64,
            st_atime: accessed.0,
            st_atime_nsec: accessed.1,
            st_mtime: modified.0,
            st_mtime_nsec: modified.1,
            st_ctime: changed.0,
            st_ctime_nsec: changed.1,
            __unused: [0; 3],
        };
        guest.write(address, answer)?;
        Ok(0)
    }

    /// `statx`; always the basic set, whatever was asked for.
    pub(crate) fn statx(&self, guest: Guest, id: InodeId, address: usize) -> Result {
        self.statx_inode(guest, &self.inodes[id], u64::from(id.0) + 1, address)
    }

    /// `statx` of an inode and its number.
    pub(crate) fn statx_inode(
        &self,
        guest: Guest,
        inode: &Inode,
        number: u64,
        address: usize,
    ) -> Result {
        let (major, minor) = inode.numbers();
        let time = |ns: i64| statx_timestamp {
            tv_sec: ns.div_euclid(NS),
            tv_nsec: ns.rem_euclid(NS) as u32,
            __reserved: 0,
        };
        // SAFETY: `statx` is integers and arrays of them: all zero is a value.
        let mut answer: statx = unsafe { core::mem::zeroed() };
        answer.stx_mask = STATX_BASIC_STATS;
        answer.stx_blksize = PAGE_BYTES as u32;
        answer.stx_nlink = inode.names();
        answer.stx_uid = inode.uid;
        answer.stx_gid = inode.gid;
        answer.stx_mode = inode.full_mode() as u16;
        answer.stx_ino = number;
        answer.stx_size = inode.size();
        answer.stx_blocks = inode.sectors();
        answer.stx_atime = time(inode.accessed);
        answer.stx_ctime = time(inode.changed);
        answer.stx_mtime = time(inode.modified);
        (answer.stx_rdev_major, answer.stx_rdev_minor) = (major, minor);
        (answer.stx_dev_major, answer.stx_dev_minor) = ((DEVICE >> 8) as u32, DEVICE as u32 & 0xff);
        guest.write(address, answer)?;
        Ok(0)
    }

    /// `access` for user 0, who may do everything but execute what nobody may execute.
    pub(crate) fn access(&self, id: InodeId, wanted: usize) -> Result {
        Self::access_inode(&self.inodes[id], wanted)
    }

    /// `access` to an inode.
    pub(crate) fn access_inode(inode: &Inode, wanted: usize) -> Result {
        if wanted & !7 != 0 {
            return Err(Errno::INVAL);
        }
        let executable = inode.is_directory() || inode.mode & 0o111 != 0;
        if wanted as u32 & X_OK != 0 && !executable {
            Err(Errno::ACCES)
        } else {
            Ok(0)
        }
    }

    /// Whether it is a regular file or a directory.
    pub(crate) fn is_plain(&self, id: InodeId) -> bool {
        matches!(self.inodes[id].kind, Kind::Regular(_) | Kind::Directory(_))
    }

    /// `chmod` and its like.
    pub(crate) fn change_mode(&mut self, id: InodeId, mode: usize) -> Result {
        let now = self.now();
        let inode = &mut self.inodes[id];
        if matches!(inode.kind, Kind::Link(_)) {
            return Err(Errno::OPNOTSUPP);
        }
        if let Kind::Anonymous(S_IFREG | S_IFDIR) = inode.kind {
            return Err(Errno::PERM);
        }
        inode.mode = inode.mode & !0o7777 | mode as u32 & 0o7777;
        inode.changed = now;
        Ok(0)
    }

    /// `chown` and its like; -1 leaves an id.
    pub(crate) fn change_owner(&mut self, id: InodeId, uid: usize, gid: usize) -> Result {
        let now = self.now();
        let inode = &mut self.inodes[id];
        let (uid, gid) = (uid as u32, gid as u32);
        inode.uid = if uid == u32::MAX { inode.uid } else { uid };
        inode.gid = if gid == u32::MAX { inode.gid } else { gid };
        if !inode.is_directory() {
            inode.mode &= !S_ISUID;
            if inode.mode & S_IXGRP != 0 {
                inode.mode &= !S_ISGID;
            }
        }
        inode.changed = now;
        Ok(0)
    }

    /// `utimensat` and its like.
    pub(crate) fn set_times(&mut self, id: InodeId, accessed: Time, modified: Time) -> Result {
        let now = self.now();
        let inode = &mut self.inodes[id];
        let chosen = |time, before| match time {
            Time::At(ns) => ns,
            Time::Now => now,
            Time::Omit => before,
        };
        if matches!((accessed, modified), (Time::Omit, Time::Omit)) {
            return Ok(0);
        }
        inode.accessed = chosen(accessed, inode.accessed);
        inode.modified = chosen(modified, inode.modified);
        inode.changed = now;
        Ok(0)
    }

    /// `statfs`: a tmpfs whose size is the image's memory.
    pub(crate) fn statfs(&self, guest: Guest, address: usize, made: Option<u32>) -> Result {
        let memory = self.host.memory();
        // SAFETY: `statfs` is integers and arrays of them: all zero is a value.
        let mut answer: statfs = unsafe { core::mem::zeroed() };
        answer.f_bsize = PAGE_BYTES as i64;
        answer.f_frsize = PAGE_BYTES as i64;
        answer.f_namelen = super::walk::MAX_NAME as i64;
        answer.f_type = i64::from(made.unwrap_or(TMPFS_MAGIC));
        if made.is_some() {
            guest.write(address, answer)?;
            return Ok(0);
        }
        answer.f_blocks = memory.total_pages as i64;
        answer.f_bfree = memory.free_pages as i64;
        answer.f_bavail = memory.free_pages as i64;
        // An inode needs memory and nothing else; a page is the measure at hand.
        answer.f_files = self.inodes.used() as i64 + memory.free_pages as i64;
        answer.f_ffree = memory.free_pages as i64;
        guest.write(address, answer)?;
        Ok(0)
    }
}
