//! Images in the background: started, found, read, stopped; and what is left of those that are killed.

mod common;

use common::runs::{LIMIT, Runs, ask, free_port, is_root, signal, tree, wait_until_gone};
use common::{all_monitors, bespoke as plain, command, feed, monitors, scratch, text};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

#[test]
fn a_server_in_the_background_is_up_found_read_and_stopped() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("server");
    for monitor in all_monitors() {
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:6379");
        let line = ["run", "-d", "redis", "-p", &forward, "--monitor", monitor];
        assert_eq!(runs.bespoke(&line).success(), "redis\n");
        // It listens: the first attempt gets its answer.
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        assert_eq!(ask(&mut client, "PING\r\n", "\n"), "+PONG\r\n");

        let run = runs.look("redis").expect("it is listed");
        assert_eq!(run["state"], "running");
        assert_eq!(run["monitor"], monitor);
        assert_eq!(run["ports"][0], forward.as_str());
        assert_eq!(run["memory_bytes"], 256 << 20);
        assert!(run["in_use_bytes"].as_u64() > Some(1 << 20), "{run}");
        let table = runs.bespoke(&["ps"]).success();
        assert!(
            table.contains("running") && table.contains(&forward),
            "{table}"
        );

        let figures = |what: &str| {
            let json = runs.bespoke(&["stats", "redis", "--json"]).success();
            let page: Value = serde_json::from_str(&json).expect("JSON");
            assert!(page["boot_us"]["ready"].as_f64() > Some(0.0), "{page}");
            page["stats"][what].as_u64().expect("a figure")
        };
        let before = figures("calls");
        assert_eq!(ask(&mut client, "SET a b\r\n", "\n"), "+OK\r\n");
        let after = figures("calls");
        assert!(after > before, "{after} after {before}");
        let table = runs.bespoke(&["stats", "red"]).success();
        assert!(
            table.contains("tlsf") && table.contains("system calls"),
            "{table}"
        );

        assert_eq!(
            runs.bespoke(&["stop", "redis"]).success(),
            "redis: exited 0\n"
        );
        let log = runs.bespoke(&["logs", "redis"]).success();
        assert!(log.contains("Ready to accept connections"), "{log}");
        assert!(log.contains("Redis is now ready to exit, bye bye"), "{log}");
        let run = runs.look("redis").expect("it stays listed");
        assert_eq!(
            (&run["state"], &run["exit_status"]),
            (&"exited".into(), &0.into())
        );
        assert_eq!(run["pid"], Value::Null);
        assert!(!runs.folder.join("redis/stats").exists());

        let error = runs.bespoke(&["stop", "redis"]).failure(1);
        assert!(
            error.contains("is not running") && error.contains("exited 0"),
            "{error}"
        );
        assert!(
            runs.bespoke(&["stats", "redis"])
                .failure(1)
                .contains("is not running")
        );
        runs.bespoke(&["rm", "redis"]).success();
        assert!(runs.look("redis").is_none());
        assert!(!runs.folder.join("redis").exists());
    }
}

#[test]
fn a_log_keeps_the_newest_up_to_its_limit() {
    const LINES: usize = 100_000;
    let sql = format!(
        "with recursive c(i) as (select 1 union all select i+1 from c where i<{LINES}) \
         select 'line ' || i from c;"
    );
    for monitor in all_monitors() {
        let runs = Runs::new(&format!("log-limit-{monitor}"));
        let line = [
            "run",
            "-d",
            "sqlite",
            "--name",
            "flood",
            "--log-limit",
            "128K",
        ];
        let line = [&line[..], &["--monitor", monitor, "--", ":memory:", &sql]].concat();
        runs.bespoke(&line).success();
        runs.wait_for_state("flood", "exited");
        let log = runs.bespoke(&["logs", "flood"]).success();
        assert!(
            log.starts_with("bespoke: older output was dropped"),
            "{monitor}"
        );
        let mut numbers = log.lines().skip(1).map(|line| {
            let number = line.strip_prefix("line ").expect(line);
            number.parse::<usize>().expect(line)
        });
        let first = numbers.next().expect("lines");
        assert!(numbers.eq(first + 1..=LINES), "{monitor}: from {first}");
        let entries = fs::read_dir(runs.folder.join("flood")).expect("a folder");
        let bytes = |entry: std::io::Result<fs::DirEntry>| {
            let metadata = entry.expect("an entry").metadata();
            metadata.expect("a file").len()
        };
        let bytes: u64 = entries.map(bytes).sum();
        assert!(bytes < 200 << 10, "{monitor}: {bytes}");
    }
}

