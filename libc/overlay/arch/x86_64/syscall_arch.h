/* Every system call of the C library is a function call into the library OS.
 *
 * Replaces the header with the `syscall` instructions. There is no vDSO: reading the clock is a
 * call like any other, and costs no more than the vDSO would. Must never execute `syscall`: at
 * CPL 3 without a kernel beneath it is an invalid instruction. */

#include "bespoke_groups.h"

/* libos/src/calls: Linux numbers, arguments and results (>= 0, or a negated errno). */
long bespoke_syscall(long number, long a, long b, long c, long d, long e, long f);

static inline long __syscall0(long number)
{
	return bespoke_syscall(number, 0, 0, 0, 0, 0, 0);
}

static inline long __syscall1(long number, long a)
{
	return bespoke_syscall(number, a, 0, 0, 0, 0, 0);
}

static inline long __syscall2(long number, long a, long b)
{
	return bespoke_syscall(number, a, b, 0, 0, 0, 0);
}

static inline long __syscall3(long number, long a, long b, long c)
{
	return bespoke_syscall(number, a, b, c, 0, 0, 0);
}

static inline long __syscall4(long number, long a, long b, long c, long d)
{
	return bespoke_syscall(number, a, b, c, d, 0, 0);
}

static inline long __syscall5(long number, long a, long b, long c, long d, long e)
{
	return bespoke_syscall(number, a, b, c, d, e, 0);
}

static inline long __syscall6(long number, long a, long b, long c, long d, long e, long f)
{
	return bespoke_syscall(number, a, b, c, d, e, f);
}

/* What musl asks of this header besides: 64-bit values travel whole, and System V IPC structures
 * have one layout. */
#define __SYSCALL_LL_E(value) (value)
#define __SYSCALL_LL_O(value) (value)
#define IPC_64 0
