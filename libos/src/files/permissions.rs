//! What a process that is no longer root may do with files (path_resolution(7), chmod(2), chown(2), unlink(2)).
//!
//! Calls on files know nothing of it, for a process is root as a rule, and root may do everything. The group of calls by
//! which it becomes somebody else observes every call from then on: [`Files::forbids`] says before one whether it is
//! allowed, and [`Files::give_away`] makes its user the owner of what it made. A path that leads nowhere is left to the
//! call itself, whose error it is.

#![allow(
    non_upper_case_globals,
    reason = "system call numbers carry the names of the kernel headers"
)]

use super::inode::{Inode, InodeId, Kind};
use super::walk::{Last, Slash, Spot};
use super::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::general::*;

const HERE: usize = AT_FDCWD as isize as usize;
const MAX_LINKS: usize = 40;
const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;
/// First port that everybody may have.
const FREE_PORTS: u16 = 1024;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

/// Who asks.
#[derive(Clone, Copy)]
pub(crate) struct Subject {
    pub user: u32,
    pub group: u32,
    /// Whether it is in a group.
    pub is_in: fn(u32) -> bool,
    /// May read, write and search whatever the mode says.
    pub overrides: bool,
    /// May read and search whatever the mode says.
    pub reads_all: bool,
    /// May do what a file's owner may.
    pub owns_all: bool,
    /// May give files away.
    pub gives_away: bool,
    /// May have ports below 1024.
    pub binds_all: bool,
}

/// What a call made, which is to belong to its user.
pub(crate) enum Made {
    Nothing,
    /// A file that it answered a descriptor of.
    Open(InodeId),
    /// A name in a folder, where a path leads.
    Name(InodeId, usize, usize),
}

impl Subject {
    /// The right to what `wanted` says, of reading, writing, and searching or executing.
    fn may(&self, inode: &Inode, wanted: u32) -> Result<()> {
        let class = match self {
            _ if inode.uid == self.user => inode.mode >> 6,
            _ if inode.gid == self.group || (self.is_in)(inode.gid) => inode.mode >> 3,
            _ => inode.mode,
        };
        let is_directory = inode.is_directory();
        let is_executable = is_directory || inode.mode & 0o111 != 0;
        let reads = wanted == READ || is_directory && wanted & WRITE == 0;
        match class & wanted == wanted
            || self.overrides && (wanted & SEARCH == 0 || is_executable)
            || self.reads_all && reads
        {
            true => Ok(()),
            false => Err(Errno::ACCES),
        }
    }

    fn owns(&self, inode: &Inode) -> Result<()> {
        match self.owns_all || inode.uid == self.user {
            true => Ok(()),
            false => Err(Errno::PERM),
        }
    }
}

