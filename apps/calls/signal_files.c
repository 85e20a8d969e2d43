/* Signals that are read from a descriptor (signalfd). */
#include "calls.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

static char *closed;
static struct signalfd_siginfo got[4];

static void rest(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static unsigned long bit(int signal)
{
	return 1ul << (signal - 1);
}

static void block(unsigned long set)
{
	S(rt_sigprocmask, SIG_SETMASK, &set, 0, 8);
}

static int make(unsigned long set, int flags)
{
	return S(signalfd4, -1, &set, 8, flags);
}

static int is_ready(int fd)
{
	struct pollfd one = {fd, POLLIN | POLLOUT, 0};
	poll(&one, 1, 0);
	return one.revents;
}

static void tell(int count)
{
	for (int i = 0; i < count; i++) {
		struct signalfd_siginfo *one = got + i;
		printf("%s: signal %u, errno %d, code %d, pid %d, uid %u, fd %d, band %u, overrun %u, trap %u, status %d, int %d, "
			"ptr %lu, utime %lu, stime %lu, addr %lu\n", group_name, one->ssi_signo, one->ssi_errno, one->ssi_code,
			one->ssi_pid == (unsigned)getpid(), one->ssi_uid, one->ssi_fd, one->ssi_band, one->ssi_overrun, one->ssi_trapno,
			one->ssi_status, one->ssi_int, (unsigned long)one->ssi_ptr, (unsigned long)one->ssi_utime,
			(unsigned long)one->ssi_stime, (unsigned long)one->ssi_addr);
	}
	memset(got, 0, sizeof got);
}

static void signal_files(void)
{
	unsigned long set = bit(SIGUSR1) | bit(SIGUSR2) | bit(40) | bit(SIGKILL) | bit(SIGSTOP);
	struct stat status;
	int fd, other;
	block(set | bit(SIGALRM));
	O(S(signalfd4, -1, &set, 4, 0));
	O(S(signalfd4, -1, &set, 16, 0));
	O(S(signalfd4, -1, closed, 8, 0));
	O(S(signalfd4, -1, 0, 8, 0));
	O(S(signalfd4, -1, &set, 8, 1));
	O(S(signalfd4, -1, closed, 8, 1));
	O(S(signalfd4, 99, &set, 8, 0));
	O(S(signalfd4, 99, &set, 8, 1));
	O(S(signalfd4, -2, &set, 8, 0));
	O(S(signalfd4, 1, &set, 8, 0));
	O(S(signalfd, 1, &set, 8));
	fd = make(set, 0);
	V(fd > 0);
	V(fcntl(fd, F_GETFL));
	V(fcntl(fd, F_GETFD));
	close(fd);
	fd = S(signalfd, -1, &set, 8);
	V(fd > 0);
	close(fd);
	fd = make(set, SFD_NONBLOCK | SFD_CLOEXEC);
	V(fcntl(fd, F_GETFL));
	V(fcntl(fd, F_GETFD));
	V(fstat(fd, &status));
	V(status.st_mode);
	V(status.st_size);
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	O(read(fd, got, 127));
	O(read(fd, got, 0));
	O(read(fd, closed, 128));
	O(write(fd, got, 128));
	O(lseek(fd, 0, SEEK_SET));
	O(pread(fd, got, 128, 0));
	int bytes = 5;
	O(ioctl(fd, FIONREAD, &bytes));
	V(bytes);
	/* One of each standard signal waits, and each of the others. */
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGUSR1);
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	tell(1);
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	sigqueue(getpid(), 40, (union sigval){.sival_int = 1});
	sigqueue(getpid(), 40, (union sigval){.sival_ptr = (void *)0x123456789});
	kill(getpid(), SIGUSR2);
	O(read(fd, got, 128));
	tell(1);
	O(read(fd, got, 300));
	tell(2);
	O(read(fd, got, 128));
	for (int i = 0; i < 6; i++)
		sigqueue(getpid(), 40, (union sigval){.sival_int = i});
	O(read(fd, got, sizeof got));
	tell(4);
	struct iovec spans[2] = {{got, 100}, {(char *)got + 100, 200}};
	O(readv(fd, spans, 2));
	tell(2);
	/* To a thread, and by it. */
	S(tgkill, getpid(), gettid(), SIGUSR1);
	raise(SIGUSR2);
	O(read(fd, got, sizeof got));
	tell(2);
	/* Signals that are not of the set, or not blocked. */
	kill(getpid(), SIGALRM);
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	unsigned long more = set | bit(SIGALRM);
	O(S(signalfd4, fd, &more, 8, 0) == fd);
	V(fcntl(fd, F_GETFL));
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	tell(1);
	/* Two descriptors: the first reader gets it. */
	other = make(set, SFD_NONBLOCK);
	kill(getpid(), SIGUSR1);
	V(is_ready(fd));
	V(is_ready(other));
	O(read(other, got, sizeof got));
	O(read(fd, got, sizeof got));
	/* One whose mask loses a signal. */
	kill(getpid(), SIGUSR1);
	more = bit(SIGUSR2);
	O(S(signalfd4, other, &more, 8, 0) == other);
	V(is_ready(other));
	O(read(other, got, sizeof got));
	O(read(fd, got, sizeof got));
	/* A pending one may be taken otherwise. */
	kill(getpid(), SIGUSR2);
	struct timespec none = {0, 0};
	more = bit(SIGUSR2);
	O(S(rt_sigtimedwait, &more, 0, &none, 8));
	V(is_ready(fd));
	kill(getpid(), SIGUSR2);
	O(read(fd, got, sizeof got));
	O(S(rt_sigtimedwait, &more, 0, &none, 8));
	O(dup(other) > 0);
	close(other);
	close(fd);
	O(read(fd, got, sizeof got));
	fd = make(0, 0);
	V(fd > 0);
	V(is_ready(fd));
	close(fd);
	/* What waited before the descriptor was made. */
	kill(getpid(), SIGUSR1);
	fd = make(set, 0);
	V(is_ready(fd));
	O(read(fd, got, sizeof got));
	close(fd);
	block(0);
}

