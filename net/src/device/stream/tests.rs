//! Frames over a stream whose reads and writes are of any length.

use super::*;
use crate::tests::io::Script;
use std::vec;
use std::vec::Vec;

const DESCRIPTION: Description = Description {
    hardware_address: [2, 1, 2, 3, 4, 5],
    mtu: 1500,
    offload: Offload {
        checksum: false,
        segment_bytes: 0,
    },
};

fn stream(mtu: usize) -> (Script, Stream<Script>) {
    let script = Script::default();
    let description = Description { mtu, ..DESCRIPTION };
    let memory = &allocator_api2::alloc::Global;
    let stream = Stream::new(script.clone(), description, memory).expect("memory");
    (script, stream)
}

/// A frame after its length.
fn framed(content: &[u8]) -> Vec<u8> {
    [&(content.len() as u32).to_be_bytes()[..], content].concat()
}

fn next(stream: &mut Stream<Script>) -> Option<Vec<u8>> {
    let received = stream.receive.receive()?;
    assert!(!received.checked);
    Some(received.frame.to_vec())
}

fn send(stream: &mut Stream<Script>, content: &[u8]) {
    let mut fill = |frame: &mut [u8]| frame.copy_from_slice(content);
    stream.transmit.send(content.len(), None, &mut fill);
}

#[test]
fn buffers_hold_two_frames_or_16_kib() {
    for (mtu, bytes) in [
        (1500, 16 << 10),
        // Two frames of this size with their lengths are 16 KiB.
        (8174, 16 << 10),
        (8175, (16 << 10) + 2),
        (65_535, 2 * (4 + 14 + 65_535)),
    ] {
        let (script, mut stream) = stream(mtu);
        assert_eq!(stream.transmit.buffer.len(), bytes);
        assert_eq!(next(&mut stream), None);
        assert_eq!(script.0.borrow().room, bytes);
        assert_eq!(stream.mtu(), mtu);
    }
    let (_, stream) = stream(1500);
    assert_eq!(stream.hardware_address(), [2, 1, 2, 3, 4, 5]);
    assert_eq!(stream.offload(), Offload::default());
    assert!(stream.shows_all());
}

#[test]
fn frames_are_taken_apart_wherever_reads_end() {
    let frames = [&b"one"[..], b"", b"the third", &[7; 3000]];
    let whole: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
    for step in [1, 2, 3, 4, 5, 7, 100, 2000, whole.len()] {
        let (script, mut stream) = stream(1500);
        let mut taken = Vec::new();
        for part in whole.chunks(step) {
            script.give(part);
            while !script.0.borrow().reads.is_empty() || stream.prepare_to_sleep() {
                taken.extend(next(&mut stream));
            }
        }
        assert_eq!(taken, frames, "{step}");
        assert_eq!(next(&mut stream), None);
    }
}

#[test]
fn the_image_does_not_sleep_while_a_whole_frame_is_here() {
    let (script, mut stream) = stream(1500);
    assert!(!stream.prepare_to_sleep());
    let two = [framed(b"one"), framed(b"two")].concat();
    script.give(&two[..two.len() - 1]);
    assert!(!stream.prepare_to_sleep());
    assert_eq!(next(&mut stream), Some(b"one".to_vec()));
    assert!(!stream.prepare_to_sleep());
    script.give(&two[two.len() - 1..]);
    assert_eq!(next(&mut stream), Some(b"two".to_vec()));
    assert!(!stream.prepare_to_sleep());
    script.give(&two);
    assert_eq!(next(&mut stream), Some(b"one".to_vec()));
    assert!(stream.prepare_to_sleep());
    // A frame that is here needs no read.
    script.0.borrow_mut().room = 0;
    assert_eq!(next(&mut stream), Some(b"two".to_vec()));
    assert_eq!(script.0.borrow().room, 0);
}

#[test]
fn a_length_that_cannot_be_ends_the_stream() {
    const MOST: usize = (16 << 10) - 4;
    let (script, mut stream) = stream(1500);
    script.give(&framed(&[3; MOST]));
    assert_eq!(next(&mut stream), Some(vec![3; MOST]));
    script.give(&(MOST as u32 + 1).to_be_bytes());
    assert_eq!(next(&mut stream), None);
    script.give(&framed(b"late"));
    assert_eq!(next(&mut stream), None);
    assert_eq!(script.0.borrow().reads.len(), 1, "nothing is read any more");
    assert!(!stream.prepare_to_sleep());
}

