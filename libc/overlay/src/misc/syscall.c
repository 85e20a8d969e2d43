/* Any system call by its number, so an image with this function has every call group. */

#include <stdarg.h>
#include "syscall.h"

#undef syscall

long syscall(long number, ...)
{
	long arguments[6];
	va_list list;

	BESPOKE_REFER_TO_ALL();
	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	return __syscall_ret(bespoke_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
		arguments[4], arguments[5]));
}
