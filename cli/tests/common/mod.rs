//! What the end-to-end tests share: the command, the monitors of this machine, scratch folders.

#![allow(dead_code, reason = "each test program uses a part")]

pub(crate) mod runs;
pub(crate) mod server;
pub(crate) mod sqlite;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Ended {
    /// Standard output, once it is known that the command succeeded.
    pub(crate) fn success(self) -> String {
        assert_eq!(self.status, Some(0), "{self:?}");
        self.out
    }

    /// Standard error, once it is known that the command failed with `status` and one clear message.
    pub(crate) fn failure(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(!self.err.contains("panicked"), "{self:?}");
        self.err
    }
}

/// The command, ready for arguments.
pub(crate) fn command<T: AsRef<OsStr>>(arguments: &[T]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bespoke"));
    command.args(arguments).env_remove("RUSTFLAGS");
    command
}

/// Runs `bespoke` with nothing on standard input.
pub(crate) fn bespoke(arguments: &[&str]) -> Ended {
    feed(&mut command(arguments), "")
}

/// Runs `command` with `input` on its standard input.
pub(crate) fn feed(command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A command that ends without reading closes the pipe.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the command ends");
    Ended {
        status: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The monitors that work here: `process` always, `kvm` where the machine has it.
pub(crate) fn monitors() -> Vec<&'static str> {
    let mut monitors = vec!["process"];
    match bespoke_monitor::probe_kvm() {
        Ok(()) => monitors.push("kvm"),
        Err(error) => eprintln!("tested without kvm: {error}"),
    }
    monitors
}

/// The stock monitors that work here: QEMU's translation always, its KVM where the machine has it.
pub(crate) fn stock_monitors() -> Vec<&'static str> {
    let own = monitors();
    let stock = [("process", "qemu-tcg"), ("kvm", "qemu-kvm")];
    let works = stock.into_iter().filter(|(like, _)| own.contains(like));
    works.map(|(_, stock)| stock).collect()
}

/// All of them.
pub(crate) fn all_monitors() -> Vec<&'static str> {
    [monitors(), stock_monitors()].concat()
}

/// Names of all heaps.
pub(crate) fn heaps() -> Vec<String> {
    names("heaps")
}

fn names(list: &str) -> Vec<String> {
    let json = bespoke(&[list, "--json"]).success();
    let values: Vec<serde_json::Value> = serde_json::from_str(&json).expect("JSON");
    values
        .iter()
        .map(|value| value["name"].as_str().expect("a name").to_string())
        .collect()
}

/// An empty folder for the test `name`.
pub(crate) fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// `path` as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("scratch folders have plain names")
}

/// Processor time of the process `pid` and of all below it, in clock ticks.
fn ticks(pid: u32) -> u64 {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let below = children.unwrap_or_default();
    let below = below
        .split_whitespace()
        .map(|pid| ticks(pid.parse().expect("a number")));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default();
    let own = fields.split(' ').skip(11).take(2);
    let own = own.map(|field| field.parse::<u64>().expect("ticks"));
    own.sum::<u64>() + below.sum::<u64>()
}

/// Per cent of a core that the process `pid` and all below it take while nothing happens: the least of some looks of
/// 3 s, for what an image takes is in each of them, and what a busy host adds is not.
pub(crate) fn idle_percent(pid: u32) -> f64 {
    const SECONDS: u64 = 3;
    // SAFETY: asks for a number.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let look = || {
        let before = ticks(pid);
        assert!(before > 0, "it is gone");
        thread::sleep(Duration::from_secs(SECONDS));
        (ticks(pid) - before) as f64 * 100.0 / (SECONDS as f64 * per_second)
    };
    let mut least = look();
    for _ in 0..3 {
        if least < 2.0 {
            break;
        }
        least = least.min(look());
    }
    least
}
