//! `bespoke bench redis|nginx`: every heap on every figure of a server's image, beside the native
//! server, each side on a core of its own, over a link of the same kind.
//!
//! | file | decides |
//! |---|---|
//! | `lab` | where servers and clients run |
//! | `service` | what a right answer is |
//! | `server` | what a server's run is |
//! | `load` | what loads it, and how it is read |
//! | `figures` | which figures there are |
//! | `print` | how people read them |

mod figures;
mod lab;
mod load;
mod print;
mod server;
mod service;

pub use figures::ServerBench;
pub use print::print;
pub use service::Service;

use super::Figure;
use super::parts::SmallestMemory;
use serde::Serialize;

/// Everything that was measured of a server.
#[derive(Debug, Default, Serialize)]
pub struct Results {
    /// `redis` or `nginx`.
    pub app: &'static str,
    /// `kvm` or `process`.
    pub monitor: &'static str,
    /// Figures of interleaved rounds.
    pub figures: Vec<Figure>,
    /// Smallest memories.
    pub memory: Vec<SmallestMemory>,
    /// 1,000 connections beside 30.
    pub many: Vec<Many>,
    /// The same load again and again on one server.
    pub repeats: Vec<Repeats>,
}

/// Throughput over many connections beside that over a few, of one server.
#[derive(Debug, Serialize)]
pub struct Many {
    /// Heap, or `native`.
    pub name: String,
    /// `SET`, `GET`, `page`.
    pub request: String,
    /// Requests in a second over 30 connections.
    pub few_per_second: f64,
    /// Requests in a second over 1,000 connections.
    pub many_per_second: f64,
}

/// The same load, run after run, on one server.
#[derive(Debug, Serialize)]
pub struct Repeats {
    /// Heap, or `native`.
    pub name: String,
    /// `SET`, `GET`, `page`.
    pub request: String,
    /// Requests in a second, a run each.
    pub per_second: Vec<f64>,
}
