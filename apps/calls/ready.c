/* Readiness: poll, select, epoll, event counters, and who is woken when there is room again. */
#include "calls.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>

static int ready(int fd, int events, int ms)
{
	struct pollfd entry = {fd, events, 0};
	int count = poll(&entry, 1, ms);
	return count > 0 ? entry.revents : count;
}

static void tcp_pair(int pair[2])
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof name;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	bind(listener, (struct sockaddr *)&name, sizeof name);
	getsockname(listener, (struct sockaddr *)&name, &bytes);
	listen(listener, 1);
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	connect(pair[0], (struct sockaddr *)&name, sizeof name);
	pair[1] = accept(listener, 0, 0);
	close(listener);
}

static void polls(void)
{
	struct pollfd entries[3] = {{-1, POLLIN, 7}, {99, POLLIN, 0}, {1, 0, 0}};
	struct timespec none = {0, 0}, wrong = {0, 1000000000}, negative = {-1, 0};
	struct timeval short_time = {0, 1000}, long_time = {0, 1500000};
	fd_set set;
	int fds[2], pair[2], other;
	sigset_t mask;
	sigemptyset(&mask);
	O(poll(entries, 3, 0));
	V(entries[0].revents);
	V(entries[1].revents);
	O(poll(0, 0, 0));
	O(poll(0, 1, 0));
	O(S(poll, entries, 2000000000u, 0));
	O(S(poll, entries, -1, 0));
	O(S(ppoll, entries, 1, &none, 0, 8));
	O(S(ppoll, entries, 1, &wrong, 0, 8));
	O(S(ppoll, entries, 1, &negative, 0, 8));
	O(S(ppoll, entries, 1, &none, &mask, 4));
	O(S(ppoll, entries, 1, &none, &mask, 8));
	O(pipe(fds));
	V(ready(fds[0], POLLIN, 0));
	V(ready(fds[1], POLLOUT | POLLIN, 0));
	V(ready(fds[0], 0xffff, 0));
	V(ready(fds[1], 0x7fff, 0));
	O(write(fds[1], "x", 1));
	V(ready(fds[0], 0x7fff, 0));
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	O(select(fds[0] + 1, &set, 0, 0, &short_time));
	read(fds[0], &other, 1);
	FD_SET(fds[0], &set);
	O(select(fds[0] + 1, &set, 0, 0, &short_time));
	V(FD_ISSET(fds[0], &set));
	O(select(-1, 0, 0, 0, &short_time));
	O(select(0, 0, 0, 0, &(struct timeval){0, 0}));
	O(select(0, 0, 0, 0, &(struct timeval){-1, 0}));
	O(select(0, 0, 0, 0, &(struct timeval){0, -1}));
	/* From here on the table of descriptors has room for 256 everywhere. */
	close(dup2(1, 200));
	FD_ZERO(&set);
	FD_SET(99, &set);
	O(select(100, &set, 0, 0, &long_time));
	O(S(pselect6, 0, 0, 0, 0, &wrong, 0));
	{
		struct timespec little = {0, 1000000};
		struct { void *at; size_t bytes; } masked = {&mask, 4}, right = {&mask, 8};
		O(S(pselect6, 0, 0, 0, 0, &little, 0));
		O(S(pselect6, 0, 0, 0, 0, &little, &masked));
		O(S(pselect6, 0, 0, 0, 0, &little, &right));
		little = (struct timespec){0, 1000000};
		O(S(ppoll, 0, 0, &little, 0, 0));
	}
	close(fds[0]);
	V(ready(fds[1], POLLOUT, 0));
	close(fds[1]);
	pipe(fds);
	close(fds[1]);
	V(ready(fds[0], POLLIN, 0));
	close(fds[0]);
	other = open("/tmp", O_RDONLY | O_DIRECTORY);
	V(ready(other, 0x7fff, 0));
	close(other);
	other = socket(AF_INET, SOCK_STREAM, 0);
	V(ready(other, 0x7fff, 0));
	close(other);
	other = socket(AF_INET, SOCK_DGRAM, 0);
	V(ready(other, 0x7fff, 0));
	close(other);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	V(ready(other, 0x7fff, 0));
	close(other);
	tcp_pair(pair);
	V(ready(pair[0], 0x7fff, 0));
	O(send(pair[0], "x", 1, 0));
	V(ready(pair[1], 0x7fff, 100));
	O(shutdown(pair[0], SHUT_WR));
	V(ready(pair[1], 0x7fff, 100));
	V(ready(pair[0], 0x7fff, 0));
	O(shutdown(pair[1], SHUT_WR));
	V(ready(pair[1], 0x7fff, 100));
	usleep(10000);
	V(ready(pair[0], 0x7fff, 100));
	close(pair[0]);
	close(pair[1]);
	tcp_pair(pair);
	{
		struct linger now = {1, 0};
		O(setsockopt(pair[0], SOL_SOCKET, SO_LINGER, &now, sizeof now));
		close(pair[0]);
		usleep(10000);
		V(ready(pair[1], 0x7fff, 100));
		O(recv(pair[1], &other, 1, 0));
		V(ready(pair[1], 0x7fff, 100));
		O(recv(pair[1], &other, 1, 0));
		O(send(pair[1], "x", 1, MSG_NOSIGNAL));
	}
	close(pair[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	V(ready(pair[0], 0x7fff, 0));
	shutdown(pair[0], SHUT_WR);
	V(ready(pair[0], 0x7fff, 0));
	V(ready(pair[1], 0x7fff, 0));
	close(pair[1]);
	V(ready(pair[0], 0x7fff, 0));
	close(pair[0]);
}

static void ring(int number)
{
	(void)number;
}

/* What is left of the timeout is written back, whether it has passed or a signal came first. */
static void time_left(void)
{
	struct timeval time = {0, 10000};
	struct timespec fine = {0, 10000000};
	struct itimerval soon = {{0, 0}, {0, 20000}};
	sigset_t none;
	struct { void *at; size_t bytes; } mask = {&none, 8};
	sigemptyset(&none);
	signal(SIGALRM, ring);
	O(S(select, 0, 0, 0, 0, &time));
	V(time.tv_sec + time.tv_usec);
	O(S(pselect6, 0, 0, 0, 0, &fine, 0));
	V(fine.tv_sec + fine.tv_nsec);
	fine = (struct timespec){0, 10000000};
	O(S(ppoll, 0, 0, &fine, 0, 8));
	V(fine.tv_sec + fine.tv_nsec);
	time = (struct timeval){5, 0};
	setitimer(ITIMER_REAL, &soon, 0);
	O(S(select, 0, 0, 0, 0, &time));
	V(time.tv_sec == 4 && time.tv_usec < 990000);
	fine = (struct timespec){5, 0};
	setitimer(ITIMER_REAL, &soon, 0);
	O(S(pselect6, 0, 0, 0, 0, &fine, &mask));
	V(fine.tv_sec == 4 && fine.tv_nsec < 990000000);
	fine = (struct timespec){5, 0};
	setitimer(ITIMER_REAL, &soon, 0);
	O(S(ppoll, 0, 0, &fine, &none, 8));
	V(fine.tv_sec == 4 && fine.tv_nsec < 990000000);
	signal(SIGALRM, SIG_DFL);
}

static int collect(int epoll, int ms)
{
	struct epoll_event events[4];
	int count = epoll_wait(epoll, events, 4, ms), all = 0;
	for (int i = 0; i < count; i++)
		all = all * 100000 + events[i].events;
	return count < 0 ? -1 : count == 0 ? 0 : all;
}

static void epolls(void)
{
	struct epoll_event event = {.events = EPOLLIN}, got[2];
	int epoll, fds[2], other, pair[2];
	O(S(epoll_create, 0));
	O(S(epoll_create, -1));
	O(epoll_create1(1));
	epoll = epoll_create1(EPOLL_CLOEXEC);
	pipe(fds);
	O(epoll_ctl(epoll, 99, fds[0], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, 99, &event));
	O(epoll_ctl(99, EPOLL_CTL_ADD, fds[0], &event));
	O(epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], 0));
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_DEL, fds[0], 0));
	other = open("/tmp", O_RDONLY);
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event));
	close(other);
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event));
	event.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT;
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[1], &event));
	event.events = EPOLLIN | EPOLLEXCLUSIVE;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[1], &event));
	event.events = EPOLLOUT;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[1], &event));
	O(epoll_ctl(epoll, EPOLL_CTL_DEL, fds[1], 0));
	O(epoll_wait(epoll, got, 0, 0));
	O(epoll_wait(epoll, got, -1, 0));
	O(epoll_wait(epoll, 0, 1, 0));
	O(epoll_wait(fds[0], got, 1, 0));
	O(epoll_wait(99, got, 1, 0));
	O(S(epoll_pwait, epoll, got, 1, 0, 0, 4));
	O(S(epoll_pwait, epoll, got, 1, 0, &(unsigned long){0}, 4));
	O(S(epoll_pwait2, epoll, got, 1, &(struct timespec){0, 1000000000}, 0, 8));
	O(collect(epoll, 0));
	O(write(fds[1], "xy", 2));
	O(collect(epoll, 0));
	O(collect(epoll, 0));
	event.events = EPOLLIN | EPOLLET;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	O(collect(epoll, 0));
	O(collect(epoll, 0));
	O(write(fds[1], "z", 1));
	O(collect(epoll, 0));
	O(collect(epoll, 0));
	event.events = EPOLLIN | EPOLLONESHOT;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	O(collect(epoll, 0));
	O(collect(epoll, 0));
	O(write(fds[1], "z", 1));
	O(collect(epoll, 0));
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	O(collect(epoll, 0));
	O(read(epoll, &other, 1));
	O(write(epoll, &other, 1));
	O(lseek(epoll, 0, SEEK_SET));
	V(ready(epoll, 0x7fff, 0));
	event.events = EPOLLIN;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, fds[0], &event));
	V(ready(epoll, 0x7fff, 0));
	close(fds[1]);
	O(collect(epoll, 0));
	close(fds[0]);
	O(collect(epoll, 0));
	tcp_pair(pair);
	event.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event));
	O(collect(epoll, 0));
	O(collect(epoll, 0));
	O(send(pair[1], "x", 1, 0));
	usleep(10000);
	O(collect(epoll, 100));
	O(collect(epoll, 0));
	O(shutdown(pair[1], SHUT_WR));
	usleep(10000);
	O(collect(epoll, 100));
	O(collect(epoll, 0));
	close(pair[0]);
	close(pair[1]);
	/* A timer that goes on is news once, until it is read. */
	other = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	event.events = EPOLLIN | EPOLLET;
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event));
	timerfd_settime(other, 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, 0);
	O(collect(epoll, 1000));
	O(collect(epoll, 50));
	O(read(other, &(long){0}, 8));
	O(collect(epoll, 1000));
	close(other);
	close(epoll);
}

