//! Images on the QEMU that is installed: the file of every other monitor, by `bespoke run` and by hand.

mod common;

use common::server::{Client, START_LIMIT, Server};
use common::{bespoke, command, feed, idle_percent, scratch, stock_monitors, text};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What `build` prints of the app, as JSON.
fn built(app: &str, output: &str) -> serde_json::Value {
    let json = bespoke(&["build", app, "-o", output, "--json"]).success();
    serde_json::from_str(&json).expect("JSON")
}

/// `line` as a shell reads it, with nothing on standard input, on TCG alone.
fn by_hand(line: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &line.replace("-accel kvm ", "")]);
    command
}

#[test]
fn the_line_that_build_prints_starts_the_image() {
    let folder = scratch("qemu-by-hand");
    let image = folder.join("it's an image");
    let report = built("hello", text(&image));
    let line = report["qemu"].as_str().expect("a line");
    let printed = bespoke(&["build", "hello", "-o", text(&image)]).success();
    assert!(printed.contains(line), "{printed}");
    for machine in [line.to_string(), line.replace("-accel kvm ", "")] {
        let ended = feed(Command::new("sh").args(["-c", &machine]), "");
        // Of isa-debug-exit: 2 * 0 + 1.
        assert_eq!(ended.status, Some(1), "{ended:?}");
        assert_eq!(ended.out.trim(), "Hello from a Bespoke image.", "{ended:?}");
    }
    let report = built("crash", text(&image));
    let line = report["qemu"].as_str().expect("a line");
    let ended = feed(
        &mut by_hand(&line.replace("arg=crash", "'arg=crash arg=exit'")),
        "",
    );
    assert_eq!(ended.status, Some(2 * 42 + 1), "{ended:?}");
}

#[test]
fn stub_and_drivers_take_little_of_an_image() {
    let report = built("hello", text(&scratch("qemu-size").join("hello")));
    let parts = report["parts"].as_array().expect("parts");
    let stub = parts.iter().find(|part| part["name"] == "stub");
    let bytes = stub.expect("a row")["file_bytes"].as_u64().expect("bytes");
    // The stub alone has some 1,100.
    assert!((4096..=64 << 10).contains(&bytes), "{bytes}");
}

/// Instructions at CPL 0 from the entry to the library OS, counted by an emulator that runs them one by one and writes
/// each down. A loop in the stub clears or fills as many words as it has rounds.
#[test]
fn the_stub_runs_a_thousand_instructions_at_most() {
    let folder = scratch("qemu-instructions");
    let (image, log) = (folder.join("hello"), folder.join("log"));
    let report = built("hello", text(&image));
    let line = report["qemu"].as_str().expect("a line").to_string();
    let trace = format!(" -singlestep -d nochain,exec -D {} ", text(&log));
    let ended = feed(
        &mut by_hand(&line.replace(" -display none", &(trace + " -display none"))),
        "",
    );
    assert_eq!(ended.status, Some(1), "{ended:?}");
    let entry = address(&image, "bespoke_pvh_entry");
    let body = address(&image, "bespoke_pvh_user_entry");
    let log = fs::read_to_string(&log).expect("a log");
    // Trace 0: 0x7f.. [base/address/flags/flags]
    let addresses = log.lines().filter_map(|line| {
        let mut fields = line.split_once('[')?.1.split('/');
        u64::from_str_radix(fields.nth(1)?, 16).ok()
    });
    let stub: Vec<u64> = addresses
        .skip_while(|at| *at != entry)
        .take_while(|at| *at != body)
        .collect();
    assert!(
        (100..=1000).contains(&stub.len()),
        "{} instructions",
        stub.len()
    );
    println!("the stub runs {} instructions", stub.len());
}

/// Where `symbol` of the image's debug file is.
fn address(image: &std::path::Path, symbol: &str) -> u64 {
    let debug = format!("{}.debug", text(image));
    let symbols = feed(Command::new("nm").arg(debug), "").success();
    let line = symbols
        .lines()
        .find(|line| line.ends_with(&format!(" {symbol}")));
    let line = line.unwrap_or_else(|| panic!("no {symbol}"));
    u64::from_str_radix(&line[..16], 16).expect("an address")
}

