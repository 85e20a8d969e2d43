/* POSIX threads on the library OS: every part checks its own results and exits 1 on a wrong one. */
#define _GNU_SOURCE
#include "check.h"
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static struct timespec in_ms(clockid_t clock, long ms)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_nsec += ms * 1000000;
	time.tv_sec += time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static double now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* ---- create, join, detach, thread-local storage, many in a row ---- */

static __thread int local = 7;
static volatile int detached_done;

static void *add_one(void *argument)
{
	CHECK(local == 7);
	local = 9;
	double half = (double)(intptr_t)argument / 2;
	sched_yield();
	CHECK(local == 9 && half * 2 == (double)(intptr_t)argument);
	return (void *)((intptr_t)argument + 1);
}

static void *detached(void *argument)
{
	(void)argument;
	detached_done++;
	return 0;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *lock_and_unlock(void *argument)
{
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return argument;
}

static void join(void)
{
	pthread_t threads[20];
	for (intptr_t i = 0; i < 20; i++)
		CHECK(pthread_create(&threads[i], 0, add_one, (void *)i) == 0);
	for (intptr_t i = 0; i < 20; i++) {
		void *result;
		CHECK(pthread_join(threads[i], &result) == 0);
		CHECK((intptr_t)result == i + 1);
	}
	CHECK(local == 7);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	/* Far more stacks than fit in memory at once: they are used again. */
	for (int i = 0; i < 2000; i++) {
		pthread_t thread;
		CHECK(pthread_create(&thread, i % 2 ? &attributes : 0, detached, 0) == 0);
		if (i % 2 == 0)
			CHECK(pthread_detach(thread) == 0);
		sched_yield();
	}
	while (detached_done != 2000)
		sched_yield();
}

/* A stack that no memory could fill is refused. A large one takes what is touched of it; memory that runs out is an
 * answer, and comes back. */
static void exhaust(void)
{
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	size_t bytes;
	CHECK(pthread_attr_setstacksize(&attributes, (size_t)1 << 40) == 0);
	CHECK(pthread_attr_getstacksize(&attributes, &bytes) == 0 && bytes == (size_t)1 << 40);
	static pthread_t many[4000];
	int count = 0, error;
	CHECK(pthread_create(&many[0], &attributes, lock_and_unlock, 0) == EAGAIN);
	CHECK(pthread_attr_setstacksize(&attributes, 8 << 20) == 0);
	pthread_mutex_lock(&mutex);
	while ((error = pthread_create(&many[count], &attributes, lock_and_unlock, 0)) == 0)
		CHECK(++count < 4000);
	CHECK(error == EAGAIN && count > 10);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < count; i++)
		CHECK(pthread_join(many[i], 0) == 0);
	/* Smaller ones, and the same again. */
	for (int i = 0; i < count; i++)
		CHECK(pthread_create(&many[i], i % 2 ? &attributes : 0, lock_and_unlock, 0) == 0);
	for (int i = 0; i < count; i++)
		CHECK(pthread_join(many[i], 0) == 0);
}

/* ---- mutex, condition variable, once, barrier ---- */

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static int shared, initialised, serial_threads;

static void initialise(void)
{
	sched_yield();
	initialised++;
}

static void *count(void *argument)
{
	(void)argument;
	pthread_once(&once, initialise);
	CHECK(initialised == 1);
	for (int i = 0; i < 1000; i++) {
		pthread_mutex_lock(&mutex);
		int before = shared;
		if (i % 10 == 0)
			sched_yield();
		shared = before + 1;
		pthread_mutex_unlock(&mutex);
	}
	if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
		serial_threads++;
	CHECK(shared == 5000);
	return 0;
}

static int turn;

static void *take_turns(void *argument)
{
	int own = (int)(intptr_t)argument;
	for (int i = 0; i < 100; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 3 != own)
			pthread_cond_wait(&condition, &mutex);
		turn++;
		pthread_cond_broadcast(&condition);
		pthread_mutex_unlock(&mutex);
	}
	return 0;
}

