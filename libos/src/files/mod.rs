//! The in-memory file system of the guest, with Linux semantics.
//! Owns inodes, descriptors, locks, the working directory and the umask; file data lives in
//! pages of its own account. Must never abort for want of memory: that is `ENOSPC` or
//! `ENOMEM`, and the failed call leaves everything as it was (a short write excepted, as
//! POSIX has it).
//!
//! | file | decides |
//! |---|---|
//! | `data` | how a file's bytes lie in pages |
//! | `directory`, `inode` | names, inodes and their life |
//! | `walk` | path resolution |
//! | `descriptors`, `locks` | what is open, what is locked |
//! | `namespace` | open, mkdir, unlink, rename, link, ... |
//! | `transfer`, `copy` | read, write, seek, truncate, allocate; sendfile, copy_file_range |
//! | `attributes` | stat, chmod, chown, times, statfs |
//! | `listing` | getdents64, getcwd, chdir |
//! | `objects` | pipes, sockets, events: all that calls can wait on |
//! | `mapping` | what mappings of files need |
//! | `control` | dup, close, fcntl, flock, ioctl |
//! | `generated` | files of `/proc` |
//! | `roots`, `extended` | chroot; openat2, preadv2 and pwritev2 |
//! | `seals` | memfd_create, seals, O_TMPFILE |
//! | `splice` | splice, tee, vmsplice |
//! | `watches` | inotify |
//! | `archive`, `export` | the boot archive, what `--out` takes |
//! | `guest` | addresses of the application |
//! | `crate::calls::files` | system call numbers and arguments |

mod archive;
mod attributes;
mod control;
mod copy;
mod data;
mod descriptors;
mod directory;
mod error;
mod export;
mod extended;
mod generated;
mod guest;
mod host;
mod inode;
mod listing;
mod locks;
mod mapping;
mod namespace;
mod objects;
mod permissions;
mod roots;
mod seals;
mod splice;
mod status;
mod transfer;
mod walk;
mod watches;

#[cfg(test)]
mod tests;

pub use archive::{ArchiveError, ArchiveFault};
pub(crate) use attributes::{Missing, Time};
pub(crate) use data::Place;
pub use descriptors::MAX_DESCRIPTORS;
pub use error::{Errno, Result};
pub use export::{Sink, Stopped};
pub use generated::Process;
pub(crate) use guest::Guest;
pub use host::{Host, Memory, Window};
pub(crate) use inode::{Inode, InodeId};
pub(crate) use mapping::Mapped;
pub(crate) use objects::{Attempt, Sources, Timeout};
pub(crate) use objects::{Other, Scatter, World, boxed};
pub(crate) use permissions::Subject;
pub(crate) use transfer::At;
pub(crate) use watches::Released;

use alloc::vec::Vec;
use bespoke_heap::Pages;
use descriptors::{Descriptors, Object};
use directory::{Directory, Entry, Name};
use inode::{Device, Inodes, Kind};
use linux_raw_sys::general::{AT_FDCWD, O_LARGEFILE, O_RDONLY, O_RDWR, O_WRONLY, S_ISGID};
use locks::Locks;
use objects::Objects;

/// What the file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Files, directories, links and devices.
    pub inodes: usize,
    /// Pages held from the page source for file data.
    pub pages: usize,
}

/// The file system and the descriptors of the one process.
pub struct Files<H> {
    host: H,
    inodes: Inodes,
    descriptors: Descriptors,
    locks: Locks,
    objects: Objects,
    working_directory: InodeId,
    /// The root that the image began with; another one is the root after `chroot`.
    first_root: InodeId,
    umask: u32,
    /// Bytes a file may grow to (the soft `RLIMIT_FSIZE`).
    size_limit: u64,
    /// Names of files that never had one in a directory.
    memfd_names: Vec<seals::MemfdName>,
    /// `ioctl` of sockets, since the first of them. Common code reaches what is only for sockets through such addresses, so that
    /// images without sockets have nothing of it.
    socket_control: Option<SocketControl<H>>,
    /// Closes what messages alone hold, since the first of them.
    end_rights: Option<fn(&mut Self)>,
}

impl<H> core::fmt::Debug for Files<H> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Files").finish_non_exhaustive()
    }
}

/// `ioctl` of sockets: request and argument.
type SocketControl<H> = fn(&mut Files<H>, Guest, objects::Waitable, [usize; 2]) -> Result;

/// The one process there is, as `F_GETLK` names it.
const PROCESS_ID: i32 = 1;

