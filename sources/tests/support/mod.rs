//! A web server on loopback that serves one archive as told, and the archive itself.

use bespoke_sources::{Digest, Source};
use flate2::{Compression, write::GzEncoder};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Text of the only file in [`archive`].
pub(crate) const TEXT: &str = "int main(void) { return 0; }\n";

/// `demo-1.0/main.c` as a `.tar.gz`.
pub(crate) fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(TEXT.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, "demo-1.0/main.c", TEXT.as_bytes())
        .unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

/// A source whose right bytes are `bytes`, found at `upstream`.
pub(crate) fn source(bytes: &[u8], upstream: Option<String>) -> Source {
    Source {
        name: "demo".into(),
        version: "1.0".into(),
        file: "demo-1.0.tar.gz".into(),
        sha256: Digest::of(bytes).unwrap().0,
        bytes: bytes.len() as u64,
        upstream,
        debian: None,
        crate_: None,
    }
}

/// Serves until the test ends; counts requests.
pub(crate) struct Server {
    pub url: String,
    pub requests: Arc<AtomicUsize>,
}

impl Server {
    /// Announces `announced` bytes and sends `body`, after `delay`.
    pub(crate) fn start(body: Vec<u8>, announced: usize, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/demo-1.0.tar.gz", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, SeqCst);
                std::thread::sleep(delay);
                answer(stream, &body, announced);
            }
        });
        Self { url, requests }
    }

    /// Serves `body` as it is.
    pub(crate) fn whole(body: Vec<u8>) -> Self {
        let announced = body.len();
        Self::start(body, announced, Duration::ZERO)
    }
}

/// A client that hangs up early is its own affair, so write errors end the answer only.
fn answer(mut stream: TcpStream, body: &[u8], announced: usize) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .for_each(drop);
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {announced}\r\nConnection: close\r\n\r\n");
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
}
