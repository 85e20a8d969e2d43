/* Clocks and what sleeps by them, signals that are waited for, and what the process knows of itself. */
#include "calls.h"
#include <elf.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

static char *closed;

static void rest(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static long now_ms(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static struct timespec later(clockid_t clock, long ms)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_nsec += ms % 1000 * 1000000;
	time.tv_sec += ms / 1000 + time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static volatile int handled, times_handled;
static siginfo_t told;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	handled = signal;
	times_handled++;
	told = *info;
}

static void handle(int signal, int flags)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
	sigaction(signal, &action, 0);
	handled = times_handled = 0;
}

static unsigned long bit(int signal)
{
	return 1ul << (signal - 1);
}

static void block(unsigned long set)
{
	S(rt_sigprocmask, SIG_SETMASK, &set, 0, 8);
}

static void tell_info(siginfo_t *info)
{
	printf("%s: signal %d, errno %d, code %d, pid %d, uid %d, value %ld\n", group_name, info->si_signo, info->si_errno,
		info->si_code, info->si_pid == getpid(), info->si_uid, info->si_code == SI_QUEUE ? (long)info->si_ptr : 0);
}

static void clock_values(void)
{
	struct timespec a, b;
	V(labs(now_ms(CLOCK_REALTIME) - now_ms(CLOCK_REALTIME_COARSE)) <= 20);
	V(labs(now_ms(CLOCK_MONOTONIC) - now_ms(CLOCK_MONOTONIC_COARSE)) <= 20);
	V(labs(now_ms(CLOCK_MONOTONIC) - now_ms(CLOCK_MONOTONIC_RAW)) <= 60000);
	V(now_ms(CLOCK_BOOTTIME) - now_ms(CLOCK_MONOTONIC) >= 0);
	V(labs(now_ms(CLOCK_REALTIME) - now_ms(CLOCK_TAI)) <= 60000);
	V(labs(now_ms(CLOCK_REALTIME) / 1000 - time(0)) <= 1);
	for (int i = 0; i < 3; i++) {
		clock_gettime(CLOCK_MONOTONIC, &a);
		clock_gettime(CLOCK_MONOTONIC, &b);
		V(b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
	}
	O(S(clock_gettime, CLOCK_REALTIME, closed));
	O(S(clock_gettime, 99, closed));
	O(S(clock_getres, CLOCK_REALTIME, closed));
	O(S(clock_getres, 99, closed));
	O(S(clock_settime, CLOCK_REALTIME, closed));
	O(S(clock_settime, CLOCK_REALTIME, 0));
	O(S(clock_settime, CLOCK_BOOTTIME, &a));
	O(S(clock_settime, CLOCK_PROCESS_CPUTIME_ID, &a));
	O(S(clock_settime, CLOCK_TAI, &a));
	O(S(clock_settime, CLOCK_REALTIME_COARSE, &a));
	O(S(clock_settime, -1, &a));
	a = (struct timespec){-1, 0};
	O(S(clock_settime, CLOCK_REALTIME, &a));
	O(S(gettimeofday, closed, 0));
	O(S(gettimeofday, 0, closed));
	O(S(settimeofday, closed, 0));
	O(S(time, closed));
	O(S(times, closed));
	O(S(getrusage, RUSAGE_SELF, closed));
	O(S(getitimer, ITIMER_REAL, closed));
	O(S(getitimer, 3, closed));
	O(S(setitimer, ITIMER_REAL, closed, 0));
	O(S(setitimer, 3, closed, 0));
}

static void clock_tuning(void)
{
	struct timex now = {0};
	V(S(adjtimex, &now) >= 0);
	V(now.tick);
	V(now.time.tv_sec > 1000000000);
	V(now.precision);
	V(now.tolerance);
	V(now.maxerror >= 0);
	now = (struct timex){0};
	V(S(clock_adjtime, CLOCK_REALTIME, &now) >= 0);
	O(S(clock_adjtime, CLOCK_MONOTONIC, &now));
	O(S(clock_adjtime, 99, &now));
	O(S(clock_adjtime, CLOCK_REALTIME, closed));
	O(S(adjtimex, closed));
	O(S(adjtimex, 0));
	now = (struct timex){.modes = ADJ_TICK, .tick = 5};
	O(S(adjtimex, &now));
}

static void clock_sleeps(void)
{
	struct timespec time, left = {7, 7}, negative = {-1, 0}, wrong = {0, 1000000000}, nought = {0, 0};
	int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID};
	for (int i = 0; i < 5; i++) {
		printf("clock_sleeps: clock %d\n", clocks[i]);
		time = later(clocks[i], i == 4 ? -5 : 10);
		long from = now_ms(CLOCK_MONOTONIC);
		if (i < 4) {
			O(S(clock_nanosleep, clocks[i], TIMER_ABSTIME, &time, &left));
			V(now_ms(CLOCK_MONOTONIC) - from >= 9);
		}
		V(left.tv_sec);
		O(S(clock_nanosleep, clocks[i], TIMER_ABSTIME, &negative, &left));
		O(S(clock_nanosleep, clocks[i], TIMER_ABSTIME, &wrong, &left));
		O(S(clock_nanosleep, clocks[i], 0, &negative, &left));
		O(S(clock_nanosleep, clocks[i], 0, &wrong, &left));
		O(S(clock_nanosleep, clocks[i], 0, closed, &left));
		O(S(clock_nanosleep, clocks[i], 0, 0, &left));
	}
	O(S(clock_nanosleep, 99, 0, &negative, &left));
	O(S(clock_nanosleep, 99, 0, closed, &left));
	O(S(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &nought, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, closed, 0));
	O(S(nanosleep, closed, 0));
	/* A handler ends them, restarting or not, and what is left is told unless the time is absolute. */
	for (int flags = 0; flags < 2; flags++) {
		struct itimerval soon = {{0, 0}, {0, 10000}};
		handle(SIGALRM, flags ? SA_RESTART : 0);
		left = (struct timespec){7, 7};
		time = (struct timespec){5, 0};
		setitimer(ITIMER_REAL, &soon, 0);
		O(S(nanosleep, &time, &left));
		V(left.tv_sec);
		V(times_handled);
		setitimer(ITIMER_REAL, &soon, 0);
		left = (struct timespec){7, 7};
		O(S(clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &left));
		V(left.tv_sec);
		time = later(CLOCK_REALTIME, 5000);
		left = (struct timespec){7, 7};
		setitimer(ITIMER_REAL, &soon, 0);
		O(S(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &time, &left));
		V(left.tv_sec);
		time = (struct timespec){5, 0};
		setitimer(ITIMER_REAL, &soon, 0);
		O(S(nanosleep, &time, closed));
		setitimer(ITIMER_REAL, &soon, 0);
		O(S(nanosleep, &time, 0));
		setitimer(ITIMER_REAL, &soon, 0);
		V(sleep(5) >= 4);
		setitimer(ITIMER_REAL, &soon, 0);
		O(usleep(900000));
	}
	signal(SIGALRM, SIG_IGN);
	struct itimerval soon = {{0, 0}, {0, 5000}};
	setitimer(ITIMER_REAL, &soon, 0);
	time = (struct timespec){0, 20000000};
	O(S(nanosleep, &time, &left));
	signal(SIGALRM, SIG_DFL);
}

