/* Waiting for descriptors: what epoll, poll and select say in rare cases, timers and counters. */
#include "calls.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif

static int epoll;
static struct epoll_event found[8];

static void seen(const char *what)
{
	int count = epoll_wait(epoll, found, 8, 0);
	printf("%s: %s: %d", group_name, what, count < 0 ? -errno : count);
	for (int i = 0; i < count; i++)
		printf(" %x:%ld", found[i].events, (long)found[i].data.u64);
	printf("\n");
}

static int control(int operation, int fd, unsigned events, long data)
{
	struct epoll_event event = {events, {.u64 = data}};
	return epoll_ctl(epoll, operation, fd, &event);
}

static void edges(void)
{
	int pair[2], ends[2], other, copy, file = open("/tmp/calls-edge", O_RDWR | O_CREAT, 0644), folder = open("/tmp", O_RDONLY);
	char buffer[100000];
	epoll = epoll_create1(EPOLL_CLOEXEC);
	V(fcntl(epoll, F_GETFD));
	V(fcntl(epoll, F_GETFL));
	O(epoll_create1(1));
	O(S(epoll_create, 0));
	O(S(epoll_create, -1));
	O(control(EPOLL_CTL_ADD, file, EPOLLIN, 1));
	O(control(EPOLL_CTL_ADD, folder, EPOLLIN, 1));
	O(control(EPOLL_CTL_ADD, epoll, EPOLLIN, 1));
	O(control(EPOLL_CTL_ADD, 99, EPOLLIN, 1));
	O(epoll_ctl(99, EPOLL_CTL_ADD, 0, found));
	O(epoll_ctl(file, EPOLL_CTL_ADD, epoll, found));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, 0));
	O(epoll_wait(file, found, 8, 0));
	O(epoll_wait(99, found, 8, 0));
	O(epoll_wait(epoll, found, 0, 0));
	O(epoll_wait(epoll, found, -1, 0));
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), pipe2(ends, O_NONBLOCK);
	O(epoll_ctl(epoll, 4, pair[0], found));
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, pair[0], found));
	O(epoll_ctl(epoll, EPOLL_CTL_DEL, pair[0], 0));
	O(control(EPOLL_CTL_ADD, pair[0], EPOLLIN | EPOLLET | EPOLLRDHUP, 1));
	O(control(EPOLL_CTL_ADD, pair[0], EPOLLIN, 1));
	seen("nothing yet");
	write(pair[1], "a", 1);
	seen("one byte");
	seen("once");
	write(pair[1], "b", 1);
	seen("one more");
	O(control(EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLET | EPOLLRDHUP, 2));
	seen("after a change");
	shutdown(pair[1], SHUT_WR);
	seen("shut down");
	O(control(EPOLL_CTL_MOD, pair[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLONESHOT, 3));
	seen("one shot");
	seen("mute");
	O(control(EPOLL_CTL_MOD, pair[0], EPOLLOUT | EPOLLONESHOT, 3));
	seen("armed again");
	close(pair[1]);
	seen("peer closed while mute");
	O(control(EPOLL_CTL_MOD, pair[0], 0, 3));
	seen("hang-up unasked");
	O(control(EPOLL_CTL_DEL, pair[0], 0, 0));
	seen("deleted");
	O(control(EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLEXCLUSIVE, 4));
	O(control(EPOLL_CTL_MOD, ends[1], EPOLLOUT, 4));
	O(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 4));
	O(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE | EPOLLRDHUP, 4));
	O(control(EPOLL_CTL_ADD, ends[0], EPOLLIN | EPOLLEXCLUSIVE | EPOLLET, 5));
	seen("exclusive");
	write(ends[1], "x", 1);
	seen("exclusive and an edge");
	seen("exclusive once");
	copy = dup(ends[0]);
	O(control(EPOLL_CTL_ADD, copy, EPOLLIN, 6));
	seen("a copy");
	close(ends[0]);
	seen("the copy stays");
	O(control(EPOLL_CTL_DEL, ends[0], 0, 0));
	close(copy);
	seen("closed");
	close(ends[1]);
	seen("all closed");
	/* Instances in instances. */
	pipe2(ends, O_NONBLOCK);
	other = epoll_create1(0);
	O(control(EPOLL_CTL_ADD, other, EPOLLIN, 8));
	O(epoll_ctl(other, EPOLL_CTL_ADD, epoll, &(struct epoll_event){EPOLLIN, {.u64 = 0}}));
	O(control(EPOLL_CTL_MOD, other, EPOLLIN | EPOLLET, 8));
	O(epoll_ctl(other, EPOLL_CTL_ADD, ends[0], &(struct epoll_event){EPOLLIN, {.u64 = 9}}));
	seen("an empty one");
	write(ends[1], "x", 1);
	seen("one with an event");
	seen("an edge of one");
	O(epoll_wait(other, found, 8, 0));
	V(found[0].data.u64);
	struct pollfd entry = {other, POLLIN | POLLOUT, 0};
	O(poll(&entry, 1, 0));
	V(entry.revents);
	read(ends[0], buffer, 1);
	O(poll(&entry, 1, 0));
	O(control(EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE, 8));
	close(other);
	O(control(EPOLL_CTL_ADD, epoll_create1(0), EPOLLIN | EPOLLEXCLUSIVE, 8));
	{
		int chain[8], i;
		for (i = 0; i < 8; i++)
			chain[i] = epoll_create1(0);
		for (i = 0; i < 7; i++) {
			errno = 0;
			int answer = epoll_ctl(chain[i], EPOLL_CTL_ADD, chain[i + 1], &(struct epoll_event){EPOLLIN, {.u64 = 0}});
			printf("%s: a chain of %d: %d %d\n", group_name, i, answer, errno);
		}
		for (i = 0; i < 8; i++)
			close(chain[i]);
	}
	/* Room in a pipe. */
	O(control(EPOLL_CTL_ADD, ends[1], EPOLLOUT | EPOLLET, 10));
	seen("room");
	V(write(ends[1], buffer, 100000));
	seen("full");
	read(ends[0], buffer, 10);
	seen("a few bytes read");
	read(ends[0], buffer, 4096);
	seen("a page read");
	read(ends[0], buffer, 100000);
	seen("all read");
	close(ends[0]);
	seen("no reader");
	O(read(epoll, buffer, 8));
	O(write(epoll, buffer, 8));
	O(ioctl(epoll, FIONREAD, buffer));
	O(ftruncate(epoll, 0));
	/* Fewer places than events: they take turns. */
	{
		int counters[4];
		for (int i = 0; i < 4; i++)
			counters[i] = eventfd(1, EFD_NONBLOCK), control(EPOLL_CTL_ADD, counters[i], EPOLLIN, 20 + i);
		control(EPOLL_CTL_DEL, ends[1], 0, 0);
		for (int round = 0; round < 4; round++) {
			int count = epoll_wait(epoll, found, 3, 0);
			printf("%s: turn %d: %d %ld %ld %ld\n", group_name, round, count, (long)found[0].data.u64,
				(long)found[1].data.u64, (long)found[2].data.u64);
		}
		for (int i = 0; i < 4; i++)
			close(counters[i]);
	}
	close(epoll);
	O(epoll_wait(epoll, found, 8, 0));
	close(file), close(folder), close(ends[1]), close(pair[0]);
	unlink("/tmp/calls-edge");
}

