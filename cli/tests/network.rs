//! Ports led in over IPv6 and UDP, and names that the C library looks up: end to end, in network namespaces of
//! these tests' own, so that nothing outside is met. Needs root; says why it skips without.

mod common;
#[path = "../../net/tests/common/ports.rs"]
mod ports;

use common::server::{Client, Server};
use common::{all_monitors, bespoke, command, feed, idle_percent, monitors, scratch, text};
use ports::{connect_from, syns_sent_again};
use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{
    IpAddr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs, UdpSocket,
};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long something may take that takes milliseconds on a machine with nothing else to do.
const LIMIT: Duration = Duration::from_secs(20);
const HEAP: [&str; 2] = ["--heap", "net=tlsf"];

/// Moves this thread, and what it starts, into namespaces of its own: a network whose way out leads nowhere, and mounts.
/// Says why when it may not.
fn own_namespaces() -> bool {
    // SAFETY: changes the namespaces of this thread alone.
    if unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) } != 0 {
        let error = std::io::Error::last_os_error();
        eprintln!("skipped: no namespaces: {error}");
        return false;
    }
    // SAFETY: constant strings; the kernel ignores the arguments that are null.
    let private = unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        libc::mount(
            std::ptr::null(),
            c"/".as_ptr(),
            std::ptr::null(),
            flags,
            std::ptr::null(),
        )
    };
    assert_eq!(private, 0, "mounts of our own");
    for line in [
        "link set lo up",
        "link add out type veth peer name far",
        "link set far up",
        "address add 198.51.100.2/24 dev out",
        "address add 2001:db8:1::2/64 dev out nodad",
        "link set out up",
        "route add default via 198.51.100.1",
        "-6 route add default via 2001:db8:1::1",
    ] {
        ip(line);
    }
    true
}

/// An image that answers as `echo` in apps/threads/sockets.c says; killed when dropped.
struct Echo {
    child: Child,
}

impl Echo {
    fn start(monitor: &str, ports: &[&str]) -> Self {
        let mut line = vec!["run", "threads", "--monitor", monitor];
        line.extend(HEAP);
        line.extend(ports.iter().flat_map(|port| ["-p", port]));
        line.extend(["--", "echo"]);
        let child = command(&line).stdin(Stdio::null()).spawn();
        let child = child.expect("the command starts");
        Self { child }
    }

    fn assert_lives(&mut self) {
        let ended = self.child.try_wait().expect("our child");
        assert_eq!(ended, None, "the image has ended");
    }

