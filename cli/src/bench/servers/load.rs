//! Load from the clients everybody uses, and what they print: `redis-benchmark` and `wrk`.
//! Owns nothing; must never take a load in which a request failed for a measurement.

use super::lab::{Lab, Side};
use super::service::Service;
use crate::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Commands in flight on a connection, for Redis.
const PIPELINE: &str = "16";

/// What one kind of request came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Rate {
    /// `SET`, `GET`, `page`.
    pub request: String,
    /// Requests answered in a second.
    pub per_second: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// Latency that one in a hundred exceeds, in milliseconds.
    pub p99_ms: f64,
}

/// Clients of one server.
pub struct Load<'a> {
    /// Where they run.
    pub lab: &'a Lab,
    /// What they ask.
    pub service: Service,
    /// The native `redis-benchmark`.
    pub redis_benchmark: PathBuf,
}

impl Load<'_> {
    /// Kinds of requests that [`Load::run`] measures, in its order.
    pub fn requests(service: Service) -> &'static [&'static str] {
        match service {
            Service::Redis => &["SET", "GET"],
            Service::Nginx => &["page"],
        }
    }

    /// Loads the server over `connections` for about `seconds` with each kind of request.
    pub fn run(
        &self,
        address: SocketAddr,
        connections: u32,
        seconds: u32,
    ) -> Result<Vec<Rate>, Error> {
        match self.service {
            Service::Nginx => Ok(vec![self.wrk(address, connections, seconds)?]),
            Service::Redis => Self::requests(Service::Redis)
                .iter()
                .map(|request| {
                    // It counts requests, not time: a short run tells how many make up the time.
                    let trial = self.redis(address, connections, request, 100_000)?;
                    let count = (trial.per_second * f64::from(seconds)).max(1e5);
                    self.redis(address, connections, request, count as u64)
                })
                .collect(),
        }
    }

    fn redis(
        &self,
        address: SocketAddr,
        connections: u32,
        request: &str,
        count: u64,
    ) -> Result<Rate, Error> {
        let mut command = Command::new(&self.redis_benchmark);
        command
            .args([
                "-h",
                &address.ip().to_string(),
                "-p",
                &address.port().to_string(),
            ])
            .args(["-c", &connections.to_string(), "-P", PIPELINE])
            .args([
                "-n",
                &count.to_string(),
                "-t",
                &request.to_lowercase(),
                "--csv",
            ]);
        let text = self.output(&mut command)?;
        csv(&text, request).ok_or_else(|| strange(&command, &text))
    }

    fn wrk(&self, address: SocketAddr, connections: u32, seconds: u32) -> Result<Rate, Error> {
        let mut command = Command::new("wrk");
        command
            .args(["-t1", "--latency"])
            .arg(format!("-c{connections}"))
            .arg(format!("-d{seconds}s"))
            .arg(format!("http://{address}/"));
        let text = self.output(&mut command)?;
        wrk(&text).ok_or_else(|| strange(&command, &text))
    }

    fn output(&self, command: &mut Command) -> Result<String, Error> {
        self.lab.place(command, Side::Client)?;
        let output = command.output().map_err(|source| Error::NoTool {
            tool: command.get_program().to_string_lossy().into_owned(),
            source,
        })?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            Ok(text)
        } else {
            let errors = String::from_utf8_lossy(&output.stderr);
            Err(strange(command, &format!("{text}{errors}")))
        }
    }
}

/// `redis-benchmark` beside the native server.
pub fn redis_benchmark(server: &Path) -> PathBuf {
    server.with_file_name("redis-benchmark")
}

fn strange(command: &Command, text: &str) -> Error {
    Error::Tool {
        purpose: "load a server".into(),
        status: "not every request was answered right, or the client says something else".into(),
        command: format!("{command:?}"),
        output: text.to_string(),
    }
}

/// The row of `request` in what `redis-benchmark --csv` prints.
fn csv(text: &str, request: &str) -> Option<Rate> {
    let split = |line: &str| -> Vec<String> {
        let cells = line.split(',').map(|cell| cell.trim().trim_matches('"'));
        cells.map(str::to_string).collect()
    };
    let mut lines = text
        .lines()
        .skip_while(|line| !line.starts_with("\"test\""));
    let header = split(lines.next()?);
    let row = lines
        .map(split)
        .find(|row| row.first().is_some_and(|name| name == request))?;
    let cell = |name: &str| -> Option<f64> {
        let column = header.iter().position(|title| title == name)?;
        row.get(column)?.parse().ok()
    };
    Some(Rate {
        request: request.to_string(),
        per_second: cell("rps").filter(|rate| *rate > 0.0)?,
        p50_ms: cell("p50_latency_ms")?,
        p99_ms: cell("p99_latency_ms")?,
    })
}

/// What `wrk --latency` prints; nothing when a request failed.
fn wrk(text: &str) -> Option<Rate> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return None;
    }
    let after = |label: &str| {
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))?;
        line.split_whitespace().next()
    };
    Some(Rate {
        request: "page".into(),
        per_second: after("Requests/sec:")?
            .parse()
            .ok()
            .filter(|rate| *rate > 0.0)?,
        p50_ms: milliseconds(after("50%")?)?,
        p99_ms: milliseconds(after("99%")?)?,
    })
}

/// `612.00us`, `1.20ms`, `2.00s`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3)];
    let (number, scale) = units
        .iter()
        .find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    Some(number.parse::<f64>().ok()? * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_redis_benchmark_is_read_by_the_names_of_its_columns() {
        let text = "\"test\",\"rps\",\"avg_latency_ms\",\"p50_latency_ms\",\"p99_latency_ms\"\n\
                    \"SET\",\"500000.00\",\"0.5\",\"0.4\",\"0.9\"\n";
        let rate = csv(text, "SET").unwrap();
        assert_eq!(
            (rate.per_second, rate.p50_ms, rate.p99_ms),
            (500_000.0, 0.4, 0.9)
        );
        assert_eq!(csv(text, "GET"), None);
        assert_eq!(csv("Could not connect\n", "SET"), None);
    }

    #[test]
    fn a_run_of_wrk_counts_only_when_every_request_was_answered() {
        let text = "  Latency Distribution\n     50%  612.00us\n     75%    1.00ms\n     99%    1.20ms\n\
                    Requests/sec:  46123.45\n";
        let rate = wrk(text).unwrap();
        assert_eq!(
            (rate.per_second, rate.p50_ms, rate.p99_ms),
            (46_123.45, 0.612, 1.2)
        );
        assert_eq!(wrk(&format!("{text}  Non-2xx or 3xx responses: 3\n")), None);
        let errors = "  Socket errors: connect 0, read 3, write 0, timeout 0\n";
        assert_eq!(wrk(&format!("{errors}{text}")), None);
        assert_eq!(milliseconds("2.50s"), Some(2500.0));
        assert_eq!(milliseconds("soon"), None);
    }
}
