//! System calls on files: numbers and arguments to methods of [`Files`], and nothing else.
//! Owns nothing. Numbers and structures are those of Linux on x86-64.

use crate::files::{At, Errno, Files, Guest, Host, Inode, Missing, Result, Time};
use linux_raw_sys::general::*;

/// `AT_FDCWD` as an argument.
pub const HERE: usize = AT_FDCWD as isize as usize;
/// `st_ino` of files that are made when they are opened.
const GENERATED: u64 = u32::MAX as u64;
/// Flags of `faccessat2`.
const ACCESS_FLAGS: u32 = AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;

impl<H: Host> Files<H> {
    /// Answers system call `number` if it is one of files that never waits and is made often: a
    /// result or `-errno`. `None` for all others; [`Files::system_call`] knows them.
    ///
    /// A jump to the method of the call and nothing more: what such a call does is not inlined here, so
    /// that no call saves the registers that another one needs.
    ///
    /// # Safety
    ///
    /// As for [`Files::system_call`].
    #[inline(always)]
    pub unsafe fn prompt_call(
        &mut self,
        number: usize,
        a: usize,
        b: usize,
        c: usize,
        d: usize,
    ) -> Option<isize> {
        // SAFETY: the caller's promise, for this call.
        let guest = unsafe { Guest::new() };
        let answer = match number as u32 {
            __NR_pread64 => self.read_at_offset(guest, a, b, c, d),
            // A limit that is exceeded is a signal, which these calls cannot bring.
            __NR_pwrite64 if !self.limits_sizes() => self.write_at_offset(guest, a, b, c, d),
            __NR_lseek => self.seek(a, b, c),
            __NR_fcntl if !matches!(b as u32, F_SETLKW | F_OFD_SETLKW) => {
                self.fcntl(guest, a, b, c)
            }
            __NR_fstat => self.stat_open(guest, a, b),
            __NR_fsync | __NR_fdatasync => self.synchronize(a),
            __NR_syncfs => self.opened(a, true).map(|_| 0),
            __NR_close => self.close(a),
            __NR_stat => self.stat_at(guest, HERE, a, b, 0),
            __NR_lstat => self.stat_at(guest, HERE, a, b, AT_SYMLINK_NOFOLLOW),
            __NR_newfstatat => self.stat_at(guest, a, b, c, d as u32),
            __NR_open => self.open_at(guest, HERE, a, b, c),
            __NR_openat => self.open_at(guest, a, b, c, d),
            __NR_unlink => self.unlink_at(guest, HERE, a, 0),
            __NR_access => self.access_at(guest, HERE, a, b, 0),
            _ => return None,
        };
        Some(answered(answer))
    }

    /// Answers all other calls on files: those that may have to wait, and rare ones. A result or
    /// `-errno`; `None` when it is none of files.
    ///
    /// # Safety
    ///
    /// Addresses among `arguments` are what the call takes: memory of the caller of the
    /// extent and kind that Linux documents. The null page and addresses outside the user
    /// half answer `EFAULT`.
    pub unsafe fn system_call(&mut self, number: usize, arguments: [usize; 6]) -> Option<isize> {
        // SAFETY: the caller's promise, for this call.
        let guest = unsafe { Guest::new() };
        let [a, b, c, d, e, f] = arguments;
        let answer = match number as u32 {
            __NR_read => self.read_into(guest, a, b, c, At::Position),
            __NR_write => self.write_from(guest, a, b, c, At::Position),
            __NR_pwrite64 => self.write_at_offset(guest, a, b, c, d),
            __NR_readv => self.read_vector(guest, a, b, c, At::Position),
            __NR_writev => self.write_vector(guest, a, b, c, At::Position),
            __NR_preadv => At::argument(d).and_then(|at| self.read_vector(guest, a, b, c, at)),
            __NR_pwritev => At::argument(d).and_then(|at| self.write_vector(guest, a, b, c, at)),
            __NR_sync => Ok(0),
            __NR_statx => self.statx_at(guest, a, b, c, d, e),
            __NR_creat => self.open_at(guest, HERE, a, (O_CREAT | O_WRONLY | O_TRUNC) as usize, b),
            __NR_rmdir => self.unlink_at(guest, HERE, a, AT_REMOVEDIR),
            __NR_unlinkat => self.unlink_at(guest, a, b, c as u32),
            __NR_ftruncate => self.truncate_open(a, b),
            __NR_truncate => guest.path(a).and_then(|path| self.truncate(HERE, path, b)),
            __NR_fallocate => self.allocate(a, b as u32, c, d),
            __NR_faccessat => self.access_at(guest, a, b, c, 0),
            __NR_faccessat2 => self.access_at(guest, a, b, c, d as u32),
            _ => return self.rarer_call(guest, number, [a, b, c, d, e, f]),
        };
        Some(answered(answer))
    }

