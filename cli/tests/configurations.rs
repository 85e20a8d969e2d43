//! Configurations as packages ship them, given with `--file` and `--root`: users, folders, logs and pid files that are not this
//! project's, and the background that an image does not have.

mod common;

use common::runs::{Runs, free_port};
use common::server::Client;
use common::{bespoke as plain, monitors, scratch, text};
use std::fs;
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::path::Path;

/// The directives that Debian's nginx.conf has, without those of TLS.
const NGINX: &str = "\
user www-data;
worker_processes auto;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
include /etc/nginx/modules-enabled/*.conf;
events {
    worker_connections 768;
}
http {
    sendfile on;
    tcp_nopush on;
    types_hash_max_size 2048;
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    gzip on;
    include /etc/nginx/conf.d/*.conf;
    include /etc/nginx/sites-enabled/*;
}
";

/// Those of its first site.
const SITE: &str = "\
server {
    listen 80 default_server;
    listen [::]:80 default_server;
    root /var/www/html;
    index index.html index.htm index.nginx-debian.html;
    server_name _;
    location / {
        try_files $uri $uri/ =404;
    }
}
";

/// The directives that the nginx.conf of nginx's own packages has.
const UPSTREAM: &str = "\
user nginx;
worker_processes auto;
error_log /var/log/nginx/error.log notice;
pid /var/run/nginx.pid;
events {
    worker_connections 1024;
}
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent';
    access_log /var/log/nginx/access.log main;
    sendfile on;
    keepalive_timeout 65;
    proxy_cache_path /var/cache/nginx/proxy keys_zone=one:1m;
    client_body_temp_path /var/lib/nginx/body;
    include /etc/nginx/conf.d/*.conf;
}
";

/// What Debian's redis.conf sets that concerns more than data.
const REDIS: &str = "\
bind 127.0.0.1 -::1
protected-mode yes
port 6379
tcp-backlog 511
timeout 0
tcp-keepalive 300
daemonize yes
supervised auto
pidfile /run/redis/redis-server.pid
loglevel notice
logfile /var/log/redis/redis-server.log
databases 16
set-proc-title yes
stop-writes-on-bgsave-error yes
dbfilename dump.rdb
dir /var/lib/redis
oom-score-adj no
disable-thp yes
appendonly no
appenddirname appendonlydir
client-output-buffer-limit pubsub 32mb 8mb 60
hz 10
dynamic-hz yes
jemalloc-bg-thread yes
";

fn connect(port: u16) -> Client {
    Client::new(TcpStream::connect(("127.0.0.1", port)).expect("it listens"))
}

/// The address by which this machine would reach others; nothing is sent.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

/// Runs `app` in the background, `given` from the host at the paths of the image.
fn start(runs: &Runs, app: &str, monitor: &str, forward: &str, given: &[(&Path, &str)]) {
    let line = [
        "run",
        "-d",
        "--wait",
        "20",
        app,
        "--monitor",
        monitor,
        "-p",
        forward,
    ];
    let files: Vec<String> = given
        .iter()
        .flat_map(|(host, guest)| match host.is_dir() {
            true => ["--root".into(), format!("{}:{guest}", text(host))],
            false => ["--file".into(), format!("{}={guest}", text(host))],
        })
        .collect();
    let files: Vec<&str> = files.iter().map(String::as_str).collect();
    runs.bespoke(&[&line[..], &files].concat()).success();
}

#[test]
fn nginx_serves_by_the_configurations_of_packages() {
    plain(&["build", "nginx"]).success();
    let folder = scratch("nginx-packages");
    let etc = folder.join("etc-nginx");
    let site = folder.join("html");
    fs::create_dir_all(etc.join("sites-enabled")).expect("a folder");
    fs::create_dir_all(&site).expect("a folder");
    fs::write(etc.join("nginx.conf"), NGINX).expect("a file");
    fs::write(etc.join("sites-enabled/default"), SITE).expect("a file");
    fs::write(site.join("index.nginx-debian.html"), "<p>Debian's</p>").expect("a file");
    let upstream = folder.join("nginx.conf");
    let first = folder.join("default.conf");
    fs::write(&upstream, UPSTREAM).expect("a file");
    fs::write(&first, SITE).expect("a file");
    let debian = [(&*etc, "/etc/nginx"), (&*site, "/var/www/html")];
    let upstream = [
        (&*upstream, "/etc/nginx/nginx.conf"),
        (&*first, "/etc/nginx/conf.d/default.conf"),
        (&*site, "/var/www/html"),
    ];
    for monitor in monitors() {
        for given in [&debian[..], &upstream] {
            let runs = Runs::new(&format!("nginx-packages-{monitor}"));
            let port = free_port();
            start(
                &runs,
                "nginx",
                monitor,
                &format!("127.0.0.1:{port}:80"),
                given,
            );
            let (status, head, body) = connect(port).get("/", "");
            assert_eq!((status, &*body), (200, &b"<p>Debian's</p>"[..]), "{head}");
            assert!(head.contains("content-type: text/html"), "{head}");
            assert_eq!(connect(port).get("/none", "").0, 404);
            runs.bespoke(&["stop", "nginx"]).success();
            // Both logs are the image's output.
            let log = runs.bespoke(&["logs", "nginx"]).success();
            assert!(
                log.contains("\"GET /none HTTP/1.1\" 404"),
                "{monitor}: {log}"
            );
        }
    }
}

#[test]
fn redis_serves_by_the_configuration_of_its_package() {
    plain(&["build", "redis"]).success();
    let folder = scratch("redis-package");
    let conf = folder.join("redis.conf");
    for monitor in monitors() {
        let runs = Runs::new(&format!("redis-package-{monitor}"));
        // Its protection holds: nobody said who may come, so a client must be on this machine.
        fs::write(&conf, REDIS).expect("a file");
        let port = free_port();
        let given = [(&*conf, "/etc/redis.conf")];
        start(
            &runs,
            "redis",
            monitor,
            &format!("0.0.0.0:{port}:6379"),
            &given,
        );
        assert_eq!(connect(port).redis(&[b"PING"]), b"+PONG");
        match own_address() {
            Some(address) => {
                let stream = TcpStream::connect((address, port)).expect("it listens");
                let refused = Client::new(stream).redis(&[b"PING"]);
                let text = String::from_utf8_lossy(&refused);
                assert!(text.starts_with("-DENIED"), "{monitor} {address}: {text}");
            }
            None => eprintln!("SKIPPED: a client from outside: this machine has no route"),
        }
        runs.bespoke(&["stop", "redis"]).success();

        fs::write(&conf, format!("{REDIS}requirepass secret\n")).expect("a file");
        start(
            &runs,
            "redis",
            monitor,
            &format!("127.0.0.1:{port}:6379"),
            &given,
        );
        let mut client = connect(port);
        assert!(client.redis(&[b"GET", b"a"]).starts_with(b"-NOAUTH"));
        assert_eq!(client.redis(&[b"AUTH", b"secret"]), b"+OK");
        assert_eq!(client.redis(&[b"SET", b"a", b"b"]), b"+OK");
        assert_eq!(client.redis(&[b"SAVE"]), b"+OK");
        runs.bespoke(&["stop", "redis"]).success();
        let log = runs.bespoke(&["logs", "redis"]).success();
        assert!(log.contains("DB saved on disk"), "{monitor}: {log}");
    }
}
