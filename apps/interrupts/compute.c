/* Threads and timers beside code that computes. */
#include "parts.h"
#include <math.h>

static atomic_int stop;

static void *spin(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop))
		compute();
	return (void *)7;
}

static void join(pthread_t thread)
{
	void *result;
	atomic_store(&stop, 1);
	pthread_join(thread, &result);
	printf("joined %ld\n", (long)result);
	atomic_store(&stop, 0);
}

void sleeper(void)
{
	pthread_t thread;
	pthread_create(&thread, 0, spin, 0);
	long start = milliseconds();
	nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, 0);
	long took = milliseconds() - start;
	printf("slept %s\n", took >= 50 && took < 1000 ? "as long as it was told" : "wrongly");
	join(thread);
}

static volatile char *untouched;
static volatile int opened;

static void open_page(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	opened++;
	mprotect((void *)((uintptr_t)info->si_addr & -4096), 4096, PROT_READ | PROT_WRITE);
}

/* Faults again and again, while a thread that is ready has the computing one interrupted: at times at the same instruction. */
void ticked(void)
{
	enum { PAGES = 256, ROUNDS = 24 };
	pthread_t thread;
	int right = 0;
	handle(SIGSEGV, open_page, 0);
	pthread_create(&thread, 0, spin, 0);
	for (int round = 0; round < ROUNDS; round++) {
		untouched = mmap(0, PAGES * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < PAGES; i++) {
			untouched[i * 4096 + i] = (char)i;
			right += untouched[i * 4096 + i] == (char)i;
		}
		munmap((void *)untouched, PAGES * 4096);
	}
	printf("%d right after %d faults\n", right, opened);
	join(thread);
}

/* Spins until another thread, which has not run yet, sets a word. */
static void *set(void *word)
{
	*(volatile int *)word = 1;
	return (void *)8;
}

void flag(void)
{
	volatile int word = 0;
	pthread_t thread;
	pthread_create(&thread, 0, set, (void *)&word);
	while (!word)
		;
	printf("seen\n");
	join(thread);
}

/* Four threads that only compute get as much of the time, roughly. */
static void *count(void *steps)
{
	while (!atomic_load(&stop))
		++*(volatile unsigned long *)steps;
	return 0;
}

void fair(void)
{
	static unsigned long steps[4];
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, count, &steps[i]);
	long start = milliseconds();
	while (milliseconds() - start < 300)
		sched_yield();
	atomic_store(&stop, 1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
	atomic_store(&stop, 0);
	unsigned long least = -1, most = 0;
	for (int i = 0; i < 4; i++) {
		least = steps[i] < least ? steps[i] : least;
		most = steps[i] > most ? steps[i] : most;
	}
	printf("%s\n", least > most / 8 ? "everybody had a turn" : "somebody had too few");
}

static void *spin_asynchronously(void *argument)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, 0);
	atomic_store((atomic_int *)argument, 1);
	for (;;)
		compute();
	return 0;
}

