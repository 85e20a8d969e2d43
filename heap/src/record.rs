//! Who is told of what a component does. Owns nothing.
//!
//! A type, not a hook at run time: with [`Silent`] the compiler leaves nothing behind, so an image that
//! records costs nothing to one that does not. The library OS has the one that records.

use core::ptr::NonNull;

/// Is told of every operation of a component, when it begins and when it is done. Must not use that component.
pub trait Recorder: 'static {
    /// An operation of the heap begins.
    #[inline(always)]
    fn begins() {}
    /// `size` bytes aligned to `align` were asked for, to read as zero if `zeroed`; `block` was granted.
    fn allocated(size: usize, align: usize, zeroed: bool, block: Option<NonNull<u8>>);
    /// `block` was freed.
    fn freed(block: NonNull<u8>);
    /// `old` was to have `size` bytes, and now is `block`; `None`: it is as it was.
    fn resized(old: NonNull<u8>, size: usize, align: usize, block: Option<NonNull<u8>>);
}

/// Records nothing.
#[derive(Debug)]
pub struct Silent;

impl Recorder for Silent {
    #[inline(always)]
    fn allocated(_: usize, _: usize, _: bool, _: Option<NonNull<u8>>) {}
    #[inline(always)]
    fn freed(_: NonNull<u8>) {}
    #[inline(always)]
    fn resized(_: NonNull<u8>, _: usize, _: usize, _: Option<NonNull<u8>>) {}
}
