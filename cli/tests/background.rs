//! Servers whose configuration asks for a second process: to go on in the background, or to save there.

mod common;

use common::{bespoke, command, feed, monitors, scratch, text};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

fn configuration(path: &Path, lines: &str) -> String {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../apps/redis/redis.conf");
    let own = fs::read_to_string(own).expect("the recipe's file");
    fs::write(path, own + lines).expect("a file");
    format!("{}=/etc/redis.conf", text(path))
}

#[test]
fn who_ends_for_a_process_in_the_background_has_not_succeeded() {
    for monitor in monitors() {
        for (app, line) in [
            (
                "redis",
                &["--", "/etc/redis.conf", "--daemonize", "yes"][..],
            ),
            ("memcached", &["--", "-u", "root", "-d"]),
        ] {
            let line = [&["run", app, "--monitor", monitor], line].concat();
            let ended = bespoke(&line);
            assert!(ended.status.is_some_and(|status| status != 0), "{ended:?}");
            assert!(ended.err.contains("fork"), "{ended:?}");
            if app == "redis" {
                assert!(ended.failure(125).contains("run -d"));
            }
        }
    }
}

#[test]
fn who_notices_that_there_is_no_second_process_has_succeeded() {
    for monitor in monitors() {
        let end = |way| bespoke(&["run", "crash", "--monitor", monitor, "--", way]);
        assert!(end("background").failure(125).contains("run -d"));
        let said = end("tried-forks").success();
        assert_eq!(said, "fork failed\nvfork failed\nclone failed\n");
        end("went-on").success();
    }
}

#[test]
fn redis_keeps_what_out_names_and_says_what_is_lost_without() {
    let folder = scratch("redis-keeps");
    let file = configuration(&folder.join("redis.conf"), "daemonize yes\nsave 1 1\n");
    let dump = folder.join("dump.rdb");
    let (out, back) = (
        format!("/dump.rdb={}", text(&dump)),
        format!("{}=/dump.rdb", text(&dump)),
    );
    let bespoke = |line: &[&str]| {
        let mut command = command(line);
        command.env("BESPOKE_RUNS", folder.join("runs"));
        feed(&mut command, "")
    };
    for monitor in monitors() {
        let _ = fs::remove_file(&dump);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let forward = format!("127.0.0.1:{port}:6379");
        let start = |more: &[&str]| {
            let line = ["run", "-d", "redis", "--monitor", monitor, "-p", &forward];
            let ended = bespoke(&[&line, more].concat());
            assert_eq!(ended.status, Some(0), "{ended:?}");
            ended.err
        };
        let ask = |line: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
            let limit = Some(Duration::from_secs(20));
            stream.set_read_timeout(limit).expect("a limit");
            write!(stream, "{line}\r\n").expect("it is taken");
            let mut answer = [0; 256];
            let count = stream.read(&mut answer).expect("an answer");
            String::from_utf8_lossy(&answer[..count]).into_owned()
        };
        let said = start(&["--file", &file, "--out", &out]);
        assert!(!said.contains("in memory"), "{said}");
        assert_eq!(ask("SET key kept"), "+OK\r\n");
        // A save in the background is due, and fails.
        thread::sleep(Duration::from_millis(2500));
        assert_eq!(ask("SET other kept"), "+OK\r\n", "{monitor}");
        let log = bespoke(&["logs", "redis"]).success();
        assert!(log.contains("Can't save in background: fork"), "{log}");
        // At its end it saves in the foreground.
        assert_eq!(bespoke(&["stop", "redis"]).success(), "redis: exited 0\n");
        bespoke(&["rm", "redis"]).success();
        let said = start(&["--file", &back]);
        assert_eq!(ask("GET key"), "$4\r\nkept\r\n", "{monitor}");
        assert_eq!(ask("SAVE"), "+OK\r\n");
        let log = bespoke(&["logs", "redis"]).success();
        for told in [said, log] {
            assert!(told.contains("Redis keeps its data in memory"), "{told}");
        }
        bespoke(&["stop", "redis"]).success();
        bespoke(&["rm", "redis"]).success();
    }
}
