//! The host side: starts images, serves them, reports on them.
