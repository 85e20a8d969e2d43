//! Bump allocation; never frees.
