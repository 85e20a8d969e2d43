//! The adversarial cases. Each is a script generated from a seed, and does not depend on a heap.
//! Sizes are chosen so that every heap that frees can serve them.

use crate::Random;
use crate::script::{Expect, Op, allocate, allocate_aligned, allocate_zeroed, free, resize};

/// Memory a case runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Ample: 64 MiB.
    Ample,
    /// Meant to run out: 8 MiB.
    Tight,
}

/// One adversary.
#[derive(Debug)]
pub struct Case {
    /// Its name, also of its `#[test]`.
    pub name: &'static str,
    /// Memory it runs in.
    pub memory: Memory,
    /// The script needs more memory than there is, unless freed memory is reused.
    pub needs_frees: bool,
    /// The case runs once for each seed.
    pub seeds: &'static [u64],
    /// The script; the second argument is the size of the arena in bytes.
    pub script: fn(&mut Random, usize) -> Vec<Op>,
}

/// All cases.
pub const ALL: &[Case] = &[
    MIXED,
    CHURN,
    ROBSON,
    VECTOR_DOUBLING,
    REALLOC_ONLY,
    OVER_ALIGNED,
    ODD_SIZES,
    PHASES,
    LIFO,
    FIFO,
    EXHAUSTION_SMALL,
    EXHAUSTION_LARGE,
    PRESSURE,
    ABSURD_SIZES,
    ZEROED_AFTER_DIRTY,
    NEIGHBOURS,
    LONG_RUN,
];

const ONCE: &[u64] = &[1];

const fn case(name: &'static str, script: fn(&mut Random, usize) -> Vec<Op>) -> Case {
    Case {
        name,
        memory: Memory::Ample,
        needs_frees: false,
        seeds: ONCE,
        script,
    }
}

/// Everything mixed: sizes over four orders of magnitude, alignments, zeroed, resizes, frees.
pub const MIXED: Case = Case {
    seeds: &[1, 2, 3, 4, 5, 6, 7, 8],
    ..case("mixed", mixed)
};
/// A thousand small blocks in random churn.
pub const CHURN: Case = Case {
    seeds: &[1, 2, 3],
    ..case("churn", churn)
};
/// Sizes double while every other block stays (after Robson 1971): external fragmentation.
pub const ROBSON: Case = case("robson", robson);
/// Two vectors that double in turn, so that neither can stay where it is.
pub const VECTOR_DOUBLING: Case = case("vector_doubling", vector_doubling);
/// Nothing but resizes, up and down.
pub const REALLOC_ONLY: Case = Case {
    seeds: &[1, 2, 3],
    ..case("realloc_only", realloc_only)
};
/// Alignments of 64 bytes, a page and 64 KiB among ordinary blocks.
pub const OVER_ALIGNED: Case = Case {
    seeds: &[1, 2],
    ..case("over_aligned", over_aligned)
};
/// Sizes 8 above a multiple of 16, for which headers and size classes waste most.
pub const ODD_SIZES: Case = case("odd_sizes", odd_sizes);
/// Each phase leaves a tenth of its blocks behind in the way of the next.
pub const PHASES: Case = case("phases", phases);
/// Last in, first out.
pub const LIFO: Case = case("lifo", lifo);
/// First in, first out.
pub const FIFO: Case = case("fifo", fifo);
/// Runs out on small blocks, frees all, and must be able to do it again.
pub const EXHAUSTION_SMALL: Case = Case {
    memory: Memory::Tight,
    ..case("exhaustion_small", exhaustion_small)
};
/// The same with large blocks.
pub const EXHAUSTION_LARGE: Case = Case {
    memory: Memory::Tight,
    ..case("exhaustion_large", exhaustion_large)
};
/// Churn near exhaustion: many requests are refused, and no block may be lost.
pub const PRESSURE: Case = Case {
    memory: Memory::Tight,
    needs_frees: true,
    seeds: &[1, 2, 3],
    ..case("pressure", pressure)
};
/// Requests larger than all memory, up to `usize::MAX`, are refused without harm.
pub const ABSURD_SIZES: Case = case("absurd_sizes", absurd_sizes);
/// Zeroed memory where dirty blocks lay.
pub const ZEROED_AFTER_DIRTY: Case = case("zeroed_after_dirty", zeroed_after_dirty);
/// File pages are taken from the source between the heap's own.
pub const NEIGHBOURS: Case = Case {
    seeds: &[1, 2],
    ..case("neighbours", neighbours)
};
/// Far more is allocated over time than there is memory.
pub const LONG_RUN: Case = Case {
    memory: Memory::Tight,
    needs_frees: true,
    ..case("long_run", long_run)
};