#[test]
fn a_log_is_followed_to_the_end_of_its_image() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("follow");
    runs.bespoke(&["run", "-d", "--wait", "20", "redis", "--name", "followed"])
        .success();
    let mut logs = runs.command(&["logs", "followed", "--follow"]);
    let mut logs = logs.stdout(Stdio::piped()).spawn().expect("logs");
    let mut watch = runs.command(&["stats", "followed", "--watch", "--json"]);
    let watch = watch.stdout(Stdio::piped()).spawn().expect("stats");
    thread::sleep(Duration::from_millis(300));
    assert!(logs.try_wait().expect("our child").is_none(), "it follows");
    runs.bespoke(&["stop", "followed"]).success();
    let output = logs.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("Server initialized") && said.ends_with("bye bye...\n"),
        "{said}"
    );
    let output = watch.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let first = said.lines().next().expect("one look at least");
    assert!(serde_json::from_str::<Value>(first).is_ok(), "{said}");
}

#[test]
fn one_name_is_one_image() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("names");
    let start = |name: &str| runs.bespoke(&["run", "-d", "--wait", "20", "redis", "--name", name]);
    start("cache-a").success();
    start("cache-b").success();
    let pid = runs.pid("cache-a");
    let error = start("cache-a").failure(125);
    assert!(
        error.contains("cache-a") && error.contains(&pid.to_string()),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    // The one that was there is as it was.
    assert_eq!(runs.pid("cache-a"), pid);

    let error = runs.bespoke(&["stop", "cache"]).failure(2);
    assert!(error.contains("cache-a, cache-b"), "{error}");
    let error = runs.bespoke(&["stop", "cahce-a"]).failure(2);
    assert!(error.contains("did you mean \"cache-a\"?"), "{error}");
    let error = runs.bespoke(&["rm", "cache-a"]).failure(1);
    assert!(
        error.contains("is running") && error.contains("stop"),
        "{error}"
    );
    runs.bespoke(&["stop", "cache-a"]).success();

    // A name that is free again: the log goes on, what came before is not lost.
    start("cache-a").success();
    runs.bespoke(&["stop", "cache-a"]).success();
    let log = runs.bespoke(&["logs", "cache-a"]).success();
    assert_eq!(log.matches("bye bye").count(), 2, "{log}");
    assert_eq!(runs.bespoke(&["run", "-d", "hello"]).success(), "hello\n");
    let run = runs.wait_for_state("hello", "exited");
    assert_eq!(run["exit_status"], 0);
    // Without KVM a line before it says so.
    let log = runs.bespoke(&["logs", "hello"]).success();
    assert!(log.ends_with("Hello from a Bespoke image.\n"), "{log}");
    // It has ended, so its name is free, chosen or not.
    assert_eq!(runs.bespoke(&["run", "-d", "hello"]).success(), "hello\n");
    runs.wait_for_state("hello", "exited");
    let log = runs.bespoke(&["logs", "hello"]).success();
    assert_eq!(
        log.matches("Hello from a Bespoke image.").count(),
        2,
        "{log}"
    );
    runs.bespoke(&["rm", "--all"]).success();
    let left = runs.bespoke(&["ps"]).success();
    assert_eq!(left.lines().count(), 2, "{left}");
    assert!(left.contains("cache-b"), "{left}");
}

