//! Requests of every kind that a server may meet, and what it says to them. The same choices for every server: they are
//! numbers of a generator.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::Duration;

/// Long enough for a busy machine, and shorter than any patience of a server's.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// Bytes of the pages of the site, by their names.
pub(crate) const PAGES: [(&str, usize); 4] = [
    ("small", 600),
    ("middle", 50 << 10),
    ("large", 256 << 10),
    ("huge", 2 << 20),
];

pub(crate) fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Makes the end of the connection a reset.
fn reset(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the option is a structure of this size, which lives through the call.
    let done = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as u32,
        )
    };
    assert_eq!(done, 0);
}

pub(crate) fn get(page: &str, more: &str) -> String {
    format!("GET /{page} HTTP/1.1\r\nHost: test\r\n{more}\r\n")
}

/// Sends `question`; what comes until the connection ends, without what differs between two servers.
fn ask(to: SocketAddr, question: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = connect(to)?;
    stream.write_all(question)?;
    read_all(&mut stream)
}

fn read_all(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        // A server that has said everything may reset a client that has not.
        Err(error) if answer.is_empty() || error.kind() != ErrorKind::ConnectionReset => Err(error),
        _ => Ok(plain(&answer)),
    }
}

/// `answer` without the lines that tell times.
fn plain(answer: &[u8]) -> Vec<u8> {
    let told = [&b"Date: "[..], b"Last-Modified: ", b"ETag: "];
    let lines = answer.split_inclusive(|byte| *byte == b'\n');
    lines
        .filter(|line| !told.iter().any(|start| line.starts_with(start)))
        .flatten()
        .copied()
        .collect()
}

pub(crate) fn fetch(to: SocketAddr, page: &str) -> std::io::Result<Vec<u8>> {
    ask(to, get(page, "Connection: close\r\n").as_bytes())
}

/// Numbers that are the same in every run (Knuth's generator, as in MMIX).
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn page(&mut self) -> &'static str {
        PAGES[self.below(PAGES.len() - 1)].0
    }
}

/// How many kinds `request` knows.
pub(crate) const KINDS: usize = 16;

/// One request of a kind, with its choices from `numbers`; what the server said to it that both servers must say.
pub(crate) fn request(
    to: SocketAddr,
    kind: usize,
    numbers: &mut Numbers,
) -> std::io::Result<Vec<u8>> {
    let close = "Connection: close\r\n";
    let long = format!("{}{}", numbers.below(10), "a".repeat(15_000));
    match kind {
        0 => fetch(to, numbers.page()),
        // Answered before it was read; the client reads what comes first and closes.
        1 | 2 => {
            let mut stream = connect(to)?;
            stream.write_all(get(&long, "").as_bytes())?;
            let mut first = [0; 12];
            stream.read_exact(&mut first)?;
            Ok(first.into())
        }
        3 => ask(to, get(&long, "").as_bytes()),
        4 => {
            let pages: String = (0..8).map(|_| get(numbers.page(), "")).collect();
            ask(to, format!("{pages}{}", get("none", close)).as_bytes())
        }
        5 => {
            let mut stream = connect(to)?;
            // What the server's socket takes at once: of more nginx sends the rest only to who has not ended, anywhere.
            stream.write_all(get("small", "").as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            read_all(&mut stream)
        }
        // An upload that ends early, in order or not.
        6 | 7 => {
            let mut stream = connect(to)?;
            let head = "POST /small HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n";
            stream.write_all(head.as_bytes())?;
            // The server may have ended it already.
            let _ = stream.write_all(&vec![b'u'; numbers.below(30_000)]);
            if kind == 7 {
                reset(stream);
            }
            Ok(Vec::new())
        }
        8 => {
            let body = "u".repeat(200_000);
            let head = format!(
                "POST /small HTTP/1.1\r\nHost: test\r\n{close}Content-Length: {}\r\n\r\n",
                body.len()
            );
            ask(to, format!("{head}{body}").as_bytes())
        }
        9 => {
            let stream = connect(to)?;
            (&stream).write_all(get("huge", "").as_bytes())?;
            thread::sleep(Duration::from_micros(numbers.below(2000) as u64));
            reset(stream);
            Ok(Vec::new())
        }
        // A slow reader, who is behind by more than all buffers hold.
        10 => {
            let mut stream = connect(to)?;
            stream.write_all(get("large", close).as_bytes())?;
            let (mut answer, mut part) = (Vec::new(), [0; 16 << 10]);
            loop {
                thread::sleep(Duration::from_micros(500));
                match stream.read(&mut part)? {
                    0 => return Ok(plain(&answer)),
                    bytes => answer.extend(&part[..bytes]),
                }
            }
        }
        11 => {
            let stream = connect(to)?;
            if numbers.below(2) == 0 {
                reset(stream);
            }
            Ok(Vec::new())
        }
        12 => {
            let streams = (0..16)
                .map(|_| connect(to))
                .collect::<Result<Vec<_>, _>>()?;
            for mut stream in &streams {
                stream.write_all(get("middle", close).as_bytes())?;
            }
            let mut all = Vec::new();
            for mut stream in streams {
                all.extend(read_all(&mut stream)?);
            }
            Ok(all)
        }
        13 => {
            let start = numbers.below(1000);
            let range = format!(
                "Range: bytes={start}-{}\r\n{close}",
                start + numbers.below(40_000)
            );
            ask(to, get("large", &range).as_bytes())
        }
        14 => ask(to, b"\x01\x02 nothing that HTTP knows\r\n\r\n"),
        // One byte after the other.
        _ => {
            let mut stream = connect(to)?;
            for byte in get("small", close).bytes() {
                stream.write_all(&[byte])?;
            }
            read_all(&mut stream)
        }
    }
}
