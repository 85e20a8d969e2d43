//! A trace against heaps, natively: which are to be tried, in which order, and what came of it.
//!
//! Owns the order: one run for memory (and one checked, one counted) for each heap, then interleaved, shuffled rounds for
//! time. Must never let a heap that fails stop the others: its failure is its result.

mod against;
mod child;
mod record;

pub use against::{Agreement, against};
pub use record::{HeapRecord, ReplayRecord};

use crate::Error;
use crate::{Progress, Summary};
use bespoke_builder::Builder;
use bespoke_recipe::heap_spec::HeapSpec;
use bespoke_replay::{Answer, Mode, Task};
use child::Program;

/// What is to be replayed.
pub struct Request {
    /// The app that was traced.
    pub app: String,
    /// The workload that was traced, if the user says.
    pub workload: Option<String>,
    /// The trace, an absolute path.
    pub file: String,
    /// Name of the component.
    pub component: String,
    /// Heaps to try.
    pub heaps: Vec<HeapSpec>,
    /// Memory of each, in bytes.
    pub arena_bytes: usize,
    /// Events, at most.
    pub events: u64,
    /// Events whose instructions are counted, at most; 0: none.
    pub counted_events: u64,
    /// Rounds for time.
    pub rounds: u32,
    /// Run under the shadow model, too.
    pub check: bool,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

/// What came of one heap.
pub struct Outcome {
    /// The heap.
    pub heap: HeapSpec,
    /// Why it did not serve the trace to its end.
    pub failure: Option<String>,
    /// The run for memory.
    pub memory: Option<Answer>,
    /// What the shadow model said: `None` when it was not asked.
    pub check: Option<Result<u64, String>>,
    /// Instructions of an operation, with what the replay adds itself.
    pub instructions: Option<f64>,
    /// Cycles of an operation, by round.
    pub cycles: Vec<f64>,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outcome").finish_non_exhaustive()
    }
}

impl Outcome {
    /// Middle and spread of the cycles.
    pub fn summary(&self) -> Option<Summary> {
        Summary::of(&self.cycles)
    }
}

/// Everything that came of a request.
pub struct Results {
    /// By heap, in the order of the request.
    pub outcomes: Vec<Outcome>,
    /// Why no instructions were counted.
    pub uncounted: Option<String>,
}

impl std::fmt::Debug for Results {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").finish_non_exhaustive()
    }
}

/// Does what `request` says.
///
/// # Errors
///
/// When a program cannot be built. What a heap does wrong is in its outcome.
pub fn replay(builder: &Builder, request: &Request) -> Result<Results, Error> {
    let uncounted = match request.counted_events {
        0 => Some("--count-events 0".to_string()),
        _ => child::no_valgrind(),
    };
    let mut programs = Vec::new();
    for &heap in &request.heaps {
        programs.push(Program {
            path: builder.provide_replay(heap)?,
        });
    }
    let counts = uncounted.is_none();
    let each = 1 + usize::from(request.check) + usize::from(counts) + request.rounds as usize;
    let mut progress = Progress::new("replay", each * programs.len());
    let task = |mode, events| Task {
        file: request.file.clone(),
        component: request.component.clone(),
        arena_bytes: request.arena_bytes,
        events,
        mode,
    };
    let mut outcomes = Vec::new();
    for (program, &heap) in programs.iter().zip(&request.heaps) {
        outcomes.push(one(program, heap, request, counts, &task, &mut progress)?);
    }
    for _ in 0..request.rounds {
        let mut order: Vec<usize> = (0..programs.len()).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let outcome = &mut outcomes[index];
            if outcome.failure.is_some() {
                progress.skip();
                continue;
            }
            progress.next(&format!("time of {}", outcome.heap));
            match programs[index].run(&task(Mode::Cycles, request.events))? {
                Ok(answer) => outcome.cycles.push(per_operation(answer.cycles, &answer)),
                Err(failure) => outcome.failure = Some(failure),
            }
            progress.step();
        }
    }
    Ok(Results {
        outcomes,
        uncounted,
    })
}

/// All of a heap that needs no rounds.
fn one(
    program: &Program,
    heap: HeapSpec,
    request: &Request,
    counts: bool,
    task: &impl Fn(Mode, u64) -> Task,
    progress: &mut Progress,
) -> Result<Outcome, Error> {
    progress.next(&format!("memory of {heap}"));
    let memory = program.run(&task(Mode::Memory, request.events))?;
    progress.step();
    let check = if request.check {
        progress.next(&format!("{heap} under the shadow model"));
        let answer = program.run(&task(Mode::Check, request.events))?;
        progress.step();
        Some(answer.map(|answer| answer.operations))
    } else {
        None
    };
    let instructions = if counts {
        progress.next(&format!("instructions of {heap}"));
        let counted = program.count(&task(
            Mode::Count,
            request.counted_events.min(request.events),
        ))?;
        progress.step();
        counted
    } else {
        None
    };
    let (memory, failure) = match memory {
        Ok(answer) => (Some(answer.clone()), answer.failure),
        Err(failure) => (None, Some(failure)),
    };
    Ok(Outcome {
        heap,
        failure,
        memory,
        check,
        instructions,
        cycles: Vec::new(),
    })
}

fn per_operation(count: u64, answer: &Answer) -> f64 {
    count as f64 / answer.operations.max(1) as f64
}
