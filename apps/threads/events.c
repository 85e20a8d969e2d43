/* Waiting on descriptors: pipes, sockets, events, timers, poll, select, epoll. One thread waits
 * while others do what it waits for. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TOTAL 1000000

static double now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static pthread_t start(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, 0, function, argument) == 0);
	return thread;
}

static void *result_of(pthread_t thread)
{
	void *result;
	CHECK(pthread_join(thread, &result) == 0);
	return result;
}

/* ---- streams: everything arrives, whatever the pieces ---- */

static void *write_all(void *argument)
{
	int fd = (int)(intptr_t)argument;
	static unsigned char buffer[TOTAL];
	for (int i = 0; i < TOTAL; i++)
		buffer[i] = (unsigned char)(i * 31 >> 3);
	/* One write, far more than fits: it waits as often as need be. */
	CHECK(write(fd, buffer, TOTAL / 2) == TOTAL / 2);
	for (int done = TOTAL / 2; done < TOTAL;) {
		ssize_t count = write(fd, buffer + done, (size_t)(TOTAL - done) < 777 ? TOTAL - done : 777);
		CHECK(count > 0);
		done += (int)count;
	}
	close(fd);
	return 0;
}

static void read_all(int fd)
{
	unsigned char buffer[5000];
	int done = 0;
	for (ssize_t count; (count = read(fd, buffer, 1 + done % sizeof buffer)) > 0; done += (int)count)
		for (int i = 0; i < count; i++)
			CHECK(buffer[i] == (unsigned char)((done + i) * 31 >> 3));
	CHECK(done == TOTAL);
	close(fd);
}

static void streams(void)
{
	int ends[2];
	CHECK(pipe(ends) == 0);
	pthread_t writer = start(write_all, (void *)(intptr_t)ends[1]);
	read_all(ends[0]);
	result_of(writer);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	writer = start(write_all, (void *)(intptr_t)ends[1]);
	read_all(ends[0]);
	result_of(writer);
}

/* ---- a server and its clients under a path and an abstract name ---- */

static void *serve(void *argument)
{
	int listener = (int)(intptr_t)argument;
	for (int i = 0; i < 10; i++) {
		char byte;
		int fd = accept(listener, 0, 0);
		CHECK(fd >= 0);
		CHECK(recv(fd, &byte, 1, 0) == 1);
		byte++;
		CHECK(send(fd, &byte, 1, 0) == 1);
		CHECK(recv(fd, &byte, 1, 0) == 0);
		close(fd);
	}
	return 0;
}

static void serve_at(struct sockaddr_un *address, socklen_t length)
{
	int listener = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)address, length) == 0);
	CHECK(listen(listener, 2) == 0);
	pthread_t server = start(serve, (void *)(intptr_t)listener);
	for (int i = 0; i < 10; i++) {
		char byte = (char)i;
		struct sockaddr_un peer;
		socklen_t peer_length = sizeof peer;
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		CHECK(connect(fd, (struct sockaddr *)address, length) == 0);
		CHECK(getpeername(fd, (struct sockaddr *)&peer, &peer_length) == 0);
		CHECK(peer_length > 2 && !memcmp(peer.sun_path, address->sun_path, peer_length - 2));
		CHECK(send(fd, &byte, 1, 0) == 1 && recv(fd, &byte, 1, MSG_WAITALL) == 1 && byte == i + 1);
		close(fd);
	}
	result_of(server);
	close(listener);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(fd, (struct sockaddr *)address, length) == -1 && errno == ECONNREFUSED);
	close(fd);
}

static void server(void)
{
	struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/tmp/socket"};
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0name"};
	struct stat status;
	serve_at(&path, sizeof path);
	CHECK(stat("/tmp/socket", &status) == 0 && S_ISSOCK(status.st_mode));
	CHECK(unlink("/tmp/socket") == 0);
	serve_at(&name, 2 + 5);
}

/* ---- event counters and timers ---- */

static int event, answer_event;

static void *answer_events(void *argument)
{
	uint64_t count, sum = 0;
	(void)argument;
	while (sum < 500) {
		CHECK(read(event, &count, 8) == 8);
		sum += count;
		CHECK(write(answer_event, &count, 8) == 8);
	}
	return 0;
}

