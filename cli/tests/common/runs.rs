//! Images that run under a name, in a folder of their own.

use super::{Ended, command, feed, scratch};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// How long something may take that takes milliseconds on a machine with nothing else to do.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A folder of runs of its own; whatever runs there is killed when dropped.
pub(crate) struct Runs {
    pub folder: PathBuf,
}

impl Runs {
    pub(crate) fn new(name: &str) -> Self {
        let folder = scratch(&format!("runs-{name}"));
        Self { folder }
    }

    pub(crate) fn command(&self, line: &[&str]) -> Command {
        let mut command = command(line);
        command.env("BESPOKE_RUNS", &self.folder);
        command
    }

    pub(crate) fn bespoke(&self, line: &[&str]) -> Ended {
        feed(&mut self.command(line), "")
    }

    /// What `ps` says about `name`.
    pub(crate) fn look(&self, name: &str) -> Option<Value> {
        let json = self.bespoke(&["ps", "--json"]).success();
        let runs: Vec<Value> = serde_json::from_str(&json).expect("JSON");
        runs.into_iter().find(|run| run["name"] == name)
    }

    /// Whether the application has listened.
    pub(crate) fn is_ready(&self, name: &str) -> bool {
        let stats = self.bespoke(&["stats", name, "--json"]);
        let page = serde_json::from_str::<Value>(&stats.out);
        page.is_ok_and(|page| page["boot_us"]["ready"].is_number())
    }

    pub(crate) fn wait_until_ready(&self, name: &str) {
        let start = Instant::now();
        while !self.is_ready(name) {
            assert!(start.elapsed() < LIMIT, "it is never ready");
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pid(&self, name: &str) -> i32 {
        let run = self.look(name).expect("a run of that name");
        run["pid"].as_i64().expect("a process") as i32
    }

    pub(crate) fn wait_for_state(&self, name: &str, state: &str) -> Value {
        let start = Instant::now();
        loop {
            let run = self.look(name).expect("a run of that name");
            if run["state"] == state {
                return run;
            }
            assert!(start.elapsed() < LIMIT, "{name} is never {state}: {run}");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            // Most have ended.
            let _ = self.bespoke(&["stop", name.to_str().expect("a name"), "--timeout", "0"]);
        }
    }
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

pub(crate) fn is_root() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::geteuid() == 0 }
}

/// Sends `line` and reads until `end` has come.
pub(crate) fn ask(stream: &mut TcpStream, line: &str, end: &str) -> String {
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    stream.write_all(line.as_bytes()).expect("it is taken");
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&said).contains(end) {
        let count = stream.read(&mut chunk).expect("an answer");
        assert!(
            count > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&said)
        );
        said.extend(&chunk[..count]);
    }
    String::from_utf8_lossy(&said).into_owned()
}

pub(crate) fn signal(pid: i32, signal: i32) {
    // SAFETY: a process that the test started and that its lock says lives.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

/// The process `pid` and all below it.
pub(crate) fn tree(pid: i32) -> BTreeSet<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let below = children
        .split_whitespace()
        .map(|word| word.parse().expect("a number"));
    below.flat_map(tree).chain([pid]).collect()
}

/// Whether the process runs: not gone, and not waiting to be reaped by whoever inherited it.
pub(crate) fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.trim().chars().next());
    !matches!(state, None | Some('Z' | 'X'))
}

pub(crate) fn wait_until_gone(pids: &BTreeSet<i32>) {
    let start = Instant::now();
    while let Some(pid) = pids.iter().find(|pid| runs(**pid)) {
        let name = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        assert!(start.elapsed() < LIMIT, "{pid} still runs: {name:?}");
        thread::sleep(Duration::from_millis(5));
    }
}