#[test]
fn names_are_used_again_and_an_ended_one_points_to_those_that_run() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("names-again");
    let start = || {
        runs.bespoke(&["run", "-d", "--wait", "20", "redis"])
            .success()
    };
    assert_eq!(start(), "redis\n");
    assert_eq!(start(), "redis-2\n");
    runs.bespoke(&["stop", "redis"]).success();
    for command in ["stop", "stats"] {
        let error = runs.bespoke(&[command, "redis"]).failure(1);
        assert!(error.contains("is not running"), "{error}");
        assert!(error.contains("\"redis-2\", which is running"), "{error}");
    }
    // The first that is free, not one after the last.
    assert_eq!(start(), "redis\n");
    assert_eq!(start(), "redis-3\n");
    runs.bespoke(&["stop", "redis"]).success();
    let error = runs.bespoke(&["stop", "redis"]).failure(1);
    assert!(error.contains("redis-2, redis-3"), "{error}");
    // A file of that name is none of ours.
    fs::write(runs.folder.join("hello"), "").expect("a file");
    assert_eq!(runs.bespoke(&["run", "-d", "hello"]).success(), "hello-2\n");
    fs::remove_file(runs.folder.join("hello")).expect("it is there");
}

#[test]
fn several_images_are_stopped_read_and_removed_at_once() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("several");
    let start = |name: &str| {
        let line = ["run", "-d", "--wait", "20", "redis", "--name", name];
        runs.bespoke(&line).success()
    };
    for name in ["a", "b", "c1", "c2"] {
        start(name);
    }
    // A name that is wrong leaves all as they were.
    for line in [
        &["stop", "a", "x"][..],
        &["stop", "b", "c"],
        &["logs", "a", "x"],
    ] {
        runs.bespoke(line).failure(2);
    }
    runs.bespoke(&["rm"]).failure(2);
    runs.bespoke(&["stop"]).failure(2);
    assert_eq!(runs.look("a").expect("listed")["state"], "running");

    let said = runs.bespoke(&["stop", "a", "c1", "a"]).success();
    assert_eq!(said, "a: exited 0\nc1: exited 0\n");
    // One that has ended is a failure, and the other is stopped all the same.
    let ended = runs.bespoke(&["stop", "a", "b"]);
    assert_eq!(ended.out, "b: exited 0\n");
    assert!(ended.failure(1).contains("\"a\" is not running"));
    let ended = runs.bespoke(&["rm", "a", "c2", "c1"]);
    assert_eq!(ended.out, "a: removed\nc1: removed\n");
    assert!(ended.failure(1).contains("\"c2\" is running"));

    let mut follow = runs.command(&["logs", "b", "c2", "--follow"]);
    let follow = follow.stdout(Stdio::piped()).spawn().expect("logs");
    thread::sleep(Duration::from_millis(200));
    start("b");
    assert_eq!(
        runs.bespoke(&["stop", "--all"]).success().lines().count(),
        2
    );
    assert_eq!(runs.bespoke(&["stop", "--all"]).success(), "");
    let said = follow.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let all = runs.bespoke(&["logs", "--all"]).success();
    for text in [said, all] {
        assert!(
            text.lines()
                .all(|line| line.starts_with("b  | ") || line.starts_with("c2 | ")),
            "{text}"
        );
        assert!(text.contains("c2 | ") && text.contains("bye bye"), "{text}");
    }
    runs.bespoke(&["rm", "--all"]).success();
    assert_eq!(runs.bespoke(&["ps"]).success().lines().count(), 1);
}

