/* Who the process is, and what it may ask of its scheduler. */
#include "calls.h"
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/sysinfo.h>
#include <sys/wait.h>
#include <sys/random.h>

/* <linux/membarrier.h>, which images do not have. */
enum { MEMBARRIER_CMD_QUERY = 0, MEMBARRIER_CMD_GLOBAL = 1, MEMBARRIER_CMD_PRIVATE_EXPEDITED = 8,
	MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 16 };

static void identity(void)
{
	uid_t r = 9, e = 9, s = 9;
	gid_t groups[4] = {7, 7, 7, 7};
	O(S(getuid));
	O(S(geteuid));
	O(S(getgid));
	O(S(getegid));
	O(S(getresuid, &r, &e, &s));
	V(r + e + s);
	r = e = s = 9;
	O(S(getresgid, &r, &e, &s));
	V(r + e + s);
	O(S(setuid, 0));
	O(S(setgid, 0));
	O(S(setuid, -1));
	O(S(setgid, -1));
	O(S(setreuid, -1, -1));
	O(S(setregid, -1, -1));
	O(S(setreuid, 0, 0));
	O(S(setregid, 0, 0));
	O(S(setresuid, -1, -1, -1));
	O(S(setresgid, -1, -1, -1));
	O(S(setresuid, 0, 0, 0));
	O(S(setresgid, 0, 0, 0));
	O(S(setfsuid, -1));
	O(S(setfsgid, -1));
	O(S(setfsuid, 0));
	O(S(setfsgid, 0));
	O(S(setgroups, 0, 0));
	O(S(getgroups, 0, 0));
	O(S(getgroups, -1, 0));
	O(S(getgroups, 4, groups));
	O(S(setgroups, -1, 0));
	O(S(setgroups, 65537, groups));
	groups[0] = 5, groups[1] = 6;
	O(S(setgroups, 2, groups));
	O(S(getgroups, 0, 0));
	O(S(getgroups, 1, groups));
	groups[0] = groups[1] = 0;
	O(S(getgroups, 4, groups));
	V(groups[0]);
	V(groups[1]);
	V(groups[2]);
	O(S(setgroups, 0, 0));
	O(S(getgroups, 4, groups));
}

static void sessions(void)
{
	static unsigned word[2];
	V(S(getpgid, 0) == S(getpgrp));
	V(S(getpgid, getpid()) == S(getpgrp));
	O(S(getpgid, 99999));
	O(S(kill, -getpgrp(), 0));
	O(S(kill, -getpgrp(), 65));
	O(S(getpgid, -1));
	OK(S(getsid, 0));
	V(S(getsid, 0) == S(getsid, getpid()));
	O(S(getsid, 99999));
	O(S(getsid, -1));
	O(S(setpgid, 99999, 0));
	O(S(setpgid, 0, -1));
	O(S(setpgid, -1, 0));
	O(S(setpgid, 0, 99999));
	V(gettid() == getpid());
	O(S(kill, 99999, 0));
	O(S(kill, getpid(), 0));
	O(S(kill, getpid(), 65));
	O(S(kill, getpid(), -1));
	O(S(kill, -99999, 0));
	O(S(mlockall, 0));
	O(S(mlockall, 8));
	O(S(mlock2, word, 8, 4));
	O(S(futex, word, 1 | 256, 1, 0, 0, 0));
	O(S(futex, word, 3, 1, 0, 0, 0));
	O(S(futex, word, 99, 1, 0, 0, 0));
	O(S(tkill, 0, 0));
	O(S(tkill, -1, 0));
	O(S(tkill, 99999, 0));
	O(S(tkill, getpid(), 65));
	O(S(tgkill, 0, getpid(), 0));
	O(S(tgkill, getpid(), 0, 0));
	O(S(tgkill, getpid(), -1, 0));
	O(S(tgkill, getpid(), 99999, 0));
	O(S(tgkill, 99999, gettid(), 0));
	O(S(tgkill, getpid(), gettid(), 65));
	O(S(tgkill, getpid(), gettid(), 0));
}