void cancel(void)
{
	atomic_int started = 0;
	pthread_t thread;
	void *result;
	pthread_create(&thread, 0, spin_asynchronously, &started);
	while (!atomic_load(&started))
		usleep(1000);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	printf("%s\n", result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
}

static pthread_t spinner;
static volatile sig_atomic_t taken, by_whom, other_signals;

static void take(int signal, siginfo_t *info, void *context)
{
	(void)context;
	by_whom = pthread_equal(pthread_self(), spinner);
	printf("signal %d, code %d, from itself %d, in the spinning thread %d\n", signal, info->si_code,
	       info->si_pid == getpid(), by_whom);
	taken++;
	atomic_store(&stop, 1);
}

void kill_thread(void)
{
	handle(SIGUSR1, take, SA_RESTART);
	pthread_create(&spinner, 0, spin, 0);
	usleep(20000);
	pthread_kill(spinner, SIGUSR1);
	join(spinner);
	printf("taken %d\n", (int)taken);
}

static volatile sig_atomic_t alarms_taken;

static void take_alarm(int signal, siginfo_t *info, void *context)
{
	(void)context;
	if (!alarms_taken++)
		printf("signal %d, code %#x\n", signal, info->si_code);
}

static void run_timer(int which, int signal)
{
	struct itimerval timer = { { 0, 10000 }, { 0, 10000 } }, left;
	handle(signal, take_alarm, SA_RESTART);
	alarms_taken = 0;
	long start = milliseconds();
	setitimer(which, &timer, 0);
	while (alarms_taken < 10)
		compute();
	getitimer(which, &left);
	setitimer(which, &(struct itimerval){ 0 }, 0);
	long took = milliseconds() - start;
	/* The clock of CPU time may stand for others of the host. */
	printf("10 of them %s, interval %ld, the next within it %d\n",
	       took >= 95 && took < 3000 ? "in time" : "too soon or too late", (long)left.it_interval.tv_usec,
	       left.it_value.tv_sec == 0 && left.it_value.tv_usec <= 14000);
}

void alarms(void)
{
	run_timer(ITIMER_REAL, SIGALRM);
	alarms_taken = 0;
	long start = milliseconds();
	alarm(1);
	while (!alarms_taken)
		compute();
	long took = milliseconds() - start;
	printf("alarm %s\n", took >= 990 && took < 3000 ? "in time" : "too soon or too late");
}

void cpu_timers(void)
{
	run_timer(ITIMER_VIRTUAL, SIGVTALRM);
	run_timer(ITIMER_PROF, SIGPROF);
}

static pthread_t first;

static void tell_thread(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	printf("signal %d in the first thread %d\n", signal, pthread_equal(pthread_self(), first));
}

static void *send_and_spin(void *argument)
{
	/* A C library blocks all signals while it makes a thread. */
	usleep(20000);
	kill(getpid(), SIGUSR2);
	return spin(argument);
}

/* A signal of the process ends a sleep of the first thread, whoever runs. */
void receiver(void)
{
	pthread_t thread;
	first = pthread_self();
	handle(SIGALRM, tell_thread, SA_RESTART);
	handle(SIGUSR2, tell_thread, SA_RESTART);
	pthread_create(&thread, 0, send_and_spin, 0);
	struct timespec long_time = { 10, 0 };
	for (int i = 0; i < 2; i++) {
		if (i)
			setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 20000 } }, 0);
		int result = nanosleep(&long_time, &long_time);
		printf("%d %d, left %d\n", result, result ? errno : 0, long_time.tv_sec >= 8);
	}
	join(thread);
}

/* Whatever a thread has in registers stays there while others run: vectors and flags, too. */
static void *mix(void *seed)
{
	double a = (long)seed + 0.5, b = 1.0, sum = 0;
	uint64_t x = (long)seed, words = 0;
	while (!atomic_load(&stop)) {
		a = 0.5, b = 1.0, sum = 0, x = (long)seed + 1;
		for (int i = 0; i < 200000; i++) {
			a = a * 1.0000001 + b / 3.0;
			b = fmod(a, 7.0) + 0.25;
			sum += a * b;
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		}
		uint64_t bits;
		memcpy(&bits, &sum, 8);
		bits ^= x;
		if (words && words != bits)
			return (void *)1;
		words = bits;
	}
	return 0;
}

void registers(void)
{
	pthread_t threads[3];
	long wrong = 0;
	for (long i = 0; i < 3; i++)
		pthread_create(&threads[i], 0, mix, (void *)i);
	usleep(300000);
	atomic_store(&stop, 1);
	for (int i = 0; i < 3; i++) {
		void *result;
		pthread_join(threads[i], &result);
		wrong += (long)result;
	}
	atomic_store(&stop, 0);
	printf("results that differ: %ld\n", wrong);
}