#[test]
fn a_start_that_fails_says_why_and_leaves_nothing() {
    plain(&["build", "crash"]).success();
    let runs = Runs::new("failed-starts");
    for monitor in monitors() {
        let line = ["run", "-d", "hello", "-m", "4096", "--monitor", monitor];
        let error = runs.bespoke(&line).failure(125);
        assert!(error.contains("give more with -m"), "{error}");
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let forward = format!("127.0.0.1:{port}:80");
        let line = ["run", "-d", "nginx", "-p", &forward, "--monitor", monitor];
        let error = runs.bespoke(&line).failure(125);
        assert!(
            error.contains("in use") && error.contains(&port.to_string()),
            "{error}"
        );
        assert_eq!(runs.bespoke(&["ps"]).success().lines().count(), 1);
    }
    // It came to main(), and no further.
    let error = runs
        .bespoke(&["run", "-d", "--wait", "5", "crash", "--", "null"])
        .failure(139);
    assert!(
        error.contains("crash.c") && error.contains("before it listened"),
        "{error}"
    );
    assert_eq!(runs.wait_for_state("crash", "exited")["exit_status"], 139);
    let error = runs.bespoke(&["run", "-d", "no-such-app"]).failure(2);
    assert!(error.contains("no-such-app"), "{error}");
    // It is up, but nobody will ever reach it.
    let forward = format!("127.0.0.1:{}:7", free_port());
    let line = ["run", "-d", "--wait", "0", "redis", "-p", &forward];
    let local_only = ["--", "--port", "0", "--unixsocket", "/tmp/redis"];
    let ended = runs.bespoke(&[&line[..], &local_only].concat());
    assert_eq!(ended.out, "redis\n");
    assert!(ended.failure(125).contains("is not listening yet"));
}

#[test]
fn what_does_not_end_is_killed_and_that_is_said() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("deaf");
    for monitor in monitors() {
        let line = ["run", "-d", "redis", "--name", "deaf", "--monitor", monitor];
        runs.bespoke(&line).success();
        let pid = runs.pid("deaf");
        let all = tree(pid);
        signal(pid, libc::SIGSTOP);
        let error = runs.bespoke(&["stop", "deaf", "--timeout", "1"]).failure(1);
        assert!(
            error.contains("did not end within 1 s") && error.contains("killed"),
            "{error}"
        );
        wait_until_gone(&all);
        assert_eq!(runs.wait_for_state("deaf", "killed")["pid"], Value::Null);
    }
}

#[test]
fn a_killed_monitor_leaves_nothing_behind() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("killed");
    let mut networks = vec![["-p".to_string(), format!("127.0.0.1:{}:6379", free_port())]];
    if is_root() && Path::new("/dev/net/tun").exists() {
        networks.push([
            "--net".into(),
            "tap:bspk-killed,address=10.97.0.2/24,gateway=10.97.0.1".into(),
        ]);
    } else {
        eprintln!("not tested with a TAP device: that takes root and /dev/net/tun");
    }
    for (monitor, network) in all_monitors()
        .into_iter()
        .flat_map(|monitor| networks.iter().map(move |network| (monitor, network)))
    {
        let line = [
            "run",
            "-d",
            "redis",
            "--monitor",
            monitor,
            &network[0],
            &network[1],
        ];
        assert_eq!(runs.bespoke(&line).success(), "redis\n");
        let is_tap = network[0] == "--net";
        let tap = Path::new("/sys/class/net/bspk-killed");
        assert_eq!(tap.exists(), is_tap);
        let pid = runs.pid("redis");
        let all = tree(pid);
        // The writer of the log, and the guest where it is a process, or QEMU.
        let expected = 2 + usize::from(monitor != "kvm");
        assert_eq!(all.len(), expected, "{monitor} {network:?}: {all:?}");
        signal(pid, libc::SIGKILL);
        wait_until_gone(&all);
        let start = Instant::now();
        while tap.exists() {
            assert!(start.elapsed() < LIMIT, "the TAP device stays");
            thread::sleep(Duration::from_millis(5));
        }
        // Only its folder is there, and says so from the first look on.
        let error = runs.bespoke(&["stop", "redis"]).failure(1);
        assert!(error.contains("is not running: killed"), "{error}");
        assert_eq!(runs.look("redis").expect("listed")["state"], "killed");
        assert!(!runs.folder.join("redis/stats").exists());
        if let Some((_, port)) = network[1].split_once(':').filter(|_| !is_tap) {
            let port: u16 = port[..port.len() - 5].parse().expect("a port");
            TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
        }
        runs.bespoke(&["rm", "redis"]).success();
    }
}

