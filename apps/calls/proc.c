/* Files that the kernel makes. */
#include "calls.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

static void look(const char *path)
{
	char buffer[256];
	struct stat state = {0};
	long opened, count = -1;
	errno = 0;
	int a = stat(path, &state), first = a ? errno : 0;
	errno = 0;
	struct stat link_state = {0};
	int l = lstat(path, &link_state), second = l ? errno : 0;
	errno = 0;
	int r = access(path, R_OK), third = r ? errno : 0;
	errno = 0;
	int f = access(path, F_OK), fourth = f ? errno : 0;
	errno = 0;
	int x = access(path, X_OK), fifth = x ? errno : 0;
	errno = 0;
	opened = open(path, O_RDONLY);
	int sixth = opened < 0 ? errno : 0;
	if (opened >= 0)
		count = read(opened, buffer, sizeof buffer) > 0, close(opened);
	errno = 0;
	long folder = open(path, O_RDONLY | O_DIRECTORY);
	int seventh = folder < 0 ? errno : 0;
	if (folder >= 0)
		close(folder);
	/* What the size of a folder says changed with versions of Linux. */
	if (S_ISDIR(state.st_mode))
		state.st_size = 0;
	printf("proc: %s: stat %d, lstat %d, mode %o %o, size %ld, access %d %d %d, open %d, reads %ld, O_DIRECTORY %d\n", path,
		first, second, state.st_mode & S_IFMT, link_state.st_mode & S_IFMT, (long)state.st_size, third, fourth, fifth,
		sixth, count, seventh);
}

static void links(void)
{
	char path[PATH_MAX], target[PATH_MAX];
	static const char *const names[] = {"/proc/self/exe", "/proc/self/cwd", "/proc/self/root", "/proc/self",
		"/proc/self/fd/0", "/proc/self/fd/99", "/proc/thread-self", "/proc/mounts", "/proc/self/stat"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		errno = 0;
		long count = readlink(names[i], target, sizeof target);
		printf("proc: readlink %s: %s %d\n", names[i], count > 0 ? "a target" : "none", errno);
	}
	int fd = open("/tmp/calls-file", O_CREAT | O_RDWR, 0644), again;
	sprintf(path, "/proc/self/fd/%d", fd);
	long count = readlink(path, target, sizeof target);
	printf("proc: readlink of a descriptor: %.*s\n", count > 0 ? (int)count : 0, target);
	O(readlink(path, target, 4));
	O(write(fd, "abc", 3));
	O(close(open(path, O_RDONLY)));
	again = open(path, O_RDONLY);
	V(again >= 0);
	O(read(again, target, 10));
	close(again);
	O(unlink("/proc/self/stat"));
	O(rename("/proc/self/stat", "/tmp/x"));
	O(open("/proc/self/stat", O_WRONLY | O_CREAT, 0644));
	O(open("/proc/nothing", O_RDONLY));
	O(open("/proc/nothing", O_CREAT | O_RDWR, 0644));
	O(mkdir("/proc/nothing", 0755));
	O(unlink("/tmp/calls-file"));
	close(fd);
	O(chdir("/proc/self"));
	again = open("stat", O_RDONLY);
	V(again >= 0);
	close(again);
	O(chdir("/tmp"));
}

static void procs(void)
{
	static const char *const paths[] = {"/proc", "/proc/self", "/proc/self/stat", "/proc/self/statm", "/proc/self/status",
		"/proc/meminfo", "/proc/uptime", "/proc/sys/net/core/somaxconn", "/proc/self/", "/proc/self/exe", "/proc/self/fd",
		"/proc/self/maps", "/proc/self/cmdline", "/proc/self/environ", "/proc/self/limits", "/proc/self/comm",
		"/proc/cpuinfo", "/proc/loadavg", "/proc/version", "/proc/stat", "/proc/filesystems", "/proc/self/cwd",
		"/proc/self/root", "/proc/self/task", "/proc/sys", "/proc/sys/net", "/proc/sys/net/core", "/proc/self/stat/x",
		"/proc/nothing", "/proc/self/nothing", "/proc/sys/kernel/hostname", "/proc/sys/kernel/osrelease",
		"/proc/sys/kernel/pid_max", "/proc/sys/vm/overcommit_memory", "/proc/sys/kernel/random/boot_id", "/sys", "/dev/null",
		"/dev/zero", "/dev/fd", "/dev/stdin"};
	for (unsigned i = 0; i < sizeof paths / sizeof *paths; i++)
		look(paths[i]);
}

void proc_groups(void)
{
	if (group("proc"))
		procs();
	if (group("proc_links"))
		links();
}
