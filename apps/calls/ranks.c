/* How threads ask to be scheduled, and who the process says it is: users, groups, capabilities. */
#include "calls.h"
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/fsuid.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

static char *closed;

static void policies(void)
{
	struct sched_param none = {0}, one = {.sched_priority = 1}, back = {.sched_priority = 9};
	struct timespec slice = {9, 9};
	for (int policy = -1; policy < 9; policy++) {
		errno = 0;
		long most = S(sched_get_priority_max, policy);
		int first = errno;
		errno = 0;
		long least = S(sched_get_priority_min, policy);
		printf("policies: %d: %ld %d, %ld %d\n", policy, most, first, least, errno);
	}
	O(S(sched_get_priority_max, 0x40000000));
	for (int policy = -1; policy < 8; policy++) {
		if (policy == SCHED_FIFO || policy == SCHED_RR || policy == 7)
			continue;
		errno = 0;
		long answer = S(sched_setscheduler, 0, policy, &none);
		printf("policies: set %d = %ld %d, now %ld\n", policy, answer, errno, (long)S(sched_getscheduler, 0));
		errno = 0;
		answer = S(sched_setscheduler, 0, policy, &one);
		printf("policies: set %d of 1 = %ld %d\n", policy, answer, errno);
	}
	O(S(sched_setscheduler, 0, SCHED_OTHER | 0x40000000, &none));
	V(S(sched_getscheduler, 0));
	O(S(sched_setscheduler, 0, SCHED_BATCH | 0x40000000, &none));
	V(S(sched_getscheduler, 0));
	O(S(sched_setparam, 0, &none));
	V(S(sched_getscheduler, 0));
	O(S(sched_setparam, 0, &one));
	O(S(sched_setscheduler, 0, SCHED_IDLE, &none));
	V(S(sched_getscheduler, 0));
	O(S(sched_getparam, 0, &back));
	V(back.sched_priority);
	OK(S(sched_rr_get_interval, 0, &slice));
	O(S(sched_setscheduler, 0, SCHED_OTHER, &none));
	V(S(sched_getscheduler, 0));
	O(S(sched_setscheduler, getpid(), SCHED_BATCH, &none));
	V(S(sched_getscheduler, getpid()));
	O(S(sched_setscheduler, 0, SCHED_OTHER, &none));
	O(S(sched_setscheduler, 0, SCHED_OTHER, closed));
	O(S(sched_setscheduler, -1, SCHED_OTHER, closed));
	O(S(sched_setscheduler, 99999, SCHED_OTHER, closed));
	O(S(sched_setparam, 0, closed));
	O(S(sched_setparam, -1, &none));
	O(S(sched_setparam, 99999, &none));
	O(S(sched_getparam, 0, closed));
	O(S(sched_getparam, 99999, closed));
	O(S(sched_rr_get_interval, 0, closed));
	O(S(sched_rr_get_interval, 0, 0));
	O(S(sched_rr_get_interval, 99999, 0));
	O(S(sched_yield));
}

static void *other_thread(void *argument)
{
	struct sched_param none = {0};
	(void)argument;
	printf("threads_apart: policy %ld, priority %ld, disk %ld\n", (long)S(sched_getscheduler, 0),
		(long)S(getpriority, PRIO_PROCESS, 0), (long)S(ioprio_get, 1, 0));
	O(S(sched_setscheduler, 0, SCHED_IDLE, &none));
	O(S(setpriority, PRIO_PROCESS, 0, 9));
	O(S(ioprio_set, 1, 0, 2 << 13 | 1));
	V(S(sched_getscheduler, 0));
	V(S(getpriority, PRIO_PROCESS, 0));
	V(S(ioprio_get, 1, 0));
	V(S(getpriority, PRIO_PROCESS, getpid()));
	V(S(sched_getscheduler, getpid()));
	return 0;
}