/// What a hole reads as, a piece at a time.
static ZEROS: [u8; 1024] = [0; 1024];

/// Inodes of the initial tree, and some for the application.
const FIRST_INODES: usize = 24;

/// `/dev`, placed first.
const DEV: InodeId = InodeId(1);

/// Entries of `/dev` at first, the console's among them.
const FIRST_DEVICES: usize = 10;

/// Placed after `/` and `/dev`: parent, name, a device or else a directory, permissions.
const FIRST_TREE: [(InodeId, &[u8], Option<Device>, u32); 10] = [
    (InodeId::ROOT, b"etc", None, 0o755),
    (InodeId::ROOT, b"root", None, 0o700),
    (InodeId::ROOT, b"tmp", None, 0o1777),
    (DEV, b"shm", None, 0o1777),
    (DEV, b"null", Some(Device::Null), 0o666),
    (DEV, b"zero", Some(Device::Zero), 0o666),
    (DEV, b"full", Some(Device::Full), 0o666),
    (DEV, b"random", RANDOM, 0o666),
    (DEV, b"urandom", URANDOM, 0o666),
    (DEV, b"tty", Some(Device::Terminal), 0o666),
];
const RANDOM: Option<Device> = Some(Device::Random { urandom: false });
const URANDOM: Option<Device> = Some(Device::Random { urandom: true });

impl<H: Host> Files<H> {
    /// `/`, `/dev`, `/etc`, `/root` and `/tmp`, the console open as descriptors 0, 1 and 2,
    /// working directory `/`. File data will come from `pages`.
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `ENOMEM`.
    pub fn new(pages: Pages, host: H) -> Result<Self> {
        let inodes = Inodes::new(pages);
        let mut files = Self {
            host,
            inodes,
            descriptors: Descriptors::new(),
            locks: Locks::new(),
            objects: Objects::new(pages),
            working_directory: InodeId::ROOT,
            first_root: InodeId::ROOT,
            umask: 0o022,
            size_limit: data::MAX_LENGTH,
            memfd_names: Vec::new(),
            socket_control: None,
            end_rights: None,
        };
        files.inodes.reserve(FIRST_INODES)?;
        let now = files.now();
        let root = Kind::Directory(Directory::new(InodeId::ROOT));
        let root = files.inodes.create(root, 0o755, now)?;
        files.inodes[root].links = 2;
        files.inodes[root].references += 1;
        // At once: growing by steps costs more than the room.
        let mut dev = Directory::new(root);
        dev.reserve(FIRST_DEVICES)?;
        files.place(root, Name::new(b"dev")?, Kind::Directory(dev), 0o755)?;
        for (parent, name, device, mode) in FIRST_TREE {
            let kind = match device {
                Some(device) => Kind::Device(device),
                None => Kind::Directory(Directory::new(parent)),
            };
            files.place(parent, Name::new(name)?, kind, mode)?;
        }
        for (descriptor, name) in [(0, &b"stdin"[..]), (1, b"stdout"), (2, b"stderr")] {
            let terminal = files.host.terminal(descriptor).is_some();
            let mode = if terminal { 0o620 } else { 0o600 };
            let device = Device::Console {
                descriptor,
                terminal,
            };
            let inode = files.place(DEV, Name::new(name)?, Kind::Device(device), mode)?;
            let access = match (terminal, descriptor) {
                (true, _) => O_RDWR,
                (false, 0) => O_RDONLY,
                (false, _) => O_WRONLY,
            };
            files.descriptors.reserve()?;
            let lowest = files.descriptors.lowest_closed(0)?;
            let object = files.object(inode, access)?;
            files.inodes[inode].references += 1;
            files
                .descriptors
                .open(lowest, object, inode, access | O_LARGEFILE, false);
        }
        Ok(files)
    }

    /// What the file system holds now.
    pub fn usage(&self) -> Usage {
        Usage {
            inodes: self.inodes.used(),
            pages: self.inodes.held_pages(),
        }
    }

    /// The world outside, as given to [`Files::new`].
    pub fn host(&self) -> &H {
        &self.host
    }

    /// Copies from an open regular file, for a private mapping of it; answers the bytes
    /// copied, less than asked only at the end. Moves no position and no access time.
    ///
    /// # Errors
    ///
    /// `EBADF`; `EACCES` when it is not open for reading; `ENODEV` when it is no regular file.
    pub fn read_at(&self, descriptor: usize, offset: u64, buffer: &mut [u8]) -> Result {
        let description = self.descriptors.get(descriptor)?;
        description.readable().map_err(|_| Errno::ACCES)?;
        match &self.inodes[description.inode].kind {
            Kind::Regular(data) => Ok(data.read_at(offset, buffer)),
            _ => Err(Errno::NODEV),
        }
    }

