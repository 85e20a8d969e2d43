/* The parts of the program: each prints lines that are the same wherever it runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* Takes the processor and makes no call. */
static inline void compute(void)
{
	static volatile unsigned long steps;
	steps++;
}

static inline long milliseconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags);

/* compute.c */
void ticked(void), sleeper(void), flag(void), fair(void), cancel(void), kill_thread(void), alarms(void), cpu_timers(void);
void outside(void), twice(void), registers(void), calls(void), heap(void), locks(void), terminated(void), spinning(void), receiver(void);
/* faults.c */
void details(void), closed(void), repaired(void), moved(void), jumped(void), once(void), alternate(void), overflow(void);
void nested(void), states(void), blocked(void), plain(void), inside(void);
/* queue.c */
void queued(void), raised(void), full(void), limited(void), ignored(void), late(void);