static void lock(void)
{
	pthread_t threads[5];
	pthread_barrier_init(&barrier, 0, 5);
	for (int i = 0; i < 5; i++)
		CHECK(pthread_create(&threads[i], 0, count, 0) == 0);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], 0);
	CHECK(shared == 5000 && serial_threads == 1);
	for (intptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], 0, take_turns, (void *)i) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], 0);
	CHECK(turn == 300);

	struct timespec end = in_ms(CLOCK_REALTIME, 20);
	double start = now_ms();
	pthread_mutex_lock(&mutex);
	CHECK(pthread_cond_timedwait(&condition, &mutex, &end) == ETIMEDOUT);
	CHECK(now_ms() - start >= 19);
	pthread_mutex_unlock(&mutex);

	pthread_condattr_t attributes;
	pthread_cond_t monotonic;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&monotonic, &attributes);
	end = in_ms(CLOCK_MONOTONIC, 20);
	start = now_ms();
	pthread_mutex_lock(&mutex);
	CHECK(pthread_cond_timedwait(&monotonic, &mutex, &end) == ETIMEDOUT);
	CHECK(now_ms() - start >= 19);
	pthread_mutex_unlock(&mutex);

	pthread_mutexattr_t checking;
	pthread_mutex_t second;
	pthread_mutexattr_init(&checking);
	pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&second, &checking);
	CHECK(pthread_mutex_lock(&second) == 0);
	CHECK(pthread_mutex_lock(&second) == EDEADLK);
	CHECK(pthread_mutex_unlock(&second) == 0);
	CHECK(pthread_mutex_unlock(&second) == EPERM);
	pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&second, &checking);
	CHECK(pthread_mutex_lock(&second) == 0 && pthread_mutex_lock(&second) == 0);
	CHECK(pthread_mutex_unlock(&second) == 0 && pthread_mutex_unlock(&second) == 0);
}

/* ---- keys with destructors ---- */

static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
	if ((intptr_t)value == 1)
		pthread_setspecific(key, (void *)2);
	destroyed += (int)(intptr_t)value;
}

static void *use_key(void *argument)
{
	CHECK(pthread_getspecific(key) == 0);
	pthread_setspecific(key, argument);
	sched_yield();
	CHECK(pthread_getspecific(key) == argument);
	return 0;
}

static void keys(void)
{
	pthread_t threads[3];
	CHECK(pthread_key_create(&key, destroy) == 0);
	for (intptr_t i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], 0, use_key, (void *)(i * 10 + 1)) == 0);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], 0);
	CHECK(destroyed == 1 + 2 + 11 + 21);
}

/* ---- semaphores, read-write locks ---- */

static sem_t items, room;
static int queue[4], produced, consumed;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static int readers, most_readers, written;

static void *produce(void *argument)
{
	(void)argument;
	for (int i = 1; i <= 1000; i++) {
		sem_wait(&room);
		queue[produced++ % 4] = i;
		sem_post(&items);
	}
	return 0;
}

static void *consume(void *argument)
{
	long sum = 0;
	(void)argument;
	for (int i = 0; i < 1000; i++) {
		sem_wait(&items);
		sum += queue[consumed++ % 4];
		sem_post(&room);
	}
	return (void *)sum;
}

static void *read_locked(void *argument)
{
	(void)argument;
	for (int i = 0; i < 100; i++) {
		pthread_rwlock_rdlock(&rwlock);
		readers++;
		if (readers > most_readers)
			most_readers = readers;
		int before = written;
		sched_yield();
		CHECK(before == written);
		readers--;
		pthread_rwlock_unlock(&rwlock);
		sched_yield();
	}
	return 0;
}

static void *write_locked(void *argument)
{
	(void)argument;
	for (int i = 0; i < 100; i++) {
		pthread_rwlock_wrlock(&rwlock);
		CHECK(readers == 0);
		int before = written;
		sched_yield();
		written = before + 1;
		pthread_rwlock_unlock(&rwlock);
		sched_yield();
	}
	return 0;
}

static void semaphores(void)
{
	pthread_t producer, consumer, others[5];
	void *sum;
	sem_init(&items, 0, 0);
	sem_init(&room, 0, 4);
	CHECK(pthread_create(&consumer, 0, consume, 0) == 0);
	CHECK(pthread_create(&producer, 0, produce, 0) == 0);
	CHECK(pthread_join(consumer, &sum) == 0 && pthread_join(producer, 0) == 0);
	CHECK((long)sum == 1000 * 1001 / 2);
	struct timespec end = in_ms(CLOCK_REALTIME, 5);
	CHECK(sem_timedwait(&items, &end) == -1 && errno == ETIMEDOUT);
	CHECK(sem_trywait(&items) == -1 && errno == EAGAIN);
	for (int i = 0; i < 5; i++)
		CHECK(pthread_create(&others[i], 0, i < 3 ? read_locked : write_locked, 0) == 0);
	for (int i = 0; i < 5; i++)
		pthread_join(others[i], 0);
	CHECK(written == 200 && most_readers > 1);
}

/* ---- cancellation ---- */

static volatile int cleaned, waiting;

static void clean(void *argument)
{
	cleaned += (int)(intptr_t)argument;
}

static void *wait_for_ever(void *argument)
{
	int state;
	pthread_cleanup_push(clean, (void *)1);
	if (argument) {
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		waiting++;
		usleep(20000);
		cleaned += 10;
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	}
	waiting++;
	for (;;)
		pause();
	pthread_cleanup_pop(0);
	return 0;
}