fn mixed(random: &mut Random, _arena: usize) -> Vec<Op> {
    const ALIGNS: [usize; 8] = [1, 8, 8, 16, 16, 16, 32, 64];
    (0..2500)
        .map(|_| {
            let slot = random.below(64);
            match random.below(100) {
                0..45 => {
                    let align = ALIGNS[random.below(ALIGNS.len())];
                    let zeroed = align <= 16 && random.below(4) == 0;
                    Op::Allocate {
                        slot,
                        size: random.size(24 << 10),
                        align,
                        zeroed,
                        expect: Expect::Granted,
                    }
                }
                45..80 => free(slot),
                80..98 => resize(slot, random.size(24 << 10)),
                98 => Op::Trim,
                _ => Op::CheckAll,
            }
        })
        .collect()
}

fn churn(random: &mut Random, _arena: usize) -> Vec<Op> {
    (0..8000)
        .map(|_| match random.below(2) {
            0 => allocate(random.below(1000), random.size(256)),
            _ => free(random.below(1000)),
        })
        .collect()
}

fn robson(_random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = Vec::new();
    for (round, shift) in (4..13).enumerate() {
        let slots = round * 200..(round + 1) * 200;
        script.extend(slots.clone().map(|slot| allocate(slot, 1 << shift)));
        script.extend(slots.step_by(2).map(free));
    }
    script.push(Op::CheckAll);
    script
}

fn vector_doubling(_random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = vec![allocate(0, 16), allocate(1, 24)];
    for shift in 5..20 {
        script.extend([resize(0, 1 << shift), resize(1, (1 << shift) + 8)]);
    }
    script.extend(
        (4..20)
            .rev()
            .flat_map(|shift| [resize(0, 1 << shift), resize(1, 1 << shift)]),
    );
    script
}

fn realloc_only(random: &mut Random, _arena: usize) -> Vec<Op> {
    let first = (0..32).map(|slot| allocate(slot, 100));
    let rest: Vec<Op> = (0..2500)
        .map(|_| resize(random.below(32), random.size(8 << 10)))
        .collect();
    first.chain(rest).collect()
}

fn over_aligned(random: &mut Random, _arena: usize) -> Vec<Op> {
    const ALIGNS: [usize; 6] = [16, 64, 64, 4096, 4096, 65536];
    let mut script: Vec<Op> = (0..600)
        .map(|_| {
            let slot = random.below(48);
            match random.below(5) {
                0..3 => allocate_aligned(slot, random.size(10_000), ALIGNS[random.below(6)]),
                3 => resize(slot, random.size(10_000)),
                _ => free(slot),
            }
        })
        .collect();
    script.extend([
        Op::FreeAll,
        allocate_aligned(0, 100, 1 << 20),
        resize(0, 5000),
        allocate_aligned(1, 1, 1 << 20),
    ]);
    script
}

fn odd_sizes(_random: &mut Random, _arena: usize) -> Vec<Op> {
    const SIZES: [usize; 3] = [24, 40, 56];
    let mut script: Vec<Op> = (0..900)
        .map(|slot| allocate(slot, SIZES[slot % 3]))
        .collect();
    script.extend((0..900).step_by(2).map(free));
    script.extend(
        (0..900)
            .step_by(2)
            .map(|slot| allocate(slot, SIZES[(slot + 1) % 3])),
    );
    script.extend(
        (0..900)
            .step_by(3)
            .map(|slot| resize(slot, SIZES[(slot + 2) % 3])),
    );
    script
}

fn phases(random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = Vec::new();
    for (phase, size) in [32, 200, 48, 1500, 4000, 64].into_iter().enumerate() {
        let slots = phase * 800..(phase + 1) * 800;
        script.extend(slots.clone().map(|slot| allocate(slot, size)));
        let mut order: Vec<usize> = slots.filter(|slot| slot % 10 != 0).collect();
        random.shuffle(&mut order);
        script.extend(order.into_iter().map(free));
    }
    script
}

