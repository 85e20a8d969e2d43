//! The library OS: Linux system calls as function calls.