/// What stands for Firecracker where none can be had: it says its version, else that it was given a configuration,
/// and ends as an image does. What is tested is our side.
const STAND_IN: &str = "#!/bin/sh
case $1 in --version) echo 'Firecracker v1.12.1'; exit;; esac
[ \"$1 $2\" = '--no-api --config-file' ] || exit 9
cat \"$3\"
head -c 6 > /dev/null
echo 'bespoke: ended with code 42'
";

#[test]
fn firecracker_gets_a_configuration_and_its_image_an_exit_status() {
    let folder = scratch("firecracker");
    let (image, file) = (folder.join("hello"), folder.join("given"));
    let report = built("hello", text(&image));
    let beside = format!("{}.firecracker.json", text(&image));
    let line = format!("firecracker --no-api --config-file {beside}");
    assert_eq!(report["firecracker"], line.as_str());
    let configuration =
        |text: &str| -> serde_json::Value { serde_json::from_str(text).expect("JSON") };
    let written = configuration(&fs::read_to_string(&beside).expect("a file"));
    assert_eq!(written["boot-source"]["kernel_image_path"], text(&image));
    assert_eq!(written["boot-source"]["boot_args"], "arg=hello status");
    assert_eq!(written["machine-config"]["mem_size_mib"], 256);
    assert_eq!(written["drives"], serde_json::json!([]));

    fs::write(&file, "given").expect("a file");
    let given = format!("{}=/given", text(&file));
    let run = |path: &str, options: &[&str]| {
        let mut run = command(&["run", text(&image), "--monitor", "firecracker", "-m", "64M"]);
        run.args(options).env("PATH", path).current_dir(&folder);
        feed(&mut run, "input")
    };
    // Without it: the file, and how to get it.
    let error = run("/none", &["--file", &given]).failure(125);
    assert!(
        error.contains("1.12 or newer") && error.contains("hello.firecracker.json"),
        "{error}"
    );
    let left = fs::read_to_string(folder.join("hello.firecracker.json")).expect("a file");
    let left = configuration(&left);
    assert_eq!(left["machine-config"]["mem_size_mib"], 64);
    let archive = left["boot-source"]["initrd_path"].as_str().expect("a path");
    assert!(
        fs::read(archive)
            .expect("an archive")
            .len()
            .is_multiple_of(512)
    );

    let program = folder.join("firecracker");
    fs::write(&program, STAND_IN).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("rights");
    let path = format!("{}:/usr/bin:/bin", text(&folder));
    let ended = run(&path, &["--", "a b"]);
    assert_eq!(ended.status, Some(42), "{ended:?}");
    let given = configuration(&ended.out);
    let words = given["boot-source"]["boot_args"].as_str().expect("words");
    assert!(
        words.starts_with("arg=hello arg=a%20b ") && words.contains(" status"),
        "{words}"
    );

    for (options, words) in [
        (&["-p", "1:1"][..], "--net tap:NAME"),
        (&["--out", "/a=/tmp/never"], "--monitor kvm"),
        (&["--net", "tap:bspk-none"], "ip tuntap add bspk-none"),
        (&["--", &"x".repeat(2000)], "command line"),
    ] {
        // Only an image with a network gets that far.
        let is_net = options[0] == "-p" || options[0] == "--net";
        let words = if is_net { "without a network" } else { words };
        let error = run(&path, options).failure(125);
        assert!(
            error.contains(words) && error.lines().count() == 1,
            "{error}"
        );
    }
    fs::write(&program, STAND_IN.replace("v1.12.1", "v1.11.0")).expect("a script");
    let error = run(&path, &[]).failure(125);
    assert!(
        error.contains("1.11") && error.contains("1.12 or newer"),
        "{error}"
    );
    fs::write(&program, STAND_IN.replace("code 42", "nothing")).expect("a script");
    let ended = run(&path, &[]);
    assert!(
        ended
            .failure(125)
            .contains("without any message from the image")
    );
}

#[test]
fn a_server_that_is_started_by_hand_answers() {
    let image = scratch("qemu-server-by-hand").join("nginx");
    let report = built("nginx", text(&image));
    let port = free_port();
    let line = report["qemu"].as_str().expect("a line");
    let line = line.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"));
    assert!(line.contains(&port.to_string()), "{line}");
    let mut child = by_hand(&format!("exec {line}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("a shell");
    let start = Instant::now();
    let mut client = loop {
        // QEMU accepts before the image listens.
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut client = Client::new(stream);
            client.send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            if client.peek() {
                break client;
            }
        }
        assert!(start.elapsed() < START_LIMIT, "nginx does not answer");
        thread::sleep(Duration::from_millis(20));
    };
    let (status, _, body) = client.response();
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert_eq!(status, 200);
    assert_eq!(body, page());
}

/// nginx's page, as its recipe has it.
fn page() -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../apps/nginx/www/index.html");
    fs::read(folder).expect("a page")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Requests over connections that stay open, each answer compared byte by byte.
#[test]
fn nginx_answers_ten_thousand_requests_right_with_four_heaps() {
    const CLIENTS: usize = 4;
    const REQUESTS: usize = 10_000;
    let page = page();
    for heap in ["tlsf", "mimalloc", "dlmalloc", "mallocng"] {
        let line = ["nginx", "--monitor", "qemu-tcg", "--heap", heap];
        let mut server = Server::start(&line, 80, &[]);
        let mut first = server.connect("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(first.response().2, page, "{heap}");
        let port = server.port;
        thread::scope(|scope| {
            for number in 0..CLIENTS {
                let page = &page;
                scope.spawn(move || {
                    let connect = || {
                        Client::new(TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
                    };
                    let mut client = connect();
                    for request in 0..REQUESTS / CLIENTS {
                        // nginx closes a connection after 1,000 requests.
                        if request % 500 == 499 {
                            client = connect();
                        }
                        if request % 100 == number {
                            let (status, _, _) = client.get("/missing", "");
                            assert_eq!(status, 404, "{heap} {number} {request}");
                        } else {
                            let (status, _, body) = client.get("/", "");
                            assert_eq!(status, 200, "{heap} {number} {request}");
                            assert!(body == *page, "{heap} {number} {request}");
                        }
                    }
                });
            }
        });
        // SAFETY: our own child, not reaped yet.
        let sent = unsafe { libc::kill(server.child.id() as i32, libc::SIGTERM) };
        assert_eq!(sent, 0);
        assert_eq!(server.ended(), Some(0), "{heap}");
    }
}

#[test]
fn redis_keeps_what_it_is_given() {
    for monitor in stock_monitors() {
        let mut server = Server::start(&["redis", "--monitor", monitor], 6379, &[]);
        let mut client = server.connect("PING\r\n");
        assert_eq!(client.line(), "+PONG");
        for number in 0..500usize {
            let (key, value) = (
                format!("key:{number}"),
                vec![number as u8; number * 37 % 5000],
            );
            assert_eq!(client.redis(&[b"SET", key.as_bytes(), &value]), b"+OK");
            assert_eq!(client.redis(&[b"GET", key.as_bytes()]), value, "{monitor}");
        }
        client.send(b"SHUTDOWN NOSAVE\r\n");
        assert_eq!(server.ended(), Some(0), "{monitor}");
    }
}

#[test]
fn a_pc_runs_them_too() {
    for monitor in stock_monitors() {
        let pc = ["--monitor", monitor, "--machine", "q35"];
        let run = |app: &str, arguments: &[&str]| {
            bespoke(&[&["run", app][..], &pc, &["--"], arguments].concat())
        };
        assert_eq!(
            run("hello", &[]).success(),
            "Hello from a Bespoke image.\n",
            "{monitor}"
        );
        assert_eq!(run("crash", &["exit"]).status, Some(42), "{monitor}");
        // It has a network, and so a console on the bus.
        let said = run("nginx", &["-v"]);
        assert!(said.err.contains("nginx/1.22.1"), "{monitor}: {said:?}");
        said.success();
        let line = [&["nginx"][..], &pc].concat();
        let mut server = Server::start(&line, 80, &[]);
        let mut client = server.connect("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().2, page(), "{monitor}");
    }
}

#[test]
fn an_idle_server_takes_no_processor() {
    for monitor in stock_monitors() {
        let mut server = Server::start(&["nginx", "--monitor", monitor], 80, &[]);
        let mut client = server.connect("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().0, 200);
        drop(client);
        thread::sleep(Duration::from_secs(1));
        let busy = idle_percent(server.child.id());
        assert!(busy < 2.0, "{monitor}: {busy} % of a core");
    }
}

#[test]
fn input_passes_as_it_is_and_ends() {
    let image = scratch("qemu-input").join("sqlite");
    let before = built("sqlite", text(&image))["file_bytes"].clone();
    let contents = fs::read(&image).expect("an image");
    for monitor in ["process"].into_iter().chain(stock_monitors()) {
        let mut run = command(&["run", text(&image), "--monitor", monitor, "--", ":memory:"]);
        // The console's own characters, and more than a pipe holds.
        let input = "select hex('\u{4}\u{16}\u{3}abc');\n".repeat(5000);
        assert_eq!(
            feed(&mut run, &input).success(),
            "041603616263\n".repeat(5000)
        );
    }
    // The file that ran is the file that was built.
    assert_eq!(fs::read(&image).expect("an image"), contents);
    assert_eq!(before, contents.len());
}

#[test]
fn output_that_nobody_reads_ends_the_image() {
    const ENDLESS: &str =
        "with recursive c(x) as (select 1 union all select x + 1 from c) select x from c";
    bespoke(&["build", "sqlite"]).success();
    for monitor in stock_monitors() {
        let mut child = command(&[
            "run",
            "sqlite",
            "--monitor",
            monitor,
            "--",
            ":memory:",
            ENDLESS,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
        let mut output = child.stdout.take().expect("a pipe");
        let mut line = [0; 4];
        output.read_exact(&mut line).expect("a beginning");
        assert_eq!(&line, b"1\n2\n");
        drop(output);
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(128 + libc::SIGPIPE), "{monitor}");
    }
}

/// QEMU's console drops what its descriptor does not take at once: more than pipes hold comes while nobody reads.
#[test]
fn output_waits_for_a_slow_reader() {
    const LINES: usize = 300_000;
    let sql = format!(
        "with recursive c(x) as (select 1 union all select x + 1 from c where x < {LINES}) \
         select 'line ' || x from c"
    );
    bespoke(&["build", "sqlite"]).success();
    for monitor in stock_monitors() {
        let mut child = command(&[
            "run",
            "sqlite",
            "--monitor",
            monitor,
            "--",
            ":memory:",
            &sql,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
        thread::sleep(Duration::from_secs(2));
        let mut output = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        stdout.read_to_string(&mut output).expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{monitor}");
        let numbers = output.lines().map(|line| line.strip_prefix("line "));
        let numbers = numbers.map(|number| number.and_then(|number| number.parse().ok()));
        assert!(numbers.eq((1..=LINES).map(Some)), "{monitor}");
    }
}

/// A folder for PATH with a program that says it is QEMU `version` and does nothing else.
fn path_with(version: &str) -> String {
    let folder = scratch(&format!("qemu-{version}"));
    let program = folder.join("qemu-system-x86_64");
    let mut file = fs::File::create(&program).expect("a file");
    write!(file, "#!/bin/sh\ncase $1 in --version) echo 'QEMU emulator version {version} (Debian)';; *) echo 'no such option' >&2; exit 1;; esac\n").expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("rights");
    text(&folder).to_string()
}

#[test]
fn what_cannot_be_had_is_said_once() {
    let image = scratch("qemu-bad-input").join("hello");
    built("hello", text(&image));
    let image = text(&image);
    let run = |path: Option<&str>, options: &[&str]| {
        let mut command = command(&["run", image]);
        command.args(options);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        feed(&mut command, "")
    };
    let once = |ended: common::Ended, status, words: &[&str]| {
        let error = ended.failure(status);
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let tcg = ["--monitor", "qemu-tcg"];
    once(
        run(Some("/none"), &tcg),
        125,
        &["not installed", "apt-get install"],
    );
    once(
        run(Some(&path_with("5.2.0")), &tcg),
        125,
        &["5.2", "7.2 or newer"],
    );
    once(
        run(Some(&path_with("9.0.1")), &tcg),
        125,
        &["no such option"],
    );
    once(
        run(None, &["--monitor", "qemu-tcg", "-m", "900G"]),
        125,
        &["921600 MiB", "the host has"],
    );
    once(
        run(None, &["--monitor", "qemu-tcg", "-m", "2M"]),
        125,
        &["needs 3 MiB", "-m"],
    );
    once(
        run(None, &["--monitor", "qemu-tcg", "--out", "/a=/tmp/never"]),
        125,
        &["--out", "--monitor kvm"],
    );
    once(
        run(None, &["--monitor", "qemu", "--machine", "pc"]),
        2,
        &["pc", "microvm or q35"],
    );
    once(
        run(None, &["--monitor", "kvm", "--machine", "q35"]),
        2,
        &["--machine", "--monitor qemu"],
    );
    let mut hidden = command(&["run", image, "--monitor", "qemu-kvm"]);
    once(
        feed(hidden.env("BESPOKE_KVM_DEVICE", "/none"), ""),
        125,
        &["KVM does not work", "/none"],
    );
    let long = ["--monitor", "qemu-tcg", "--", &"%".repeat(100_000)].map(String::from);
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    once(run(None, &long), 125, &["command line", "131072"]);
    // Without a word about it QEMU translates where KVM is missing, and says so.
    let mut hidden = command(&["run", image, "--monitor", "qemu"]);
    let ended = feed(hidden.env("BESPOKE_KVM_DEVICE", "/none"), "");
    assert!(ended.err.contains("translation instead"), "{ended:?}");
    assert_eq!(ended.success(), "Hello from a Bespoke image.\n");
}
