/* What mallocng asks of its surroundings, for one vCPU and cooperative threads: no locks, plain
 * instead of atomic operations, pages from the page source, and a report instead of a trap.
 * Stands in the place of musl's glue.h; its include guard keeps that one out. */
#ifndef MALLOC_GLUE_H
#define MALLOC_GLUE_H

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Every global name carries the heap's own prefix: an image may also hold musl's malloc. */
#define size_classes mallocng_size_classes
#define ctx mallocng_context
#define alloc_meta mallocng_alloc_meta
#define is_allzero mallocng_is_allzero
#define malloc mallocng_malloc
#define realloc mallocng_realloc
#define free mallocng_free
#define aligned_alloc mallocng_aligned_alloc
#define malloc_usable_size mallocng_usable_size

/* Defined in Rust (src/ffi.rs). Lengths are bytes, rounded up to pages there. */
void *mallocng_map(size_t bytes);
void mallocng_unmap(void *start, size_t bytes);
void *mallocng_remap(void *start, size_t old_bytes, size_t new_bytes);
uint64_t mallocng_secret(void);
_Noreturn void mallocng_corrupt(const char *assertion);

#undef mmap
#define mmap(hint, bytes, protection, flags, descriptor, offset) mallocng_map(bytes)
#undef munmap
#define munmap(start, bytes) mallocng_unmap(start, bytes)
#undef mremap
#define mremap(start, old_bytes, new_bytes, flags) mallocng_remap(start, old_bytes, new_bytes)
/* Pages inside a group stay with the group: the page source takes whole runs only. */
#undef madvise
#define madvise(start, bytes, advice) ((void)(start), (void)(bytes))
#undef mprotect
#define mprotect(start, bytes, protection) 0
/* There is no break: metadata pages are mapped. */
#undef brk
#define brk(address) ((uintptr_t)-1)

/* The C library's errno lives in thread-local storage, which other components do not have. */
#undef errno
static int mallocng_errno;
#define errno mallocng_errno

#undef assert
#define assert(x) do { if (!(x)) mallocng_corrupt(#x); } while (0)

#undef PAGESIZE
#define PAGESIZE 4096

#define DISABLE_ALIGNED_ALLOC 0
#define MT 0
#define RDLOCK_IS_EXCLUSIVE 1
#define LOCK_OBJ_DEF _Static_assert(1, "no lock to define")

static inline void rdlock(void) {}
static inline void wrlock(void) {}
static inline void unlock(void) {}
static inline void upgradelock(void) {}

static inline uint64_t get_random_secret(void)
{
	return mallocng_secret();
}

static inline int a_cas(volatile int *p, int expected, int desired)
{
	int found = *p;
	if (found == expected) *p = desired;
	return found;
}

static inline void a_or(volatile int *p, int bits)
{
	*p |= bits;
}

static inline int a_ctz_32(uint32_t x)
{
	return __builtin_ctz(x);
}

static inline int a_clz_32(uint32_t x)
{
	return __builtin_clz(x);
}

#endif
