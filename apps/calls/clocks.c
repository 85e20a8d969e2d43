/* Clocks, the time that is used and the time that passes. */
#include "calls.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/times.h>
#include <time.h>

static long cpu_ms(void)
{
	return clock() / (CLOCKS_PER_SEC / 1000);
}

static long read_ms(clockid_t id)
{
	struct timespec now;
	if (clock_gettime(id, &now))
		return -1;
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static long used_ms(int who)
{
	struct rusage usage;
	if (getrusage(who, &usage))
		return -1;
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static long ticks_ms(void)
{
	struct tms used;
	times(&used);
	return (used.tms_utime + used.tms_stime) * 10;
}

/* How much longer it took: time in which a busy machine had taken the processor away, and an image cannot know. */
static long sleep_ms(long ms)
{
	struct timespec duration = {ms / 1000, ms % 1000 * 1000000};
	long from = read_ms(CLOCK_MONOTONIC);
	nanosleep(&duration, 0);
	return read_ms(CLOCK_MONOTONIC) - from - ms;
}

/* How long it took: a busy machine may take the processor away meanwhile. */
static long spin_ms(long ms)
{
	long from = read_ms(CLOCK_MONOTONIC);
	while (read_ms(CLOCK_MONOTONIC) < from + ms)
		;
	return read_ms(CLOCK_MONOTONIC) - from;
}

/* Whether a thread that was busy for `busy` milliseconds, or had its turn meanwhile, can have used `value`. */
static int near(long value, long busy)
{
	return value >= 5 && value <= busy + 100;
}

/* Whether a thread that waited, and came back `late` milliseconds late, can have used `value`. */
static int within(long value, long late)
{
	return value >= 0 && value <= late + 100;
}

/* Whether every sleep counts as a switch of the process's or the thread's own will. */
static int waited(int who)
{
	struct rusage before, after;
	getrusage(who, &before);
	for (int i = 0; i < 5; i++)
		usleep(1000);
	getrusage(who, &after);
	return after.ru_nvcsw - before.ru_nvcsw >= 5;
}

static void asleep(void)
{
	clockid_t own, thread;
	long a = cpu_ms(), b = read_ms(CLOCK_PROCESS_CPUTIME_ID), c = read_ms(CLOCK_THREAD_CPUTIME_ID),
	     d = used_ms(RUSAGE_SELF), e = used_ms(RUSAGE_THREAD), f = ticks_ms();
	long late = sleep_ms(300);
	V(within(cpu_ms() - a, late));
	V(within(read_ms(CLOCK_PROCESS_CPUTIME_ID) - b, late));
	V(within(read_ms(CLOCK_THREAD_CPUTIME_ID) - c, late));
	V(within(used_ms(RUSAGE_SELF) - d, late));
	V(within(used_ms(RUSAGE_THREAD) - e, late));
	V(within(ticks_ms() - f, late));
	a = cpu_ms(), b = read_ms(CLOCK_PROCESS_CPUTIME_ID), c = read_ms(CLOCK_THREAD_CPUTIME_ID);
	d = used_ms(RUSAGE_SELF), e = used_ms(RUSAGE_THREAD), f = ticks_ms();
	long busy = spin_ms(200);
	V(near(cpu_ms() - a, busy));
	V(near(read_ms(CLOCK_PROCESS_CPUTIME_ID) - b, busy));
	V(near(read_ms(CLOCK_THREAD_CPUTIME_ID) - c, busy));
	V(near(used_ms(RUSAGE_SELF) - d, busy));
	V(near(used_ms(RUSAGE_THREAD) - e, busy));
	V(near(ticks_ms() - f, busy));
	V(used_ms(RUSAGE_CHILDREN));
	O(clock_getcpuclockid(0, &own));
	V(near(read_ms(own), read_ms(CLOCK_PROCESS_CPUTIME_ID)));
	O(clock_getcpuclockid(getpid(), &own));
	V(near(read_ms(own), read_ms(CLOCK_PROCESS_CPUTIME_ID)));
	V(clock_getcpuclockid(99999, &own) != 0);
	O(pthread_getcpuclockid(pthread_self(), &thread));
	V(near(read_ms(thread), read_ms(CLOCK_THREAD_CPUTIME_ID)));
	a = read_ms(thread), b = read_ms(own);
	busy = spin_ms(100);
	V(near(read_ms(thread) - a, busy));
	V(near(read_ms(own) - b, busy));
}

static long spun;

static void *spinner(void *argument)
{
	spun = spin_ms((long)argument);
	return (void *)read_ms(CLOCK_THREAD_CPUTIME_ID);
}

static void threads(void)
{
	pthread_t thread;
	void *used;
	long own = read_ms(CLOCK_THREAD_CPUTIME_ID), all = read_ms(CLOCK_PROCESS_CPUTIME_ID);
	long from = read_ms(CLOCK_MONOTONIC);
	pthread_create(&thread, 0, spinner, (void *)200l);
	pthread_join(thread, &used);
	long whole = read_ms(CLOCK_MONOTONIC) - from;
	V(near((long)used, whole));
	V(within(read_ms(CLOCK_THREAD_CPUTIME_ID) - own, whole - spun));
	V(near(read_ms(CLOCK_PROCESS_CPUTIME_ID) - all, whole));
}

static void clocks(void)
{
	struct timespec time = {5, 5};
	struct timeval tv;
	struct tms used;
	struct rusage usage;
	for (int id = -1; id <= 16; id++) {
		errno = 0;
		long answer = S(clock_gettime, id, &time);
		printf("clocks: clock_gettime(%d) = %ld %d\n", id, answer, errno);
	}
	for (int id = -1; id <= 16; id++) {
		errno = 0;
		time = (struct timespec){5, 5};
		long answer = S(clock_getres, id, &time);
		/* Coarse clocks tick as the kernel was configured. */
		int coarse = id == CLOCK_REALTIME_COARSE || id == CLOCK_MONOTONIC_COARSE;
		printf("clocks: clock_getres(%d) = %ld %d, %ld\n", id, answer, errno, coarse ? 0 : time.tv_sec * 10 + time.tv_nsec);
	}
	O(S(clock_getres, CLOCK_REALTIME, 0));
	O(S(clock_getres, 99, 0));
	O(S(clock_getres, -2, 0));
	O(S(clock_getres, -6, 0));
	O(S(clock_gettime, -2, &time));
	O(S(clock_gettime, -6, &time));
	O(S(clock_gettime, (~99999 << 3) | 2, &time));
	O(S(clock_gettime, -3, &time));
	O(S(clock_gettime, -5, &time));
	O(S(clock_gettime, 0x7fffffff, &time));
	O(S(clock_gettime, CLOCK_REALTIME, 0));
	time = (struct timespec){0, 1000000000};
	O(S(clock_settime, CLOCK_MONOTONIC, &time));
	O(S(clock_settime, CLOCK_REALTIME, &time));
	O(S(clock_settime, 99, &time));
	O(S(settimeofday, 0, 0));
	O(S(gettimeofday, &tv, 0));
	O(S(gettimeofday, 0, 0));
	V(S(time, 0) - tv.tv_sec <= 1);
	V(S(times, &used) > 0);
	V(S(times, 0) > 0);
	O(S(getrusage, 99, &usage));
	O(S(getrusage, -2, &usage));
	O(S(getrusage, RUSAGE_SELF, 0));
	O(S(getrusage, RUSAGE_CHILDREN, &usage));
	V(usage.ru_maxrss);
	V(usage.ru_utime.tv_sec + usage.ru_utime.tv_usec);
	V(waited(RUSAGE_SELF));
	V(waited(RUSAGE_THREAD));
	O(S(getrusage, RUSAGE_THREAD, &usage));
	V(usage.ru_maxrss > 0);
}

static void sleeps(void)
{
	struct timespec time = {0, 1000000000}, left = {7, 7}, none = {0, 0}, negative = {-1, 0}, little = {0, 1000000};
	long before = read_ms(CLOCK_MONOTONIC);
	O(S(nanosleep, &time, 0));
	O(S(nanosleep, &negative, 0));
	O(S(nanosleep, &none, &left));
	V(left.tv_sec);
	O(S(nanosleep, 0, 0));
	O(S(clock_nanosleep, CLOCK_REALTIME, 0, &none, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &none, 0));
	O(S(clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &none, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC, 0, &time, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC, 0, &little, &left));
	O(S(clock_nanosleep, CLOCK_BOOTTIME, 0, &little, &left));
	O(S(clock_nanosleep, CLOCK_TAI, 0, &little, &left));
	O(S(clock_nanosleep, CLOCK_MONOTONIC_RAW, 0, &little, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC_COARSE, 0, &little, 0));
	O(S(clock_nanosleep, CLOCK_REALTIME_COARSE, 0, &little, 0));
	O(S(clock_nanosleep, CLOCK_THREAD_CPUTIME_ID, 0, &little, 0));
	O(S(clock_nanosleep, 99, 0, &little, 0));
	O(S(clock_nanosleep, -1, 0, &little, 0));
	O(S(clock_nanosleep, CLOCK_MONOTONIC, 99, &none, 0));
	V(read_ms(CLOCK_MONOTONIC) - before < 1000);
}

static void timers(void)
{
	struct itimerval setting = {{0, 0}, {100, 0}}, old = {{1, 1}, {1, 1}}, wrong = {{0, 0}, {0, 1000000}};
	O(S(getitimer, ITIMER_REAL, &old));
	V(old.it_value.tv_sec + old.it_value.tv_usec);
	O(S(setitimer, ITIMER_REAL, &setting, &old));
	O(S(setitimer, ITIMER_REAL, &wrong, 0));
	O(S(setitimer, 9, &setting, 0));
	O(S(getitimer, 9, &old));
	O(S(getitimer, ITIMER_REAL, 0));
	O(S(getitimer, ITIMER_REAL, &old));
	V(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	O(S(alarm, 50));
	O(S(alarm, 0));
	O(S(alarm, 0));
	O(S(getitimer, ITIMER_VIRTUAL, &old));
	V(old.it_value.tv_sec + old.it_value.tv_usec);
	O(S(getitimer, ITIMER_PROF, &old));
	setting.it_value.tv_sec = 0;
	O(S(setitimer, ITIMER_VIRTUAL, &setting, &old));
	O(S(setitimer, ITIMER_PROF, &setting, &old));
}

static void timer_files(void)
{
	struct itimerspec setting = {{0, 0}, {100, 0}}, old, wrong = {{0, 0}, {0, 1000000000}};
	uint64_t count;
	int fd;
	O(timerfd_create(CLOCK_MONOTONIC, 8));
	O(timerfd_create(99, 0));
	O(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	O(timerfd_create(CLOCK_MONOTONIC_RAW, 0));
	O(close(timerfd_create(CLOCK_BOOTTIME, 0)));
	O(close(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC)));
	OK(close(timerfd_create(CLOCK_REALTIME_ALARM, 0)));
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	O(read(fd, &count, 8));
	O(read(fd, &count, 4));
	O(write(fd, &count, 8));
	O(lseek(fd, 0, SEEK_SET));
	O(pread(fd, &count, 8, 0));
	O(timerfd_settime(fd, 4, &setting, 0));
	O(timerfd_settime(fd, 0, &wrong, 0));
	O(timerfd_settime(fd, 0, 0, 0));
	O(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET, &setting, 0));
	O(timerfd_settime(fd, 0, &setting, &old));
	V(old.it_value.tv_sec == 99 || old.it_value.tv_sec == 100);
	O(timerfd_gettime(fd, &old));
	V(old.it_value.tv_sec);
	O(timerfd_gettime(fd, 0));
	O(timerfd_gettime(0, &old));
	O(timerfd_settime(fd, TFD_TIMER_ABSTIME, &(struct itimerspec){{0, 0}, {0, 1}}, &old));
	O(read(fd, &count, 8));
	V(count);
	O(timerfd_gettime(fd, &old));
	V(old.it_value.tv_sec + old.it_value.tv_nsec);
	close(fd);
}

static void posix_timers(void)
{
	timer_t timer;
	struct sigevent event = {0};
	event.sigev_notify = SIGEV_NONE;
	O(timer_create(99, &event, &timer));
	event.sigev_notify = 77;
	O(timer_create(CLOCK_MONOTONIC, &event, &timer));
}

void clock_groups(void)
{
	if (group("asleep"))
		asleep();
	if (group("threads"))
		threads();
	if (group("clocks"))
		clocks();
	if (group("sleeps"))
		sleeps();
	if (group("timers"))
		timers();
	if (group("timer_files"))
		timer_files();
	if (group("posix_timers"))
		posix_timers();
}
