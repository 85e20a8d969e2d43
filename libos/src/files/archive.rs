//! Unpacks the boot archive (POSIX ustar, with GNU tar's long names): names are made, contents stay where they are.
//! Must never trust a field: a damaged archive is an error that names the offset.

use super::data::Data;
use super::directory::{Directory, Name};
use super::inode::{InodeId, Kind};
use super::walk::{Last, Slash};
use super::{Errno, Files, Host};
use alloc::vec::Vec;
use core::fmt;

const BLOCK: usize = 512;
const NS: u64 = 1_000_000_000;

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveFault {
    /// The archive ends inside an entry that needs this many bytes.
    Truncated {
        /// Bytes the entry needs from its offset on.
        needed: usize,
    },
    /// The header does not add up to its checksum.
    Checksum {
        /// What the header says.
        stored: u64,
        /// What its bytes add up to.
        computed: u64,
    },
    /// A number is not octal; its offset in the header.
    Number(usize),
    /// An entry of a type that is not supported (only files, directories and links are).
    Type(u8),
    /// A name that is empty, or has a `..` component.
    Path,
    /// The file system refused the entry.
    Refused(Errno),
}

/// An archive could not be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveError {
    /// Byte offset of the entry's header.
    pub offset: usize,
    /// What is wrong with it.
    pub fault: ArchiveFault,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "entry at byte {}: ", self.offset)?;
        match self.fault {
            ArchiveFault::Truncated { needed } => write!(
                f,
                "the archive ends inside it; it needs {needed} bytes from there"
            ),
            ArchiveFault::Checksum { stored, computed } => {
                write!(
                    f,
                    "its header is damaged (checksum {stored:#o}, computed {computed:#o})"
                )
            }
            ArchiveFault::Number(at) => {
                write!(f, "the header field at {at} is not an octal number")
            }
            ArchiveFault::Type(kind) => {
                write!(f, "type {kind:#04x} is not a file, directory or link")
            }
            ArchiveFault::Path => f.write_str("its name or target is empty, or climbs with `..`"),
            ArchiveFault::Refused(error) => {
                write!(f, "the file system refused it (errno {})", -error.answer())
            }
        }
    }
}

impl core::error::Error for ArchiveError {}

