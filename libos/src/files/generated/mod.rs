//! Files of `/proc` and `/sys` that programs read about themselves and the machine, made when they are read: only what
//! is true of an image. They have no inode of their own, so that they cost nothing until somebody asks.
//! Owns nothing; a text belongs to its description. Must never name what an image has not.

mod texts;
mod tree;

use super::descriptors::Object;
use super::inode::{Inode, InodeId, Kind};
use super::objects::Waitable;
use super::transfer::At;
use super::{Errno, Files, Guest, Host, Result};
use alloc::vec::Vec;
use core::fmt::Write;
use linux_raw_sys::general::{
    DT_DIR, DT_LNK, DT_REG, O_ACCMODE, O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_LARGEFILE,
    O_PATH, O_RDONLY, O_WRONLY, PATH_MAX, PROC_SUPER_MAGIC, S_IFDIR, S_IFLNK, S_IFREG, SYSFS_MAGIC,
};
pub(crate) use texts::Text;
use tree::Entry;

/// What the program is, as `/proc/self` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Threads that have not ended.
    pub threads: usize,
}

/// What opening a generated file gives.
pub(super) enum Opened {
    /// A descriptor of a text or a directory.
    Descriptor(usize),
    /// Another file, which is to be opened instead.
    Link(InodeId),
}

/// The text of a generated file as it was last read from its start, and what makes it.
pub(crate) struct Snapshot {
    text: Vec<u8>,
    /// 0: it stays.
    letter: u8,
    /// The descriptor it tells of.
    tells: u16,
    tid: u32,
}

/// A path of generated files, without a slash before it: bytes and how many.
#[derive(Clone, Copy)]
struct Path([u8; Path::MAX], usize);

impl Path {
    /// No path of a generated file is longer.
    const MAX: usize = 64;

    fn str(&self) -> &str {
        core::str::from_utf8(&self.0[..self.1]).unwrap_or("")
    }

    fn push(&mut self, name: &[u8]) -> Option<()> {
        let slash = usize::from(self.1 > 0);
        let end = self.1 + slash + name.len();
        let place = self.0.get_mut(self.1..end)?;
        if slash == 1 {
            place[0] = b'/';
        }
        place[slash..].copy_from_slice(name);
        self.1 = end;
        Some(())
    }

    fn pop(&mut self) {
        self.1 = self.str().rfind('/').unwrap_or(0);
    }
}

/// What a path leads to.
enum Found {
    /// A text of this letter, of a thread; or one that stays.
    Made(u8, u32),
    Text(&'static str),
    /// What is known of a descriptor.
    Descriptor(usize),
    /// A directory.
    Directory(Path),
    /// A link to a file that is open, or to a directory.
    Link(InodeId, Option<usize>),
    /// A link of which only the text matters.
    Name(Path),
    /// The link to the program, which is no file of an image.
    Program,
}

impl<H: Host> Files<H> {
    /// What is generated at `path`, seen from `base`, with the link at its end followed or not; if anything is.
    #[cold]
    fn find_generated(&self, base: usize, path: &[u8], follows: bool) -> Option<Found> {
        if leads_elsewhere(path) {
            return None;
        }
        let mut path = path;
        let follows = follows || path.ends_with(b"/");
        let mut whole = match path.strip_prefix(b"/dev/fd") {
            Some(rest) if rest.is_empty() && !follows => {
                return Some(Found::Name(path_of("/proc/self/fd")));
            }
            Some(rest) if rest.is_empty() || rest[0] == b'/' => {
                path = rest;
                path_of("proc/1/fd")
            }
            _ => self.generated_base(base, path)?,
        };
        let mut names = path.split(|&byte| byte == b'/').peekable();
        let mut tid = 1;
        while let Some(name) = names.next() {
            let is_last = names.peek().is_none();
            match name {
                b"" | b"." => {}
                b".." => whole.pop(),
                _ => whole.push(name)?,
            }
            let leads_on = !is_last || follows;
            match whole.str() {
                "proc/self" if leads_on => whole = path_of("proc/1"),
                "proc/thread-self" if leads_on => {
                    whole = path_of("proc/1/task");
                    tid = self.host.tid();
                    push_number(&mut whole, tid as usize)?;
                }
                "proc/mounts" if leads_on => whole = path_of("proc/1/mounts"),
                _ => {}
            }
        }
        let text = whole.str();
        if !text.starts_with("proc") && !text.starts_with("sys") || self.is_confined() {
            return None;
        }
        // A process, and a thread of it.
        let Some(own) = self.own_part(text, &mut tid) else {
            if text == "proc/thread-self" {
                let mut link = path_of("1/task");
                push_number(&mut link, self.host.tid() as usize)?;
                return Some(Found::Name(link));
            }
            return Some(match tree::find(text)? {
                Entry::Directory => Found::Directory(whole),
                Entry::Text(text) => Found::Text(text),
                Entry::Made(letter) => Found::Made(letter, tid),
                Entry::Link(name) => Found::Name(path_of(name)),
                Entry::Known => return None,
            });
        };
        if let Some((folder, number)) = own.split_once('/') {
            let number = number.parse().ok()?;
            let description = self.descriptors.get(number).ok()?;
            return match folder {
                "fd" => Some(Found::Link(description.inode, Some(number))),
                "fdinfo" => Some(Found::Descriptor(number)),
                _ => None,
            };
        }
        if own.is_empty() {
            return Some(Found::Directory(whole));
        }
        let mut key = path_of("proc/P");
        key.push(own.as_bytes())?;
        Some(match (own, tree::find(key.str())?) {
            ("cwd", _) => Found::Link(self.working_directory, None),
            ("root", _) => Found::Link(InodeId::ROOT, None),
            ("exe", _) => Found::Program,
            ("task", _) if text != "proc/1/task" => return None,
            (_, Entry::Known | Entry::Directory) => Found::Directory(whole),
            (_, Entry::Made(letter)) => Found::Made(letter, tid),
            (_, Entry::Text(text)) => Found::Text(text),
            (_, Entry::Link(name)) => Found::Name(path_of(name)),
        })
    }

