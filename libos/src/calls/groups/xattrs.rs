//! Calls on extended attributes. No file has any, which they say truly; to set one is refused.
//! Owns nothing.

use super::call_group;
use crate::calls::Arguments;
use crate::calls::files::HERE;
use crate::files::{Errno, Files, Guest, Host, Result};
use linux_raw_sys::general::*;

/// What names begin with.
const SPACES: [&[u8]; 4] = [b"user.", b"trusted.", b"security.", b"system.posix_acl_"];
/// Bytes in a name and in a value, at most.
const MAX_NAME: usize = 255;
const MAX_VALUE: usize = 65_536;

impl<H: Host> Files<H> {
    /// Answers such calls; `None` when the number is none of them.
    pub(crate) fn attribute_call(
        &mut self,
        guest: Guest,
        number: usize,
        [a, b, _, d, e, _]: Arguments,
    ) -> Option<Result> {
        // Where the file and the name are, and whether a link is followed.
        let (is_open, flags) = match number as u32 {
            __NR_getxattr | __NR_setxattr | __NR_listxattr | __NR_removexattr => (false, 0),
            __NR_lgetxattr | __NR_lsetxattr | __NR_llistxattr | __NR_lremovexattr => {
                (false, AT_SYMLINK_NOFOLLOW)
            }
            __NR_fgetxattr | __NR_fsetxattr | __NR_flistxattr | __NR_fremovexattr => (true, 0),
            _ => return None,
        };
        let file = |files: &Self| match is_open {
            true => files.opened(a, true),
            false => guest
                .path(a)
                .and_then(|path| files.target(HERE, path, flags)),
        };
        let is_known = |name: &[u8]| SPACES.iter().any(|space| name.starts_with(space));
        let name = || match guest.path(b) {
            Err(Errno::NAMETOOLONG) => Err(Errno::RANGE),
            Ok(name) if name.is_empty() || name.len() > MAX_NAME => Err(Errno::RANGE),
            other => other,
        };
        Some(match number as u32 {
            __NR_listxattr | __NR_llistxattr | __NR_flistxattr => file(self).map(|_| 0),
            __NR_setxattr | __NR_lsetxattr | __NR_fsetxattr => {
                if e as u32 & !(XATTR_CREATE | XATTR_REPLACE) != 0 {
                    return Some(Err(Errno::INVAL));
                }
                name().and_then(|_| match d > MAX_VALUE {
                    true => Err(Errno::TOOBIG),
                    // Of a link and the like, Linux keeps none for users either.
                    false => file(self).and_then(|inode| match self.is_plain(inode) {
                        true => Err(Errno::OPNOTSUPP),
                        false => Err(Errno::PERM),
                    }),
                })
            }
            _ => name().and_then(|name| {
                file(self)?;
                Err(if is_known(name) {
                    Errno::NODATA
                } else {
                    Errno::OPNOTSUPP
                })
            }),
        })
    }
}

call_group!(bespoke_calls_xattrs, method: attribute_call);
