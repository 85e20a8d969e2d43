//! The same random calls on pipes, event counters, sockets and epoll instances here and on the
//! machine that runs the tests must give the same answers, bytes and events, in the same order.
//!
//! Everything is non-blocking: what waits is tested by `waiting` and by the `threads` application.

use super::super::Errno;
use super::Machine;
use super::against_linux::real;
use crate::apart::apart;
use linux_raw_sys::general::*;
use linux_raw_sys::net::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::vec::Vec;

/// Sizes around what a pipe keeps in one page.
const SIZES: &[usize] = &[0, 1, 7, 8, 100, 3000, 4095, 4096, 4097, 9000, 70_000];
/// Bytes that the calls with several spans use.
const SPANS: usize = 5700;
const EVENTS: &[u32] = &[
    EPOLLIN,
    EPOLLOUT,
    EPOLLIN | EPOLLOUT,
    EPOLLIN | EPOLLET,
    EPOLLIN | EPOLLOUT | EPOLLET,
    EPOLLIN | EPOLLONESHOT,
    EPOLLOUT | EPOLLONESHOT | EPOLLET,
    EPOLLIN | EPOLLRDHUP,
    EPOLLIN | EPOLLRDNORM | EPOLLWRNORM,
    0,
];

#[derive(Clone, Copy, Debug)]
struct Step {
    call: u8,
    slot: u8,
    other: u8,
    size: usize,
    choice: usize,
}

fn step() -> impl Strategy<Value = Step> {
    (0..32u8, 0..12u8, 0..12u8, 0..SIZES.len(), 0..64usize).prop_map(
        |(call, slot, other, size, choice)| Step {
            call,
            slot,
            other,
            size: SIZES[size],
            choice,
        },
    )
}

static RUN: AtomicUsize = AtomicUsize::new(0);

/// The two sides; slot k is our descriptor and the real one.
struct Pair {
    ours: Machine,
    slots: Vec<(usize, usize)>,
    run: usize,
}

