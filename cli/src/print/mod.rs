//! How the command shows what it has to say: the printing macros, tables, and everything that is too long for the file of
//! its command.

// First: its macros are those of all the others.
#[macro_use]
pub(crate) mod output;

pub(crate) mod replay;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod stats;
pub(crate) mod table;
pub(crate) mod trace;