static void interval_timers(void)
{
	struct itimerval set = {{5, 6}, {100, 7}}, old = {{9, 9}, {9, 9}}, none = {{0, 0}, {0, 0}};
	int kinds[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	for (int i = 0; i < 3; i++) {
		printf("interval_timers: %d\n", kinds[i]);
		O(S(setitimer, kinds[i], &set, &old));
		V(old.it_value.tv_sec + old.it_interval.tv_usec);
		O(S(getitimer, kinds[i], &old));
		V(old.it_value.tv_sec == 100 || old.it_value.tv_sec == 99);
		V(old.it_interval.tv_sec * 10 + old.it_interval.tv_usec / 4000);
		O(S(setitimer, kinds[i], &none, &old));
		V(old.it_value.tv_sec == 100 || old.it_value.tv_sec == 99);
		V(old.it_interval.tv_sec);
		O(S(getitimer, kinds[i], &old));
		V(old.it_value.tv_sec + old.it_value.tv_usec + old.it_interval.tv_sec + old.it_interval.tv_usec);
		set.it_value.tv_usec = -1;
		O(S(setitimer, kinds[i], &set, &old));
		set.it_value.tv_usec = 7;
		set.it_interval.tv_usec = 1000000;
		O(S(setitimer, kinds[i], &set, &old));
		set.it_interval.tv_usec = 6;
		set.it_interval.tv_sec = -1;
		O(S(setitimer, kinds[i], &set, &old));
		set.it_interval.tv_sec = 5;
		O(S(setitimer, kinds[i], &set, closed));
		O(S(setitimer, kinds[i], 0, &old));
		V(old.it_value.tv_sec == 100 || old.it_value.tv_sec == 99);
		V(old.it_interval.tv_sec);
	}
	O(alarm(100));
	V(S(getitimer, ITIMER_REAL, &old));
	V(old.it_value.tv_sec == 100 || old.it_value.tv_sec == 99);
	O(alarm(50));
	O(alarm(0));
	O(ualarm(500000, 0));
	V(ualarm(0, 0) > 0);
	handle(SIGALRM, 0);
	set = (struct itimerval){{0, 5000}, {0, 5000}};
	setitimer(ITIMER_REAL, &set, 0);
	for (int i = 0; i < 40 && times_handled < 3; i++)
		rest(5);
	V(times_handled >= 3);
	V(told.si_code);
	V(told.si_signo);
	setitimer(ITIMER_REAL, &none, 0);
	signal(SIGALRM, SIG_DFL);
}

static void *kills_later(void *argument)
{
	rest(15);
	S(kill, getpid(), (int)(long)argument);
	return 0;
}

static void *pauses(void *argument)
{
	unsigned long *set = argument;
	errno = 0;
	long answer = set ? S(rt_sigsuspend, set, 8) : S(pause);
	return (void *)(answer * 100 - errno);
}

static void waits(void)
{
	unsigned long set = bit(SIGUSR1) | bit(SIGUSR2) | bit(40), now = 0;
	struct timespec nought = {0, 0}, little = {0, 5000000}, wrong = {0, -1};
	siginfo_t info;
	pthread_t thread;
	void *answer;
	block(set);
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	O(S(rt_sigtimedwait, &set, &info, &little, 8));
	O(S(rt_sigtimedwait, &set, &info, &wrong, 8));
	O(S(rt_sigtimedwait, closed, &info, &nought, 8));
	O(S(rt_sigtimedwait, 0, &info, &nought, 8));
	O(S(rt_sigtimedwait, &set, &info, closed, 8));
	O(S(rt_sigtimedwait, &set, &info, &nought, 16));
	kill(getpid(), SIGUSR1);
	O(S(rt_sigpending, &now, 8));
	V(now);
	O(S(rt_sigtimedwait, &set, closed, &nought, 8));
	O(S(rt_sigpending, &now, 8));
	V(now);
	kill(getpid(), SIGUSR2);
	kill(getpid(), SIGUSR1);
	sigqueue(getpid(), 40, (union sigval){.sival_int = 5});
	sigqueue(getpid(), 40, (union sigval){.sival_int = 6});
	S(tgkill, getpid(), gettid(), SIGUSR1);
	for (int i = 0; i < 6; i++) {
		memset(&info, 0, sizeof info);
		O(S(rt_sigtimedwait, &set, &info, &nought, 8));
		tell_info(&info);
	}
	pthread_create(&thread, 0, kills_later, (void *)SIGUSR1);
	memset(&info, 0, sizeof info);
	O(S(rt_sigtimedwait, &set, &info, 0, 8));
	tell_info(&info);
	pthread_join(thread, 0);
	pthread_create(&thread, 0, kills_later, (void *)40l);
	int signal_told = 0;
	sigset_t same;
	sigemptyset(&same);
	sigaddset(&same, 40);
	V(sigwait(&same, &signal_told));
	V(signal_told);
	pthread_join(thread, 0);
	/* Another signal's handler ends it. */
	handle(SIGALRM, SA_RESTART);
	pthread_create(&thread, 0, kills_later, (void *)SIGALRM);
	O(S(rt_sigtimedwait, &set, &info, 0, 8));
	V(times_handled);
	pthread_join(thread, 0);
	/* pause and sigsuspend */
	handle(SIGUSR1, SA_RESTART);
	unsigned long open = bit(SIGUSR2);
	O(S(rt_sigsuspend, closed, 8));
	O(S(rt_sigsuspend, 0, 8));
	pthread_create(&thread, 0, pauses, &open);
	rest(10);
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, &answer);
	V((long)answer);
	V(times_handled);
	kill(getpid(), SIGUSR1);
	V(times_handled);
	O(S(rt_sigsuspend, &open, 8));
	V(times_handled);
	handle(SIGALRM, SA_RESTART);
	pthread_create(&thread, 0, pauses, 0);
	rest(10);
	pthread_kill(thread, SIGALRM);
	pthread_join(thread, &answer);
	V((long)answer);
	V(times_handled);
	signal(SIGALRM, SIG_DFL);
	signal(SIGUSR1, SIG_DFL);
	block(0);
}

