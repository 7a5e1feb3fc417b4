#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mailfly_fuzz::mime_view::holds(input));