    /// The part of a path behind the process or thread that it begins with.
    fn own_part<'a>(&self, path: &'a str, tid: &mut u32) -> Option<&'a str> {
        let number = |part: &'a str| {
            let (number, rest) = part.split_once('/').unwrap_or((part, ""));
            let number: u32 = number.parse().ok()?;
            self.host.thread_exists(number).then_some((number, rest))
        };
        let (first, rest) = number(path.strip_prefix("proc/")?)?;
        *tid = first;
        if let Some(thread) = rest.strip_prefix("task/") {
            let (thread, rest) = number(thread)?;
            *tid = thread;
            return Some(rest);
        }
        Some(rest)
    }

    /// The generated directory that a path starts from: the root, or what a descriptor has open.
    fn generated_base(&self, base: usize, path: &[u8]) -> Option<Path> {
        let nothing = Path([0; Path::MAX], 0);
        if path.starts_with(b"/") {
            let mut names = path.split(|&byte| byte == b'/');
            let first = names.find(|name| !matches!(*name, b"" | b"."))?;
            return matches!(first, b"proc" | b"sys").then_some(nothing);
        }
        if let Ok(description) = self.descriptors.get(base)
            && let Object::Listing(path) = &description.object
        {
            let mut from = nothing;
            from.push(path)?;
            return Some(from);
        }
        let is_root = self.base_inode(base) == Ok(InodeId::ROOT);
        is_root.then_some(nothing)
    }

    /// Opens the generated file at `path`, if it is one: `None` otherwise.
    #[cold]
    pub(super) fn open_generated(
        &mut self,
        base: usize,
        path: &[u8],
        flags: u32,
    ) -> Option<Result<Opened>> {
        let follows = flags & linux_raw_sys::general::O_NOFOLLOW == 0;
        let found = self.find_generated(base, path, follows)?;
        if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
            return Some(Err(Errno::EXIST));
        }
        let (object, is_directory) = match found {
            Found::Link(inode, _) if follows => return Some(Ok(Opened::Link(inode))),
            Found::Link(..) | Found::Name(_) => return Some(Err(Errno::LOOP)),
            Found::Program => return Some(Err(Errno::ACCES)),
            Found::Directory(path) => {
                let mut copy = Vec::new();
                if copy.try_reserve_exact(path.1).is_err() {
                    return Some(Err(Errno::NOMEM));
                }
                copy.extend_from_slice(path.str().as_bytes());
                (Object::Listing(copy), true)
            }
            Found::Made(letter, tid) => (snapshot(letter, 0, tid), false),
            Found::Descriptor(number) => (snapshot(b'F', number as u16, 0), false),
            Found::Text(text) => {
                let mut copy = Text(Vec::new());
                let written =
                    text.split_inclusive('|')
                        .try_for_each(|line| match line.strip_suffix('|') {
                            Some(line) => writeln!(copy, "{line}"),
                            None => copy.write_str(line),
                        });
                if written.is_err() {
                    return Some(Err(Errno::NOMEM));
                }
                let text = copy.0;
                let object = Object::Snapshot(Snapshot {
                    text,
                    letter: 0,
                    tells: 0,
                    tid: 0,
                });
                (object, false)
            }
        };
        if flags & O_ACCMODE != O_RDONLY && flags & O_PATH == 0 {
            let refusal = if is_directory {
                Errno::ISDIR
            } else {
                Errno::ACCES
            };
            return Some(Err(refusal));
        }
        if !is_directory && (flags & O_DIRECTORY != 0 || path.ends_with(b"/")) {
            return Some(Err(Errno::NOTDIR));
        }
        if flags & O_CREAT != 0 && is_directory {
            return Some(Err(Errno::ISDIR));
        }
        let kind = if is_directory {
            S_IFDIR | 0o555
        } else {
            S_IFREG | 0o444
        };
        let opened = self.open_made(object, kind, flags);
        Some(opened.map(Opened::Descriptor))
    }

    /// Opens what no directory names: `/proc` and `/sys`.
    #[cold]
    pub(super) fn open_missing(&mut self, base: usize, path: &[u8], flags: u32) -> Result {
        match self.open_generated(base, path, flags) {
            Some(Ok(Opened::Descriptor(descriptor))) => Ok(descriptor),
            Some(Err(error)) => Err(error),
            Some(Ok(Opened::Link(_))) | None => Err(Errno::NOENT),
        }
    }

    /// The error for what is not there, seen from a generated directory, which others would say is none.
    pub(crate) fn or_missing(&self, base: usize, error: Errno) -> Errno {
        match self.descriptors.get(base).map(|open| &open.object) {
            Ok(Object::Listing(_)) => Errno::NOENT,
            _ => error,
        }
    }

    /// The file that a generated link at `path` leads to.
    #[cold]
    pub(super) fn generated_target(&self, base: usize, path: &[u8]) -> Option<InodeId> {
        match self.find_generated(base, path, true)? {
            Found::Link(inode, _) if !path.ends_with(b"/") => Some(inode),
            Found::Link(inode, _) if self.inodes[inode].is_directory() => Some(inode),
            _ => None,
        }
    }

    /// Whether a generated link that leads to a file is at `path`.
    pub(super) fn is_generated_link(&self, path: &[u8]) -> bool {
        let base = linux_raw_sys::general::AT_FDCWD as usize;
        let found = self.find_generated(base, path, false);
        matches!(found, Some(Found::Link(..) | Found::Program))
    }

    /// What `stat` tells of a generated file at `path`, links followed or not: a file of no size, as in Linux.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none.
    #[cold]
    pub(crate) fn generated_inode(&self, base: usize, path: &[u8], follows: bool) -> Result<Inode> {
        let (kind, mode) = match self
            .find_generated(base, path, follows)
            .ok_or(Errno::NOENT)?
        {
            Found::Made(b'e', _) => (S_IFREG, 0o400),
            Found::Made(b'n', _) => (S_IFREG, 0o644),
            Found::Made(..) | Found::Text(_) | Found::Descriptor(_) => (S_IFREG, 0o444),
            Found::Directory(path) if path.str().ends_with("/fd") => (S_IFDIR, 0o500),
            Found::Directory(_) => (S_IFDIR, 0o555),
            Found::Name(_) if follows => (S_IFDIR, 0o555),
            Found::Program if follows => (S_IFREG, 0o755),
            // With a slash behind it, for what is no directory.
            Found::Link(..) if path.ends_with(b"/") => return Err(Errno::NOTDIR),
            Found::Link(_, Some(number)) => (S_IFLNK, self.link_mode(number)),
            Found::Name(_) | Found::Link(..) | Found::Program => (S_IFLNK, 0o777),
        };
        let now = self.now();
        Ok(Inode {
            kind: Kind::Anonymous(kind),
            mode,
            uid: 0,
            gid: 0,
            links: 1,
            references: 0,
            accessed: now,
            modified: now,
            changed: now,
        })
    }

    /// The mode of the link to a descriptor: what it may be used for.
    fn link_mode(&self, descriptor: usize) -> u32 {
        let flags = self
            .descriptors
            .get(descriptor)
            .map_or(0, |open| open.flags);
        match flags & O_ACCMODE {
            _ if flags & O_PATH != 0 => 0o100,
            O_RDONLY => 0o500,
            O_WRONLY => 0o300,
            _ => 0o700,
        }
    }

    /// `readlink` of a generated link at `path`.
    ///
    /// # Errors
    ///
    /// `ENOENT` when there is none, or when what it leads to has no name; `EINVAL` for what is no link.
    #[cold]
    pub(super) fn read_generated_link(
        &self,
        base: usize,
        path: &[u8],
        buffer: &mut [u8],
    ) -> Result {
        let mut room = [0; PATH_MAX as usize];
        let mut text = Text(Vec::new());
        let found = self.find_generated(base, path, false);
        let written = match found.ok_or(Errno::NOENT)? {
            Found::Name(name) => text.write_str(name.str()),
            Found::Program => {
                let mut name: &[u8] = b"";
                let mut is_first = true;
                self.host.strings(false, &mut |string| {
                    if core::mem::take(&mut is_first) {
                        name = string.strip_suffix(b"\0").unwrap_or(string);
                    }
                });
                let name = core::str::from_utf8(name).unwrap_or("");
                let slash = if name.starts_with('/') { "" } else { "/" };
                let name = name.strip_prefix("./").unwrap_or(name);
                write!(text, "{slash}{name}")
            }
            Found::Link(_, Some(number)) if self.listing_of(number).is_some() => {
                let path = self.listing_of(number).unwrap_or(b"");
                write!(text, "/{}", core::str::from_utf8(path).unwrap_or(""))
            }
            Found::Link(inode, number) => match self.object_name(inode, number) {
                Some(name) => match name {
                    "pipe" | "socket" => write!(text, "{name}:[{}]", inode.0 + 1),
                    "eventpoll" | "eventfd" | "timerfd" => write!(text, "anon_inode:[{name}]"),
                    _ if name.starts_with('/') => text.write_str(name),
                    _ => write!(text, "anon_inode:{name}"),
                },
                None => match self.memfd_name(inode) {
                    Some(name) => {
                        let name = core::str::from_utf8(name).unwrap_or("?");
                        write!(text, "/memfd:{name} (deleted)")
                    }
                    None if self.inodes[inode].links == 0 => {
                        let folder = match self.path_of(self.working_directory, &mut room) {
                            Ok([b'/', 0]) | Err(_) => "",
                            Ok(path) => core::str::from_utf8(&path[..path.len() - 1]).unwrap_or(""),
                        };
                        write!(text, "{folder}/#{} (deleted)", inode.0 + 1)
                    }
                    None => {
                        let path = self.path_of(inode, &mut room)?;
                        let path = &path[..path.len() - 1];
                        let count = path.len().min(buffer.len());
                        buffer[..count].copy_from_slice(&path[..count]);
                        return Ok(count);
                    }
                },
            },
            _ => return Err(Errno::INVAL),
        };
        written.map_err(|_| Errno::NOMEM)?;
        let count = text.0.len().min(buffer.len());
        buffer[..count].copy_from_slice(&text.0[..count]);
        Ok(count)
    }

    /// The name of what is behind a descriptor, for what has no path.
    fn object_name(&self, inode: InodeId, number: Option<usize>) -> Option<&str> {
        let Kind::Anonymous(_) = self.inodes[inode].kind else {
            return None;
        };
        match &self.descriptors.get(number?).ok()?.object {
            Object::Waitable(Waitable::Pipe(..)) => Some("pipe"),
            Object::Waitable(Waitable::Epoll(_)) => Some("eventpoll"),
            Object::Waitable(Waitable::Counter(_)) => Some("eventfd"),
            Object::Waitable(Waitable::Timer(_)) => Some("timerfd"),
            Object::Waitable(Waitable::Other(object)) => Some(self.objects.other_kind(*object)),
            Object::Waitable(_) => Some("socket"),
            _ => Some("/proc"),
        }
    }

    fn listing_of(&self, descriptor: usize) -> Option<&[u8]> {
        match &self.descriptors.get(descriptor).ok()?.object {
            Object::Listing(path) => Some(path),
            _ => None,
        }
    }

    fn open_made(&mut self, object: Object, mode: u32, flags: u32) -> Result {
        let now = self.now();
        let descriptor = self.descriptors.lowest_closed(0)?;
        self.descriptors.reserve()?;
        let kind = Kind::Anonymous(mode & linux_raw_sys::general::S_IFMT);
        let inode: InodeId = self
            .inodes
            .create(kind, mode & 0o777, now)
            .map_err(|_| Errno::NOMEM)?;
        self.inodes[inode].references += 1;
        let flags_kept = flags & !(O_CLOEXEC | O_CREAT | O_EXCL);
        let (object, kept) = match (flags & O_PATH, object) {
            (0, object) => (object, flags_kept | O_LARGEFILE),
            // What others name from there.
            (_, Object::Listing(path)) => (Object::Listing(path), flags_kept),
            _ => (Object::Path, flags_kept),
        };
        self.descriptors
            .open(descriptor, object, inode, kept, flags & O_CLOEXEC != 0);
        if let Ok(description) = self.descriptors.get(descriptor)
            && let Object::Snapshot(made) = &description.object
            && made.letter != 0
            && let Err(error) = self.make_text(descriptor)
        {
            self.close(descriptor)?;
            return Err(error);
        }
        Ok(descriptor)
    }

    /// Makes the text of a descriptor anew.
    fn make_text(&mut self, descriptor: usize) -> Result<()> {
        let Object::Snapshot(made) = &self.descriptors.get(descriptor)?.object else {
            return Ok(());
        };
        let (letter, tells, tid) = (made.letter, made.tells, made.tid);
        let mut text = Text(Vec::new());
        let written = match letter {
            0 => return Ok(()),
            b'F' => self.tell_of_open_file(tells as usize, &mut text),
            _ => self.write_text(letter, tid, &mut text),
        };
        written.map_err(|_| Errno::NOMEM)?;
        if let Object::Snapshot(made) = &mut self.descriptors.get_mut(descriptor)?.object {
            made.text = text.0;
        }
        Ok(())
    }

    /// `/proc/self/fdinfo/N`
    fn tell_of_open_file(&self, descriptor: usize, text: &mut Text) -> core::fmt::Result {
        let Ok(description) = self.descriptors.get(descriptor) else {
            return Ok(());
        };
        let closes = self.descriptors.close_on_exec(descriptor) == Ok(true);
        let flags = description.flags | if closes { O_CLOEXEC } else { 0 };
        writeln!(
            text,
            "pos:\t{}\nflags:\t0{flags:o}\nmnt_id:\t1\nino:\t{}",
            description.position,
            description.inode.0 + 1
        )
    }

    /// Reads a generated text, made anew whenever it is read from its start.
    #[cold]
    pub(super) fn read_snapshot(&mut self, descriptor: usize, buffer: &mut [u8], at: At) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let offset = match at {
            At::Offset(offset) => offset,
            At::Position => description.position,
        };
        if offset == 0 {
            self.make_text(descriptor)?;
        }
        let description = self.descriptors.get_mut(descriptor)?;
        let Object::Snapshot(Snapshot { text, .. }) = &description.object else {
            return Err(Errno::BADF);
        };
        let start = usize::try_from(offset).map_or(text.len(), |at| at.min(text.len()));
        let count = buffer.len().min(text.len() - start);
        buffer[..count].copy_from_slice(&text[start..start + count]);
        if let At::Position = at {
            description.position += count as u64;
        }
        Ok(count)
    }

    /// `getdents64` of a generated directory.
    #[cold]
    pub(super) fn list_generated(&mut self, descriptor: usize, buffer: &mut [u8]) -> Result {
        let description = self.descriptors.get(descriptor)?;
        let Object::Listing(path) = &description.object else {
            return Err(Errno::NOTDIR);
        };
        if description.flags & O_PATH != 0 {
            return Err(Errno::BADF);
        }
        let path = core::str::from_utf8(path).map_err(|_| Errno::NOENT)?;
        let from = description.position;
        let mut records = super::listing::Records::new(buffer, from);
        let ino = description.inode.0;
        records.add(b".", DT_DIR, ino);
        records.add(b"..", DT_DIR, ino);
        let mut tid = 0;
        let own = self.own_part(path, &mut tid);
        let mut key = path_of("proc/P");
        let number = |records: &mut super::listing::Records<'_>, number: usize, kind: u32| {
            let mut name = Path([0; Path::MAX], 0);
            if push_number(&mut name, number).is_some() {
                records.add(name.str().as_bytes(), kind, ino);
            }
        };
        match own {
            Some("fd" | "fdinfo") => {
                let kind = if own == Some("fd") { DT_LNK } else { DT_REG };
                for descriptor in 0..self.descriptors.len() {
                    if self.descriptors.index(descriptor).is_ok() {
                        number(&mut records, descriptor, kind);
                    }
                }
            }
            Some("task") => {
                let mut left = self.host.process().threads;
                let mut tid = 1;
                while left > 0 && tid < 1 << 20 {
                    if self.host.thread_exists(tid) {
                        left -= 1;
                        number(&mut records, tid as usize, DT_DIR);
                    }
                    tid += 1;
                }
            }
            own => {
                match own {
                    Some("") => {}
                    Some(rest) => key.push(rest.as_bytes()).ok_or(Errno::NOENT)?,
                    None => key = path_of(path),
                }
                let is_thread = path != "proc/1" && own.is_some();
                tree::children(key.str(), |name, entry| {
                    let kind = match (name, entry) {
                        ("fd" | "fdinfo" | "task", Entry::Known) | (_, Entry::Directory) => DT_DIR,
                        (_, Entry::Known | Entry::Link(_)) => DT_LNK,
                        _ => DT_REG,
                    };
                    if !(is_thread && name == "task") {
                        records.add(name.as_bytes(), kind, ino);
                    }
                });
            }
        }
        let (used, next) = records.end()?;
        self.descriptors.get_mut(descriptor)?.position = next;
        Ok(used)
    }

    /// What `statfs` says of the file system of a generated file, if it is one.
    pub(crate) fn generated_system(&self, base: usize, path: &[u8]) -> Option<u32> {
        match self.find_generated(base, path, true)? {
            Found::Directory(path) if path.str().starts_with("sys") => Some(SYSFS_MAGIC),
            Found::Link(..) => None,
            _ => Some(PROC_SUPER_MAGIC),
        }
    }

    /// As [`Files::generated_system`], of what is open.
    pub(crate) fn generated_system_of(&self, descriptor: usize) -> Option<u32> {
        match &self.descriptors.get(descriptor).ok()?.object {
            Object::Listing(path) if path.starts_with(b"sys") => Some(SYSFS_MAGIC),
            Object::Listing(_) | Object::Snapshot(_) => Some(PROC_SUPER_MAGIC),
            _ => None,
        }
    }

    /// As for a path of the guest.
    pub(crate) fn generated_system_at(&self, guest: Guest, path: usize) -> Option<u32> {
        let path = guest.path(path).ok()?;
        self.generated_system(linux_raw_sys::general::AT_FDCWD as usize, path)
    }
}

/// Whether `path` names nothing below `/proc`, `/sys` or `/dev`, as is seen at once: databases ask again and again for
/// files that are not there.
fn leads_elsewhere(path: &[u8]) -> bool {
    begins_elsewhere(path) && !path.windows(2).any(|pair| pair == b"/.")
}

/// As [`leads_elsewhere`], of a path without `.` and `..`.
#[inline(always)]
pub(super) fn begins_elsewhere(path: &[u8]) -> bool {
    matches!(path, [b'/', first, ..] if !matches!(first, b'p' | b's' | b'd' | b'.' | b'/'))
}

fn snapshot(letter: u8, tells: u16, tid: u32) -> Object {
    Object::Snapshot(Snapshot {
        text: Vec::new(),
        letter,
        tells,
        tid,
    })
}

fn path_of(text: &str) -> Path {
    let mut path = Path([0; Path::MAX], 0);
    let _ = path.push(text.as_bytes());
    path
}

fn push_number(path: &mut Path, number: usize) -> Option<()> {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    path.push(&digits[start..])
}