static void counters(void)
{
	uint64_t value = 3;
	char small[4];
	int fd = eventfd(5, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC);
	struct stat state;
	O(eventfd(0, 2));
	V(fcntl(fd, F_GETFL));
	O(fstat(fd, &state));
	V(state.st_mode);
	V(state.st_size);
	O(read(fd, &value, 8));
	V(value);
	O(read(fd, small, 4));
	O(read(fd, &value, 16));
	V(value);
	value = UINT64_MAX;
	O(write(fd, &value, 8));
	value = UINT64_MAX - 1;
	O(write(fd, &value, 8));
	value = 2;
	O(write(fd, &value, 8));
	O(write(fd, small, 4));
	O(write(fd, &value, 0));
	for (int i = 0; i < 7; i++)
		O(read(fd, &value, 8));
	O(pread(fd, &value, 8, 0));
	O(pwrite(fd, &value, 8, 0));
	value = UINT64_MAX - 1;
	O(write(fd, &value, 8));
	struct pollfd entry = {fd, POLLIN | POLLOUT, 0};
	O(poll(&entry, 1, 0));
	V(entry.revents);
	O(read(fd, &value, 8));
	O(poll(&entry, 1, 0));
	V(entry.revents);
	close(fd);
	fd = eventfd(7, EFD_NONBLOCK);
	O(read(fd, &value, 8));
	V(value);
	O(poll(&entry, 1, 0));
	V(entry.revents);
	O(ioctl(fd, FIONREAD, &value));
	O(fsync(fd));
	close(fd);
}