static void counters(void)
{
	uint64_t value = 5;
	int fd;
	O(eventfd(0, 0x40000000));
	O(eventfd(0, 2));
	fd = eventfd(3, EFD_NONBLOCK);
	O(read(fd, &value, 4));
	O(read(fd, &value, 8));
	V(value);
	O(read(fd, &value, 8));
	value = -1;
	O(write(fd, &value, 8));
	value = -2;
	O(write(fd, &value, 8));
	V(ready(fd, 0x7fff, 0));
	value = 1;
	O(write(fd, &value, 8));
	O(write(fd, &value, 4));
	O(write(fd, &value, 16));
	O(read(fd, &value, 16));
	V(value);
	O(lseek(fd, 0, SEEK_SET));
	O(ftruncate(fd, 0));
	close(fd);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	O(read(fd, &value, 8));
	V(value);
	O(read(fd, &value, 8));
	O(read(fd, &value, 8));
	close(fd);
}

/* Reads all that comes, a little later and slowly. */
static void *drain(void *argument)
{
	static char buffer[65536];
	struct timespec pause = {0, 50000000};
	nanosleep(&pause, 0);
	for (int i = 0; i < 400; i++) {
		long count = recv(*(int *)argument, buffer, sizeof buffer, MSG_DONTWAIT);
		if (count == 0)
			break;
		if (count < 0) {
			struct timespec little = {0, 1000000};
			nanosleep(&little, 0);
		}
	}
	return 0;
}

