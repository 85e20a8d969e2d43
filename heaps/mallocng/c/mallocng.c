/* mallocng as one unit, so that the compiler sees through its helpers. */
#define _GNU_SOURCE
#define _BSD_SOURCE
#include "glue.h"

#include "malloc.c"
#include "free.c"
#include "realloc.c"
#include "aligned_alloc.c"
#include "malloc_usable_size.c"

/* Frees a live block and returns its usable size. */
size_t mallocng_free_counted(void *p)
{
	size_t bytes = malloc_usable_size(p);
	free(p);
	return bytes;
}
