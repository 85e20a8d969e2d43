/* Files that are made when they are read: what they hold, as far as it is the same everywhere. */
#include "calls.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static char text[65536];

static long load(const char *path)
{
	int fd = open(path, O_RDONLY);
	long count = 0, more;
	memset(text, 0, sizeof text);
	if (fd < 0)
		return -errno;
	while ((more = read(fd, text + count, sizeof text - 1 - count)) > 0)
		count += more;
	close(fd);
	return count;
}

/* Whether a file can be read and has a line that begins so. */
static void has(const char *path, const char *start)
{
	long count = load(path);
	char *line = text, found = 0;
	while (line && *line) {
		found |= !strncmp(line, start, strlen(start));
		line = strchr(line, '\n');
		line = line ? line + 1 : 0;
	}
	printf("%s: %s has %s: %d %d\n", group_name, strstr(path, "fdinfo/") ? "fdinfo" : path, start, count > 0, found);
}

static void shows(const char *path)
{
	long count = load(path);
	printf("%s: %s: %ld %s\n", group_name, path, count < 0 ? count : 0, text);
}

static void fields(const char *path)
{
	long count = load(path), words = 0, lines = 0;
	for (char *at = text; *at; at++) {
		lines += *at == '\n';
		words += *at != ' ' && *at != '\n' && *at != '\t' && (at == text || at[-1] == ' ' || at[-1] == '\n' || at[-1] == '\t');
	}
	printf("%s: %s: readable %d words %ld lines %ld\n", group_name, path, count > 0, words, lines);
}

static void contains(const char *folder, const char *name)
{
	DIR *open = opendir(folder);
	int type = -1;
	if (open) {
		for (struct dirent *entry; (entry = readdir(open));)
			if (!strcmp(entry->d_name, name))
				type = entry->d_type;
		closedir(open);
	}
	printf("%s: %s in %s: %d %d\n", group_name, name, folder, !!open, type);
}

static void leads(const char *path)
{
	char target[300] = {0};
	errno = 0;
	long count = readlink(path, target, 299);
	for (char *at = target; *at; at++)
		if (*at == '[' && at[1] >= '0' && at[1] <= '9')
			at[1] = 0;
	printf("%s: %s leads to %s %d\n", group_name, path, count > 0 ? target : "nothing", errno);
}

static void kind(const char *path)
{
	struct stat state = {0}, own = {0};
	errno = 0;
	int a = stat(path, &state), b = lstat(path, &own);
	printf("%s: %s is %o %o (%d %d)\n", group_name, path, state.st_mode & S_IFMT, own.st_mode & S_IFMT, a, b);
}

