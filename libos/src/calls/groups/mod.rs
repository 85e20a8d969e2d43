//! Call groups: the system calls that few programs make, which an image has only if it needs them.
//!
//! A group is a file here that ends with `call_group!`. Headers of ours name the group of each of its calls
//! (`libc/overlay/arch/x86_64/bits/bespoke_calls.h`); a function that makes such a call, of the C library's or by
//! `syscall` with a constant number, refers to the group, without an instruction for it, so that the linker keeps the
//! group where it keeps the function and drops it everywhere else. `syscall` with any other number brings all groups.
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
//! 3. `make reference` writes the headers from the numbers (`__NR_...`) that the files here answer; a test compares.

pub mod advice;
pub mod affinity;
pub mod attributes;
pub mod clock_setting;
pub mod extended;
pub mod identity;
pub mod inotify;
pub mod locks;
pub mod mappings;
pub mod memfd;
pub mod messages;
pub mod names;
pub mod nodes;
pub mod priorities;
pub mod program_break;
pub mod queues;
pub mod remap;
pub mod scheduling;
pub mod scheduling_attributes;
pub mod signal_files;
pub mod sockets;
pub mod splices;
pub mod timers;
pub mod xattrs;

use super::{Arguments, Outcome};
use crate::filesystem::Root;

/// Answers calls that need no files; `None` for numbers of others.
pub type PlainCall = unsafe fn(usize, Arguments) -> Option<Outcome>;
/// Answers calls on files, `-errno` or `RESTART` among the answers; `None` for numbers of others.
pub type FileCall = unsafe fn(&mut Root, usize, Arguments) -> Option<isize>;

/// Lets go of what a thread that ends had, which still runs.
pub type ThreadEnd = fn();

/// Calls that an image has or has not.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Those that need no files.
    pub plain: Option<PlainCall>,
    /// Those on files.
    pub files: Option<FileCall>,
    /// What is to be done when a thread ends and others go on.
    pub thread_ends: Option<ThreadEnd>,
}

/// Defines a group under the name that the C library refers to, in the section that [`linked`] reads.
///
/// `method` is one of `Files`, which answers the numbers it knows.
macro_rules! call_group {
    ($name:ident, method: $method:ident) => {
        /// # Safety
        ///
        /// As for [`crate::calls::bespoke_syscall`].
        unsafe fn call(
            root: &mut $crate::filesystem::Root,
            number: usize,
            arguments: $crate::calls::Arguments,
        ) -> Option<isize> {
            // SAFETY: the caller's promise, for this call.
            let guest = unsafe { $crate::files::Guest::new() };
            root.$method(guest, number, arguments)
                .map($crate::calls::files::answered)
        }
        $crate::calls::groups::call_group!($name, plain: None, files: Some(call));
    };
    ($name:ident, plain: $plain:expr, files: $files:expr) => {
        $crate::calls::groups::call_group!($name, plain: $plain, files: $files, thread_ends: None);
    };
    ($name:ident, plain: $plain:expr, files: $files:expr, thread_ends: $ends:expr) => {
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
            thread_ends: $ends,
        };
    };
}
use call_group;

