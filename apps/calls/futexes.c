/* Words that threads wait on: every operation of futex(2), priority inheritance, and locks whose owner ends. */
#include "calls.h"
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

/* <linux/futex.h>, which images do not have. */
enum { WAIT, WAKE, FD, REQUEUE, CMP_REQUEUE, WAKE_OP, LOCK_PI, UNLOCK_PI, TRYLOCK_PI, WAIT_BITSET, WAKE_BITSET,
	LOCK_PI2 = 13, PRIVATE = 128, REALTIME = 256 };
#define WAITERS 0x80000000u
#define OWNER_DIED 0x40000000u

static unsigned word[4], other;
static char *closed;

static long futex(void *address, int operation, unsigned value, void *timeout, void *second, unsigned third)
{
	return S(futex, address, operation, value, timeout, second, third);
}

static void rest(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static struct timespec from_now(clockid_t clock, long ms)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_nsec += ms % 1000 * 1000000;
	time.tv_sec += ms / 1000 + time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static void words(void)
{
	struct timespec none = {0, 0}, little = {0, 2000000}, wrong = {0, 1000000000}, negative = {-1, 0}, past;
	word[0] = 7;
	O(futex(word, WAIT, 8, 0, 0, 0));
	O(futex(word, WAIT | PRIVATE, 8, 0, 0, 0));
	O(futex(word, WAIT, 7, &none, 0, 0));
	O(futex(word, WAIT, 7, &little, 0, 0));
	O(futex(word, WAIT | PRIVATE, 7, &little, 0, 0));
	O(futex(word, WAIT, 7, &wrong, 0, 0));
	O(futex(word, WAIT, 8, &wrong, 0, 0));
	O(futex(word, WAIT, 7, &negative, 0, 0));
	O(futex(word, WAIT, 7, closed, 0, 0));
	O(futex(word, WAIT | REALTIME, 7, &little, 0, 0));
	O(futex(word, WAIT | REALTIME, 8, &little, 0, 0));
	O(futex((char *)word + 1, WAIT, 7, &little, 0, 0));
	O(futex((char *)word + 2, WAKE, 1, 0, 0, 0));
	O(futex((char *)word + 1, WAKE | PRIVATE, 1, 0, 0, 0));
	O(futex(0, WAIT, 0, &little, 0, 0));
	O(futex(closed, WAIT, 0, &little, 0, 0));
	O(futex(closed, WAIT | PRIVATE, 0, &little, 0, 0));
	O(futex(closed, WAKE, 1, 0, 0, 0));
	O(futex(closed, WAKE | PRIVATE, 1, 0, 0, 0));
	O(futex((void *)(1ul << 63), WAKE | PRIVATE, 1, 0, 0, 0));
	O(futex(0, WAKE, 1, 0, 0, 0));
	O(futex(0, WAKE | PRIVATE, 1, 0, 0, 0));
	O(futex(word, WAKE, 0, 0, 0, 0));
	O(futex(word, WAKE, 1, 0, 0, 0));
	O(futex(word, WAKE, INT_MAX, 0, 0, 0));
	O(futex(word, WAKE, -1, 0, 0, 0));
	O(futex(word, WAKE | REALTIME, 1, 0, 0, 0));
	O(futex(word, FD, 1, 0, 0, 0));
	O(futex(word, FD | PRIVATE, 1, 0, 0, 0));
	O(futex(word, 14, 1, 0, 0, 0));
	O(futex(word, 127, 1, 0, 0, 0));
	O(futex(word, -1, 1, 0, 0, 0));
	O(futex(word, 512, 1, 0, 0, 0));

	O(futex(word, WAIT_BITSET, 8, 0, 0, 1));
	O(futex(word, WAIT_BITSET, 7, 0, 0, 0));
	O(futex(word, WAIT_BITSET, 8, 0, 0, 0));
	past = (struct timespec){1, 0};
	O(futex(word, WAIT_BITSET, 7, &past, 0, 1));
	O(futex(word, WAIT_BITSET | REALTIME, 7, &past, 0, 1));
	O(futex(word, WAIT_BITSET, 7, &wrong, 0, 1));
	O(futex(word, WAIT_BITSET | REALTIME, 7, &negative, 0, 1));
	past = from_now(CLOCK_MONOTONIC, 5);
	O(futex(word, WAIT_BITSET, 7, &past, 0, -1));
	past = from_now(CLOCK_REALTIME, 5);
	O(futex(word, WAIT_BITSET | REALTIME | PRIVATE, 7, &past, 0, 4));
	O(futex(word, WAKE_BITSET, 1, 0, 0, 0));
	O(futex(word, WAKE_BITSET, 1, 0, 0, 1));
	O(futex(word, WAKE_BITSET | REALTIME, 1, 0, 0, 1));

	O(futex(word, REQUEUE, 1, (void *)1, &other, 0));
	O(futex(word, REQUEUE, -1, (void *)1, &other, 0));
	O(futex(word, REQUEUE, 1, (void *)-1ul, &other, 0));
	O(futex(word, REQUEUE, 1, (void *)1, (char *)&other + 1, 0));
	O(futex(word, REQUEUE, 1, (void *)1, 0, 0));
	O(futex(word, REQUEUE, 1, (void *)1, closed, 0));
	O(futex(word, REQUEUE, 1, (void *)1, word, 0));
	O(futex(word, REQUEUE | REALTIME, 1, (void *)1, &other, 0));
	O(futex(word, CMP_REQUEUE, 1, (void *)1, &other, 7));
	O(futex(word, CMP_REQUEUE, 1, (void *)1, &other, 8));
	O(futex(word, CMP_REQUEUE, -1, (void *)1, &other, 8));
	O(futex(word, CMP_REQUEUE, 1, (void *)-1ul, &other, 7));
	O(futex(word, CMP_REQUEUE | PRIVATE, 0, (void *)0, &other, 7));
	O(futex(closed, CMP_REQUEUE, 1, (void *)1, &other, 7));
	O(futex(0, CMP_REQUEUE, 1, (void *)1, &other, 7));
}

/* FUTEX_OP */
static unsigned change(unsigned operation, unsigned value, unsigned comparison, unsigned than)
{
	return operation << 28 | (value & 0xfff) << 12 | comparison << 24 | (than & 0xfff);
}

static void wake_ops(void)
{
	O(futex(word, WAKE_OP, 1, (void *)1, &other, change(0, 5, 0, 0)));
	V(other);
	for (unsigned operation = 0; operation < 16; operation++)
		for (unsigned value = 0; value < 3; value++) {
			other = 0xf0;
			errno = 0;
			long answer = futex(word, WAKE_OP, 1, (void *)1, &other, change(operation, value * 17, 0, 0));
			printf("wake_ops: operation %u of %u = %ld %d, %x\n", operation, value * 17, answer, errno, other);
		}
	for (unsigned comparison = 0; comparison < 16; comparison++) {
		other = 0xf0;
		errno = 0;
		long answer = futex(word, WAKE_OP, 1, (void *)1, &other, change(1, 1, comparison, 0xf0));
		printf("wake_ops: comparison %u = %ld %d, %x\n", comparison, answer, errno, other);
	}
	other = 5;
	O(futex(word, WAKE_OP | PRIVATE, 1, (void *)1, &other, change(1, 0xfff, 0, 0)));
	V(other);
	O(futex(word, WAKE_OP, -1, (void *)-1ul, &other, change(0, 3, 0, 0)));
	V(other);
	O(futex(word, WAKE_OP | REALTIME, 1, (void *)1, &other, change(0, 4, 0, 0)));
	V(other);
	O(futex(word, WAKE_OP, 1, (void *)1, (char *)&other + 1, change(0, 5, 0, 0)));
	O(futex((char *)word + 1, WAKE_OP, 1, (void *)1, &other, change(0, 5, 0, 0)));
	O(futex(word, WAKE_OP, 1, (void *)1, 0, change(0, 5, 0, 0)));
	O(futex(word, WAKE_OP, 1, (void *)1, closed, change(0, 5, 0, 0)));
	O(futex(closed, WAKE_OP, 1, (void *)1, &other, change(0, 5, 0, 0)));
}

struct sleeper {
	pthread_t thread;
	unsigned *word, bits;
	int operation;
	long answer;
	int error, done;
};

static void *sleeps(void *argument)
{
	struct sleeper *own = argument;
	struct timespec limit = from_now(CLOCK_MONOTONIC, 3000);
	errno = 0;
	own->answer = futex(own->word, own->operation, *own->word, &limit, 0, own->bits);
	own->error = errno;
	own->done = 1;
	return 0;
}

static struct sleeper sleepers[6];

static void begin(int count, unsigned *where, unsigned bits)
{
	for (int i = 0; i < count; i++) {
		sleepers[i] = (struct sleeper){.word = where, .bits = bits ? bits : 1u << i, .operation = WAIT_BITSET | PRIVATE};
		pthread_create(&sleepers[i].thread, 0, sleeps, sleepers + i);
		rest(10);
	}
}

static void told(int count)
{
	rest(20);
	printf("%s:", group_name);
	for (int i = 0; i < count; i++)
		printf(" %d", sleepers[i].done);
	printf("\n");
}

static void end(int count)
{
	futex(word, WAKE | PRIVATE, INT_MAX, 0, 0, 0);
	futex(&other, WAKE | PRIVATE, INT_MAX, 0, 0, 0);
	for (int i = 0; i < count; i++) {
		pthread_join(sleepers[i].thread, 0);
		printf("%s: sleeper %d: %ld %d\n", group_name, i, sleepers[i].answer, sleepers[i].error);
	}
}

static void wakes(void)
{
	word[0] = other = 3;
	begin(4, word, 0);
	O(futex(word, WAKE_BITSET | PRIVATE, 9, 0, 0, 4));
	told(4);
	O(futex(word, WAKE_BITSET | PRIVATE, 9, 0, 0, 4));
	O(futex(word, WAKE_BITSET | PRIVATE, 1, 0, 0, 9));
	told(4);
	O(futex(word, WAKE | PRIVATE, 1, 0, 0, 0));
	told(4);
	end(4);
	begin(4, word, -1);
	O(futex(word, WAKE | PRIVATE, 0, 0, 0, 0));
	told(4);
	O(futex(word, WAKE | PRIVATE, 2, 0, 0, 0));
	told(4);
	end(4);
	begin(5, word, -1);
	O(futex(word, REQUEUE | PRIVATE, 1, (void *)2, &other, 0));
	told(5);
	O(futex(&other, WAKE | PRIVATE, 1, 0, 0, 0));
	told(5);
	O(futex(&other, CMP_REQUEUE | PRIVATE, 0, (void *)9, word, 4));
	O(futex(&other, CMP_REQUEUE | PRIVATE, 0, (void *)9, word, 3));
	O(futex(&other, WAKE | PRIVATE, 9, 0, 0, 0));
	/* Which one is woken depends on the kernel's table of words. */
	O(futex(word, CMP_REQUEUE | PRIVATE, 1, (void *)9, word, 3));
	end(5);
	begin(2, word, -1);
	begin(0, &other, -1);
	sleepers[2] = (struct sleeper){.word = &other, .bits = -1, .operation = WAIT_BITSET | PRIVATE};
	pthread_create(&sleepers[2].thread, 0, sleeps, sleepers + 2);
	rest(10);
	/* Adds 1, and wakes there as the old value was 3. */
	O(futex(word, WAKE_OP | PRIVATE, 1, (void *)1, &other, change(1, 1, 0, 3)));
	V(other);
	told(3);
	O(futex(word, WAKE_OP | PRIVATE, 0, (void *)1, &other, change(1, 1, 0, 3)));
	V(other);
	told(3);
	end(3);
}

static pthread_mutex_t mutex;
static int step;
static int taken;

static void *takes(void *argument)
{
	(void)argument;
	taken = pthread_mutex_lock(&mutex);
	return 0;
}

static void *holds(void *argument)
{
	taken = pthread_mutex_lock(&mutex);
	step = 1;
	rest((long)argument);
	return 0;
}

static void *unlocks(void *argument)
{
	(void)argument;
	return (void *)(long)pthread_mutex_unlock(&mutex);
}

static void in_thread(void *(*work)(void *), long argument)
{
	pthread_t thread;
	void *answer;
	pthread_create(&thread, 0, work, (void *)argument);
	pthread_join(thread, &answer);
	printf("%s: thread %ld, took %d\n", group_name, (long)answer, taken);
}

static void make(int kind, int robust, int protocol)
{
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	V(pthread_mutexattr_settype(&attributes, kind));
	V(pthread_mutexattr_setrobust(&attributes, robust));
	V(pthread_mutexattr_setprotocol(&attributes, protocol));
	V(pthread_mutex_init(&mutex, &attributes));
	pthread_mutexattr_destroy(&attributes);
}

static void robust_list(void)
{
	struct { void *next; long offset; void *pending; } head = {&head, 0, 0}, *now;
	void *first, *lists[2] = {0, 0};
	unsigned long bytes = 99;
	O(S(get_robust_list, 0, &first, &bytes));
	V(bytes);
	O(S(get_robust_list, getpid(), &now, &bytes));
	V((void *)now == first);
	O(S(get_robust_list, 99999, &now, &bytes));
	O(S(get_robust_list, -1, &now, &bytes));
	O(S(get_robust_list, 0, 0, &bytes));
	O(S(get_robust_list, 0, &now, 0));
	O(S(get_robust_list, 0, &now, closed));
	O(S(set_robust_list, 0, 9));
	O(S(set_robust_list, &head, 23));
	O(S(set_robust_list, &head, 25));
	O(S(set_robust_list, &head, 24));
	O(S(get_robust_list, 0, &now, &bytes));
	V((void *)now == &head);
	O(S(set_robust_list, 0, 24));
	O(S(get_robust_list, 0, lists, &bytes));
	V(lists[0] == 0);
	O(S(set_robust_list, first, 24));
}

/* A list of the kernel's own, without the C library: entries, then the word at an offset of them. */
struct entry {
	struct entry *next;
	unsigned word;
};

static struct {
	struct entry *next;
	long offset;
	struct entry *pending;
} own_list;
static struct entry entries[4];
static long own_tid;

static void *ends_with_list(void *argument)
{
	/* The C library would answer for the thread whose storage this is. */
	int tid = S(gettid);
	own_tid = tid;
	for (int i = 0; i < 4; i++)
		entries[i].word = tid;
	entries[1].word = tid | WAITERS;
	entries[2].word = tid + 1;
	entries[0].next = &entries[1];
	entries[1].next = &entries[2];
	entries[2].next = (void *)&own_list;
	own_list.next = entries;
	own_list.offset = (char *)&entries[0].word - (char *)&entries[0];
	own_list.pending = &entries[3];
	if (argument)
		own_list.next = argument == (void *)1 ? (void *)&own_list : (void *)closed;
	S(set_robust_list, &own_list, 24);
	S(exit, 0);
	return 0;
}

static char raw_stack[3][65536];

static void run_raw(int number, void *argument)
{
	int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
	own_tid = 0;
	/* Without thread-local storage of its own, the thread shares this one's, which waits. */
	clone((int (*)(void *))ends_with_list, raw_stack[number] + 65536, flags, argument);
	rest(50);
	for (int i = 0; i < 4; i++) {
		unsigned left = entries[i].word;
		printf("robust_ends: %d: died %d, waiters %d, owner %d\n", i, !!(left & OWNER_DIED), !!(left & WAITERS),
			(left & 0x3fffffff) == 0 ? 0 : (left & 0x3fffffff) == (unsigned)own_tid ? 1 : 2);
	}
}

static void robust_ends(void)
{
	run_raw(0, 0);
	run_raw(1, (void *)1);
	run_raw(2, (void *)2);
}

static void robust_mutexes(void)
{
	int value = 9;
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	V(pthread_mutexattr_getrobust(&attributes, &value));
	V(value);
	V(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
	V(pthread_mutexattr_getrobust(&attributes, &value));
	V(value);
	V(pthread_mutexattr_setrobust(&attributes, 9) != 0);
	for (int protocol = 0; protocol <= 1; protocol++)
		for (int kind = 0; kind < 3; kind++) {
			printf("robust_mutexes: kind %d, protocol %d\n", kind, protocol);
			make(kind, PTHREAD_MUTEX_ROBUST, protocol);
			V(pthread_mutex_consistent(&mutex) != 0);
			in_thread(takes, 0);
			V(pthread_mutex_trylock(&mutex) == EOWNERDEAD);
			V(pthread_mutex_consistent(&mutex));
			V(pthread_mutex_unlock(&mutex));
			V(pthread_mutex_lock(&mutex));
			V(pthread_mutex_unlock(&mutex));
			/* Not made consistent: it can never be had again. */
			in_thread(takes, 0);
			V(pthread_mutex_lock(&mutex) == EOWNERDEAD);
			V(pthread_mutex_unlock(&mutex));
			V(pthread_mutex_lock(&mutex) == ENOTRECOVERABLE);
			V(pthread_mutex_trylock(&mutex) == ENOTRECOVERABLE);
			V(pthread_mutex_destroy(&mutex));
			/* A thread that waits while the owner ends. */
			make(kind, PTHREAD_MUTEX_ROBUST, protocol);
			pthread_t thread;
			step = 0;
			pthread_create(&thread, 0, holds, (void *)30);
			while (!step)
				rest(1);
			V(pthread_mutex_lock(&mutex) == EOWNERDEAD);
			V(pthread_mutex_consistent(&mutex));
			V(pthread_mutex_unlock(&mutex));
			pthread_join(thread, 0);
			/* Two die one after the other. */
			in_thread(takes, 0);
			in_thread(takes, 0);
			V(pthread_mutex_lock(&mutex) == EOWNERDEAD);
			V(pthread_mutex_consistent(&mutex));
			V(pthread_mutex_unlock(&mutex));
			struct timespec limit = from_now(CLOCK_REALTIME, 20);
			step = 0;
			pthread_create(&thread, 0, holds, (void *)100);
			while (!step)
				rest(1);
			V(pthread_mutex_timedlock(&mutex, &limit) == ETIMEDOUT);
			limit = from_now(CLOCK_REALTIME, 3000);
			V(pthread_mutex_timedlock(&mutex, &limit) == EOWNERDEAD);
			pthread_join(thread, 0);
			V(pthread_mutex_consistent(&mutex));
			in_thread(unlocks, 0);
			V(pthread_mutex_unlock(&mutex));
			V(pthread_mutex_destroy(&mutex));
		}
}

/* As `sleeps`, for a lock: holds it for a moment. */
static unsigned lock;
static int order[8], places;

static void *locks(void *argument)
{
	struct sleeper *own = argument;
	own->answer = futex(&lock, LOCK_PI | PRIVATE, 0, 0, 0, 0);
	own->error = errno;
	order[places++] = own - sleepers;
	own->done = 1;
	rest(10);
	if ((lock & 0x3fffffff) == (unsigned)gettid())
		futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0);
	return 0;
}

static void *owns_and_ends(void *argument)
{
	lock = gettid();
	step = 1;
	rest((long)argument);
	return 0;
}

static void *unlocks_other(void *argument)
{
	(void)argument;
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	O(futex(&lock, TRYLOCK_PI | PRIVATE, 0, 0, 0, 0));
	struct timespec limit = from_now(CLOCK_REALTIME, 10);
	O(futex(&lock, LOCK_PI | PRIVATE, 0, &limit, 0, 0));
	limit = from_now(CLOCK_MONOTONIC, 10);
	O(futex(&lock, LOCK_PI2 | PRIVATE, 0, &limit, 0, 0));
	limit = from_now(CLOCK_REALTIME, 10);
	O(futex(&lock, LOCK_PI2 | REALTIME | PRIVATE, 0, &limit, 0, 0));
	limit = (struct timespec){1, 0};
	O(futex(&lock, LOCK_PI | PRIVATE, 0, &limit, 0, 0));
	limit = (struct timespec){0, 1000000000};
	O(futex(&lock, LOCK_PI | PRIVATE, 0, &limit, 0, 0));
	return 0;
}

static volatile int handled;

static void on_signal(int signal)
{
	handled = signal;
}

static void locks_pi(void)
{
	pthread_t thread;
	unsigned own = gettid();
	struct timespec limit = {0, 1000000000};
	lock = 0;
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	V(lock == own);
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	V(lock == own);
	O(futex(&lock, TRYLOCK_PI, 0, 0, 0, 0));
	O(futex(&lock, LOCK_PI2, 0, 0, 0, 0));
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	V(lock);
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	O(futex(&lock, TRYLOCK_PI, 0, 0, 0, 0));
	V(lock == own);
	lock |= WAITERS;
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	V(lock);
	O(futex(&lock, LOCK_PI, 0, &limit, 0, 0));
	limit = (struct timespec){-1, 0};
	O(futex(&lock, LOCK_PI, 0, &limit, 0, 0));
	O(futex(&lock, LOCK_PI, 0, closed, 0, 0));
	O(futex(&lock, TRYLOCK_PI, 0, closed, 0, 0));
	O(futex(&lock, UNLOCK_PI, 0, closed, 0, 0));
	O(futex(&lock, LOCK_PI | REALTIME, 0, 0, 0, 0));
	O(futex(&lock, UNLOCK_PI | REALTIME, 0, 0, 0, 0));
	O(futex(&lock, TRYLOCK_PI | REALTIME, 0, 0, 0, 0));
	lock = 0;
	O(futex(&lock, LOCK_PI2 | REALTIME, 0, 0, 0, 0));
	V(lock == own);
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	lock = 99999;
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	O(futex(&lock, TRYLOCK_PI, 0, 0, 0, 0));
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	V(lock);
	lock = OWNER_DIED;
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	V(lock == (own | OWNER_DIED));
	O(futex(&lock, UNLOCK_PI, 0, 0, 0, 0));
	V(lock);
	lock = OWNER_DIED | 99999;
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	O(futex(&lock, TRYLOCK_PI, 0, 0, 0, 0));
	lock = WAITERS;
	O(futex(&lock, LOCK_PI, 0, 0, 0, 0));
	V(lock == own);
	lock = own;
	O(futex(0, LOCK_PI, 0, 0, 0, 0));
	O(futex((char *)&lock + 1, LOCK_PI, 0, 0, 0, 0));
	O(futex(closed, LOCK_PI, 0, 0, 0, 0));
	O(futex(closed, TRYLOCK_PI | PRIVATE, 0, 0, 0, 0));
	O(futex(closed, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	O(futex((char *)&lock + 1, UNLOCK_PI, 0, 0, 0, 0));

	lock = own;
	pthread_create(&thread, 0, unlocks_other, 0);
	pthread_join(thread, 0);
	V((lock & 0x3fffffff) == own);
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	V(lock);

	/* In the order in which they came. */
	lock = own;
	places = 0;
	for (int i = 0; i < 4; i++) {
		sleepers[i] = (struct sleeper){0};
		pthread_create(&sleepers[i].thread, 0, locks, sleepers + i);
		rest(10);
	}
	V(lock == (own | WAITERS));
	V(places);
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	O(futex(&lock, LOCK_PI | PRIVATE, 0, 0, 0, 0));
	V(places);
	V((lock & 0x3fffffff) == own);
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	for (int i = 0; i < 4; i++) {
		pthread_join(sleepers[i].thread, 0);
		printf("locks_pi: %d: %ld, place %d\n", i, sleepers[i].answer, order[i]);
	}
	V(lock);

	/* A handler does not end the wait. */
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGUSR1, &action, 0);
	lock = own;
	places = 0;
	handled = 0;
	sleepers[0] = (struct sleeper){0};
	pthread_create(&sleepers[0].thread, 0, locks, sleepers);
	rest(10);
	pthread_kill(sleepers[0].thread, SIGUSR1);
	rest(10);
	V(handled == SIGUSR1);
	V(sleepers[0].done);
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	pthread_join(sleepers[0].thread, 0);
	V(sleepers[0].answer);
	signal(SIGUSR1, SIG_DFL);

	/* The owner ends. */
	step = 0;
	pthread_create(&thread, 0, owns_and_ends, (void *)30);
	while (!step)
		rest(1);
	O(futex(&lock, LOCK_PI | PRIVATE, 0, 0, 0, 0));
	V((lock & 0x3fffffff) == own);
	V(!!(lock & OWNER_DIED));
	pthread_join(thread, 0);
	O(futex(&lock, UNLOCK_PI | PRIVATE, 0, 0, 0, 0));
	V(lock);
}

void futex_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("words"))
		words();
	if (group("wake_ops"))
		wake_ops();
	if (group("wakes"))
		wakes();
	if (group("robust_list"))
		robust_list();
	if (group("robust_ends"))
		robust_ends();
	if (group("robust_mutexes"))
		robust_mutexes();
	if (group("locks_pi"))
		locks_pi();
}
