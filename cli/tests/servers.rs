//! Redis, nginx and memcached in images answer real clients, over ports that are led in, on every
//! monitor and with different heaps.

mod common;

use common::server::{START_LIMIT, Server};
use common::{bespoke, monitors, scratch, text};
use std::fs;
use std::time::Instant;

/// Heaps of different kinds: one of C, one that returns memory, the default.
const HEAPS: [&str; 3] = ["tlsf", "mimalloc", "dlmalloc"];
#[test]
fn redis_keeps_what_it_is_given_and_ends_when_told() {
    for monitor in monitors() {
        for heap in HEAPS {
            let mut server =
                Server::start(&["redis", "--monitor", monitor, "--heap", heap], 6379, &[]);
            let mut client = server.connect("PING\r\n");
            assert_eq!(client.line(), "+PONG");
            for size in [0, 1, 100, 4096, 1 << 20] {
                let value: Vec<u8> = (0..size).map(|i: u32| (i * 7 % 251) as u8).collect();
                let key = format!("key:{size}").into_bytes();
                assert_eq!(client.redis(&[b"SET", &key, &value]), b"+OK");
                assert_eq!(
                    client.redis(&[b"GET", &key]),
                    value,
                    "{monitor}, {heap}, {size}"
                );
            }
            assert_eq!(client.redis(&[b"GET", b"none"]), b"$-1");
            // A thread of its own frees these.
            assert_eq!(client.redis(&[b"UNLINK", b"key:1048576"]), b":1");
            assert_eq!(client.redis(&[b"PEXPIRE", b"key:1", b"20"]), b":1");
            let start = Instant::now();
            while client.redis(&[b"EXISTS", b"key:1"]) != b":0" {
                assert!(start.elapsed() < START_LIMIT, "the key does not expire");
            }
            let others: Vec<_> = (0..20).map(|_| server.connect("PING\r\n")).collect();
            for mut other in others {
                assert_eq!(other.line(), "+PONG");
                assert_eq!(other.redis(&[b"GET", b"key:100"]).len(), 100);
            }
            // There is one process: what needs another one says so, and everything goes on.
            let answer = client.redis(&[b"BGSAVE"]);
            assert!(
                answer.starts_with(b"-"),
                "{}",
                String::from_utf8_lossy(&answer)
            );
            assert_eq!(
                client.redis(&[b"EVAL", b"return redis.call('dbsize')", b"0"]),
                b":3"
            );
            client.send(b"SHUTDOWN NOSAVE\r\n");
            assert_eq!(server.ended(), Some(0), "{monitor}, {heap}");
        }
    }
}

#[test]
fn redis_says_that_its_memory_is_full_and_keeps_serving() {
    for monitor in monitors() {
        // As much as 16 MiB hold, what the user allows of them, and of a heap that gives every value pages.
        for (memory, heap, arguments) in [
            ("16M", "tlsf", &[][..]),
            (
                "64M",
                "tlsf",
                &["/etc/redis.conf", "--maxmemory", "3mb"][..],
            ),
            ("256M", "buddy", &[][..]),
        ] {
            let line = ["redis", "--monitor", monitor, "-m", memory, "--heap", heap];
            let mut server = Server::start(&line, 6379, arguments);
            let mut client = server.connect("PING\r\n");
            assert_eq!(client.line(), "+PONG");
            for round in 0..2u32 {
                let value = vec![b'x'; 1024 >> round];
                let refused = (0..1_000_000u32).find_map(|key| {
                    let answer = client.redis(&[b"SET", &key.to_le_bytes(), &value]);
                    (answer != b"+OK").then_some(answer)
                });
                let refused = refused.expect("memory is full at some time");
                let refused = String::from_utf8(refused).expect("text");
                assert!(refused.starts_with("-OOM"), "{refused}");
                assert_eq!(client.redis(&[b"GET", &0u32.to_le_bytes()]), value);
                assert_eq!(client.redis(&[b"FLUSHALL"]), b"+OK");
            }
        }
    }
}

#[test]
fn a_file_is_run_as_its_app_is() {
    let image = scratch("by-path").join("redis.img");
    bespoke(&["build", "redis", "-o", text(&image)]).success();
    for (memory, limit) in [(&["-m", "64M"][..], "26843520"), (&[], "107374160")] {
        let line = [&[text(&image), "--monitor", "process"], memory].concat();
        let mut server = Server::start(&line, 6379, &[]);
        let mut client = server.connect("CONFIG GET maxmemory\r\n");
        for expected in ["*2", "$9", "maxmemory"] {
            assert_eq!(client.line(), expected);
        }
        client.line();
        assert_eq!(client.line(), limit);
    }
}

