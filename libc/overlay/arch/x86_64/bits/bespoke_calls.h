/* The call group of each system call that few programs make (libos/src/calls/groups).
 *
 * Who makes such a call refers to its group by a relocation that changes nothing, where the call is made. An image has
 * the groups that its functions refer to. The C library's own functions do so through bespoke_groups.h, applications
 * that call `syscall` with a constant number through sys/syscall.h; any other use of `syscall` brings all groups. */

#ifndef BESPOKE_BITS_CALLS_H
#define BESPOKE_BITS_CALLS_H

/* Weak in applications, so that what configure scripts link for this machine links, too. */
#ifdef BESPOKE_IN_LIBC
#define BESPOKE_REFER(group) __asm__ (".reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#else
#define BESPOKE_REFER(group) \
	__asm__ (".weak bespoke_calls_" #group "\n.reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#endif

#define BESPOKE_REFER_TO_ALL() do { \
	BESPOKE_REFER(scheduling); \
	BESPOKE_REFER(sockets); \
} while (0)

/* Each call, as USE(NUMBER, GROUP, NAME). */
#define BESPOKE_CALLS(USE, number) \
	USE(number, scheduling, getcpu) \
	USE(number, scheduling, getpriority) \
	USE(number, scheduling, sched_get_priority_max) \
	USE(number, scheduling, sched_get_priority_min) \
	USE(number, scheduling, sched_getaffinity) \
	USE(number, scheduling, sched_getparam) \
	USE(number, scheduling, sched_getscheduler) \
	USE(number, scheduling, sched_rr_get_interval) \
	USE(number, scheduling, sched_setaffinity) \
	USE(number, scheduling, sched_setparam) \
	USE(number, scheduling, sched_setscheduler) \
	USE(number, scheduling, setpriority) \
	USE(number, sockets, accept) \
	USE(number, sockets, accept4) \
	USE(number, sockets, bind) \
	USE(number, sockets, connect) \
	USE(number, sockets, getpeername) \
	USE(number, sockets, getsockname) \
	USE(number, sockets, getsockopt) \
	USE(number, sockets, listen) \
	USE(number, sockets, recvfrom) \
	USE(number, sockets, recvmsg) \
	USE(number, sockets, sendmsg) \
	USE(number, sockets, sendto) \
	USE(number, sockets, setsockopt) \
	USE(number, sockets, shutdown) \
	USE(number, sockets, socket) \
	USE(number, sockets, socketpair)

#endif