/* Each thread has its own. */
static void threads_apart(void)
{
	pthread_t thread;
	struct sched_param none = {0};
	S(setpriority, PRIO_PROCESS, 0, 2);
	S(sched_setscheduler, 0, SCHED_BATCH, &none);
	pthread_create(&thread, 0, other_thread, 0);
	pthread_join(thread, 0);
	V(S(sched_getscheduler, 0));
	V(S(getpriority, PRIO_PROCESS, 0));
	V(S(ioprio_get, 1, 0));
	S(sched_setscheduler, 0, SCHED_OTHER, &none);
	S(setpriority, PRIO_PROCESS, 0, 0);
	pthread_attr_t attributes;
	int value = 9;
	pthread_attr_init(&attributes);
	V(pthread_attr_getinheritsched(&attributes, &value));
	V(value);
	V(pthread_attr_setschedpolicy(&attributes, SCHED_OTHER));
	V(pthread_getschedparam(pthread_self(), &value, &none));
	V(value);
	V(none.sched_priority);
	V(pthread_setschedparam(pthread_self(), SCHED_OTHER, &none));
}

struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t least, most;
};

static void attributes(void)
{
	struct attributes now = {0};
	O(S(sched_getattr, 0, &now, 48, 0));
	V(now.size);
	V(now.policy);
	V(now.flags);
	V(now.nice);
	V(now.priority);
	O(S(sched_getattr, 0, &now, 47, 0));
	O(S(sched_getattr, 0, &now, 56, 0));
	V(now.size);
	O(S(sched_getattr, 0, &now, 48, 1));
	O(S(sched_getattr, -1, &now, 48, 0));
	O(S(sched_getattr, 99999, &now, 48, 0));
	O(S(sched_getattr, 0, 0, 48, 0));
	O(S(sched_getattr, 0, closed, 48, 0));
	O(S(sched_getattr, 0, &now, 4097, 0));
	now = (struct attributes){.size = 48, .policy = SCHED_BATCH, .nice = 4};
	O(S(sched_setattr, 0, &now, 0));
	V(S(sched_getscheduler, 0));
	V(S(getpriority, PRIO_PROCESS, 0));
	O(S(sched_setattr, 0, &now, 1));
	O(S(sched_setattr, -1, &now, 0));
	O(S(sched_setattr, 99999, &now, 0));
	O(S(sched_setattr, 0, 0, 0));
	O(S(sched_setattr, 0, closed, 0));
	now.policy = 99;
	O(S(sched_setattr, 0, &now, 0));
	now = (struct attributes){.size = 48, .policy = SCHED_OTHER, .flags = 1};
	O(S(sched_setattr, 0, &now, 0));
	V(S(sched_getscheduler, 0));
	V(S(getpriority, PRIO_PROCESS, 0));
	now = (struct attributes){.size = 0, .policy = SCHED_OTHER};
	O(S(sched_setattr, 0, &now, 0));
	V(S(sched_getscheduler, 0));
	now.size = 20;
	O(S(sched_setattr, 0, &now, 0));
	V(now.size);
	now = (struct attributes){.size = 48, .policy = SCHED_OTHER, .priority = 1};
	O(S(sched_setattr, 0, &now, 0));
	now = (struct attributes){.size = 48, .policy = SCHED_OTHER, .flags = 0x1000};
	O(S(sched_setattr, 0, &now, 0));
}

static void disk_priorities(void)
{
	O(S(ioprio_get, 1, 0));
	O(S(ioprio_get, 1, getpid()));
	O(S(ioprio_get, 2, 0));
	O(S(ioprio_get, 0, 0));
	O(S(ioprio_get, 4, 0));
	O(S(ioprio_get, 1, 99999));
	O(S(ioprio_get, 2, 99999));
	O(S(ioprio_get, 3, 99999));
	O(S(ioprio_set, 1, 0, 2 << 13 | 6));
	O(S(ioprio_get, 1, 0));
	O(S(ioprio_set, 1, 0, 2 << 13 | 8));
	O(S(ioprio_set, 1, 0, 3 << 13));
	O(S(ioprio_get, 1, 0));
	O(S(ioprio_set, 1, 0, 3 << 13 | 5));
	O(S(ioprio_set, 1, 0, 1 << 13 | 4));
	O(S(ioprio_get, 1, 0));
	O(S(ioprio_set, 1, 0, 4 << 13));
	O(S(ioprio_set, 1, 0, 7 << 13));
	O(S(ioprio_set, 1, 0, 1));
	O(S(ioprio_set, 9, 0, 2 << 13 | 6));
	O(S(ioprio_set, 1, 99999, 2 << 13 | 6));
	O(S(ioprio_set, 1, 0, 0));
	O(S(ioprio_get, 1, 0));
	S(setpriority, PRIO_PROCESS, 0, 10);
	O(S(ioprio_get, 1, 0));
	S(setpriority, PRIO_PROCESS, 0, 0);
}

