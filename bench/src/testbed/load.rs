//! Load from the clients everybody uses, and what they print: `redis-benchmark` and `wrk`.
//! Owns nothing; must never take a load in which a request failed for a measurement.

use crate::Error;
use crate::testbed::namespaces::{Side, Testbed};
use crate::testbed::process::{Cut, Watch, await_end, die_with_us, readers, texts, wait};
use crate::testbed::scratch::Scratch;
use bespoke_recipe::workload::{Client, Load};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// How long a client may take beyond five times what it was to take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Commands of a short run that tells how many make up the time.
const TRIAL: u64 = 50_000;
/// Has wrk print what its own summary leaves out; latencies are in microseconds.
const WRK_SCRIPT: &str = "\
done = function(summary, latency, requests)
  local failed = summary.errors
  print(string.format('bespoke %d %d %d %d %d %d %d', summary.requests, summary.duration,
    failed.connect + failed.read + failed.write + failed.status + failed.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
";

/// A server under load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    /// The number of its process, a child that is not reaped.
    pub process: u32,
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Amount {
    /// For about so long.
    Seconds(u32),
    /// So many requests, as a load before this one; wrk, which counts time alone, goes by the seconds.
    Again(u64, u32),
}

/// What a load came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Requests answered.
    pub requests: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Median, 99th and 99.9th percentile, and longest latency in milliseconds.
    pub latency_ms: [f64; 4],
}

/// A client in its place.
pub(crate) struct Loader<'a> {
    /// Where it runs.
    pub lab: &'a Testbed,
    /// What it does.
    pub load: &'a Load,
    /// The native server, beside which `redis-benchmark` is built.
    pub native: &'a Path,
    /// For its script.
    pub folder: &'a Scratch,
}

impl Loader<'_> {
    /// Loads `server`.
    ///
    /// # Errors
    ///
    /// [`Error::Workload`] when not every request was answered right.
    pub(crate) fn run(&self, server: Target, amount: Amount) -> Result<Rate, Error> {
        match (self.load.client, amount) {
            (Client::Wrk, Amount::Seconds(seconds) | Amount::Again(_, seconds)) => {
                self.wrk(server, seconds)
            }
            (Client::RedisBenchmark, Amount::Again(count, _)) => self.redis(server, count),
            (Client::RedisBenchmark, Amount::Seconds(seconds)) => {
                let trial = self.redis(server, TRIAL)?;
                let rate = trial.requests as f64 / trial.seconds;
                let count = (rate * f64::from(seconds)) as u64;
                self.redis(server, count.max(TRIAL))
            }
        }
    }

    fn redis(&self, server: Target, count: u64) -> Result<Rate, Error> {
        let mut command = Command::new(redis_benchmark(self.native));
        command
            .args(["-h", &server.address.ip().to_string()])
            .args(["-p", &server.address.port().to_string()])
            .args(["-c", &self.load.connections.to_string()])
            .args(["-n", &count.to_string()])
            .args(&self.load.arguments);
        let text = self.output(&mut command, server)?;
        redis(&text).ok_or_else(|| strange(&command, &text))
    }

    fn wrk(&self, server: Target, seconds: u32) -> Result<Rate, Error> {
        let script = self.folder.path("wrk.lua");
        fs::write(&script, WRK_SCRIPT).map_err(Error::file("write", &script))?;
        let mut command = Command::new("wrk");
        command
            .arg("-t1")
            .arg(format!("-c{}", self.load.connections))
            .arg(format!("-d{seconds}s"))
            .arg("-s")
            .arg(script)
            .args(&self.load.arguments)
            .arg(format!("http://{}{}", server.address, self.load.path));
        let text = self.output(&mut command, server)?;
        wrk(&text).ok_or_else(|| strange(&command, &text))
    }

    /// A client waits for ever for a server that is gone, or stuck: it is ended then.
    fn output(&self, command: &mut Command, server: Target) -> Result<String, Error> {
        self.lab.place(command, Side::Client)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        die_with_us(command);
        let mut child = command
            .spawn()
            .map_err(|source| bespoke_builder::Error::NoTool {
                tool: command.get_program().to_string_lossy().into_owned(),
                source,
            })?;
        let readers = readers(&mut child);
        let limit = PATIENCE + Duration::from_secs(u64::from(self.load.seconds)) * 5;
        let watch = Watch::new(child.id(), Some(server.process), limit);
        await_end(&child);
        let cut = watch.end();
        let (status, _) = wait(&child)?;
        let [text, errors] = texts(readers);
        match cut {
            None if status.success() => Ok(text),
            None => Err(strange(command, &format!("{text}{errors}"))),
            Some(Cut::Alone) => Err(Error::Workload("the server ended under the load".into())),
            Some(Cut::TooLate) => Err(Error::Workload(format!(
                "the server stopped answering: the client had not ended after {} s",
                limit.as_secs()
            ))),
        }
    }
}

