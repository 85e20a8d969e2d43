/* Timers that a program makes (timer_create), and what comes with their signals. */
#include "calls.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

/* The kernel's structure, and what the C library keeps for itself. */
struct event {
	long value;
	int signal, notify, tid;
	int rest[11];
};
enum { SIGNAL = 0, NONE = 1, THREAD = 2, THREAD_ID = 4 };

static char *closed;

static void rest(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static long ns_of(struct timespec time)
{
	return time.tv_sec * 1000000000 + time.tv_nsec;
}

static struct itimerspec setting(long value_us, long interval_us)
{
	return (struct itimerspec){{interval_us / 1000000, interval_us % 1000000 * 1000},
		{value_us / 1000000, value_us % 1000000 * 1000}};
}

static int make(int clock, int notify, int signal, long value)
{
	struct event event = {value, signal, notify, S(gettid), {0}};
	int timer = -1;
	S(timer_create, clock, &event, &timer);
	return timer;
}

static void block(int signal)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigprocmask(SIG_BLOCK, &set, 0);
}

static int next_signal(int signal, long ms, siginfo_t *info)
{
	sigset_t set;
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
	sigemptyset(&set);
	sigaddset(&set, signal);
	memset(info, 0, sizeof *info);
	return sigtimedwait(&set, info, &limit);
}

static void timer_errors(void)
{
	struct event event = {5, SIGUSR1, SIGNAL, 0, {0}};
	struct itimerspec now = setting(0, 0), old, wrong = {{0, 0}, {0, 1000000000}}, negative = {{0, 0}, {-1, 0}},
			  interval = {{0, -1}, {1, 0}}, set = setting(100000000, 0);
	int timer = -1;
	for (int clock = -1; clock <= 13; clock++) {
		/* Those of alarms need a clock that wakes the machine. */
		if (clock == 8 || clock == 9)
			continue;
		errno = 0;
		long answer = S(timer_create, clock, &event, &timer);
		printf("timer_errors: clock %d = %ld %d\n", clock, answer, errno);
		if (!answer)
			S(timer_delete, timer);
	}
	O(S(timer_create, 99, &event, &timer));
	O(S(timer_create, -2, &event, &timer));
	O(S(timer_create, -6, &event, &timer));
	O(S(timer_create, ~(99999 << 3 | 5), &event, &timer));
	for (int notify = -1; notify < 8; notify++)
		for (int signal = 0; signal < 3; signal++) {
			event = (struct event){5, signal * 33 - 1, notify, S(gettid), {0}};
			errno = 0;
			long answer = S(timer_create, CLOCK_MONOTONIC, &event, &timer);
			printf("timer_errors: notify %d, signal %d = %ld %d\n", notify, signal * 33 - 1, answer, errno);
		}
	event = (struct event){5, SIGUSR1, THREAD_ID, 99999, {0}};
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	event.tid = 0;
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	event.tid = -1;
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	event = (struct event){5, 64, SIGNAL, 0, {0}};
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	event.signal = 65;
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	event.signal = SIGKILL;
	O(S(timer_create, CLOCK_MONOTONIC, &event, &timer));
	O(S(timer_create, CLOCK_MONOTONIC, closed, &timer));
	O(S(timer_create, CLOCK_MONOTONIC, 0, closed));
	O(S(timer_create, 99, closed, &timer));
	O(S(timer_create, 99, 0, closed));
	O(S(timer_settime, 9999, 0, &now, &old));
	O(S(timer_settime, -1, 0, &now, &old));
	O(S(timer_gettime, 9999, &old));
	O(S(timer_gettime, -1, &old));
	O(S(timer_getoverrun, 9999));
	O(S(timer_delete, 9999));
	O(S(timer_delete, -1));
	O(S(timer_create, CLOCK_MONOTONIC, 0, &timer));
	O(S(timer_settime, timer, 0, 0, &old));
	O(S(timer_settime, timer, 0, closed, &old));
	O(S(timer_settime, timer, 0, &wrong, &old));
	O(S(timer_settime, timer, 0, &negative, &old));
	O(S(timer_settime, timer, 0, &interval, &old));
	O(S(timer_settime, 9999, 0, &wrong, &old));
	O(S(timer_settime, timer, 98, &set, &old));
	O(S(timer_settime, timer, 0, &set, closed));
	O(S(timer_gettime, timer, closed));
	O(S(timer_gettime, timer, 0));
	O(S(timer_gettime, timer, &old));
	V(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	O(S(timer_getoverrun, timer));
	O(S(timer_settime, timer, 0, &now, &old));
	V(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	O(S(timer_gettime, timer, &old));
	V(ns_of(old.it_value) + ns_of(old.it_interval));
	O(S(timer_delete, timer));
	O(S(timer_delete, timer));
	O(S(timer_gettime, timer, &old));
}

static void timer_settings(void)
{
	struct itimerspec set = setting(50000000, 7000000), old;
	struct timespec now;
	int clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_TAI, CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID};
	for (int i = 0; i < 6; i++)
		for (int notify = 0; notify < 2; notify++) {
			int timer = make(clocks[i], notify, SIGUSR1, 0);
			printf("timer_settings: clock %d, notify %d\n", clocks[i], notify);
			O(S(timer_gettime, timer, &old));
			V(ns_of(old.it_value) + ns_of(old.it_interval));
			O(S(timer_settime, timer, 0, &set, &old));
			V(ns_of(old.it_value) + ns_of(old.it_interval));
			O(S(timer_gettime, timer, &old));
			V(old.it_value.tv_sec == 49 || old.it_value.tv_sec == 50);
			V(ns_of(old.it_interval));
			clock_gettime(clocks[i], &now);
			set.it_value.tv_sec = now.tv_sec + 70;
			O(S(timer_settime, timer, TIMER_ABSTIME, &set, &old));
			V(old.it_value.tv_sec == 49 || old.it_value.tv_sec == 50);
			O(S(timer_gettime, timer, &old));
			V(old.it_value.tv_sec >= 68 && old.it_value.tv_sec <= 70);
			set = setting(0, 0);
			O(S(timer_settime, timer, 0, &set, &old));
			V(old.it_interval.tv_sec);
			O(S(timer_gettime, timer, &old));
			/* Linux shows what was left of one that tells nobody. */
			V(notify == NONE ? 0 : ns_of(old.it_value) + ns_of(old.it_interval));
			set = setting(50000000, 7000000);
			O(S(timer_delete, timer));
		}
}

static volatile int handled, times;
static siginfo_t told;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	handled = signal;
	times++;
	told = *info;
}

