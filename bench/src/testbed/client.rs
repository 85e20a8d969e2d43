//! What is served, and how to tell that it is served right: clients of our own that look at every
//! byte of every answer. Owns nothing; must never take an answer for right without comparing it.

use crate::Error;
use bespoke_recipe::serve::{Protocol, Serve};
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// A server that is measured.
#[derive(Clone, Debug)]
pub struct Service {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its port.
    pub port: u16,
    /// HTTP: the page at `/`.
    pub page: String,
}

/// Keys or requests of [`Service::verify`].
pub(crate) const VERIFIED: usize = 1_000;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a connection may take before the first answer, at first and at last.
const LEAST_PATIENCE: Duration = Duration::from_millis(1);
const MOST_PATIENCE: Duration = Duration::from_millis(50);

impl Service {
    /// What `serve` says, its page read from `folder`.
    pub fn new(serve: &Serve, folder: &Path) -> Result<Self, Error> {
        let page = match &serve.page {
            None => String::new(),
            Some(page) => {
                let path = folder.join(page);
                fs::read_to_string(&path).map_err(Error::file("read", &path))?
            }
        };
        Ok(Self {
            protocol: serve.protocol,
            port: serve.port,
            page,
        })
    }

    /// Asks until the first right answer comes, or for `limit`; `give_up` is asked between
    /// attempts whether there is still somebody to answer.
    pub fn first_answer(
        &self,
        address: SocketAddr,
        limit: Duration,
        give_up: &mut dyn FnMut() -> bool,
    ) -> io::Result<()> {
        let start = Instant::now();
        loop {
            // A link that is there before its image takes what is sent and says nothing. Waiting an eighth of what has passed
            // adds an eighth at most, and is long enough in the end for whatever answers slowly.
            let patience = (start.elapsed() / 8).clamp(LEAST_PATIENCE, MOST_PATIENCE);
            let attempt = Connection::open(address, patience)
                .and_then(|mut connection| self.ask_once(&mut connection));
            match attempt {
                Ok(()) => return Ok(()),
                Err(error) if start.elapsed() > limit || give_up() => return Err(error),
                // Often enough that the wait adds little to what is measured.
                Err(_) => std::thread::sleep(Duration::from_micros(100)),
            }
        }
    }

    /// Answers that came and were right, out of [`VERIFIED`]; the error of the first that was not.
    pub fn verify(&self, address: SocketAddr) -> io::Result<()> {
        match self.protocol {
            Protocol::Redis => {
                let mut connection = Connection::open(address, PATIENCE)?;
                for key in 0..VERIFIED {
                    let value = value(key);
                    let command = format!("SET key:{key} {value}\r\n");
                    connection.exchange(&command, "+OK\r\n")?;
                }
                for key in 0..VERIFIED {
                    let value = value(key);
                    let answer = format!("${}\r\n{value}\r\n", value.len());
                    connection.exchange(&format!("GET key:{key}\r\n"), &answer)?;
                }
                Ok(())
            }
            Protocol::Http => {
                const EACH: usize = 100;
                for _ in 0..VERIFIED / EACH {
                    let mut connection = Connection::open(address, PATIENCE)?;
                    for _ in 0..EACH {
                        self.ask_once(&mut connection)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn ask_once(&self, connection: &mut Connection) -> io::Result<()> {
        match self.protocol {
            Protocol::Redis => connection.exchange("PING\r\n", "+PONG\r\n"),
            Protocol::Http => connection.page("/", &self.page),
        }
    }
}

/// The value of a key: different for each, of different lengths.
fn value(key: usize) -> String {
    format!("{key:08}-").repeat(1 + key % 20)
}

/// A connection to a server, and what came over it beyond the last answer.
struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Connection {
    fn open(address: SocketAddr, patience: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)?;
        stream.set_read_timeout(Some(patience.max(Duration::from_millis(200))))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// Sends `request` and takes exactly `answer`.
    fn exchange(&mut self, request: &str, answer: &str) -> io::Result<()> {
        self.stream.write_all(request.as_bytes())?;
        let came = self.take(answer.len())?;
        if came == answer.as_bytes() {
            return Ok(());
        }
        Err(wrong(request, &came))
    }

    /// Gets `path` over HTTP and takes exactly `body`.
    fn page(&mut self, path: &str, body: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        self.stream.write_all(request.as_bytes())?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1)?);
        }
        let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        if !text.starts_with("http/1.1 200 ") || !text.contains(&length) {
            return Err(wrong(&request, &head));
        }
        let came = self.take(body.len())?;
        if came == body.as_bytes() {
            Ok(())
        } else {
            Err(wrong(&request, &came))
        }
    }

    fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut buffer = [0; 4096];
        while self.rest.len() < bytes {
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.rest.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(self.rest.drain(..bytes).collect())
    }
}

fn wrong(request: &str, came: &[u8]) -> io::Error {
    let (request, came) = (request.trim_end(), String::from_utf8_lossy(came));
    io::Error::other(format!("{request:?} was answered with {came:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    const PAGE: &str = include_str!("../../../apps/nginx/www/index.html");

    fn service(protocol: Protocol) -> Service {
        Service {
            protocol,
            port: 0,
            page: PAGE.into(),
        }
    }

    /// A server that says these things, each after it has heard something.
    fn scripted(answers: Vec<String>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 1024];
            for answer in answers {
                if stream.read(&mut buffer).unwrap_or(0) == 0 {
                    return;
                }
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn only_the_right_answer_is_right() {
        let page = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let ask = |answer: String| {
            let address = scripted(vec![answer]);
            let mut connection = Connection::open(address, PATIENCE).unwrap();
            service(Protocol::Http).ask_once(&mut connection)
        };
        assert!(ask(page(PAGE)).is_ok());
        assert!(ask(page(&PAGE.replace("works", "worsk"))).is_err());
        assert!(ask(page("short")).is_err());
        assert!(ask(page(PAGE).replace("200", "500")).is_err());
        let mut connection =
            Connection::open(scripted(vec!["-LOADING\r\n".into()]), PATIENCE).unwrap();
        assert!(service(Protocol::Redis).ask_once(&mut connection).is_err());
    }

    #[test]
    fn a_value_that_changed_on_the_way_is_noticed() {
        let mut answers = vec!["+OK\r\n".to_string(); VERIFIED];
        answers.push(format!("$9\r\n{}\r\n", value(1).split_at(9).0));
        let error = service(Protocol::Redis)
            .verify(scripted(answers))
            .unwrap_err()
            .to_string();
        assert!(error.contains("GET key:0"), "{error}");
    }

    #[test]
    fn the_page_has_the_length_benchmarks_are_compared_at() {
        assert_eq!(PAGE.len(), 612);
    }
}