impl Pair {
    fn new() -> Self {
        Self {
            ours: Machine::new(4096),
            slots: Vec::new(),
            run: RUN.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn both(
        &mut self,
        number: u32,
        make: impl Fn(&dyn Fn((usize, usize)) -> usize) -> Vec<usize>,
    ) -> (isize, isize) {
        let mine = match self.ours.call(number, &make(&|pair| pair.0)) {
            // The system call layer raises the signal; the test process ignores it.
            answer if answer == Errno::PIPE_SIGNAL.answer() => Errno::PIPE.answer(),
            answer => answer,
        };
        let theirs = real(number, &make(&|pair| pair.1));
        (mine, theirs)
    }

    fn slot(&self, slot: u8) -> (usize, usize) {
        match self.slots.len() {
            0 => (999, 999),
            count => self.slots[slot as usize % count],
        }
    }

    fn is(&self, real: usize, kind: &str) -> bool {
        std::fs::read_link(std::format!("/proc/self/fd/{real}"))
            .is_ok_and(|target| target.to_string_lossy().contains(kind))
    }

    /// An abstract name of this run, as a `sockaddr_un`.
    fn name(&self, choice: usize) -> Vec<u8> {
        let mut address = (AF_UNIX as u16).to_ne_bytes().to_vec();
        let name = std::format!("\0bespoke-{}-{}-{choice}", std::process::id(), self.run);
        address.extend_from_slice(name.as_bytes());
        address
    }

    fn keep(&mut self, answer: (isize, isize)) -> (isize, isize) {
        match answer {
            (mine, theirs) if mine >= 0 && theirs >= 0 => {
                self.slots.push((mine as usize, theirs as usize));
                (0, 0)
            }
            other => other,
        }
    }

    fn keep_both(&mut self, answer: (isize, isize), pairs: ([u32; 2], [u32; 2])) -> (isize, isize) {
        if answer == (0, 0) {
            for end in 0..2 {
                self.slots
                    .push((pairs.0[end] as usize, pairs.1[end] as usize));
            }
        }
        answer
    }

    fn run(&mut self, step: &Step) -> (isize, isize) {
        let (descriptor, other) = (self.slot(step.slot), self.slot(step.other));
        let (size, choice) = (step.size, step.choice);
        let room = size.max(SPANS);
        let mut buffers = (std::vec![0xee_u8; room], std::vec![0xee_u8; room]);
        let buffer = (
            buffers.0.as_mut_ptr() as usize,
            buffers.1.as_mut_ptr() as usize,
        );
        let data: Vec<u8> = (0..room).map(|index| (index * 7 + choice) as u8).collect();
        let data = data.as_ptr() as usize;
        let answer = match step.call {
            0 => {
                let mut pairs = ([0u32; 2], [0u32; 2]);
                let address = (pairs.0.as_mut_ptr() as usize, pairs.1.as_mut_ptr() as usize);
                let answer = self.both(__NR_pipe2, |side| {
                    std::vec![side(address), O_NONBLOCK as usize]
                });
                self.keep_both(answer, pairs)
            }
            1 => {
                let flags = O_NONBLOCK | [0, EFD_SEMAPHORE][choice % 2];
                let count = choice / 16;
                let answer = self.both(__NR_eventfd2, |_| std::vec![count, flags as usize]);
                self.keep(answer)
            }
            2 => {
                let answer = self.both(__NR_epoll_create1, |_| std::vec![0]);
                self.keep(answer)
            }
            3 => {
                if self.slots.is_empty() {
                    return (0, 0);
                }
                let index = step.slot as usize % self.slots.len();
                let gone = self.slots.remove(index);
                self.both(__NR_close, |side| std::vec![side(gone)])
            }
            4 if choice % 3 == 0 => {
                let answer = self.both(__NR_dup, |side| std::vec![side(descriptor)]);
                self.keep(answer)
            }
            4..=6 => self.both(__NR_read, |side| {
                std::vec![side(descriptor), side(buffer), size]
            }),
            // Since 6.6 Linux refuses to write more than the eight bytes of a counter.
            7..=9 if size > 8 && self.is(descriptor.1, "eventfd") => (0, 0),
            // How much a socket takes depends on how Linux packs it.
            7..=9 if size > 100 && self.is(descriptor.1, "socket:") => (0, 0),
            7..=9 => self.both(__NR_write, |side| std::vec![side(descriptor), data, size]),
            10 => {
                let spans = |start: usize| {
                    [
                        [start, size.min(700)],
                        [start + 700, 0],
                        [start + 700, size.min(5000)],
                    ]
                };
                let (mine, theirs, own) = (spans(buffer.0), spans(buffer.1), spans(data));
                let pair = (mine.as_ptr() as usize, theirs.as_ptr() as usize);
                if choice % 2 == 0 {
                    self.both(__NR_readv, |side| {
                        std::vec![side(descriptor), side(pair), 3]
                    })
                } else if self.is(descriptor.1, "eventfd") || self.is(descriptor.1, "socket:") {
                    (0, 0)
                } else {
                    self.both(__NR_writev, |side| {
                        std::vec![side(descriptor), own.as_ptr() as usize, 3]
                    })
                }
            }
            11..=14 => {
                let operation = [EPOLL_CTL_ADD, EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL];
                let event = [EVENTS[choice % EVENTS.len()], step.slot.into(), 5];
                self.both(__NR_epoll_ctl, |side| {
                    std::vec![
                        side(other),
                        operation[step.call as usize - 11] as usize,
                        side(descriptor),
                        event.as_ptr() as usize
                    ]
                })
            }
            15..=18 => {
                let most = [10, 10, 2, 1, 0][choice % 5];
                self.both(__NR_epoll_wait, |side| {
                    std::vec![side(descriptor), side(buffer), most, 0]
                })
            }
            19 => {
                let make = |side: fn((usize, usize)) -> usize| -> Vec<pollfd> {
                    let mut list: Vec<pollfd> = (0..self.slots.len().min(6))
                        .map(|index| pollfd {
                            fd: side(self.slot(step.slot + index as u8)) as i32,
                            events: [POLLIN, POLLOUT, POLLIN | POLLOUT, 0, POLLRDHUP]
                                [(choice + index) % 5] as i16,
                            revents: 77,
                        })
                        .collect();
                    list.push(pollfd {
                        fd: [-1, 30_000][choice % 2],
                        events: 1,
                        revents: 77,
                    });
                    list
                };
                let mut lists = (make(|pair| pair.0), make(|pair| pair.1));
                let pair = (lists.0.as_mut_ptr() as usize, lists.1.as_mut_ptr() as usize);
                let count = lists.0.len();
                let answer = self.both(__NR_poll, |side| std::vec![side(pair), count, 0]);
                let found = |list: &[pollfd]| -> Vec<i16> {
                    list.iter().map(|entry| entry.revents).collect()
                };
                assert_eq!(found(&lists.0), found(&lists.1), "poll");
                answer
            }
            20 => {
                let sets = |descriptor: usize| {
                    let mut set = [0u64; 4];
                    if descriptor < 256 {
                        set[descriptor / 64] |= 1 << (descriptor % 64);
                    }
                    [set; 3]
                };
                let mut sets = (sets(descriptor.0), sets(descriptor.1));
                let at = (&raw mut sets.0 as usize, &raw mut sets.1 as usize);
                let time = [0i64; 2];
                let answer = self.both(__NR_select, |side| {
                    let count = side(descriptor).min(255) + 1;
                    std::vec![
                        count,
                        side(at),
                        side((at.0 + 32, at.1 + 32)),
                        side((at.0 + 64, at.1 + 64)),
                        &raw const time as usize
                    ]
                });
                if answer.1 >= 0 {
                    let bits = |sets: &[[u64; 4]; 3]| {
                        sets.map(|set| set.iter().map(|word| word.count_ones()).sum::<u32>())
                    };
                    assert_eq!(bits(&sets.0), bits(&sets.1), "select");
                }
                answer
            }
            21 => {
                let pair = buffer;
                self.both(__NR_ioctl, |side| {
                    std::vec![
                        side(descriptor),
                        linux_raw_sys::ioctl::FIONREAD as usize,
                        side(pair)
                    ]
                })
            }
            23 | 24 => {
                let mut pairs = ([0u32; 2], [0u32; 2]);
                let address = (pairs.0.as_mut_ptr() as usize, pairs.1.as_mut_ptr() as usize);
                let kind = (SOCK_STREAM | O_NONBLOCK) as usize;
                let answer = self.both(__NR_socketpair, |side| {
                    std::vec![AF_UNIX as usize, kind, 0, side(address)]
                });
                self.keep_both(answer, pairs)
            }
            25 => {
                let kind = (SOCK_STREAM | O_NONBLOCK) as usize;
                let answer = self.both(__NR_socket, |_| std::vec![AF_UNIX as usize, kind, 0]);
                self.keep(answer)
            }
            26 => {
                let name = self.name(choice % 3);
                let call = [__NR_bind, __NR_connect, __NR_connect][choice / 3 % 3];
                self.both(call, |side| {
                    std::vec![side(descriptor), name.as_ptr() as usize, name.len()]
                })
            }
            27 => {
                let name = self.name(choice % 3);
                let bound = self.both(__NR_bind, |side| {
                    std::vec![side(descriptor), name.as_ptr() as usize, name.len()]
                });
                assert_eq!(bound.0, bound.1, "bind");
                self.both(__NR_listen, |side| std::vec![side(descriptor), choice % 4])
            }
            28 => {
                let mut lengths = [(choice * 2) as u32; 2];
                let length = (&raw mut lengths[0] as usize, &raw mut lengths[1] as usize);
                let answer = self.both(__NR_accept4, |side| {
                    std::vec![
                        side(descriptor),
                        side(buffer),
                        side(length),
                        O_NONBLOCK as usize
                    ]
                });
                assert_eq!(lengths[0], lengths[1], "length of the peer's name");
                self.keep(answer)
            }
            29 => self.both(__NR_shutdown, |side| {
                std::vec![side(descriptor), choice % 4]
            }),
            30 => {
                let flags = [MSG_PEEK, MSG_DONTWAIT, MSG_WAITALL, 0][choice % 4] as usize;
                if choice % 2 == 0 {
                    self.both(__NR_recvfrom, |side| {
                        std::vec![side(descriptor), side(buffer), size, flags, 0, 0]
                    })
                } else {
                    self.both(__NR_sendto, |side| {
                        std::vec![
                            side(descriptor),
                            data,
                            size.min(100),
                            MSG_NOSIGNAL as usize,
                            0,
                            0
                        ]
                    })
                }
            }
            31 => {
                let mut lengths = [(choice * 2) as u32; 2];
                let length = (&raw mut lengths[0] as usize, &raw mut lengths[1] as usize);
                let answer = match choice % 4 {
                    0 => self.both(__NR_getsockname, |side| {
                        std::vec![side(descriptor), side(buffer), side(length)]
                    }),
                    1 => self.both(__NR_getpeername, |side| {
                        std::vec![side(descriptor), side(buffer), side(length)]
                    }),
                    _ => {
                        let option = [SO_ERROR, SO_TYPE, SO_ACCEPTCONN, SO_DOMAIN][choice / 4 % 4];
                        self.both(__NR_getsockopt, |side| {
                            std::vec![
                                side(descriptor),
                                SOL_SOCKET as usize,
                                option as usize,
                                side(buffer),
                                side(length)
                            ]
                        })
                    }
                };
                assert_eq!(lengths[0], lengths[1], "length of the answer");
                answer
            }
            22 => {
                let command = [F_GETFL, F_GETFD][choice % 2] as usize;
                self.both(__NR_fcntl, |side| std::vec![side(descriptor), command])
            }
            _ => {
                // SAFETY: integers: all zero is a value.
                let (mut mine, mut theirs): (stat, stat) =
                    unsafe { (core::mem::zeroed(), core::mem::zeroed()) };
                let at = (&raw mut mine as usize, &raw mut theirs as usize);
                let answer = self.both(__NR_fstat, |side| std::vec![side(descriptor), side(at)]);
                let facts = |answer: &stat| (answer.st_mode, answer.st_nlink, answer.st_size);
                assert_eq!(facts(&mine), facts(&theirs), "fstat");
                answer
            }
        };
        if buffers.0 != buffers.1 {
            let words = |buffer: &[u8]| -> Vec<u32> {
                let word =
                    |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                buffer.chunks_exact(4).take(12).map(word).collect()
            };
            panic!(
                "bytes or events differ: {:x?} and {:x?}",
                words(&buffers.0),
                words(&buffers.1)
            );
        }
        answer
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for &(_, descriptor) in &self.slots {
            real(__NR_close, &[descriptor]);
        }
    }
}

#[test]
fn random_calls_on_objects_agree_with_linux() {
    apart(random_calls);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::cases(400), failure_persistence: None, ..ProptestConfig::default() })]

    fn random_calls(steps in proptest::collection::vec(step(), 1..150)) {
        let mut pair = Pair::new();
        for (number, step) in steps.iter().enumerate() {
            let (mine, theirs) = pair.run(step);
            prop_assert_eq!(mine, theirs, "step {}: {:?}", number, step);
        }
        // With everything closed, not one page or inode stays.
        let inodes = Machine::new(16).files.usage().inodes;
        while let Some((mine, theirs)) = pair.slots.pop() {
            prop_assert_eq!(pair.ours.close(mine as isize), 0);
            real(__NR_close, &[theirs]);
        }
        prop_assert_eq!(pair.ours.stats.held_pages.get(), 0);
        prop_assert_eq!(pair.ours.files.usage().inodes, inodes);
    }
}

/// Found by the test above: that connectors may try again is no edge for whoever watches the listener.
#[test]
fn room_for_connectors_is_no_news_of_the_listener() {
    let step = |call, slot, other, choice| Step {
        call,
        slot,
        other,
        size: 0,
        choice,
    };
    let steps = [
        step(25, 0, 0, 0),
        step(29, 0, 0, 14),
        step(2, 0, 0, 0),
        step(11, 2, 5, 4),
        step(15, 5, 0, 5),
        step(27, 2, 0, 0),
        step(15, 5, 0, 0),
    ];
    let mut pair = Pair::new();
    for step in steps {
        let (mine, theirs) = pair.run(&step);
        assert_eq!(mine, theirs, "{step:?}");
    }
}
