//! How each kind of workload is measured, and how the least memory that it runs in is found.

pub(crate) mod batch;
pub(crate) mod command;
pub(crate) mod minimum_memory;
pub(crate) mod server;
