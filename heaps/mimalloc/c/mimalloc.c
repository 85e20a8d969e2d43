/* mimalloc 2 as one unit with our operating-system layer, for one vCPU and cooperative threads.
 * The order of the files is upstream's (src/static.c); left out are the POSIX names and their
 * overrides. */
#define _DEFAULT_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Thread-locals are plain globals and the one thread has a constant id (not 0, low bits clear). */
#define __thread
#define MI_PRIM_THREAD_ID() ((mi_threadid_t)16)
/* The configuration upstream keeps for systems without threads: no pthread locks, no realpath. */
#define __wasi__ 1

/* The C library's errno lives in thread-local storage, which other components do not have. */
#undef errno
static int mimalloc_errno;
#define errno mimalloc_errno

/* A weak C++ name that upstream defines for C programs. */
#define _ZSt15get_new_handlerv mimalloc_no_new_handler

/* Options are set here and in prim.c, never parsed from an environment. */
#define strtol(text, end, base) (*(end) = (char *)(text), 0L)

/* Messages never reach a stream; the names only select the default output. */
#undef stdout
#undef stderr
#define stdout ((FILE *)-1)
#define stderr ((FILE *)-2)

/* Defined in Rust (src/ffi.rs). Lengths are bytes, whole pages. */
void *mimalloc_map(size_t bytes, size_t align, bool *is_zero);
void mimalloc_unmap(void *start, size_t bytes);
void mimalloc_discard(void *start, size_t bytes);
_Noreturn void mimalloc_corrupt(int error);
#define abort() mimalloc_corrupt(EFAULT)

/* A segment is what mimalloc takes from the page source at once: MIMALLOC_SEGMENT bytes, by default 512 KiB
 * instead of 32 MiB, of slices of 8 KiB or a 64th of it (a segment has 64 of them at least). Blocks up
 * to 2 KiB come from pages of 16 KiB, up to 16 KiB from pages of 128 KiB, up to half a segment from
 * spans of slices, larger ones from segments of their own. */
#if MIMALLOC_SEGMENT == 0x40000
#define MI_SEGMENT_SHIFT 18
#define MI_SEGMENT_SLICE_SHIFT 12
#elif MIMALLOC_SEGMENT == 0x80000
#define MI_SEGMENT_SHIFT 19
#define MI_SEGMENT_SLICE_SHIFT 13
#elif MIMALLOC_SEGMENT == 0x100000
#define MI_SEGMENT_SHIFT 20
#define MI_SEGMENT_SLICE_SHIFT 13
#elif MIMALLOC_SEGMENT == 0x200000
#define MI_SEGMENT_SHIFT 21
#define MI_SEGMENT_SLICE_SHIFT 13
#elif MIMALLOC_SEGMENT == 0x400000
#define MI_SEGMENT_SHIFT 22
#define MI_SEGMENT_SLICE_SHIFT 13
#else
#error "MIMALLOC_SEGMENT is a power of two from 256 KiB to 4 MiB"
#endif
#define MI_SMALL_PAGE_SHIFT 14
/* Segments go straight to and from the page source: no arenas, unless mimalloc_start is told of a reserve. */
#define MI_DEFAULT_DISALLOW_ARENA_ALLOC 1
#define MI_DEFAULT_ARENA_RESERVE 0
#define MI_DEFAULT_ALLOW_THP 0

#include "mimalloc.h"
#include "mimalloc/internal.h"

#include "alloc.c"
#include "alloc-aligned.c"
#include "arena.c"
#include "bitmap.c"
#include "heap.c"
#include "init.c"
#include "libc.c"
#include "options.c"
#include "os.c"
#include "page.c"
#include "random.c"
#include "segment.c"
#include "segment-map.c"
#include "stats.c"

#include "prim.c"

/* Frees a live block and returns its usable size. */
size_t mimalloc_free_counted(void *p)
{
	size_t bytes = mi_usable_size(p);
	mi_free(p);
	return bytes;
}

/* As mi_urealloc, which counts a block in front of an over-aligned start as usable. */
void *mimalloc_resize_counted(void *p, size_t size, size_t *before, size_t *granted)
{
	*before = mi_usable_size(p);
	void *moved = mi_realloc(p, size);
	*granted = mi_usable_size(moved);
	return moved;
}
