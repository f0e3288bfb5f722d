//! An allocator that keeps large blocks for the next layer.
//!
//! A feature map takes up to tens of megabytes, which the system's allocator asks of the kernel and gives back each time: a
//! page fault for every 4 KiB, which two threads cannot take at once. A forward pass asks for the same sizes again and
//! again, so blocks that were freed are kept, up to a bound, and used again. Blocks start at a line of the caches.
//!
//! What is asked for as zeros is packed weights here and stays, so it does not take a kept block, which may be larger.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes from which on a block is kept.
const LARGE: usize = 64 << 10;
/// Blocks that are kept at most.
const BLOCKS: usize = 64;
/// Bytes that are kept at most, unless [`keep_at_most`] says otherwise: the maps of R50 at 640×640.
const BYTES: usize = 96 << 20;
/// Where blocks start: at a line of the caches.
const ALIGN: usize = 64;
/// Bytes before a block, of which the last tell its size and where the system's block starts.
const HEAD: usize = ALIGN + size_of::<[usize; 2]>();

/// The allocator: `#[global_allocator] static MEMORY: Memory = Memory::new();`
#[derive(Debug)]
pub struct Memory {
    held: AtomicBool,
    free: UnsafeCell<Free>,
}

static KEPT: AtomicUsize = AtomicUsize::new(BYTES);

/// How many bytes [`Memory`] keeps at most. Less is right where a network runs only once.
pub fn keep_at_most(bytes: usize) {
    KEPT.store(bytes, Ordering::Relaxed);
}

/// Values that are being let go for good.
static RELEASED: AtomicUsize = AtomicUsize::new(0);

/// Drops a value whose memory nothing of its size will ask for again, such as weights that were packed: [`Memory`] gives
/// it back to the system.
pub fn release<T>(value: T) {
    RELEASED.fetch_add(1, Ordering::Relaxed);
    drop(value);
    RELEASED.fetch_sub(1, Ordering::Relaxed);
}

/// Bytes of large blocks that are in use, and the most that were since [`forget_most_in_use`].
static IN_USE: AtomicUsize = AtomicUsize::new(0);
static MOST_IN_USE: AtomicUsize = AtomicUsize::new(0);

/// Bytes of blocks of 64 KiB and more that are in use; 0 where [`Memory`] is not the program's allocator.
pub fn in_use() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

/// The most that were in use at once.
pub fn most_in_use() -> usize {
    MOST_IN_USE.load(Ordering::Relaxed)
}

/// Lets [`most_in_use`] start again with what is in use now.
pub fn forget_most_in_use() {
    MOST_IN_USE.store(in_use(), Ordering::Relaxed);
}

#[derive(Debug)]
struct Free {
    /// Blocks that nobody uses and their bytes, the last freed last.
    blocks: [(*mut u8, usize); BLOCKS],
    count: usize,
    bytes: usize,
}

// SAFETY: whoever uses `free` holds `held`, and a block belongs to no thread.
unsafe impl Sync for Memory {}

impl Memory {
    /// Keeps nothing yet.
    pub const fn new() -> Memory {
        let free = Free { blocks: [(null_mut(), 0); BLOCKS], count: 0, bytes: 0 };
        Memory { held: AtomicBool::new(false), free: UnsafeCell::new(free) }
    }

    /// Calls `body` with the free blocks, unless another thread is at them.
    fn with_free<T>(&self, body: impl FnOnce(&mut Free) -> Option<T>) -> Option<T> {
        if self.held.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `held` was free and is this thread's now.
        let result = body(unsafe { &mut *self.free.get() });
        self.held.store(false, Ordering::Release);
        result
    }

