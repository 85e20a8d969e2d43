//! Call groups: the system calls that few programs make, which an image has only if it needs them.
//!
//! A group is a file here that ends with [`call_group!`]. The C library names the group beside the number of
//! each of its calls (`libc/overlay/arch/x86_64/bespoke_groups.h`); a function that makes such a call refers to the
//! group, without an instruction for it, so that the linker keeps the group where it keeps the function and drops it
//! everywhere else. `syscall`, whose number is not known when it is compiled, brings all groups.
//!
//! What is common to all images must therefore never name what is in a group. Groups are asked after everything else
//! has declined a call, so the usual calls pay nothing for them.
//!
//! # How to add a group
//!
//! 1. A file here that answers the calls, in one of two forms: `unsafe fn(usize, Arguments) -> Option<Outcome>`, or,
//!    for calls on files and descriptors, which may wait as told in `crate::files::objects`,
//!    `unsafe fn(&mut Root, usize, Arguments) -> Option<isize>`.
//! 2. `call_group!` at its end, and the group in `EVERY` (calls on files also in
//!    `call_of_files`, for the tests of the files).
//! 3. Its calls in `bespoke_groups.h`, and the group among those of `syscall` there. A test compares both with the
//!    files here.

pub mod extended;
pub mod inotify;
pub mod memfd;
pub mod nodes;
pub mod scheduling;
pub mod sockets;
pub mod splices;
pub mod xattrs;

use super::{Arguments, Outcome};
use crate::root::Root;

/// Answers calls that need no files; `None` for numbers of others.
pub type PlainCall = unsafe fn(usize, Arguments) -> Option<Outcome>;
/// Answers calls on files, `-errno` or `RESTART` among the answers; `None` for numbers of others.
pub type FileCall = unsafe fn(&mut Root, usize, Arguments) -> Option<isize>;

/// Calls that an image has or has not.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Group {
    /// Those that need no files.
    pub plain: Option<PlainCall>,
    /// Those on files.
    pub files: Option<FileCall>,
}

/// Defines a group under the name that the C library refers to, in the section that [`linked`] reads.
macro_rules! call_group {
    ($name:ident, plain: $plain:expr, files: $files:expr) => {
        #[doc = "This group, for the linker."]
        #[unsafe(no_mangle)]
        #[unsafe(link_section = concat!(".bespoke_calls.", stringify!($name)))]
        #[allow(
            non_upper_case_globals,
            reason = "a name of the C library's, as the functions are"
        )]
        pub static $name: $crate::calls::groups::Group = $crate::calls::groups::Group {
            plain: $plain,
            files: $files,
        };
    };
}
use call_group;

/// All groups there are, for the tests of this crate.
#[cfg(test)]
static EVERY: [Group; 8] = [
    extended::bespoke_calls_extended,
    inotify::bespoke_calls_inotify,
    memfd::bespoke_calls_memfd,
    nodes::bespoke_calls_nodes,
    scheduling::bespoke_calls_scheduling,
    sockets::bespoke_calls_sockets,
    splices::bespoke_calls_splices,
    xattrs::bespoke_calls_xattrs,
];

/// The groups of this image.
#[cfg(not(test))]
fn linked() -> &'static [Group] {
    unsafe extern "C" {
        static bespoke_calls_start: u8;
        static bespoke_calls_end: u8;
    }
    let (start, end) = (&raw const bespoke_calls_start, &raw const bespoke_calls_end);
    let count = (end as usize - start as usize) / size_of::<Group>();
    // SAFETY: the linker script puts the groups of the image, and nothing else, between these symbols.
    unsafe { core::slice::from_raw_parts(start.cast(), count) }
}

#[cfg(test)]
fn linked() -> &'static [Group] {
    &EVERY
}

/// Answers calls of groups that need no files; `None` if no group of this image has the call.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cold]
pub unsafe fn call(number: usize, arguments: Arguments) -> Option<Outcome> {
    let calls = linked().iter().filter_map(|group| group.plain);
    // SAFETY: the caller's promise.
    calls
        .filter_map(|call| unsafe { call(number, arguments) })
        .next()
}

/// Answers calls of groups on files; `None` if no group of this image has the call.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cold]
pub unsafe fn file_call(root: &mut Root, number: usize, arguments: Arguments) -> Option<isize> {
    let mut calls = linked().iter().filter_map(|group| group.files);
    // SAFETY: the caller's promise.
    calls.find_map(|call| unsafe { call(root, number, arguments) })
}

/// As [`file_call`], of all groups, on files of any host.
///
/// # Safety
///
/// As for [`super::bespoke_syscall`].
#[cfg(test)]
pub unsafe fn call_of_files<H: crate::files::Host>(
    files: &mut crate::files::Files<H>,
    number: usize,
    arguments: Arguments,
) -> Option<isize> {
    // SAFETY: the caller's promise, for this call.
    let guest = unsafe { crate::files::Guest::new() };
    let result = files
        .socket_call(guest, number, arguments)
        .or_else(|| files.node_call(guest, number, arguments))
        .or_else(|| files.inotify_call(guest, number, arguments))
        .or_else(|| files.splice_call(guest, number, arguments))
        .or_else(|| files.memfd_call(guest, number, arguments))
        .or_else(|| files.extended_call(guest, number, arguments))
        .or_else(|| files.attribute_call(guest, number, arguments))?;
    Some(super::files::answered(result))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::string::{String, ToString};
    use std::{fs, vec::Vec};

    type Calls = BTreeMap<String, BTreeSet<String>>;

    fn header() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../libc/overlay/arch/x86_64/bespoke_groups.h");
        fs::read_to_string(path).unwrap()
    }

    /// The words that follow `mark` in `text`.
    fn after<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
        let rest = text.split(mark).skip(1);
        rest.map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
    }

    /// The calls of each group, as the files of the groups answer them.
    fn answered() -> Calls {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/calls/groups");
        let mut calls = Calls::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name == "mod" {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let numbers = after(&text, "__NR_").into_iter().map(String::from);
            calls.insert(name.to_string(), numbers.collect());
        }
        calls
    }

    #[test]
    fn the_c_library_refers_to_the_group_of_each_call() {
        let header = header();
        let mut referred = Calls::new();
        for line in header
            .lines()
            .filter(|line| line.starts_with("#define SYS_"))
        {
            let (name, definition) = line["#define SYS_".len()..].split_once(' ').unwrap();
            let group = after(definition, "BESPOKE_CALL(")[0];
            assert_eq!(definition, std::format!("BESPOKE_CALL({group}, {name})"));
            assert!(
                header.contains(&std::format!("#undef SYS_{name}\n")),
                "{name}"
            );
            let is_new = referred
                .entry(group.to_string())
                .or_default()
                .insert(name.to_string());
            assert!(is_new, "{name} is named twice");
        }
        assert_eq!(referred, answered());
    }

    #[test]
    fn a_call_by_number_has_every_group() {
        let header = header();
        let all = header.split("BESPOKE_REFER_TO_ALL()").nth(1).unwrap();
        let all = all.split("while").next().unwrap();
        let all: BTreeSet<_> = after(all, "BESPOKE_REFER(")
            .into_iter()
            .map(String::from)
            .collect();
        assert_eq!(all, answered().into_keys().collect());
        assert_eq!(all.len(), super::EVERY.len());
    }
}