static void processors(void)
{
	unsigned long set[16] = {0};
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	V(sched_getaffinity(0, sizeof cpus, &cpus));
	V(CPU_ISSET(0, &cpus) != 0);
	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	O(sched_setaffinity(0, sizeof cpus, &cpus));
	CPU_ZERO(&cpus);
	O(sched_getaffinity(getpid(), sizeof cpus, &cpus));
	V(CPU_COUNT(&cpus));
	CPU_ZERO(&cpus);
	O(sched_setaffinity(0, sizeof cpus, &cpus));
	CPU_SET(500, &cpus);
	O(sched_setaffinity(0, sizeof cpus, &cpus));
	CPU_SET(0, &cpus);
	O(sched_setaffinity(0, sizeof cpus, &cpus));
	O(S(sched_getaffinity, 0, 4096, closed));
	O(S(sched_setaffinity, 0, 8, closed));
	O(S(sched_setaffinity, 0, 0, set));
	set[0] = 1;
	O(S(sched_setaffinity, 0, 1, set));
	O(S(sched_setaffinity, 0, 3, set));
	O(S(sched_setaffinity, -1, 8, set));
	O(S(sched_getaffinity, 0, 12, set));
	V(pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus));
	V(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	O(S(getcpu, closed, 0, 0));
	O(S(getcpu, 0, closed, 0));
}

static void tell_ids(void)
{
	uid_t u[3] = {9, 9, 9};
	gid_t g[3] = {9, 9, 9};
	S(getresuid, u, u + 1, u + 2);
	S(getresgid, g, g + 1, g + 2);
	printf("%s: user %d %d %d, %d %d, file %d; group %d %d %d, %d %d, file %d\n", group_name, u[0], u[1], u[2],
		(int)S(getuid), (int)S(geteuid), (int)S(setfsuid, -1), g[0], g[1], g[2], (int)S(getgid), (int)S(getegid),
		(int)S(setfsgid, -1));
}

/* As root: everything can be set, and set back as long as the saved user is root. */
static void ids(void)
{
	gid_t list[3] = {7, 5, 6}, back[4] = {0};
	tell_ids();
	O(S(setgid, 10));
	tell_ids();
	
	O(S(setregid, 11, 12));
	tell_ids();
	O(S(setregid, -1, 13));
	tell_ids();
	O(S(setresgid, 1, 2, 3));
	tell_ids();
	O(S(setresgid, -1, 5, -1));
	tell_ids();
	O(S(setfsgid, 77));
	tell_ids();
	O(S(setresgid, 0, 0, 0));
	tell_ids();
	O(S(setgroups, 3, list));
	O(S(getgroups, 4, back));
	V(back[0] * 100 + back[1] * 10 + back[2]);
	O(S(setfsuid, 1000));
	tell_ids();
	O(S(setfsuid, 0));
	tell_ids();
	/* The effective user alone. */
	O(S(setresuid, -1, 1000, -1));
	tell_ids();
	O(S(setgid, 10));
	O(S(setgroups, 0, 0));
	O(S(setuid, 1001));
	O(S(setresuid, 1001, -1, -1));
	O(S(setfsuid, 1001));
	tell_ids();
	O(S(setpriority, PRIO_PROCESS, 0, -1));
	O(S(kill, getpid(), 0));
	O(S(setresuid, -1, 0, -1));
	tell_ids();
	O(seteuid(1000));
	tell_ids();
	O(S(setreuid, -1, 1000));
	O(S(setreuid, 1000, 0));
	tell_ids();
	O(S(setreuid, 0, -1));
	tell_ids();
	O(S(setresuid, 0, 0, 0));
	tell_ids();
	O(S(setreuid, 1000, 1000));
	tell_ids();
	O(S(setuid, 0));
	O(S(setreuid, 0, 0));
	O(S(setgid, 5));
	O(S(setgid, 0));
	O(S(setgroups, 0, 0));
}

