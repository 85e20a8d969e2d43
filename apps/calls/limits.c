/* Limits of resources, and what they do. */
#include "calls.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static volatile int exceeded;

static void too_large(int signal)
{
	(void)signal;
	exceeded++;
}

static long get(int resource, int which)
{
	struct rlimit limit = {7, 7};
	if (S(getrlimit, resource, &limit))
		return -1;
	return (long)(which ? limit.rlim_max : limit.rlim_cur);
}

static long set(int resource, unsigned long soft, unsigned long hard)
{
	struct rlimit limit = {soft, hard};
	return S(setrlimit, resource, &limit);
}

static void limits(void)
{
	struct rlimit limit = {5, 6}, old = {7, 7};
	O(S(getrlimit, 16, &limit));
	O(S(getrlimit, -1, &limit));
	O(S(setrlimit, 16, &limit));
	O(S(getrlimit, RLIMIT_NOFILE, 0));
	O(S(setrlimit, RLIMIT_NOFILE, 0));
	O(S(prlimit64, 0, 16, 0, &limit));
	O(S(prlimit64, 99999, RLIMIT_NOFILE, 0, &limit));
	O(S(prlimit64, -1, RLIMIT_NOFILE, 0, &limit));
	O(S(prlimit64, getpid(), RLIMIT_NOFILE, 0, 0));
	O(set(RLIMIT_NOFILE, 200, 100));
	O(set(RLIMIT_CORE, 2, 1));
	O(set(RLIMIT_NOFILE, 90, 1000));
	O(get(RLIMIT_NOFILE, 0));
	O(get(RLIMIT_NOFILE, 1));
	O(set(RLIMIT_NOFILE, 1001, 1000));
	O(set(RLIMIT_NOFILE, 1000, 1000));
	O(get(RLIMIT_NOFILE, 0));
	O(fcntl(0, F_DUPFD, 1000));
	O(dup2(0, 1000));
	O(dup2(0, 999));
	O(close(999));
	O(set(RLIMIT_NOFILE, 1000, 2000000000ul));
	limit = (struct rlimit){64, 900};
	O(S(prlimit64, 0, RLIMIT_NOFILE, &limit, &old));
	V(old.rlim_cur);
	V(old.rlim_max);
	O(S(prlimit64, 0, RLIMIT_NOFILE, 0, &old));
	V(old.rlim_cur);
	V(old.rlim_max);
	O(sysconf(_SC_OPEN_MAX));
	O(set(RLIMIT_STACK, 1 << 20, 64 << 20));
	O(get(RLIMIT_STACK, 0));
	O(get(RLIMIT_STACK, 1));
	O(set(RLIMIT_STACK, 2 << 20, 32 << 20));
	O(get(RLIMIT_STACK, 0));
	O(get(RLIMIT_STACK, 1));
	O(set(RLIMIT_DATA, 1ul << 30, 1ul << 31));
	O(get(RLIMIT_DATA, 0));
	O(get(RLIMIT_DATA, 1));
	O(set(RLIMIT_AS, 1ul << 40, 1ul << 41));
	O(get(RLIMIT_AS, 0));
	O(get(RLIMIT_AS, 1));
	O(set(RLIMIT_CORE, 0, 4096));
	O(get(RLIMIT_CORE, 0));
	O(get(RLIMIT_CORE, 1));
	O(set(RLIMIT_CPU, 3600, 7200));
	O(get(RLIMIT_CPU, 0));
	O(set(RLIMIT_RSS, 1 << 30, 1 << 30));
	O(get(RLIMIT_RSS, 0));
	O(set(RLIMIT_MEMLOCK, 65536, 65536));
	O(get(RLIMIT_MEMLOCK, 0));
	O(set(RLIMIT_NPROC, 500, 600));
	O(get(RLIMIT_NPROC, 0));
	O(get(RLIMIT_NPROC, 1));
	O(set(RLIMIT_LOCKS, 5, 6));
	O(get(RLIMIT_LOCKS, 1));
	O(set(RLIMIT_SIGPENDING, 50, 60));
	O(get(RLIMIT_SIGPENDING, 0));
	O(set(RLIMIT_MSGQUEUE, 50, 60));
	O(get(RLIMIT_MSGQUEUE, 0));
	O(set(RLIMIT_NICE, 5, 6));
	O(get(RLIMIT_NICE, 0));
	O(set(RLIMIT_RTPRIO, 0, 0));
	O(get(RLIMIT_RTPRIO, 0));
	O(set(RLIMIT_RTTIME, 50, 60));
	O(get(RLIMIT_RTTIME, 0));
}

static void file_size(void)
{
	static char block[8192];
	char name[] = "/tmp/calls-size-XXXXXX";
	int fd = mkstemp(name);
	signal(SIGXFSZ, too_large);
	O(set(RLIMIT_FSIZE, 10000, 20000));
	O(get(RLIMIT_FSIZE, 0));
	O(get(RLIMIT_FSIZE, 1));
	O(write(fd, block, 8192));
	V(exceeded);
	O(write(fd, block, 8192));
	V(exceeded);
	O(write(fd, block, 8192));
	V(exceeded);
	O(write(fd, block, 0));
	O(pwrite(fd, block, 10, 9995));
	O(pwrite(fd, block, 10, 10000));
	V(exceeded);
	O(pwrite(fd, block, 10, 30000));
	V(exceeded);
	O(ftruncate(fd, 10001));
	V(exceeded);
	O(ftruncate(fd, 9000));
	O(ftruncate(fd, 10000));
	O(truncate(name, 10001));
	V(exceeded);
	O(posix_fallocate(fd, 0, 20000));
	O(fallocate(fd, 0, 0, 20000));
	O(fallocate(fd, 0, 0, 9000));
	O(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 20000));
	V(exceeded);
	O(lseek(fd, 0, SEEK_END));
	signal(SIGXFSZ, SIG_IGN);
	O(pwrite(fd, block, 10, 30000));
	V(exceeded);
	unlink(name);
	close(fd);
}

void limit_groups(void)
{
	if (group("limits"))
		limits();
	if (group("file_size"))
		file_size();
}