/* Fills a socket by whole writes until it says that it is not writable, without ever writing short; then waits for
 * room in the given way. */
static void stall(const char *how, int pair[2])
{
	static char block[2048];
	struct epoll_event event = {.events = EPOLLOUT}, got;
	fd_set set;
	pthread_t reader;
	int epoll = epoll_create1(0), answer = -9, rounds = 0, small = 30000;
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	if (!strncmp(how, "edge", 4))
		event.events |= EPOLLET;
	if (!strncmp(how, "once", 4))
		event.events |= EPOLLONESHOT;
	while (ready(pair[0], POLLOUT, 0) > 0 && rounds++ < 100000)
		if (write(pair[0], block, sizeof block) != sizeof block)
			printf("%s: %s: a short write\n", group_name, how);
	if (rounds >= 100000)
		printf("%s: %s: never full\n", group_name, how);
	pthread_create(&reader, 0, drain, &pair[1]);
	if (!strcmp(how, "poll")) {
		answer = ready(pair[0], POLLOUT, 3000);
	} else if (!strcmp(how, "select")) {
		FD_ZERO(&set);
		FD_SET(pair[0], &set);
		answer = select(pair[0] + 1, 0, &set, 0, &(struct timeval){3, 0});
	} else {
		epoll_ctl(epoll, EPOLL_CTL_ADD, pair[0], &event);
		answer = epoll_wait(epoll, &got, 1, 3000);
		if (answer == 1)
			answer = got.events;
	}
	printf("%s: %s: %d\n", group_name, how, answer);
	close(epoll);
	close(pair[0]);
	pthread_join(reader, 0);
	close(pair[1]);
}

static void stalls(void)
{
	static const char *const ways[] = {"poll", "select", "level", "edge", "once"};
	int pair[2];
	for (int i = 0; i < 5; i++) {
		tcp_pair(pair);
		stall(ways[i], pair);
	}
	for (int i = 0; i < 5; i++) {
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
		stall(ways[i], pair);
	}
}

void ready_groups(void)
{
	if (group("polls"))
		polls();
	if (group("time_left"))
		time_left();
	if (group("epolls"))
		epolls();
	if (group("counters"))
		counters();
	if (group("stalls"))
		stalls();
}
