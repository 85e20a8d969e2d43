//! How each kind of workload is measured, and how the least memory that it runs in is found.

pub mod batch;
pub mod command;
pub mod minimum_memory;
pub mod server;
