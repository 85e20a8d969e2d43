/* Message queues and semaphores by name, and memory that is shared by name. */
#include "calls.h"
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <time.h>

static char *closed;

static void rest(long ms)
{
	struct timespec time = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&time, 0);
}

static struct timespec from_now(long ms)
{
	struct timespec time;
	clock_gettime(CLOCK_REALTIME, &time);
	time.tv_nsec += ms % 1000 * 1000000;
	time.tv_sec += ms / 1000 + time.tv_nsec / 1000000000;
	time.tv_nsec %= 1000000000;
	return time;
}

static void tell_queue(int queue)
{
	struct mq_attr now = {9, 9, 9, 9};
	struct pollfd one = {queue, POLLIN | POLLOUT, 0};
	long answer = mq_getattr(queue, &now);
	poll(&one, 1, 0);
	printf("%s: %ld, flags %ld, most %ld of %ld, now %ld, ready %d\n", group_name, answer, (long)now.mq_flags,
		(long)now.mq_maxmsg, (long)now.mq_msgsize, (long)now.mq_curmsgs, one.revents);
}

static void take(int queue, long room)
{
	char text[9000];
	unsigned rank = 77;
	errno = 0;
	long answer = mq_receive(queue, text, room, &rank);
	printf("%s: received %ld %d, rank %u, %.*s\n", group_name, answer, errno, rank, answer > 0 && answer < 20 ? (int)answer : 0,
		text);
}

static void queue_opens(void)
{
	struct mq_attr attributes = {0, 3, 16, 0}, wrong = {0, 0, 16, 0}, much = {0, 11, 16, 0}, large = {0, 3, 8193, 0};
	char name[300] = "/";
	mqd_t queue, other;
	struct stat status;
	mq_unlink("/calls-a");
	O(mq_open("/calls-a", O_RDWR));
	O(mq_open("/calls-a", O_RDWR | O_EXCL));
	O(mq_open("/", O_RDWR | O_CREAT, 0600, 0));
	O(mq_open("/a/b", O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, "", O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, "a/b", O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, ".", O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, "..", O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, closed, O_RDWR | O_CREAT, 0600, 0));
	O(S(mq_open, "calls-a", O_RDWR | O_CREAT, 0600, closed));
	memset(name + 1, 'x', 256);
	O(mq_open(name, O_RDWR | O_CREAT, 0600, 0));
	O(mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &wrong));
	O(mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &much));
	O(mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &large));
	wrong = (struct mq_attr){0, 3, 0, 0};
	O(mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &wrong));
	wrong = (struct mq_attr){0, -1, 16, 0};
	O(mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &wrong));
	O(mq_open("/calls-a", O_RDONLY));
	queue = mq_open("/calls-a", O_RDWR | O_CREAT, 0600, 0);
	V(queue > 0);
	tell_queue(queue);
	V(fcntl(queue, F_GETFL));
	V(fcntl(queue, F_GETFD));
	V(fstat(queue, &status));
	V(S_ISREG(status.st_mode));
	O(mq_open("/calls-a", O_RDWR | O_CREAT | O_EXCL, 0600, 0));
	other = mq_open("/calls-a", O_WRONLY | O_NONBLOCK);
	V(other > 0);
	tell_queue(other);
	O(mq_send(other, "one", 3, 1));
	tell_queue(queue);
	O(mq_receive(other, name, 9000, 0));
	V(mq_close(other));
	other = mq_open("/calls-a", O_RDONLY | O_NONBLOCK | O_CREAT, 0600, &attributes);
	tell_queue(other);
	O(mq_send(other, "one", 3, 1));
	take(other, 8192);
	take(other, 8192);
	O(mq_unlink("/calls-a"));
	O(mq_unlink("/calls-a"));
	O(mq_unlink("/"));
	O(mq_unlink("/a/b"));
	O(S(mq_unlink, closed));
	O(mq_open("/calls-a", O_RDWR));
	O(mq_send(queue, "two", 3, 1));
	take(other, 8192);
	V(mq_close(other));
	V(mq_close(queue));
	O(mq_close(queue));
	O(mq_close(-1));
	O(mq_close(1000));
	queue = mq_open("/calls-a", O_RDWR | O_CREAT, 0600, &attributes);
	tell_queue(queue);
	O(dup(queue) > 0);
	V(mq_close(queue));
	O(mq_unlink("/calls-a"));
	/* The limit of all queues together. */
	attributes = (struct mq_attr){0, 10, 8192, 0};
	mqd_t many[20];
	int made = 0, error = 0;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "/calls-%d", i);
		many[i] = mq_open(name, O_RDWR | O_CREAT, 0600, &attributes);
		if (many[i] >= 0)
			made++;
		else if (!error)
			error = errno;
	}
	V(made > 5);
	V(error);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "/calls-%d", i);
		mq_unlink(name);
		if (many[i] >= 0)
			mq_close(many[i]);
	}
}

