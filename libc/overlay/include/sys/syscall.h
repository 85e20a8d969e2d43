/* Numbers of system calls, and `syscall` that refers to the call group of its number (bits/bespoke_calls.h). */

#ifndef _SYS_SYSCALL_H
#define _SYS_SYSCALL_H

#include <bits/syscall.h>

/* The C library itself refers in another way (bespoke_groups.h). */
#ifndef BESPOKE_IN_LIBC

#include <bits/bespoke_calls.h>
/* Declares the function `syscall`, which it must do before there is a macro of that name. */
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As `syscall`, for a number whose group is linked. */
long bespoke_known_call(long, ...);

#ifdef __cplusplus
}
#endif

#define BESPOKE_REFER_IF(number, group, name) \
	if (__builtin_constant_p(number) && (number) == __NR_##name) BESPOKE_REFER(group);

#define syscall(number, ...) bespoke_known_call(__extension__ ({ \
	BESPOKE_CALLS(BESPOKE_REFER_IF, number) \
	if (!__builtin_constant_p(number)) BESPOKE_REFER_TO_ALL(); \
	(long)(number); }), ##__VA_ARGS__)

#endif

#endif
