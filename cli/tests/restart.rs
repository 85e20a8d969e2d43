//! Images that are started again when they have ended (`--restart`), and the environment that they are given.

mod common;

use common::runs::{LIMIT, Runs, ask, free_port, signal, tree, wait_until_gone};
use common::{bespoke as plain, monitors, scratch, text};
use serde_json::Value;
use std::fs;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

/// Runs Redis with a restart policy and the port `port`, and other words before `--`.
fn redis(runs: &Runs, monitor: &str, policy: &str, port: u16, words: &[&str]) {
    let forward = format!("127.0.0.1:{port}:6379");
    let line = ["run", "-d", "--wait", "20", "redis", "--monitor", monitor];
    let policy = ["--restart", policy, "-p", &forward];
    let debug = ["--", "/etc/redis.conf", "--enable-debug-command", "yes"];
    let line = [&line[..], &policy, words, &debug].concat();
    assert_eq!(runs.bespoke(&line).success(), "redis\n");
}

/// Sends `line` to the server that listens on `port`, as soon as there is one; the first line of the answer.
fn say(port: u16, line: &str) -> String {
    let start = Instant::now();
    loop {
        if let Ok(mut client) = TcpStream::connect(("127.0.0.1", port)) {
            return ask(&mut client, &format!("{line}\r\n"), "\n");
        }
        assert!(start.elapsed() < LIMIT, "nobody listens");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends `line`, which ends the server.
fn end(port: u16, line: &str) {
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    std::io::Write::write_all(&mut client, format!("{line}\r\n").as_bytes()).expect("taken");
    // Nothing comes but the end.
    let _ = std::io::Read::read(&mut client, &mut [0; 16]);
}

/// Waits until the image has been started again `times` times and listens.
fn wait_for_restarts(runs: &Runs, times: u64) -> Value {
    let start = Instant::now();
    loop {
        let run = runs.look("redis").expect("it is listed");
        if run["restarts"] == times && run["state"] == "running" && runs.is_ready("redis") {
            return run;
        }
        assert!(start.elapsed() < LIMIT, "{run}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_server_that_crashes_is_started_again_until_it_is_stopped() {
    plain(&["build", "redis"]).success();
    for monitor in monitors() {
        let runs = Runs::new(&format!("restart-{monitor}"));
        let port = free_port();
        redis(&runs, monitor, "on-failure", port, &[]);
        assert_eq!(say(port, "PING"), "+PONG\r\n");
        let before = runs.look("redis").expect("it is listed");
        assert_eq!(
            (&before["restart"], &before["restarts"]),
            (&"on-failure".into(), &0.into())
        );

        end(port, "DEBUG SEGFAULT");
        let waiting = runs.wait_for_state("redis", "waiting");
        assert_eq!(waiting["exit_status"], 139, "{waiting}");
        assert_eq!(waiting["pid"], before["pid"], "the run is the same");
        let table = runs.bespoke(&["ps"]).success();
        assert!(table.contains("exited 139, starts again in 1 s"), "{table}");
        assert!(
            runs.bespoke(&["stats", "redis"])
                .failure(1)
                .contains("starts again")
        );
        assert!(
            runs.bespoke(&["rm", "redis"])
                .failure(1)
                .contains("is running")
        );
        let run = wait_for_restarts(&runs, 1);
        assert_eq!(say(port, "PING"), "+PONG\r\n");
        assert_eq!(run["monitor"], monitor);
        let table = runs.bespoke(&["ps"]).success();
        assert!(table.contains("running, restarted once"), "{table}");

        // A monitor that is killed is a failure, too; the second wait is longer.
        let run = runs.pid("redis");
        let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children"));
        let children = children.expect("its children");
        let image = children.split_whitespace().last().expect("the image");
        signal(image.parse().expect("a number"), libc::SIGKILL);
        let waiting = runs.wait_for_state("redis", "waiting");
        assert_eq!(waiting["exit_status"], 137, "{waiting}");
        let killed = Instant::now();
        wait_for_restarts(&runs, 2);
        assert!(killed.elapsed() > Duration::from_millis(1500));

        // Redis ends with 0 when it is asked to: no failure, and `stop` is the end in any case.
        let all = tree(runs.pid("redis"));
        assert_eq!(
            runs.bespoke(&["stop", "redis"]).success(),
            "redis: exited 0\n"
        );
        wait_until_gone(&all);
        thread::sleep(Duration::from_millis(1200));
        let run = runs.look("redis").expect("it stays listed");
        assert_eq!(
            (&run["state"], &run["exit_status"]),
            (&"exited".into(), &0.into())
        );
        let log = runs.bespoke(&["logs", "redis"]).success();
        for said in [
            "ended with status 139; restarting in 1 s (--restart on-failure)",
            "ended with status 137; restarting in 2 s",
        ] {
            assert!(log.contains(said), "{log}");
        }
        runs.bespoke(&["rm", "redis"]).success();
    }
}

#[test]
fn a_policy_says_which_ends_count_and_how_many() {
    plain(&["build", "redis"]).success();
    plain(&["build", "crash"]).success();
    let runs = Runs::new("policies");
    let port = free_port();
    // A status of 0 is no failure ...
    redis(&runs, "process", "on-failure", port, &[]);
    end(port, "SHUTDOWN NOSAVE");
    assert_eq!(runs.wait_for_state("redis", "exited")["exit_status"], 0);
    // ... but an end.
    redis(&runs, "process", "always", port, &[]);
    end(port, "SHUTDOWN NOSAVE");
    runs.wait_for_state("redis", "waiting");
    wait_for_restarts(&runs, 1);
    // Stopped while it waits.
    end(port, "SHUTDOWN NOSAVE");
    runs.wait_for_state("redis", "waiting");
    assert_eq!(
        runs.bespoke(&["stop", "redis"]).success(),
        "redis: exited 0\n"
    );

    // So many times in a row.
    let line = [
        "run",
        "-d",
        "crash",
        "--restart",
        "on-failure:1",
        "--monitor",
        "process",
    ];
    runs.bespoke(&[&line[..], &["--", "null"]].concat())
        .success();
    let run = runs.wait_for_state("crash", "exited");
    assert_eq!(
        (&run["exit_status"], &run["restarts"]),
        (&139.into(), &1.into())
    );

    // Whoever starts an image that does not come up is told, and nothing is tried again.
    let line = [
        "run",
        "-d",
        "redis",
        "--name",
        "wrong",
        "--restart",
        "always",
        "--wait",
        "20",
    ];
    let error = runs.bespoke(&[&line[..], &["--", "/etc/redis.conf", "--port", "x"]].concat());
    let error = error.failure(1);
    assert!(error.contains("ended before it listened"), "{error}");
    let run = runs.look("wrong").expect("it is listed");
    assert_eq!(
        (&run["state"], &run["restarts"]),
        (&"exited".into(), &0.into())
    );

    // Killing the process of a run takes everything of it, and is no end that a policy sees.
    redis(&runs, "process", "always", port, &[]);
    let all = tree(runs.pid("redis"));
    signal(runs.pid("redis"), libc::SIGKILL);
    wait_until_gone(&all);
    assert_eq!(runs.look("redis").expect("listed")["state"], "killed");
}

#[test]
fn each_start_reads_its_files_and_each_end_writes_them() {
    plain(&["build", "redis"]).success();
    let folder = scratch("restart-out");
    let dump = folder.join("dump.rdb");
    let (out, file) = (
        format!("/dump.rdb={}", text(&dump)),
        format!("{}=/dump.rdb", text(&dump)),
    );
    let runs = Runs::new("restart-out");
    let port = free_port();
    // The first start has no file yet.
    redis(
        &runs,
        "process",
        "always",
        port,
        &["--file", &file, "--out", &out],
    );
    assert_eq!(say(port, "SET a second"), "+OK\r\n");
    assert_eq!(say(port, "SAVE"), "+OK\r\n");
    end(port, "SHUTDOWN NOSAVE");
    wait_for_restarts(&runs, 1);
    assert_eq!(say(port, "STRLEN a"), ":6\r\n");
    // After a crash nothing is written, and what was written last is read again.
    assert_eq!(say(port, "SET a third,longer"), "+OK\r\n");
    assert_eq!(say(port, "SAVE"), "+OK\r\n");
    end(port, "DEBUG SEGFAULT");
    wait_for_restarts(&runs, 2);
    assert_eq!(say(port, "STRLEN a"), ":6\r\n");
    // What cannot be put in place is put beside, and nothing is started that would overwrite it.
    fs::write(&dump, "changed meanwhile").expect("a file");
    assert_eq!(say(port, "SAVE"), "+OK\r\n");
    end(port, "SHUTDOWN NOSAVE");
    let run = runs.wait_for_state("redis", "exited");
    assert_eq!(run["exit_status"], 125);
    assert!(
        run["unwritten"][0]
            .as_str()
            .expect("a reason")
            .contains("was kept"),
        "{run}"
    );
    assert!(folder.join("dump.rdb.from-image").exists());
}

#[test]
fn the_environment_comes_from_files_and_the_line_which_counts() {
    plain(&["build", "crash"]).success();
    let folder = scratch("env-file");
    let file = folder.join("environment");
    fs::write(
        &file,
        "# of the test\n\nA=file\nB=\"in quotes\" # kept\nHOME=/root\n",
    )
    .expect("a file");
    let run = |words: &[&str]| {
        let line = [
            "run",
            "crash",
            "--monitor",
            "process",
            "--env-file",
            text(&file),
        ];
        plain(&[&line[..], words, &["--", "environment"]].concat())
    };
    let said = run(&["-e", "A=line", "--env", "C=3"]).success();
    for variable in ["A=line", "B=\"in quotes\" # kept", "C=3", "HOME=/root"] {
        assert_eq!(
            said.lines().filter(|line| *line == variable).count(),
            1,
            "{said}"
        );
    }
    assert!(
        !said.contains("HOME=/\n") && !said.contains("A=file"),
        "{said}"
    );
    fs::write(&file, "A=1\nexport B=2\n").expect("a file");
    let error = run(&[]).failure(2);
    assert!(error.contains("line 2, \"export B=2\""), "{error}");
}