    /// The answer to `word` over TCP; asked until the image listens.
    fn ask_stream(&mut self, to: SocketAddr, word: &[u8]) -> Vec<u8> {
        let start = Instant::now();
        loop {
            self.assert_lives();
            let mut answer = Vec::new();
            if let Ok(mut stream) = TcpStream::connect(to) {
                stream.set_read_timeout(Some(LIMIT)).expect("a limit");
                stream.set_write_timeout(Some(LIMIT)).expect("a limit");
                let asked = stream
                    .write_all(word)
                    .and_then(|()| stream.read_to_end(&mut answer));
                if asked.is_ok() && !answer.is_empty() {
                    return answer;
                }
            }
            assert!(start.elapsed() < LIMIT, "{to} never answers");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The answer to `word` over UDP; asked again when it is lost, as datagrams may be.
    fn ask_datagram(&mut self, to: SocketAddr, word: &[u8]) -> Vec<u8> {
        let any: IpAddr = if to.is_ipv4() {
            [0; 4].into()
        } else {
            [0u16; 8].into()
        };
        let socket = UdpSocket::bind((any, 0)).expect("a socket");
        let patience = Duration::from_millis(500);
        socket.set_read_timeout(Some(patience)).expect("a limit");
        socket.connect(to).expect("a peer");
        let start = Instant::now();
        let mut answer = vec![0; 1 << 16];
        loop {
            self.assert_lives();
            // What was refused while the image started is reported here.
            let asked = socket.send(word).and_then(|_| socket.recv(&mut answer));
            match asked {
                Ok(bytes) => {
                    answer.truncate(bytes);
                    return answer;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    thread::sleep(Duration::from_millis(10));
                }
                Err(_) => {}
            }
            assert!(start.elapsed() < LIMIT, "{to} never answers");
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ports_lead_in_over_both_protocols_and_both_families() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    if !own_namespaces() {
        return;
    }
    let large: Vec<u8> = (0..16_000u32).map(|at| (at * 7) as u8).collect();
    for monitor in monitors() {
        let ports = [
            "127.0.0.1:7001:7",
            "[::1]:7005:7",
            "0.0.0.0:7006:7",
            "[::]:7006:7",
            "0.0.0.0:7002:7/udp",
            "7007:7",
            "7007:7/udp",
            "[::]:7003:7/udp",
        ];
        let mut image = Echo::start(monitor, &ports);
        let at = |address: &str| address.parse::<SocketAddr>().expect("an address");
        assert_eq!(
            image.ask_stream(at("127.0.0.1:7001"), b"one"),
            b"t4one",
            "{monitor}"
        );
        let answer = image.ask_stream(at("[::1]:7005"), b"two");
        assert_eq!(answer, b"t6two", "{monitor}");
        let answer = image.ask_stream(at("[2001:db8:1::2]:7006"), b"both");
        assert_eq!(answer, b"t6both", "{monitor}");
        let answer = image.ask_stream(at("198.51.100.2:7006"), b"both");
        assert_eq!(answer, b"t4both", "{monitor}");
        // From another address than loopback's, and to a port without an address.
        assert_eq!(
            image.ask_datagram(at("198.51.100.2:7002"), b"three"),
            b"u4three"
        );
        assert_eq!(image.ask_datagram(at("127.0.0.1:7002"), b""), b"u4");
        let answer = image.ask_datagram(at("127.0.0.1:7002"), &large);
        assert_eq!(answer, [&b"u4"[..], &large].concat(), "{monitor}");
        assert_eq!(
            image.ask_datagram(at("[::1]:7003"), b"four"),
            b"u6four",
            "{monitor}"
        );
        assert_eq!(
            image.ask_datagram(at("[2001:db8:1::2]:7003"), b"five"),
            b"u6five"
        );
        // Without an address a port is this machine's alone, and the image is met by IPv4.
        for address in ["127.0.0.1:7007", "[::1]:7007"] {
            assert_eq!(image.ask_stream(at(address), b"near"), b"t4near");
            assert_eq!(image.ask_datagram(at(address), b"near"), b"u4near");
        }
        for address in ["198.51.100.2:7007", "[2001:db8:1::2]:7007"] {
            let refused = TcpStream::connect(at(address)).expect_err("a closed port");
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{address}");
        }
        // What was not led in is not there.
        assert!(TcpStream::connect(at("[::1]:7002")).is_err());
        assert!(TcpStream::connect(at("198.51.100.2:7001")).is_err());
        // The answer to this may be lost with the image, and so may the word itself.
        let start = Instant::now();
        let socket = UdpSocket::bind("[::1]:0").expect("a socket");
        let ended = loop {
            let _ = socket.send_to(b"end", at("[::1]:7003"));
            thread::sleep(Duration::from_millis(20));
            if let Some(ended) = image.child.try_wait().expect("our child") {
                break ended;
            }
            assert!(start.elapsed() < LIMIT, "it does not end");
        };
        assert_eq!(ended.code(), Some(0), "{monitor}");
    }
}

/// Connects to an image that starts up, which `case` names when nobody listens in time.
fn connect_when_up(to: impl ToSocketAddrs, case: &str) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(&to) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed() < LIMIT, "{case}: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).output();
    let done = done.expect("ip, of iproute2");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "ip {line}: {said}");
}

/// An end for an image, `NAME`, and one for the host with these addresses, `NAME-h`.
fn veth_pair(name: &str, addresses: &[&str]) {
    ip(&format!("link add {name} type veth peer name {name}-h"));
    for address in addresses {
        ip(&format!("address add {address} dev {name}-h nodad"));
    }
    ip(&format!("link set {name} up"));
    ip(&format!("link set {name}-h up"));
}

#[test]
fn a_veth_carries_both_protocols_and_both_families() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    if !own_namespaces() {
        return;
    }
    veth_pair("echo0", &["10.81.0.1/24", "fd81::1/64"]);
    let veth = "veth:echo0,address=10.81.0.2/24,gateway=10.81.0.1,address=fd81::2/64";
    let line = ["run", "threads", "--monitor", "process", "--net", veth];
    let mut line = [&line[..], &HEAP].concat();
    line.extend(["--", "echo"]);
    let child = command(&line).stdin(Stdio::null()).spawn();
    let mut image = Echo {
        child: child.expect("the command starts"),
    };
    let at = |address: &str| address.parse::<SocketAddr>().expect("an address");
    let large = vec![b'x'; 1400];
    for (address, family) in [("10.81.0.2:7", "4"), ("[fd81::2]:7", "6")] {
        let expected =
            |word: &[u8], kind: &str| [kind.as_bytes(), family.as_bytes(), word].concat();
        let to = at(address);
        assert_eq!(image.ask_stream(to, b"one"), expected(b"one", "t"));
        assert_eq!(image.ask_stream(to, &large), expected(&large, "t"));
        assert_eq!(image.ask_datagram(to, b""), expected(b"", "u"));
        assert_eq!(image.ask_datagram(to, &large), expected(&large, "u"));
    }
    // One image for a pair: both would answer.
    let second = bespoke(&line).failure(125);
    assert!(second.contains("serves another image"), "{second}");
}

#[test]
fn a_veth_carries_large_values_and_lets_the_image_sleep_until_its_link_is_gone() {
    bespoke(&["build", "redis"]).success();
    if !own_namespaces() {
        return;
    }
    veth_pair("large0", &["10.81.1.1/24"]);
    let veth = "veth:large0,address=10.81.1.2/24,gateway=10.81.1.1";
    let line = ["run", "redis", "--monitor", "process", "--net", veth];
    let child = command(&line)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn();
    let mut serving = Serving(child.expect("the command starts"));
    let mut client = Client::new(connect_when_up("10.81.1.2:6379", "veth"));
    // Merged segments of up to 64 KiB, both ways, and more of them than the ring has slots.
    let value: Vec<u8> = (0..1u32 << 20).map(|at| ((at * 7) >> 3) as u8).collect();
    for turn in 0..64 {
        let key = format!("key:{turn}").into_bytes();
        assert_eq!(client.redis(&[b"SET", &key, &value]), b"+OK");
        assert!(client.redis(&[b"GET", &key]) == value, "turn {turn}");
    }
    let pid = serving.0.id();
    let idle = idle_percent(pid);
    assert!(idle < 2.0, "{idle} % of a core without work");
    assert_eq!(client.redis(&[b"DEL", b"key:0"]), b":1");
    // Down and up again: the connection lives on.
    ip("link set large0 down");
    let idle = idle_percent(pid);
    assert!(idle < 2.0, "{idle} % of a core while the link is down");
    ip("link set large0 up");
    assert_eq!(client.redis(&[b"DEL", b"key:1"]), b":1");
    ip("link del large0-h");
    let idle = idle_percent(pid);
    assert!(idle < 2.0, "{idle} % of a core without a link");
    assert_eq!(serving.0.try_wait().expect("our child"), None);
}

#[test]
fn an_end_of_a_pair_that_does_not_fit_is_refused_with_what_to_do() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    if !own_namespaces() {
        return;
    }
    veth_pair("fit0", &["10.81.2.1/24"]);
    veth_pair("down0", &[]);
    ip("link set down0 down");
    ip("link set fit0 address 02:00:00:00:00:05");
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    for (monitor, network, words) in [
        ("process", "veth:none0", "ip link add none0 type veth"),
        ("process", "veth:lo", "not an end of a veth pair"),
        ("process", "veth:fit0-h", "an address of the host"),
        ("process", "veth:down0", "ip link set down0 up"),
        ("process", "veth:fit0,mac=02:00:00:00:00:05", "mac="),
        ("kvm", "veth:fit0", "--monitor process"),
        ("firecracker", "veth:fit0", "--monitor process"),
        ("qemu", "veth:fit0", "--monitor process"),
    ] {
        let line = ["run", "threads", "--monitor", monitor, "--net", network];
        let error = bespoke(&[&line[..], &HEAP].concat()).failure(125);
        let name = &network[5..network.find(',').unwrap_or(network.len())];
        assert!(
            error.contains(words) && error.contains(name) && error.lines().count() == 1,
            "{network} on {monitor}: {error}"
        );
    }
    // Without the right, which root may give up.
    let line = [
        "run",
        "threads",
        "--monitor",
        "process",
        "--net",
        "veth:fit0",
    ];
    let plain = command(&[&line[..], &HEAP].concat());
    let mut poor = Command::new("setpriv");
    poor.args(["--bounding-set", "-net_raw", "--inh-caps", "-net_raw"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .envs(
            plain
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        );
    let error = feed(&mut poor, "").failure(125);
    assert!(error.contains("CAP_NET_RAW"), "{error}");
}

/// One answer of a name server (RFC 1035, 4.1) that knows a few names.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    const HEADER_BYTES: usize = 12;
    const ADDRESS: u16 = 1;
    const ADDRESS6: u16 = 28;
    let name_bytes = question
        .get(HEADER_BYTES..)?
        .iter()
        .position(|byte| *byte == 0)?
        + 1;
    let asked = question.get(HEADER_BYTES..HEADER_BYTES + name_bytes + 4)?;
    let kind = u16::from_be_bytes([asked[name_bytes], asked[name_bytes + 1]]);
    let first = asked.get(1..1 + usize::from(asked[0]))?;
    let data: &[u8] = match (first, kind) {
        (b"four" | b"both", ADDRESS) => &[192, 0, 2, 7],
        (b"six" | b"both", ADDRESS6) => &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
        _ => &[],
    };
    let is_known = matches!(first, b"four" | b"six" | b"both");
    let mut reply = question[..2].to_vec();
    // An answer, recursion asked for and done; the name is unknown.
    reply.extend([0x81, 0x80 | if is_known { 0 } else { 3 }]);
    reply.extend([0, 1, 0, u8::from(!data.is_empty()), 0, 0, 0, 0]);
    reply.extend(asked);
    if !data.is_empty() {
        // The name of the question, its type, the Internet, for a minute.
        reply.extend([0xc0, HEADER_BYTES as u8, 0, kind as u8, 0, 1, 0, 0, 0, 60]);
        reply.extend((data.len() as u16).to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}

/// Serves names on the loopback address of this thread's network for as long as the test runs.
fn serve_names(address: &str) {
    let socket = UdpSocket::bind((address, 53)).expect("the port of names");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((bytes, from)) = socket.recv_from(&mut question) {
            if let Some(reply) = answer(&question[..bytes]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
}

/// Has this thread, and what it starts, find its name server at `address`.
fn use_names_of(address: &str, folder: &Path) {
    let file = folder.join("resolv.conf");
    fs::write(&file, format!("nameserver {address}\n")).expect("a file");
    let file = CString::new(text(&file)).expect("no zero");
    let (target, none) = (c"/etc/resolv.conf".as_ptr(), std::ptr::null());
    // SAFETY: strings that end in zero; the other arguments mean nothing for a bind mount.
    let bound = unsafe { libc::mount(file.as_ptr(), target, none, libc::MS_BIND, none.cast()) };
    assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
}

const FOUND: &str = "four.test: found 192.0.2.7\n\
    six.test: found 2001:db8::7\n\
    both.test: found 192.0.2.7 2001:db8::7\n\
    absent.test: Name does not resolve\n\
    names: right\n";

#[test]
fn names_are_looked_up_through_the_relay_at_the_servers_of_the_host() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    if !own_namespaces() {
        return;
    }
    serve_names("127.0.0.1");
    use_names_of("127.0.0.1", &scratch("names"));
    for monitor in monitors() {
        let mut line = vec![
            "run",
            "threads",
            "--monitor",
            monitor,
            "-p",
            "127.0.0.1:7004:7",
        ];
        line.extend(HEAP);
        line.extend(["--", "names"]);
        let told = feed(&mut command(&line), "").success();
        assert_eq!(told, FOUND, "{monitor}");
    }
}

/// Answers one connection and one datagram at the returned port in capital letters.
fn serve_capitals() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("the same port");
    thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut word = Vec::new();
        client.read_to_end(&mut word).expect("a word and an end");
        client.write_all(&word.to_ascii_uppercase()).expect("room");
    });
    thread::spawn(move || {
        let mut word = [0; 64];
        let (bytes, from) = datagrams.recv_from(&mut word).expect("a datagram");
        let answer = word[..bytes].to_ascii_uppercase();
        datagrams.send_to(&answer, from).expect("room");
    });
    port
}

#[test]
fn an_image_connects_outwards_without_a_port_led_in() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    for monitor in all_monitors() {
        let variable = format!("PORT={}", serve_capitals());
        let mut line = vec!["run", "threads", "--monitor", monitor];
        line.extend(["--net", "outbound", "--env", &variable]);
        line.extend(HEAP);
        line.extend(["--", "reach"]);
        let told = feed(&mut command(&line), "").success();
        assert_eq!(told, "reach: right\n", "{monitor}");
    }
    // Without the switch there is no way out.
    let mut line = vec!["run", "threads", "--env", "PORT=1"];
    line.extend(HEAP);
    line.extend(["--", "reach"]);
    assert_eq!(feed(&mut command(&line), "").status, Some(1));
}