#[test]
fn a_broken_folder_hides_nothing_else() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("broken");
    for name in ["good", "garbage", "empty-after-all"] {
        runs.bespoke(&["run", "-d", "redis", "--name", name])
            .success();
    }
    fs::write(runs.folder.join("garbage/state.json"), "{\"target\": 3").expect("a file");
    fs::remove_file(runs.folder.join("empty-after-all/state.json")).expect("a file");
    fs::create_dir(runs.folder.join("nothing")).expect("a folder");
    fs::write(runs.folder.join("a-file"), "").expect("a file");
    let ended = runs.bespoke(&["ps"]);
    assert!(ended.err.contains("garbage/state.json"), "{ended:?}");
    let table = ended.success();
    for name in ["good", "garbage", "empty-after-all", "nothing", "a-file"] {
        assert!(table.contains(name), "{table}");
    }
    assert_eq!(runs.look("good").expect("listed")["state"], "running");
    assert_eq!(runs.look("garbage").expect("listed")["state"], "unreadable");
    // The lock alone says which process it is.
    for name in ["garbage", "empty-after-all"] {
        let all = tree(runs.pid(name));
        runs.bespoke(&["stop", name]).success();
        wait_until_gone(&all);
    }
    runs.bespoke(&["rm", "garbage", "empty-after-all", "nothing"])
        .success();
    fs::remove_file(runs.folder.join("a-file")).expect("it is there");
    assert_eq!(runs.bespoke(&["ps"]).success().lines().count(), 2);

    plain(&["build", "hello"]).success();
    let file = scratch("runs-is-a-file").join("file");
    fs::write(&file, "").expect("a file");
    for line in [&["ps"][..], &["run", "-d", "hello"]] {
        let ended = feed(command(line).env("BESPOKE_RUNS", &file), "");
        assert_ne!(ended.status, Some(0), "{ended:?}");
        assert!(ended.err.contains(text(&file)), "{ended:?}");
        assert_eq!(ended.err.lines().count(), 1, "{ended:?}");
    }
}

#[test]
fn a_named_image_in_the_foreground_is_found_too() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("foreground");
    for monitor in monitors() {
        let mut line = runs.command(&["run", "redis", "--name", "front", "--monitor", monitor]);
        let child = line
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        runs.wait_until_ready("front");
        assert_eq!(runs.pid("front"), child.id() as i32);
        assert!(runs.bespoke(&["logs", "front"]).failure(1).contains("-d"));
        runs.bespoke(&["stats", "front"]).success();
        runs.bespoke(&["stop", "front"]).success();
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains("bye bye"));
        runs.bespoke(&["rm", "front"]).success();
    }
}

/// A file system of 64 KiB, until dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"])
            .arg(folder)
            .output();
        mount
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder.into()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: nothing may stand in the way of the next attempt.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_takes_neither_the_image_nor_how_it_ended() {
    let folder = scratch("small-disk");
    let Some(_disk) = SmallDisk::mount(&folder) else {
        eprintln!("not tested: a file system of 64 KiB takes root");
        return;
    };
    plain(&["build", "redis"]).success();
    let runs = Runs { folder };
    for monitor in monitors() {
        let line = [
            "run",
            "-d",
            "--wait",
            "20",
            "redis",
            "--name",
            "full",
            "--monitor",
            monitor,
            "--stats",
        ];
        runs.bespoke(&line).success();
        let log = runs.folder.join("full/log");
        let mut log = fs::File::options().append(true).open(log).expect("a log");
        let full = (0..1 << 20).find_map(|_| log.write_all(b"x").err());
        assert_eq!(
            full.and_then(|error| error.raw_os_error()),
            Some(libc::ENOSPC)
        );
        assert_eq!(
            runs.bespoke(&["stop", "full"]).success(),
            "full: exited 0\n",
            "{monitor}"
        );
        assert_eq!(runs.look("full").expect("listed")["exit_status"], 0);
        let log = runs.bespoke(&["logs", "full"]).success();
        assert!(
            log.contains("Server initialized") && !log.contains("bye"),
            "{log}"
        );
        runs.bespoke(&["rm", "full"]).success();
    }
}

