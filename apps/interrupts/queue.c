/* Signals that wait, and what comes with them. */
#include "parts.h"

/* C libraries keep different numbers of real-time signals for themselves. */
static const char *name(int signal)
{
	static char text[20];
	if (signal >= SIGRTMIN)
		sprintf(text, "real-time %d", signal - SIGRTMIN);
	else
		sprintf(text, "%d", signal);
	return text;
}

static void tell(int signal, siginfo_t *info, void *context)
{
	(void)context;
	printf("handler: %s code %d pid %d uid %d value %d\n", name(signal), info->si_code, info->si_pid == getpid(), info->si_uid == getuid(),
	       info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

static void tell_taken(int signal, const siginfo_t *info)
{
	printf("taken: %s number %d code %d pid %d value %d\n", name(signal), info->si_signo == signal, info->si_code, info->si_pid == getpid(),
	       info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
}

static void send(int signal, int value)
{
	sigqueue(getpid(), signal, (union sigval){ .sival_int = value });
}

void queued(void)
{
	int high = SIGRTMIN + 3, low = SIGRTMIN + 1;
	sigset_t set, pending;
	sigemptyset(&set);
	sigaddset(&set, high);
	sigaddset(&set, low);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, 0);
	int signals[] = { high, low, SIGUSR1 };
	for (int i = 0; i < 3; i++)
		handle(signals[i], tell, 0);
	for (int value = 1; value <= 3; value++) {
		send(high, value);
		send(low, 10 + value);
		send(SIGUSR1, 20 + value);
	}
	sigpending(&pending);
	printf("pending %d %d %d\n", sigismember(&pending, high), sigismember(&pending, low), sigismember(&pending, SIGUSR1));
	siginfo_t info;
	tell_taken(sigwaitinfo(&set, &info), &info);
	tell_taken(sigwaitinfo(&set, &info), &info);
	sigprocmask(SIG_UNBLOCK, &set, 0);
	kill(getpid(), high);
	pthread_kill(pthread_self(), high);
	send(high, 99);
	struct timespec soon = { 0, 1000000 };
	int nothing = sigtimedwait(&set, &info, &soon);
	printf("%d %d\n", nothing, errno);
}

void raised(void)
{
	int signals[] = { SIGUSR1, SIGALRM, SIGTERM, SIGRTMIN };
	for (int i = 0; i < 4; i++) {
		handle(signals[i], tell, 0);
		raise(signals[i]);
		kill(getpid(), signals[i]);
	}
	union sigval value = { .sival_int = 5 };
	printf("%d %d\n", sigqueue(getpid(), 99, value), errno);
	printf("%d\n", sigqueue(getpid(), 0, value));
}

/* As many as the system takes, and then EAGAIN. */
void full(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 5);
	sigprocmask(SIG_BLOCK, &set, 0);
	int sent = 0;
	while (sent < 1000000 && !sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = sent }))
		sent++;
	printf("refused by %d\n", errno);
	siginfo_t info;
	int right = 0;
	struct timespec none = { 0, 0 };
	while (sigtimedwait(&set, &info, &none) > 0)
		right += info.si_value.sival_int == right;
	printf("all in order %d, at least 1000 %d\n", right == sent, sent >= 1000);
}

/* As many as the program allows itself; a standard signal beyond them comes without what was sent with it. */
void limited(void)
{
	struct rlimit limit, none;
	getrlimit(RLIMIT_SIGPENDING, &limit);
	none = limit;
	none.rlim_cur = 0;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 4);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, 0);
	setrlimit(RLIMIT_SIGPENDING, &none);
	union sigval value = { .sival_int = 6 };
	int answer = sigqueue(getpid(), SIGRTMIN + 4, value);
	printf("beyond the limit %d %d\n", answer, errno == EAGAIN);
	siginfo_t info;
	for (int i = 0; i < 2; i++) {
		if (i)
			kill(getpid(), SIGUSR2);
		else
			sigqueue(getpid(), SIGUSR2, value);
		tell_taken(sigwaitinfo(&set, &info), &info);
	}
	setrlimit(RLIMIT_SIGPENDING, &limit);
	sigqueue(getpid(), SIGRTMIN + 4, value);
	tell_taken(sigwaitinfo(&set, &info), &info);
}

/* A signal that waits is lost when the program ignores it meanwhile. */
void ignored(void)
{
	sigset_t set, pending;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 2);
	sigprocmask(SIG_BLOCK, &set, 0);
	for (int i = 0; i < 2; i++) {
		int number = i ? SIGRTMIN + 2 : SIGUSR1;
		handle(number, tell, 0);
		send(number, 1);
		raise(number);
		signal(number, SIG_IGN);
		sigpending(&pending);
		printf("pending %d\n", sigismember(&pending, number));
		raise(number);
		handle(number, tell, 0);
	}
	sigprocmask(SIG_UNBLOCK, &set, 0);
	printf("nothing came\n");
}

/* A wait is over, and the signal comes before its thread runs on: the handler runs before the call returns. */
static atomic_int handled, is_sent;
static int ends[2];
static sem_t posted;

static void count_it(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	atomic_fetch_add(&handled, 1);
}

static void tell_handled(const char *call, long answer)
{
	while (!atomic_load(&is_sent))
		compute();
	/* On Linux the other processor may be just about to tell this one. */
	for (int i = 0; i < 1000 && !atomic_load(&handled); i++)
		compute();
	printf("%s: %ld, handled %d\n", call, answer, atomic_load(&handled));
}

static void *read_late(void *argument)
{
	char byte;
	(void)argument;
	tell_handled("read", read(ends[0], &byte, 1));
	return 0;
}

static void *wait_late(void *argument)
{
	(void)argument;
	tell_handled("sem_wait", sem_wait(&posted));
	return 0;
}

static void *sleep_late(void *argument)
{
	(void)argument;
	tell_handled("nanosleep", nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, 0));
	return 0;
}

static void send_late(void *(*waiter)(void *), void (*end)(void))
{
	pthread_t thread;
	atomic_store(&handled, 0);
	atomic_store(&is_sent, 0);
	pthread_create(&thread, 0, waiter, 0);
	usleep(5000);
	end();
	pthread_kill(thread, SIGUSR1);
	atomic_store(&is_sent, 1);
	pthread_join(thread, 0);
}

static void end_read(void)
{
	write(ends[1], "x", 1);
}

static void end_wait(void)
{
	sem_post(&posted);
}

static void end_sleep(void)
{
	usleep(30000);
}

void late(void)
{
	handle(SIGUSR1, count_it, 0);
	pipe(ends);
	sem_init(&posted, 0, 0);
	send_late(read_late, end_read);
	send_late(wait_late, end_wait);
	send_late(sleep_late, end_sleep);
}
