//! What the kernel says of connections.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podwall_netlink::fuzzing::connections(bytes));