    /// Sets how many descriptors the program may have (the soft `RLIMIT_NOFILE`).
    pub(crate) fn set_descriptor_limit(&mut self, limit: usize) {
        self.descriptors.set_limit(limit);
    }

    /// Sets the bytes a file may grow to.
    pub(crate) fn set_size_limit(&mut self, bytes: u64) {
        self.size_limit = bytes.min(data::MAX_LENGTH);
    }

    /// Whether the program limits the size of files.
    #[inline]
    pub(crate) fn limits_sizes(&self) -> bool {
        self.size_limit != data::MAX_LENGTH
    }

    /// `umask`: answers the one before.
    pub(crate) fn set_umask(&mut self, mask: u32) -> usize {
        core::mem::replace(&mut self.umask, mask & 0o777) as usize
    }

    /// The terminal behind a console description: its own device's, else the one it writes to.
    fn terminal(&self, inode: InodeId, output: u32) -> Option<Window> {
        match self.inodes[inode].kind {
            Kind::Device(Device::Console { descriptor, .. }) => self.host.terminal(descriptor),
            _ => self.host.terminal(output),
        }
    }

    #[inline]
    fn now(&self) -> i64 {
        self.host.now_ns() as i64
    }

    /// Where a relative path starts for directory descriptor `descriptor`.
    fn base(&self, descriptor: usize, path: &[u8]) -> Result<InodeId> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path[0] == b'/' {
            return Ok(InodeId::ROOT);
        }
        self.base_inode(descriptor)
    }

    /// The working directory for `AT_FDCWD`, else what `descriptor` refers to.
    fn base_inode(&self, descriptor: usize) -> Result<InodeId> {
        if descriptor as i32 == AT_FDCWD {
            Ok(self.working_directory)
        } else {
            Ok(self.descriptors.get(descriptor)?.inode)
        }
    }

    /// A new inode named `name` in `parent`, or nothing at all.
    fn place(&mut self, parent: InodeId, name: Name, kind: Kind, mode: u32) -> Result<InodeId> {
        if self.inodes[parent].links == 0 {
            return Err(Errno::NOENT);
        }
        self.inodes[parent].directory_mut()?.reserve(1)?;
        let now = self.now();
        let is_directory = matches!(kind, Kind::Directory(_));
        let inode = self.inodes.create(kind, mode & 0o7777, now)?;
        let (group_mode, gid) = (self.inodes[parent].mode & S_ISGID, self.inodes[parent].gid);
        let new = &mut self.inodes[inode];
        new.links = if is_directory { 2 } else { 1 };
        if group_mode != 0 {
            new.gid = gid;
            new.mode |= if is_directory { S_ISGID } else { 0 };
        }
        let above = &mut self.inodes[parent];
        above.links += u32::from(is_directory);
        above.touch(now);
        above.directory_mut()?.insert(Entry::new(name, inode));
        Ok(inode)
    }

    /// What opening `inode` gives.
    fn object(&mut self, inode: InodeId, flags: u32) -> Result<Object> {
        Ok(match &self.inodes[inode].kind {
            Kind::Regular(_) => Object::Regular,
            Kind::Directory(_) => Object::Directory(None),
            Kind::Device(Device::Null) => Object::Null,
            Kind::Device(Device::Zero) => Object::Zero,
            Kind::Device(Device::Full) => Object::Full,
            Kind::Device(Device::Random { .. }) => Object::Random,
            Kind::Device(Device::Console { descriptor, .. }) => Object::Console {
                input: 0,
                output: (*descriptor).max(1),
            },
            Kind::Device(Device::Terminal) => {
                let terminal = |&descriptor: &u32| self.host.terminal(descriptor).is_some();
                let output = [1, 2, 0].into_iter().find(terminal).ok_or(Errno::NXIO)?;
                Object::Console {
                    input: 0,
                    output: output.max(1),
                }
            }
            Kind::Link(_) | Kind::Free(_) => return Err(Errno::LOOP),
            Kind::Anonymous(_) | Kind::Socket(_) => return Err(Errno::NXIO),
            Kind::Node(_) => return self.open_node(inode, flags),
        })
    }
}