static void *wait_on_condition(void *argument)
{
	(void)argument;
	pthread_mutex_lock(&mutex);
	pthread_cleanup_push((void (*)(void *))pthread_mutex_unlock, &mutex);
	waiting++;
	for (;;)
		pthread_cond_wait(&condition, &mutex);
	pthread_cleanup_pop(0);
	return 0;
}

static void *spin(void *argument)
{
	(void)argument;
	waiting++;
	for (;;) {
		pthread_testcancel();
		sched_yield();
	}
	return 0;
}

static void cancel_one(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	void *result;
	waiting = 0;
	CHECK(pthread_create(&thread, 0, function, argument) == 0);
	while (!waiting)
		sched_yield();
	CHECK(pthread_cancel(thread) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
}

static void cancel(void)
{
	cancel_one(wait_for_ever, 0);
	CHECK(cleaned == 1);
	cancel_one(wait_for_ever, (void *)1);
	CHECK(cleaned == 12);
	cancel_one(wait_on_condition, 0);
	CHECK(pthread_mutex_trylock(&mutex) == 0);
	pthread_mutex_unlock(&mutex);
	cancel_one(spin, 0);
}

/* ---- sleeping, names, numbers ---- */

static double woke[4];

static void *sleep_a_while(void *argument)
{
	int own = (int)(intptr_t)argument;
	usleep((useconds_t)own * 10000);
	woke[own] = now_ms();
	return 0;
}

static void sleeping(void)
{
	pthread_t threads[4];
	double start = now_ms();
	for (intptr_t i = 3; i > 0; i--)
		CHECK(pthread_create(&threads[i], 0, sleep_a_while, (void *)i) == 0);
	for (int i = 1; i < 4; i++)
		pthread_join(threads[i], 0);
	for (int i = 1; i < 4; i++)
		CHECK(woke[i] - start >= i * 10 && (i == 1 || woke[i] >= woke[i - 1]));
	char name[16];
	CHECK(prctl(PR_SET_NAME, "a name that is too long") == 0);
	CHECK(prctl(PR_GET_NAME, name) == 0);
	CHECK(!strcmp(name, "a name that is "));
	CHECK(pthread_setname_np(pthread_self(), "main") == 0);
}

/* ---- signals ---- */

static volatile int handled, handled_by;

static void handle(int signal)
{
	handled = signal;
	handled_by = gettid();
}

static void *wait_for_signal(void *argument)
{
	sigset_t set;
	int signal;
	(void)argument;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, 0);
	waiting = 1;
	struct timespec time = {10, 0};
	CHECK(nanosleep(&time, &time) == -1 && errno == EINTR);
	CHECK(handled == SIGUSR1 && handled_by == gettid());
	waiting = 2;
	CHECK(sigwait(&set, &signal) == 0 && signal == SIGUSR2);
	return (void *)1;
}

static void signals(void)
{
	pthread_t thread;
	void *result;
	struct sigaction action = {.sa_handler = handle};
	CHECK(sigaction(SIGUSR1, &action, 0) == 0);
	CHECK(raise(SIGUSR1) == 0 && handled == SIGUSR1 && handled_by == gettid());
	handled = 0;
	waiting = 0;
	CHECK(pthread_create(&thread, 0, wait_for_signal, 0) == 0);
	while (waiting != 1)
		sched_yield();
	CHECK(pthread_kill(thread, SIGUSR1) == 0);
	while (waiting != 2)
		sched_yield();
	CHECK(pthread_kill(thread, SIGUSR2) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == (void *)1);
	handled = 0;
	CHECK(sigaction(SIGALRM, &action, 0) == 0);
	struct itimerval timer = {{0, 5000}, {0, 10000}}, left;
	double start = now_ms();
	CHECK(setitimer(ITIMER_REAL, &timer, 0) == 0);
	CHECK(pause() == -1 && errno == EINTR && handled == SIGALRM && now_ms() - start >= 10);
	CHECK(usleep(1000000) == -1 && errno == EINTR && now_ms() - start >= 15);
	timer = (struct itimerval){{0, 0}, {0, 0}};
	CHECK(setitimer(ITIMER_REAL, &timer, &left) == 0 && left.it_interval.tv_usec == 5000);
	CHECK(alarm(100) == 0 && alarm(0) == 100);
	CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR && kill(getpid(), SIGUSR1) == 0);
	CHECK(kill(getpid(), 0) == 0);
	CHECK(kill(12345, SIGUSR1) == -1 && errno == ESRCH);
}

/* ---- endings that are reports ---- */

