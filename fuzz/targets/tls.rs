#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mailfly_fuzz::tls::holds(input));
