//! The heap of all threads: by size in parts, each with its own lock, whose waiting costs little.
//!
//! One lock for all would be met by another thread in many of the dozens of requests that each delivery makes, and
//! dlmalloc's own sends whoever meets it to sleep, which takes far longer than what is done behind it. A heap for
//! each thread, as the C libraries have it, grows with the number of threads and for long.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;

/// The largest blocks of all parts but the last one, in bytes.
const SIZES: [usize; 6] = [32, 64, 128, 256, 1024, 4096];

const PARTS: usize = SIZES.len() + 1;

/// To be made the global allocator, once in a program. Needs locks that need no memory themselves, as those of Linux and
/// Windows.
pub struct Heap([Mutex<Dlmalloc>; PARTS]);

impl Heap {
    /// An empty heap.
    pub const fn new() -> Heap {
        Heap([const { Mutex::new(Dlmalloc::new()) }; PARTS])
    }

    fn part(&self, size: usize) -> MutexGuard<'_, Dlmalloc> {
        let [rest @ .., last] = &self.0;
        // The standard library's lock waits awake for a moment before it sleeps.
        rest.get(class(size))
            .unwrap_or(last)
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn class(size: usize) -> usize {
    SIZES
        .iter()
        .position(|most| size <= *most)
        .unwrap_or(SIZES.len())
}

// SAFETY: each block comes from the part that its size names, and goes back there; one thread at a time uses a part.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the size is not 0, by the caller's promise.
        unsafe {
            self.part(layout.size())
                .malloc(layout.size(), layout.align())
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe {
            self.part(layout.size())
                .calloc(layout.size(), layout.align())
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block was made with this layout, by the caller's promise, and so by this part.
        unsafe {
            self.part(layout.size())
                .free(block, layout.size(), layout.align());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if class(size) == class(layout.size()) {
            // SAFETY: as above, and the new size is of the same part.
            return unsafe {
                self.part(size)
                    .realloc(block, layout.size(), layout.align(), size)
            };
        }
        // SAFETY: the size is valid with this alignment, by the caller's promise; both blocks hold what is copied, and are
        // two different ones.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_what_it_holds_when_it_changes_its_part() {
        let heap = Heap::new();
        let sizes = [1, 32, 33, 4096, 4097, 300_000, 5000, 64, 65, 1024, 7];
        let layout = |size: usize| Layout::from_size_align(size, 8).unwrap_or(Layout::new::<u64>());
        // SAFETY: each layout is the one that the block was made or changed with last, and only its bytes are used.
        unsafe {
            let mut block = heap.alloc_zeroed(layout(1));
            let mut held = 1;
            for size in sizes {
                // Others in between, so that a block in the wrong place would be overwritten.
                let other = heap.alloc(layout(size));
                block = heap.realloc(block, layout(held), size);
                let kept = std::slice::from_raw_parts(block, held.min(size));
                assert!(
                    kept.iter().enumerate().all(|(n, byte)| *byte == pattern(n)),
                    "{held} to {size}"
                );
                ptr::write_bytes(other, 0xff, size);
                heap.dealloc(other, layout(size));
                for n in 0..size {
                    *block.add(n) = pattern(n);
                }
                held = size;
            }
            heap.dealloc(block, layout(held));
        }
    }

    /// 0 comes first, as in a zeroed block.
    fn pattern(n: usize) -> u8 {
        u8::try_from(n % 251).unwrap_or(0)
    }
}
