//! TLS by OpenSSL in an image: nginx-tls and redis-tls answer the clients of the host, with a certificate made for the test.

mod common;

use common::runs::{Runs, free_port};
use common::{bespoke as plain, command, feed, monitors, scratch, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a certificate for localhost and its key, in `folder`.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("server.crt"), folder.join("server.key"));
    let mut openssl = Command::new("openssl");
    openssl
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '),
        )
        .args([
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ])
        .args(["-keyout", text(&key), "-out", text(&certificate)]);
    feed(&mut openssl, "").success();
    (certificate, key)
}

fn client(program: &str, line: &str, words: &[&str], input: &str) -> common::Ended {
    let mut client = Command::new("timeout");
    client
        .args(["20", program])
        .args(line.split(' '))
        .args(words);
    feed(&mut client, input)
}

#[test]
fn nginx_serves_https() {
    plain(&["build", "nginx-tls"]).success();
    let folder = scratch("nginx-tls");
    let (certificate, key) = certificate(&folder);
    let site = folder.join("site");
    fs::create_dir(&site).expect("a folder");
    let large: Vec<u8> = (0..3u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
    fs::write(site.join("large"), &large).expect("a file");
    let conf = folder.join("nginx.conf");
    fs::write(
        &conf,
        "user www-data; error_log stderr; events {} http { access_log off; server { \
         listen 443 ssl http2; ssl_certificate /etc/ssl/server.crt; ssl_certificate_key /etc/ssl/server.key; \
         ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:a:1m; root /srv/www; } }",
    )
    .expect("a file");
    let files = [
        format!("{}=/etc/nginx/nginx.conf", text(&conf)),
        format!("{}=/etc/ssl/server.crt", text(&certificate)),
        format!("{}=/etc/ssl/server.key", text(&key)),
    ];
    let root = format!("{}:/srv/www", text(&site));
    let files = files.iter().flat_map(|file| ["--file", file]);
    let files: Vec<&str> = files.chain(["--root", &root]).collect();
    for monitor in monitors() {
        let runs = Runs::new(&format!("nginx-tls-{monitor}"));
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:443");
        let line = [
            "run",
            "-d",
            "--wait",
            "20",
            "nginx-tls",
            "--monitor",
            monitor,
            "-p",
            &forward,
        ];
        runs.bespoke(&[&line[..], &files].concat()).success();
        let got = folder.join("got");
        for version in ["--http1.1", "--http2"] {
            let words = [version, "--cacert", text(&certificate), "-o", text(&got)];
            let url = format!(
                "-sS --fail --noproxy * https://localhost:{port}/large --write-out %{{http_version}}"
            );
            let said = client("curl", &url, &words, "").success();
            assert!(said.starts_with(&version[6..7]), "{said}");
            assert!(
                fs::read(&got).expect("a file") == large,
                "{monitor}, {version}"
            );
        }
        // Who does not know the certificate does not go on.
        let url = format!("-sS --noproxy * https://localhost:{port}/large");
        assert_eq!(
            client("curl", &url, &["-o", text(&got)], "").status,
            Some(60)
        );
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let line =
                format!("s_client -brief -connect 127.0.0.1:{port} {version} -verify_return_error");
            let said = client("openssl", &line, &["-CAfile", text(&certificate)], "Q\n");
            assert_eq!(said.status, Some(0), "{said:?}");
            assert!(
                said.err.contains(name) && said.err.contains("Verification: OK"),
                "{said:?}"
            );
        }
        runs.bespoke(&["stop", "nginx-tls"]).success();
    }
}

#[test]
fn redis_serves_over_tls() {
    plain(&["build", "redis-tls"]).success();
    let folder = scratch("redis-tls");
    let (certificate, key) = certificate(&folder);
    let files = [
        format!("{}=/etc/ssl/server.crt", text(&certificate)),
        format!("{}=/etc/ssl/server.key", text(&key)),
    ];
    let files = files.iter().flat_map(|file| ["--file", file]);
    let files: Vec<&str> = files.collect();
    let options = "-- /etc/redis.conf --port 0 --tls-port 6379 --tls-cert-file /etc/ssl/server.crt \
                   --tls-key-file /etc/ssl/server.key --tls-ca-cert-file /etc/ssl/server.crt";
    for (monitor, clients) in monitors()
        .into_iter()
        .flat_map(|monitor| [(monitor, "no"), (monitor, "yes")])
    {
        let runs = Runs::new(&format!("redis-tls-{monitor}-{clients}"));
        let port = free_port();
        let forward = format!("127.0.0.1:{port}:6379");
        let line = [
            "run",
            "-d",
            "--wait",
            "20",
            "redis-tls",
            "--monitor",
            monitor,
            "-p",
            &forward,
        ];
        let options: Vec<&str> = options.split_whitespace().collect();
        let line = [
            &line[..],
            &files,
            &options,
            &["--tls-auth-clients", clients],
        ]
        .concat();
        runs.bespoke(&line).success();
        let port = port.to_string();
        let base = format!("-h 127.0.0.1 -p {port} --tls");
        let known = ["--cacert", text(&certificate)];
        let own = ["--cert", text(&certificate), "--key", text(&key)];
        let words = [&known[..], if clients == "yes" { &own } else { &[] }].concat();
        let ask = |words: &[&str], input: &str| client("redis-cli", &base, words, input);
        let value = "v".repeat(300_000);
        let said = ask(&[&words[..], &["-x", "SET", "key"]].concat(), &value).success();
        assert_eq!(said, "OK\n", "{monitor}");
        let said = ask(&[&words[..], &["GET", "key"]].concat(), "").success();
        assert_eq!(said.trim_end(), value);
        // Without TLS, and without a certificate where one is asked for, nothing is answered.
        let said = client(
            "redis-cli",
            &format!("-h 127.0.0.1 -p {port} PING"),
            &[],
            "",
        );
        assert!(!said.out.contains("PONG"), "{said:?}");
        if clients == "yes" {
            let said = ask(&[&known[..], &["PING"]].concat(), "");
            assert!(!said.out.contains("PONG"), "{said:?}");
        }
        runs.bespoke(&["stop", "redis-tls"]).success();
    }
}

/// The images without TLS have nothing of it.
#[test]
fn only_the_variants_carry_openssl() {
    let folder = scratch("tls-size");
    let bytes = |app: &str| {
        let image = folder.join(app);
        feed(&mut command(&["build", app, "-o", text(&image)]), "").success();
        fs::metadata(&image).expect("an image").len()
    };
    for (app, variant) in [("nginx", "nginx-tls"), ("redis", "redis-tls")] {
        let (without, with) = (bytes(app), bytes(variant));
        assert!(
            with > without + (1 << 20),
            "{app}: {without}, {variant}: {with}"
        );
    }
}
