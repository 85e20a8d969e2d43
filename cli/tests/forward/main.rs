//! What `-p` leads in holds: an nginx with its recipe's memory behind a port of the host answers mixed requests as the native
//! program of the same build does: long addresses, resets, half-closed connections, pipelines, uploads that end early, slow
//! readers, many at once. And it answers without waiting for timers.
//!
//! `BESPOKE_FORWARD_REQUESTS=10000` makes it long (`make forward-soak`).

#[path = "../common/mod.rs"]
mod common;
mod requests;

use common::{bespoke, command, idle_percent, monitors, scratch, text};
use requests::{KINDS, LIMIT, Numbers, PAGES, connect, fetch, get, request};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const REQUESTS: usize = 300;
/// A server, killed when dropped.
struct Running {
    child: Child,
    at: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn byte(at: usize) -> u8 {
    (at * 7 + (at >> 8) * 13) as u8
}

/// A folder with the pages.
fn site(folder: &Path) -> PathBuf {
    let site = folder.join("srv/www");
    fs::create_dir_all(&site).expect("a folder");
    for (name, bytes) in PAGES {
        let page: Vec<u8> = (0..bytes).map(byte).collect();
        fs::write(site.join(name), page).expect("a page");
    }
    site
}

fn image(monitor: &str, site: &Path, options: &[&str]) -> Running {
    let port = free_port();
    let (forward, root) = (format!("{port}:80"), format!("{}:/srv/www", text(site)));
    let mut line = vec![
        "run",
        "nginx",
        "--monitor",
        monitor,
        "-p",
        &forward,
        "--root",
        &root,
    ];
    line.extend(options);
    start(&mut command(&line), port)
}

/// The program of the image's own build, which runs on Linux as well.
fn native(folder: &Path) -> Running {
    let cache = bespoke_sources::cache_root().expect("a cache");
    let mut trees: Vec<PathBuf> = fs::read_dir(cache.join("trees"))
        .expect("the cache has trees")
        .flatten()
        .map(|entry| entry.path().join("objs/nginx"))
        .filter(|program| program.exists())
        .collect();
    trees.sort_by_key(|program| program.metadata().and_then(|data| data.modified()).ok());
    let program = trees.last().expect("the build of nginx is in the cache");
    let port = free_port();
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../apps/nginx/nginx.conf");
    let configuration = fs::read_to_string(recipe).expect("nginx's configuration");
    let (before, after) = ("listen 80 ", format!("listen 127.0.0.1:{port} "));
    assert!(configuration.contains(before));
    let path = folder.join("nginx.conf");
    // Types stand in the image's tree; pages without an ending have none.
    let configuration = configuration
        .replace(before, &after)
        .replace("include mime.types;", "client_body_temp_path body;");
    fs::write(&path, configuration).expect("a file");
    let mut line = Command::new(program);
    line.args([
        "-p",
        &format!("{}/", text(&folder.join("srv"))),
        "-c",
        text(&path),
    ]);
    start(&mut line, port)
}

fn start(line: &mut Command, port: u16) -> Running {
    let quiet = line.stdin(Stdio::null()).stdout(Stdio::null());
    let child = quiet.stderr(Stdio::null()).spawn();
    let mut running = Running {
        child: child.expect("the command starts"),
        at: ([127, 0, 0, 1], port).into(),
    };
    let begin = Instant::now();
    while fetch(running.at, "small").is_err() {
        let ended = running.child.try_wait().expect("our child");
        assert!(
            ended.is_none() && begin.elapsed() < LIMIT,
            "it does not serve: {ended:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
    running
}

fn requests() -> usize {
    let wanted = std::env::var("BESPOKE_FORWARD_REQUESTS");
    wanted.map_or(REQUESTS, |number| {
        number.parse().expect("a number of requests")
    })
}

/// Sends the same mix to both servers.
fn compare(image: SocketAddr, native: SocketAddr, count: usize, case: &str) {
    let mut numbers = Numbers(15);
    for index in 0..count {
        let kind = numbers.below(KINDS);
        let mut same = Numbers(numbers.0);
        let expected = request(native, kind, &mut same).expect("Linux answers");
        let answer = request(image, kind, &mut numbers)
            .unwrap_or_else(|error| panic!("{case}: request {index}, kind {kind}: {error}"));
        assert!(
            answer == expected,
            "{case}: request {index}, kind {kind}: {} bytes, not {}: {:?}",
            answer.len(),
            expected.len(),
            String::from_utf8_lossy(&answer[..answer.len().min(200)])
        );
    }
}

#[test]
fn every_request_is_answered_as_by_the_native_server() {
    bespoke(&["build", "nginx"]).success();
    let folder = scratch("forward-mixed");
    let site = site(&folder);
    let native = native(&folder);
    for monitor in monitors() {
        let image = image(monitor, &site, &[]);
        compare(image.at, native.at, requests(), monitor);
        // All that was left half done is no work any more.
        let idle = idle_percent(image.child.id());
        assert!(
            idle < 5.0,
            "{monitor}: {idle} % of a core after the last request"
        );
        assert_eq!(
            fetch(image.at, "small").expect("it serves"),
            fetch(native.at, "small").expect("so does Linux")
        );
    }
}

#[test]
fn many_clients_at_once_are_served() {
    bespoke(&["build", "nginx"]).success();
    let folder = scratch("forward-many");
    let site = site(&folder);
    let count = if requests() > REQUESTS { 1000 } else { 300 };
    for monitor in monitors() {
        let image = image(monitor, &site, &["-m", "256M"]);
        let streams: Vec<TcpStream> = (0..count)
            .map(|number| {
                connect(image.at).unwrap_or_else(|error| panic!("{monitor}, {number}: {error}"))
            })
            .collect();
        for turn in 0..2 {
            let last = if turn == 1 {
                "Connection: close\r\n"
            } else {
                ""
            };
            let question = get("small", last);
            for mut stream in &streams {
                stream
                    .write_all(question.as_bytes())
                    .expect("an open connection");
            }
            for (number, mut stream) in streams.iter().enumerate() {
                let (mut answer, mut part) = (Vec::new(), [0; 2048]);
                while !answer.ends_with(&(0..600).map(byte).collect::<Vec<u8>>()) {
                    let bytes = stream.read(&mut part);
                    let bytes = bytes.unwrap_or_else(|error| {
                        panic!("{monitor}, turn {turn}, {number}: {error}")
                    });
                    assert!(
                        bytes > 0,
                        "{monitor}, turn {turn}, {number}: {}",
                        String::from_utf8_lossy(&answer)
                    );
                    answer.extend(&part[..bytes]);
                }
            }
        }
    }
}

/// Timers of TCP (200 ms, 40 ms, 10 ms) show in the median, and a busy machine does not.
#[test]
fn large_answers_wait_for_no_timer() {
    const LIMIT_MS: f64 = 10.0;
    bespoke(&["build", "nginx"]).success();
    let folder = scratch("forward-reply");
    let site = site(&folder);
    for monitor in monitors() {
        let image = image(monitor, &site, &[]);
        let mut stream = connect(image.at).expect("a connection");
        let mut times = Vec::new();
        let mut part = vec![0; 1 << 16];
        for _ in 0..100 {
            let begin = Instant::now();
            stream
                .write_all(get("middle", "").as_bytes())
                .expect("an open connection");
            let mut answer = Vec::new();
            let is_whole = |answer: &[u8]| {
                let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
                end.is_some_and(|end| answer.len() == end + 4 + PAGES[1].1)
            };
            while !is_whole(&answer) {
                let bytes = stream.read(&mut part).expect("an answer");
                assert!(bytes > 0, "{monitor}: it was closed");
                answer.extend(&part[..bytes]);
            }
            times.push(begin.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let median = times[times.len() / 2];
        eprintln!("{monitor}: {median:.3} ms");
        assert!(median < LIMIT_MS, "{monitor}: {median} ms for 50 KiB");
    }
}

/// Connections that the image opens: the gateway is this machine, and a closed port is refused, not silent.
#[test]
fn the_image_reaches_what_the_host_reaches() {
    bespoke(&["build", "nginx"]).success();
    let folder = scratch("forward-out");
    let site = site(&folder);
    let native = native(&folder);
    let (open, closed) = (native.at.port(), free_port());
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; server {{ listen 80; root www;\n\
           location /out/ {{ proxy_pass http://10.0.2.2:{open}/; }}\n\
           location /closed/ {{ proxy_pass http://10.0.2.2:{closed}/; proxy_connect_timeout 15s; }}\n\
         }} }}\n"
    );
    let path = folder.join("image.conf");
    fs::write(&path, configuration).expect("a file");
    let file = format!("{}=/etc/nginx/nginx.conf", text(&path));
    for monitor in monitors() {
        let image = image(monitor, &site, &["--file", &file]);
        for (page, bytes) in PAGES {
            let answer = fetch(image.at, &format!("out/{page}")).expect("an answer");
            let body: Vec<u8> = (0..bytes).map(byte).collect();
            let (start, end) = (&answer[..15], &answer[answer.len().saturating_sub(bytes)..]);
            assert_eq!(start, b"HTTP/1.1 200 OK", "{monitor}, {page}");
            assert!(end == body, "{monitor}, {page}: it differs");
        }
        let begin = Instant::now();
        let answer = fetch(image.at, "closed/").expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 502 "), "{monitor}");
        assert!(
            begin.elapsed() < Duration::from_secs(5),
            "{monitor}: silence is no refusal"
        );
    }
}