#[test]
fn a_read_that_claims_too_much_is_cut_at_the_buffer() {
    let (script, mut stream) = stream(1500);
    let mut whole = framed(&[5; (16 << 10) - 4]);
    whole.extend([6; 100]);
    script.give(&whole);
    assert_eq!(next(&mut stream), Some(vec![5; (16 << 10) - 4]));
    script.give(&framed(b"next"));
    assert_eq!(next(&mut stream), Some(b"next".to_vec()));
}

#[test]
fn frames_leave_together_when_they_are_flushed() {
    let (script, mut stream) = stream(1500);
    stream.transmit.flush();
    assert_eq!(script.written(), Vec::<Vec<u8>>::new());
    for content in [&b"one"[..], b"", b"three"] {
        assert!(stream.transmit.ready());
        send(&mut stream, content);
    }
    assert_eq!(script.written(), Vec::<Vec<u8>>::new());
    stream.transmit.flush();
    let whole = [framed(b"one"), framed(b""), framed(b"three")].concat();
    assert_eq!(script.written(), core::slice::from_ref(&whole));
    // What is not taken at once follows, in order; a descriptor that takes nothing is asked again later.
    for content in [&b"one"[..], b"", b"three"] {
        send(&mut stream, content);
    }
    script.0.borrow_mut().takes.extend([Some(2), Some(6), None]);
    stream.transmit.flush();
    assert_eq!(
        script.written(),
        [whole[..2].to_vec(), whole[2..8].to_vec()]
    );
    script.0.borrow_mut().takes.extend([Some(1), Some(0)]);
    stream.transmit.flush();
    assert_eq!(script.written(), [whole[8..9].to_vec(), vec![]]);
    // More than there was is all there was.
    script.0.borrow_mut().takes.extend([Some(1000)]);
    stream.transmit.flush();
    assert_eq!(script.written(), [whole[9..].to_vec()]);
    stream.transmit.flush();
    assert_eq!(script.written(), Vec::<Vec<u8>>::new());
    send(&mut stream, b"again");
    stream.transmit.flush();
    assert_eq!(script.written(), [framed(b"again")]);
}

#[test]
fn a_full_buffer_is_written_and_what_has_no_room_is_lost() {
    const FRAME: usize = 14 + 1500;
    let (script, mut stream) = stream(1500);
    // Ten of the largest frames and their lengths are 15,180 bytes of 16,384; 316 bytes less than an eleventh.
    let count = (16 << 10) / (FRAME + 4);
    assert_eq!(count, 10);
    script.0.borrow_mut().takes.extend([None; 4]);
    for number in 0..count {
        assert!(stream.transmit.ready());
        send(&mut stream, &[number as u8; FRAME]);
    }
    assert_eq!(script.0.borrow().takes.len(), 4, "there was room");
    assert!(!stream.transmit.ready());
    assert_eq!(script.0.borrow().takes.len(), 3);
    // Filled all the same, and lost.
    let mut filled = 0;
    let mut fill = |frame: &mut [u8]| filled += frame.len();
    stream.transmit.send(FRAME, None, &mut fill);
    assert_eq!(filled, FRAME);
    // Room for one is enough; what is left moves to the front.
    let mut takes = script.0.borrow_mut();
    takes.takes.clear();
    takes.takes.extend([Some(313), None]);
    drop(takes);
    assert!(!stream.transmit.ready());
    script.0.borrow_mut().takes.extend([Some(1), None]);
    assert!(stream.transmit.ready(), "1,518 bytes are free");
    send(&mut stream, &[99; FRAME]);
    assert_eq!(stream.transmit.end, 16 << 10);
    stream.transmit.flush();
    let written = script.written().concat();
    let mut whole: Vec<u8> = (0..count).flat_map(|n| framed(&[n as u8; FRAME])).collect();
    whole.extend(framed(&[99; FRAME]));
    assert!(written == whole);
}
