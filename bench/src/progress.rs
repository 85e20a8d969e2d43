//! Progress of long measurements on standard error: what runs, how far, how long still.
//! Owns nothing but the clock; prints one rewritten line on a terminal, else a line at the beginning and the end.

use crate::notice::say;
use bespoke_monitor::printable;
use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// Progress of one part.
pub struct Progress {
    name: &'static str,
    total: usize,
    taken: usize,
    skipped: usize,
    start: Instant,
    terminal: bool,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Progress {
    /// Begins a part of `total` steps; 0: nobody knows how many.
    pub fn new(name: &'static str, total: usize) -> Self {
        let terminal = stderr().is_terminal();
        if !terminal {
            match total {
                0 => say(name),
                _ => say(&format!("{name}: {total} steps")),
            }
        }
        Self {
            name,
            total,
            taken: 0,
            skipped: 0,
            start: Instant::now(),
            terminal,
        }
    }

    /// What happens now, of a part whose steps are not known beforehand but whose time is.
    pub fn now(&self, what: &str, left: f64) {
        if self.terminal {
            let left = time(left.max(0.0));
            rewrite(&format!(
                "bespoke: {}, at most {left} left: {what}",
                self.name
            ));
        }
    }

    /// The step that begins now is `what`.
    pub fn next(&self, what: &str) {
        if !self.terminal {
            return;
        }
        let done = self.taken + self.skipped;
        let left = match self.taken {
            0 => String::new(),
            taken => {
                let each = self.start.elapsed().as_secs_f64() / taken as f64;
                let seconds = each * self.total.saturating_sub(done) as f64;
                format!(", {} left", time(seconds))
            }
        };
        rewrite(&format!(
            "bespoke: {} {} of {}{left}: {what}",
            self.name,
            done + 1,
            self.total
        ));
    }

    /// One step ended.
    pub fn step(&mut self) {
        self.taken += 1;
    }

    /// One step was not needed.
    pub fn skip(&mut self) {
        self.skipped += 1;
    }
}

/// Writes `text` in the place of what stands on a terminal's line.
fn rewrite(text: &str) {
    let mut terminal = stderr();
    // A terminal that is gone is noticed by whoever prints the result.
    let _ = write!(terminal, "\r\x1b[K{}", printable(text));
    let _ = terminal.flush();
}

/// `45 s`, `12 min`, `1 h 20 min`.
fn time(seconds: f64) -> String {
    let minutes = (seconds / 60.0).ceil() as u64;
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            rewrite("");
        } else {
            say(&format!(
                "{}: {} taken, {} not needed, {}",
                self.name,
                self.taken,
                self.skipped,
                time(self.start.elapsed().as_secs_f64())
            ));
        }
    }
}