#[test]
fn names_are_looked_up_over_a_tap_at_the_server_that_was_given() {
    bespoke(&[&["build", "threads"][..], &HEAP].concat()).success();
    if !own_namespaces() {
        return;
    }
    serve_names("0.0.0.0");
    for monitor in monitors() {
        let tap = "tap:names0,address=10.78.0.2/24,gateway=10.78.0.1,dns=10.78.0.1";
        let mut line = vec!["run", "threads", "--monitor", monitor, "--net", tap];
        line.extend(HEAP);
        line.extend(["--", "names"]);
        let told = feed(&mut command(&line), "").success();
        assert_eq!(told, FOUND, "{monitor}");
    }
}

/// A server killed when dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// nginx closes first, so that each connection leaves its side in TIME_WAIT: one port again and again, then more ports
/// than records are kept of them.
#[test]
fn nginx_serves_short_connections_without_an_end() {
    bespoke(&["build", "nginx"]).success();
    if !own_namespaces() {
        return;
    }
    fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1").expect("a namespace of our own");
    for (index, monitor) in (0..).zip(monitors()) {
        // A device of each one's own: that of an image that was killed may take a moment to go.
        let to = SocketAddrV4::new([10, 79, index, 2].into(), 80);
        let tap = format!("tap:short{index},address=10.79.{index}.2/24,gateway=10.79.{index}.1");
        let child = command(&["run", "nginx", "--monitor", monitor, "--net", &tap])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let _serving = Serving(child.expect("the command starts"));
        drop(connect_when_up(to, monitor));
        for (count, port) in [(3000, 4000), (6000, 0)] {
            let before = syns_sent_again();
            for index in 0..count {
                let mut stream = connect_from(port, to).expect("it listens");
                let question = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
                stream.write_all(question).expect("an open connection");
                let mut answer = String::new();
                let read = stream.read_to_string(&mut answer);
                assert!(
                    read.is_ok() && answer.starts_with("HTTP/1.1 200 OK\r\n"),
                    "{monitor}, port {port}, {index}: {read:?} {answer}"
                );
            }
            // But for a pause of this machine, each is welcome with its first SYN.
            let again = syns_sent_again() - before;
            assert!(
                again < count / 100,
                "{monitor}, port {port}: {again} SYNs were sent again"
            );
        }
    }
}

