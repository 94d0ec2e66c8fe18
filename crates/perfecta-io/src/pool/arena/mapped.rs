//! An arena that Linux maps: bound to a node, guarded, given back page by page.

use std::ffi::{c_int, c_ulong, c_void};
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};

use super::{ArenaError, Memory};

/// `MADV_GUARD_INSTALL`, since Linux 6.13.
const GUARD_INSTALL: c_int = 102;
/// `MADV_GUARD_REMOVE`.
const GUARD_REMOVE: c_int = 103;

/// One mapping.
#[derive(Debug)]
pub(in crate::pool) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    page_bytes: usize,
    guard: Guard,
}

/// How a page is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// By a mark in the page table: 0.5 µs, and the mapping stays one.
    Mark,
    /// By protection, which splits the mapping in two: 1.9 µs, and a process has 65,530 of these.
    Protection,
}

// SAFETY: the mapping belongs to whoever has this value, on any thread.
unsafe impl Send for Mapping {}
// SAFETY: through a shared reference there are only calls that the kernel orders among themselves.
unsafe impl Sync for Mapping {}

impl Memory for Mapping {
    fn page_bytes() -> usize {
        rustix::param::page_size()
    }

    fn reserve(bytes: usize) -> Result<Self, ArenaError> {
        let (access, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::NORESERVE);
        // SAFETY: a mapping at an address of the kernel's choice touches no other memory.
        let base =
            unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), bytes, access, flags) };
        let base = base.map_err(|errno| ArenaError { bytes, errno: errno.raw_os_error() })?;
        let base = NonNull::new(base.cast()).expect("nothing is mapped at address zero");
        let page_bytes = Self::page_bytes();
        let mapping = Self { base, bytes, page_bytes, guard: Guard::Mark };
        mapping.name();
        mapping.refuse_huge_pages();
        Ok(mapping)
    }

    /// Preferred and not strict: a full node makes buffers slow; it must not end the process.
    fn bind(&self, node: u32) -> Result<(), Errno> {
        let mut nodes = vec![0 as c_ulong; (node / c_ulong::BITS) as usize + 1];
        nodes[(node / c_ulong::BITS) as usize] = 1 << (node % c_ulong::BITS);
        // The kernel takes one off the number of bits.
        let num_bits = nodes.len() * c_ulong::BITS as usize + 1;
        let (base, mode) = (self.base.as_ptr(), libc::MPOL_PREFERRED);
        // SAFETY: a policy changes no content; the kernel reads as many bits as `nodes` has.
        let code = unsafe {
            libc::syscall(libc::SYS_mbind, base, self.bytes, mode, nodes.as_ptr(), num_bits, 0)
        };
        if code == 0 { Ok(()) } else { Err(last_errno()) }
    }

    fn choose_guard(&mut self, offset: usize) -> Result<(), Errno> {
        let install = |mapping: &Self| {
            // SAFETY: the mapping is not shared yet: nobody owns a byte of it.
            unsafe { mapping.guard(offset) }
        };
        if install(self).is_ok() {
            return Ok(());
        }
        self.guard = Guard::Protection;
        install(self)
    }

    fn base(&self) -> NonNull<u8> {
        self.base
    }

    unsafe fn guard(&self, offset: usize) -> Result<(), Errno> {
        match self.guard {
            Guard::Mark => self.advise_page(offset, GUARD_INSTALL),
            Guard::Protection => self.protect_page(offset, MprotectFlags::empty()),
        }
    }

    fn unguard(&self, offset: usize) -> Result<(), Errno> {
        match self.guard {
            Guard::Mark => self.advise_page(offset, GUARD_REMOVE),
            Guard::Protection => {
                self.protect_page(offset, MprotectFlags::READ | MprotectFlags::WRITE)
            }
        }
    }

    unsafe fn discard(&self, offset: usize, bytes: usize) -> Result<(), Errno> {
        let start = self.within(offset, bytes);
        // SAFETY: the caller owns these bytes, and zeros are as initialised as what was there.
        unsafe { rustix::mm::madvise(start, bytes, Advice::LinuxDontNeed) }
    }
}

impl Mapping {
    fn within(&self, offset: usize, bytes: usize) -> *mut c_void {
        assert!(offset + bytes <= self.bytes, "these bytes are in the mapping");
        // SAFETY: the offset is within the mapping.
        unsafe { self.base.add(offset) }.as_ptr().cast()
    }

