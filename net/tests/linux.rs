//! The stack against Linux's TCP over a TAP device.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod common;
#[path = "common/ports.rs"]
mod ports;

use bespoke_net::{Change, Error, ready};
use bespoke_net::{IntegerOption, IpAddress, IpEndpoint, SocketId};
use common::apps::{Discard, Echo};
use common::{App, GUEST, GUEST6, HOST, TapStack, namespace, run};
use ports::{connect_from, syns_sent_again};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect((address, 7)).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    stream
}

#[test]
fn echoes_over_both_versions_of_ip() {
    for offload in [false, true] {
        let Some(tap) = namespace(offload) else {
            return;
        };
        let server = run(tap, offload, Echo::default());
        for address in [GUEST, GUEST6] {
            let mut stream = connect(address);
            stream.set_nodelay(true).unwrap();
            for round in 0..100_u32 {
                let message = format!("message {round} over {address}");
                stream.write_all(message.as_bytes()).unwrap();
                let mut answer = vec![0; message.len()];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(answer, message.as_bytes());
            }
            stream.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            assert_eq!(stream.read_to_end(&mut rest).unwrap(), 0);
        }
        let echo = server.stop();
        assert_eq!(echo.accepted, 2);
        assert!(echo.connections.is_empty());
    }
}