/// Data up to the limit, then thirty clients that send values of 1 MiB, three at a time: as much under way as a small
/// image has in all. Those who are too many are disconnected, the others are told, and what was there is still there.
#[test]
fn redis_serves_on_when_values_and_requests_do_not_fit() {
    const CLIENTS: usize = 30;
    let to = SocketAddr::from(([10, 80, 0, 2], 6379));
    let cases = [
        ("64M", "tlsf"),
        ("64M", "mallocng"),
        ("64M", "mimalloc"),
        ("256M", "buddy"),
    ];
    for (_, heap) in cases {
        bespoke(&["build", "redis", "--heap", heap]).success();
    }
    if !own_namespaces() {
        return;
    }
    for (monitor, (memory, heap)) in monitors()
        .into_iter()
        .flat_map(|monitor| cases.map(|case| (monitor, case)))
    {
        // Names of their own, for the one before may still be going.
        let tap = format!(
            "tap:{heap}{},address=10.80.0.2/24,gateway=10.80.0.1",
            &monitor[..1]
        );
        let line = [
            "run",
            "redis",
            "--heap",
            heap,
            "-m",
            memory,
            "--monitor",
            monitor,
            "--net",
            &tap,
        ];
        let child = command(&line)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        let mut serving = Serving(child.expect("the command starts"));
        let mut client = Client::new(connect_when_up(to, &format!("{monitor}, {heap}")));
        // The lengths that Redis refuses before it makes room for them.
        let mut greedy = Client::new(TcpStream::connect(to).expect("it listens"));
        greedy.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$400000000\r\n");
        assert_eq!(greedy.line(), "-ERR Protocol error: invalid bulk length");
        let mut keys = Vec::new();
        for (index, size) in [10, 100_000, 1000, 20_000, 100, 5000]
            .into_iter()
            .cycle()
            .enumerate()
        {
            let key = format!("key:{index}").into_bytes();
            let answer = client.redis(&[b"SET", &key, &vec![b'x'; size]]);
            if answer != b"+OK" {
                assert!(
                    answer.starts_with(b"-OOM"),
                    "{}",
                    String::from_utf8_lossy(&answer)
                );
                break;
            }
            keys.push(key);
        }
        let refused: usize = thread::scope(|scope| {
            let all: Vec<_> = (0..CLIENTS)
                .map(|_| scope.spawn(|| refused_values(to)))
                .collect();
            all.into_iter()
                .map(|one| one.join().expect("a client"))
                .sum()
        });
        let ended = serving.0.try_wait().expect("our child");
        assert_eq!(
            ended, None,
            "{monitor}, {memory}, {heap}: the image has ended"
        );
        assert!(refused > 0, "{monitor}, {memory}, {heap}: nobody is told");
        let mut client = Client::new(TcpStream::connect(to).expect("it listens"));
        client.send(b"PING\r\n");
        assert_eq!(client.line(), "+PONG");
        assert_eq!(client.redis(&[b"GET", &keys[0]]), vec![b'x'; 10]);
        for key in &keys {
            assert_eq!(client.redis(&[b"DEL", key]), b":1");
        }
        assert_eq!(client.redis(&[b"SET", b"new", b"value"]), b"+OK");
        assert_eq!(client.redis(&[b"GET", b"new"]), b"value");
    }
}

