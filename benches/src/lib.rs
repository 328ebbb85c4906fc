//! What the benches share: a cluster of a named size, the kernel's own floor, and figures that are printed, kept, drawn
//! and held against a baseline.
//!
//! ```text
//! benches/*.rs ─► Figure ─► target/bench/SUITE.json ─► podwall-benches report ─► figures.md, .csv, .json, index.html
//!                                                  └─► podwall-benches check  ─► ratios against benches/baseline.json
//! ```
//!
//! Ratios count, and times do not: beside each figure stands what the kernel alone needs for the same elements, in the
//! same run.

pub mod cluster;
pub mod event;
pub mod figure;
pub mod gate;
pub mod page;
pub mod raw;
pub mod script;
pub mod table;
