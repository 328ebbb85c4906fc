//! What the API server sends: pages of lists, lines of streams, objects.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podwall_reconciler::fuzzing::objects(bytes));
