//! inotify (inotify(7)): instances that are told what calls do with files and folders.
//!
//! Calls on files know nothing of it. The group of inotify's calls observes every call: before one, [`Files::foresee`]
//! notes what its names lead to; after one that succeeded, [`Files::tell_watches`] works out what it did. So programs
//! that watch nothing pay nothing.
//!
//! Owns the instances' watches and events. A watch holds a reference to its inode, so that the number stays that of
//! the file; it ends when nobody else refers to the file any more.

#![allow(
    non_upper_case_globals,
    reason = "system call numbers carry the names of the kernel headers"
)]

use super::descriptors::Object;
use super::directory::Name;
use super::inode::{InodeId, Kind};
use super::objects::{Other, Scatter, Waitable, World, boxed};
use super::walk::{Last, Slash};
use super::{Errno, Files, Guest, Host, Result};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general::*;

/// Events that wait to be read, at most (`/proc/sys/fs/inotify/max_queued_events`).
const MAX_EVENTS: usize = 16_384;
/// `struct inotify_event` without a name.
const HEADER: usize = 16;
/// Flags of `inotify_add_watch` that are no events.
const FLAGS: u32 = IN_ONLYDIR
    | IN_DONT_FOLLOW
    | IN_EXCL_UNLINK
    | IN_MASK_CREATE
    | IN_MASK_ADD
    | IN_ISDIR
    | IN_ONESHOT;
/// What a watch keeps of them.
const KEPT: u32 = IN_ALL_EVENTS | IN_ONESHOT | IN_EXCL_UNLINK;
/// `renameat2` flags.
const EXCHANGE: usize = 1 << 1;

struct Watch {
    number: i32,
    inode: InodeId,
    mask: u32,
}

struct Event {
    watch: i32,
    mask: u32,
    cookie: u32,
    name: Option<Name>,
}

impl Event {
    fn name(&self) -> &[u8] {
        self.name.as_ref().map_or(&[], |name| name.bytes())
    }

    /// Bytes of the name with its zeros.
    fn name_bytes(&self) -> usize {
        match self.name().len() {
            0 => 0,
            length => (length + 1).next_multiple_of(HEADER),
        }
    }
}

/// An instance.
pub(crate) struct Inotify {
    watches: Vec<Watch>,
    /// The last number of a watch.
    last: i32,
    events: VecDeque<Event>,
    bytes: usize,
    /// Inodes that its close lets go of.
    released: &'static Released,
}

/// Inodes whose watches ended with their instance, which cannot reach the inodes itself.
pub(crate) type Released = crate::single::Single<Vec<InodeId>>;

impl Inotify {
    /// Queues an event; whether there were none before.
    fn queue(&mut self, event: Event) -> bool {
        let is_same = self.events.back().is_some_and(|last| {
            (last.watch, last.mask, last.cookie) == (event.watch, event.mask, event.cookie)
                && last.name() == event.name()
        });
        if is_same {
            return false;
        }
        let event = match self.events.len() {
            0..MAX_EVENTS => event,
            MAX_EVENTS => Event {
                watch: -1,
                mask: IN_Q_OVERFLOW,
                cookie: 0,
                name: None,
            },
            _ => return false,
        };
        if self.events.try_reserve(1).is_err() {
            return false;
        }
        self.bytes += HEADER + event.name_bytes();
        self.events.push_back(event);
        true
    }
}

