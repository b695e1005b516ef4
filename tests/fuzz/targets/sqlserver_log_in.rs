//! libFuzzer's way into [`checks::sqlserver_log_in`].
#![no_main]

#[path = "../checks/mod.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::sqlserver_log_in(data));