static void sends(void)
{
	siginfo_t info, none = {0};
	unsigned long set = bit(SIGUSR1) | bit(40);
	struct timespec nought = {0, 0};
	block(set);
	O(S(kill, 0, 0));
	O(S(kill, 0, 65));
	O(S(kill, -1, 65));
	O(S(kill, 1234567, 0));
	O(S(kill, -1234567, 0));
	O(S(kill, INT_MIN, 0));
	O(S(kill, getpid(), SIGUSR1));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	tell_info(&info);
	O(S(kill, gettid(), 0));
	O(S(tkill, gettid(), SIGUSR1));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	tell_info(&info);
	O(S(tkill, gettid(), -1));
	O(S(tkill, gettid(), 0));
	O(S(tgkill, getpid(), gettid(), -1));
	O(S(tgkill, -1, gettid(), 0));
	O(S(tgkill, getpid() + 1, gettid(), 0));
	/* The program's own details, which may not claim to be the kernel's for another process. */
	none.si_code = SI_QUEUE;
	none.si_pid = getpid();
	none.si_value.sival_int = 9;
	O(S(rt_sigqueueinfo, getpid(), 40, &none));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	tell_info(&info);
	none.si_signo = 3;
	none.si_errno = 4;
	none.si_code = SI_USER;
	O(S(rt_sigqueueinfo, getpid(), 40, &none));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	V(info.si_signo);
	V(info.si_errno);
	V(info.si_code);
	none.si_code = SI_TKILL;
	O(S(rt_sigqueueinfo, getpid(), 40, &none));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	O(S(rt_sigqueueinfo, getpid(), 65, &none));
	O(S(rt_sigqueueinfo, getpid(), -1, &none));
	O(S(rt_sigqueueinfo, getpid(), 0, &none));
	O(S(rt_sigqueueinfo, 1234567, 40, &none));
	O(S(rt_sigqueueinfo, getpid(), 40, closed));
	O(S(rt_sigqueueinfo, getpid(), 40, 0));
	none.si_code = SI_QUEUE;
	O(S(rt_sigqueueinfo, 1234567, 40, &none));
	O(S(rt_sigqueueinfo, 0, 40, &none));
	O(S(rt_sigqueueinfo, -1, 40, &none));
	O(S(rt_tgsigqueueinfo, getpid(), gettid(), 40, &none));
	O(S(rt_sigtimedwait, &set, &info, &nought, 8));
	tell_info(&info);
	O(S(rt_tgsigqueueinfo, getpid(), 1234567, 40, &none));
	O(S(rt_tgsigqueueinfo, 0, gettid(), 40, &none));
	O(S(rt_tgsigqueueinfo, getpid(), 0, 40, &none));
	O(S(rt_tgsigqueueinfo, getpid(), gettid(), 65, &none));
	O(S(rt_tgsigqueueinfo, getpid(), gettid(), 40, closed));
	O(S(rt_sigpending, closed, 8));
	O(S(rt_sigpending, &set, 4));
	O(S(rt_sigpending, &set, 0));
	O(S(rt_sigprocmask, SIG_BLOCK, closed, 0, 8));
	O(S(rt_sigprocmask, SIG_BLOCK, 0, closed, 8));
	O(S(rt_sigaction, SIGUSR1, closed, 0, 8));
	O(S(rt_sigaction, SIGUSR1, 0, closed, 8));
	O(S(rt_sigaction, -1, 0, 0, 8));
	O(raise(0));
	O(raise(99));
	O(killpg(-1, 0));
	block(0);
}

