//! Path resolution, as path_resolution(7) has it. Owns nothing and changes nothing.
//!
//! Errors come in the order Linux gives them: a component is looked up only in a directory
//! (`ENOTDIR`), its length is checked then (`ENAMETOOLONG`), and only then its existence.

use super::error::{Errno, Result};
use super::inode::{InodeId, Inodes, Kind};

/// Symbolic links followed in one resolution.
pub(super) const MAX_LINKS: usize = 40;
/// Bytes in a name.
pub(crate) const MAX_NAME: usize = 255;

/// What the last component of a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// A name in `Spot::parent`.
    Name,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// There is none: `/`.
    Root,
}

/// What a slash after the last component does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slash {
    /// Lets a symbolic link before it be followed, as for calls that look something up.
    Follows,
    /// Changes nothing, as for calls that make, move or remove a name.
    Kept,
    /// `EISDIR`, as for calls that make a file.
    Refused,
}

/// Where a path leads, whether or not something is there.
#[derive(Clone, Copy)]
pub(crate) struct Spot<'a> {
    /// Kind of the last component.
    pub last: Last,
    /// The directory that holds, or would hold, the last component.
    pub parent: InodeId,
    /// The last component, when it is a name.
    pub name: &'a [u8],
    /// Its entry in `parent`; 0 where there is none.
    pub slot: usize,
    /// What is there.
    pub inode: Option<InodeId>,
    /// The path ended in a slash: only a directory will do.
    pub slash: bool,
}

/// What a resolution met on its way.
#[derive(Default)]
pub(super) struct Steps {
    links: usize,
    /// `.` or `..`.
    pub dots: bool,
}

impl Inodes {
    /// Resolves `path` from directory `start`. A symbolic link in the last component is
    /// followed when `follow` is set, or when a slash comes after it and `after` says so.
    pub fn locate<'a>(
        &'a self,
        start: InodeId,
        path: &'a [u8],
        follow: bool,
        after: Slash,
    ) -> Result<Spot<'a>> {
        self.walk(start, path, follow, after, &mut Steps::default())
    }

    /// The inode that `path` leads to.
    pub fn lookup(&self, start: InodeId, path: &[u8], follow: bool) -> Result<InodeId> {
        self.lookup_noting(start, path, follow, &mut Steps::default())
    }

    /// As [`Inodes::lookup`]; notes what was on the way.
    #[inline(always)]
    pub fn lookup_noting(
        &self,
        start: InodeId,
        path: &[u8],
        follow: bool,
        steps: &mut Steps,
    ) -> Result<InodeId> {
        let spot = self.walk(start, path, follow, Slash::Follows, steps)?;
        let inode = spot.inode.ok_or(Errno::NOENT)?;
        if spot.slash && !self[inode].is_directory() {
            Err(Errno::NOTDIR)
        } else {
            Ok(inode)
        }
    }

    fn walk<'a>(
        &'a self,
        start: InodeId,
        path: &'a [u8],
        follow: bool,
        after: Slash,
        steps: &mut Steps,
    ) -> Result<Spot<'a>> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        let (mut parent, mut rest) = self.enter(start, path);
        let mut slash = false;
        let mut follow = follow;
        if rest.is_empty() {
            return Ok(Spot {
                last: Last::Root,
                parent,
                name: b"",
                slot: 0,
                inode: Some(parent),
                slash,
            });
        }
        loop {
            let (name, beyond, slashes) = split(rest);
            let is_last = beyond.is_empty();
            let ends_in_slash = is_last && slashes;
            let directory = self[parent].directory()?;
            if name == b"." || name == b".." {
                steps.dots = true;
                let (last, inode) = if name == b"." {
                    (Last::Dot, parent)
                } else {
                    (Last::DotDot, directory.parent)
                };
                if is_last {
                    return Ok(Spot {
                        last,
                        parent,
                        name: b"",
                        slot: 0,
                        inode: Some(inode),
                        slash: slash || ends_in_slash,
                    });
                }
                (parent, rest) = (inode, beyond);
                continue;
            }
            if ends_in_slash && after == Slash::Refused {
                return Err(Errno::ISDIR);
            }
            if name.len() > MAX_NAME {
                return Err(Errno::NAMETOOLONG);
            }
            let (slot, inode) = match directory.find(name) {
                Ok(slot) => (slot, Some(directory.entries()[slot].inode)),
                Err(_) if is_last => (0, None),
                Err(_) => return Err(Errno::NOENT),
            };
            if let Some(Kind::Link(target)) = inode.map(|inode| &self[inode].kind)
                && (!is_last || follow || (ends_in_slash && after == Slash::Follows))
            {
                steps.links += 1;
                if steps.links > MAX_LINKS {
                    return Err(Errno::LOOP);
                }
                if !is_last {
                    let through = self.walk(parent, target, true, Slash::Follows, steps)?;
                    (parent, rest) = (through.inode.ok_or(Errno::NOENT)?, beyond);
                    continue;
                }
                slash |= ends_in_slash;
                follow = true;
                (parent, rest) = self.enter(parent, target);
                if rest.is_empty() {
                    return Ok(Spot {
                        last: Last::Root,
                        parent,
                        name: b"",
                        slot: 0,
                        inode: Some(parent),
                        slash,
                    });
                }
                continue;
            }
            if is_last {
                return Ok(Spot {
                    last: Last::Name,
                    parent,
                    name,
                    slot,
                    inode,
                    slash: slash || ends_in_slash,
                });
            }
            if let Some(inode) = inode {
                (parent, rest) = (inode, beyond);
            }
        }
    }

    #[inline(always)]
    fn enter<'a>(&self, start: InodeId, path: &'a [u8]) -> (InodeId, &'a [u8]) {
        if path.first() == Some(&b'/') {
            (InodeId::ROOT, strip(path))
        } else {
            (start, path)
        }
    }

    /// Whether `ancestor` is `inode` or a directory above it.
    pub fn is_above(&self, ancestor: InodeId, mut inode: InodeId) -> bool {
        loop {
            if inode == ancestor {
                return true;
            }
            match self[inode].directory() {
                Ok(directory) if directory.parent != inode => inode = directory.parent,
                _ => return false,
            }
        }
    }
}

#[inline(always)]
fn strip(path: &[u8]) -> &[u8] {
    let start = path
        .iter()
        .position(|&byte| byte != b'/')
        .unwrap_or(path.len());
    &path[start..]
}

/// First component, what follows its slashes, and whether there were any.
#[inline(always)]
fn split(path: &[u8]) -> (&[u8], &[u8], bool) {
    match path.iter().position(|&byte| byte == b'/') {
        Some(end) => (&path[..end], strip(&path[end..]), true),
        None => (path, b"", false),
    }
}
