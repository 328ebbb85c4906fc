//! What the kernel says of links, addresses and routes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podwall_reconciler::fuzzing::links(bytes));