impl Other for Inotify {
    fn kind(&self) -> &'static str {
        "inotify"
    }

    fn readiness(&mut self) -> u32 {
        if self.events.is_empty() {
            0
        } else {
            POLLIN | POLLRDNORM
        }
    }

    fn read(&mut self, _world: &mut World<'_>, to: &mut Scatter<'_>) -> Result {
        let mut done = 0;
        while let Some(event) = self.events.front() {
            let bytes = event.name_bytes();
            if to.remaining() < HEADER + bytes {
                return if done > 0 {
                    Ok(done)
                } else {
                    Err(Errno::INVAL)
                };
            }
            for word in [event.watch as u32, event.mask, event.cookie, bytes as u32] {
                to.put(&word.to_ne_bytes());
            }
            let name = event.name();
            to.put(name);
            to.put(&super::ZEROS[..bytes - name.len()]);
            done += HEADER + bytes;
            self.bytes -= HEADER + bytes;
            self.events.pop_front();
        }
        if done > 0 {
            Ok(done)
        } else {
            Err(Errno::AGAIN)
        }
    }

    fn readable_bytes(&mut self) -> Result {
        Ok(self.bytes)
    }

    fn renumber(&mut self, one: InodeId, other: InodeId) {
        for watch in &mut self.watches {
            if watch.inode == one {
                watch.inode = other;
            } else if watch.inode == other {
                watch.inode = one;
            }
        }
    }

    fn close(&mut self, _world: &mut World<'_>) {
        self.released.with(|released| {
            for watch in self.watches.drain(..) {
                if released.try_reserve(1).is_ok() {
                    released.push(watch.inode);
                }
            }
        });
    }
}

/// A name as it was before a call.
pub(crate) struct Seen {
    parent: InodeId,
    name: Name,
    inode: Option<InodeId>,
    is_directory: bool,
}

/// What a call may do, noted before it is made.
pub(crate) enum Foreseen {
    /// Nothing that depends on what was before.
    Nothing,
    /// It opens a file; whether the name led to something, which is cut.
    Open { existed: bool, cuts: bool },
    /// It removes a name.
    Remove(Option<Seen>),
    /// It moves a name.
    Move(Option<Seen>, Option<Seen>),
    /// It closes the last descriptor of a file that was open so.
    Close(InodeId, u32),
}