impl<H: Host> Files<H> {
    /// The error of a call that is not allowed, or what is to be given away after it.
    pub(crate) fn forbids(
        &self,
        guest: Guest,
        number: usize,
        arguments: [usize; 6],
        subject: &Subject,
        real: &Subject,
    ) -> Result<Made> {
        let [a, b, c, d, e, _] = arguments;
        let target = |base, path, follow| self.reached(guest, base, path, follow, subject);
        let follows = |flags: usize| flags as u32 & AT_SYMLINK_NOFOLLOW == 0;
        let is_folder = |inode: &InodeId| self.inodes[*inode].is_directory();
        let is_regular = |inode: &InodeId| matches!(self.inodes[*inode].kind, Kind::Regular(_));
        match number as u32 {
            __NR_open => self.forbids_open(guest, (HERE, a), b as u32, subject),
            __NR_openat => self.forbids_open(guest, (a, b), c as u32, subject),
            __NR_creat => {
                self.forbids_open(guest, (HERE, a), O_CREAT | O_WRONLY | O_TRUNC, subject)
            }
            __NR_openat2 => match guest.read::<u64>(c) {
                Ok(flags) => self.forbids_open(guest, (a, b), flags as u32, subject),
                Err(_) => Ok(Made::Nothing),
            },
            __NR_stat | __NR_statfs | __NR_getxattr | __NR_listxattr => {
                target(HERE, a, true).map(|_| Made::Nothing)
            }
            __NR_lstat | __NR_readlink | __NR_lgetxattr | __NR_llistxattr => {
                target(HERE, a, false).map(|_| Made::Nothing)
            }
            __NR_readlinkat => target(a, b, false).map(|_| Made::Nothing),
            __NR_newfstatat => target(a, b, follows(d)).map(|_| Made::Nothing),
            __NR_statx => target(a, b, follows(c)).map(|_| Made::Nothing),
            __NR_access => self.forbids_access(guest, (HERE, a), b, 0, real),
            __NR_faccessat => self.forbids_access(guest, (a, b), c, 0, real),
            __NR_faccessat2 if d as u32 & AT_EACCESS != 0 => {
                self.forbids_access(guest, (a, b), c, d, subject)
            }
            __NR_faccessat2 => self.forbids_access(guest, (a, b), c, d, real),
            // What is of the wrong kind is for the call to refuse.
            __NR_chdir => self.needs(target(HERE, a, true)?.filter(is_folder), SEARCH, subject),
            __NR_fchdir => self.needs(self.behind(a).filter(is_folder), SEARCH, subject),
            __NR_truncate => self.needs(target(HERE, a, true)?.filter(is_regular), WRITE, subject),
            __NR_mkdir | __NR_mknod => self.forbids_name(guest, (HERE, a), subject),
            __NR_mkdirat | __NR_mknodat => self.forbids_name(guest, (a, b), subject),
            __NR_symlink => self.forbids_name(guest, (HERE, b), subject),
            __NR_symlinkat => self.forbids_name(guest, (b, c), subject),
            __NR_link => self.forbids_link(guest, target(HERE, a, false)?, (HERE, b), subject),
            __NR_linkat => {
                let file = target(a, b, e as u32 & AT_SYMLINK_FOLLOW != 0)?;
                self.forbids_link(guest, file, (c, d), subject)
            }
            __NR_unlink | __NR_rmdir => self.forbids_removal(guest, (HERE, a), subject),
            __NR_unlinkat => self.forbids_removal(guest, (a, b), subject),
            __NR_rename => self.forbids_move(guest, (HERE, a), (HERE, b), subject),
            __NR_renameat | __NR_renameat2 => self.forbids_move(guest, (a, b), (c, d), subject),
            __NR_chmod => self.needs_owner(target(HERE, a, true)?, subject),
            __NR_fchmodat => self.needs_owner(target(a, b, true)?, subject),
            __NR_fchmod => self.needs_owner(self.behind(a), subject),
            __NR_chown => self.forbids_gift(target(HERE, a, true)?, b, c, subject),
            __NR_lchown => self.forbids_gift(target(HERE, a, false)?, b, c, subject),
            __NR_fchown => self.forbids_gift(self.behind(a), b, c, subject),
            __NR_fchownat => self.forbids_gift(target(a, b, follows(e))?, c, d, subject),
            __NR_utimensat if b == 0 => self.forbids_times(guest, self.behind(a), c, subject),
            __NR_utimensat => self.forbids_times(guest, target(a, b, follows(d))?, c, subject),
            __NR_futimesat => self.forbids_times(guest, target(a, b, true)?, c, subject),
            __NR_utimes | __NR_utime => {
                self.forbids_times(guest, target(HERE, a, true)?, b, subject)
            }
            __NR_bind if !subject.binds_all => match guest.read::<[u16; 2]>(b) {
                Ok([AF_INET | AF_INET6, port]) if (1..FREE_PORTS).contains(&u16::from_be(port)) => {
                    Err(Errno::ACCES)
                }
                _ => Ok(Made::Nothing),
            },
            _ => Ok(Made::Nothing),
        }
    }

    /// Makes the user of a call the owner of what it made.
    pub(crate) fn give_away(&mut self, guest: Guest, made: Made, answer: usize, subject: &Subject) {
        let (parent, inode) = match made {
            Made::Nothing => return,
            Made::Open(parent) => (parent, self.behind(answer)),
            Made::Name(parent, base, path) => {
                let spot = self.spot(guest, base, path, false);
                (parent, spot.and_then(|spot| spot.inode))
            }
        };
        let Some(inode) = inode else {
            return;
        };
        let above = &self.inodes[parent];
        let group = match above.mode & S_ISGID {
            0 => subject.group,
            _ => above.gid,
        };
        let inode = &mut self.inodes[inode];
        (inode.uid, inode.gid) = (subject.user, group);
    }

    /// The file behind a descriptor.
    fn behind(&self, descriptor: usize) -> Option<InodeId> {
        let open = self.descriptors.get(descriptor).ok()?;
        Some(open.inode)
    }