static void children(void)
{
	int status = 77;
	siginfo_t info;
	struct rusage usage;
	O(S(wait4, -1, &status, 0, 0));
	O(S(wait4, -1, &status, WNOHANG, &usage));
	O(S(wait4, 1234567, &status, 0, 0));
	O(S(wait4, 0, &status, WNOHANG, 0));
	O(S(wait4, -1, &status, 0x10000000, 0));
	O(S(wait4, -1, &status, 64, 0));
	O(S(wait4, -2147483647 - 1, &status, 0, 0));
	V(status);
	O(S(waitid, P_ALL, 0, &info, WEXITED, 0));
	O(S(waitid, P_ALL, 0, &info, WEXITED | WNOHANG, 0));
	O(S(waitid, P_ALL, 0, &info, 0, 0));
	O(S(waitid, P_ALL, 0, &info, WNOHANG, 0));
	O(S(waitid, 99, 0, &info, WEXITED, 0));
	O(S(waitid, P_PID, 0, &info, WEXITED, 0));
	O(S(waitid, P_PID, 1234567, &info, WEXITED, 0));
	O(S(waitid, P_PID, 1234567, &info, WEXITED | 0x10000, 0));
	O(S(waitid, P_PGID, -1, &info, WEXITED, 0));
	O(wait(0));
	O(waitpid(-1, 0, WNOHANG));
}

static void priorities(void)
{
	O(S(setpriority, PRIO_PROCESS, 0, 0));
	O(S(getpriority, PRIO_PROCESS, 0));
	O(S(getpriority, PRIO_PGRP, 0));
	O(S(getpriority, 3, 0));
	O(S(getpriority, -1, 0));
	O(S(getpriority, PRIO_PROCESS, 99999));
	O(S(getpriority, PRIO_PGRP, 99999));
	O(S(getpriority, PRIO_USER, 99999));
	O(S(setpriority, 3, 0, 0));
	O(S(setpriority, PRIO_PROCESS, 99999, 0));
	O(S(setpriority, PRIO_PROCESS, 0, 5));
	O(S(getpriority, PRIO_PROCESS, 0));
	O(getpriority(PRIO_PROCESS, 0));
	O(S(setpriority, PRIO_PROCESS, 0, 100));
	O(S(getpriority, PRIO_PROCESS, 0));
	O(nice(0));
	O(S(setpriority, PRIO_PROCESS, 0, 0));
	O(S(getpriority, PRIO_PROCESS, 0));
	O(nice(3));
	O(S(getpriority, PRIO_PROCESS, 0));
	O(S(setpriority, PRIO_PROCESS, 0, 0));
	O(S(ioprio_get, 1, 0));
	O(S(ioprio_get, 9, 0));
	O(S(ioprio_get, 1, 99999));
}