#[test]
fn nginx_serves_its_page_your_site_and_your_configuration() {
    let folder = scratch("nginx");
    let site = folder.join("site");
    fs::create_dir_all(site.join("sub")).expect("folders");
    let large: Vec<u8> = (0..3u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
    fs::write(site.join("sub/large.bin"), &large).expect("file");
    fs::write(site.join("index.html"), "<p>mine</p>".repeat(1000)).expect("file");
    let root = format!("{}:/srv/www", text(&site));
    for monitor in monitors() {
        for heap in HEAPS {
            let line = ["nginx", "--monitor", monitor, "--heap", heap];
            let mut server = Server::start(&line, 80, &[]);
            let mut client = server.connect("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            let (status, head, body) = client.response();
            assert_eq!(
                (status, body.len()),
                (200, 612),
                "{monitor}, {heap}: {head}"
            );
            assert!(head.contains("content-type: text/html"), "{head}");
            assert_eq!(client.get("/none", "").0, 404);
            assert_eq!(client.get("/../etc/passwd", "").0, 400);

            let line = [&line[..], &["--root", &root]].concat();
            let mut server = Server::start(&line, 80, &[]);
            let mut client = server.connect("GET /sub/large.bin HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(client.response().2, large, "{monitor}, {heap}");
            let (_, _, body) = client.get("/sub/large.bin", "Range: bytes=1000000-1000099\r\n");
            assert_eq!(body, large[1_000_000..1_000_100]);
            let (_, head, body) = client.get("/", "Accept-Encoding: gzip\r\n");
            assert!(head.contains("content-encoding: gzip"), "{head}");
            assert!(
                body.starts_with(&[0x1f, 0x8b]) && body.len() < 1000,
                "{}",
                body.len()
            );
        }
    }
    let configuration = folder.join("nginx.conf");
    let text_of = "daemon off; master_process off; error_log stderr; events { } \
        http { server { listen 8000; location ~ ^/(\\w+)$ { return 200 \"hello $1\"; } } }";
    fs::write(&configuration, text_of).expect("file");
    let file = format!("{}=/etc/nginx/nginx.conf", text(&configuration));
    for monitor in monitors() {
        let mut server =
            Server::start(&["nginx", "--monitor", monitor, "--file", &file], 8000, &[]);
        let mut client = server.connect("GET /world HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.response().2, b"hello world");
    }
}

#[test]
fn a_bad_configuration_of_nginx_is_named_with_its_line() {
    let folder = scratch("nginx-bad");
    let configuration = folder.join("nginx.conf");
    fs::write(
        &configuration,
        "daemon off;\nevents {}\nhttp { listen 80; }\n",
    )
    .expect("file");
    let file = format!("{}=/etc/nginx/nginx.conf", text(&configuration));
    for monitor in monitors() {
        let line = ["run", "nginx", "--monitor", monitor, "--file", &file];
        let error = bespoke(&line).failure(1);
        assert!(
            error.contains("\"listen\" directive is not allowed here"),
            "{error}"
        );
        assert!(error.contains("/etc/nginx/nginx.conf:3"), "{error}");
    }
}

#[test]
fn memcached_stores_counts_and_forgets() {
    for monitor in monitors() {
        for heap in HEAPS {
            let line = ["memcached", "--monitor", monitor, "--heap", heap];
            let mut server = Server::start(&line, 11211, &[]);
            let mut client = server.connect("version\r\n");
            assert_eq!(client.line(), "VERSION 1.6.18");
            let value = "v".repeat(100_000);
            client.send(format!("set a 0 0 {}\r\n{value}\r\n", value.len()).as_bytes());
            assert_eq!(client.line(), "STORED", "{monitor}, {heap}");
            client.send(b"get a none\r\n");
            assert_eq!(client.line(), "VALUE a 0 100000");
            assert_eq!(client.line(), value);
            assert_eq!(client.line(), "END");
            client.send(b"set n 0 0 2\r\n41\r\nincr n 1\r\ndelete n\r\nget n\r\n");
            let answers: Vec<String> = (0..4).map(|_| client.line()).collect();
            assert_eq!(answers, ["STORED", "42", "DELETED", "END"]);
        }
    }
}
