//! Hands files and folders out, for `--out`: contents stay where they are, nothing is allocated.
//! The form is `bespoke_abi::export`'s.

use super::data::{Data, Extent};
use super::inode::{InodeId, Kind};
use super::walk::{MAX_NAME, Slash, Spot};
use super::{Errno, Files, Host, ZEROS};
use bespoke_abi::export::{COMPANIONS, Entry, FILE, FOLDER, LEAVE, LINK};

/// Takes the bytes of an export, in order.
pub trait Sink {
    /// Takes bytes that stay valid until the file system changes. Whether to go on.
    fn stays(&mut self, bytes: &[u8]) -> bool;
    /// Takes bytes that are valid during the call only. Whether to go on.
    fn passes(&mut self, bytes: &[u8]) -> bool;
}

/// Why an export ended early.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The sink did not go on.
    Sink,
    /// There is nothing that can be written at this path.
    Path(Errno),
}

type Sent = core::result::Result<(), Stopped>;

impl From<Errno> for Stopped {
    fn from(error: Errno) -> Self {
        Self::Path(error)
    }
}

fn go_on(goes_on: bool) -> Sent {
    if goes_on { Ok(()) } else { Err(Stopped::Sink) }
}

impl<H: Host> Files<H> {
    /// Hands out the file or folder at `path`; whether it was handed out as a list of entries. A regular file comes
    /// with its companions, if they have contents. Devices and sockets in a folder are left out.
    ///
    /// # Errors
    ///
    /// Those of resolving the path; `EINVAL` for what is neither a regular file nor a folder.
    pub fn export(&self, path: &[u8], sink: &mut dyn Sink) -> core::result::Result<bool, Stopped> {
        let spot = self
            .inodes
            .locate(self.first_root, path, true, Slash::Follows)?;
        let inode = spot.inode.ok_or(Errno::NOENT)?;
        let data = match &self.inodes[inode].kind {
            Kind::Directory(_) => return self.send_tree(inode, sink).map(|()| true),
            Kind::Regular(_) if spot.slash => return Err(Errno::NOTDIR.into()),
            Kind::Regular(data) => data,
            _ => return Err(Errno::INVAL.into()),
        };
        let companions = COMPANIONS.map(|suffix| self.companion(&spot, suffix));
        if companions.iter().all(Option::is_none) {
            send_data(data, sink)?;
            return Ok(false);
        }
        self.send_entry(FILE, inode, b"", sink)?;
        for (suffix, companion) in COMPANIONS.iter().zip(companions) {
            if let Some(companion) = companion {
                self.send_entry(FILE, companion, suffix.as_bytes(), sink)?;
            }
        }
        Ok(true)
    }

    /// The file beside that of `spot` whose name has `suffix` appended, if it has contents.
    fn companion(&self, spot: &Spot, suffix: &str) -> Option<InodeId> {
        let mut name = [0; MAX_NAME];
        let bytes = spot.name.len() + suffix.len();
        let name = name.get_mut(..bytes)?;
        name[..spot.name.len()].copy_from_slice(spot.name);
        name[spot.name.len()..].copy_from_slice(suffix.as_bytes());
        let directory = self.inodes[spot.parent].directory().ok()?;
        let inode = directory.entries()[directory.find(name).ok()?].inode;
        match &self.inodes[inode].kind {
            Kind::Regular(data) if data.length() > 0 => Some(inode),
            _ => None,
        }
    }

    /// Walks the tree below `top` without recursion: the stack of the caller may be small.
    fn send_tree(&self, top: InodeId, sink: &mut dyn Sink) -> Sent {
        self.send_entry(FOLDER, top, b"", sink)?;
        let (mut folder, mut slot) = (top, 0);
        loop {
            let directory = self.inodes[folder].directory()?;
            if let Some(entry) = directory.entries().get(slot) {
                slot += 1;
                let kind = match &self.inodes[entry.inode].kind {
                    Kind::Regular(_) => FILE,
                    Kind::Link(_) => LINK,
                    Kind::Directory(_) => FOLDER,
                    _ => continue,
                };
                self.send_entry(kind, entry.inode, entry.name.bytes(), sink)?;
                if kind == FOLDER {
                    (folder, slot) = (entry.inode, 0);
                }
                continue;
            }
            let leave = Entry {
                kind: LEAVE,
                mode: 0,
                name_bytes: 0,
                bytes: 0,
            };
            go_on(sink.passes(&leave.encode()))?;
            if folder == top {
                return Ok(());
            }
            let above = self.inodes[directory.parent].directory()?;
            // A directory has one name.
            let own = above.entries().iter().position(|e| e.inode == folder);
            slot = own.ok_or(Errno::NOENT)? + 1;
            folder = directory.parent;
        }
    }

    fn send_entry(&self, kind: u32, inode: InodeId, name: &[u8], sink: &mut dyn Sink) -> Sent {
        let file = &self.inodes[inode];
        let bytes = match &file.kind {
            Kind::Regular(data) => data.length(),
            Kind::Link(target) => target.len() as u64,
            _ => 0,
        };
        let entry = Entry {
            kind,
            mode: file.mode,
            name_bytes: name.len() as u64,
            bytes,
        };
        go_on(sink.passes(&entry.encode()))?;
        go_on(sink.passes(name))?;
        match &file.kind {
            Kind::Regular(data) => send_data(data, sink),
            Kind::Link(target) => go_on(sink.stays(target)),
            _ => Ok(()),
        }
    }
}

/// Hands out the contents of a file, in order, without copying. Holes come as runs of zeros.
fn send_data(data: &Data, sink: &mut dyn Sink) -> Sent {
    let mut offset = 0;
    while let Some(extent) = data.extent(offset) {
        let bytes = match extent {
            Extent::Bytes(bytes) => bytes,
            Extent::Hole(bytes) => &ZEROS[..bytes.min(ZEROS.len())],
        };
        go_on(sink.stays(bytes))?;
        offset += bytes.len() as u64;
    }
    Ok(())
}
