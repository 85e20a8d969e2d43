//! Listing directories and the working directory.
//!
//! Order is by name, after `.` and `..`. A listing goes on after the last name it gave, so
//! every name that stays is given exactly once whatever is added or removed meanwhile;
//! `d_off` is an index, good for `seekdir` while the directory does not change.

use super::descriptors::Object;
use super::directory::Name;
use super::inode::{InodeId, Kind};
use super::{Errno, Files, Host, Result};
use linux_raw_sys::general::{
    DT_CHR, DT_DIR, DT_FIFO, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN, PATH_MAX, S_IFMT,
};

/// Bytes of a `linux_dirent64` before its name.
const HEADER: usize = 19;

/// Entries of a listing that is made anew with each call: those before the place where the last call ended are left out.
pub(super) struct Records<'a> {
    buffer: &'a mut [u8],
    from: u64,
    index: u64,
    used: usize,
    next: u64,
    is_full: bool,
}

impl<'a> Records<'a> {
    /// No entries yet, of a listing from entry `from` on.
    pub fn new(buffer: &'a mut [u8], from: u64) -> Self {
        Self {
            buffer,
            from,
            index: 0,
            used: 0,
            next: from,
            is_full: false,
        }
    }

    /// The next entry.
    pub fn add(&mut self, name: &[u8], kind: u32, inode: u32) {
        let index = self.index;
        self.index += 1;
        let length = (HEADER + name.len() + 1).next_multiple_of(8);
        if index < self.from || self.is_full {
            return;
        }
        let Some(record) = self.buffer.get_mut(self.used..self.used + length) else {
            self.is_full = true;
            return;
        };
        record[0..8].copy_from_slice(&(u64::from(inode) + 1).to_le_bytes());
        record[8..16].copy_from_slice(&self.index.to_le_bytes());
        record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
        record[18] = kind as u8;
        record[HEADER..HEADER + name.len()].copy_from_slice(name);
        record[HEADER + name.len()..].fill(0);
        self.used += length;
        self.next = self.index;
    }

    /// Bytes used, and where the next call goes on.
    pub fn end(self) -> Result<(usize, u64)> {
        match (self.used, self.is_full) {
            (0, true) => Err(Errno::INVAL),
            _ => Ok((self.used, self.next)),
        }
    }
}

impl<H: Host> Files<H> {
    /// `getdents64`
    pub(crate) fn list(&mut self, descriptor: usize, buffer: &mut [u8]) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let Object::Directory(resume) = &description.object else {
            if let Object::Listing(_) = description.object {
                return self.list_generated(descriptor, buffer);
            }
            return Err(if matches!(description.object, Object::Path) {
                Errno::BADF
            } else {
                Errno::NOTDIR
            });
        };
        let id = description.inode;
        let directory = self.inodes[id].directory()?;
        if self.inodes[id].links == 0 {
            return Err(Errno::NOENT);
        }
        let entries = directory.entries();
        let mut next = description.position as usize;
        if let Some(last) = resume {
            next = 2 + match directory.find(last.bytes()) {
                Ok(slot) => slot + 1,
                Err(slot) => slot,
            };
        }
        let mut used = 0;
        let mut last = None;
        while next < entries.len() + 2 {
            let (name, inode) = match next {
                0 => (&b"."[..], id),
                1 => (&b".."[..], directory.parent),
                _ => (entries[next - 2].name.bytes(), entries[next - 2].inode),
            };
            let length = (HEADER + name.len() + 1).next_multiple_of(8);
            if length > buffer.len() - used {
                if used == 0 {
                    return Err(Errno::INVAL);
                }
                break;
            }
            next += 1;
            let record = &mut buffer[used..used + length];
            record[0..8].copy_from_slice(&(u64::from(inode.0) + 1).to_le_bytes());
            record[8..16].copy_from_slice(&(next as u64).to_le_bytes());
            record[16..18].copy_from_slice(&(length as u16).to_le_bytes());
            record[18] = self.entry_type(inode) as u8;
            record[HEADER..HEADER + name.len()].copy_from_slice(name);
            record[HEADER + name.len()..].fill(0);
            used += length;
            last = next.checked_sub(3).map(|slot| entries[slot].name.bytes());
        }
        if used > 0 {
            let resume = last.map(Name::new).transpose()?;
            let description = self.descriptors.get_mut(descriptor)?;
            description.position = next as u64;
            description.object = Object::Directory(resume);
        }
        Ok(used)
    }

    fn entry_type(&self, inode: InodeId) -> u32 {
        use linux_raw_sys::general::S_IFIFO;
        match &self.inodes[inode].kind {
            Kind::Regular(_) => DT_REG,
            Kind::Directory(_) => DT_DIR,
            Kind::Link(_) => DT_LNK,
            Kind::Device(_) if self.inodes[inode].full_mode() & S_IFMT == S_IFIFO => DT_FIFO,
            Kind::Device(_) => DT_CHR,
            Kind::Socket(_) => DT_SOCK,
            Kind::Node(node) => node.file_type() >> 12,
            Kind::Anonymous(_) | Kind::Free(_) => DT_UNKNOWN,
        }
    }

    /// `getcwd`: the path with its NUL; answers its length with the NUL.
    pub(crate) fn working_directory(&self, buffer: &mut [u8]) -> Result {
        let mut path = [0u8; PATH_MAX as usize];
        let found = self.path_of(self.working_directory, &mut path)?;
        if found.len() > buffer.len() {
            return Err(Errno::RANGE);
        }
        buffer[..found.len()].copy_from_slice(found);
        Ok(found.len())
    }

    /// The path of a file with its NUL, at the end of `path`. Of several names of a file that is no directory, some.
    ///
    /// # Errors
    ///
    /// `ENOENT` when it has no name; `ENAMETOOLONG`.
    pub(super) fn path_of<'a>(
        &self,
        mut inode: InodeId,
        path: &'a mut [u8; PATH_MAX as usize],
    ) -> Result<&'a [u8]> {
        // Built from its end: names become known from the innermost outwards.
        let mut start = path.len() - 1;
        while inode != InodeId::ROOT {
            if self.inodes[inode].links == 0 {
                return Err(Errno::NOENT);
            }
            let (parent, slot) = match self.inodes[inode].directory() {
                Ok(directory) => {
                    let parent = directory.parent;
                    let entries = self.inodes[parent].directory()?.entries();
                    let slot = entries.iter().position(|entry| entry.inode == inode);
                    (parent, slot.ok_or(Errno::NOENT)?)
                }
                Err(_) => self.inodes.find_name(inode).ok_or(Errno::NOENT)?,
            };
            let name = self.inodes[parent].directory()?.entries()[slot]
                .name
                .bytes();
            start = start
                .checked_sub(name.len() + 1)
                .ok_or(Errno::NAMETOOLONG)?;
            path[start] = b'/';
            path[start + 1..start + 1 + name.len()].copy_from_slice(name);
            inode = parent;
        }
        if start == path.len() - 1 {
            start -= 1;
            path[start] = b'/';
        }
        Ok(&path[start..])
    }

    /// `chdir`, `fchdir`
    pub(crate) fn change_directory(&mut self, inode: InodeId) -> Result {
        self.inodes[inode].directory()?;
        self.inodes[inode].references += 1;
        let before = core::mem::replace(&mut self.working_directory, inode);
        self.inodes.unreference(before);
        Ok(0)
    }
}