#[test]
fn the_launcher_lets_go_of_everything() {
    plain(&["build", "redis"]).success();
    let runs = Runs::new("launcher");
    // A pipe that the launcher inherits and a group that is signalled: neither concerns the image.
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut launch = runs.command(&["run", "-d", "redis", "--name", "free"]);
    launch.process_group(0).stdout(writer).stdin(Stdio::null());
    let mut launcher = launch.spawn().expect("the command starts");
    drop(launch);
    let group = launcher.id() as i32;
    assert!(launcher.wait().expect("it ends").success());
    let mut said = String::new();
    // Ends only when nobody has the pipe any more.
    reader.read_to_string(&mut said).expect("text");
    assert_eq!(said, "free\n");
    // SAFETY: a group that this test made; nobody is in it any more.
    let left = unsafe { libc::kill(-group, 0) };
    assert_eq!(left, -1, "the image is in its launcher's process group");
    assert_eq!(runs.look("free").expect("listed")["state"], "running");
}

/// What an application wrote before it ended arrives whole, even where the reader takes its time, and whoever speaks first.
#[test]
fn the_last_bytes_of_an_image_arrive() {
    plain(&["build", "threads", "--heap", "net=tlsf"]).success();
    let runs = Runs::new("last-bytes");
    let cases = monitors().into_iter();
    let cases = cases.flat_map(|monitor| [(monitor, "farewell"), (monitor, "greeting")]);
    for (monitor, part) in cases {
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:7");
        let line = [
            "run",
            "-d",
            "threads",
            "-p",
            &forward,
            "--monitor",
            monitor,
            "--name",
            "last",
            "--heap",
            "net=tlsf",
        ];
        runs.bespoke(&[&line[..], &["--", part]].concat()).success();
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        client.set_read_timeout(Some(LIMIT)).expect("a limit");
        if part == "farewell" {
            client.write_all(b"g").expect("it is taken");
        }
        thread::sleep(Duration::from_millis(200));
        let (mut count, mut chunk) = (0usize, vec![0; 1 << 16]);
        loop {
            let got = client.read(&mut chunk).expect("an orderly end");
            if got == 0 {
                break;
            }
            assert!(
                chunk[..got]
                    .iter()
                    .enumerate()
                    .all(|(i, byte)| *byte == ((count + i) >> 16) as u8)
            );
            count += got;
        }
        assert_eq!(count, 256 << 16, "{monitor}, {part}");
        assert_eq!(runs.wait_for_state("last", "exited")["exit_status"], 7);
    }
}

/// Whoever waits for nothing but a signal waits, on every monitor, and takes it when it comes.
#[test]
fn an_image_that_only_a_signal_can_wake_is_no_deadlock() {
    plain(&["build", "threads", "--heap", "net=tlsf"]).success();
    let runs = Runs::new("signal-only");
    let cases = monitors().into_iter();
    let cases = cases.flat_map(|monitor| {
        [("patience", 9), ("vigil", 10), ("alone", 11)]
            .map(|(part, status)| (monitor, part, status))
    });
    for (monitor, part, status) in cases {
        let line = [
            "run",
            "-d",
            "threads",
            "--heap",
            "net=tlsf",
            "--monitor",
            monitor,
        ];
        let line = [&line[..], &["--name", part, "--", part]].concat();
        runs.bespoke(&line).success();
        // Long enough to find out that nothing else will come.
        thread::sleep(Duration::from_millis(200));
        runs.bespoke(&["stop", part]).success();
        let ended = runs.wait_for_state(part, "exited");
        assert_eq!(ended["exit_status"], status, "{monitor}, {part}");
        let said = runs.bespoke(&["logs", part]).success();
        let hint = "listens on port 7, but the image has no network";
        assert_eq!(said.contains(hint), part == "alone", "{monitor}: {said}");
        runs.bespoke(&["rm", part]).success();
    }
}

