//! Runs a case against a heap: each seed in a child, with failures shrunk and reported in full.

use crate::cases::{Case, Memory};
use crate::isolate::{Failure, in_child};
use crate::script::Op;
use crate::shrink::shrink;
use crate::{Arena, Interpreter, Random, Subject};
use bespoke_heap::{Heap, Info};

/// Operations printed with a failure.
const MOST_PRINTED: usize = 40;

/// The heap's description.
pub fn info<S: Subject>() -> Info {
    <S::Heap as Heap>::INFO
}

/// Bytes of the arena for a case; always enough for a few of the heap's smallest pools.
pub fn arena_bytes<S: Subject>(memory: Memory) -> usize {
    let pool = info::<S>().smallest_pool_bytes;
    match memory {
        Memory::Ample => (64 << 20).max(8 * pool),
        Memory::Tight => (8 << 20).max(4 * pool),
    }
}

/// Prints why a case is not run for a heap.
pub fn skip<S: Subject>(case: &str, why: &str) {
    println!(
        "{} ({}), {case}: skipped: {why}",
        info::<S>().name,
        S::INTERFACE
    );
}

/// Runs `case`. The `Err` is a printable message.
///
/// # Errors
///
/// When the heap breaks the contract. The message has the heap, interface, case, seed, step,
/// violation, and the shortest failing script found.
pub fn check<S: Subject>(case: &Case) -> Result<(), String> {
    if case.needs_frees && !info::<S>().capabilities.frees {
        skip::<S>(
            case.name,
            "it reuses freed memory, and this heap never does",
        );
        return Ok(());
    }
    case.seeds.iter().try_for_each(|seed| {
        let bytes = arena_bytes::<S>(case.memory);
        let script = (case.script)(&mut Random::new(*seed), bytes);
        run_script::<S>(bytes, &script)
            .map_err(|failure| explain::<S>(case, *seed, bytes, &script, failure))
    })
}

fn run_script<S: Subject>(bytes: usize, script: &[Op]) -> Result<(), Failure> {
    let script = recoverable::<S>(script);
    in_child(|| Interpreter::<S>::new(Arena::new(bytes)).run(&script))
}

/// The script without its second fillings, for a heap that never frees
/// and so cannot fill memory twice.
fn recoverable<S: Subject>(script: &[Op]) -> Vec<Op> {
    let frees = info::<S>().capabilities.frees;
    script
        .iter()
        .copied()
        .filter(|op| frees || *op != Op::Refill)
        .collect()
}

fn explain<S: Subject>(
    case: &Case,
    seed: u64,
    bytes: usize,
    script: &[Op],
    failure: Failure,
) -> String {
    let place = format!(
        "{} ({}), case {}, seed {seed}, step {}",
        info::<S>().name,
        S::INTERFACE,
        case.name,
        failure.step
    );
    let mut text = format!("{place}: {}", failure.message);
    if failure.message.starts_with("hangs") {
        return text;
    }
    let upto = script.len().min(failure.step as usize + 1);
    let fails = |part: &[Op]| run_script::<S>(bytes, part).is_err();
    let script = if fails(&script[..upto]) {
        &script[..upto]
    } else {
        script
    };
    let short = shrink(script, fails);
    if let Err(failure) = run_script::<S>(bytes, &short) {
        text += &format!(
            "\n  {} operations show it, at step {}: {}",
            short.len(),
            failure.step,
            failure.message
        );
    }
    for op in short.iter().take(MOST_PRINTED) {
        text += &format!("\n    {op:?}");
    }
    text
}

/// Runs `case` as a test.
///
/// # Panics
///
/// With the message of [`check`] when the heap breaks the contract.
pub fn case<S: Subject>(case: &Case) {
    if let Err(message) = check::<S>(case) {
        panic!("{message}");
    }
}

/// Runs `body` in a child as a separate test.
///
/// # Panics
///
/// When the body does.
pub fn body<S: Subject>(name: &str, body: impl FnOnce()) {
    if let Err(failure) = in_child(body) {
        panic!(
            "{} ({}), case {name}, step {}: {}",
            info::<S>().name,
            S::INTERFACE,
            failure.step,
            failure.message
        );
    }
}
