//! What the kernel says of others' changes of nftables.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podwall_netlink::fuzzing::notifications(bytes));