/// SIGTERM in the middle of a download, asked for by `stop` or by a signal to a run in the foreground.
#[test]
fn nginx_answers_what_it_has_begun_before_it_ends() {
    plain(&["build", "nginx"]).success();
    let site = scratch("graceful-site");
    let large: Vec<u8> = (0..24u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
    fs::write(site.join("large"), &large).expect("a file");
    fs::write(site.join("small"), "small").expect("a file");
    let runs = Runs::new("graceful");
    for monitor in monitors() {
        let port = free_port();
        let (forward, root) = (
            format!("127.0.0.1:{port}:80"),
            format!("{}:/srv/www", text(&site)),
        );
        let line = [
            "run", "-d", "nginx", "-m", "128M", "-p", &forward, "--root", &root,
        ];
        let line = [&line[..], &["--monitor", monitor]].concat();
        runs.bespoke(&line).success();
        let connect = || TcpStream::connect(("127.0.0.1", port)).expect("a connection");
        let mut idle = connect();
        let small = ask(
            &mut idle,
            "GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nsmall",
        );
        assert!(small.starts_with("HTTP/1.1 200 "), "{small}");
        let mut busy = connect();
        busy.set_read_timeout(Some(LIMIT)).expect("a limit");
        busy.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it is taken");
        let mut answer = vec![0; 1 << 16];
        busy.read_exact(&mut answer).expect("the beginning");

        let mut stop = runs.command(&["stop", "nginx", "--timeout", "60"]);
        let stop = stop.stdout(Stdio::piped()).spawn().expect("stop");
        // The idle connection ends first; the download goes on.
        idle.set_read_timeout(Some(LIMIT)).expect("a limit");
        assert_eq!(
            idle.read(&mut [0; 16]).expect("an orderly end"),
            0,
            "{monitor}"
        );
        assert_eq!(runs.look("nginx").expect("listed")["state"], "running");
        busy.read_to_end(&mut answer).expect("the rest");
        let body = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head")
            + 4;
        assert_eq!(answer.len() - body, large.len(), "{monitor}");
        assert!(answer[body..] == large, "{monitor}");
        let stop = stop.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&stop.stdout), "nginx: exited 0\n");
        assert!(stop.status.success());
        runs.bespoke(&["rm", "nginx"]).success();

        // Asked once more, it waits for nobody.
        runs.bespoke(&line).success();
        let mut busy = connect();
        busy.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            .expect("it is taken");
        busy.read_exact(&mut [0; 1 << 16]).expect("the beginning");
        let pid = runs.pid("nginx");
        signal(pid, libc::SIGTERM);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(runs.pid("nginx"), pid, "{monitor}");
        signal(pid, libc::SIGTERM);
        // It has ended; what it wrote is still being sent, on a busy machine for long. Whoever asks a third time does not
        // wait for that either.
        let asked = Instant::now();
        while runs.look("nginx").expect("listed")["state"] == "running" {
            if asked.elapsed() > LIMIT / 4 {
                signal(pid, libc::SIGTERM);
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(runs.wait_for_state("nginx", "exited")["exit_status"], 0);
        runs.bespoke(&["rm", "nginx"]).success();
    }
}

/// Starts `command` with SIGINT as a terminal's commands have it, though these tests may run where a shell
/// ignores it: in the background.
fn heed_interrupts(command: &mut Command) {
    // SAFETY: `signal` is one system call, and SIG_DFL is no function.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
}

#[test]
fn signals_to_a_run_in_the_foreground_reach_the_application() {
    for (app, inside) in [("nginx", 80), ("redis", 6379)] {
        plain(&["build", app]).success();
        let runs = Runs::new(&format!("foreground-{app}"));
        for (monitor, ending) in all_monitors()
            .into_iter()
            .flat_map(|monitor| [(monitor, libc::SIGTERM), (monitor, libc::SIGINT)])
        {
            let forward = format!("127.0.0.1:{}:{inside}", free_port());
            let mut line = runs.command(&[
                "run",
                app,
                "--name",
                "front",
                "--monitor",
                monitor,
                "-p",
                &forward,
            ]);
            heed_interrupts(&mut line);
            let child = line
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the command starts");
            runs.wait_until_ready("front");
            signal(child.id() as i32, ending);
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.code(), Some(0), "{app} {monitor}: {output:?}");
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(app != "redis" || said.contains("bye bye"), "{said}");
            runs.bespoke(&["rm", "front"]).success();
        }
    }
}