static void counters(void)
{
	uint64_t count;
	event = eventfd(0, 0);
	answer_event = eventfd(0, EFD_SEMAPHORE);
	pthread_t thread = start(answer_events, 0);
	for (int i = 0; i < 500; i++) {
		count = 1;
		CHECK(write(event, &count, 8) == 8);
		CHECK(read(answer_event, &count, 8) == 8 && count == 1);
	}
	result_of(thread);

	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	struct itimerspec setting = {{0, 5000000}, {0, 10000000}};
	double begin = now_ms();
	CHECK(timerfd_settime(timer, 0, &setting, 0) == 0);
	CHECK(read(timer, &count, 8) == 8 && count >= 1);
	CHECK(now_ms() - begin >= 10);
	usleep(20000);
	CHECK(read(timer, &count, 8) == 8 && count >= 3);
	struct pollfd entry = {timer, POLLIN, 0};
	CHECK(poll(&entry, 1, 1000) == 1 && entry.revents == POLLIN);
	setting = (struct itimerspec){{0, 0}, {0, 0}};
	CHECK(timerfd_settime(timer, 0, &setting, 0) == 0);
	CHECK(fcntl(timer, F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(timer, &count, 8) == -1 && errno == EAGAIN);
	close(timer);
}

/* ---- poll and select ---- */

static int late_pipe[2];

static void *write_late(void *argument)
{
	usleep((useconds_t)(intptr_t)argument);
	CHECK(write(late_pipe[1], "x", 1) == 1);
	return 0;
}

static void polling(void)
{
	char byte;
	CHECK(pipe(late_pipe) == 0);
	struct pollfd entries[3] = {{late_pipe[0], POLLIN, 0}, {-1, POLLIN, 0}, {0, 0, 0}};
	double begin = now_ms();
	CHECK(poll(entries, 3, 20) == 0 && now_ms() - begin >= 20);
	pthread_t thread = start(write_late, (void *)10000);
	begin = now_ms();
	CHECK(poll(entries, 3, -1) == 1 && entries[0].revents == POLLIN && now_ms() - begin >= 10);
	CHECK(read(late_pipe[0], &byte, 1) == 1);
	result_of(thread);

	fd_set set;
	FD_ZERO(&set);
	FD_SET(late_pipe[0], &set);
	struct timeval time = {0, 20000};
	begin = now_ms();
	CHECK(select(late_pipe[0] + 1, &set, 0, 0, &time) == 0 && now_ms() - begin >= 20);
	CHECK(!FD_ISSET(late_pipe[0], &set));
	FD_SET(late_pipe[0], &set);
	thread = start(write_late, (void *)1000);
	CHECK(select(late_pipe[0] + 1, &set, 0, 0, 0) == 1 && FD_ISSET(late_pipe[0], &set));
	CHECK(read(late_pipe[0], &byte, 1) == 1);
	result_of(thread);

	struct timeval limit = {0, 20000};
	int pair[2];
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	CHECK(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
	begin = now_ms();
	CHECK(recv(pair[0], &byte, 1, 0) == -1 && errno == EAGAIN && now_ms() - begin >= 20);
	close(pair[0]);
	close(pair[1]);
	close(late_pipe[0]);
	close(late_pipe[1]);
}

/* ---- epoll: a server loop over many descriptors ---- */

#define MANY 3000

static int many[MANY][2];

static void *write_some(void *argument)
{
	(void)argument;
	for (int i = 0; i < MANY; i += 3) {
		CHECK(write(many[i][1], "ab", 2) == 2);
		if (i % 100 == 0)
			sched_yield();
	}
	return 0;
}

static void epolling(void)
{
	struct rlimit limit;
	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= 10032);
	int epoll = epoll_create1(0);
	for (int i = 0; i < MANY; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, many[i]) == 0);
		struct epoll_event event = {EPOLLIN | (i % 2 ? EPOLLET : 0), {.u32 = (uint32_t)i}};
		CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, many[i][0], &event) == 0);
	}
	struct epoll_event events[64];
	double begin = now_ms();
	CHECK(epoll_wait(epoll, events, 64, 20) == 0 && now_ms() - begin >= 20);
	pthread_t thread = start(write_some, 0);
	char bytes[4];
	/* Level triggered ones come until they are empty, edge triggered ones once. */
	for (int seen = 0, expected = MANY / 3; seen < expected;) {
		int count = epoll_wait(epoll, events, 64, 5000);
		CHECK(count > 0);
		for (int i = 0; i < count; i++) {
			int index = (int)events[i].data.u32;
			CHECK(index % 3 == 0 && events[i].events == EPOLLIN);
			CHECK(read(many[index][0], bytes, index % 2 ? 1 : 4) == (index % 2 ? 1 : 2));
			seen++;
		}
	}
	result_of(thread);
	CHECK(epoll_wait(epoll, events, 64, 0) == 0);
	/* One shot, then armed again; hang-up of the other side; closing removes. */
	struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.u32 = 7}};
	CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, many[1][0], &event) == 0);
	CHECK(write(many[1][1], "a", 1) == 1);
	CHECK(epoll_wait(epoll, events, 64, 100) == 1 && events[0].data.u32 == 7);
	CHECK(write(many[1][1], "a", 1) == 1);
	CHECK(epoll_wait(epoll, events, 64, 0) == 0);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, many[1][0], &event) == 0);
	CHECK(epoll_wait(epoll, events, 64, 0) == 1);
	event.events = EPOLLIN | EPOLLRDHUP;
	CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, many[2][0], &event) == 0);
	close(many[2][1]);
	CHECK(epoll_wait(epoll, events, 64, 0) == 1);
	CHECK(events[0].events == (EPOLLIN | EPOLLRDHUP | EPOLLHUP));
	close(many[2][0]);
	CHECK(epoll_wait(epoll, events, 64, 0) == 0);
	for (int i = 0; i < MANY; i++)
		if (i != 2) {
			close(many[i][0]);
			close(many[i][1]);
		}
	close(epoll);
}