/* A folder of root's, and what is in it. */
#define TREE "/tmp/calls-rights"

static void owner(const char *path)
{
	struct stat status = {0};
	errno = 0;
	long answer = lstat(path, &status);
	printf("%s: %s: %ld %d, %o %d %d\n", group_name, path + sizeof TREE - 1, answer, errno, status.st_mode, status.st_uid,
		status.st_gid);
}

static void make_file(const char *path, mode_t mode, uid_t user, gid_t group)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	write(fd, "text", 4);
	fchmod(fd, mode);
	fchown(fd, user, group);
	fchmod(fd, mode);
	close(fd);
}

static void make_folder(const char *path, mode_t mode, uid_t user, gid_t group)
{
	mkdir(path, 0700);
	chown(path, user, group);
	chmod(path, mode);
}

static const char *const files[] = {"/secret", "/public", "/own", "/ours", "/mine", "/writeonly", "/run", "/closed/a", "/open/a", "/searched/a",
	"/link", "/inner", "/own-folder/a", "/none"};

/* What everybody may do is what nobody in particular may. */
static void try_all(void)
{
	char path[100], other[100];
	struct stat status;
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++) {
		snprintf(path, sizeof path, TREE "%s", files[i]);
		printf("rights: %s\n", files[i]);
		int flags[] = {O_RDONLY, O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_PATH, O_RDWR | O_CREAT | O_EXCL, O_RDONLY | O_NOFOLLOW};
		for (int j = 0; j < 7; j++) {
			if (flags[j] & O_CREAT && i == 13)
				continue;
			errno = 0;
			int fd = open(path, flags[j], 0644);
			printf("rights: open %x: %d %d\n", flags[j], fd >= 0, errno);
			if (fd >= 0)
				close(fd);
		}
		for (int mode = 0; mode < 8; mode++) {
			errno = 0;
			int plain = access(path, mode), first = errno;
			errno = 0;
			int effective = S(faccessat2, AT_FDCWD, path, mode, AT_EACCESS);
			printf("rights: access %d: %d %d, %d %d\n", mode, plain, first, effective, errno);
		}
		O(stat(path, &status));
		O(lstat(path, &status));
		O(truncate(path, 4));
		O(chmod(path, 0644));
		O(chown(path, 0, -1));
		O(chown(path, -1, 1000));
		O(chown(path, 1000, -1));
		O(chown(path, -1, -1));
		O(utimensat(AT_FDCWD, path, 0, 0));
		struct timespec times[2] = {{5, 0}, {6, 0}}, now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
		O(utimensat(AT_FDCWD, path, times, 0));
		O(utimensat(AT_FDCWD, path, now, 0));
		snprintf(other, sizeof other, TREE "%s-2", files[i]);
		O(link(path, other));
		unlink(other);
		O(rename(path, other));
		O(rename(other, path));
		owner(path);
	}
}

static void make_tree(void)
{
	mkdir(TREE, 0755);
	chmod(TREE, 0755);
	make_file(TREE "/secret", 0600, 0, 0);
	make_file(TREE "/public", 0644, 0, 0);
	make_file(TREE "/own", 0644, 0, 0);
	make_file(TREE "/ours", 0664, 0, 1000);
	make_file(TREE "/mine", 0400, 1000, 1000);
	make_file(TREE "/writeonly", 0222, 0, 0);
	make_file(TREE "/run", 0711, 0, 0);
	make_folder(TREE "/closed", 0700, 0, 0);
	make_file(TREE "/closed/a", 0666, 0, 0);
	make_folder(TREE "/open", 0777, 0, 0);
	make_file(TREE "/open/a", 0644, 0, 0);
	make_folder(TREE "/searched", 0711, 0, 0);
	make_file(TREE "/searched/a", 0644, 0, 0);
	make_folder(TREE "/sticky", 01777, 0, 0);
	make_file(TREE "/sticky/a", 0666, 0, 0);
	make_file(TREE "/sticky/b", 0666, 1000, 0);
	make_folder(TREE "/own-folder", 0700, 1000, 1000);
	make_file(TREE "/own-folder/a", 0600, 0, 0);
	make_folder(TREE "/group", 02775, 0, 1000);
	symlink("closed/a", TREE "/link");
	symlink("open/a", TREE "/inner");
}

