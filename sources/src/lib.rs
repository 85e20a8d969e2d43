//! Third-party sources: download, verify by hash, cache.