static void process_files(void)
{
	has("/proc/self/status", "Name:");
	has("/proc/self/status", "State:\tR");
	has("/proc/self/status", "Pid:");
	has("/proc/self/status", "PPid:");
	has("/proc/self/status", "Uid:");
	has("/proc/self/status", "Gid:");
	has("/proc/self/status", "FDSize:");
	has("/proc/self/status", "VmRSS:");
	has("/proc/self/status", "VmSize:");
	has("/proc/self/status", "VmPeak:");
	has("/proc/self/status", "VmHWM:");
	has("/proc/self/status", "Threads:\t1");
	has("/proc/self/status", "Umask:\t0022");
	has("/proc/self/status", "Cpus_allowed_list:");
	has("/proc/self/status", "TracerPid:\t0");
	has("/proc/self/status", "VmSwap:");
	fields("/proc/self/stat");
	fields("/proc/self/statm");
	fields("/proc/self/limits");
	has("/proc/self/limits", "Limit                     Soft Limit           Hard Limit           Units");
	has("/proc/self/limits", "Max open files");
	has("/proc/self/limits", "Max stack size");
	has("/proc/self/limits", "Max cpu time              unlimited            unlimited            seconds");
	has("/proc/self/limits", "Max nice priority");
	has("/proc/self/cgroup", "0::");
	fields("/proc/self/oom_score_adj");
	prctl(PR_SET_NAME, "renamed");
	shows("/proc/self/comm");
	shows("/proc/thread-self/comm");
	has("/proc/self/status", "Name:\trenamed");
	has("/proc/self/mounts", "proc /proc proc rw");
	has("/proc/mounts", "proc /proc proc rw");
	has("/proc/self/mountinfo", "");
	load("/proc/self/cmdline");
	V(strlen(text) > 0);
	load("/proc/self/environ");
	OK(close(open("/proc/self/cmdline", O_RDONLY)));
	{
		char path[100];
		sprintf(path, "/proc/%d/stat", getpid());
		V(load(path) > 0);
		V(atoi(text) == getpid());
		sprintf(path, "/proc/%d", getpid());
		V(access(path, F_OK));
		sprintf(path, "/proc/self/task/%d/comm", getpid());
		V(load(path) > 0);
		sprintf(path, "/proc/self/task/%d", 999999);
		O(access(path, F_OK));
		O(access("/proc/999999", F_OK));
		sprintf(path, "%d", getpid());
		contains("/proc", "self");
		contains("/proc", "meminfo");
		contains("/proc", "sys");
		contains("/proc", "nothing");
		contains("/proc", "mounts");
		contains("/proc/self", "fd");
		contains("/proc/self", "status");
		contains("/proc/self", "exe");
		contains("/proc/self", "task");
		contains("/proc/self", "cwd");
		contains("/proc/self", "fdinfo");
		contains("/proc/self", "stat");
		contains("/proc/sys", "kernel");
		contains("/proc/sys/kernel", "hostname");
		contains("/proc/sys/kernel", "random");
	}
	kind("/proc");
	kind("/proc/self");
	kind("/proc/self/");
	kind("/proc/self/fd");
	kind("/proc/self/fd/0/");
	kind("/proc/self/status");
	kind("/proc/thread-self");
	kind("/proc/self/task");
	kind("/proc/self/cwd");
	kind("/proc/self/root");
	kind("/proc/self/exe");
	kind("/proc/mounts");
	kind("/proc/sys/kernel");
	kind("/proc/self/nothing");
	kind("/proc/nothing/self");
	kind("/proc/self/status/x");
	kind("/proc/./self/../self/status");
	kind("//proc//self//stat");
	leads("/proc/self/cwd");
	leads("/proc/self/root");
	leads("/proc/mounts");
	leads("/proc/self/status");
	leads("/proc/self/fd/77");
	leads("/proc/nothing");
	O(open("/proc/self/status", O_RDONLY | O_DIRECTORY));
	O(open("/proc/self/fd", O_WRONLY));
	O(open("/proc/self/fd", O_RDONLY | O_CREAT, 0644));
	O(open("/proc/nothing", O_RDONLY));
	O(open("/proc/self/nothing/x", O_RDONLY));
	O(open("/proc/self/status", O_RDONLY | O_CREAT | O_EXCL, 0644));
	O(open("/proc/self/status/", O_RDONLY));
	O(mkdir("/proc/self/x", 0755) == 0);
	O(unlink("/proc/self/status") == 0);
	O(rmdir("/proc/self") == 0);
	O(rename("/proc/self/status", "/tmp/x") == 0);
	{
		int fd = open("/proc/self/stat", O_RDONLY), folder = open("/proc/self", O_RDONLY), other, count;
		char first[300] = {0}, again[300] = {0};
		V(fd >= 0);
		V(folder >= 0);
		O(read(fd, first, 10));
		O(lseek(fd, 0, SEEK_CUR));
		O(lseek(fd, 0, SEEK_SET));
		O(read(fd, again, 10));
		V(memcmp(first, again, 10));
		O(pread(fd, again, 5, 2));
		V(memcmp(first + 2, again, 5));
		O(write(fd, "x", 1));
		O(ftruncate(fd, 0));
		O(read(folder, first, 1));
		O(lseek(folder, 0, SEEK_SET));
		other = openat(folder, "status", O_RDONLY);
		V(other >= 0);
		V(read(other, first, 5));
		close(other);
		O(faccessat(folder, "fd", F_OK, 0));
		O(faccessat(folder, "nothing", F_OK, 0));
		O(fchmod(folder, 0755) == 0);
		V(readlinkat(folder, "cwd", first, 200) > 0);
		{
			struct stat state;
			O(fstat(folder, &state));
			V(state.st_mode);
			O(fstat(fd, &state));
			V(state.st_mode);
			V(state.st_size);
			O(fstatat(folder, "fd", &state, 0));
			V(state.st_mode);
		}
		close(fd);
		close(folder);
		/* The list of open files has those and no others. */
		DIR *fds = opendir("/proc/self/fd");
		count = 0;
		for (struct dirent *entry; (entry = readdir(fds));)
			if (entry->d_name[0] != '.') {
				count++;
				struct stat state;
				if (fstat(atoi(entry->d_name), &state))
					count += 100;
			}
		closedir(fds);
		int copies[5];
		for (int i = 0; i < 5; i++)
			copies[i] = dup(1);
		fds = opendir("/proc/self/fd");
		for (struct dirent *entry; (entry = readdir(fds));)
			count -= entry->d_name[0] != '.';
		V(count);
		rewinddir(fds);
		V(readdir(fds) != 0);
		closedir(fds);
		for (int i = 0; i < 5; i++)
			close(copies[i]);
	}
}