fn lifo(random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = Vec::new();
    for _ in 0..5 {
        script.extend((0..500).map(|slot| allocate(slot, random.size(4096))));
        script.extend((0..500).rev().map(free));
    }
    script
}

fn fifo(random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = Vec::new();
    for slot in 0..3000 {
        script.push(allocate(slot, random.size(4096)));
        if slot >= 400 {
            script.push(free(slot - 400));
        }
    }
    script
}

fn exhaustion(size: usize, least: usize) -> Vec<Op> {
    vec![
        Op::Fill {
            size,
            align: 16,
            most: 20_000,
            least,
        },
        Op::CheckAll,
        Op::FreeAll,
        Op::Refill,
        Op::CheckAll,
        Op::FreeAll,
        Op::Trim,
        Op::Refill,
    ]
}

fn exhaustion_small(_random: &mut Random, _arena: usize) -> Vec<Op> {
    exhaustion(1000, 500)
}

fn exhaustion_large(_random: &mut Random, _arena: usize) -> Vec<Op> {
    exhaustion(100_000, 10)
}

fn pressure(random: &mut Random, arena: usize) -> Vec<Op> {
    let largest = arena / 4;
    (0..1500)
        .map(|_| {
            let slot = random.below(64);
            let size = random.size(largest);
            match random.below(10) {
                0..5 => Op::Allocate {
                    slot,
                    size,
                    align: 16,
                    zeroed: size & 1 == 0,
                    expect: Expect::Either,
                },
                5..7 => Op::Resize {
                    slot,
                    size,
                    expect: Expect::Either,
                },
                _ => free(slot),
            }
        })
        .collect()
}

fn absurd_sizes(_random: &mut Random, arena: usize) -> Vec<Op> {
    let mut script: Vec<Op> = (0..20).map(|slot| allocate(slot, 100 + slot)).collect();
    for size in [
        arena,
        2 * arena,
        1 << 40,
        isize::MAX as usize - 4095,
        isize::MAX as usize,
        usize::MAX - 15,
        usize::MAX,
    ] {
        for align in [16, 4096] {
            script.push(Op::Allocate {
                slot: 50,
                size,
                align,
                zeroed: false,
                expect: Expect::Refused,
            });
        }
        if size <= isize::MAX as usize - 4095 {
            script.push(Op::Allocate {
                slot: 50,
                size,
                align: 16,
                zeroed: true,
                expect: Expect::Refused,
            });
        }
        script.push(Op::Resize {
            slot: 3,
            size,
            expect: Expect::Refused,
        });
    }
    script.extend([Op::CheckAll, allocate(60, 5000), resize(3, 3000)]);
    script
}

fn zeroed_after_dirty(random: &mut Random, _arena: usize) -> Vec<Op> {
    let mut script = Vec::new();
    for _ in 0..4 {
        let sizes: Vec<usize> = (0..200).map(|_| random.size(20_000)).collect();
        script.extend(
            sizes
                .iter()
                .enumerate()
                .map(|(slot, size)| allocate(slot, *size)),
        );
        script.extend((0..200).map(free));
        script.extend(
            sizes
                .iter()
                .enumerate()
                .map(|(slot, size)| allocate_zeroed(slot, *size)),
        );
        script.push(Op::FreeAll);
    }
    for size in [100_000, 500_000, 1_000_000] {
        script.extend([
            allocate(0, size),
            free(0),
            Op::Trim,
            allocate_zeroed(0, size),
            free(0),
        ]);
    }
    script
}

fn neighbours(random: &mut Random, _arena: usize) -> Vec<Op> {
    (0..2000)
        .map(|_| {
            let slot = random.below(300);
            match random.below(6) {
                0..2 => allocate(slot, random.size(12_000)),
                2 => Op::TakePages {
                    slot: 1000 + slot,
                    pages: 1 + random.below(3),
                },
                3 => free(1000 + slot),
                _ => free(slot),
            }
        })
        .collect()
}

fn long_run(random: &mut Random, arena: usize) -> Vec<Op> {
    (0..30_000)
        .flat_map(|_| {
            let slot = random.below(32);
            [
                free(slot),
                Op::Allocate {
                    slot,
                    size: random.size(arena / 512),
                    align: 16,
                    zeroed: false,
                    expect: Expect::Granted,
                },
            ]
        })
        .collect()
}
