//! Runs a trace under the shadow model, which checks every block
//! for position, overlap and contents.

use crate::{Answer, Kind, Operations};
use bespoke_heap_testkit::{Arena, Expect, Interpreter, Op, Subject};

/// Runs and checks all operations. A violation ends the process with a panic that names it.
pub(crate) fn check<S: Subject>(operations: &Operations, arena_bytes: usize) -> Answer {
    let mut interpreter = Interpreter::<S>::new(Arena::new(arena_bytes));
    for operation in &operations.list {
        let (slot, size) = (operation.slot as usize, operation.size.max(1));
        interpreter.step(match operation.kind {
            Kind::Allocate | Kind::AllocateZeroed => Op::Allocate {
                slot,
                size,
                align: 1 << operation.align_log2,
                zeroed: operation.kind == Kind::AllocateZeroed,
                expect: Expect::Granted,
            },
            Kind::Free => Op::Free { slot },
            Kind::Resize => Op::Resize {
                slot,
                size,
                expect: Expect::Granted,
            },
        });
    }
    interpreter.step(Op::CheckAll);
    Answer {
        operations: operations.list.len() as u64,
        skipped: operations.skipped,
        ..Answer::default()
    }
}