static void *in_thread(void *unused)
{
	(void)unused;
	prctl(PR_SET_NAME, "other");
	shows("/proc/thread-self/comm");
	has("/proc/self/status", "Threads:\t2");
	{
		int count = 0;
		DIR *tasks = opendir("/proc/self/task");
		for (struct dirent *entry; (entry = readdir(tasks));)
			count += entry->d_name[0] != '.';
		closedir(tasks);
		V(count);
		char path[100];
		sprintf(path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
		V(load(path) > 0);
		printf("%s: %s", group_name, text);
		sprintf(path, "/proc/%d/task/%ld/stat", getpid(), syscall(SYS_gettid));
		V(load(path) > 0);
		V(atoi(text) == syscall(SYS_gettid));
	}
	return 0;
}

static void descriptor_files(void)
{
	char path[100], buffer[200];
	int ends[2], pair[2], fd;
	pthread_t thread;
	pthread_create(&thread, 0, in_thread, 0);
	pthread_join(thread, 0);
	pipe(ends), socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	sprintf(path, "/proc/self/fd/%d", ends[0]), *strrchr(path, '/') = 0, sprintf(path + strlen(path), "/%d", ends[0]);
#define LEADS(open) \
	do { \
		int descriptor_ = (open); \
		memset(buffer, 0, sizeof buffer); \
		sprintf(path, "/proc/self/fd/%d", descriptor_); \
		long count_ = readlink(path, buffer, 199); \
		char *digits_ = strpbrk(buffer, "0123456789"); \
		if (strchr(buffer, ':') && digits_) \
			*digits_ = 0; \
		printf("%s: %s leads to %s %d\n", group_name, #open, buffer, count_ > 0); \
		close(descriptor_); \
	} while (0)
	LEADS(dup(ends[0]));
	LEADS(dup(pair[0]));
	LEADS(eventfd(0, 0));
	LEADS(timerfd_create(CLOCK_MONOTONIC, 0));
	LEADS(epoll_create1(0));
	LEADS(inotify_init1(0));
	LEADS(open("/dev/null", O_RDWR));
	LEADS(open("/dev/urandom", O_RDONLY));
	LEADS(open("/tmp", O_RDONLY));
	LEADS(open("/", O_RDONLY));
	LEADS(open("/proc/sys/kernel", O_RDONLY));
	fd = open("/tmp/calls-descriptor", O_RDWR | O_CREAT | O_TRUNC, 0644);
	write(fd, "0123456789", 10);
	LEADS(dup(fd));
	sprintf(path, "/proc/self/fd/%d", fd);
	{
		struct stat state;
		O(lstat(path, &state));
		V(state.st_mode);
		O(stat(path, &state));
		V(state.st_size);
		int other = open(path, O_RDONLY);
		O(read(other, buffer, 3));
		O(lseek(fd, 0, SEEK_CUR));
		close(other);
		sprintf(path, "/dev/fd/%d", fd);
		other = open(path, O_RDONLY);
		O(read(other, buffer, 4));
		O(lseek(other, 0, SEEK_CUR));
		close(other);
		O(stat(path, &state));
		V(state.st_size);
		O(truncate(path, 5));
		O(chmod(path, 0600));
		O(access(path, R_OK));
		O(fstat(fd, &state));
		V(state.st_size);
		V(state.st_mode);
		sprintf(path, "/proc/self/fdinfo/%d", fd);
		has(path, "pos:\t10");
		has(path, "flags:\t0100002");
		fcntl(fd, F_SETFD, FD_CLOEXEC), fcntl(fd, F_SETFL, O_APPEND);
		has(path, "flags:\t02102002");
		has(path, "mnt_id:");
		has(path, "ino:");
		sprintf(path, "/proc/self/fd/%d/x", fd);
		O(open(path, O_RDONLY));
	}
	close(fd);
	unlink("/tmp/calls-descriptor");
	sprintf(path, "/proc/self/fd/%d", ends[1]);
	fd = open(path, O_WRONLY);
	close(fd);
	close(ends[0]);
	close(ends[1]);
	close(pair[0]);
	close(pair[1]);
	kind("/dev/fd");
	kind("/dev/fd/");
	leads("/dev/fd");
	O(open("/dev/fd/77", O_RDONLY));
	O(open("/proc/self/fd/77", O_RDONLY));
	O(open("/proc/self/fd/x", O_RDONLY));
	O(open("/proc/self/fdinfo/77", O_RDONLY));
}

static void machine_files(void)
{
	has("/proc/meminfo", "MemTotal:");
	has("/proc/meminfo", "MemFree:");
	has("/proc/meminfo", "MemAvailable:");
	has("/proc/meminfo", "Buffers:");
	has("/proc/meminfo", "Cached:");
	has("/proc/meminfo", "SwapTotal:");
	has("/proc/meminfo", "SwapFree:");
	has("/proc/meminfo", "Shmem:");
	has("/proc/cpuinfo", "processor\t: 0");
	has("/proc/cpuinfo", "vendor_id\t: ");
	has("/proc/cpuinfo", "model name\t: ");
	has("/proc/cpuinfo", "flags\t\t: ");
	has("/proc/cpuinfo", "cpu family\t: ");
	V(strstr(text, " sse2 ") != 0);
	has("/proc/stat", "cpu ");
	has("/proc/stat", "cpu0 ");
	has("/proc/stat", "btime ");
	has("/proc/stat", "processes ");
	has("/proc/stat", "procs_running ");
	has("/proc/stat", "ctxt ");
	has("/proc/stat", "intr ");
	fields("/proc/uptime");
	fields("/proc/loadavg");
	has("/proc/version", "Linux version ");
	has("/proc/filesystems", "nodev\ttmpfs");
	has("/proc/filesystems", "nodev\tproc");
	has("/proc/swaps", "Filename");
	shows("/proc/sys/kernel/ostype");
	fields("/proc/sys/kernel/osrelease");
	fields("/proc/sys/kernel/hostname");
	fields("/proc/sys/kernel/pid_max");
	fields("/proc/sys/kernel/cap_last_cap");
	shows("/proc/sys/kernel/ngroups_max");
	fields("/proc/sys/kernel/random/boot_id");
	fields("/proc/sys/kernel/random/uuid");
	V(strlen(text));
	V(text[14]);
	{
		char before[100];
		load("/proc/sys/kernel/random/uuid");
		strcpy(before, text);
		load("/proc/sys/kernel/random/uuid");
		V(strcmp(before, text) != 0);
		load("/proc/sys/kernel/random/boot_id");
		strcpy(before, text);
		load("/proc/sys/kernel/random/boot_id");
		V(strcmp(before, text));
	}
	shows("/proc/sys/net/core/somaxconn");
	fields("/proc/sys/fs/file-max");
	shows("/proc/sys/fs/pipe-max-size");
	shows("/proc/sys/fs/inotify/max_queued_events");
	fields("/proc/sys/fs/nr_open");
	fields("/sys/devices/system/cpu/online");
	fields("/sys/devices/system/cpu/possible");
	contains("/sys/devices/system/cpu", "online");
	contains("/sys", "devices");
	contains("/sys/devices/system/cpu", "cpu0");
	kind("/sys");
	kind("/sys/devices");
	kind("/sys/nothing");
	kind("/sys/devices/system/cpu/online");
	kind("/dev");
	kind("/dev/null");
	kind("/dev/zero");
	kind("/dev/full");
	kind("/dev/random");
	kind("/dev/urandom");
	kind("/dev/shm");
	kind("/dev/nothing");
	{
		int fd = shm_open("/calls-shared", O_CREAT | O_RDWR, 0600);
		V(fd >= 0);
		O(ftruncate(fd, 4096));
		char *map = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		V(map != MAP_FAILED);
		map[0] = 'x';
		O(pread(fd, text, 1, 0));
		V(text[0]);
		munmap(map, 4096), close(fd);
		O(access("/dev/shm/calls-shared", F_OK));
		O(shm_unlink("/calls-shared"));
		O(shm_unlink("/calls-shared"));
	}
	{
		int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR), some = open("/dev/urandom", O_RDWR);
		O(read(null, text, 10));
		O(write(null, text, 10));
		O(lseek(null, 100, SEEK_SET));
		O(ftruncate(null, 0));
		O(fsync(null));
		O(pread(null, text, 5, 100));
		memset(text, 'x', 10);
		O(read(zero, text, 10));
		V(text[9]);
		O(write(zero, text, 10));
		O(lseek(zero, 5, SEEK_END));
		O(pread(zero, text, 5, 1000));
		O(read(full, text, 10));
		O(write(full, text, 10));
		O(write(full, text, 0));
		O(pwrite(full, text, 1, 5));
		O(read(some, text, 10));
		O(write(some, text, 10));
		O(lseek(some, 3, SEEK_SET));
		O(open("/dev/null", O_RDONLY | O_DIRECTORY));
		OK(close(open("/dev/null", O_WRONLY | O_TRUNC)));
		OK(close(open("/dev/null", O_CREAT | O_RDWR, 0644)));
		O(open("/dev/null", O_CREAT | O_EXCL | O_RDWR, 0644));
		O(open("/dev/null/x", O_RDONLY));
		close(null);
		close(zero);
		close(full);
		close(some);
	}
	chdir("/");
	V(open("proc/self/stat", O_RDONLY) >= 0);
	V(open("dev/null", O_RDONLY) >= 0);
	V(access("sys/devices", F_OK));
	chdir("/tmp");
}

void procfs_groups(void)
{
	if (group("process_files"))
		process_files();
	if (group("descriptor_files"))
		descriptor_files();
	if (group("machine_files"))
		machine_files();
}
