//! System calls on names, folders and attributes of files: numbers and arguments to methods of [`Files`], and nothing
//! else. Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::calls::files::HERE;
use crate::files::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::general::*;

impl<H: Host> Files<H> {
    /// Answers these calls; `None` when the number is none of them.
    pub(crate) fn name_call(
        &mut self,
        guest: Guest,
        number: usize,
        [a, b, c, d, e, _]: Arguments,
    ) -> Option<Result> {
        Some(match number as u32 {
            __NR_mkdir => guest
                .path(a)
                .and_then(|path| self.make_directory(HERE, path, b as u32)),
            __NR_mkdirat => guest
                .path(b)
                .and_then(|path| self.make_directory(a, path, c as u32)),
            __NR_rename => self.rename_at(guest, HERE, a, HERE, b, 0),
            __NR_renameat => self.rename_at(guest, a, b, c, d, 0),
            __NR_renameat2 => self.rename_at(guest, a, b, c, d, e as u32),
            __NR_link => self.link_at(guest, HERE, a, HERE, b, 0),
            __NR_linkat => self.link_at(guest, a, b, c, d, e as u32),
            __NR_symlink => self.symlink_at(guest, a, HERE, b),
            __NR_symlinkat => self.symlink_at(guest, a, b, c),
            __NR_readlink => self.readlink_at(guest, HERE, a, b, c),
            __NR_readlinkat => self.readlink_at(guest, a, b, c, d),
            __NR_chmod => self
                .with_target(guest, HERE, a, 0)
                .and_then(|inode| self.change_mode(inode, b)),
            __NR_fchmodat => self
                .with_target(guest, a, b, 0)
                .and_then(|inode| self.change_mode(inode, c)),
            __NR_fchmod => self
                .opened(a, true)
                .and_then(|inode| self.change_mode(inode, b)),
            __NR_chown => self
                .with_target(guest, HERE, a, 0)
                .and_then(|inode| self.change_owner(inode, b, c)),
            __NR_lchown => self
                .with_target(guest, HERE, a, AT_SYMLINK_NOFOLLOW)
                .and_then(|inode| self.change_owner(inode, b, c)),
            __NR_fchown => self
                .opened(a, true)
                .and_then(|inode| self.change_owner(inode, b, c)),
            __NR_fchownat if e as u32 & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 => {
                Err(Errno::INVAL)
            }
            __NR_fchownat => self
                .with_target(guest, a, b, e as u32)
                .and_then(|inode| self.change_owner(inode, c, d)),
            __NR_utimensat => self.utimensat(guest, a, b, c, d as u32),
            __NR_futimesat => self.utimes(guest, a, b, c),
            __NR_utimes => self.utimes(guest, HERE, a, b),
            __NR_utime => self.utime(guest, a, b),
            __NR_statfs => match self.with_target(guest, HERE, a, 0) {
                Ok(_) => self.statfs(guest, b, None),
                Err(error) => match self.generated_system_at(guest, a) {
                    Some(made) => self.statfs(guest, b, Some(made)),
                    None => Err(error),
                },
            },
            __NR_fstatfs => self.opened(a, false).and_then(|_| {
                let made = self.generated_system_of(a);
                self.statfs(guest, b, made)
            }),
            __NR_getcwd => guest
                .target(a, b)
                .and_then(|buffer| self.working_directory(buffer)),
            __NR_chdir => self
                .with_target(guest, HERE, a, 0)
                .and_then(|inode| self.change_directory(inode)),
            __NR_fchdir => self
                .opened(a, false)
                .and_then(|inode| self.change_directory(inode)),
            __NR_umask => Ok(self.set_umask(a as u32)),
            __NR_getdents64 => guest
                .target(b, c as u32 as usize)
                .and_then(|buffer| self.list(a, buffer)),
            _ => return None,
        })
    }
}

call_group!(bespoke_calls_names, method: name_call);
