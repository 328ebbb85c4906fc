//! What the kernel holds of nftables, and its answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| podwall_netlink::fuzzing::replies(bytes));
