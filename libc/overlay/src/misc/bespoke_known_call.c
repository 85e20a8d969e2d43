/* `syscall` of a number whose call group its caller refers to: sys/syscall.h. */

#include <stdarg.h>
#include "syscall.h"

long bespoke_known_call(long number, ...)
{
	long arguments[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arguments[i] = va_arg(list, long);
	va_end(list);
	return __syscall_ret(bespoke_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3],
		arguments[4], arguments[5]));
}
