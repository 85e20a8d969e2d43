//! Provides third-party sources by name, version and SHA-256. The repository itself contains none.
//!
//! A [`Source`] is one archive and the methods to get it.
//! [`Cache::archive`] returns the verified file, [`Cache::tree`] the unpacked folder.
//! The methods are tried in this order, until one returns bytes with the right hash:
//!
//! 1. the cache (`$BESPOKE_CACHE`, else `$XDG_CACHE_HOME/bespoke`, else `~/.cache/bespoke`);
//! 2. a file of that name in the folder `$BESPOKE_SOURCES`, for machines without network;
//! 3. the crate that carries it (`crate`), through `cargo`;
//! 4. upstream's own address (`upstream`);
//! 5. the Debian source package that carries it (`debian`), through `apt-get`.
//!
//! Rules:
//! 1. No byte is used before its hash was checked.
//! 2. A name in the cache is either complete or absent. Files and trees are made under a temporary
//!    name and renamed; a lock file per archive excludes other processes.
//! 3. Registries are accessed through their own clients with the machine's configuration. Nothing
//!    outside the cache folder (and cargo's own) is written.
//!
//! ```toml
//! [[source]]
//! name = "musl"
//! version = "1.2.3"
//! file = "musl-1.2.3.tar.gz"
//! sha256 = "7d5b0b6062521e4627e099e4c9dc8248d32a30285e959b7eecaa780cf8cfd4a4"
//! bytes = 1058642
//! upstream = "https://musl.libc.org/releases/musl-1.2.3.tar.gz"
//! debian = "musl"
//! ```
#![forbid(unsafe_code)]

mod cache;
mod debian;
mod digest;
mod error;
#[cfg(feature = "http")]
mod http;
mod lock;
mod registry;
mod room;
mod source;
mod tool;
mod unpack;

pub use cache::{Cache, cache_root};
pub use digest::{Digest, hex};
pub use error::{Attempt, Error};
pub use lock::{LockUse, lock_file, lock_file_for};
pub use room::has_room;
pub use source::{Source, read_sources};
