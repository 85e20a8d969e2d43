/* The stack of a thread whose attributes name no size: 1 MiB, of which an image gives what is touched
 * (libos/src/threads/stacks.rs), instead of 128 KiB. Programs written for a larger default then run. */

#include "pthread_impl.h"

unsigned __default_stacksize = 1 << 20;
unsigned __default_guardsize = DEFAULT_GUARD_SIZE;
