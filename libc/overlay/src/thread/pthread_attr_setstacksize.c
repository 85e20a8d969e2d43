/* A thread's stack is never larger than a quarter of the main one, which the image's recipe sizes, or
 * than 128 KiB, what musl gives who asks for nothing.
 *
 * Memory of an image is all there is: what a program asks for to be on the safe side on a system
 * that gives pages only as they are touched (Redis: 4 MiB a thread) would be taken at once. A
 * stack that proves too small meets its guard, and the report says so. */

#include "pthread_impl.h"

/* libos/src/threads/stacks.rs */
hidden size_t bespoke_stack_limit(void);

int pthread_attr_setstacksize(pthread_attr_t *attributes, size_t bytes)
{
	size_t limit = bespoke_stack_limit();
	/* More than a quarter of the address space is a mistake, on any system. */
	if (bytes < PTHREAD_STACK_MIN || bytes > SIZE_MAX / 4)
		return EINVAL;
	attributes->_a_stackaddr = 0;
	attributes->_a_stacksize = bytes > limit ? limit : bytes;
	return 0;
}
