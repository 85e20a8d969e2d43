//! What stock monitors have in common: how an image is told what it is to do, and how it is read when it has ended.

mod ending;
pub(crate) mod words;

pub(crate) use ending::{Ending, ending};
pub use words::encode;
