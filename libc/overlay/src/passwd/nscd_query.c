/* An image has no daemon that caches names of users, so nobody is asked: the same answer as where its socket is
 * missing, and no socket is made, so that programs without sockets of their own have none. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "nscd.h"

FILE *__nscd_query(int32_t request, const char *key, int32_t *answer, size_t bytes, int *swap)
{
	int before = errno;
	FILE *nothing = fopen("/dev/null", "re");
	(void)request, (void)key;
	*swap = 0;
	memset(answer, 0, bytes);
	answer[0] = NSCDVERSION;
	if (nothing)
		errno = before;
	return nothing;
}
