//! A group of receive buffers that the kernel fills (IORING_REGISTER_PBUF_RING). The kernel takes buffers from the head of the shared ring; we
//! put them back at its tail. A buffer is ours from its completion until `give`.

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::Group;

/// One group of buffers of one ring.
pub struct Provided {
    /// the shared ring of entries, followed in the same mapping by the buffers themselves
    entries: *mut BufRingEntry,
    buffers: *mut u8,
    mapped: usize,
    count: u16,
    size: usize,
    tail: u16,
}

impl Provided {
    /// Maps and registers `count` (a power of two, at most 32768) buffers of `size` bytes.
    pub fn new(ring: &IoUring, group: Group, count: u16, size: u32) -> io::Result<Provided> {
        assert!(count.is_power_of_two() && count <= 32768, "the kernel wants a power of two, at most 32768");
        let head = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096);
        let mapped = head + usize::from(count) * size as usize;
        // SAFETY: a fresh anonymous mapping; nothing else refers to it.
        let at =
            unsafe { libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let entries: *mut BufRingEntry = at.cast();
        // SAFETY: `head` lies inside the mapping.
        let buffers = unsafe { at.cast::<u8>().add(head) };
        // SAFETY: the mapping is page aligned, holds `count` entries and lives until the ring is gone (a core's ring lives as long as the core).
        unsafe { ring.submitter().register_buf_ring_with_flags(at as u64, count, group as u16, 0)? };
        let mut provided = Provided { entries, buffers, mapped, count, size: size as usize, tail: 0 };
        for index in 0..count {
            provided.give(index);
        }
        Ok(provided)
    }

    /// The first byte of a buffer.
    pub fn at(&self, index: u16) -> *const u8 {
        // SAFETY: the kernel only names indices that we have given it, all below `count`.
        unsafe { self.buffers.add(usize::from(index) * self.size) }
    }

    /// Puts a buffer at the kernel's disposal.
    pub fn give(&mut self, index: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: `slot` is below `count`; the kernel does not look at entries from the tail on before the tail is moved.
        unsafe {
            let entry = &mut *self.entries.add(slot);
            entry.set_addr(self.at(index) as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(index);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a u16 inside the mapping that the kernel reads with acquire; this store releases the entry written above.
        unsafe { (*BufRingEntry::tail(self.entries).cast::<AtomicU16>()).store(self.tail, Ordering::Release) };
    }
}

impl Drop for Provided {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`. The ring that knew it is dropped with its core, before (see field order in `RingDoor`) its buffers.
        unsafe { libc::munmap(self.entries.cast(), self.mapped) };
    }
}
