//! How long one client waits for a reply, by its size and by the link: led-in port, TAP, veth, and native over veth and
//! loopback. What one side's TCP waits for the other's shows here as milliseconds, and in no throughput of many clients.
//! Owns nothing; every reply is compared with what it should be.

use crate::Error;
use crate::candidate::Candidate;
use crate::kinds::server::Serving;
use crate::session::Session;
use crate::testbed::namespaces::Over;
use bespoke_monitor::Monitor;
use bespoke_recipe::serve::Protocol;
use bespoke_recipe::workload::{Kind, Workload};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Sizes of replies in KiB.
pub const SIZES_KIB: [usize; 8] = [1, 4, 10, 20, 50, 80, 256, 1024];
/// Replies of each size, and the first of them that do not count.
const REPLIES: usize = 300;
const FIRST: usize = 10;
/// Kept below nginx's 1,000 requests of a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one link came to.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// `port`, `tap`, `veth` or `loopback`.
    pub link: &'static str,
    /// What ran the image; `native` for the native program.
    pub monitor: &'static str,
    /// A value for each of [`SIZES_KIB`], or why there is none.
    pub replies: Vec<Reply>,
}

/// Replies of one size.
#[derive(Clone, Debug, Serialize)]
pub struct Reply {
    /// Size in KiB.
    pub kib: usize,
    /// Median of the times from request to whole reply, in milliseconds.
    pub median_ms: f64,
    /// Their 99th percentile.
    pub p99_ms: f64,
}

/// Measures the app with `image`, and the native program, over every link that either has.
///
/// # Errors
///
/// [`Error::Usage`] for an app that serves nothing; those of servers that do not serve.
pub fn measure(session: &Session, image: &Candidate) -> Result<Vec<Link>, Error> {
    let workload = session.app.workloads.iter();
    let workload = workload
        .into_iter()
        .find(|workload| matches!(workload.kind, Kind::Server(_)));
    let (Some(workload), Some(service)) = (workload, &session.service) else {
        let app = &session.app.name;
        return Err(Error::Usage(format!(
            "{app} is not a server whose replies can be measured"
        )));
    };
    let files = match service.protocol {
        Protocol::Redis => BTreeMap::new(),
        Protocol::Http => pages(),
    };
    let native = Candidate::native();
    let mut links = vec![
        (&native, Over::Loopback),
        (&native, Over::Veth),
        (image, Over::Port),
        (image, Over::Tap),
    ];
    if session.monitor == Monitor::Process {
        links.push((image, Over::Veth));
    }
    let mut measured = Vec::new();
    for (candidate, over) in links {
        session.build(candidate, workload, &[])?;
        let replies = one(session, candidate, workload, &files, over)?;
        measured.push(Link {
            link: match over {
                Over::Veth => "veth",
                Over::Tap => "tap",
                Over::Port => "port",
                Over::Loopback => "loopback",
            },
            monitor: if candidate.kind == native.kind {
                "native"
            } else {
                session.monitor.name()
            },
            replies,
        });
    }
    Ok(measured)
}

/// The pages, by their guest paths, and what prints them.
fn pages() -> BTreeMap<String, Vec<String>> {
    let page = |kib: &usize| {
        let script = format!("head -c {} /dev/zero | tr '\\0' r", kib << 10);
        let command = ["sh", "-c", &script].map(String::from);
        (format!("/srv/www/reply-{kib}"), command.into())
    };
    SIZES_KIB.iter().map(page).collect()
}

fn one(
    session: &Session,
    candidate: &Candidate,
    workload: &Workload,
    files: &BTreeMap<String, Vec<String>>,
    over: Over,
) -> Result<Vec<Reply>, Error> {
    let serving = Serving::new(session, candidate, workload, files)?;
    let server = serving.start_over(over, workload.memory_bytes)?;
    let (address, protocol) = (
        server.address,
        session.service.as_ref().map(|service| service.protocol),
    );
    let replies = session.lab()?.as_client(|| {
        let reply = |kib: &usize| ask(address, protocol, *kib);
        SIZES_KIB
            .iter()
            .map(reply)
            .collect::<io::Result<Vec<Reply>>>()
    })?;
    server.stop()?;
    replies.map_err(|error| Error::Workload(format!("{over:?}: {error}")))
}

fn ask(address: SocketAddr, protocol: Option<Protocol>, kib: usize) -> io::Result<Reply> {
    let body = "r".repeat(kib << 10);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; (kib << 10) + 4096];
    let (question, head_end) = match protocol {
        Some(Protocol::Redis) => {
            let head = format!("*3\r\n$3\r\nSET\r\n$5\r\nreply\r\n${}\r\n", body.len());
            stream.write_all(format!("{head}{body}\r\n").as_bytes())?;
            let mut said = [0; 5];
            stream.read_exact(&mut said)?;
            (String::from("GET reply\r\n"), "\r\n")
        }
        _ => (
            format!("GET /reply-{kib} HTTP/1.1\r\nHost: bench\r\n\r\n"),
            "\r\n\r\n",
        ),
    };
    let tail = if head_end.len() == 2 { "\r\n" } else { "" };
    let mut times = Vec::with_capacity(REPLIES);
    for _ in 0..REPLIES {
        let start = Instant::now();
        stream.write_all(question.as_bytes())?;
        let (mut got, mut head) = (0, None);
        while head.is_none_or(|head| got < head + body.len() + tail.len()) {
            match stream.read(&mut answer[got..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                bytes => got += bytes,
            }
            head = head.or_else(|| end_of(&answer[..got.min(4096)], head_end));
        }
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let head = head.unwrap_or_default();
        if got != head + body.len() + tail.len()
            || &answer[head..head + body.len()] != body.as_bytes()
        {
            return Err(io::Error::other(format!(
                "a reply of {kib} KiB is not what it should be"
            )));
        }
    }
    times.drain(..FIRST);
    times.sort_by(f64::total_cmp);
    Ok(Reply {
        kib,
        median_ms: times[times.len() / 2],
        p99_ms: times[times.len() * 99 / 100],
    })
}

fn end_of(answer: &[u8], end: &str) -> Option<usize> {
    let at = answer
        .windows(end.len())
        .position(|bytes| bytes == end.as_bytes());
    at.map(|at| at + end.len())
}