/// Sends values of 1 MiB for two seconds, three at a time; how many were refused for want of memory.
fn refused_values(to: SocketAddr) -> usize {
    const TIME: Duration = Duration::from_secs(2);
    let value = [
        b"*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$1048576\r\n",
        &vec![b'y'; 1 << 20][..],
        b"\r\n",
    ]
    .concat();
    let start = Instant::now();
    let mut refused = 0;
    while start.elapsed() < TIME {
        let Ok(mut stream) = TcpStream::connect_timeout(&to, TIME) else {
            continue;
        };
        stream.set_read_timeout(Some(LIMIT)).expect("a limit");
        stream.set_write_timeout(Some(LIMIT)).expect("a limit");
        // Whoever has too much under way is disconnected, and comes again.
        while start.elapsed() < TIME && stream.write_all(&value.repeat(3)).is_ok() {
            let mut answers = BufReader::new(&stream).lines();
            let told = answers.by_ref().take(3).map_while(Result::ok);
            let (mut count, before) = (0, refused);
            for answer in told {
                count += 1;
                refused += usize::from(answer.starts_with("-OOM"));
            }
            if count < 3 || refused == before {
                break;
            }
        }
    }
    refused
}

/// As programs on this machine would see them: servers trust such addresses in their stock configurations.
#[test]
fn clients_of_this_machine_come_from_their_loopback_addresses() {
    let folder = scratch("near");
    let configuration = "daemon off; master_process off; events {} http { access_log off; server { listen 80; \
        location / { allow 127.0.0.1; deny all; try_files /absent @told; } \
        location @told { return 200 \"$remote_addr:$remote_port\"; } } }";
    fs::write(folder.join("nginx.conf"), configuration).expect("a file");
    let file = format!("{}=/near.conf", text(&folder.join("nginx.conf")));
    for monitor in monitors() {
        let line = ["nginx", "--monitor", monitor, "--file", &file];
        let mut server = Server::start(&line, 80, &["-c", "/near.conf"]);
        drop(server.connect("GET / HTTP/1.0\r\n\r\n"));
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("a client");
        let port = stream.local_addr().expect("a name").port();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("room");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let expected = format!("127.0.0.1:{port}");
        assert!(answer.ends_with(&expected), "{monitor}: {answer}");
    }
}

