#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| eventing::laws::event(bytes));
