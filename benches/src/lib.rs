//! How long a change takes: see `benches/`.
