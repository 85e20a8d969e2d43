//! Measures a heap's use of memory in a script, so that a test can show
//! that a parameter changes something.
//! It does not compare heaps by time.

use crate::isolate::{VALUES, values_from_child};
use crate::script::Op;
use crate::{Arena, Interpreter, Subject};

/// The counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effect {
    /// Most pages the component held.
    pub peak_pages: u64,
    /// Pages it held after the script.
    pub held_pages: u64,
    /// Pages whose memory went back to the host.
    pub given_back_pages: u64,
    /// Requests that were refused.
    pub refusals: u64,
}

/// Runs `script` on a fresh heap in `bytes` bytes of memory, in its own child process.
///
/// # Panics
///
/// When the heap breaks the contract during the run.
pub fn of<S: Subject>(bytes: usize, script: &[Op]) -> Effect {
    let values: [u64; VALUES] = values_from_child(|| {
        let arena = Arena::new(bytes);
        let mut interpreter = Interpreter::<S>::new(arena);
        script.iter().for_each(|op| interpreter.step(*op));
        let stats = interpreter.subject().stats();
        [
            stats.peak_pages.get(),
            stats.held_pages.get(),
            arena.stats.given_back.get(),
            stats.failures.get(),
        ]
    })
    .unwrap_or_else(|failure| panic!("step {}: {}", failure.step, failure.message));
    let [peak_pages, held_pages, given_back_pages, refusals] = values;
    Effect {
        peak_pages,
        held_pages,
        given_back_pages,
        refusals,
    }
}
