//! Where candidates run while they are measured: processes, network namespaces, a folder in memory, QEMU, servers and the
//! clients that load them.

pub mod client;
pub mod icount;
pub mod image_report;
pub mod load;
pub mod namespaces;
pub mod process;
pub mod scratch;
pub mod server;