    #[inline(never)]
    fn read_at_offset(
        &mut self,
        guest: Guest,
        descriptor: usize,
        buffer: usize,
        bytes: usize,
        offset: usize,
    ) -> Result {
        let at = At::argument(offset)?;
        self.read_into(guest, descriptor, buffer, bytes, at)
    }

    #[inline(never)]
    fn write_at_offset(
        &mut self,
        guest: Guest,
        descriptor: usize,
        buffer: usize,
        bytes: usize,
        offset: usize,
    ) -> Result {
        let at = At::argument(offset)?;
        self.write_from(guest, descriptor, buffer, bytes, at)
    }

    #[inline(never)]
    fn stat_open(&self, guest: Guest, descriptor: usize, address: usize) -> Result {
        self.stat(guest, self.opened(descriptor, false)?, address)
    }

    #[inline(never)]
    fn open_at(
        &mut self,
        guest: Guest,
        base: usize,
        path: usize,
        flags: usize,
        mode: usize,
    ) -> Result {
        self.open(base, guest.path(path)?, flags as u32, mode as u32)
    }

    #[inline(never)]
    fn unlink_at(&mut self, guest: Guest, base: usize, path: usize, flags: u32) -> Result {
        self.unlink(base, guest.path(path)?, flags)
    }

    fn rarer_call(
        &mut self,
        guest: Guest,
        number: usize,
        [a, b, c, d, e, f]: [usize; 6],
    ) -> Option<isize> {
        let answer = match number as u32 {
            __NR_fchmodat2 if d as u32 & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 => {
                Err(Errno::INVAL)
            }
            __NR_fchmodat2 => self
                .with_target(guest, a, b, d as u32)
                .and_then(|inode| self.change_mode(inode, c)),
            __NR_dup => self.duplicate(a, 0, false),
            __NR_dup2 => self.duplicate_to(a, b, 0, true),
            __NR_dup3 => self.duplicate_to(a, b, c as u32, false),
            __NR_close_range => self.close_range(a, b, c as u32),
            // Again, after a wait for the other end of a FIFO.
            __NR_open => self.open_at(guest, HERE, a, b, c),
            __NR_openat => self.open_at(guest, a, b, c, d),
            // With a command that may wait.
            __NR_fcntl => self.fcntl(guest, a, b, c),
            __NR_flock => self.flock(a, b),
            __NR_ioctl => self.ioctl(guest, a, b, c),
            __NR_sendfile => self.send(guest, a, b, c, d),
            __NR_copy_file_range => self.copy_range(guest, (a, b), (c, d), e, f),
            // Advice that memory needs not: checked as Linux does, then nothing is to do.
            __NR_fadvise64 if d as u32 > POSIX_FADV_NOREUSE => Err(Errno::INVAL),
            __NR_fadvise64 => self.advise(a, c),
            __NR_sync_file_range => self.synchronize_range(a, b, c, d as u32),
            __NR_readahead => self.read_ahead(a),
            _ => self.event_call(guest, number, [a, b, c, d, e, f])?,
        };
        Some(answered(answer))
    }

    pub(super) fn with_target(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        flags: u32,
    ) -> Result<crate::files::InodeId> {
        self.target(base, guest.path(path)?, flags)
    }