    fn spot<'a>(
        &'a self,
        guest: Guest,
        base: usize,
        path: usize,
        follow: bool,
    ) -> Option<Spot<'a>> {
        let path = guest.path(path).ok()?;
        let start = self.base(base, path).ok()?;
        self.inodes.locate(start, path, follow, Slash::Kept).ok()
    }

    /// Where a path leads, if all folders on the way may be searched.
    fn reached(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        follow: bool,
        subject: &Subject,
    ) -> Result<Option<InodeId>> {
        self.searches(guest, base, path, follow, subject)?;
        Ok(self
            .spot(guest, base, path, follow)
            .and_then(|spot| spot.inode))
    }

    fn searches(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        follow: bool,
        subject: &Subject,
    ) -> Result<()> {
        let Ok(path) = guest.path(path) else {
            return Ok(());
        };
        match self.base(base, path) {
            Ok(start) => self.passes(start, path, follow, subject, 0),
            Err(_) => Ok(()),
        }
    }

    /// Whether all folders on the way of `path` may be searched.
    fn passes(
        &self,
        start: InodeId,
        path: &[u8],
        follow: bool,
        subject: &Subject,
        links: usize,
    ) -> Result<()> {
        let mut folder = match path.first() {
            Some(b'/') => InodeId::ROOT,
            _ => start,
        };
        let mut names = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty())
            .peekable();
        while let Some(name) = names.next() {
            let inode = &self.inodes[folder];
            let Ok(directory) = inode.directory() else {
                return Ok(());
            };
            subject.may(inode, SEARCH)?;
            let is_last = names.peek().is_none();
            let next = match name {
                b"." => folder,
                b".." => directory.parent,
                name => match directory.find(name) {
                    Ok(slot) => directory.entries()[slot].inode,
                    Err(_) => return Ok(()),
                },
            };
            folder = match &self.inodes[next].kind {
                Kind::Link(text) if !is_last || follow => {
                    if links == MAX_LINKS {
                        return Ok(());
                    }
                    self.passes(folder, text, true, subject, links + 1)?;
                    match self.inodes.lookup(folder, text, true) {
                        Ok(inode) => inode,
                        Err(_) => return Ok(()),
                    }
                }
                _ => next,
            };
        }
        Ok(())
    }

    fn needs(&self, inode: Option<InodeId>, wanted: u32, subject: &Subject) -> Result<Made> {
        if let Some(inode) = inode {
            subject.may(&self.inodes[inode], wanted)?;
        }
        Ok(Made::Nothing)
    }

    fn needs_owner(&self, inode: Option<InodeId>, subject: &Subject) -> Result<Made> {
        if let Some(inode) = inode {
            subject.owns(&self.inodes[inode])?;
        }
        Ok(Made::Nothing)
    }

    fn forbids_open(
        &self,
        guest: Guest,
        (base, path): (usize, usize),
        flags: u32,
        subject: &Subject,
    ) -> Result<Made> {
        let makes = flags & O_CREAT != 0;
        let follow = flags & O_NOFOLLOW == 0 && !(makes && flags & O_EXCL != 0);
        self.searches(guest, base, path, follow, subject)?;
        let Some(spot) = self.spot(guest, base, path, follow) else {
            return Ok(Made::Nothing);
        };
        let Some(inode) = spot.inode else {
            if makes {
                subject.may(&self.inodes[spot.parent], WRITE | SEARCH)?;
                return Ok(Made::Open(spot.parent));
            }
            return Ok(Made::Nothing);
        };
        let is_refused_anyway = makes && flags & O_EXCL != 0 || flags & O_PATH != 0;
        if is_refused_anyway || matches!(self.inodes[inode].kind, Kind::Link(_)) {
            return Ok(Made::Nothing);
        }
        let mut wanted = match flags & O_ACCMODE {
            O_RDONLY => READ,
            O_WRONLY => WRITE,
            _ => READ | WRITE,
        };
        if flags & O_TRUNC != 0 {
            wanted |= WRITE;
        }
        self.needs(Some(inode), wanted, subject)
    }

    fn forbids_access(
        &self,
        guest: Guest,
        (base, path): (usize, usize),
        wanted: usize,
        flags: usize,
        subject: &Subject,
    ) -> Result<Made> {
        let follow = flags as u32 & AT_SYMLINK_NOFOLLOW == 0;
        let inode = self.reached(guest, base, path, follow, subject)?;
        match wanted as u32 {
            0 | 8.. => Ok(Made::Nothing),
            wanted => self.needs(inode, wanted, subject),
        }
    }

    /// A new name.
    fn forbids_name(
        &self,
        guest: Guest,
        (base, path): (usize, usize),
        subject: &Subject,
    ) -> Result<Made> {
        self.searches(guest, base, path, false, subject)?;
        match self.spot(guest, base, path, false) {
            Some(spot) if spot.inode.is_none() => {
                subject.may(&self.inodes[spot.parent], WRITE | SEARCH)?;
                Ok(Made::Name(spot.parent, base, path))
            }
            _ => Ok(Made::Nothing),
        }
    }

    /// A second name: only for what the user could copy as well (`/proc/sys/fs/protected_hardlinks`).
    fn forbids_link(
        &self,
        guest: Guest,
        file: Option<InodeId>,
        to: (usize, usize),
        subject: &Subject,
    ) -> Result<Made> {
        let Some(file) = file else {
            return Ok(Made::Nothing);
        };
        self.searches(guest, to.0, to.1, false, subject)?;
        let file = &self.inodes[file];
        let is_set = file.mode & S_ISUID != 0 || file.mode & (S_ISGID | 0o010) == S_ISGID | 0o010;
        let is_plain = matches!(file.kind, Kind::Regular(_)) && !is_set;
        let is_vacant = self
            .spot(guest, to.0, to.1, false)
            .is_some_and(|spot| spot.inode.is_none());
        let may_copy = is_plain && subject.may(file, READ | WRITE).is_ok();
        if is_vacant && subject.owns(file).is_err() && !may_copy {
            return Err(Errno::PERM);
        }
        self.forbids_name(guest, to, subject)?;
        Ok(Made::Nothing)
    }

    /// The end of a name.
    fn forbids_removal(
        &self,
        guest: Guest,
        (base, path): (usize, usize),
        subject: &Subject,
    ) -> Result<Made> {
        self.searches(guest, base, path, false, subject)?;
        let spot = self.spot(guest, base, path, false);
        let Some(spot) = spot.filter(|spot| spot.last == Last::Name) else {
            return Ok(Made::Nothing);
        };
        let Some(inode) = spot.inode else {
            return Ok(Made::Nothing);
        };
        let parent = &self.inodes[spot.parent];
        subject.may(parent, WRITE | SEARCH)?;
        let is_sticky = parent.mode & S_ISVTX != 0 && parent.uid != subject.user;
        match is_sticky {
            true => self.needs_owner(Some(inode), subject),
            false => Ok(Made::Nothing),
        }
    }

    fn forbids_move(
        &self,
        guest: Guest,
        from: (usize, usize),
        to: (usize, usize),
        subject: &Subject,
    ) -> Result<Made> {
        let moved = self.reached(guest, from.0, from.1, false, subject)?;
        self.searches(guest, to.0, to.1, false, subject)?;
        if moved.is_none() {
            return Ok(Made::Nothing);
        }
        self.forbids_removal(guest, from, subject)?;
        self.forbids_removal(guest, to, subject)?;
        self.forbids_name(guest, to, subject)?;
        let spots = self
            .spot(guest, from.0, from.1, false)
            .zip(self.spot(guest, to.0, to.1, false));
        if let Some((old, new)) = spots
            && let Some(inode) = old.inode
            && old.parent != new.parent
            && self.inodes[inode].is_directory()
        {
            // Its entry for the folder above changes.
            self.needs(Some(inode), WRITE, subject)?;
        }
        Ok(Made::Nothing)
    }

    fn forbids_gift(
        &self,
        inode: Option<InodeId>,
        user: usize,
        group: usize,
        subject: &Subject,
    ) -> Result<Made> {
        let Some(inode) = inode else {
            return Ok(Made::Nothing);
        };
        let inode = &self.inodes[inode];
        let (user, group) = (user as u32, group as u32);
        let is_own = inode.uid == subject.user;
        let keeps_user = user == u32::MAX || is_own && user == inode.uid;
        let is_in = group == subject.group || (subject.is_in)(group) || group == inode.gid;
        let keeps_group = group == u32::MAX || is_own && is_in;
        match subject.gives_away || keeps_user && keeps_group {
            true => Ok(Made::Nothing),
            false => Err(Errno::PERM),
        }
    }

    fn forbids_times(
        &self,
        guest: Guest,
        inode: Option<InodeId>,
        times: usize,
        subject: &Subject,
    ) -> Result<Made> {
        let Some(inode) = inode else {
            return Ok(Made::Nothing);
        };
        let is_now = times == 0
            || guest.read::<[i64; 4]>(times).is_ok_and(|times| {
                [times[1], times[3]] == [i64::from(UTIME_NOW), i64::from(UTIME_NOW)]
            });
        let inode = &self.inodes[inode];
        match is_now {
            true if subject.owns(inode).is_err() => subject.may(inode, WRITE)?,
            true => {}
            false => subject.owns(inode)?,
        }
        Ok(Made::Nothing)
    }
}
