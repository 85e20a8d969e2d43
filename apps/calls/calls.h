/* A line for each observation: the call as it is written here, and what it answered. The same program runs as an
 * image and on Linux, and every line must be the same (cli/tests/calls.rs). */
#ifndef CALLS_H
#define CALLS_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

extern const char *group_name;

/* Prints what `call` answers: a value, or the number of the error. */
#define O(call) \
	do { \
		errno = 0; \
		long answer_ = (long)(call); \
		if (answer_ == -1) \
			printf("%s: %s = error %d\n", group_name, #call, errno); \
		else \
			printf("%s: %s = %ld\n", group_name, #call, answer_); \
	} while (0)

/* Prints whether a call succeeds, where its value differs from run to run. */
#define OK(call) \
	do { \
		errno = 0; \
		if ((long)(call) == -1) \
			printf("%s: %s = error %d\n", group_name, #call, errno); \
		else \
			printf("%s: %s succeeds\n", group_name, #call); \
	} while (0)

/* Prints a value. */
#define V(value) printf("%s: %s = %ld\n", group_name, #value, (long)(value))

/* The call itself, without the C library between. */
#define S(name, ...) syscall(SYS_##name, ##__VA_ARGS__)

void process_groups(void);
void limit_groups(void);
void clock_groups(void);
void option_groups(void);
void datagram_groups(void);
void local_groups(void);
void ready_groups(void);
void file_groups(void);
void proc_groups(void);
void float_groups(void);
void futex_groups(void);
void timer_groups(void);
void signal_file_groups(void);
void message_groups(void);
void internet_groups(void);
void rank_groups(void);
void moment_groups(void);
void queue_groups(void);
void pipe_groups(void);
void watch_groups(void);
void poll_groups(void);
void last_groups(void);
void rank_groups(void);
void moment_groups(void);
void queue_groups(void);
void last_groups(void);
void pipe_groups(void);
void watch_groups(void);
void poll_groups(void);
void pipe_groups(void);
void watch_groups(void);
void poll_groups(void);
void tree_groups(void);
void procfs_groups(void);
void last_groups(void);

/* Begins a group; whether it was asked for. */
int group(const char *name);

#endif