/* A thread that makes calls which never wait does not keep others from running. */
static void *call_on(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop))
		getppid();
	return (void *)9;
}

/* The compiler does not know that nobody reads it. */
static char *hidden(char *bytes)
{
	__asm__ volatile("" : "+r"(bytes) : : "memory");
	return bytes;
}

static void *copy_on(void *argument)
{
	(void)argument;
	static char from[1 << 20], to[1 << 20];
	while (!atomic_load(&stop))
		memcpy(hidden(to), from, sizeof to);
	return (void *)10;
}

static void *allocate_on(void *argument)
{
	(void)argument;
	while (!atomic_load(&stop))
		free(realloc(malloc(100), 3000));
	return (void *)11;
}

void calls(void)
{
	void *(*functions[])(void *) = { call_on, copy_on, allocate_on };
	for (int i = 0; i < 3; i++) {
		pthread_t thread;
		pthread_create(&thread, 0, functions[i], 0);
		long start = milliseconds();
		usleep(20000);
		printf("%s\n", milliseconds() - start < 1000 ? "awake" : "late");
		join(thread);
	}
}

/* A thread that is nearly always inside a heap loses the processor when it comes back from there. */
void heap(void)
{
	pthread_t thread;
	long worst = 0;
	pthread_create(&thread, 0, allocate_on, 0);
	for (int i = 0; i < 200; i++) {
		long start = milliseconds();
		usleep(1000);
		long took = milliseconds() - start;
		worst = took > worst ? took : worst;
	}
	printf("%s\n", worst < 500 ? "awake" : "late");
	join(thread);
}

/* Locks, atomic operations, the heap and standard output, used by threads that lose the processor anywhere. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static long guarded, written;
static atomic_long counted;
static FILE *sink;

static void *contend(void *argument)
{
	(void)argument;
	for (int i = 0; i < 30000; i++) {
		pthread_mutex_lock(&mutex);
		guarded++;
		pthread_mutex_unlock(&mutex);
		pthread_rwlock_wrlock(&rwlock);
		written++;
		pthread_rwlock_unlock(&rwlock);
		atomic_fetch_add(&counted, 1);
		char *block = malloc(i % 500 + 1);
		memset(block, 1, i % 500 + 1);
		free(block);
		fprintf(sink, "%d ", i % 10);
	}
	return 0;
}

void locks(void)
{
	pthread_t threads[4];
	sink = tmpfile();
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], 0, contend, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], 0);
	printf("%ld %ld %ld, %ld bytes\n", guarded, written, (long)counted, ftell(sink));
	fclose(sink);
}

static void take_termination(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	printf("signal %d\n", signal);
	_exit(3);
}

/* Computes until SIGTERM comes from outside, with a handler and without. */
void terminated(void)
{
	handle(SIGTERM, take_termination, 0);
	spinning();
}

static volatile sig_atomic_t quit;

static void tell_signal(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	printf("signal %d\n", signal);
	quit = signal == SIGQUIT;
}

/* Takes what comes from outside until SIGQUIT: nginx reloads, opens its logs again and ends gracefully by such signals. */
void outside(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGUSR1, SIGUSR2, SIGTERM, SIGQUIT };
	for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
		handle(signals[i], tell_signal, 0);
	printf("computing\n");
	while (!quit)
		compute();
}

/* Busy with signals blocked: what comes twice meanwhile is one signal, and ends nothing. */
void twice(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, 0);
	handle(SIGHUP, tell_signal, 0);
	handle(SIGUSR1, tell_signal, 0);
	handle(SIGUSR2, tell_signal, 0);
	printf("computing\n");
	for (long start = milliseconds(); milliseconds() - start < 300;)
		compute();
	sigprocmask(SIG_UNBLOCK, &set, 0);
	printf("over\n");
}

void spinning(void)
{
	printf("computing\n");
	for (;;)
		compute();
}