static void handle(int signal)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	sigaction(signal, &action, 0);
	handled = times = 0;
	memset(&told, 0, sizeof told);
}

static void timer_signals(void)
{
	struct itimerspec once = setting(2000, 0), old, absolute = {{0, 0}, {0, 1}}, none = setting(0, 0);
	int signals[] = {SIGALRM, SIGUSR1, 40};
	int timer;
	for (int i = 0; i < 3; i++) {
		int signal = signals[i];
		printf("timer_signals: %d\n", signal);
		handle(signal);
		timer = make(CLOCK_MONOTONIC, SIGNAL, signal, 0x123456789);
		O(S(timer_settime, timer, 0, &once, 0));
		rest(20);
		V(times);
		V(told.si_signo == signal);
		V(told.si_code);
		V(told.si_errno);
		V(told.si_timerid == timer);
		V(told.si_overrun);
		V((long)told.si_value.sival_ptr);
		O(S(timer_gettime, timer, &old));
		V(ns_of(old.it_value) + ns_of(old.it_interval));
		O(S(timer_getoverrun, timer));
		/* A time that has passed. */
		O(S(timer_settime, timer, TIMER_ABSTIME, &absolute, 0));
		rest(5);
		V(times);
		/* Stopped before it expires. */
		once = setting(30000, 0);
		O(S(timer_settime, timer, 0, &once, 0));
		O(S(timer_settime, timer, 0, &none, 0));
		rest(40);
		V(times);
		O(S(timer_settime, timer, 0, &once, 0));
		O(S(timer_delete, timer));
		rest(40);
		V(times);
		once = setting(2000, 0);
	}
	/* The default event. */
	handle(SIGALRM);
	timer = -1;
	O(S(timer_create, CLOCK_REALTIME, 0, &timer));
	O(S(timer_settime, timer, 0, &once, 0));
	rest(20);
	V(times);
	V(told.si_value.sival_int == timer);
	V(told.si_timerid == timer);
	O(S(timer_delete, timer));
	/* A thread's own. */
	handle(SIGUSR2);
	timer = make(CLOCK_MONOTONIC, THREAD_ID, SIGUSR2, 4);
	O(S(timer_settime, timer, 0, &once, 0));
	rest(20);
	V(times);
	V(told.si_code);
	V(told.si_value.sival_int);
	O(S(timer_delete, timer));
	timer = make(CLOCK_MONOTONIC, NONE, SIGUSR2, 4);
	O(S(timer_settime, timer, 0, &once, 0));
	O(S(timer_gettime, timer, &old));
	V(ns_of(old.it_value) > 0);
	rest(20);
	V(times);
	O(S(timer_gettime, timer, &old));
	V(ns_of(old.it_value));
	once = setting(2000, 3600000000);
	O(S(timer_settime, timer, 0, &once, 0));
	rest(20);
	O(S(timer_gettime, timer, &old));
	V(old.it_value.tv_sec >= 3598);
	V(S(timer_getoverrun, timer) >= 0);
	O(S(timer_delete, timer));
}

