//! The observer of a component's operations.
//!
//! The observer is a type and not a run-time hook. With [`Silent`] the compiler removes every call,
//! so images that do not record pay nothing.
//! The library OS has the implementation that records.

use core::ptr::NonNull;

/// Receives every operation of a component, at its begin and at its
/// end. It must not use that component.
pub trait Recorder: 'static {
    /// An operation of the heap begins.
    #[inline(always)]
    fn begins() {}
    /// `size` bytes with alignment `align` were requested (zeroed if
    /// `zeroed`), and `block` was granted.
    fn allocated(size: usize, align: usize, zeroed: bool, block: Option<NonNull<u8>>);
    /// `block` was freed.
    fn freed(block: NonNull<u8>);
    /// `old` was to be resized to `size` bytes and is now `block`. `None`: it is unchanged.
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
