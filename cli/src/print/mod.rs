//! How the command shows what it has to say: the printing macros, tables, and everything that is too long for the file of
//! its command.

// First: its macros are those of all the others.
#[macro_use]
pub mod output;

pub mod replay;
pub mod runs;
pub mod search;
pub mod stats;
pub mod table;
pub mod trace;
