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