static volatile int handled;

static void on_signal(int signal)
{
	handled = signal;
}

static int reader_fd;
static long answer;
static int error;

static void *reads(void *argument)
{
	(void)argument;
	errno = 0;
	answer = read(reader_fd, got, sizeof got);
	error = errno;
	return 0;
}

static void *polls(void *argument)
{
	struct pollfd one = {reader_fd, POLLIN, 0};
	(void)argument;
	answer = poll(&one, 1, 2000);
	error = one.revents;
	return 0;
}

static void *waits(void *argument)
{
	struct epoll_event event = {0};
	answer = epoll_wait((int)(long)argument, &event, 1, 2000);
	error = event.events;
	return 0;
}

static void signal_waits(void)
{
	unsigned long set = bit(SIGUSR1) | bit(40), one = bit(SIGUSR2);
	pthread_t thread;
	int epoll = epoll_create1(0);
	struct epoll_event event = {EPOLLIN, {.u64 = 7}};
	block(set);
	reader_fd = make(set, 0);
	pthread_create(&thread, 0, reads, 0);
	rest(10);
	kill(getpid(), SIGUSR1);
	pthread_join(thread, 0);
	V(answer);
	tell(1);
	/* To the thread that waits. */
	pthread_create(&thread, 0, reads, 0);
	rest(10);
	pthread_kill(thread, 40);
	pthread_join(thread, 0);
	V(answer);
	V(got[0].ssi_signo);
	/* To another thread: not for the one that waits. */
	pthread_create(&thread, 0, polls, 0);
	rest(10);
	S(tgkill, getpid(), gettid(), 40);
	rest(10);
	kill(getpid(), SIGUSR1);
	pthread_join(thread, 0);
	V(answer);
	V(error);
	memset(got, 0, sizeof got);
	V(read(reader_fd, got, sizeof got));
	V(got[0].ssi_signo);
	V(got[1].ssi_signo);
	/* A handler ends the wait, or lets it go on. */
	for (int flags = 0; flags < 2; flags++) {
		struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags ? SA_RESTART : 0};
		sigaction(SIGUSR2, &action, 0);
		handled = 0;
		answer = 77;
		pthread_create(&thread, 0, reads, 0);
		rest(10);
		pthread_kill(thread, SIGUSR2);
		rest(10);
		V(handled == SIGUSR2);
		V(answer);
		if (flags)
			kill(getpid(), SIGUSR1);
		pthread_join(thread, 0);
		V(answer);
		V(error);
	}
	/* One that is not blocked goes to its handler. */
	O(S(signalfd4, reader_fd, &one, 8, 0) == reader_fd);
	handled = 0;
	kill(getpid(), SIGUSR2);
	V(handled == SIGUSR2);
	V(is_ready(reader_fd));
	O(S(signalfd4, reader_fd, &set, 8, 0) == reader_fd);
	/* epoll, by level and by edge */
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, reader_fd, &event));
	O(epoll_wait(epoll, &event, 1, 0));
	kill(getpid(), SIGUSR1);
	O(epoll_wait(epoll, &event, 1, 0));
	V(event.events);
	V(event.data.u64);
	O(epoll_wait(epoll, &event, 1, 0));
	O(read(reader_fd, got, 128));
	O(epoll_wait(epoll, &event, 1, 0));
	event.events = EPOLLIN | EPOLLET;
	O(epoll_ctl(epoll, EPOLL_CTL_MOD, reader_fd, &event));
	kill(getpid(), 40);
	O(epoll_wait(epoll, &event, 1, 0));
	O(epoll_wait(epoll, &event, 1, 0));
	kill(getpid(), 40);
	O(epoll_wait(epoll, &event, 1, 0));
	O(read(reader_fd, got, sizeof got));
	pthread_create(&thread, 0, waits, (void *)(long)epoll);
	rest(10);
	kill(getpid(), SIGUSR1);
	pthread_join(thread, 0);
	V(answer);
	V(error);
	O(read(reader_fd, got, 128));
	/* A timer's */
	struct { long value; int signal, notify, rest[12]; } timed = {0x55, 40, 0, {0}};
	struct itimerspec setting = {{0, 0}, {0, 3000000}};
	int timer = -1;
	O(S(timer_create, CLOCK_MONOTONIC, &timed, &timer));
	O(S(timer_settime, timer, 0, &setting, 0));
	O(read(reader_fd, got, sizeof got));
	V(got[0].ssi_tid == (unsigned)timer);
	got[0].ssi_pid = 0;
	tell(1);
	O(S(timer_delete, timer));
	alarm(1);
	alarm(0);
	close(epoll);
	close(reader_fd);
	block(0);
}

void signal_file_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("signal_files"))
		signal_files();
	if (group("signal_waits"))
		signal_waits();
}
