/* An image with this function has the locks that it asks for: nothing to try out, as with kernels that may lack them. */

#include "pthread_impl.h"
#include "syscall.h"

/* The attribute's bit of a lock whose waiters lend their priority. */
#define INHERITS 8

int pthread_mutexattr_setprotocol(pthread_mutexattr_t *attributes, int protocol)
{
	BESPOKE_REFER(locks);
	switch (protocol) {
	case PTHREAD_PRIO_NONE:
		attributes->__attr &= ~INHERITS;
		return 0;
	case PTHREAD_PRIO_INHERIT:
		attributes->__attr |= INHERITS;
		return 0;
	case PTHREAD_PRIO_PROTECT:
		return ENOTSUP;
	}
	return EINVAL;
}