static void clear_tree(void)
{
	static const char *const names[] = {"/sticky/a", "/sticky/b", "/sticky/c", "/closed/a", "/closed/b", "/open/a", "/open/b", "/open/d",
		"/searched/a", "/searched/b", "/own-folder/a", "/own-folder/b", "/group/a", "/group/d", "/secret", "/public", "/own", "/ours",
		"/mine", "/writeonly", "/run", "/link", "/inner", "/none", "/sticky", "/closed", "/open", "/searched", "/own-folder", "/group", ""};
	char path[100];
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, TREE "%s", names[i]);
		if (unlink(path))
			rmdir(path);
	}
}

static void rights(void)
{
	gid_t list[1] = {1000};
	struct stat status;
	clear_tree();
	make_tree();
	S(setgroups, 0, 0);
	for (int round = 0; round < 2; round++) {
		printf("rights: round %d\n", round);
		if (round)
			S(setgroups, 1, list);
		O(S(setresgid, -1, 2000, -1));
		O(S(setresuid, -1, 1000, -1));
		try_all();
		/* Names in folders. */
		O(mkdir(TREE "/closed/b", 0755));
		O(mkdir(TREE "/b", 0755));
		O(mkdir(TREE "/open/d", 0755));
		owner(TREE "/open/d");
		O(rmdir(TREE "/open/d"));
		O(symlink("x", TREE "/open/d"));
		owner(TREE "/open/d");
		O(unlink(TREE "/open/d"));
		O(mkdir(TREE "/open/a", 0755));
		O(mkdir(TREE "/closed/a", 0755));
		O(mkdir(TREE "/closed", 0755));
		int fd = open(TREE "/open/b", O_RDWR | O_CREAT, 0640);
		V(fd >= 0);
		owner(TREE "/open/b");
		O(fchmod(fd, 0600));
		O(fchown(fd, 0, 0));
		O(fchown(fd, -1, 2000));
		O(fchown(fd, -1, 1000));
		O(fchown(fd, -1, 3000));
		close(fd);
		O(rename(TREE "/open/b", TREE "/own-folder/b"));
		owner(TREE "/own-folder/b");
		O(rename(TREE "/own-folder/b", TREE "/closed/b"));
		O(unlink(TREE "/own-folder/b"));
		O(open(TREE "/searched/b", O_RDWR | O_CREAT, 0640));
		O(open(TREE "/searched", O_RDONLY | O_DIRECTORY));
		O(unlink(TREE "/searched/a"));
		O(unlink(TREE "/sticky/a"));
		O(unlink(TREE "/sticky/b"));
		O(rename(TREE "/sticky/a", TREE "/sticky/c"));
		O(rename(TREE "/open/a", TREE "/sticky/a"));
		O(close(open(TREE "/sticky/c", O_RDWR | O_CREAT, 0640)));
		O(unlink(TREE "/sticky/c"));
		O(mkdir(TREE "/group/d", 0755));
		owner(TREE "/group/d");
		O(rmdir(TREE "/group/d"));
		O(close(open(TREE "/group/a", O_RDWR | O_CREAT, 0640)));
		owner(TREE "/group/a");
		O(unlink(TREE "/group/a"));
		O(chdir(TREE "/closed"));
		O(chdir(TREE "/searched"));
		O(stat("a", &status));
		O(stat("../closed/a", &status));
		O(stat("../open/a", &status));
		O(chdir("/"));
		O(rmdir(TREE "/open"));
		O(unlink(TREE "/public"));
		O(unlink("/no-such-file"));
		O(mkdir("/calls-no", 0700));
		O(S(setresuid, -1, 0, -1));
		O(S(setresgid, -1, 0, -1));
		clear_tree();
		make_tree();
	}
	/* The user of files alone. */
	S(setgroups, 0, 0);
	O(S(setfsuid, 1000));
	O(open(TREE "/secret", O_RDONLY));
	O(open(TREE "/closed/a", O_RDONLY));
	O(access(TREE "/secret", R_OK));
	O(chmod(TREE "/secret", 0644));
	O(S(setfsuid, 0));
	O(close(open(TREE "/secret", O_RDONLY)));
	clear_tree();
	O(stat(TREE, &status));
}

