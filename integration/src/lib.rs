//! Suites that need a kernel: see `tests/`.