static int descend(volatile char *above)
{
	volatile char frame[4096];
	frame[0] = above[0];
	return descend(frame) + frame[1];
}

static void *overflow_stack(void *argument)
{
	volatile char byte = 0;
	(void)argument;
	descend(&byte);
	return 0;
}

static void overflow(void)
{
	pthread_t thread;
	pthread_create(&thread, 0, overflow_stack, 0);
	pthread_join(thread, 0);
}

static void *lock_mutex(void *argument)
{
	(void)argument;
	pthread_setname_np(pthread_self(), "locker");
	pthread_mutex_lock(&mutex);
	return 0;
}

static void deadlock(void)
{
	pthread_t thread;
	pthread_mutex_lock(&mutex);
	pthread_create(&thread, 0, lock_mutex, 0);
	pthread_join(thread, 0);
}

static void *exit_last(void *argument)
{
	(void)argument;
	usleep(1000);
	puts("the last thread ends");
	return 0;
}

static void leave(void)
{
	pthread_t thread;
	pthread_create(&thread, 0, exit_last, 0);
	pthread_exit(0);
}

static volatile sig_atomic_t told_to_end;

static void note_end(int signal)
{
	told_to_end = signal;
}

/* A signal that comes between the last look at the flag and the wait must end the wait: servers block it, look, and wait
 * with a mask that lets it through. */
static void late(void)
{
	struct sigaction action = {.sa_handler = note_end};
	CHECK(sigaction(SIGTERM, &action, 0) == 0);
	sigset_t end, none;
	sigemptyset(&none);
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	CHECK(sigprocmask(SIG_BLOCK, &end, 0) == 0);
	puts("computing");
	for (volatile long i = 0; i < 300000000; i++)
		;
	CHECK(!told_to_end);
	CHECK(ppoll(0, 0, 0, &none) == -1 && errno == EINTR && told_to_end == SIGTERM);
}

static const struct part parts[] = {
	{"join", join}, {"lock", lock}, {"keys", keys}, {"semaphores", semaphores},
	{"cancel", cancel}, {"sleeping", sleeping}, {"signals", signals}, {0, 0},
};

/* What was written before the end arrives, as when a process ends. */
static void speak(int after)
{
	static char chunk[64 << 10];
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 1) == 0);
	int client = accept(listener, 0, 0);
	CHECK(client >= 0 && read(client, chunk, after) == after);
	for (int i = 0; i < 256; i++) {
		memset(chunk, i, sizeof chunk);
		CHECK(write(client, chunk, sizeof chunk) == sizeof chunk);
	}
	_exit(7);
}

static void farewell(void)
{
	speak(1);
}

/* The server speaks first: the client's first byte is its end. */
static void greeting(void)
{
	speak(0);
}

static volatile sig_atomic_t last_signal;

static void note_signal(int signal)
{
	last_signal = signal;
}

/* Nothing but a signal can end this wait. */
static void patience(void)
{
	CHECK(signal(SIGTERM, note_signal) != SIG_ERR);
	int queue = epoll_create1(0);
	struct epoll_event event;
	CHECK(epoll_wait(queue, &event, 1, -1) == -1 && errno == EINTR && last_signal == SIGTERM);
	_exit(9);
}

static void *take_signals(void *set)
{
	CHECK(sigwait(set, &(int){0}) == 0);
	_exit(10);
}

/* One thread takes the signals that all others block. */
static void vigil(void)
{
	sigset_t set;
	pthread_t thread;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, 0) == 0);
	CHECK(pthread_create(&thread, 0, take_signals, &set) == 0);
	pthread_join(thread, 0);
}

/* Waits for clients that no network brings. */
static void alone(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(7)};
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&any, sizeof any) == 0 && listen(listener, 1) == 0);
	CHECK(signal(SIGTERM, note_signal) != SIG_ERR);
	pause();
	_exit(11);
}

static const struct part endings[] = {
	{"overflow", overflow}, {"deadlock", deadlock}, {"leave", leave}, {"exhaust", exhaust},
	{"late", late}, {"farewell", farewell}, {"greeting", greeting},
	{"patience", patience}, {"vigil", vigil}, {"alone", alone}, {0, 0},
};

static int run(const struct part *part, const char *name)
{
	int found = 0;
	for (; part->name; part++) {
		if (name && strcmp(name, part->name))
			continue;
		part->run();
		printf("%s: right\n", part->name);
		found++;
	}
	return found;
}

int main(int count, char **arguments)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	const char *name = count > 1 ? arguments[1] : 0;
	int found = run(parts, name) + run(event_parts, name);
	if (name)
		found += run(endings, name) + run(console_part, name) + run(network_parts, name);
	return found ? 0 : 2;
}