    /// So that it can be told from others in `/proc/PID/maps`. Kernels without the option refuse,
    /// and nothing is lost.
    fn name(&self) {
        let (base, name) = (self.base.as_ptr(), c"perfecta-pool".as_ptr());
        let (operation, what) = (libc::PR_SET_VMA, libc::PR_SET_VMA_ANON_NAME);
        // SAFETY: a name changes no content; the kernel reads it up to its zero byte.
        unsafe { libc::prctl(operation, what, base, self.bytes, name) };
    }

    /// Kernels without huge pages refuse, and are right.
    fn refuse_huge_pages(&self) {
        let base = self.base.as_ptr().cast();
        // SAFETY: this advice changes no content.
        let _ = unsafe { rustix::mm::madvise(base, self.bytes, Advice::LinuxNoHugepage) };
    }

    fn advise_page(&self, offset: usize, advice: c_int) -> Result<(), Errno> {
        let page = self.within(offset, self.page_bytes);
        // SAFETY: nobody owns a byte of the page: it is, or becomes, a guard.
        let code = unsafe { libc::madvise(page, self.page_bytes, advice) };
        if code == 0 { Ok(()) } else { Err(last_errno()) }
    }

    fn protect_page(&self, offset: usize, access: MprotectFlags) -> Result<(), Errno> {
        let page = self.within(offset, self.page_bytes);
        // SAFETY: nobody owns a byte of the page: it is, or becomes, a guard.
        unsafe { rustix::mm::mprotect(page, self.page_bytes, access) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, made once, and no buffer of it is left: each keeps it.
        let unmapped = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.bytes) };
        unmapped.expect("a whole mapping can be unmapped");
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::check_that_it_ends_the_process;

    fn mapping(num_pages: usize) -> Mapping {
        Mapping::reserve(num_pages * Mapping::page_bytes()).unwrap()
    }

    fn write(mapping: &Mapping, offset: usize, byte: u8) {
        let place = mapping.within(offset, 1).cast::<u8>();
        // SAFETY: the byte is in the mapping, and only this test uses it.
        unsafe { place.write_volatile(byte) };
    }

    fn read(mapping: &Mapping, offset: usize) -> u8 {
        let place = mapping.within(offset, 1).cast::<u8>();
        // SAFETY: the byte is in the mapping, and only this test uses it.
        unsafe { place.read_volatile() }
    }

    /// In a process of its own: touches a guarded page.
    fn check_guard(name: &str, guard: Guard) {
        let page_bytes = Mapping::page_bytes();
        let mut mapping = mapping(3);
        mapping.guard = guard;
        // SAFETY: only this test uses the mapping.
        unsafe { mapping.guard(page_bytes) }.unwrap();
        write(&mapping, page_bytes - 1, 7);
        write(&mapping, 2 * page_bytes, 8);
        let last = 2 * page_bytes - 1;
        check_that_it_ends_the_process(name, || write(&mapping, last, 1));
        mapping.unguard(page_bytes).unwrap();
        write(&mapping, last, 9);
        assert_eq!([page_bytes - 1, last, last + 1].map(|at| read(&mapping, at)), [7, 9, 8]);
    }

    #[test]
    fn a_page_guarded_by_a_mark_cannot_be_touched_until_it_is_unguarded() {
        let mut probe = mapping(1);
        probe.choose_guard(0).unwrap();
        if probe.guard == Guard::Mark {
            check_guard(
                "pool::arena::mapped::tests::\
                 a_page_guarded_by_a_mark_cannot_be_touched_until_it_is_unguarded",
                Guard::Mark,
            );
        }
    }

    #[test]
    fn a_page_guarded_by_protection_cannot_be_touched_until_it_is_unguarded() {
        check_guard(
            "pool::arena::mapped::tests::\
             a_page_guarded_by_protection_cannot_be_touched_until_it_is_unguarded",
            Guard::Protection,
        );
    }

    #[test]
    fn memory_that_is_given_back_is_zero_and_its_neighbours_keep_theirs() {
        let page_bytes = Mapping::page_bytes();
        let mapping = mapping(3);
        (0..3).for_each(|page| write(&mapping, page * page_bytes, 7));
        // SAFETY: only this test uses the mapping, and borrows nothing from it.
        unsafe { mapping.discard(page_bytes, page_bytes) }.unwrap();
        assert_eq!([0, 1, 2].map(|page| read(&mapping, page * page_bytes)), [7, 0, 7]);
    }

    #[test]
    fn memory_cannot_be_bound_to_a_node_that_is_not_there() {
        assert_eq!(mapping(1).bind(1023), Err(Errno::INVAL));
    }
}