/* ---- signals and closing while a thread waits ---- */

static volatile int handled;
static int quiet[2];

static void handle(int signal)
{
	handled = signal;
}

static void *read_quiet(void *argument)
{
	char byte;
	(void)argument;
	ssize_t count = read(quiet[0], &byte, 1);
	return (void *)(intptr_t)(count < 0 ? errno : count);
}

static void interruptions(void)
{
	char byte = 0;
	CHECK(pipe(quiet) == 0);
	struct sigaction action = {.sa_handler = handle};
	sigaction(SIGUSR1, &action, 0);
	pthread_t thread = start(read_quiet, 0);
	sched_yield();
	pthread_kill(thread, SIGUSR1);
	CHECK((intptr_t)result_of(thread) == EINTR && handled == SIGUSR1);
	/* With SA_RESTART the read goes on. */
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, 0);
	thread = start(read_quiet, 0);
	sched_yield();
	pthread_kill(thread, SIGUSR1);
	sched_yield();
	CHECK(write(quiet[1], "x", 1) == 1);
	CHECK((intptr_t)result_of(thread) == 1);
	thread = start(read_quiet, 0);
	sched_yield();
	CHECK(close(quiet[0]) == 0);
	CHECK((intptr_t)result_of(thread) == EBADF);
	sigaction(SIGPIPE, &action, 0);
	CHECK(write(quiet[1], "x", 1) == -1 && errno == EPIPE && handled == SIGPIPE);
	close(quiet[1]);
	handled = 0;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, quiet) == 0);
	close(quiet[0]);
	CHECK(send(quiet[1], "x", 1, MSG_NOSIGNAL) == -1 && errno == EPIPE && handled == 0);
	CHECK(send(quiet[1], "x", 1, 0) == -1 && errno == EPIPE && handled == SIGPIPE);
	close(quiet[1]);
	/* A mask for the time of the call lets a blocked signal through. */
	sigset_t blocked, open;
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	CHECK(pthread_sigmask(SIG_BLOCK, &blocked, &open) == 0);
	raise(SIGUSR1);
	CHECK(handled == SIGPIPE);
	CHECK(ppoll(0, 0, 0, &open) == -1 && errno == EINTR && handled == SIGUSR1);
	CHECK(pthread_sigmask(SIG_SETMASK, &open, 0) == 0);
	CHECK(pipe2(quiet, O_NONBLOCK) == 0);
	CHECK(read(quiet[0], &byte, 1) == -1 && errno == EAGAIN);
	int off = 0, bytes;
	CHECK(ioctl(quiet[0], FIONBIO, &off) == 0 && fcntl(quiet[0], F_GETFL) == O_RDONLY);
	CHECK(write(quiet[1], "abc", 3) == 3 && ioctl(quiet[0], FIONREAD, &bytes) == 0 && bytes == 3);
	close(quiet[0]);
	close(quiet[1]);
}

/* ---- the console: others run while one thread reads it ---- */

static void *write_dots(void *argument)
{
	for (int i = 0; i < 3; i++) {
		usleep(5000);
		CHECK(write(1, ".", 1) == 1);
	}
	return argument;
}