struct header {
	uint32_t version;
	int pid;
};
struct data {
	uint32_t effective, permitted, inheritable;
};

static void tell_caps(void)
{
	struct header header = {0x20080522, 0};
	struct data data[2] = {{0}};
	long answer = S(capget, &header, data);
	/* Without the right to raise limits, which an image never has. */
	printf("%s: %ld, %x %x, %x %x, %x %x\n", group_name, answer, data[0].effective & ~(1u << 24), data[1].effective,
		data[0].permitted & ~(1u << 24), data[1].permitted, data[0].inheritable, data[1].inheritable);
}

static void capabilities(void)
{
	struct header header = {0x20080522, 0}, one = {0x19980330, 0}, two = {0x20071026, 0}, wrong = {5, 0},
		      somebody = {0x20080522, 99999}, negative = {0x20080522, -1}, own = {0x20080522, getpid()};
	struct data data[2] = {{0}};
	tell_caps();
	O(S(capget, &one, data));
	V(data[0].effective & 1);
	O(S(capget, &two, data));
	O(S(capget, &wrong, data));
	V(wrong.version);
	wrong.version = 7;
	O(S(capget, &wrong, 0));
	V(wrong.version);
	O(S(capget, &header, 0));
	O(S(capget, 0, data));
	O(S(capget, &header, closed));
	O(S(capget, &somebody, data));
	O(S(capget, &negative, data));
	O(S(capget, &own, data));
	O(S(capset, &wrong, data));
	O(S(capset, &header, closed));
	O(S(capset, &somebody, data));
	O(S(capget, &header, data));
	O(S(capset, &header, data));
	tell_caps();
	data[0].effective = data[0].permitted & ~(1 << 23);
	O(S(capset, &header, data));
	tell_caps();
	O(S(setpriority, PRIO_PROCESS, 0, 3));
	O(S(setpriority, PRIO_PROCESS, 0, 2));
	data[0].effective = data[0].permitted;
	O(S(capset, &header, data));
	O(S(setpriority, PRIO_PROCESS, 0, 0));
	data[0].inheritable = 1;
	O(S(capset, &header, data));
	tell_caps();
	data[0].inheritable = 0;
	O(S(capset, &header, data));
	O(prctl(PR_CAPBSET_READ, 10, 0, 0, 0));
	O(prctl(PR_CAPBSET_DROP, 10, 0, 0, 0));
	O(prctl(PR_CAPBSET_READ, 10, 0, 0, 0));
	O(prctl(PR_CAPBSET_DROP, 99, 0, 0, 0));
	data[0].permitted &= ~(1 << 10);
	O(S(capset, &header, data));
	data[0].effective &= ~(1 << 10);
	O(S(capset, &header, data));
	tell_caps();
	data[0].permitted |= 1 << 10;
	O(S(capset, &header, data));
	O(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	O(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0));
	/* Another effective user loses the effective set, another of all three the permitted one, too, unless it is kept. */
	O(S(setresuid, -1, 1000, -1));
	tell_caps();
	O(S(setresuid, -1, 0, -1));
	tell_caps();
	O(S(setresuid, 1000, 1000, 1000));
	tell_caps();
	data[0].permitted &= ~(1 << 10);
	data[0].effective = 1 << 7 | 1 << 6;
	data[0].permitted = 1 << 7 | 1 << 6;
	data[1].effective = data[1].permitted = 0;
	O(S(capset, &header, data));
	tell_caps();
	O(S(setuid, 0));
	tell_caps();
	O(S(setuid, 1000));
	tell_caps();
	O(S(setuid, 0));
	O(S(capset, &header, data));
	O(prctl(PR_CAPBSET_DROP, 11, 0, 0, 0));
}

void rank_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("policies"))
		policies();
	if (group("threads_apart"))
		threads_apart();
	if (group("attributes"))
		attributes();
	if (group("disk_priorities"))
		disk_priorities();
	if (group("processors"))
		processors();
	if (group("rights"))
		rights();
}

/* The process is nobody afterwards, so they come last, and only one of them can be asked for. */
void last_groups(void)
{
	closed = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (group("ids"))
		ids();
	else if (group("capabilities"))
		capabilities();
}
