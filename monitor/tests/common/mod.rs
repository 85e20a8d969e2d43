//! Builds the test guest and runs it in a process of its own, through `examples/run.rs`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) const MONITORS: [&str; 2] = ["kvm", "process"];
/// Longer than any guest here takes, shorter than patience: a hang is a failure.
const LIMIT: Duration = Duration::from_secs(60);

/// A scratch folder, removed when dropped.
pub(crate) struct Scratch(pub PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("bespoke-monitor-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Left behind only if the system refuses; nothing depends on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The guest of most tests, compiled once.
pub(crate) fn guest() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| compile("cases", &["cases.c"]))
}

/// Compiles an image of these sources, with its debug file beside it.
pub(crate) fn compile(name: &str, parts: &[&str]) -> PathBuf {
    let folder =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the guest");
    let image = folder.join(name);
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests");
    let flags = "-O1 -g -ffreestanding -fno-builtin -fno-pic -fno-stack-protector -nostdlib -static -no-pie \
                     -mno-red-zone -fasynchronous-unwind-tables -Wall -Werror -Wl,-n,--build-id,-T,guest.ld";
    let mut gcc = Command::new("gcc");
    gcc.args(flags.split_whitespace())
        .arg("start.c")
        .args(parts)
        .arg("-o")
        .arg(&image)
        .current_dir(sources);
    assert!(
        gcc.status().expect("gcc is installed").success(),
        "the test guest does not compile"
    );
    let mut objcopy = Command::new("objcopy");
    objcopy
        .arg("--only-keep-debug")
        .arg(&image)
        .arg(folder.join(format!("{name}.debug")));
    assert!(objcopy.status().expect("objcopy is installed").success());
    image
}

fn driver() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    test.parent()
        .and_then(Path::parent)
        .expect("the build folder")
        .join("examples/run")
}

/// A command that runs `image` on `monitor`; options and arguments are the caller's to add.
pub(crate) fn command(monitor: &str, image: &Path) -> Command {
    let mut command = Command::new(driver());
    command.arg(monitor).arg(image);
    command
}

/// Runs to the end, with `input` on its standard input, and fails on a hang.
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the driver runs");
    // A guest that ends early closes its end; that is its right.
    let _ = child.stdin.take().expect("piped").write_all(input);
    let start = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > LIMIT {
            child.kill().expect("a running child");
            panic!("{command:?} hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.wait_with_output().expect("its output")
}

/// Runs one case of the guest.
pub(crate) fn run(monitor: &str, case: &str) -> Output {
    run_with(monitor, &[], case, b"")
}

/// Runs one case of the guest with driver options and input.
pub(crate) fn run_with(monitor: &str, options: &[&str], case: &str, input: &[u8]) -> Output {
    let mut command = command(monitor, guest());
    command.args(options).args(["--", case]);
    finish(command, input)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The monitors that work here; says which it leaves out, and why.
pub(crate) fn monitors() -> Vec<&'static str> {
    let works = |monitor: &&str| match (*monitor, bespoke_monitor::probe_kvm()) {
        ("kvm", Err(error)) => {
            eprintln!("skipped on kvm: {error}");
            false
        }
        _ => true,
    };
    MONITORS.iter().copied().filter(works).collect()
}