/// All groups there are, for the tests of this crate.
#[cfg(test)]
static EVERY: &[Group] = &[
    advice::bespoke_calls_advice,
    affinity::bespoke_calls_affinity,
    attributes::bespoke_calls_attributes,
    clock_setting::bespoke_calls_clock_setting,
    extended::bespoke_calls_extended,
    identity::bespoke_calls_identity,
    inotify::bespoke_calls_inotify,
    locks::bespoke_calls_locks,
    mappings::bespoke_calls_mappings,
    memfd::bespoke_calls_memfd,
    messages::bespoke_calls_messages,
    names::bespoke_calls_names,
    nodes::bespoke_calls_nodes,
    priorities::bespoke_calls_priorities,
    program_break::bespoke_calls_program_break,
    queues::bespoke_calls_queues,
    remap::bespoke_calls_remap,
    scheduling::bespoke_calls_scheduling,
    scheduling_attributes::bespoke_calls_scheduling_attributes,
    signal_files::bespoke_calls_signal_files,
    sockets::bespoke_calls_sockets,
    splices::bespoke_calls_splices,
    timers::bespoke_calls_timers,
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
    EVERY
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

/// The running thread ends, and others go on.
#[cold]
pub fn thread_ends() {
    for ends in linked().iter().filter_map(|group| group.thread_ends) {
        ends();
    }
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
        .or_else(|| files.name_call(guest, number, arguments))
        .or_else(|| files.message_call(guest, number, arguments))
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
    use crate::calls::reference;
    use std::collections::{BTreeMap, BTreeSet};
    use std::fmt::Write;
    use std::path::Path;
    use std::string::{String, ToString};
    use std::{fs, vec::Vec};

    type Calls = BTreeMap<String, BTreeSet<String>>;

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

    /// `bits/bespoke_calls.h`: for applications, and what is common.
    fn public_header(groups: &Calls) -> String {
        let mut text = String::from(
            r#"/* The call group of each system call that few programs make (libos/src/calls/groups).
 * Generated by `make reference` from the files of the groups; do not edit.
 *
 * Who makes such a call refers to its group by a relocation that changes nothing, where the call is made. An image has
 * the groups that its functions refer to. The C library's own functions do so through bespoke_groups.h, applications
 * that call `syscall` with a constant number through sys/syscall.h; any other use of `syscall` brings all groups. */

#ifndef BESPOKE_BITS_CALLS_H
#define BESPOKE_BITS_CALLS_H

/* Weak in applications, so that what configure scripts link for this machine links, too. */
#ifdef BESPOKE_IN_LIBC
#define BESPOKE_REFER(group) __asm__ (".reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#else
#define BESPOKE_REFER(group) \
	__asm__ (".weak bespoke_calls_" #group "\n.reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#endif

#define BESPOKE_REFER_TO_ALL() do { \
"#,
        );
        for group in groups.keys() {
            writeln!(text, "\tBESPOKE_REFER({group}); \\").unwrap();
        }
        text += "} while (0)\n\n/* Each call, as USE(NUMBER, GROUP, NAME). */\n#define BESPOKE_CALLS(USE, number)";
        for (group, name) in pairs(groups) {
            write!(text, " \\\n\tUSE(number, {group}, {name})").unwrap();
        }
        text + "\n\n#endif\n"
    }

    /// `bespoke_groups.h`: for the C library itself.
    fn own_header(groups: &Calls) -> String {
        let mut text = String::from(
            "/* What a function of the C library calls is the constant that `SYS_` names, and refers to the call group it is in.\n \
             * Generated by `make reference` from the files of the groups; do not edit. */\n\n\
             #include <bits/bespoke_calls.h>\n\n\
             #define BESPOKE_CALL(group, name) __extension__ ({ BESPOKE_REFER(group); (long)__NR_##name; })\n\n",
        );
        for (group, name) in pairs(groups) {
            writeln!(
                text,
                "#undef SYS_{name}\n#define SYS_{name} BESPOKE_CALL({group}, {name})"
            )
            .unwrap();
        }
        text
    }

    fn pairs(groups: &Calls) -> impl Iterator<Item = (&String, &String)> {
        groups
            .iter()
            .flat_map(|(group, names)| names.iter().map(move |name| (group, name)))
    }

    #[test]
    fn the_headers_refer_to_the_group_of_each_call() {
        let groups = answered();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../libc/overlay/arch/x86_64");
        reference::compare_or_write(
            &folder.join("bits/bespoke_calls.h"),
            &public_header(&groups),
        );
        reference::compare_or_write(&folder.join("bespoke_groups.h"), &own_header(&groups));
        assert_eq!(groups.len(), super::EVERY.len(), "EVERY is not all groups");
    }

    #[test]
    fn no_call_is_in_two_groups() {
        let groups = answered();
        let names: BTreeSet<_> = pairs(&groups).map(|(_, name)| name).collect();
        assert_eq!(names.len(), pairs(&groups).count());
    }
}
