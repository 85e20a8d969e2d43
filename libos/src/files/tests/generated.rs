//! The texts of `/proc` and `/sys`, letter by letter, of a machine whose numbers are known.

use super::{Console, Machine};
use core::arch::x86_64::__cpuid_count;
use linux_raw_sys::general::*;
use std::string::String;
use std::vec::Vec;

fn read(machine: &mut Machine, path: &str) -> String {
    let file = machine.open(path, O_RDONLY);
    assert!(file >= 0, "{path}: {file}");
    let mut buffer = std::vec![0u8; 20_000];
    let at = buffer.as_mut_ptr() as usize;
    let count = machine.call(__NR_read, &[file as usize, at, buffer.len()]);
    machine.close(file);
    String::from_utf8_lossy(&buffer[..count as usize]).into_owned()
}

/// A machine that has run for 9,876.54 s.
fn machine() -> Machine {
    let console = Console::default();
    console.clock.set(9_876_540_000_000);
    Machine::with_console(64, console)
}

#[test]
fn texts_of_the_process() {
    let mut machine = machine();
    for (name, text) in [
        ("cmdline", "./program\0argument\0"),
        ("environ", "HOME=/root\0"),
        ("comm", "test\n"),
        ("cgroup", "0::/\n"),
        ("loginuid", "4294967295"),
        ("oom_score", "0\n"),
        ("statm", "1033 600 0 11 0 622 0\n"),
        (
            "stat",
            "1 (test) R 0 1 1 0 -1 0 0 0 0 0 1234 0 0 0 20 0 3 0 0 4096000 600 \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        ),
        (
            "task/2/stat",
            "2 (test) R 0 1 1 0 -1 0 0 0 0 0 2468 0 0 0 20 0 3 0 0 4096000 600 \
             18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n",
        ),
        (
            "mounts",
            "tmpfs / tmpfs rw,relatime 0 0\nproc /proc proc rw,relatime 0 0\nsysfs /sys sysfs ro,relatime 0 0\n",
        ),
        (
            "maps",
            "00200000-00202000 r-xp 00000000 00:00 0 \n\
             7fff00000000-7fff00002000 rw-p 00000000 00:00 0                          [stack]\n\
             00300000-00302000 r--s 00003000 00:15 1                                  /\n",
        ),
    ] {
        assert_eq!(
            read(&mut machine, &std::format!("/proc/self/{name}")),
            text,
            "{name}"
        );
        assert_eq!(
            read(&mut machine, &std::format!("/proc/1/{name}")),
            text,
            "{name}"
        );
    }
    let status = read(&mut machine, "/proc/self/status");
    let expected = "Name:\ttest\nUmask:\t0022\nState:\tR (running)\nTgid:\t1\nNgid:\t0\nPid:\t1\nPPid:\t0\nTracerPid:\t0\n\
         Uid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\n\
         VmPeak:\t    4000 kB\nVmSize:\t    4000 kB\nVmHWM:\t    2400 kB\nVmRSS:\t    2400 kB\nVmSwap:\t       0 kB\n\
         Threads:\t3\nCpus_allowed:\t1\nCpus_allowed_list:\t0\n";
    assert_eq!(status, expected);
    machine.call(__NR_umask, &[0o7]);
    assert!(read(&mut machine, "/proc/self/status").contains("\nUmask:\t0007\n"));
    assert!(read(&mut machine, "/proc/self/task/3/status").contains("\nPid:\t3\n"));
    let limits = read(&mut machine, "/proc/self/limits");
    let lines: Vec<&str> = limits.lines().collect();
    assert_eq!(lines.len(), 17);
    let row = |name: &str, soft: &str, hard: &str, unit: &str| {
        std::format!("{name:26}{soft:21}{hard:21}{unit:10}")
    };
    assert_eq!(lines[0], row("Limit", "Soft Limit", "Hard Limit", "Units"));
    for (number, name, unit) in [
        (0, "Max cpu time", "seconds"),
        (1, "Max file size", "bytes"),
        (7, "Max open files", "files"),
        (13, "Max nice priority", ""),
        (15, "Max realtime timeout", "us"),
    ] {
        let soft = std::format!("{}", 1000 + number);
        assert_eq!(lines[1 + number], row(name, &soft, "unlimited", unit));
    }
}

#[test]
fn texts_of_the_machine() {
    let mut machine = machine();
    machine.open("/tmp/file", O_RDWR | O_CREAT);
    machine.write(3, &[1; 5000]);
    for (path, text) in [
        ("/proc/loadavg", "0.00 0.00 0.00 1/3 3\n"),
        (
            "/proc/meminfo",
            "MemTotal:           4000 kB\nMemFree:            1600 kB\nMemAvailable:       1600 kB\n\
             Buffers:               0 kB\nCached:                8 kB\nSwapCached:            0 kB\n\
             SwapTotal:             0 kB\nSwapFree:              0 kB\nShmem:                 8 kB\n",
        ),
        ("/proc/uptime", "9876.54 9802.50\n"),
        (
            "/proc/stat",
            "cpu  7404 0 0 980250 0 0 0 0 0 0\ncpu0 7404 0 0 980250 0 0 0 0 0 0\n\
             intr 0\nctxt 0\nbtime 1700000000\nprocesses 3\nprocs_running 1\nprocs_blocked 0\n",
        ),
        (
            "/proc/filesystems",
            "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tpipefs\nnodev\tsockfs\n",
        ),
        (
            "/proc/sys/kernel/random/uuid",
            "04040404-0404-4404-8404-040404040404\n",
        ),
        (
            "/proc/sys/kernel/random/boot_id",
            "e0e1e2e3-e4e5-46e7-a8e9-eaebecedeeef\n",
        ),
        ("/sys/devices/system/cpu/online", "0\n"),
        ("/proc/sys/kernel/ostype", "Linux\n"),
    ] {
        assert_eq!(read(&mut machine, path), text, "{path}");
    }
    assert!(
        read(&mut machine, "/proc/version").starts_with("Linux version 5.10.0-bespoke (bespoke) #")
    );
    assert!(read(&mut machine, "/proc/sys/kernel/version").starts_with('#'));
}

/// What is told of the processor is what Linux tells of it, but for the processors that there are.
#[test]
fn the_processor_is_the_one_that_linux_sees() {
    let mut machine = machine();
    let ours = read(&mut machine, "/proc/cpuinfo");
    let linux = std::fs::read_to_string("/proc/cpuinfo").expect("a text");
    let value = |text: &str, name: &str| -> String {
        let line = text
            .lines()
            .find(|line| line.split(':').next().map(str::trim) == Some(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().into())
            .unwrap_or_default()
    };
    for name in [
        "processor",
        "vendor_id",
        "cpu family",
        "model",
        "model name",
        "stepping",
    ] {
        assert_eq!(value(&ours, name), value(&linux, name), "{name}");
    }
    for (name, expected) in [
        ("siblings", "1"),
        ("core id", "0"),
        ("cpu cores", "1"),
        ("address sizes", "48 bits virtual"),
    ] {
        assert_eq!(value(&ours, name), expected);
    }
    assert!(ours.ends_with("\n\n"));
    let (ours, linux) = (value(&ours, "flags"), value(&linux, "flags"));
    let (ours, linux): (Vec<&str>, Vec<&str>) =
        (ours.split(' ').collect(), linux.split(' ').collect());
    let leaf = __cpuid_count(1, 0);
    let known = [
        "fpu", "tsc", "cx8", "cmov", "mmx", "fxsr", "sse", "sse2", "pni", "ssse3", "fma", "sse4_1",
        "sse4_2", "popcnt", "aes", "avx", "rdrand", "fsgsbase", "bmi1", "avx2", "bmi2", "erms",
        "rdseed", "adx",
    ];
    for name in known {
        // Linux may leave out what its machine has.
        assert!(!linux.contains(&name) || ours.contains(&name), "{name}");
    }
    assert_eq!(ours.contains(&"sse2"), leaf.edx >> 26 & 1 == 1);
    assert_eq!(ours.contains(&"avx"), leaf.ecx >> 28 & 1 == 1);
}

#[test]
fn the_program_and_what_has_no_size() {
    let mut machine = machine();
    let mut link = |path: &str| {
        let mut buffer = [0u8; 64];
        let count = machine.path(__NR_readlink, path, buffer.as_mut_ptr() as usize, 64);
        String::from_utf8_lossy(&buffer[..usize::try_from(count).unwrap_or(0)]).into_owned()
    };
    assert_eq!(link("/proc/self/exe"), "/program");
    assert_eq!(link("/proc/self"), "1");
    assert_eq!(link("/proc/thread-self"), "1/task/1");
    assert_eq!(link("/dev/fd"), "/proc/self/fd");
    assert_eq!(machine.open("/proc/self/exe", O_RDONLY), -13);
    for (path, mode) in [
        ("/proc/self/environ", S_IFREG | 0o400),
        ("/proc/self/comm", S_IFREG | 0o644),
        ("/proc/self/maps", S_IFREG | 0o444),
        ("/proc/self/fd", S_IFDIR | 0o500),
        ("/proc/self/task", S_IFDIR | 0o555),
        ("/proc", S_IFDIR | 0o555),
        ("/sys", S_IFDIR | 0o555),
        ("/proc/self/exe", S_IFREG | 0o755),
        ("/proc/self/task/2", S_IFDIR | 0o555),
    ] {
        // SAFETY: integers: all zero is a value.
        let mut status: stat = unsafe { core::mem::zeroed() };
        let answer = machine.path(__NR_stat, path, &raw mut status as usize, 0);
        assert_eq!(
            (answer, status.st_mode, status.st_size),
            (0, mode, 0),
            "{path}"
        );
    }
    for path in [
        "/proc/self/task/4",
        "/proc/2/task/9/stat",
        "/proc/4",
        "/proc/self/task/2/task",
        "/proc/self/fd/99",
        "/proc/nothing",
        "/sys/nothing",
        "/proc/self/fd/x",
    ] {
        assert_eq!(machine.open(path, O_RDONLY), -2, "{path}");
    }
}

#[test]
fn folders_list_what_can_be_opened() {
    let mut machine = machine();
    let mut list = |path: &str| -> Vec<(String, u8)> {
        let folder = machine.open(path, O_RDONLY | O_DIRECTORY);
        assert!(folder >= 0, "{path}: {folder}");
        let mut names = Vec::new();
        let mut buffer = [0u8; 120];
        loop {
            let at = buffer.as_mut_ptr() as usize;
            let count = machine.call(__NR_getdents64, &[folder as usize, at, buffer.len()]);
            assert!(count >= 0, "{path}: {count}");
            let mut place = 0;
            while place < count as usize {
                let length =
                    usize::from(u16::from_ne_bytes([buffer[place + 16], buffer[place + 17]]));
                let name = buffer[place + 19..place + length]
                    .split(|byte| *byte == 0)
                    .next()
                    .unwrap();
                names.push((
                    String::from_utf8_lossy(name).into_owned(),
                    buffer[place + 18],
                ));
                place += length;
            }
            if count == 0 {
                machine.close(folder);
                return names;
            }
        }
    };
    let names = |list: &[(String, u8)]| -> String {
        let names: Vec<String> = list
            .iter()
            .map(|(name, kind)| std::format!("{name} {kind}"))
            .collect();
        names.join(", ")
    };
    let own = "cgroup 8, cmdline 8, comm 8, cwd 10, environ 8, exe 10, fd 4, fdinfo 4, limits 8, loginuid 8, maps 8, \
               mountinfo 8, mounts 8, oom_score 8, oom_score_adj 8, root 10, stat 8, statm 8, status 8";
    assert_eq!(
        names(&list("/proc/self")),
        std::format!(". 4, .. 4, {own}, task 4")
    );
    assert_eq!(
        names(&list("/proc/self/task/2")),
        std::format!(". 4, .. 4, {own}")
    );
    assert_eq!(names(&list("/proc/self/task")), ". 4, .. 4, 1 4, 2 4, 3 4");
    assert_eq!(
        names(&list("/proc/self/fd")),
        ". 4, .. 4, 0 10, 1 10, 2 10, 3 10"
    );
    assert_eq!(
        names(&list("/proc/self/fdinfo")),
        ". 4, .. 4, 0 8, 1 8, 2 8, 3 8"
    );
    assert_eq!(
        names(&list("/sys/devices/system")),
        ". 4, .. 4, cpu 4, node 4"
    );
    assert_eq!(
        names(&list("/sys/devices/system/cpu")),
        ". 4, .. 4, cpu0 4, online 8, possible 8, present 8"
    );
    let proc = names(&list("/proc"));
    for name in ["cpuinfo 8", "self 10", "sys 4", "mounts 10", "meminfo 8"] {
        assert!(proc.contains(name), "{proc}");
    }
}