static void queue_messages(void)
{
	struct mq_attr attributes = {0, 4, 16, 0}, now = {0}, flags = {O_NONBLOCK, 0, 0, 0}, wrong = {O_APPEND, 0, 0, 0};
	struct timespec past = {1, 0}, invalid = {0, 1000000000}, negative = {-1, 0}, soon;
	char text[64] = "";
	unsigned rank = 0;
	mqd_t queue;
	mq_unlink("/calls-b");
	queue = mq_open("/calls-b", O_RDWR | O_CREAT, 0600, &attributes);
	O(mq_send(queue, "low", 3, 0));
	O(mq_send(queue, "high", 4, 9));
	O(mq_send(queue, "low2", 4, 0));
	O(mq_send(queue, "", 0, 5));
	tell_queue(queue);
	O(mq_timedsend(queue, "more", 4, 0, &past));
	soon = from_now(10);
	O(mq_timedsend(queue, "more", 4, 0, &soon));
	O(mq_timedsend(queue, "more", 4, 0, &invalid));
	O(mq_timedsend(queue, "more", 4, 0, &negative));
	O(S(mq_timedsend, queue, "more", 4, 0, closed));
	take(queue, 16);
	take(queue, 16);
	take(queue, 16);
	take(queue, 16);
	tell_queue(queue);
	O(mq_timedreceive(queue, text, 16, &rank, &past));
	soon = from_now(10);
	O(mq_timedreceive(queue, text, 16, &rank, &soon));
	O(mq_timedreceive(queue, text, 16, &rank, &invalid));
	O(mq_timedreceive(queue, text, 16, &rank, &negative));
	O(S(mq_timedreceive, queue, text, 16, &rank, closed));
	O(mq_timedreceive(queue, text, 15, &rank, &past));
	O(mq_send(queue, text, 17, 0));
	O(mq_send(queue, text, 16, 0));
	O(mq_send(queue, text, 1, 32767));
	O(mq_send(queue, text, 1, 32768));
	O(mq_send(queue, closed, 3, 0));
	O(mq_send(queue, closed, 0, 0));
	O(mq_send(-1, text, 1, 0));
	O(mq_send(1, text, 1, 0));
	O(mq_send(1000, text, 1, 0));
	O(mq_receive(-1, text, 16, 0));
	O(mq_receive(1, text, 16, 0));
	O(mq_receive(queue, text, 15, 0));
	O(S(mq_timedreceive, queue, closed, 16, 0, 0));
	tell_queue(queue);
	O(S(mq_timedreceive, queue, text, 16, closed, 0));
	tell_queue(queue);
	/* A time that has passed does not matter where nobody has to wait. */
	O(mq_timedsend(queue, "x", 1, 3, &past));
	O(mq_timedreceive(queue, text, 64, &rank, &past));
	V(rank);
	O(mq_timedreceive(queue, text, 64, &rank, &invalid));
	O(mq_setattr(queue, &flags, &now));
	V(now.mq_flags);
	V(now.mq_maxmsg);
	tell_queue(queue);
	V(fcntl(queue, F_GETFL));
	O(mq_setattr(queue, &wrong, &now));
	O(mq_setattr(queue, 0, &now));
	O(S(mq_getsetattr, queue, 0, 0));
	O(S(mq_getsetattr, queue, closed, 0));
	O(S(mq_getsetattr, queue, 0, closed));
	O(mq_getattr(-1, &now));
	O(mq_getattr(1, &now));
	take(queue, 16);
	take(queue, 16);
	take(queue, 16);
	for (int i = 0; i < 6; i++)
		O(mq_send(queue, "full", 4, i));
	tell_queue(queue);
	for (int i = 0; i < 5; i++)
		take(queue, 16);
	O(write(queue, "x", 1));
	O(lseek(queue, 0, SEEK_SET));
	mq_close(queue);
	mq_unlink("/calls-b");
}

static mqd_t shared;
static long answer;
static int error;

static void *receives(void *argument)
{
	char text[64];
	struct timespec limit = from_now(3000);
	(void)argument;
	errno = 0;
	answer = mq_timedreceive(shared, text, sizeof text, 0, &limit);
	error = errno;
	return 0;
}

