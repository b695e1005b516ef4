//! libFuzzer's way into [`checks::web_service`].
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::web_service(data));
