//! Servers in images, over ports that are led in, and their clients.

use super::{bespoke, command};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to listen, on a busy machine.
pub(crate) const START_LIMIT: Duration = Duration::from_secs(20);

/// A server in an image, killed when dropped.
pub(crate) struct Server {
    pub child: Child,
    /// On the host's loopback address.
    pub port: u16,
}

impl Server {
    /// Runs `line` with `guest_port` led to a free port of the host's loopback.
    pub(crate) fn start(line: &[&str], guest_port: u16, arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        // The time that an image takes to be built is not the server's.
        let heap = line.iter().skip_while(|word| **word != "--heap").take(2);
        let build: Vec<&str> = ["build", line[0]]
            .into_iter()
            .chain(heap.copied())
            .collect();
        if !line[0].contains('/') {
            bespoke(&build).success();
        }
        let forward = format!("127.0.0.1:{port}:{guest_port}");
        let mut whole = vec!["run", "-p", &forward];
        whole.extend(line);
        if !arguments.is_empty() {
            whole.push("--");
            whole.extend(arguments);
        }
        let child = command(&whole)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        Self { child, port }
    }

    /// A connection, as soon as `hello` gets an answer: the relay accepts before the image listens.
    pub(crate) fn connect(&mut self, hello: &str) -> Client {
        let start = Instant::now();
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                let mut client = Client::new(stream);
                if client.stream.write_all(hello.as_bytes()).is_ok() && client.peek() {
                    return client;
                }
            }
            let ended = self.child.try_wait().expect("our child");
            if ended.is_some() || start.elapsed() > START_LIMIT {
                let _ = self.child.kill();
                let (out, err) = self.said();
                panic!("no answer to {hello:?}; ended: {ended:?}\n{out}\n{err}");
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn said(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        if let Some(mut pipe) = self.child.stdout.take() {
            let _ = pipe.read_to_string(&mut out);
        }
        if let Some(mut pipe) = self.child.stderr.take() {
            let _ = pipe.read_to_string(&mut err);
        }
        (out, err)
    }

    /// Waits until the server has ended by itself; its exit status.
    pub(crate) fn ended(mut self) -> Option<i32> {
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status.code();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One connection.
pub(crate) struct Client {
    pub stream: TcpStream,
    pub reader: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a timeout");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        Self { stream, reader }
    }

    pub(crate) fn peek(&mut self) -> bool {
        self.reader.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server takes it");
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("an answer");
        assert!(line.ends_with("\r\n"), "cut off: {line:?}");
        line.trim_end().to_string()
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).expect("an answer");
        bytes
    }

    /// A Redis command; its answer, the bytes of a bulk string or a status line.
    pub(crate) fn redis(&mut self, words: &[&[u8]]) -> Vec<u8> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend(*word);
            request.extend(b"\r\n");
        }
        self.send(&request);
        let line = self.line();
        match line.strip_prefix('$') {
            Some("-1") | None => line.into_bytes(),
            Some(count) => {
                let bytes = self.bytes(count.parse().expect("a length"));
                assert_eq!(self.bytes(2), b"\r\n");
                bytes
            }
        }
    }

    /// An HTTP request; status, headers in small letters, body.
    pub(crate) fn get(&mut self, path: &str, headers: &str) -> (u16, String, Vec<u8>) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n").as_bytes());
        self.response()
    }

    pub(crate) fn response(&mut self) -> (u16, String, Vec<u8>) {
        let status = self.line();
        let code = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut head = String::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            head += &line.to_ascii_lowercase();
            head.push('\n');
        }
        let field = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().to_string())
        };
        let body = if let Some(length) = field("content-length:") {
            self.bytes(length.parse().expect("a length"))
        } else if field("transfer-encoding:").as_deref() == Some("chunked") {
            self.chunks()
        } else {
            Vec::new()
        };
        (code.unwrap_or_else(|| panic!("{status:?}")), head, body)
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let count = usize::from_str_radix(&self.line(), 16).expect("a chunk");
            body.extend(self.bytes(count));
            assert_eq!(self.line(), "");
            if count == 0 {
                return body;
            }
        }
    }
}