static volatile int on_alternate;
static char alternate[65536];

static void look(int signal)
{
	char here;
	stack_t now = {0};
	(void)signal;
	sigaltstack(0, &now);
	on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
	printf("alternate_stacks: handler, flags %d, inside %d\n", now.ss_flags, on_alternate);
	now.ss_flags = SS_DISABLE;
	O(S(sigaltstack, &now, 0));
}

static void alternate_stacks(void)
{
	stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old = {0};
	struct sigaction action = {.sa_handler = look, .sa_flags = SA_ONSTACK};
	O(S(sigaltstack, closed, 0));
	O(S(sigaltstack, 0, closed));
	O(S(sigaltstack, 0, 0));
	stack.ss_size = 2047;
	O(S(sigaltstack, &stack, 0));
	stack.ss_size = 0;
	O(S(sigaltstack, &stack, 0));
	stack.ss_size = sizeof alternate;
	stack.ss_flags = SS_ONSTACK;
	O(S(sigaltstack, &stack, 0));
	stack.ss_flags = SS_DISABLE;
	O(S(sigaltstack, &stack, &old));
	V(old.ss_flags);
	stack.ss_flags = SS_DISABLE | SS_ONSTACK;
	O(S(sigaltstack, &stack, 0));
	stack.ss_flags = (int)(1u << 31);
	O(S(sigaltstack, &stack, 0));
	O(S(sigaltstack, 0, &old));
	V(old.ss_flags);
	stack.ss_flags = 0;
	O(S(sigaltstack, &stack, &old));
	O(S(sigaltstack, &stack, closed));
	sigaction(SIGUSR1, &action, 0);
	raise(SIGUSR1);
	O(S(sigaltstack, 0, &old));
	V(old.ss_flags);
	stack.ss_flags = SS_DISABLE;
	O(S(sigaltstack, &stack, 0));
	raise(SIGUSR1);
	O(S(sigaltstack, 0, &old));
	V(old.ss_sp == 0);
	V(old.ss_size);
	signal(SIGUSR1, SIG_DFL);
}

