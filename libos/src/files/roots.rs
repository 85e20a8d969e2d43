//! `chroot`: another directory becomes the root.
//!
//! The root is the inode with a fixed number, which no walk has to look up. So the two directories change numbers, in
//! all that names them: their names, their children, what is open, the working directory, and objects.

use super::inode::{InodeId, Kind};
use super::{Files, Host, Result};
use linux_raw_sys::general::AT_FDCWD;

impl<H: Host> Files<H> {
    /// `chroot`
    pub(crate) fn change_root(&mut self, path: &[u8]) -> Result {
        let new = self.target(AT_FDCWD as usize, path, 0)?;
        self.inodes[new].directory()?;
        let root = InodeId::ROOT;
        if new == root {
            return Ok(0);
        }
        // The root is its own parent while it is the root, and has its own one again afterwards.
        let above = self.inodes.find_name(root).map(|(above, _)| above);
        self.inodes[root].directory_mut()?.parent = above.unwrap_or(root);
        let exchanged = |inode: InodeId| match inode {
            _ if inode == root => new,
            _ if inode == new => root,
            other => other,
        };
        self.inodes.renumber(root, new);
        for inode in self.descriptors.inodes_mut() {
            *inode = exchanged(*inode);
        }
        self.objects.renumber(root, new);
        self.working_directory = exchanged(self.working_directory);
        self.first_root = exchanged(self.first_root);
        // What was the root stays, though nothing may name it; what is the root now is referred to.
        self.inodes[root].references += 1;
        self.inodes[root].directory_mut()?.parent = root;
        Ok(0)
    }

    /// Whether `chroot` has left the root that the image began with, to which `/proc` and its like belong.
    pub(super) fn is_confined(&self) -> bool {
        self.first_root != InodeId::ROOT
    }
}

impl super::inode::Inodes {
    /// Two directories change their numbers.
    fn renumber(&mut self, one: InodeId, other: InodeId) {
        let exchanged = |inode: InodeId| match inode {
            _ if inode == one => other,
            _ if inode == other => one,
            inode => inode,
        };
        self.swap(one, other);
        for inode in self.all_mut() {
            if let Kind::Directory(directory) = &mut inode.kind {
                directory.parent = exchanged(directory.parent);
                directory.renumber(exchanged);
            }
        }
    }
}