    /// The smallest kept block that has `size` bytes, and not more than four times as many.
    fn kept(&self, size: usize) -> Option<*mut u8> {
        self.with_free(|free| {
            let fitting = (0..free.count).filter(|&at| (size..=4 * size).contains(&free.blocks[at].1));
            let at = fitting.min_by_key(|&at| free.blocks[at].1)?;
            Some(free.take(at).0)
        })
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

impl Free {
    fn take(&mut self, at: usize) -> (*mut u8, usize) {
        let block = self.blocks[at];
        self.blocks.copy_within(at + 1..self.count, at);
        self.count -= 1;
        self.bytes -= block.1;
        block
    }
}

/// Whether a block is one that may be kept.
fn is_large(layout: &Layout) -> bool {
    layout.size() >= LARGE && layout.align() <= ALIGN
}

/// The system's layout for a block with its head. The system aligns less than blocks need: it would write the zeros that it
/// is asked for with a larger alignment, though fresh memory holds nothing else.
fn whole(size: usize) -> Option<Layout> {
    Layout::from_size_align(size.checked_add(HEAD)?, align_of::<[usize; 2]>()).ok()
}

/// The block behind its head.
///
/// # Safety
/// `start` is null or was allocated by [`whole`] for this size.
unsafe fn headed(start: *mut u8, size: usize) -> *mut u8 {
    if start.is_null() {
        return start;
    }
    // SAFETY: the block starts at a line, less than one behind the place of the two words, which are in the head before it.
    unsafe {
        let words = start.add(size_of::<[usize; 2]>());
        let block = words.add(words.align_offset(ALIGN));
        block.cast::<[usize; 2]>().sub(1).write([size, block as usize - start as usize]);
        block
    }
}

/// Where the system's block starts, and the size that it was allocated for.
///
/// # Safety
/// The block came from [`headed`].
unsafe fn head(block: *mut u8) -> (*mut u8, usize) {
    // SAFETY: the two words are before the block, and the second is how far behind its start it is.
    unsafe {
        let [size, before] = block.cast::<[usize; 2]>().sub(1).read();
        (block.sub(before), size)
    }
}

/// Counts a block that is given out.
///
/// # Safety
/// `block` is null or came from [`headed`].
unsafe fn counted(block: *mut u8) -> *mut u8 {
    if !block.is_null() {
        // SAFETY: the caller's promise.
        let (_, size) = unsafe { head(block) };
        let now = IN_USE.fetch_add(size, Ordering::Relaxed) + size;
        MOST_IN_USE.fetch_max(now, Ordering::Relaxed);
    }
    block
}

// SAFETY: a block comes from the system's allocator, with its head, or was freed before; its size stands in its head, so it
// goes back with the layout that it came with.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_large(&layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc(layout) };
        }
        let block = self.kept(layout.size()).unwrap_or_else(|| match whole(layout.size()) {
            // SAFETY: the layout is not empty, and the size is the one it was made for.
            Some(with_head) => unsafe { headed(System.alloc(with_head), layout.size()) },
            None => null_mut(),
        });
        // SAFETY: it has a head if it is there.
        unsafe { counted(block) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if !is_large(&layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.alloc_zeroed(layout) };
        }
        match whole(layout.size()) {
            // SAFETY: the layout is not empty, and the size is the one it was made for.
            Some(with_head) => unsafe { counted(headed(System.alloc_zeroed(with_head), layout.size())) },
            None => null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_large(&layout) {
            // SAFETY: the caller's promise.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: a large block has a head with its size.
        let (start, size) = unsafe { head(block) };
        IN_USE.fetch_sub(size, Ordering::Relaxed);
        // What is to go: the block itself if another thread is at the list, else the oldest if there is no room.
        let mut gone = [(start, size); BLOCKS];
        let left = self.with_free(|free| {
            let mut count = 0;
            let bytes = KEPT.load(Ordering::Relaxed);
            if size <= bytes && RELEASED.load(Ordering::Relaxed) == 0 {
                while free.count == BLOCKS || (free.count > 0 && free.bytes + size > bytes) {
                    let (block, size) = free.take(0);
                    // SAFETY: it was kept with its head.
                    gone[count] = (unsafe { head(block).0 }, size);
                    count += 1;
                }
                free.blocks[free.count] = (block, size);
                free.count += 1;
                free.bytes += size;
            } else {
                count = 1;
            }
            Some(count)
        });
        for &(start, size) in &gone[..left.unwrap_or(1)] {
            if let Some(with_head) = whole(size) {
                // SAFETY: it came with this layout.
                unsafe { System.dealloc(start, with_head) };
            }
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(new, layout.align()) else {
            return null_mut();
        };
        match (is_large(&layout), is_large(&wanted)) {
            // SAFETY: the caller's promise.
            (false, false) => unsafe { System.realloc(block, layout, new) },
            // SAFETY: a large block has a head with its size.
            (true, true) if new <= unsafe { head(block).1 } => block,
            _ => {
                // SAFETY: the new block has room for what both have.
                unsafe {
                    let moved = self.alloc(wanted);
                    if !moved.is_null() {
                        moved.copy_from_nonoverlapping(block, layout.size().min(new));
                        self.dealloc(block, layout);
                    }
                    moved
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 4).unwrap_or(Layout::new::<f32>())
    }

    #[test]
    fn blocks_come_back_at_the_start_of_a_line() {
        let memory = Memory::new();
        // SAFETY: blocks are freed with their layouts, and not used after.
        unsafe {
            let first = memory.alloc(layout(1 << 20));
            assert_eq!(first as usize % 64, 0);
            first.write_bytes(7, 1 << 20);
            memory.dealloc(first, layout(1 << 20));
            let zeros = memory.alloc_zeroed(layout(1 << 20));
            assert_ne!(zeros, first);
            assert!(std::slice::from_raw_parts(zeros, 1 << 20).iter().all(|&byte| byte == 0));
            memory.dealloc(zeros, layout(1 << 20));
            let small = memory.alloc(layout((1 << 18) - 1));
            assert!(small != first && small != zeros, "a small block took a large one");
            memory.dealloc(small, layout((1 << 18) - 1));
            let second = memory.alloc(layout((1 << 20) - 5000));
            assert!(second == first || second == zeros, "no block was kept");
            let third = memory.alloc(layout(1 << 20));
            assert_ne!(third, second);
            memory.dealloc(third, layout(1 << 20));
            memory.dealloc(second, layout((1 << 20) - 5000));
        }
    }

    #[test]
    fn growing_and_shrinking_keep_the_bytes() {
        let memory = Memory::new();
        let mut size = 100;
        // SAFETY: the block is always freed or moved with the layout of its last size.
        unsafe {
            let mut block = memory.alloc(layout(size));
            (0..size).for_each(|at| block.add(at).write(at as u8));
            for new in [LARGE + 3, 5 * LARGE, 4 * LARGE, 9 * LARGE, 50, LARGE, 200] {
                block = memory.realloc(block, layout(size), new);
                assert!((0..size.min(new).min(50)).all(|at| block.add(at).read() == at as u8), "{size} to {new}");
                size = new;
            }
            memory.dealloc(block, layout(size));
        }
    }

    #[test]
    fn what_is_kept_has_bounds() {
        let memory = Memory::new();
        // SAFETY: blocks are freed with their layouts.
        unsafe {
            let blocks: Vec<_> = (0..2 * BLOCKS).map(|_| memory.alloc(layout(LARGE))).collect();
            for block in blocks {
                memory.dealloc(block, layout(LARGE));
            }
            assert_eq!((*memory.free.get()).count, BLOCKS);
            for _ in 0..3 {
                let block = memory.alloc(layout(BYTES - LARGE));
                memory.dealloc(block, layout(BYTES - LARGE));
                assert!((*memory.free.get()).bytes <= BYTES);
            }
            let block = memory.alloc(layout(BYTES + 1));
            memory.dealloc(block, layout(BYTES + 1));
            let free = &*memory.free.get();
            assert!(free.blocks[..free.count].iter().all(|block| block.1 <= BYTES));
        }
    }
}