impl From<Errno> for ArchiveFault {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

/// Entries that hold the name, or the link's target, of the entry after them, where it does not fit a header.
const LONG_NAME: u8 = b'L';
const LONG_TARGET: u8 = b'K';

/// What came before an entry; empty where it is in the header.
#[derive(Default)]
struct Long {
    name: &'static [u8],
    target: &'static [u8],
}

/// The fields of a header that matter here.
struct Header {
    kind: u8,
    mode: u32,
    uid: u32,
    gid: u32,
    bytes: usize,
    modified: i64,
}

fn text(header: &[u8], start: usize, length: usize) -> &[u8] {
    let field = &header[start..start + length];
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(length);
    &field[..end]
}

/// An octal field, padded with spaces or NULs.
fn number(header: &[u8], start: usize, length: usize) -> Result<u64, ArchiveFault> {
    let field = text(header, start, length).trim_ascii();
    field.iter().try_fold(0u64, |value, &digit| match digit {
        b'0'..=b'7' => value
            .checked_mul(8)
            .map(|value| value + u64::from(digit - b'0'))
            .ok_or(ArchiveFault::Number(start)),
        _ => Err(ArchiveFault::Number(start)),
    })
}

fn parse(header: &[u8]) -> Result<Header, ArchiveFault> {
    let stored = number(header, 148, 8)?;
    let blank = |index| (148..156).contains(&index);
    let sum = header.iter().enumerate().map(|(index, &byte)| {
        if blank(index) {
            u64::from(b' ')
        } else {
            u64::from(byte)
        }
    });
    let computed = sum.sum();
    if stored != computed {
        return Err(ArchiveFault::Checksum { stored, computed });
    }
    Ok(Header {
        kind: header[156],
        mode: number(header, 100, 8)? as u32 & 0o7777,
        uid: number(header, 108, 8)? as u32,
        gid: number(header, 116, 8)? as u32,
        bytes: usize::try_from(number(header, 124, 12)?).map_err(|_| ArchiveFault::Number(124))?,
        modified: i64::try_from(number(header, 136, 12)?.saturating_mul(NS)).unwrap_or(i64::MAX),
    })
}

impl<H: Host> Files<H> {
    /// Unpacks `archive` into the root directory. Directories that paths pass through are
    /// made; a name that exists is replaced, a directory kept. Without contents to copy, the
    /// cost is that of the names.
    ///
    /// # Errors
    ///
    /// [`ArchiveError`] at the first bad entry; those before it are unpacked.
    pub fn unpack(&mut self, archive: &'static mut [u8]) -> Result<(), ArchiveError> {
        let mut rest = archive;
        let mut offset = 0;
        let mut long = Long::default();
        while !rest.is_empty() {
            let fail = |fault| ArchiveError { offset, fault };
            if rest.len() < BLOCK {
                return Err(fail(ArchiveFault::Truncated { needed: BLOCK }));
            }
            let (header, after) = rest.split_at_mut(BLOCK);
            if header.iter().all(|&byte| byte == 0) {
                return Ok(());
            }
            let fields = parse(header).map_err(fail)?;
            let stored = if matches!(fields.kind, b'0' | 0 | b'7' | LONG_NAME | LONG_TARGET) {
                fields.bytes
            } else {
                0
            };
            let padded = stored.checked_next_multiple_of(BLOCK).unwrap_or(usize::MAX);
            if stored > after.len() {
                return Err(fail(ArchiveFault::Truncated {
                    needed: padded.saturating_add(BLOCK),
                }));
            }
            let (contents, next) = after.split_at_mut(padded.min(after.len()));
            let contents = &mut contents[..stored];
            match fields.kind {
                LONG_NAME => long.name = text(contents, 0, stored),
                LONG_TARGET => long.target = text(contents, 0, stored),
                _ => self
                    .entry(header, core::mem::take(&mut long), &fields, contents)
                    .map_err(fail)?,
            }
            offset += BLOCK + padded;
            rest = next;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        header: &[u8],
        long: Long,
        fields: &Header,
        contents: &'static mut [u8],
    ) -> Result<(), ArchiveFault> {
        let (prefix, name) = match long.name {
            [] if &header[257..262] == b"ustar" => (text(header, 345, 155), text(header, 0, 100)),
            [] => (&b""[..], text(header, 0, 100)),
            name => (&b""[..], name),
        };
        let linked = match long.target {
            [] => text(header, 157, 100),
            target => target,
        };
        let mut path = Vec::new();
        path.try_reserve_exact(prefix.len() + 1 + name.len())
            .map_err(|_| Errno::NOSPC)?;
        path.extend_from_slice(prefix);
        path.push(b'/');
        path.extend_from_slice(name);
        let mut components = path
            .split(|&byte| byte == b'/')
            .filter(|name| !name.is_empty() && *name != b".")
            .peekable();
        if components.peek().is_none() {
            // The root itself, as `tar` writes it for `.`.
            return if fields.kind == b'5' && !name.is_empty() {
                Ok(())
            } else {
                Err(ArchiveFault::Path)
            };
        }
        let mut parent = InodeId::ROOT;
        while let Some(name) = components.next() {
            if name == b".." {
                return Err(ArchiveFault::Path);
            }
            if components.peek().is_some() || fields.kind == b'5' {
                parent = self.directory_at(parent, name)?;
                continue;
            }
            let kind = match fields.kind {
                b'0' | b'7' | 0 => Kind::Regular(Data::in_place(contents)),
                b'2' => Kind::Link(self.copied_target(linked)?),
                b'1' => {
                    let mut target = Vec::new();
                    target
                        .try_reserve_exact(linked.len() + 1)
                        .map_err(|_| Errno::NOSPC)?;
                    target.push(b'/');
                    target.extend_from_slice(linked);
                    self.link(ROOT_BASE, &target, ROOT_BASE, &path, 0)?;
                    return Ok(());
                }
                other => return Err(ArchiveFault::Type(other)),
            };
            self.vacate(parent, name)?;
            let inode = self.place(parent, Name::new(name)?, kind, fields.mode)?;
            self.describe(inode, fields);
            return Ok(());
        }
        self.describe(parent, fields);
        self.inodes[parent].mode = fields.mode;
        Ok(())
    }

    fn copied_target(&self, target: &[u8]) -> Result<Vec<u8>, ArchiveFault> {
        if target.is_empty() {
            return Err(ArchiveFault::Path);
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(target.len())
            .map_err(|_| Errno::NOSPC)?;
        copy.extend_from_slice(target);
        Ok(copy)
    }

    /// The directory `name` in `parent`, made if it is not there.
    fn directory_at(&mut self, parent: InodeId, name: &[u8]) -> Result<InodeId, ArchiveFault> {
        let spot = self.inodes.locate(parent, name, true, Slash::Follows)?;
        if let Some(inode) = spot.inode {
            self.inodes[inode].directory()?;
            return Ok(inode);
        }
        Ok(self.place(
            parent,
            Name::new(name)?,
            Kind::Directory(Directory::new(parent)),
            0o755,
        )?)
    }

    /// Removes what an entry is about to replace.
    fn vacate(&mut self, parent: InodeId, name: &[u8]) -> Result<(), ArchiveFault> {
        let spot = self.inodes.locate(parent, name, false, Slash::Kept)?;
        let slot = spot.slot;
        if let (Last::Name, Some(inode)) = (spot.last, spot.inode) {
            if self.inodes[inode].is_directory() {
                return Err(Errno::ISDIR.into());
            }
            self.inodes[parent].directory_mut()?.remove(slot);
            self.inodes[inode].links -= 1;
            self.inodes.collect(inode);
        }
        Ok(())
    }

    fn describe(&mut self, inode: InodeId, fields: &Header) {
        let inode = &mut self.inodes[inode];
        (inode.uid, inode.gid) = (fields.uid, fields.gid);
        (inode.accessed, inode.modified) = (fields.modified, fields.modified);
    }
}

/// Any descriptor will do where every path is absolute.
const ROOT_BASE: usize = 0;
