//! How much memory an input takes.

use peak_alloc::PeakAlloc;

/// Counts each allocation; an allocation that grows counts twice while it is moved.
#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Runs `work`, which must not take more memory at any time than ten times its input and one megabyte.
pub fn bounded<T>(input: usize, work: impl FnOnce() -> T) -> T {
    bounded_by(10 * input + 1_000_000, work)
}

/// Runs `work`, which must not take more memory than this at any time.
pub fn bounded_by<T>(most: usize, work: impl FnOnce() -> T) -> T {
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let result = work();
    let taken = HEAP.peak_usage().saturating_sub(before);
    assert!(
        taken <= most,
        "it takes {taken} bytes of memory, more than {most}"
    );
    result
}