static void *sends(void *argument)
{
	struct timespec limit = from_now(3000);
	errno = 0;
	answer = mq_timedsend(shared, "late", 4, (long)argument, &limit);
	error = errno;
	return 0;
}

static volatile int handled;
static siginfo_t told;

static void on_signal(int signal, siginfo_t *info, void *context)
{
	(void)context;
	handled = signal;
	told = *info;
}

static void queue_waits(void)
{
	struct mq_attr attributes = {0, 2, 16, 0};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct epoll_event event = {EPOLLIN, {.u64 = 3}};
	int epoll = epoll_create1(0);
	pthread_t thread;
	mq_unlink("/calls-c");
	shared = mq_open("/calls-c", O_RDWR | O_CREAT, 0600, &attributes);
	pthread_create(&thread, 0, receives, 0);
	rest(10);
	O(mq_send(shared, "wake", 4, 0));
	pthread_join(thread, 0);
	V(answer);
	V(error);
	O(mq_send(shared, "a", 1, 0));
	O(mq_send(shared, "b", 1, 0));
	answer = 77;
	pthread_create(&thread, 0, sends, (void *)5l);
	rest(10);
	V(answer);
	take(shared, 16);
	pthread_join(thread, 0);
	V(answer);
	take(shared, 16);
	take(shared, 16);
	/* A signal ends a wait. */
	for (int flags = 0; flags < 2; flags++) {
		action.sa_flags = SA_SIGINFO | (flags ? SA_RESTART : 0);
		sigaction(SIGUSR1, &action, 0);
		handled = 0;
		answer = 77;
		pthread_create(&thread, 0, receives, 0);
		rest(10);
		pthread_kill(thread, SIGUSR1);
		rest(10);
		V(handled == SIGUSR1);
		V(answer);
		mq_send(shared, "x", 1, 0);
		pthread_join(thread, 0);
		V(answer);
		V(error);
		if (!flags)
			take(shared, 16);
	}
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, shared, &event));
	O(epoll_wait(epoll, &event, 1, 0));
	O(mq_send(shared, "x", 1, 0));
	O(epoll_wait(epoll, &event, 1, 0));
	V(event.events);
	take(shared, 16);
	O(epoll_wait(epoll, &event, 1, 0));
	close(epoll);
	mq_close(shared);
	mq_unlink("/calls-c");
}

static void queue_notes(void)
{
	struct mq_attr attributes = {0, 3, 16, 0};
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 7};
	pthread_t thread;
	sigaction(SIGUSR1, &action, 0);
	mq_unlink("/calls-d");
	shared = mq_open("/calls-d", O_RDWR | O_CREAT, 0600, &attributes);
	O(mq_notify(shared, &event));
	O(mq_notify(shared, &event));
	O(mq_notify(shared, 0));
	O(mq_notify(shared, 0));
	event.sigev_signo = 65;
	O(mq_notify(shared, &event));
	event.sigev_signo = SIGUSR1;
	event.sigev_notify = 99;
	O(mq_notify(shared, &event));
	event.sigev_notify = SIGEV_SIGNAL;
	O(mq_notify(-1, &event));
	O(mq_notify(1, &event));
	O(S(mq_notify, shared, closed));
	handled = 0;
	O(mq_notify(shared, &event));
	O(mq_send(shared, "x", 1, 0));
	V(handled == SIGUSR1);
	V(told.si_code);
	V(told.si_value.sival_int);
	V(told.si_pid == getpid());
	V(told.si_uid);
	V(told.si_errno);
	/* Once, and only where the queue was empty. */
	handled = 0;
	O(mq_send(shared, "y", 1, 0));
	V(handled);
	O(mq_notify(shared, &event));
	O(mq_send(shared, "z", 1, 0));
	V(handled);
	take(shared, 16);
	take(shared, 16);
	take(shared, 16);
	/* Somebody who waits for a message gets it without a note. */
	pthread_create(&thread, 0, receives, 0);
	rest(10);
	O(mq_send(shared, "x", 1, 0));
	pthread_join(thread, 0);
	V(answer);
	V(handled);
	O(mq_send(shared, "x", 1, 0));
	V(handled == SIGUSR1);
	take(shared, 16);
	event.sigev_notify = SIGEV_NONE;
	O(mq_notify(shared, &event));
	event.sigev_notify = SIGEV_SIGNAL;
	O(mq_notify(shared, &event));
	O(mq_send(shared, "x", 1, 0));
	O(mq_notify(shared, &event));
	mqd_t other = mq_open("/calls-d", O_RDWR);
	O(mq_notify(other, &event));
	mq_close(other);
	O(mq_notify(shared, 0));
	O(mq_notify(shared, &event));
	mq_close(shared);
	mq_unlink("/calls-d");
	signal(SIGUSR1, SIG_DFL);
}

