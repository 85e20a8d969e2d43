//! The format in which several files are written to one descriptor of `--out`.
//!
//! A single file is written as its bytes.
//! A folder, or a file with companions (see [`COMPANIONS`]), is written as a list of entries: an
//! [`Entry`], its name, then its contents.
//! The entries walk the tree, so a name is one path component. A [`FOLDER`] entry enters a folder
//! and a [`LEAVE`] entry leaves it.
//! The image reports which of the two forms it wrote in [`crate::stats::StatsPage::exported`].

/// Largest number of files that `--out` can name: each has two bits in
/// [`crate::stats::StatsPage::exported`].
pub const MAX_EXPORTS: usize = 32;

/// Suffixes that SQLite appends to a database's name for the files that hold the
/// rest of its contents after a crash.
/// Its `-shm` file is not one of them: it is rebuilt from the `-wal` file.
pub const COMPANIONS: [&str; 2] = ["-journal", "-wal"];

/// A regular file, with contents. In a file's list the first entry has no name, and
/// the others are named by a suffix.
pub const FILE: u32 = 1;
/// A folder. It contains the entries up to its [`LEAVE`]. The first entry of a folder's list is
/// the folder itself, without a name.
pub const FOLDER: u32 = 2;
/// A symbolic link; its contents are the target.
pub const LINK: u32 = 3;
/// The end of a folder.
pub const LEAVE: u32 = 4;

/// Bytes of an encoded [`Entry`].
pub const ENTRY_BYTES: usize = 24;

/// Header of an entry; the name and the contents follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// [`FILE`], [`FOLDER`], [`LINK`] or [`LEAVE`].
    pub kind: u32,
    /// Permission bits.
    pub mode: u32,
    /// Bytes of the name.
    pub name_bytes: u64,
    /// Bytes of the contents.
    pub bytes: u64,
}

impl Entry {
    /// Encodes the entry: the fields in their order, little-endian.
    pub fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        bytes[..4].copy_from_slice(&self.kind.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.mode.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.name_bytes.to_le_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    /// Decodes the result of [`Entry::encode`]. Checks nothing.
    pub fn decode(bytes: &[u8; ENTRY_BYTES]) -> Self {
        let (words, _) = bytes.as_chunks::<4>();
        let word = |index: usize| u32::from_le_bytes(words[index]);
        let long = |index: usize| u64::from(word(index)) | u64::from(word(index + 1)) << 32;
        Self {
            kind: word(0),
            mode: word(1),
            name_bytes: long(2),
            bytes: long(4),
        }
    }
}
