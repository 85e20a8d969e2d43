//! Which files are generated, by their paths: one list for looking up and for listing.
//! Owns nothing.

/// A line for each file, those of a directory one after the other: its path, then
/// - `=` and its text, in which `|` ends a line,
/// - `@` and a letter: what makes its text (`super::texts`),
/// - `>` and what the link leads to,
/// - `*`: a directory or link whose contents the library OS knows.
///
/// `P` stands for a process, which has the files of its threads, too.
const FILES: &str = "\
proc/P/cgroup=0::/|
proc/P/cmdline@a
proc/P/comm@n
proc/P/cwd*
proc/P/environ@e
proc/P/exe*
proc/P/fd*
proc/P/fdinfo*
proc/P/limits@L
proc/P/loginuid=4294967295
proc/P/maps@p
proc/P/mountinfo=1 0 0:21 / / rw,relatime - tmpfs tmpfs rw|2 1 0:22 / /proc rw,relatime - proc proc rw|3 1 0:23 / /sys ro,relatime - sysfs sysfs ro|
proc/P/mounts=tmpfs / tmpfs rw,relatime 0 0|proc /proc proc rw,relatime 0 0|sysfs /sys sysfs ro,relatime 0 0|
proc/P/oom_score=0|
proc/P/oom_score_adj=0|
proc/P/root*
proc/P/stat@S
proc/P/statm@M
proc/P/status@T
proc/P/task*
proc/cpuinfo@c
proc/filesystems=nodev\tsysfs|nodev\ttmpfs|nodev\tproc|nodev\tpipefs|nodev\tsockfs|
proc/loadavg@l
proc/meminfo@m
proc/mounts>self/mounts
proc/self>1
proc/stat@s
proc/swaps=Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority|
proc/sys/fs/file-max=65536|
proc/sys/fs/inotify/max_queued_events=16384|
proc/sys/fs/nr_open=65536|
proc/sys/fs/pipe-max-size=1048576|
proc/sys/kernel/cap_last_cap=40|
proc/sys/kernel/hostname=bespoke|
proc/sys/kernel/ngroups_max=65536|
proc/sys/kernel/osrelease=5.10.0-bespoke|
proc/sys/kernel/ostype=Linux|
proc/sys/kernel/pid_max=32768|
proc/sys/kernel/random/boot_id@b
proc/sys/kernel/random/uuid@r
proc/sys/kernel/version@V
proc/sys/net/core/somaxconn=4096|
proc/thread-self>1/task/1
proc/uptime@u
proc/version@v
sys/devices/system/cpu/cpu0/topology/core_id=0|
sys/devices/system/cpu/online=0|
sys/devices/system/cpu/possible=0|
sys/devices/system/cpu/present=0|
sys/devices/system/node/online=0|
sys/kernel/mm/transparent_hugepage/enabled=always madvise [never]|
";

/// What a line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A text that stays.
    Text(&'static str),
    /// A text that is made.
    Made(u8),
    /// A link.
    Link(&'static str),
    /// What the library OS knows.
    Known,
    /// A directory.
    Directory,
}

fn lines() -> impl Iterator<Item = (&'static str, Entry)> {
    FILES.lines().filter_map(|line| {
        let end = line.find(['=', '@', '>', '*'])?;
        let (path, rest) = line.split_at(end);
        let text = &rest[1..];
        Some((
            path,
            match rest.as_bytes()[0] {
                b'=' => Entry::Text(text),
                b'@' => Entry::Made(text.as_bytes()[0]),
                b'>' => Entry::Link(text),
                _ => Entry::Known,
            },
        ))
    })
}

/// What is at `path`, without a slash before it.
pub fn find(path: &str) -> Option<Entry> {
    if path == "proc" || path == "proc/P" {
        return Some(Entry::Directory);
    }
    let below = |name: &str| {
        name.strip_prefix(path)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    lines().find_map(|(name, entry)| match name {
        _ if name == path => Some(entry),
        _ if below(name) => Some(Entry::Directory),
        _ => None,
    })
}

/// The names in a directory, and what they are.
pub fn children(path: &str, mut visit: impl FnMut(&'static str, Entry)) {
    let mut last = "";
    for (name, entry) in lines() {
        let Some(rest) = name
            .strip_prefix(path)
            .and_then(|rest| rest.strip_prefix('/'))
        else {
            continue;
        };
        let (child, is_directory) = match rest.split_once('/') {
            Some((child, _)) => (child, true),
            None => (rest, false),
        };
        if child != last {
            let entry = if is_directory {
                Entry::Directory
            } else {
                entry
            };
            visit(if child == "P" { "1" } else { child }, entry);
            last = child;
        }
    }
}