static void timer_overruns(void)
{
	struct itimerspec often = setting(5000, 5000), slow = setting(1000, 3600000000), none = setting(0, 0), old;
	siginfo_t info;
	int timer, second;
	block(SIGUSR1);
	block(40);
	for (int i = 0; i < 2; i++) {
		int signal = i ? 40 : SIGUSR1;
		printf("timer_overruns: %d\n", signal);
		timer = make(CLOCK_MONOTONIC, SIGNAL, signal, 7);
		O(S(timer_settime, timer, 0, &often, 0));
		rest(103);
		V(S(timer_getoverrun, timer));
		O(S(timer_gettime, timer, &old));
		V(ns_of(old.it_value) > 0 && ns_of(old.it_value) <= 5000000);
		V(next_signal(signal, 0, &info) == signal);
		V(info.si_overrun >= 15);
		V(info.si_code);
		V(info.si_value.sival_int);
		V(S(timer_getoverrun, timer) == info.si_overrun);
		V(next_signal(signal, 100, &info) == signal);
		V(info.si_overrun >= 0 && info.si_overrun < 15);
		O(S(timer_settime, timer, 0, &none, &old));
		V(ns_of(old.it_interval));
		V(next_signal(signal, 0, &info));
		/* What is pending is gone when the timer is set again, or deleted. */
		O(S(timer_settime, timer, 0, &slow, 0));
		rest(20);
		O(S(timer_settime, timer, 0, &none, 0));
		V(next_signal(signal, 0, &info));
		O(S(timer_settime, timer, 0, &slow, 0));
		rest(20);
		V(next_signal(signal, 0, &info) == signal);
		V(info.si_overrun);
		O(S(timer_getoverrun, timer));
		V(next_signal(signal, 0, &info));
		O(S(timer_gettime, timer, &old));
		V(old.it_value.tv_sec >= 3598);
		O(S(timer_settime, timer, 0, &slow, 0));
		rest(20);
		O(S(timer_delete, timer));
		V(next_signal(signal, 0, &info));
		/* Two timers of one signal: each is told. */
		timer = make(CLOCK_MONOTONIC, SIGNAL, signal, 1);
		second = make(CLOCK_MONOTONIC, SIGNAL, signal, 2);
		O(S(timer_settime, timer, 0, &slow, 0));
		rest(10);
		O(S(timer_settime, second, 0, &slow, 0));
		rest(10);
		V(next_signal(signal, 0, &info) == signal);
		V(info.si_value.sival_int);
		V(next_signal(signal, 0, &info) == signal);
		V(info.si_value.sival_int);
		V(next_signal(signal, 0, &info));
		O(S(timer_delete, timer));
		O(S(timer_delete, second));
	}
	/* While the signal is ignored there is none. */
	signal(SIGUSR2, SIG_IGN);
	timer = make(CLOCK_MONOTONIC, SIGNAL, SIGUSR2, 7);
	O(S(timer_settime, timer, 0, &often, 0));
	rest(20);
	handle(SIGUSR2);
	rest(20);
	V(times > 0);
	O(S(timer_delete, timer));
	times = 0;
	rest(20);
	V(times);
}

static volatile int calls, values;

static void on_thread(union sigval value)
{
	calls++;
	values += value.sival_int;
}

static void timer_threads(void)
{
	struct sigevent event = {0};
	struct itimerspec often = setting(3000, 3000), once = setting(3000, 0), left;
	timer_t timer;
	event.sigev_notify = SIGEV_THREAD;
	event.sigev_notify_function = on_thread;
	event.sigev_value.sival_int = 3;
	calls = values = 0;
	O(timer_create(CLOCK_MONOTONIC, &event, &timer));
	O(timer_settime(timer, 0, &once, 0));
	rest(40);
	V(calls);
	V(values);
	O(timer_gettime(timer, &left));
	V(ns_of(left.it_value));
	O(timer_settime(timer, 0, &often, 0));
	rest(100);
	V(calls > 3);
	O(timer_getoverrun(timer) >= 0);
	O(timer_delete(timer));
	rest(20);
	int before = calls;
	rest(20);
	V(calls == before);
}

static void timer_of_cpu(void)
{
	struct itimerspec little = setting(5000, 0);
	int clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, -2, -6};
	for (int i = 0; i < 4; i++) {
		printf("timer_of_cpu: clock %d\n", clocks[i]);
		handle(SIGPROF);
		int timer = make(clocks[i], SIGNAL, SIGPROF, 9);
		O(S(timer_settime, timer, 0, &little, 0));
		rest(30);
		V(times);
		struct timespec from, now;
		clock_gettime(CLOCK_MONOTONIC, &from);
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while (!times && ns_of(now) - ns_of(from) < 2000000000);
		V(times);
		V(told.si_code);
		V(told.si_value.sival_int);
		O(S(timer_delete, timer));
	}
}

void timer_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("timer_errors"))
		timer_errors();
	if (group("timer_settings"))
		timer_settings();
	if (group("timer_signals"))
		timer_signals();
	if (group("timer_overruns"))
		timer_overruns();
	if (group("timer_threads"))
		timer_threads();
	if (group("timer_of_cpu"))
		timer_of_cpu();
}