impl<H: Host> Files<H> {
    /// `inotify_init`, `inotify_init1`
    pub(crate) fn make_inotify(&mut self, flags: u32, released: &'static Released) -> Result {
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(Errno::INVAL);
        }
        let object = boxed(Inotify {
            watches: Vec::new(),
            last: 0,
            events: VecDeque::new(),
            bytes: 0,
            released,
        })?;
        self.open_other(object, flags | O_RDONLY)
    }

    /// `inotify_add_watch`
    pub(crate) fn add_watch(
        &mut self,
        guest: Guest,
        descriptor: usize,
        path: usize,
        mask: u32,
    ) -> Result {
        if mask & (IN_ALL_EVENTS | FLAGS) == 0 || mask & !(IN_ALL_EVENTS | FLAGS | IN_UNMOUNT) != 0
        {
            return Err(Errno::INVAL);
        }
        self.descriptors.get(descriptor)?;
        if mask & IN_MASK_ADD != 0 && mask & IN_MASK_CREATE != 0 {
            return Err(Errno::INVAL);
        }
        self.other::<Inotify>(descriptor)?;
        let path = guest.path(path)?;
        let follows = if mask & IN_DONT_FOLLOW != 0 {
            AT_SYMLINK_NOFOLLOW
        } else {
            0
        };
        let inode = self.target(AT_FDCWD as usize, path, follows)?;
        if mask & IN_ONLYDIR != 0 && !self.inodes[inode].is_directory() {
            return Err(Errno::NOTDIR);
        }
        let (_, instance) = self.other::<Inotify>(descriptor)?;
        let found = instance.watches.iter_mut();
        if let Some(watch) = found.into_iter().find(|watch| watch.inode == inode) {
            if mask & IN_MASK_CREATE != 0 {
                return Err(Errno::EXIST);
            }
            let before = if mask & IN_MASK_ADD != 0 {
                watch.mask
            } else {
                0
            };
            watch.mask = before | mask & KEPT;
            return Ok(watch.number as usize);
        }
        instance.watches.try_reserve(1).map_err(|_| Errno::NOMEM)?;
        instance.last += 1;
        let number = instance.last;
        instance.watches.push(Watch {
            number,
            inode,
            mask: mask & KEPT,
        });
        self.inodes[inode].references += 1;
        Ok(number as usize)
    }

    /// `inotify_rm_watch`
    pub(crate) fn remove_watch(&mut self, descriptor: usize, number: usize) -> Result {
        self.descriptors.get(descriptor)?;
        let (object, instance) = self.other::<Inotify>(descriptor)?;
        let mut watches = instance.watches.iter();
        let index = watches
            .position(|watch| watch.number == number as i32)
            .ok_or(Errno::INVAL)?;
        self.end_watch(object, index);
        Ok(0)
    }

    /// A watch ends, which its instance is told.
    fn end_watch(&mut self, object: u32, index: usize) {
        let Some(instance) = self.other_numbered::<Inotify>(object) else {
            return;
        };
        let watch = instance.watches.remove(index);
        instance.queue(Event {
            watch: watch.number,
            mask: IN_IGNORED,
            cookie: 0,
            name: None,
        });
        self.tell_other(object, POLLIN | POLLRDNORM);
        self.inodes.unreference(watch.inode);
    }

    /// The numbers of all instances, one after the other.
    fn next_instance(&self, after: Option<u32>) -> Option<u32> {
        let from = after.map_or(0, |number| number + 1);
        self.objects
            .other_numbers()
            .find(|&number| number >= from && self.objects.is_other::<Inotify>(number))
    }

    /// Tells those who watch `inode` of an event.
    fn tell_of(&mut self, inode: InodeId, mask: u32, cookie: u32, name: &[u8]) {
        let mut last = None;
        while let Some(object) = self.next_instance(last) {
            last = Some(object);
            let Some(instance) = self.other_numbered::<Inotify>(object) else {
                continue;
            };
            let mut watches = instance.watches.iter();
            let Some(index) = watches.position(|watch| watch.inode == inode) else {
                continue;
            };
            let watch = &instance.watches[index];
            if watch.mask & mask & IN_ALL_EVENTS == 0 {
                continue;
            }
            let (number, once) = (watch.number, watch.mask & IN_ONESHOT != 0);
            let Ok(name) = Name::new(name) else {
                continue;
            };
            let is_new = instance.queue(Event {
                watch: number,
                mask,
                cookie,
                name: Some(name),
            });
            if is_new {
                self.tell_other(object, POLLIN | POLLRDNORM);
            }
            if once {
                self.end_watch(object, index);
            }
        }
    }

    /// Tells those who watch a file, and those who watch its folder.
    fn tell_of_file(&mut self, inode: InodeId, mask: u32) {
        let is_directory = self.inodes[inode].is_directory();
        let mask = mask | if is_directory { IN_ISDIR } else { 0 };
        let place = if is_directory {
            let parent = self.inodes[inode].directory().map(|own| own.parent);
            let parent = parent.unwrap_or(InodeId::ROOT);
            let slot = self.inodes[parent].directory().ok().and_then(|above| {
                let mut entries = above.entries().iter();
                entries.position(|entry| entry.inode == inode)
            });
            slot.map(|slot| (parent, slot))
        } else if self.inodes[inode].links > 0 {
            self.inodes.find_name(inode)
        } else {
            None
        };
        if let Some((parent, slot)) = place
            && let Ok(above) = self.inodes[parent].directory()
            && let Ok(name) = Name::new(above.entries()[slot].name.bytes())
        {
            self.tell_of(parent, mask, 0, name.bytes());
        }
        self.tell_of(inode, mask, 0, b"");
    }

    /// Ends the watches of files that nobody else refers to.
    fn end_watches_of_gone_files(&mut self) {
        let mut last = None;
        while let Some(object) = self.next_instance(last) {
            last = Some(object);
            let mut index = 0;
            while let Some(inode) = self
                .other_numbered::<Inotify>(object)
                .and_then(|instance| Some(instance.watches.get(index)?.inode))
            {
                index += 1;
                if self.inodes[inode].links > 0
                    || self.inodes[inode].references > self.watches_of(inode)
                {
                    continue;
                }
                self.tell_of(inode, IN_DELETE_SELF, 0, b"");
                if let Some(instance) = self.other_numbered::<Inotify>(object)
                    && instance
                        .watches
                        .get(index - 1)
                        .is_some_and(|watch| watch.inode == inode)
                {
                    self.end_watch(object, index - 1);
                }
                index = 0;
            }
        }
    }

    fn watches_of(&mut self, inode: InodeId) -> u32 {
        let (mut last, mut count) = (None, 0);
        while let Some(object) = self.next_instance(last) {
            last = Some(object);
            if let Some(instance) = self.other_numbered::<Inotify>(object) {
                let watches = instance.watches.iter();
                count += watches.filter(|watch| watch.inode == inode).count() as u32;
            }
        }
        count
    }

    fn seen(&self, guest: Guest, base: usize, path: usize) -> Option<Seen> {
        let path = guest.path(path).ok()?;
        let base = self.base(base, path).ok()?;
        let spot = self.inodes.locate(base, path, false, Slash::Kept).ok()?;
        if spot.last != Last::Name {
            return None;
        }
        Some(Seen {
            parent: spot.parent,
            name: Name::new(spot.name).ok()?,
            inode: spot.inode,
            is_directory: spot
                .inode
                .is_some_and(|inode| self.inodes[inode].is_directory()),
        })
    }

    fn existed(&self, guest: Guest, base: usize, path: usize) -> bool {
        let found = guest.path(path).and_then(|path| self.target(base, path, 0));
        found.is_ok()
    }

    fn foresee_close(&self, descriptor: usize) -> Foreseen {
        match self.descriptors.get(descriptor) {
            Ok(open) if open.descriptors == 1 && open.flags & O_PATH == 0 => {
                Foreseen::Close(open.inode, open.flags)
            }
            _ => Foreseen::Nothing,
        }
    }

    /// Notes what has to be known before a call is made.
    pub(crate) fn foresee(
        &self,
        guest: Guest,
        number: usize,
        [a, b, c, d, ..]: [usize; 6],
    ) -> Foreseen {
        const HERE: usize = AT_FDCWD as isize as usize;
        match number as u32 {
            __NR_open => Foreseen::Open {
                existed: self.existed(guest, HERE, a),
                cuts: b as u32 & O_TRUNC != 0,
            },
            __NR_creat => Foreseen::Open {
                existed: self.existed(guest, HERE, a),
                cuts: true,
            },
            __NR_openat => Foreseen::Open {
                existed: self.existed(guest, a, b),
                cuts: c as u32 & O_TRUNC != 0,
            },
            __NR_openat2 => Foreseen::Open {
                existed: self.existed(guest, a, b),
                cuts: guest
                    .read::<u64>(c)
                    .is_ok_and(|flags| flags as u32 & O_TRUNC != 0),
            },
            __NR_unlink | __NR_rmdir => Foreseen::Remove(self.seen(guest, HERE, a)),
            __NR_unlinkat => Foreseen::Remove(self.seen(guest, a, b)),
            __NR_rename => Foreseen::Move(self.seen(guest, HERE, a), self.seen(guest, HERE, b)),
            __NR_renameat | __NR_renameat2 => {
                Foreseen::Move(self.seen(guest, a, b), self.seen(guest, c, d))
            }
            __NR_close => self.foresee_close(a),
            __NR_dup2 | __NR_dup3 if a != b => self.foresee_close(b),
            _ => Foreseen::Nothing,
        }
    }

    /// Tells of what a call did that answered `answer`.
    pub(crate) fn tell_watches(
        &mut self,
        guest: Guest,
        number: usize,
        arguments: [usize; 6],
        answer: isize,
        foreseen: Foreseen,
        cookies: &mut u32,
    ) {
        if answer >= 0 {
            match foreseen {
                Foreseen::Nothing => self.tell_plainly(guest, number, arguments, answer as usize),
                Foreseen::Open { existed, cuts } => {
                    self.tell_of_open(answer as usize, existed, cuts)
                }
                Foreseen::Remove(Some(seen)) => self.tell_of_removal(&seen),
                Foreseen::Move(Some(from), Some(to)) => {
                    let exchange = number as u32 == __NR_renameat2 && arguments[4] & EXCHANGE != 0;
                    self.tell_of_move(&from, &to, exchange, cookies);
                }
                Foreseen::Close(inode, flags) => {
                    let mask = match flags & O_ACCMODE {
                        O_RDONLY => IN_CLOSE_NOWRITE,
                        _ => IN_CLOSE_WRITE,
                    };
                    if !matches!(self.inodes[inode].kind, Kind::Free(_)) {
                        self.tell_of_file(inode, mask);
                    }
                }
                Foreseen::Remove(None) | Foreseen::Move(..) => {}
            }
        }
        self.end_watches_of_gone_files();
    }

    fn tell_of_open(&mut self, descriptor: usize, existed: bool, cuts: bool) {
        let Ok(description) = self.descriptors.get(descriptor) else {
            return;
        };
        let (inode, flags) = (description.inode, description.flags);
        let is_cut = matches!(description.object, Object::Regular) && cuts;
        if flags & O_PATH != 0 {
            return;
        }
        if !existed {
            self.tell_of_creation(inode);
        }
        self.tell_of_file(inode, IN_OPEN);
        if existed && is_cut {
            self.tell_of_file(inode, IN_MODIFY);
        }
    }

    fn tell_of_creation(&mut self, inode: InodeId) {
        if let Some((parent, slot)) = self.inodes.find_name(inode)
            && let Ok(above) = self.inodes[parent].directory()
            && let Ok(name) = Name::new(above.entries()[slot].name.bytes())
        {
            self.tell_of(parent, IN_CREATE, 0, name.bytes());
        }
    }

    fn tell_of_removal(&mut self, seen: &Seen) {
        let Some(inode) = seen.inode else {
            return;
        };
        // A folder, or a file that nobody has open, may be gone without a watch on it.
        let mut mask = IN_DELETE;
        match seen.is_directory {
            true => mask |= IN_ISDIR,
            false => self.tell_of(inode, IN_ATTRIB, 0, b""),
        }
        self.end_watches_of_gone_files();
        self.tell_of(seen.parent, mask, 0, seen.name.bytes());
    }

    fn tell_of_move(&mut self, from: &Seen, to: &Seen, exchange: bool, cookies: &mut u32) {
        let Some(inode) = from.inode.filter(|_| from.inode != to.inode) else {
            return;
        };
        self.tell_of_one_move(inode, from, to, cookies);
        match to.inode {
            Some(other) if exchange => self.tell_of_one_move(other, to, from, cookies),
            Some(target) => {
                if !matches!(self.inodes[target].kind, Kind::Free(_)) {
                    self.tell_of(target, IN_ATTRIB, 0, b"");
                }
                self.tell_of(inode, IN_MOVE_SELF, 0, b"");
            }
            None => self.tell_of(inode, IN_MOVE_SELF, 0, b""),
        }
    }

    fn tell_of_one_move(&mut self, inode: InodeId, from: &Seen, to: &Seen, cookies: &mut u32) {
        *cookies = cookies.wrapping_add(1).max(1);
        let folder = if self.inodes[inode].is_directory() {
            IN_ISDIR
        } else {
            0
        };
        self.tell_of(
            from.parent,
            IN_MOVED_FROM | folder,
            *cookies,
            from.name.bytes(),
        );
        self.tell_of(to.parent, IN_MOVED_TO | folder, *cookies, to.name.bytes());
    }

    fn tell_of_descriptor(&mut self, descriptor: usize, mask: u32) {
        if let Ok(inode) = self.opened(descriptor, true)
            && !matches!(
                self.descriptors.get(descriptor).map(|open| &open.object),
                Ok(Object::Waitable(
                    Waitable::Pipe(..) | Waitable::Epoll(_) | Waitable::Counter(_)
                )) | Ok(Object::Snapshot(_))
            )
        {
            self.tell_of_file(inode, mask);
        }
    }

    fn tell_of_path(&mut self, guest: Guest, base: usize, path: usize, flags: u32, mask: u32) {
        let found = guest
            .path(path)
            .and_then(|path| self.target(base, path, flags));
        if let Ok(inode) = found {
            self.tell_of_file(inode, mask);
        }
    }

    /// A call made a name.
    fn tell_of_new_name(&mut self, guest: Guest, base: usize, path: usize) {
        let Some(seen) = self.seen(guest, base, path) else {
            return;
        };
        let is_directory = seen
            .inode
            .is_some_and(|new| self.inodes[new].is_directory());
        let folder = if is_directory { IN_ISDIR } else { 0 };
        self.tell_of(seen.parent, IN_CREATE | folder, 0, seen.name.bytes());
    }

    fn tell_of_link(&mut self, guest: Guest, base: usize, path: usize) {
        if let Some(inode) = self.seen(guest, base, path).and_then(|seen| seen.inode) {
            self.tell_of(inode, IN_ATTRIB, 0, b"");
        }
        self.tell_of_new_name(guest, base, path);
    }

    /// Which event new times are.
    fn mask_of_times(guest: Guest, times: usize) -> u32 {
        let omitted = |index: usize| {
            let time = guest.read::<[i64; 4]>(times);
            time.is_ok_and(|time| time[2 * index + 1] == i64::from(UTIME_OMIT))
        };
        match times {
            0 => IN_ATTRIB,
            _ => match (omitted(0), omitted(1)) {
                (false, false) => IN_ATTRIB,
                (false, true) => IN_ACCESS,
                (true, false) => IN_MODIFY,
                (true, true) => 0,
            },
        }
    }

    fn tell_plainly(
        &mut self,
        guest: Guest,
        number: usize,
        [a, b, c, d, e, _]: [usize; 6],
        answer: usize,
    ) {
        const HERE: usize = AT_FDCWD as isize as usize;
        let nofollow = AT_SYMLINK_NOFOLLOW;
        match number as u32 {
            __NR_read | __NR_pread64 | __NR_readv | __NR_preadv | __NR_preadv2 if answer > 0 => {
                self.tell_of_descriptor(a, IN_ACCESS);
            }
            __NR_write | __NR_pwrite64 | __NR_writev | __NR_pwritev | __NR_pwritev2
                if answer > 0 =>
            {
                self.tell_of_descriptor(a, IN_MODIFY);
            }
            __NR_sendfile if answer > 0 => {
                self.tell_of_descriptor(b, IN_ACCESS);
                self.tell_of_descriptor(a, IN_MODIFY);
            }
            __NR_copy_file_range | __NR_splice if answer > 0 => {
                self.tell_of_descriptor(a, IN_ACCESS);
                self.tell_of_descriptor(c, IN_MODIFY);
            }
            __NR_getdents64 => self.tell_of_descriptor(a, IN_ACCESS),
            __NR_ftruncate | __NR_fallocate => self.tell_of_descriptor(a, IN_MODIFY),
            __NR_fchmod | __NR_fchown => self.tell_of_descriptor(a, IN_ATTRIB),
            __NR_truncate => self.tell_of_path(guest, HERE, a, 0, IN_MODIFY),
            __NR_chmod | __NR_chown => self.tell_of_path(guest, HERE, a, 0, IN_ATTRIB),
            __NR_lchown => self.tell_of_path(guest, HERE, a, nofollow, IN_ATTRIB),
            __NR_fchmodat => self.tell_of_path(guest, a, b, 0, IN_ATTRIB),
            __NR_fchownat => self.tell_of_path(guest, a, b, e as u32, IN_ATTRIB),
            __NR_utime | __NR_utimes => self.tell_of_path(guest, HERE, a, 0, IN_ATTRIB),
            __NR_futimesat => self.tell_of_path(guest, a, b, 0, IN_ATTRIB),
            __NR_utimensat => match (b, Self::mask_of_times(guest, c)) {
                (_, 0) => {}
                (0, mask) => self.tell_of_descriptor(a, mask),
                (_, mask) => self.tell_of_path(guest, a, b, d as u32, mask),
            },
            __NR_mkdir | __NR_mknod => self.tell_of_new_name(guest, HERE, a),
            __NR_mkdirat | __NR_mknodat => self.tell_of_new_name(guest, a, b),
            __NR_symlink => self.tell_of_new_name(guest, HERE, b),
            __NR_symlinkat => self.tell_of_new_name(guest, b, c),
            __NR_link => self.tell_of_link(guest, HERE, b),
            __NR_linkat => self.tell_of_link(guest, c, d),
            _ => {}
        }
    }

    /// Lets go of inodes whose watches ended with their instance.
    pub(crate) fn let_go(&mut self, released: &'static Released) {
        while let Some(inode) = released.with(Vec::pop) {
            self.inodes.unreference(inode);
        }
    }
}
