//! Progress of long measurements on standard error: what runs, how far, how long still.
//! Owns nothing but the clock; prints one rewritten line on a terminal, else a line per part.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// Progress of one part.
pub struct Progress {
    name: &'static str,
    total: usize,
    done: usize,
    start: Instant,
    terminal: bool,
}

impl Progress {
    /// Begins a part of `total` runs.
    pub fn new(name: &'static str, total: usize) -> Self {
        let terminal = stderr().is_terminal();
        if !terminal {
            eprintln!("bespoke bench: {name}: {total} runs");
        }
        Self {
            name,
            total,
            done: 0,
            start: Instant::now(),
            terminal,
        }
    }

    /// One run ended.
    pub fn step(&mut self) {
        self.done += 1;
        if self.terminal {
            let elapsed = self.start.elapsed().as_secs_f64();
            let left = elapsed / self.done as f64 * self.total.saturating_sub(self.done) as f64;
            eprint!(
                "\r\x1b[Kbespoke bench: {}: {} of {}, {left:.0} s left",
                self.name, self.done, self.total
            );
            // A terminal that is gone is noticed by whoever prints the result.
            let _ = stderr().flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        } else {
            eprintln!(
                "bespoke bench: {}: {:.1} s",
                self.name,
                self.start.elapsed().as_secs_f64()
            );
        }
    }
}