fn pattern(at: u64) -> u8 {
    (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[test]
fn carries_bulk_both_ways_undamaged() {
    const BYTES: u64 = 100 << 20;
    for offload in [true, false] {
        let Some(tap) = namespace(offload) else {
            return;
        };
        let server = run(tap, offload, Echo::default());
        let mut stream = connect(GUEST);
        let mut writer = stream.try_clone().unwrap();
        let begin = Instant::now();
        let writing = std::thread::spawn(move || {
            let mut sent = 0;
            let mut block = vec![0; 65536];
            while sent < BYTES {
                for (at, byte) in block.iter_mut().enumerate() {
                    *byte = pattern(sent + at as u64);
                }
                writer.write_all(&block).unwrap();
                sent += block.len() as u64;
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = 0;
        let mut block = vec![0; 65536];
        loop {
            let taken = stream.read(&mut block).unwrap();
            if taken == 0 {
                break;
            }
            for (at, byte) in block[..taken].iter().enumerate() {
                assert_eq!(
                    *byte,
                    pattern(received + at as u64),
                    "byte {received} + {at}"
                );
            }
            received += taken as u64;
        }
        writing.join().unwrap();
        assert_eq!(received, BYTES);
        let rate = BYTES as f64 / begin.elapsed().as_secs_f64() / 1e6;
        eprintln!("offload {offload}: {rate:.0} MB/s each way");
        server.stop();
    }
}

#[test]
fn refuses_where_nobody_listens() {
    let Some(tap) = namespace(false) else { return };
    let server = run(tap, false, Echo::default());
    for address in [GUEST, GUEST6] {
        let error = TcpStream::connect((address, 8)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
    server.stop();
}

#[test]
fn reset_by_linux_is_an_error_of_the_reader() {
    let Some(tap) = namespace(false) else { return };
    let app = Discard {
        reads: Arc::new(AtomicBool::new(true)),
        most: 1,
        backlog: 1,
        ..Discard::default()
    };
    let server = run(tap, false, app);
    let stream = TcpStream::connect((GUEST, 9)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    set_linger_zero(&stream);
    drop(stream);
    std::thread::sleep(Duration::from_millis(50));
    let app = server.stop();
    assert_eq!(app.errors.first(), Some(&Error::Reset));
}

fn set_linger_zero(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option has a `struct linger` of this size.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(result, 0);
}

/// Closes each connection at the first byte, having read none.
struct CloseUnread(Option<SocketId>);

impl App for CloseUnread {
    fn start(&mut self, stack: &mut TapStack) {
        let listener = stack.stream(false).unwrap();
        let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 9);
        stack.bind(listener, any).unwrap();
        stack.listen(listener, 4).unwrap();
        self.0 = Some(listener);
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.0 {
            while stack.accept(change.socket).is_ok() {}
        } else if change.ready & ready::IN != 0 {
            stack.close(change.socket).unwrap();
        }
    }
}

#[test]
fn closing_with_unread_data_resets() {
    let Some(tap) = namespace(false) else { return };
    let server = run(tap, false, CloseUnread(None));
    let mut stream = TcpStream::connect((GUEST, 9)).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(b"never read").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let error = stream.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.stop();
}

/// Answers the first byte of each connection with more than leaves in one flight, and closes, with
/// input unread.
struct AnswerUnread(Option<SocketId>, Arc<AtomicU64>);

impl App for AnswerUnread {
    fn start(&mut self, stack: &mut TapStack) {
        let mut listener = CloseUnread(None);
        listener.start(stack);
        self.0 = listener.0;
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.0 {
            while let Ok(id) = stack.accept(change.socket) {
                let mask = stack.readiness(id).unwrap();
                self.answer(stack, id, mask);
            }
        } else {
            self.answer(stack, change.socket, change.ready);
        }
    }
}

impl AnswerUnread {
    fn answer(&mut self, stack: &mut TapStack, id: SocketId, mask: u32) {
        if mask & ready::IN != 0 {
            let queued = stack.send(id, &[b'r'; 1 << 20], false).unwrap();
            self.1.store(queued as u64, Relaxed);
            stack.close(id).unwrap();
        }
    }
}

#[test]
fn a_reply_arrives_before_the_reset_of_unread_data() {
    for offload in [false, true] {
        let Some(tap) = namespace(offload) else {
            return;
        };
        let queued = Arc::new(AtomicU64::new(0));
        let server = run(tap, offload, AnswerUnread(None, queued.clone()));
        for _ in 0..50 {
            let mut stream = TcpStream::connect((GUEST, 9)).unwrap();
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            stream.write_all(&[b'q'; 3000]).unwrap();
            let mut reply = Vec::new();
            let end = stream.read_to_end(&mut reply).unwrap_err();
            assert_eq!(end.kind(), ErrorKind::ConnectionReset);
            assert_eq!(reply.len() as u64, queued.load(Relaxed));
        }
        server.stop();
    }
}

#[test]
fn a_closed_window_opens_again() {
    let Some(tap) = namespace(true) else { return };
    let app = Discard {
        most: 1,
        backlog: 1,
        ..Discard::default()
    };
    let (reads, taken) = (app.reads.clone(), app.taken.clone());
    let server = run(tap, true, app);
    let mut stream = TcpStream::connect((GUEST, 9)).unwrap();
    stream
        .set_write_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    // Until both buffers are full.
    let block = [7; 65536];
    let mut sent = 0;
    while let Ok(written) = stream.write(&block) {
        sent += written;
        assert!(sent < 64 << 20, "the window never closes");
    }
    reads.store(true, Relaxed);
    let end = Instant::now() + Duration::from_secs(20);
    while taken.load(Relaxed) < sent && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(taken.load(Relaxed), sent);
    server.stop();
}

#[test]
fn serves_a_thousand_connections() {
    let Some(tap) = namespace(true) else { return };
    let app = Echo::default();
    let open = app.open.clone();
    let server = run(tap, true, app);
    let mut streams: Vec<TcpStream> = (0..1000).map(|_| connect(GUEST)).collect();
    for round in 0..3_u8 {
        for (index, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&[round, index as u8]).unwrap();
        }
        for (index, stream) in streams.iter_mut().enumerate() {
            let mut answer = [0; 2];
            stream.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [round, index as u8]);
        }
    }
    assert_eq!(open.load(Relaxed), 1000);
    drop(streams);
    // The TAP's queue is shorter than this burst: some ends are sent again.
    let end = Instant::now() + Duration::from_secs(20);
    while open.load(Relaxed) > 0 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let echo = server.stop();
    assert_eq!(echo.accepted, 1000);
    assert!(echo.connections.is_empty());
}

#[test]
fn a_full_backlog_makes_clients_wait_and_no_more() {
    let Some(tap) = namespace(false) else { return };
    let app = Discard {
        most: 0,
        backlog: 2,
        ..Discard::default()
    };
    let server = run(tap, false, app);
    let address = format!("{GUEST}:9").parse().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300));
    let connected: Vec<_> = (0..24).map(|_| connect()).collect();
    let established = connected.iter().filter(|result| result.is_ok()).count();
    // Linux admits backlog + 1.
    assert_eq!(established, 3);
    let waiting = connected.iter().filter_map(|result| result.as_ref().err());
    for error in waiting {
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
    server.stop();
}

#[test]
fn short_connections_from_one_client_do_not_slow_down() {
    const CONNECTIONS: usize = 20_000;
    let Some(tap) = namespace(true) else { return };
    // Every port is used again and again, as a load generator does; and more of them than records are kept.
    std::fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1").unwrap();
    let server = run(tap, true, CloseFirst::default());
    for ports in ["20000 23999", "20000 39999"] {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", ports).unwrap();
        connect_often(CONNECTIONS, || TcpStream::connect((GUEST, 9)));
    }
    server.stop();
}

/// The server's side of the last connection is in TIME_WAIT each time.
#[test]
fn a_fixed_source_port_is_accepted_again_at_once() {
    let Some(tap) = namespace(true) else { return };
    let server = run(tap, true, CloseFirst::default());
    let to = SocketAddrV4::new(GUEST.parse().expect("an address"), 9);
    connect_often(5000, || connect_from(4000, to));
    server.stop();
}

/// Short connections, one after the other, all of which are welcome with their first SYN (but for a pause of this machine).
fn connect_often(connections: usize, connect: impl Fn() -> std::io::Result<TcpStream>) {
    let before = syns_sent_again();
    let begin = Instant::now();
    for index in 0..connections {
        let mut stream = connect().unwrap_or_else(|error| panic!("connection {index}: {error}"));
        stream.write_all(b"x").unwrap();
        let mut rest = Vec::new();
        stream
            .read_to_end(&mut rest)
            .unwrap_or_else(|error| panic!("connection {index}: {error}"));
        assert_eq!(rest, b"x");
    }
    let each = begin.elapsed() / connections as u32;
    eprintln!("{each:?} a connection");
    let again = syns_sent_again() - before;
    assert!(again < connections / 100, "{again} SYNs were sent again");
}

/// Answers the first bytes and closes first, so that TIME_WAIT is on this side.
#[derive(Default)]
struct CloseFirst(Option<SocketId>);

impl App for CloseFirst {
    fn start(&mut self, stack: &mut TapStack) {
        let listener = stack.stream(false).unwrap();
        let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 9);
        stack.bind(listener, any).unwrap();
        stack.listen(listener, 511).unwrap();
        self.0 = Some(listener);
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.0 {
            while let Ok(id) = stack.accept(change.socket) {
                self.serve(stack, id);
            }
        } else {
            self.serve(stack, change.socket);
        }
    }
}

impl CloseFirst {
    fn serve(&mut self, stack: &mut TapStack, id: SocketId) {
        let mut buffer = [0; 64];
        if let Ok(taken) = stack.receive(id, &mut buffer, false) {
            stack.send(id, &buffer[..taken], false).unwrap();
            stack.close(id).unwrap();
        }
    }
}

type Outcome = Result<Vec<u8>, Error>;

/// Connects to Linux, sends a line, and reads until the end.
struct Client {
    to: IpEndpoint,
    socket: Option<SocketId>,
    outcome: Arc<Mutex<Option<Outcome>>>,
    received: Vec<u8>,
    sent: bool,
}

impl App for Client {
    fn start(&mut self, stack: &mut TapStack) {
        let id = stack.stream(false).unwrap();
        self.socket = Some(id);
        assert_eq!(stack.connect(id, self.to), Err(Error::InProgress));
        assert_eq!(stack.connect(id, self.to), Err(Error::Already));
        assert_eq!(stack.readiness(id).unwrap(), 0);
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        let id = change.socket;
        if change.ready & ready::ERR != 0 {
            let error = stack.take_error(id).unwrap().unwrap();
            *self.outcome.lock().unwrap() = Some(Err(error));
            return;
        }
        if !self.sent {
            assert_ne!(change.ready & ready::OUT, 0);
            assert_eq!(stack.peer_name(id), Ok(self.to));
            assert_eq!(stack.connect(id, self.to), Err(Error::IsConnected));
            assert_eq!(stack.send(id, b"hello\n", false), Ok(6));
            stack.shutdown(id, false, true).unwrap();
            assert_eq!(stack.send(id, b"more", false), Err(Error::BrokenPipe));
            self.sent = true;
        }
        let mut buffer = [0; 64];
        while let Ok(taken) = stack.receive(id, &mut buffer, false) {
            if taken == 0 {
                let received = std::mem::take(&mut self.received);
                *self.outcome.lock().unwrap() = Some(Ok(received));
                return;
            }
            self.received.extend_from_slice(&buffer[..taken]);
        }
    }
}

fn run_client(port: u16, peer: impl FnOnce() + Send + 'static) -> Option<Outcome> {
    let tap = namespace(false)?;
    let outcome = Arc::new(Mutex::new(None));
    let host = HOST.parse().unwrap();
    let app = Client {
        to: IpEndpoint::new(IpAddress::Ipv4(host), port),
        socket: None,
        outcome: outcome.clone(),
        received: Vec::new(),
        sent: false,
    };
    let (bound, wait) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        let listener = TcpListener::bind((HOST, 70)).unwrap();
        bound.send(()).unwrap();
        if port == 70 {
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            stream.read_to_string(&mut line).unwrap();
            assert_eq!(line, "hello\n");
            stream.write_all(b"half closed").unwrap();
        }
        peer();
    });
    wait.recv().unwrap();
    let client = run(tap, false, app);
    let end = Instant::now() + Duration::from_secs(10);
    while outcome.lock().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    client.stop();
    peer.join().unwrap();
    outcome
        .lock()
        .unwrap()
        .take()
        .or(Some(Err(Error::TimedOut)))
}

#[test]
fn connects_and_reads_on_after_half_closing() {
    if let Some(outcome) = run_client(70, || {}) {
        assert_eq!(outcome, Ok(b"half closed".to_vec()));
    }
}

#[test]
fn a_refused_connection_is_told_so() {
    if let Some(outcome) = run_client(71, || {}) {
        assert_eq!(outcome, Err(Error::Refused));
    }
}

/// Answers datagrams.
struct Datagrams(Arc<AtomicU64>);

impl App for Datagrams {
    fn start(&mut self, stack: &mut TapStack) {
        let id = stack.datagram(true).unwrap();
        let any = IpEndpoint::new(IpAddress::v6(0, 0, 0, 0, 0, 0, 0, 0), 53);
        stack.bind(id, any).unwrap();
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        let mut buffer = [0; 2048];
        while let Ok((taken, whole, from)) = stack.receive_from(change.socket, &mut buffer, false) {
            assert_eq!(taken, whole);
            self.0.fetch_add(1, Relaxed);
            stack
                .send_to(change.socket, &buffer[..taken], from)
                .unwrap();
        }
    }
}

#[test]
fn answers_datagrams_and_says_where_nobody_does() {
    for offload in [false, true] {
        let Some(tap) = namespace(offload) else {
            return;
        };
        let count = Arc::new(AtomicU64::new(0));
        let server = run(tap, offload, Datagrams(count.clone()));
        for (address, own) in [(GUEST, "0.0.0.0:0"), (GUEST6, "[::]:0")] {
            let socket = UdpSocket::bind(own).unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
            socket.connect((address, 53)).unwrap();
            for bytes in [0, 1, 512, 1400] {
                let message = vec![bytes as u8; bytes];
                socket.send(&message).unwrap();
                let mut answer = [0; 2048];
                let taken = socket.recv(&mut answer).unwrap();
                assert_eq!(&answer[..taken], &message[..]);
            }
            socket.connect((address, 54)).unwrap();
            socket.send(b"nobody").unwrap();
            let error = socket.recv(&mut [0; 16]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        assert_eq!(count.load(Relaxed), 8);
        server.stop();
    }
}

#[test]
fn answers_ping() {
    let Some(tap) = namespace(false) else { return };
    let server = run(tap, false, Echo::default());
    for (family, protocol, request, address) in [
        (libc::AF_INET, libc::IPPROTO_ICMP, 8_u8, "10.77.0.2:0"),
        (libc::AF_INET6, libc::IPPROTO_ICMPV6, 128, "[fd77::2]:0"),
    ] {
        // SAFETY: plain calls on a descriptor of our own, with buffers as long as said.
        let socket = unsafe {
            use std::os::fd::FromRawFd;
            let raw = libc::socket(family, libc::SOCK_RAW, protocol);
            assert!(raw >= 0);
            UdpSocket::from_raw_fd(raw)
        };
        socket
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        let mut message = [request, 0, 0, 0, 1, 2, 0, 3, 0xaa, 0xbb];
        if family == libc::AF_INET {
            let sum: u32 = message
                .chunks(2)
                .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
                .sum();
            let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
            message[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        socket.send_to(&message, address).unwrap();
        let answered = (0..20).any(|_| {
            let mut answer = [0; 256];
            let taken = socket.recv(&mut answer).unwrap();
            let answer = &answer[..taken];
            let icmp = if family == libc::AF_INET {
                &answer[20..]
            } else {
                answer
            };
            matches!(icmp[0], 0 | 129) && icmp[4..] == message[4..]
        });
        assert!(answered);
    }
    server.stop();
}

/// Accepts, and asks for keep-alive probes after a second.
struct KeepAlive(Option<SocketId>, Arc<Mutex<Option<Error>>>);

impl App for KeepAlive {
    fn start(&mut self, stack: &mut TapStack) {
        let listener = stack.stream(false).unwrap();
        for (option, value) in [
            (IntegerOption::KeepAlive, 1),
            (IntegerOption::KeepIdle, 1),
            (IntegerOption::KeepInterval, 1),
            (IntegerOption::KeepCount, 2),
        ] {
            stack.set_option(listener, option, value).unwrap();
        }
        let any = IpEndpoint::new(IpAddress::v4(0, 0, 0, 0), 9);
        stack.bind(listener, any).unwrap();
        stack.listen(listener, 4).unwrap();
        self.0 = Some(listener);
    }
    fn change(&mut self, stack: &mut TapStack, change: Change) {
        if Some(change.socket) == self.0 {
            while stack.accept(change.socket).is_ok() {}
        } else if let Some(error) = stack.take_error(change.socket).unwrap() {
            *self.1.lock().unwrap() = Some(error);
        }
    }
}

#[test]
fn keep_alive_tells_a_quiet_peer_from_a_dead_one() {
    let Some(tap) = namespace(false) else { return };
    let seen = Arc::new(Mutex::new(None));
    let server = run(tap, false, KeepAlive(None, seen.clone()));
    let _quiet = TcpStream::connect((GUEST, 9)).unwrap();
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(*seen.lock().unwrap(), None, "a quiet peer answers probes");
    let down = std::process::Command::new("ip")
        .args(["link", "set", "tap0", "down"])
        .status()
        .unwrap();
    assert!(down.success());
    std::thread::sleep(Duration::from_millis(4500));
    assert_eq!(*seen.lock().unwrap(), Some(Error::TimedOut));
    server.stop();
}