static void schedulers(void)
{
	struct sched_param parameter = {.sched_priority = 33};
	struct timespec interval = {9, 9};
	unsigned cpu = 99, node = 99;
	unsigned long set[16] = {0};
	O(S(sched_getscheduler, 0));
	O(S(sched_getscheduler, -1));
	O(S(sched_getscheduler, 99999));
	O(S(sched_getparam, 0, &parameter));
	V(parameter.sched_priority);
	O(S(sched_getparam, 0, 0));
	O(S(sched_getparam, -1, &parameter));
	O(S(sched_getparam, 99999, &parameter));
	parameter.sched_priority = 0;
	O(S(sched_setscheduler, 0, SCHED_OTHER, &parameter));
	O(S(sched_setscheduler, 0, 99, &parameter));
	O(S(sched_setscheduler, 0, -1, &parameter));
	O(S(sched_setscheduler, -1, SCHED_OTHER, &parameter));
	O(S(sched_setscheduler, 99999, SCHED_OTHER, &parameter));
	O(S(sched_setscheduler, 0, SCHED_OTHER, 0));
	O(S(sched_setparam, 0, &parameter));
	O(S(sched_setparam, 0, 0));
	parameter.sched_priority = 1;
	O(S(sched_setscheduler, 0, SCHED_OTHER, &parameter));
	O(S(sched_setparam, 0, &parameter));
	parameter.sched_priority = 0;
	O(S(sched_setscheduler, 0, SCHED_FIFO, &parameter));
	parameter.sched_priority = 100;
	O(S(sched_setscheduler, 0, SCHED_FIFO, &parameter));
	parameter.sched_priority = 0;
	O(S(sched_setscheduler, 0, SCHED_BATCH, &parameter));
	O(S(sched_getscheduler, 0));
	O(S(sched_setscheduler, 0, SCHED_OTHER, &parameter));
	O(S(sched_getscheduler, 0));
	O(S(sched_get_priority_max, SCHED_OTHER));
	O(S(sched_get_priority_min, SCHED_OTHER));
	O(S(sched_get_priority_max, SCHED_FIFO));
	O(S(sched_get_priority_min, SCHED_FIFO));
	O(S(sched_get_priority_max, SCHED_RR));
	O(S(sched_get_priority_min, SCHED_RR));
	O(S(sched_get_priority_max, SCHED_BATCH));
	O(S(sched_get_priority_max, SCHED_IDLE));
	O(S(sched_get_priority_max, 6));
	O(S(sched_get_priority_min, 6));
	O(S(sched_get_priority_max, 4));
	O(S(sched_get_priority_max, 99));
	O(S(sched_get_priority_min, -1));
	OK(S(sched_rr_get_interval, 0, &interval));
	O(S(sched_rr_get_interval, -1, &interval));
	O(S(sched_rr_get_interval, 99999, &interval));
	O(S(sched_yield));
	V(S(sched_getaffinity, 0, sizeof set, set) > 0);
	V(set[0] & 1);
	O(S(sched_getaffinity, 0, 4, set));
	O(S(sched_getaffinity, 0, 9, set));
	O(S(sched_getaffinity, 0, 0, set));
	O(S(sched_getaffinity, 99999, sizeof set, set));
	O(S(sched_getaffinity, -1, sizeof set, set));
	O(S(sched_getaffinity, 0, sizeof set, 0));
	set[0] = 0;
	O(S(sched_setaffinity, 0, sizeof set, set));
	set[0] = 1;
	O(S(sched_setaffinity, 99999, sizeof set, set));
	O(S(sched_setaffinity, 0, sizeof set, set));
	O(S(sched_setaffinity, 0, sizeof set, 0));
	set[0] = 77;
	V(S(sched_getaffinity, 0, sizeof set, set) > 0);
	V(set[0]);
	O(S(getcpu, &cpu, &node, 0));
	V(cpu);
	V(node);
	O(S(getcpu, 0, 0, 0));
	O(sched_getcpu());
}

