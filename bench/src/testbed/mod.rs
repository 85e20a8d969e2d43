//! Where candidates run while they are measured: processes, network namespaces, a folder in memory, QEMU, servers and the
//! clients that load them.

pub(crate) mod client;
pub(crate) mod icount;
pub(crate) mod image_report;
pub(crate) mod load;
pub(crate) mod namespaces;
pub(crate) mod process;
pub(crate) mod scratch;
pub(crate) mod server;