/* What a start says of the machine and the program. */
static void auxiliary(void)
{
	V(getauxval(AT_PAGESZ));
	V(getauxval(AT_CLKTCK));
	V(getauxval(AT_UID) + getauxval(AT_EUID) + getauxval(AT_GID) + getauxval(AT_EGID));
	V(getauxval(AT_SECURE));
	printf("auxiliary: platform %s\n", (char *)getauxval(AT_PLATFORM));
	V(getauxval(AT_RANDOM) != 0);
	V(getauxval(AT_EXECFN) != 0);
	V(getauxval(AT_EXECFN) ? ((char *)getauxval(AT_EXECFN))[0] != 0 : 0);
	V(getauxval(AT_PHENT));
	V(getauxval(AT_PHNUM) > 0);
	V(getauxval(AT_PHDR) != 0);
	V(getauxval(AT_ENTRY) != 0);
	V(getauxval(51) >= 2048);
	V(getauxval(AT_FLAGS));
	errno = 0;
	V((getauxval(AT_HWCAP2) & ~7ul) == 0);
	V(errno);
	errno = 0;
	V(getauxval(9999));
	V(errno);
}

static void limits_and_uses(void)
{
	struct rlimit limit, back;
	struct rusage usage;
	struct tms used;
	O(S(getrlimit, 99, &limit));
	O(S(getrlimit, 16, &limit));
	O(S(getrlimit, -1, &limit));
	O(S(getrlimit, RLIMIT_NOFILE, closed));
	O(S(setrlimit, RLIMIT_NOFILE, closed));
	O(S(prlimit64, 0, RLIMIT_CORE, 0, &limit));
	O(S(prlimit64, getpid(), RLIMIT_CORE, 0, &limit));
	O(S(prlimit64, -1, RLIMIT_CORE, 0, &limit));
	O(S(prlimit64, 1234567, RLIMIT_CORE, 0, &limit));
	O(S(prlimit64, 0, 99, 0, &limit));
	O(S(prlimit64, 0, RLIMIT_CORE, closed, 0));
	O(S(prlimit64, 0, RLIMIT_CORE, 0, closed));
	limit = (struct rlimit){5, 4};
	O(S(prlimit64, 0, RLIMIT_CORE, &limit, 0));
	limit = (struct rlimit){0, 4096};
	O(S(prlimit64, 0, RLIMIT_CORE, &limit, &back));
	O(S(getrlimit, RLIMIT_CORE, &back));
	V(back.rlim_cur);
	V(back.rlim_max);
	limit.rlim_max = 8192;
	O(S(setrlimit, RLIMIT_CORE, &limit));
	memset(&usage, 9, sizeof usage);
	O(S(getrusage, RUSAGE_CHILDREN, &usage));
	V(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + usage.ru_maxrss + usage.ru_minflt + usage.ru_majflt);
	O(S(getrusage, RUSAGE_SELF, &usage));
	V(usage.ru_ixrss + usage.ru_idrss + usage.ru_isrss + usage.ru_nswap + usage.ru_msgsnd + usage.ru_msgrcv +
		usage.ru_nsignals);
	V(usage.ru_maxrss > 0);
	used.tms_cutime = used.tms_cstime = 9;
	V(times(&used) != -1);
	V(used.tms_cutime + used.tms_cstime);
}