    #[inline(never)]
    fn stat_at(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        address: usize,
        flags: u32,
    ) -> Result {
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT) != 0 {
            return Err(Errno::INVAL);
        }
        let path = guest.path(path)?;
        match self.target_or_missing(base, path, flags) {
            Ok(inode) => self.stat(guest, inode, address),
            Err(missing) => {
                let inode = self.generated(base, path, flags, missing)?;
                self.stat_inode(guest, &inode, GENERATED, address)
            }
        }
    }

    /// The generated file at `path`, which has no inode of its own.
    fn generated(&self, base: usize, path: &[u8], flags: u32, missing: Missing) -> Result<Inode> {
        let Missing {
            error,
            may_be_generated: true,
        } = missing
        else {
            return Err(missing.error);
        };
        self.generated_inode(base, path, flags & AT_SYMLINK_NOFOLLOW == 0)
            .map_err(|_| self.or_missing(base, error))
    }

    fn statx_at(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        flags: usize,
        mask: usize,
        address: usize,
    ) -> Result {
        let known = AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC_TYPE;
        if mask as u32 & STATX__RESERVED != 0
            || flags as u32 & !known != 0
            || flags as u32 & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE
        {
            return Err(Errno::INVAL);
        }
        let path = guest.path(path)?;
        match self.target_or_missing(base, path, flags as u32) {
            Ok(inode) => self.statx(guest, inode, address),
            Err(missing) => {
                let inode = self.generated(base, path, flags as u32, missing)?;
                self.statx_inode(guest, &inode, GENERATED, address)
            }
        }
    }

    #[inline(never)]
    fn access_at(
        &self,
        guest: Guest,
        base: usize,
        path: usize,
        wanted: usize,
        flags: u32,
    ) -> Result {
        if flags & !ACCESS_FLAGS != 0 || wanted & !7 != 0 {
            return Err(Errno::INVAL);
        }
        let path = guest.path(path)?;
        match self.target_or_missing(base, path, flags) {
            Ok(inode) => self.access(inode, wanted),
            Err(missing) => {
                Self::access_inode(&self.generated(base, path, flags, missing)?, wanted)
            }
        }
    }

    pub(super) fn rename_at(
        &mut self,
        guest: Guest,
        from_base: usize,
        from: usize,
        to_base: usize,
        to: usize,
        flags: u32,
    ) -> Result {
        self.rename(
            from_base,
            guest.path(from)?,
            to_base,
            guest.path(to)?,
            flags,
        )
    }

    pub(super) fn link_at(
        &mut self,
        guest: Guest,
        from_base: usize,
        from: usize,
        to_base: usize,
        to: usize,
        flags: u32,
    ) -> Result {
        self.link(
            from_base,
            guest.path(from)?,
            to_base,
            guest.path(to)?,
            flags,
        )
    }

    pub(super) fn symlink_at(
        &mut self,
        guest: Guest,
        target: usize,
        base: usize,
        path: usize,
    ) -> Result {
        self.make_link(guest.path(target)?, base, guest.path(path)?)
    }

    pub(super) fn readlink_at(
        &mut self,
        guest: Guest,
        base: usize,
        path: usize,
        buffer: usize,
        bytes: usize,
    ) -> Result {
        if bytes as i32 <= 0 {
            return Err(Errno::INVAL);
        }
        self.read_link(
            base,
            guest.path(path)?,
            guest.target(buffer, bytes as i32 as usize)?,
        )
    }

    /// `times` is the address of two `timespec`s, or 0 for the present; a null path means `base`.
    pub(super) fn utimensat(
        &mut self,
        guest: Guest,
        base: usize,
        path: usize,
        times: usize,
        flags: u32,
    ) -> Result {
        let (accessed, modified) = match times {
            0 => (Time::Now, Time::Now),
            _ => {
                let [first, second] = guest.read::<[__kernel_timespec; 2]>(times)?;
                (
                    Time::new(first.tv_sec, first.tv_nsec)?,
                    Time::new(second.tv_sec, second.tv_nsec)?,
                )
            }
        };
        if let (Time::Omit, Time::Omit) = (accessed, modified) {
            return Ok(0);
        }
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(Errno::INVAL);
        }
        let inode = match path {
            0 if base as i32 == AT_FDCWD => return Err(Errno::FAULT),
            0 if flags != 0 => return Err(Errno::INVAL),
            0 => self.opened(base, true)?,
            _ => self.with_target(guest, base, path, flags)?,
        };
        self.set_times(inode, accessed, modified)
    }

    pub(super) fn utimes(
        &mut self,
        guest: Guest,
        base: usize,
        path: usize,
        times: usize,
    ) -> Result {
        let (accessed, modified) = match times {
            0 => (Time::Now, Time::Now),
            _ => {
                let given = guest.read::<[timeval; 2]>(times)?;
                if given
                    .iter()
                    .any(|time| !(0..1_000_000).contains(&time.tv_usec))
                {
                    return Err(Errno::INVAL);
                }
                let time = |time: timeval| Time::new(time.tv_sec, time.tv_usec * 1000);
                (time(given[0])?, time(given[1])?)
            }
        };
        let inode = self.with_target(guest, base, path, 0)?;
        self.set_times(inode, accessed, modified)
    }

    pub(super) fn utime(&mut self, guest: Guest, path: usize, times: usize) -> Result {
        let (accessed, modified) = match times {
            0 => (Time::Now, Time::Now),
            _ => {
                let [accessed, modified] = guest.read::<[i64; 2]>(times)?;
                (Time::new(accessed, 0)?, Time::new(modified, 0)?)
            }
        };
        let inode = self.with_target(guest, HERE, path, 0)?;
        self.set_times(inode, accessed, modified)
    }
}

#[inline]
pub(super) fn answered(result: Result) -> isize {
    match result {
        Ok(value) => value as isize,
        Err(error) => error.answer(),
    }
}