static sem_t *named;

static void *posts(void *argument)
{
	(void)argument;
	rest(20);
	return (void *)(long)sem_post(named);
}

static void semaphores(void)
{
	int value = 9;
	sem_t own;
	struct timespec past = {1, 0}, invalid = {0, 1000000000}, soon;
	pthread_t thread;
	sem_unlink("/calls-s");
	V(sem_open("/calls-s", 0) == SEM_FAILED);
	V(errno);
	V(sem_open("/calls-s", O_EXCL) == SEM_FAILED);
	V(sem_open("/calls-s", O_CREAT, 0600, SEM_VALUE_MAX + 1u) == SEM_FAILED);
	V(errno);
	V(sem_open("/a/b", O_CREAT, 0600, 1) == SEM_FAILED);
	V(errno);
	named = sem_open("/calls-s", O_CREAT | O_EXCL, 0600, 2);
	V(named != SEM_FAILED);
	V(sem_open("/calls-s", O_CREAT | O_EXCL, 0600, 2) == SEM_FAILED);
	V(errno);
	sem_t *same = sem_open("/calls-s", 0);
	V(same == named);
	O(sem_getvalue(named, &value));
	V(value);
	O(sem_wait(named));
	O(sem_trywait(same));
	O(sem_trywait(named));
	O(sem_timedwait(named, &past));
	O(sem_timedwait(named, &invalid));
	soon = from_now(10);
	O(sem_timedwait(named, &soon));
	pthread_create(&thread, 0, posts, 0);
	O(sem_wait(named));
	pthread_join(thread, 0);
	O(sem_post(same));
	O(sem_getvalue(named, &value));
	V(value);
	O(sem_unlink("/calls-s"));
	O(sem_unlink("/calls-s"));
	O(sem_post(named));
	O(sem_close(same));
	O(sem_close(named));
	O(sem_init(&own, 0, 3));
	O(sem_getvalue(&own, &value));
	V(value);
	O(sem_init(&own, 0, SEM_VALUE_MAX + 1u));
	O(sem_init(&own, 1, 0));
	O(sem_trywait(&own));
	O(sem_post(&own));
	O(sem_wait(&own));
	O(sem_destroy(&own));
}

static void shared_memory(void)
{
	struct stat status;
	int fd, other;
	shm_unlink("/calls-m");
	O(stat("/dev/shm", &status));
	V(S_ISDIR(status.st_mode));
	V(status.st_mode & 07777);
	O(shm_open("/calls-m", O_RDWR, 0600));
	O(shm_open("/a/b", O_RDWR | O_CREAT, 0600));
	fd = shm_open("/calls-m", O_RDWR | O_CREAT | O_EXCL, 0640);
	V(fd > 0);
	V(fcntl(fd, F_GETFD));
	O(shm_open("/calls-m", O_RDWR | O_CREAT | O_EXCL, 0600));
	O(fstat(fd, &status));
	V(status.st_mode);
	V(status.st_size);
	O(ftruncate(fd, 10000));
	O(fstat(fd, &status));
	V(status.st_size);
	char *one = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V(one != MAP_FAILED);
	other = shm_open("/calls-m", O_RDWR, 0);
	char *two = mmap(0, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	V(two != MAP_FAILED);
	one[9999] = 'x';
	two[5] = 'y';
	V(two[9999] == 'x');
	V(one[5] == 'y');
	O(pread(fd, &status, 1, 5));
	O(close(fd));
	O(shm_unlink("/calls-m"));
	O(shm_unlink("/calls-m"));
	O(shm_open("/calls-m", O_RDWR, 0600));
	one[0] = 'z';
	V(two[0] == 'z');
	O(munmap(one, 10000));
	O(munmap(two, 10000));
	O(close(other));
	O(stat("/dev/shm/calls-m", &status));
	O(mkdir("/dev/shm/calls-d", 0700));
	O(rmdir("/dev/shm/calls-d"));
}

void queue_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("queue_opens"))
		queue_opens();
	if (group("queue_messages"))
		queue_messages();
	if (group("queue_waits"))
		queue_waits();
	if (group("queue_notes"))
		queue_notes();
	if (group("semaphores"))
		semaphores();
	if (group("shared_memory"))
		shared_memory();
}