static void refused(void)
{
	struct utsname name;
	O(S(uname, closed));
	O(S(sysinfo, closed));
	O(S(getrandom, closed, 5, 0));
	O(S(set_tid_address, 0) == gettid());
	O(S(arch_prctl, 0x1003, closed));
	O(S(arch_prctl, 0x1003, 0));
	O(S(arch_prctl, 0x1002, -1ul));
	O(S(personality, 0xffffffff));
	O(S(personality, 0x40000));
	O(S(personality, 0xffffffff));
	O(S(personality, 0));
	O(S(umask, 027));
	O(S(umask, 022));
	O(uname(&name));
	O(S(sethostname, closed, 5));
	O(S(sethostname, "x", 65));
	O(S(sethostname, "x", -1));
	O(S(setdomainname, "x", 65));
	struct utsname before;
	uname(&before);
	O(S(sethostname, "another", 5));
	O(uname(&name));
	printf("refused: node %s\n", name.nodename);
	char text[80] = "";
	O(gethostname(text, sizeof text));
	printf("refused: node %s\n", text);
	O(S(setdomainname, "domain", 6));
	O(uname(&name));
	printf("refused: domain %s\n", name.domainname);
	O(S(sethostname, "", 0));
	O(uname(&name));
	printf("refused: node %s\n", name.nodename);
	S(sethostname, before.nodename, strlen(before.nodename));
	S(setdomainname, before.domainname, strlen(before.domainname));
}

void moment_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("clock_values"))
		clock_values();
	if (group("clock_tuning"))
		clock_tuning();
	if (group("clock_sleeps"))
		clock_sleeps();
	if (group("interval_timers"))
		interval_timers();
	if (group("waits"))
		waits();
	if (group("sends"))
		sends();
	if (group("alternate_stacks"))
		alternate_stacks();
	if (group("auxiliary"))
		auxiliary();
	if (group("limits_and_uses"))
		limits_and_uses();
	if (group("refused"))
		refused();
}