static void show(const char *what, struct itimerspec *value)
{
	printf("%s: %s: %ld s every %ld.%09ld\n", group_name, what, (long)(value->it_value.tv_sec + (value->it_value.tv_nsec > 500000000)),
		(long)value->it_interval.tv_sec, (long)value->it_interval.tv_nsec);
}

static void timers(void)
{
	struct itimerspec value = {{0, 0}, {100, 0}}, old = {{9, 9}, {9, 9}};
	uint64_t count = 0;
	struct timespec now;
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	V(fcntl(fd, F_GETFL));
	O(timerfd_create(99, 0));
	O(timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	O(timerfd_create(CLOCK_MONOTONIC, 1));
	O(timerfd_gettime(fd, &old));
	show("new", &old);
	O(timerfd_settime(fd, 0, &value, &old));
	show("before", &old);
	O(timerfd_gettime(fd, &old));
	show("set", &old);
	value.it_interval.tv_sec = 7;
	O(timerfd_settime(fd, 0, &value, &old));
	show("before", &old);
	O(timerfd_gettime(fd, &old));
	show("set", &old);
	O(read(fd, &count, 8));
	O(read(fd, &count, 4));
	O(write(fd, &count, 8));
	value.it_value.tv_nsec = 1000000000;
	O(timerfd_settime(fd, 0, &value, 0));
	value.it_value.tv_nsec = -1;
	O(timerfd_settime(fd, 0, &value, 0));
	value.it_value.tv_nsec = 0;
	O(timerfd_settime(fd, 8, &value, 0));
	O(timerfd_settime(fd, 0, 0, 0));
	O(timerfd_settime(0, 0, &value, 0));
	O(timerfd_settime(99, 0, &value, 0));
	O(timerfd_gettime(fd, 0));
	O(timerfd_gettime(0, &old));
	O(timerfd_gettime(99, &old));
	value = (struct itimerspec){{0, 0}, {0, 1}};
	O(timerfd_settime(fd, 0, &value, 0));
	struct pollfd entry = {fd, POLLIN | POLLOUT, 0};
	O(poll(&entry, 1, 1000));
	V(entry.revents);
	O(timerfd_gettime(fd, &old));
	show("expired", &old);
	O(read(fd, &count, 8));
	V(count);
	O(read(fd, &count, 8));
	value = (struct itimerspec){{0, 5000000}, {0, 5000000}};
	O(timerfd_settime(fd, 0, &value, 0));
	nanosleep(&(struct timespec){0, 28000000}, 0);
	O(read(fd, &count, 8));
	V(count >= 5);
	O(timerfd_settime(fd, 0, &value, &old));
	V(old.it_interval.tv_nsec);
	value = (struct itimerspec){{0, 0}, {0, 0}};
	O(timerfd_settime(fd, 0, &value, 0));
	O(read(fd, &count, 8));
	clock_gettime(CLOCK_MONOTONIC, &now);
	value = (struct itimerspec){{0, 0}, {now.tv_sec - 5 > 0 ? now.tv_sec - 5 : 0, 1}};
	O(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, 0));
	O(read(fd, &count, 8));
	V(count);
	value = (struct itimerspec){{0, 0}, {1, 0}};
	O(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET, &value, 0));
	O(timerfd_settime(fd, TFD_TIMER_CANCEL_ON_SET | TFD_TIMER_ABSTIME, &value, 0));
	close(fd);
	fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	clock_gettime(CLOCK_REALTIME, &now);
	value = (struct itimerspec){{0, 0}, {now.tv_sec + 100, now.tv_nsec}};
	O(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &value, 0));
	O(timerfd_gettime(fd, &old));
	show("by the wall clock", &old);
	value.it_value.tv_sec -= 200;
	O(timerfd_settime(fd, TFD_TIMER_ABSTIME, &value, &old));
	O(read(fd, &count, 8));
	V(count);
	O(ioctl(fd, FIONREAD, &count));
	close(fd);
}