/// `redis-benchmark` beside the native server.
fn redis_benchmark(server: &Path) -> PathBuf {
    server.with_file_name("redis-benchmark")
}

fn strange(command: &Command, text: &str) -> Error {
    let end: Vec<&str> = text.lines().rev().take(5).collect();
    let end: Vec<&str> = end.into_iter().rev().collect();
    Error::Workload(format!(
        "not every request was answered right: {command:?} says {}",
        end.join(" / ")
    ))
}

/// What `redis-benchmark` prints of its one test; nothing when a reply was an error.
fn redis(text: &str) -> Option<Rate> {
    if text.contains("Error") || text.contains("WARNING") {
        return None;
    }
    // It rewrites its progress with carriage returns.
    let lines = || text.split(['\n', '\r']).map(str::trim);
    let done = lines().find_map(|line| line.split_once(" requests completed in "))?;
    let percentile = |wanted: f64| {
        lines().find_map(|line| {
            let (percent, rest) = line.split_once("% <= ")?;
            let reached: f64 = percent.parse().ok()?;
            // The second list of the kind is by time, not by rank.
            let (latency, count) = rest.split_once(" milliseconds (cumulative count ")?;
            (reached >= wanted && count.ends_with(')')).then_some(latency.parse::<f64>().ok()?)
        })
    };
    let latency_ms = [50.0, 99.0, 99.9, 100.0].map(percentile);
    let requests: u64 = done.0.parse().ok()?;
    // Counted in milliseconds; the seconds of the first line are rounded to hundredths.
    let per_second = lines().find_map(|line| {
        let rest = line.strip_prefix("throughput summary: ")?;
        rest.strip_suffix(" requests per second")?
            .parse::<f64>()
            .ok()
    })?;
    Some(Rate {
        requests,
        seconds: requests as f64 / per_second,
        latency_ms: [
            latency_ms[0]?,
            latency_ms[1]?,
            latency_ms[2]?,
            latency_ms[3]?,
        ],
    })
}

/// What [`WRK_SCRIPT`] prints; nothing when a request failed.
fn wrk(text: &str) -> Option<Rate> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("bespoke "))?;
    let numbers: Vec<f64> = line
        .split(' ')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .ok()?;
    let &[requests, duration, failed, p50, p99, p999, max] = &numbers[..] else {
        return None;
    };
    (failed == 0.0 && requests > 0.0).then_some(Rate {
        requests: requests as u64,
        seconds: duration / 1e6,
        latency_ms: [p50, p99, p999, max].map(|us| us / 1e3),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_benchmark_prints_is_read() {
        let text = "SET: rps=0.0 (overall: nan) avg_msec=nan\r====== SET ======\n  \
            100000 requests completed in 0.25 seconds\n  30 parallel clients\n\n\
            Latency by percentile distribution:\n0.000% <= 0.207 milliseconds (cumulative count 16)\n\
            50.000% <= 0.791 milliseconds (cumulative count 50528)\n\
            98.438% <= 1.2 milliseconds (cumulative count 98528)\n\
            99.219% <= 1.3 milliseconds (cumulative count 99300)\n\
            99.902% <= 1.5 milliseconds (cumulative count 99912)\n\
            100.000% <= 2.063 milliseconds (cumulative count 100000)\n\
            Summary:\n  throughput summary: 400000.00 requests per second\n";
        let rate = redis(text).unwrap();
        assert_eq!((rate.requests, rate.seconds), (100_000, 0.25));
        assert_eq!(rate.latency_ms, [0.791, 1.3, 1.5, 2.063]);
        assert_eq!(redis("Could not connect to Redis\n"), None);
        assert_eq!(redis(&format!("Error from server: OOM\n{text}")), None);
    }

    #[test]
    fn a_run_of_wrk_counts_only_when_every_request_was_answered() {
        let rate = wrk("Running\nbespoke 46123 1000000 0 612 1200 2500 9000\n").unwrap();
        assert_eq!((rate.requests, rate.seconds), (46_123, 1.0));
        assert_eq!(rate.latency_ms, [0.612, 1.2, 2.5, 9.0]);
        assert_eq!(wrk("bespoke 46123 1000000 3 612 1200 2500 9000\n"), None);
        assert_eq!(wrk("bespoke 0 1000000 0 0 0 0 0\n"), None);
        assert_eq!(wrk("unable to connect\n"), None);
    }
}