/// A client that has said all it will say gets the whole page, as from Linux, whose send buffers hold it: nginx takes one that has
/// ended its side for gone as soon as it has to wait for room.
#[test]
fn a_client_that_has_ended_its_side_gets_a_whole_page() {
    const BYTES: usize = 1 << 20;
    let folder = scratch("half-closed");
    fs::write(folder.join("page"), vec![b'x'; BYTES]).expect("a file");
    let page = format!("{}=/srv/www/page", text(&folder.join("page")));
    for monitor in monitors() {
        for memory in ["64M", "256M"] {
            let line = ["nginx", "--monitor", monitor, "-m", memory, "--file", &page];
            let mut server = Server::start(&line, 80, &[]);
            drop(server.connect("GET / HTTP/1.0\r\n\r\n"));
            for _ in 0..3 {
                let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("a client");
                stream.set_read_timeout(Some(LIMIT)).expect("a limit");
                stream
                    .write_all(b"GET /page HTTP/1.0\r\n\r\n")
                    .expect("room");
                stream.shutdown(Shutdown::Write).expect("a connection");
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).expect("an answer");
                assert!(
                    answer.len() > BYTES && answer.ends_with(b"xxxx"),
                    "{monitor}, {memory}: {} bytes",
                    answer.len()
                );
            }
        }
    }
}