static void console(void)
{
	char line[80];
	struct pollfd entry = {0, POLLIN, 0};
	pthread_t thread = start(write_dots, 0);
	CHECK(fgets(line, sizeof line, stdin) && !strcmp(line, "a line\n"));
	result_of(thread);
	CHECK(poll(&entry, 1, -1) == 1);
	CHECK(!fgets(line, sizeof line, stdin) && feof(stdin));
}

const struct part console_part[] = {{"console", console}, {0, 0}};

/* ---- sendfile ---- */

static void sending(void)
{
	int file = open("/tmp/file", O_RDWR | O_CREAT, 0600), ends[2];
	char buffer[8192];
	memset(buffer, 'f', sizeof buffer);
	CHECK(write(file, buffer, 8000) == 8000);
	CHECK(pipe(ends) == 0);
	off_t offset = 1000;
	CHECK(sendfile(ends[1], file, &offset, 100000) == 7000 && offset == 8000);
	CHECK(read(ends[0], buffer, sizeof buffer) == 7000);
	close(ends[0]);
	close(ends[1]);
	close(file);
	CHECK(unlink("/tmp/file") == 0);
}

static struct flock whole(short type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET};
}

struct holder {
	int file;
	volatile int released;
};

/* Gives a record lock of its description back after a while. */
static void *unlock_soon(void *argument)
{
	struct holder *holder = argument;
	struct flock none = whole(F_UNLCK);
	usleep(20000);
	holder->released = 1;
	CHECK(fcntl(holder->file, F_OFD_SETLK, &none) == 0);
	return 0;
}

static void *close_soon(void *argument)
{
	struct holder *holder = argument;
	usleep(20000);
	holder->released = 1;
	CHECK(close(holder->file) == 0);
	return 0;
}

static void do_nothing(int signal)
{
	(void)signal;
}

/* Locks that wait: those of descriptions for each other and for the process, whose own never conflict. */
static void locks(void)
{
	int first = open("/tmp/locks", O_CREAT | O_RDWR, 0600), second = open("/tmp/locks", O_RDWR);
	struct flock write = whole(F_WRLCK), none = whole(F_UNLCK);
	struct holder holder = {.file = first};
	CHECK(first >= 0 && second >= 0);
	CHECK(fcntl(first, F_SETLKW, &write) == 0 && fcntl(second, F_SETLKW, &write) == 0);
	CHECK(fcntl(first, F_SETLKW, &none) == 0);

	CHECK(fcntl(first, F_OFD_SETLKW, &write) == 0);
	CHECK(fcntl(second, F_OFD_SETLK, &write) == -1 && errno == EAGAIN);
	pthread_t thread = start(unlock_soon, &holder);
	CHECK(fcntl(second, F_OFD_SETLKW, &write) == 0 && holder.released);
	CHECK(result_of(thread) == 0);

	/* The process waits for a description, which gives its lock back by being closed. */
	holder = (struct holder){.file = second};
	thread = start(close_soon, &holder);
	CHECK(fcntl(first, F_SETLKW, &write) == 0 && holder.released);
	CHECK(result_of(thread) == 0);
	CHECK(fcntl(first, F_SETLK, &none) == 0);

	second = open("/tmp/locks", O_RDWR);
	CHECK(flock(first, LOCK_EX) == 0 && flock(second, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	holder = (struct holder){.file = first};
	thread = start(close_soon, &holder);
	CHECK(flock(second, LOCK_SH) == 0 && holder.released);
	CHECK(result_of(thread) == 0);

	/* A handler ends the wait, where it lets nothing begin again. */
	first = open("/tmp/locks", O_RDWR);
	CHECK(fcntl(first, F_OFD_SETLKW, &write) == 0);
	struct sigaction action = {.sa_handler = do_nothing};
	CHECK(sigaction(SIGALRM, &action, 0) == 0);
	struct itimerval soon = {.it_value.tv_usec = 20000};
	CHECK(setitimer(ITIMER_REAL, &soon, 0) == 0);
	CHECK(fcntl(second, F_OFD_SETLKW, &write) == -1 && errno == EINTR);
	CHECK(setitimer(ITIMER_REAL, &soon, 0) == 0);
	CHECK(flock(first, LOCK_EX) == -1 && errno == EINTR);
	CHECK(close(first) == 0 && close(second) == 0);
}

const struct part event_parts[] = {
	{"streams", streams}, {"server", server}, {"counters", counters}, {"polling", polling},
	{"epolling", epolling}, {"interruptions", interruptions}, {"sending", sending},
	{"locks", locks}, {0, 0},
};