static void selects(void)
{
	int ends[2], fd;
	char buffer[10];
	fd_set reads, writes, fails;
	struct timeval zero = {0, 0}, wrong = {-1, 0}, little = {0, 10000};
	struct pollfd entries[4];
	pipe2(ends, O_NONBLOCK);
	FD_ZERO(&reads);
	FD_ZERO(&writes);
	FD_ZERO(&fails);
	FD_SET(ends[0], &reads);
	FD_SET(ends[1], &writes);
	FD_SET(ends[0], &fails);
	O(select(ends[1] + 1, &reads, &writes, &fails, &zero));
	V(FD_ISSET(ends[0], &reads));
	V(!!FD_ISSET(ends[1], &writes));
	V(FD_ISSET(ends[0], &fails));
	FD_SET(ends[0], &reads);
	O(select(ends[1] + 1, &reads, 0, 0, &little));
	V(FD_ISSET(ends[0], &reads));
	O(select(ends[1] + 1, &reads, 0, 0, &wrong));
	O(select(-1, &reads, 0, 0, &zero));
	O(select(0, 0, 0, 0, &zero));
	FD_ZERO(&reads);
	FD_SET(200, &reads);
	O(select(201, &reads, 0, 0, &zero));
	O(select(200, &reads, 0, 0, &zero));
	fd = open("/tmp", O_RDONLY);
	FD_ZERO(&reads);
	FD_ZERO(&writes);
	FD_ZERO(&fails);
	FD_SET(fd, &reads);
	FD_SET(fd, &writes);
	FD_SET(fd, &fails);
	O(select(fd + 1, &reads, &writes, &fails, 0));
	close(ends[1]);
	FD_ZERO(&reads);
	FD_SET(ends[0], &reads);
	O(select(ends[0] + 1, &reads, 0, 0, 0));
	O(pselect(ends[0] + 1, &reads, 0, 0, &(struct timespec){0, 1000000000}, 0));
	O(read(ends[0], buffer, 10));
	entries[0] = (struct pollfd){ends[0], POLLIN, 7};
	entries[1] = (struct pollfd){-1, POLLIN, 7};
	entries[2] = (struct pollfd){ends[1], POLLIN, 7};
	entries[3] = (struct pollfd){fd, POLLIN | POLLOUT | POLLPRI | POLLRDNORM | POLLWRNORM | POLLRDBAND | 0x2000, 7};
	O(poll(entries, 4, 0));
	V(entries[0].revents), V(entries[1].revents), V(entries[2].revents), V(entries[3].revents);
	O(poll(entries + 1, 1, 1));
	O(poll(0, 0, 1));
	O(poll(0, 1, 0));
	O(poll(entries, -1, 0));
	O(ppoll(entries, 1, &(struct timespec){0, -1}, 0));
	O(ppoll(entries, 1, &(struct timespec){0, 1000000}, 0));
	entries[0].events = 0;
	O(poll(entries, 1, 0));
	V(entries[0].revents);
	entries[0] = (struct pollfd){open("/dev/null", O_RDWR), POLLIN | POLLOUT, 0};
	entries[1] = (struct pollfd){open("/dev/urandom", O_RDONLY), POLLIN | POLLOUT, 0};
	entries[2] = (struct pollfd){open("/proc/self/stat", O_RDONLY), POLLIN | POLLOUT, 0};
	entries[3] = (struct pollfd){open("/tmp", O_PATH), POLLIN | POLLOUT, 0};
	O(poll(entries, 4, 0));
	V(entries[0].revents), V(entries[1].revents), V(entries[2].revents), V(entries[3].revents);
	for (int i = 0; i < 4; i++)
		close(entries[i].fd);
	close(fd), close(ends[0]);
}

void poll_groups(void)
{
	if (group("edges"))
		edges();
	if (group("event_counters"))
		counters();
	if (group("event_timers"))
		timers();
	if (group("selects"))
		selects();
}