static void prctls(void)
{
	char name[32];
	int value;
	O(prctl(9999, 0, 0, 0, 0));
	O(prctl(0, 0, 0, 0, 0));
	O(prctl(-1, 0, 0, 0, 0));
	O(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	O(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	O(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	O(prctl(PR_SET_DUMPABLE, 2, 0, 0, 0));
	O(prctl(PR_SET_DUMPABLE, 9, 0, 0, 0));
	O(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
	O(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	value = 99;
	O(prctl(PR_GET_PDEATHSIG, &value, 0, 0, 0));
	V(value);
	O(prctl(PR_SET_PDEATHSIG, 99, 0, 0, 0));
	O(prctl(PR_SET_PDEATHSIG, 15, 0, 0, 0));
	O(prctl(PR_GET_PDEATHSIG, &value, 0, 0, 0));
	V(value);
	O(prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0));
	O(prctl(PR_GET_PDEATHSIG, 0, 0, 0, 0));
	O(prctl(PR_SET_NAME, "a name that is too long", 0, 0, 0));
	memset(name, 'x', sizeof name);
	O(prctl(PR_GET_NAME, name, 0, 0, 0));
	printf("prctl: name %.20s\n", name);
	O(prctl(PR_SET_NAME, "short", 0, 0, 0));
	O(prctl(PR_GET_NAME, name, 0, 0, 0));
	printf("prctl: name %.20s\n", name);
	O(prctl(PR_SET_NAME, 0, 0, 0, 0));
	O(prctl(PR_GET_NAME, 0, 0, 0, 0));
	O(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	O(prctl(PR_SET_KEEPCAPS, 2, 0, 0, 0));
	O(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	O(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	O(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0));
	O(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
	O(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
	O(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
	O(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	O(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	O(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	O(prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
	O(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	O(prctl(PR_SET_TIMERSLACK, 70000, 0, 0, 0));
	O(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	O(prctl(PR_SET_TIMERSLACK, 0, 0, 0, 0));
	O(prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0));
	O(prctl(PR_GET_TIMING, 0, 0, 0, 0));
	O(prctl(PR_SET_TIMING, 0, 0, 0, 0));
	O(prctl(PR_SET_TIMING, 1, 0, 0, 0));
	value = 99;
	O(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0));
	V(value);
	O(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
	O(prctl(PR_GET_CHILD_SUBREAPER, &value, 0, 0, 0));
	V(value);
	O(prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0));
	O(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	O(prctl(PR_GET_THP_DISABLE, 0, 1, 0, 0));
	O(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	O(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
	O(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0));
	O(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	O(prctl(PR_CAPBSET_READ, 0, 0, 0, 0));
	O(prctl(PR_CAPBSET_READ, 99, 0, 0, 0));
	value = 99;
	O(prctl(PR_GET_TSC, &value, 0, 0, 0));
	V(value);
	O(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
	O(prctl(PR_MCE_KILL_GET, 1, 0, 0, 0));
	O(prctl(PR_GET_ENDIAN, &value, 0, 0, 0));
	O(prctl(PR_GET_FPEMU, &value, 0, 0, 0));
	O(prctl(PR_GET_UNALIGN, &value, 0, 0, 0));
	O(prctl(PR_TASK_PERF_EVENTS_DISABLE, 0, 0, 0, 0));
	O(prctl(PR_SET_PTRACER, 0, 0, 0, 0));
	O(prctl(PR_SET_MM, 99, 0, 0, 0));
	O(prctl(PR_GET_TID_ADDRESS, 0, 0, 0, 0));
	O(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
	O(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0));
	O(prctl(PR_GET_SPECULATION_CTRL, 99, 0, 0, 0));
	O(prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0));
	O(S(personality, 0xffffffff));
	O(S(personality, 0));
	O(S(membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	V(S(membarrier, MEMBARRIER_CMD_QUERY, 0, 0) > 0);
	O(S(membarrier, MEMBARRIER_CMD_QUERY, 1, 0));
	O(S(membarrier, 1 << 20, 0, 0));
	O(S(membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	O(S(membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	O(S(arch_prctl, 0x9999, 0));
	{
		unsigned long base = 0;
		O(S(arch_prctl, 0x1003, &base));
		V(base != 0);
	}
}

static void machine(void)
{
	struct utsname name;
	struct sysinfo info;
	O(S(uname, &name));
	printf("machine: %s %s\n", name.sysname, name.machine);
	O(S(uname, 0));
	O(S(sysinfo, &info));
	V(info.mem_unit > 0);
	V(info.totalram >= info.freeram);
	V(info.procs > 0);
	V(info.uptime >= 0);
	O(S(sysinfo, 0));
	V(sysconf(_SC_PAGESIZE));
	V(sysconf(_SC_CLK_TCK));
	V(sysconf(_SC_IOV_MAX));
	V(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	V(sysconf(_SC_NPROCESSORS_CONF) >= 1);
	V(sysconf(_SC_PHYS_PAGES) > 0);
	V(sysconf(_SC_AVPHYS_PAGES) > 0);
	V(sysconf(_SC_OPEN_MAX) > 0);
}

static void randomness(void)
{
	unsigned char bytes[64] = {0};
	O(S(getrandom, bytes, 16, 0));
	O(S(getrandom, bytes, 16, GRND_NONBLOCK));
	O(S(getrandom, bytes, 16, GRND_RANDOM));
	O(S(getrandom, bytes, 16, 4));
	O(S(getrandom, bytes, 16, 4 | GRND_NONBLOCK));
	O(S(getrandom, bytes, 16, 6));
	O(S(getrandom, bytes, 16, 99));
	O(S(getrandom, bytes, 16, 8));
	O(S(getrandom, bytes, 0, 0));
	O(S(getrandom, bytes, 0, 99));
	O(S(getrandom, 0, 16, 0));
	O(S(getrandom, 0, 0, 0));
	O(getentropy(bytes, 64));
	O(getentropy(bytes, 257));
}

static void masks(void)
{
	O(S(umask, 022));
	O(S(umask, 0777));
	O(S(umask, 07777));
	O(S(umask, -1));
	O(S(umask, 022));
	O(S(umask, 022));
}

static void handler(int signal)
{
	(void)signal;
}

static void signals(void)
{
	struct { void (*handler)(int); unsigned long flags; void *restorer; unsigned long mask; } action = {0}, old;
	unsigned long set = 0;
	struct timespec now = {0, 0}, wrong = {0, 2000000000}, negative = {-1, 0};
	stack_t stack = {0}, before;
	static char memory[65536];
	(void)handler;
	O(S(rt_sigaction, 0, 0, 0, 8));
	O(S(rt_sigaction, 65, 0, 0, 8));
	O(S(rt_sigaction, SIGUSR1, 0, 0, 4));
	O(S(rt_sigaction, SIGKILL, &action, 0, 8));
	O(S(rt_sigaction, SIGSTOP, &action, 0, 8));
	O(S(rt_sigaction, SIGKILL, 0, &old, 8));
	O(S(rt_sigaction, SIGUSR1, 0, &old, 8));
	V(old.handler == SIG_DFL);
	action.handler = SIG_IGN;
	/* The C library's bit 0x04000000 aside. */
	action.flags = 0xfbffffff;
	action.mask = -1ul;
	O(S(rt_sigaction, SIGUSR2, &action, 0, 8));
	O(S(rt_sigaction, SIGUSR2, 0, &old, 8));
	V(old.flags);
	V(old.mask);
	O(S(rt_sigprocmask, 9, &set, 0, 8));
	O(S(rt_sigprocmask, 9, 0, &set, 8));
	O(S(rt_sigprocmask, SIG_BLOCK, &set, 0, 4));
	set = -1ul;
	O(S(rt_sigprocmask, SIG_BLOCK, &set, 0, 8));
	O(S(rt_sigprocmask, SIG_BLOCK, 0, &set, 8));
	V(set);
	set = 0;
	O(S(rt_sigpending, &set, 8));
	V(set);
	O(S(rt_sigpending, &set, 16));
	O(S(rt_sigpending, 0, 8));
	O(S(kill, getpid(), SIGUSR1));
	O(S(rt_sigpending, &set, 8));
	V(set);
	set = 1ul << (SIGUSR1 - 1);
	O(S(rt_sigtimedwait, &set, 0, &wrong, 8));
	O(S(rt_sigtimedwait, &set, 0, &negative, 8));
	O(S(rt_sigtimedwait, &set, 0, &now, 4));
	O(S(rt_sigtimedwait, &set, 0, &now, 8));
	O(S(rt_sigtimedwait, &set, 0, &now, 8));
	O(S(rt_sigsuspend, &set, 4));
	set = 0;
	O(S(rt_sigprocmask, SIG_SETMASK, &set, 0, 8));
	O(S(sigaltstack, 0, &before));
	V(before.ss_flags);
	V(before.ss_size);
	stack.ss_sp = memory, stack.ss_size = 100;
	O(S(sigaltstack, &stack, 0));
	stack.ss_size = sizeof memory, stack.ss_flags = 77;
	O(S(sigaltstack, &stack, 0));
	stack.ss_flags = 0;
	O(S(sigaltstack, &stack, 0));
	O(S(sigaltstack, 0, &before));
	V(before.ss_sp == memory);
	V(before.ss_size);
	V(before.ss_flags);
	stack.ss_flags = SS_DISABLE;
	O(S(sigaltstack, &stack, 0));
	O(S(set_robust_list, 0, 9));
}

void process_groups(void)
{
	if (group("identity"))
		identity();
	if (group("sessions"))
		sessions();
	if (group("children"))
		children();
	if (group("schedulers"))
		schedulers();
	if (group("prctl"))
		prctls();
	if (group("machine"))
		machine();
	if (group("randomness"))
		randomness();
	if (group("masks"))
		masks();
	if (group("signals"))
		signals();
	/* Last, as it cannot be undone without the right to. */
	if (group("priorities"))
		priorities();
}