/// Beyond what the buffers of a small image have room for, clients are refused at once, the user is told why, and there is room
/// again when others have gone.
#[test]
fn a_small_image_refuses_connections_that_it_cannot_hold() {
    const QUESTION: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    for monitor in monitors() {
        let mut server = Server::start(&["nginx", "--monitor", monitor, "-m", "64M"], 80, &[]);
        drop(server.connect("GET / HTTP/1.0\r\n\r\n"));
        let mut served = Vec::new();
        let refused = loop {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("the relay");
            stream.set_read_timeout(Some(LIMIT)).expect("a limit");
            let mut answer = [0; 15];
            let asked = stream
                .write_all(QUESTION)
                .and_then(|()| stream.read_exact(&mut answer));
            match asked {
                Ok(()) => assert_eq!(&answer, b"HTTP/1.1 200 OK"),
                Err(error) => break error,
            }
            served.push(stream);
            assert!(served.len() < 1100, "{monitor}: nobody is refused");
        };
        // Reset by the image, not given up after a time.
        assert_eq!(refused.kind(), ErrorKind::ConnectionReset, "{monitor}");
        assert!(served.len() > 500, "{monitor}: {} clients", served.len());
        served.clear();
        drop(server.connect("GET / HTTP/1.0\r\n\r\n"));
        server.child.kill().expect("our child");
        let (_, err) = server.said();
        let lines = err.lines().filter(|line| line.contains("was refused"));
        assert_eq!(lines.count(), 1, "{monitor}: {err}");
    }
}
