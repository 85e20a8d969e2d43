/* Everyday calls on files and folders, and their rarer flags. */
#include "calls.h"
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 16
#endif
#ifndef RWF_HIPRI
#define RWF_HIPRI 1
#define RWF_DSYNC 2
#define RWF_SYNC 4
#define RWF_NOWAIT 8
#define RWF_APPEND 16
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#define RENAME_WHITEOUT 4
#endif
#ifndef FALLOC_FL_COLLAPSE_RANGE
#define FALLOC_FL_COLLAPSE_RANGE 8
#define FALLOC_FL_ZERO_RANGE 16
#define FALLOC_FL_INSERT_RANGE 32
#endif

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define PLACE "/tmp/calls-trees"

static void remove_all(const char *path)
{
	char inner[600];
	DIR *folder = opendir(path);
	if (folder) {
		for (struct dirent *entry; (entry = readdir(folder));)
			if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) {
				snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
				if (unlink(inner))
					remove_all(inner);
			}
		closedir(folder);
	}
	rmdir(path);
}

static void begin(void)
{
	umask(022);
	remove_all(PLACE);
	mkdir(PLACE, 0755);
	chdir(PLACE);
}

static void end(void)
{
	chdir("/tmp");
	remove_all(PLACE);
}

static int touch(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	write(fd, text, strlen(text));
	return fd;
}

static void put(const char *name, const char *text)
{
	close(touch(name, text));
}

static void holds(const char *name)
{
	char buffer[64] = {0};
	int fd = open(name, O_RDONLY);
	long count = read(fd, buffer, 60);
	printf("%s: %s holds %ld: %s\n", group_name, name, count, buffer);
	close(fd);
}

static void lists(const char *name)
{
	struct dirent **entries;
	int count = scandir(name, &entries, 0, alphasort);
	printf("%s: %s lists %d:", group_name, name, count);
	for (int i = 0; i < count; i++)
		printf(" %s %d", entries[i]->d_name, entries[i]->d_type), free(entries[i]);
	printf("\n");
}

static long mode_of(const char *name)
{
	struct stat state;
	return lstat(name, &state) ? -errno : (long)state.st_mode;
}

static long links_of(const char *name)
{
	struct stat state;
	return lstat(name, &state) ? -errno : (long)state.st_nlink;
}

static void sealed(void)
{
	char buffer[10], name[100], target[200];
	struct stat state;
	void *map;
	int fd = syscall(SYS_memfd_create, "thing", 0), other;
	V(fd >= 0);
	O(S(memfd_create, "thing", 0x100));
	O(S(memfd_create, 0, 0));
	{
		char longest[300];
		memset(longest, 'x', sizeof longest);
		longest[250] = 0;
		O(S(memfd_create, longest, 0));
		longest[249] = 0;
		OK(close(S(memfd_create, longest, 0)));
	}
	O(fstat(fd, &state));
	V(state.st_mode);
	V(state.st_nlink);
	V(state.st_size);
	V(fcntl(fd, F_GETFL) & 0xfff);
	O(fcntl(fd, F_GETFD));
	O(fcntl(fd, F_GET_SEALS));
	O(fcntl(fd, F_ADD_SEALS, 1));
	sprintf(name, "/proc/self/fd/%d", fd);
	memset(target, 0, sizeof target);
	O(readlink(name, target, 199));
	printf("%s: link %s\n", group_name, target);
	O(write(fd, "hello", 5));
	O(ftruncate(fd, 8192));
	O(pread(fd, buffer, 10, 0));
	map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V(map != MAP_FAILED);
	memcpy(map, "HE", 2);
	O(pread(fd, buffer, 5, 0));
	V(buffer[0] == 'H' && buffer[2] == 'l');
	O(munmap(map, 8192));
	other = open(name, O_RDONLY);
	V(other >= 0);
	O(read(other, buffer, 5));
	O(write(other, buffer, 5));
	close(other), close(fd);
	fd = syscall(SYS_memfd_create, "sealed", 3);
	O(fcntl(fd, F_GETFD));
	O(fcntl(fd, F_GET_SEALS));
	O(ftruncate(fd, 8192));
	O(fcntl(fd, F_ADD_SEALS, 0x100));
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	O(fcntl(fd, F_GET_SEALS));
	O(ftruncate(fd, 4096));
	O(ftruncate(fd, 8192));
	O(ftruncate(fd, 12288));
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	O(ftruncate(fd, 16384));
	O(pwrite(fd, "x", 1, 12288));
	O(pwrite(fd, "xxxx", 4, 12286));
	O(pwrite(fd, "xxxx", 4, 0));
	O(fallocate(fd, 0, 0, 20000));
	O(fallocate(fd, 0, 0, 100));
	map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V(map != MAP_FAILED);
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	O(munmap(map, 8192));
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
	O(write(fd, "x", 1));
	O(pwrite(fd, "x", 1, 0));
	O(writev(fd, &(struct iovec){buffer, 1}, 1));
	O(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	O(pread(fd, buffer, 4, 0));
	map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V(map != MAP_FAILED);
	V(errno);
	map = mmap(0, 8192, PROT_READ, MAP_SHARED, fd, 0);
	V(map != MAP_FAILED);
	O(mprotect(map, 4096, PROT_READ | PROT_WRITE));
	O(munmap(map, 8192));
	map = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	V(map != MAP_FAILED);
	munmap(map, 8192);
	sprintf(name, "/proc/self/fd/%d", fd);
	other = open(name, O_RDWR);
	V(other >= 0);
	O(write(other, "x", 1));
	close(other);
	O(open(name, O_RDWR | O_TRUNC));
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
	O(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
	O(fcntl(fd, F_GET_SEALS));
	O(fchmod(fd, 0600));
	O(lseek(fd, 0, SEEK_END));
	close(fd);
	fd = touch("/tmp/calls-plain", "x");
	O(fcntl(fd, F_GET_SEALS));
	O(fcntl(fd, F_ADD_SEALS, 1));
	close(fd), unlink("/tmp/calls-plain");
}

static void unnamed(void)
{
	char name[100], target[200] = {0};
	struct stat state;
	int fd;
	begin();
	O(open(".", O_TMPFILE, 0600));
	O(open("none", O_TMPFILE | O_RDWR, 0600));
	put("file", "x");
	O(open("file", O_TMPFILE | O_RDWR, 0600));
	fd = open(".", O_TMPFILE | O_RDWR, 0640);
	V(fd >= 0);
	O(fstat(fd, &state));
	V(state.st_nlink);
	V(state.st_mode);
	lists(".");
	O(write(fd, "unnamed", 7));
	sprintf(name, "/proc/self/fd/%d", fd);
	O(linkat(AT_FDCWD, name, AT_FDCWD, "file", AT_SYMLINK_FOLLOW));
	O(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	holds("named");
	O(fstat(fd, &state));
	V(state.st_nlink);
	O(linkat(fd, "", AT_FDCWD, "again", AT_EMPTY_PATH));
	V(links_of("again"));
	O(unlink("again"));
	O(unlink("named"));
	O(fstat(fd, &state));
	V(state.st_nlink);
	O(linkat(AT_FDCWD, name, AT_FDCWD, "third", AT_SYMLINK_FOLLOW));
	close(fd);
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	sprintf(name, "/proc/self/fd/%d", fd);
	O(linkat(AT_FDCWD, name, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
	close(fd);
	fd = open(".", O_TMPFILE | O_WRONLY, 0600);
	sprintf(name, "/proc/self/fd/%d", fd);
	O(readlink(name, target, 199) > 0);
	V(!strncmp(target, PLACE "/#", sizeof PLACE + 1) && strstr(target, " (deleted)"));
	close(fd);
	fd = touch("gone", "abc");
	unlink("gone");
	sprintf(name, "/proc/self/fd/%d", fd);
	O(linkat(AT_FDCWD, name, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	O(linkat(fd, "", AT_FDCWD, "back", AT_EMPTY_PATH));
	O(fstat(fd, &state));
	V(state.st_nlink);
	O(close(open(name, O_RDONLY)));
	close(fd);
	end();
}

static void vectors(void)
{
	char buffer[20] = {0};
	struct iovec spans[2] = {{buffer, 3}, {buffer + 3, 4}}, out[2] = {{"AB", 2}, {"CDE", 3}};
	int fd, ends[2];
	begin();
	fd = touch("file", "0123456789");
	O(S(preadv2, fd, spans, 2, 1L, 0L, 0));
	O(S(preadv2, fd, spans, 2, -1L, -1L, 0));
	lseek(fd, 0, SEEK_SET);
	O(S(preadv2, fd, spans, 2, -1L, -1L, 0));
	O(lseek(fd, 0, SEEK_CUR));
	O(S(preadv2, fd, spans, 2, -2L, -1L, 0));
	O(S(preadv2, fd, spans, 2, 0L, 0L, RWF_HIPRI));
	O(S(preadv2, fd, spans, 2, 0L, 0L, RWF_NOWAIT));
	O(S(preadv2, fd, spans, 2, 0L, 0L, RWF_DSYNC));
	O(S(preadv2, fd, spans, 2, 0L, 0L, 0x1000));
	O(S(preadv2, 99, spans, 2, 0L, 0L, 0));
	O(S(preadv2, fd, spans, -1, 0L, 0L, 0));
	O(S(pwritev2, fd, out, 2, 2L, 0L, 0));
	holds("file");
	O(S(pwritev2, fd, out, 2, 0L, 0L, RWF_APPEND));
	holds("file");
	O(lseek(fd, 0, SEEK_CUR));
	O(S(pwritev2, fd, out, 1, -1L, -1L, 0));
	O(lseek(fd, 0, SEEK_CUR));
	O(S(pwritev2, fd, out, 2, 0L, 0L, RWF_DSYNC | RWF_SYNC));
	O(S(pwritev2, fd, out, 2, 0L, 0L, 0x1000));
	O(S(pwritev2, fd, out, 2, -1L, -1L, RWF_APPEND));
	O(lseek(fd, 0, SEEK_CUR));
	holds("file");
	pipe2(ends, 0);
	O(S(preadv2, ends[0], spans, 2, -1L, -1L, RWF_NOWAIT));
	O(S(pwritev2, ends[1], out, 2, -1L, -1L, 0));
	O(S(preadv2, ends[0], spans, 2, 0L, 0L, 0));
	O(S(preadv2, ends[0], spans, 2, -1L, -1L, RWF_NOWAIT));
	close(ends[0]), close(ends[1]);
	close(fd);
	fd = open("file", O_WRONLY | O_APPEND);
	O(pwrite(fd, "tail", 4, 0));
	O(pwritev(fd, out, 2, 0));
	O(write(fd, "end", 3));
	O(lseek(fd, 0, SEEK_CUR));
	holds("file");
	O(read(fd, buffer, 1));
	close(fd);
	end();
}

static void how(const char *path, unsigned long flags, unsigned long mode, unsigned long resolve)
{
	unsigned long all[3] = {flags, mode, resolve};
	errno = 0;
	long fd = syscall(SYS_openat2, AT_FDCWD, path, all, sizeof all);
	printf("%s: openat2 %s %lx %lo %lx: %s %d\n", group_name, path, flags, mode, resolve, fd >= 0 ? "opens" : "fails", errno);
	if (fd >= 0)
		close(fd);
}

static void second_opens(void)
{
	unsigned long longer[5] = {0, 0, 0, 0, 0};
	begin();
	mkdir("d", 0755), put("d/file", "x"), symlink("d", "l"), symlink("/tmp", "abs"), symlink("../..", "d/up"), symlink("file", "d/s");
	how("d/file", O_RDONLY, 0, 0);
	how("d/file", O_RDONLY, 0644, 0);
	how("d/new", O_RDWR | O_CREAT, 0600, 0);
	how("d/new2", O_RDWR | O_CREAT, 010600, 0);
	how("d/file", 1UL << 40, 0, 0);
	how("d/file", 0x40000000, 0, 0);
	how("d/file", O_RDONLY, 0, 0x100);
	how("l/file", O_RDONLY, 0, 4);
	how("d/file", O_RDONLY, 0, 4);
	how("d/s", O_RDONLY, 0, 4);
	how("/proc/self/exe", O_RDONLY, 0, 2);
	how("l/file", O_RDONLY, 0, 8);
	how("abs/calls-trees", O_RDONLY, 0, 8);
	how("/tmp", O_RDONLY, 0, 8);
	how("..", O_RDONLY, 0, 8);
	how("d/..", O_RDONLY, 0, 8);
	how("d/up", O_RDONLY, 0, 8);
	how("/d/file", O_RDONLY, 0, 16);
	how("../../d/file", O_RDONLY, 0, 16);
	how("abs", O_RDONLY, 0, 16);
	how("d/up/d/file", O_RDONLY, 0, 16);
	how("d/file", O_RDONLY, 0, 24);
	how("d/file", O_RDONLY, 0, 1);
	how("d/file", O_RDONLY, 0, 32);
	how("d/file", O_PATH | O_RDWR, 0, 0);
	how("d", O_RDONLY | O_DIRECTORY, 0, 0);
	how("none", O_RDONLY, 0, 0);
	O(S(openat2, AT_FDCWD, "d/file", longer, 8));
	OK(close(S(openat2, AT_FDCWD, "d/file", longer, 40)));
	longer[4] = 1;
	O(S(openat2, AT_FDCWD, "d/file", longer, 40));
	O(S(openat2, AT_FDCWD, "d/file", 0, 24));
	O(S(openat2, 99, "d/file", longer, 24));
	end();
}

static void holes(void)
{
	struct stat state;
	char buffer[100] = { 0 };
	int fd;
	begin();
	fd = open("sparse", O_RDWR | O_CREAT, 0644);
	O(pwrite(fd, "x", 1, 1 << 20));
	O(fstat(fd, &state));
	V(state.st_size);
	V(state.st_blocks);
	O(lseek(fd, 0, SEEK_DATA));
	O(lseek(fd, 0, SEEK_HOLE));
	O(lseek(fd, 1 << 20, SEEK_DATA));
	O(lseek(fd, 1 << 20, SEEK_HOLE));
	O(lseek(fd, (1 << 20) + 1, SEEK_HOLE));
	O(lseek(fd, (1 << 20) + 1, SEEK_DATA));
	O(lseek(fd, -5, SEEK_HOLE));
	O(lseek(fd, 0, SEEK_CUR));
	O(pread(fd, buffer, 10, 100));
	V(buffer[0] | buffer[9]);
	O(fallocate(fd, FALLOC_FL_KEEP_SIZE, 2 << 20, 8192));
	O(fstat(fd, &state));
	V(state.st_size);
	O(fallocate(fd, 0, 2 << 20, 8192));
	O(fstat(fd, &state));
	V(state.st_size);
	O(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096));
	O(pread(fd, buffer, 1, 1 << 20));
	V(buffer[0]);
	O(lseek(fd, 0, SEEK_END));
	O(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
	O(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE, 0, 4096));
	O(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	O(fallocate(fd, 0, LONG_MAX, 10));
	O(fallocate(fd, 0, 0, -1));
	O(fallocate(fd, 0x100, 0, 10));
	close(fd);
	fd = touch("file", "0123456789abcdefghij");
	O(fallocate(fd, FALLOC_FL_ZERO_RANGE, 5, 5));
	O(pread(fd, buffer, 20, 0));
	V(buffer[4]);
	V(buffer[5]);
	V(buffer[9]);
	V(buffer[10]);
	O(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 15, 50));
	O(lseek(fd, 0, SEEK_END));
	O(fallocate(fd, FALLOC_FL_ZERO_RANGE, 15, 50));
	O(lseek(fd, 0, SEEK_END));
	O(ftruncate(fd, 3));
	O(ftruncate(fd, 6));
	O(pread(fd, buffer, 20, 0));
	V(buffer[3]);
	O(posix_fallocate(fd, 0, 100));
	O(posix_fallocate(fd, 0, -1));
	O(posix_fallocate(99, 0, 100));
	O(lseek(fd, 0, SEEK_END));
	close(fd);
	fd = open("file", O_RDONLY);
	O(fallocate(fd, 0, 0, 10));
	O(ftruncate(fd, 0));
	close(fd);
	fd = open(".", O_RDONLY);
	O(fallocate(fd, 0, 0, 10));
	close(fd);
	O(truncate("file", 1L << 50) == 0 || errno == EFBIG);
	O(truncate("none", 0));
	O(truncate("file", -1));
	end();
}

static void size_limits(void)
{
	struct rlimit before, limit;
	int fd;
	begin();
	getrlimit(RLIMIT_FSIZE, &before);
	signal(SIGXFSZ, SIG_IGN);
	limit = before, limit.rlim_cur = 100;
	O(setrlimit(RLIMIT_FSIZE, &limit));
	fd = open("file", O_RDWR | O_CREAT, 0644);
	{
		char buffer[200] = {0};
		O(write(fd, buffer, 90));
		O(write(fd, buffer, 90));
		O(write(fd, buffer, 90));
		O(write(fd, buffer, 0));
		O(pwrite(fd, buffer, 10, 95));
		O(pwrite(fd, buffer, 10, 200));
		O(ftruncate(fd, 100));
		O(ftruncate(fd, 101));
		O(fallocate(fd, 0, 0, 101));
		O(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 101));
		O(lseek(fd, 0, SEEK_END));
		O(truncate("file", 500));
	}
	O(setrlimit(RLIMIT_FSIZE, &before));
	signal(SIGXFSZ, SIG_DFL);
	close(fd);
	end();
}

static void renames(void)
{
	begin();
	put("a", "a"), put("b", "b"), mkdir("d", 0755), mkdir("e", 0755), put("e/x", "x"), symlink("a", "l"), link("a", "hard");
	O(S(renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	O(S(renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	O(S(renameat2, AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
	holds("b"), holds("c");
	O(S(renameat2, AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
	V(mode_of("c"));
	V(mode_of("d"));
	O(S(renameat2, AT_FDCWD, "c", AT_FDCWD, "none", RENAME_EXCHANGE));
	O(S(renameat2, AT_FDCWD, "e", AT_FDCWD, "e/x", RENAME_EXCHANGE));
	O(S(renameat2, AT_FDCWD, "c", AT_FDCWD, "d", 0x10));
	O(rename("c", "e"));
	O(rename("c", "e/inner"));
	V(links_of("e"));
	O(rename("e", "e/inner/deeper"));
	O(rename("e/x", "e"));
	O(rename("e", "b"));
	O(rename("b", "e"));
	O(rename("hard", "b"));
	O(rename("l", "m"));
	V(mode_of("m"));
	O(rename("m/", "n"));
	O(rename("b/", "n"));
	O(rename("b", "n/"));
	O(rename("e", "f/"));
	O(rename("f/", "e"));
	O(rename("", "x"));
	O(rename("b", ""));
	O(rename(".", "x"));
	O(rename("e/..", "x"));
	O(rename("b", "."));
	O(rename("b", "b"));
	O(rename("none", "b"));
	O(rename("b/x", "y"));
	lists("."), lists("e");
	O(renameat(99, "b", AT_FDCWD, "y"));
	O(link("b", "n1"));
	O(link("b", "n1"));
	O(link("e", "n2"));
	O(link("m", "n3"));
	V(mode_of("n3"));
	O(linkat(AT_FDCWD, "m", AT_FDCWD, "n4", AT_SYMLINK_FOLLOW));
	O(linkat(AT_FDCWD, "b", AT_FDCWD, "n5", 0x100));
	O(linkat(AT_FDCWD, "", AT_FDCWD, "n6", 0));
	O(linkat(AT_FDCWD, "", AT_FDCWD, "n6", AT_EMPTY_PATH));
	O(link("none", "n7"));
	O(link("b", "none/x"));
	O(link("b", "n8/"));
	V(links_of("b"));
	O(unlinkat(AT_FDCWD, "e", 0));
	O(unlinkat(AT_FDCWD, "b", AT_REMOVEDIR));
	O(unlinkat(AT_FDCWD, "e", AT_REMOVEDIR));
	O(unlinkat(AT_FDCWD, "e", 0x100));
	O(unlink("e/"));
	O(unlink("b/"));
	O(unlink("none/x"));
	O(unlink("."));
	O(unlink("/"));
	O(rmdir("."));
	O(rmdir(".."));
	O(rmdir("e/."));
	O(rmdir("e/inner/.."));
	O(rmdir("m"));
	end();
}

static void deep_names(void)
{
	char longest[300], path[5000];
	begin();
	memset(longest, 'n', sizeof longest);
	longest[256] = 0;
	O(open(longest, O_CREAT | O_RDWR, 0644));
	O(mkdir(longest, 0755));
	O(symlink("x", longest));
	longest[255] = 0;
	OK(close(open(longest, O_CREAT | O_RDWR, 0644)));
	O(rename(longest, "short"));
	O(rename("short", longest));
	O(link(longest, "short"));
	O(unlink(longest));
	for (int i = 0; i < 4096; i++)
		path[i] = i % 2 ? '/' : '.';
	path[4096] = 0;
	O(stat(path, &(struct stat){0}));
	path[4095] = 0;
	O(stat(path, &(struct stat){0}));
	path[4094] = 0;
	O(stat(path, &(struct stat){0}));
	O(symlink(path, "far"));
	O(stat("far", &(struct stat){0}));
	memset(path, 'x', 4096), path[4096] = 0;
	O(symlink(path, "farther"));
	O(symlink("loop", "loop"));
	O(open("loop", O_RDONLY));
	O(stat("loop", &(struct stat){0}));
	O(open("loop", O_CREAT | O_RDWR, 0644));
	O(open("loop", O_RDONLY | O_NOFOLLOW));
	OK(close(open("loop", O_PATH | O_NOFOLLOW)));
	O(access("loop", F_OK));
	O(chdir("loop"));
	O(truncate("loop", 0));
	O(chmod("loop", 0644));
	O(symlink("two", "one"));
	O(symlink("one", "two"));
	O(open("one", O_RDONLY));
	for (int i = 0; i < 45; i++) {
		char from[20], to[20];
		sprintf(to, "c%d", i), sprintf(from, "c%d", i - 1);
		symlink(i ? from : "short", to);
	}
	OK(close(open("c39", O_RDONLY)));
	O(open("c40", O_RDONLY));
	O(symlink("dangling", "dangle"));
	O(open("dangle", O_RDONLY));
	O(open("dangle", O_CREAT | O_EXCL | O_RDWR, 0644));
	OK(close(open("dangle", O_CREAT | O_RDWR, 0644)));
	V(mode_of("dangling"));
	O(mkdir("dangle", 0755));
	O(open("short/x", O_RDONLY));
	O(open("short/", O_RDONLY));
	O(open("short/.", O_RDONLY));
	O(mkdir("new/", 0755));
	O(mkdir("new//", 0755));
	O(open("new/", O_RDWR));
	O(open("other/", O_CREAT | O_RDWR, 0644));
	O(open("new", O_CREAT | O_RDONLY, 0644));
	O(open("new", O_CREAT | O_DIRECTORY, 0644));
	O(open(".", O_RDONLY | O_CREAT, 0644));
	O(open("..", O_WRONLY));
	O(open("", O_RDONLY));
	O(open("short", O_RDONLY | O_DIRECTORY));
	O(symlink("new", "folder"));
	OK(close(open("folder", O_RDONLY | O_DIRECTORY)));
	O(open("folder", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	O(open("folder/", O_RDONLY | O_NOFOLLOW) >= 0);
	O(rmdir("folder"));
	O(rmdir("folder/"));
	O(unlink("folder/"));
	O(mknod("short/x", S_IFREG | 0644, 0));
	O(readlink("folder/", path, 100));
	O(readlink("none", path, 100));
	O(readlink("short", path, 100));
	O(readlink("folder", path, 2));
	O(S(readlink, "folder", path, 0));
	O(readlinkat(AT_FDCWD, "", path, 100));
	{
		int fd = open("folder", O_PATH | O_NOFOLLOW);
		memset(path, 0, 100);
		O(readlinkat(fd, "", path, 100));
		V(path[0]);
		O(fstat(fd, &(struct stat){0}));
		O(fchdir(fd));
		O(S(fchmod, fd, 0644));
		O(S(fchown, fd, 0, 0));
		O(fchownat(fd, "", 0, 0, AT_EMPTY_PATH));
		O(S(fchmodat2, fd, "", 0644, AT_EMPTY_PATH) == -1);
		O(dup(fd) >= 0);
		close(fd);
	}
	end();
}

static void listings(void)
{
	char buffer[1000];
	int fd, count, total = 0;
	begin();
	put("file", ""), mkdir("folder", 0755), symlink("x", "link"), mkfifo("fifo", 0644);
	lists(".");
	lists("folder");
	lists("none");
	lists("file");
	fd = open(".", O_RDONLY | O_DIRECTORY);
	O(S(getdents64, fd, buffer, 10));
	O(S(getdents64, fd, buffer, 0));
	O(S(getdents64, fd, 0, 1000));
	O(S(getdents64, 99, buffer, 1000));
	while ((count = syscall(SYS_getdents64, fd, buffer, 60)) > 0)
		for (int at = 0; at < count; at += *(unsigned short *)(buffer + at + 16))
			total++;
	V(count);
	V(total);
	O(S(getdents64, fd, buffer, 1000));
	O(lseek(fd, 0, SEEK_SET));
	V(S(getdents64, fd, buffer, 1000) > 0);
	O(lseek(fd, 0, SEEK_SET));
	for (int i = 0; i < 300; i++) {
		char name[20];
		sprintf(name, "f%d", i);
		put(name, "");
	}
	total = 0;
	while ((count = syscall(SYS_getdents64, fd, buffer, 1000)) > 0)
		for (int at = 0; at < count; at += *(unsigned short *)(buffer + at + 16)) {
			if (buffer[at + 19] == 'f' && buffer[at + 20] < 'A')
				unlink(buffer + at + 19), total++;
		}
	V(total);
	lists(".");
	close(fd);
	{
		DIR *folder = opendir(".");
		struct dirent *entry;
		long place;
		count = 0;
		while ((entry = readdir(folder)))
			count++;
		V(count);
		rewinddir(folder);
		readdir(folder), readdir(folder);
		place = telldir(folder);
		entry = readdir(folder);
		strcpy(buffer, entry->d_name);
		readdir(folder);
		seekdir(folder, place);
		entry = readdir(folder);
		V(strcmp(buffer, entry->d_name));
		V(dirfd(folder) >= 0);
		closedir(folder);
	}
	mkdir("going", 0755);
	fd = open("going", O_RDONLY);
	rmdir("going");
	O(S(getdents64, fd, buffer, 1000));
	O(openat(fd, "x", O_CREAT | O_RDWR, 0644));
	O(openat(fd, ".", O_RDONLY) >= 0);
	O(mkdirat(fd, "x", 0755));
	O(fstat(fd, &(struct stat){0}));
	O(fchdir(fd));
	O(S(getcwd, buffer, 1000));
	O(open(".", O_RDONLY) >= 0);
	O(open("..", O_RDONLY) >= 0);
	O(chdir(PLACE));
	close(fd);
	O(openat(AT_FDCWD, "file", O_RDONLY) >= 0);
	fd = open("file", O_RDONLY);
	O(openat(fd, "x", O_RDONLY));
	O(openat(fd, "/tmp", O_RDONLY) >= 0);
	O(openat(fd, "", O_RDONLY));
	O(faccessat(fd, "x", F_OK, 0));
	close(fd);
	end();
}

static void rights(void)
{
	struct stat state;
	int fd;
	begin();
	O(umask(077));
	O(umask(01777));
	O(umask(022));
	umask(0), put("open", ""), mkdir("wide", 0777), umask(077), put("tight", ""), mkdir("narrow", 0777), umask(022);
	V(mode_of("open"));
	V(mode_of("wide"));
	V(mode_of("tight"));
	V(mode_of("narrow"));
	O(mkdir("sticky", 01777));
	V(mode_of("sticky"));
	O(mkdir("setgid", 02755));
	V(mode_of("setgid"));
	O(chmod("setgid", 02755));
	O(chown("setgid", 0, 5));
	put("setgid/file", "");
	O(stat("setgid/file", &state));
	V(state.st_gid);
	O(mkdir("setgid/folder", 0755));
	O(stat("setgid/folder", &state));
	V(state.st_gid);
	V(state.st_mode);
	put("suid", "x");
	O(chmod("suid", 06755));
	V(mode_of("suid"));
	fd = open("suid", O_WRONLY);
	O(write(fd, "y", 1));
	V(mode_of("suid"));
	O(fchmod(fd, 06755));
	O(fchown(fd, 1, 1));
	V(mode_of("suid"));
	O(fchmod(fd, 06655));
	O(fchown(fd, 0, 0));
	V(mode_of("suid"));
	O(fchmod(fd, 02745));
	O(fchown(fd, 0, 0));
	V(mode_of("suid"));
	O(fchmod(fd, 06755));
	O(ftruncate(fd, 0));
	V(mode_of("suid"));
	O(fchown(fd, -1, -1));
	V(mode_of("suid"));
	close(fd);
	O(chmod("wide", 06777));
	O(chown("wide", 3, 3));
	V(mode_of("wide"));
	O(chmod("none", 0644));
	O(chmod("open", 0));
	O(access("open", R_OK | W_OK));
	O(access("open", X_OK));
	O(access("wide", X_OK));
	O(access("none", F_OK));
	O(access("open", 8));
	O(access("open", -1));
	O(open("open", O_RDWR) >= 0);
	O(fchmodat(AT_FDCWD, "open", 0644, AT_SYMLINK_NOFOLLOW));
	symlink("open", "link");
	O(fchmodat(AT_FDCWD, "link", 0600, AT_SYMLINK_NOFOLLOW));
	O(fchmodat(AT_FDCWD, "link", 0600, 0));
	V(mode_of("open"));
	O(fchmodat(AT_FDCWD, "link", 0600, 0x1000000));
	O(S(fchmodat2, AT_FDCWD, "open", 0640, 0));
	O(S(fchmodat2, AT_FDCWD, "open", 0640, AT_SYMLINK_NOFOLLOW));
	O(S(fchmodat2, AT_FDCWD, "link", 0640, AT_SYMLINK_NOFOLLOW));
	O(S(fchmodat2, AT_FDCWD, "link", 0640, 1));
	O(lchown("link", 7, 8));
	O(lstat("link", &state));
	V(state.st_uid);
	V(state.st_gid);
	O(stat("link", &state));
	V(state.st_uid);
	O(fchownat(AT_FDCWD, "link", 9, 9, AT_SYMLINK_NOFOLLOW));
	O(fchownat(AT_FDCWD, "link", 4, -1, 0));
	O(stat("open", &state));
	V(state.st_uid);
	V(state.st_gid);
	O(faccessat(AT_FDCWD, "open", R_OK, AT_EACCESS));
	O(faccessat(AT_FDCWD, "link", F_OK, AT_SYMLINK_NOFOLLOW));
	O(faccessat(AT_FDCWD, "open", R_OK, 1));
	O(S(faccessat2, AT_FDCWD, "open", R_OK, AT_EACCESS));
	O(S(faccessat2, AT_FDCWD, "open", R_OK, 1));
	O(S(faccessat2, AT_FDCWD, "open", 8, 0));
	O(S(faccessat2, AT_FDCWD, "", R_OK, AT_EMPTY_PATH));
	end();
}

static long changed(struct stat *before, struct stat *after)
{
#define DIFFERS(a) (before->a.tv_sec != after->a.tv_sec || before->a.tv_nsec != after->a.tv_nsec)
	return DIFFERS(st_atim) * 100 + DIFFERS(st_mtim) * 10 + DIFFERS(st_ctim);
}

/* Which times of `name` a step changes: atime 100, mtime 10, ctime 1. */
#define T(name, call) \
	do { \
		struct stat before_, after_; \
		struct timespec wait_ = {0, 12000000}; \
		lstat(name, &before_); \
		nanosleep(&wait_, 0); \
		errno = 0; \
		long answer_ = (long)(call); \
		int error_ = errno; \
		lstat(name, &after_); \
		printf("%s: %s: %s changes %ld (%d)\n", group_name, #call, name, changed(&before_, &after_), answer_ < 0 ? error_ : 0); \
	} while (0)

static void stamps(void)
{
	char buffer[100];
	int fd;
	struct stat state;
	begin();
	fd = touch("file", "hello");
	T("file", write(fd, "x", 1));
	T("file", write(fd, "x", 0));
	T("file", pread(fd, buffer, 1, 0));
	T("file", pread(fd, buffer, 1, 0));
	T("file", ftruncate(fd, 3));
	T("file", ftruncate(fd, 3));
	T("file", truncate("file", 3));
	T("file", fchmod(fd, 0600));
	T("file", fchmod(fd, 0600));
	T("file", fchown(fd, 0, 0));
	T("file", link("file", "other"));
	T(".", link("file", "third"));
	T("file", unlink("other"));
	T(".", unlink("third"));
	T(".", rename("file", "moved"));
	T("moved", rename("moved", "file"));
	T("file", close(open("file", O_RDONLY)));
	T("file", close(open("file", O_RDWR | O_TRUNC)));
	T("file", close(open("file", O_RDWR | O_TRUNC)));
	T(".", close(open("new", O_RDWR | O_CREAT, 0644)));
	T(".", close(open("new", O_RDWR | O_CREAT, 0644)));
	T(".", mkdir("folder", 0755));
	T("folder", mkdir("folder/inner", 0755));
	T(".", mkdir("folder/inner2", 0755));
	T("folder", rmdir("folder/inner"));
	T(".", symlink("x", "link"));
	T("link", readlink("link", buffer, 100));
	T("file", utimensat(AT_FDCWD, "file", 0, 0));
	T("file", utimensat(AT_FDCWD, "file", (struct timespec[2]){{1, 5}, {2, 6}}, 0));
	T("file", utimensat(AT_FDCWD, "file", (struct timespec[2]){{0, UTIME_NOW}, {0, UTIME_OMIT}}, 0));
	T("file", utimensat(AT_FDCWD, "file", (struct timespec[2]){{0, UTIME_OMIT}, {0, UTIME_NOW}}, 0));
	T("file", utimensat(AT_FDCWD, "file", (struct timespec[2]){{0, UTIME_OMIT}, {0, UTIME_OMIT}}, 0));
	T("file", futimens(fd, (struct timespec[2]){{-1, 5}, {1L << 33, 6}}));
	O(stat("file", &state));
	V(state.st_atim.tv_sec);
	T("link", utimensat(AT_FDCWD, "link", (struct timespec[2]){{1, 5}, {2, 6}}, AT_SYMLINK_NOFOLLOW));
	O(utimensat(AT_FDCWD, "link", 0, 0));
	T("file", stat("file", &state));
	T("file", access("file", R_OK));
	T("file", fsync(fd));
	T("file", fallocate(fd, 0, 0, 100));
	T("file", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 200));
	T("file", pread(fd, buffer, 1, 0));
	T("file", pread(fd, buffer, 1, 1000));
	T("file", pread(fd, buffer, 0, 0));
	T("file", lseek(fd, 0, SEEK_SET));
	T("file", read(fd, buffer, 10));
	T("file", pwrite(fd, "y", 1, 0));
	T("file", rename("file", "file"));
	T("file", flock(fd, LOCK_EX));
	T("file", mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
	close(fd);
	end();
}

static void lock(int fd, const char *what, int command, int type, long start, long length)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
	errno = 0;
	int answer = fcntl(fd, command, &lock);
	printf("%s: %s: %d %d", group_name, what, answer, errno);
	if (command == F_GETLK || command == 36)
		printf(", %d %ld %ld %d", lock.l_type, (long)lock.l_start, (long)lock.l_len, lock.l_pid > 0 ? 1 : (int)lock.l_pid);
	printf("\n");
}

static void file_locks(void)
{
	int one, two;
	begin();
	one = touch("file", "0123456789"), two = open("file", O_RDWR);
	O(flock(one, LOCK_SH));
	O(flock(two, LOCK_SH | LOCK_NB));
	O(flock(two, LOCK_EX | LOCK_NB));
	O(flock(one, LOCK_UN));
	O(flock(two, LOCK_EX | LOCK_NB));
	O(flock(one, LOCK_SH | LOCK_NB));
	O(flock(two, LOCK_SH));
	O(flock(one, LOCK_SH | LOCK_NB));
	O(flock(two, LOCK_UN));
	O(flock(one, LOCK_UN));
	lock(one, "write lock", F_SETLK, F_WRLCK, 0, 5);
	lock(two, "same process", F_SETLK, F_WRLCK, 0, 5);
	lock(two, "asked by itself", F_GETLK, F_WRLCK, 0, 5);
	lock(two, "open file", 37, F_WRLCK, 0, 5);
	lock(two, "open file asks", 36, F_WRLCK, 0, 50);
	lock(two, "open file behind", 37, F_WRLCK, 5, 5);
	lock(one, "process behind", F_SETLK, F_RDLCK, 7, 1);
	lock(one, "asks", F_GETLK, F_RDLCK, 0, 0);
	lock(one, "unlock", F_SETLK, F_UNLCK, 0, 0);
	lock(two, "more", 37, F_RDLCK, 0, 0);
	lock(one, "process reads", F_SETLK, F_RDLCK, 0, 0);
	lock(one, "process writes", F_SETLK, F_WRLCK, 0, 0);
	lock(one, "negative", F_SETLK, F_WRLCK, 5, -5);
	lock(one, "too negative", F_SETLK, F_WRLCK, 5, -6);
	lock(one, "bad type", F_SETLK, 77, 0, 0);
	lock(one, "too far", F_SETLK, F_RDLCK, LONG_MAX, 5);
	O(close(two));
	lock(one, "all gone", F_SETLK, F_WRLCK, 0, 0);
	two = open("file", O_RDONLY);
	lock(two, "write lock to read", F_SETLK, F_WRLCK, 0, 5);
	lock(two, "read lock", F_SETLK, F_RDLCK, 0, 5);
	close(two);
	two = open("file", O_WRONLY);
	lock(two, "read lock to write", F_SETLK, F_RDLCK, 0, 5);
	O(fcntl(one, F_SETLEASE, F_RDLCK));
	O(fcntl(one, F_GETLEASE));
	O(fcntl(one, F_SETLEASE, F_UNLCK));
	O(fcntl(one, F_SETLEASE, 99));
	O(lockf(one, F_TLOCK, 10));
	O(lockf(one, F_TEST, 10));
	O(lockf(one, F_ULOCK, 10));
	O(lockf(one, 99, 10));
	close(two), close(one);
	end();
}

static void copies(void)
{
	int fd, other;
	begin();
	fd = touch("file", "0123456789");
	O(dup3(fd, fd, 0));
	O(S(dup3, fd, 50, O_APPEND));
	O(dup3(99, 50, 0));
	O(dup3(fd, 50, O_CLOEXEC));
	O(fcntl(50, F_GETFD));
	O(dup2(fd, 50));
	O(fcntl(50, F_GETFD));
	V(dup2(fd, fd) == fd);
	O(dup2(99, 99));
	O(dup2(99, 50));
	O(dup2(fd, -1));
	O(dup2(fd, 1 << 20));
	O(fcntl(fd, F_DUPFD, 60));
	O(fcntl(fd, F_DUPFD_CLOEXEC, 60));
	O(fcntl(61, F_GETFD));
	O(fcntl(fd, F_DUPFD, -1));
	O(lseek(50, 3, SEEK_SET));
	O(lseek(fd, 0, SEEK_CUR));
	other = open("file", O_RDONLY);
	O(lseek(other, 0, SEEK_CUR));
	O(fcntl(50, F_SETFL, O_APPEND));
	V(fcntl(fd, F_GETFL) & O_APPEND);
	O(S(close_range, 50, 61, 4));
	O(fcntl(50, F_GETFD));
	O(fcntl(60, F_GETFD));
	O(S(close_range, 50, 61, 0));
	O(fcntl(50, F_GETFD));
	O(S(close_range, 61, 50, 0));
	O(S(close_range, 50, 61, 8));
	O(S(close_range, 50, -1, 2));
	O(S(close_range, 1 << 30, -1, 0));
	O(close(50));
	O(close(-1));
	O(close(other));
	O(close(other));
	O(fcntl(fd, F_SETFD, FD_CLOEXEC));
	O(fcntl(fd, F_GETFD));
	O(ioctl(fd, FIONCLEX));
	O(fcntl(fd, F_GETFD));
	O(fcntl(fd, F_SETFL, O_RDONLY));
	V(fcntl(fd, F_GETFL) & O_ACCMODE);
	O(fcntl(fd, F_SETSIG, 0));
	O(fcntl(fd, F_GETSIG));
	O(fcntl(fd, 1000, 0));
	O(ioctl(fd, TCGETS, 0));
	O(isatty(fd));
	close(fd);
	end();
}

static void attributes(void)
{
	char value[100];
	int fd;
	begin();
	fd = touch("file", "");
	O(getxattr("none", "user.a", value, 100));
	O(listxattr("none", value, 100));
	O(setxattr("none", "user.a", "v", 1, 0));
	O(removexattr("none", "user.a"));
	O(setxattr("file", "bad", "v", 1, 0));
	O(setxattr("file", "", "v", 1, 0));
	O(setxattr("file", "user.a", "v", 1, 8));
	O(getxattr("file", "bad.name", value, 100));
	O(fgetxattr(99, "user.a", value, 100));
	O(flistxattr(99, value, 100));
	O(fsetxattr(99, "user.a", "v", 1, 0));
	OK(setxattr("file", "user.one", "value", 5, 0));
	OK(getxattr("file", "user.one", value, 100));
	OK(getxattr("file", "user.one", value, 0));
	OK(getxattr("file", "user.one", value, 2));
	OK(getxattr("file", "user.two", value, 100));
	OK(setxattr("file", "user.one", "more", 4, XATTR_CREATE));
	OK(setxattr("file", "user.two", "more", 4, XATTR_REPLACE));
	OK(fsetxattr(fd, "user.two", "", 0, XATTR_CREATE));
	OK(listxattr("file", value, 100));
	OK(flistxattr(fd, value, 0));
	OK(listxattr("file", value, 3));
	OK(removexattr("file", "user.one"));
	OK(removexattr("file", "user.one"));
	OK(getxattr("file", "user.one", value, 100));
	OK(flistxattr(fd, value, 100));
	O(getxattr("file", "system.posix_acl_access", value, 100));
	O(getxattr("file", "security.capability", value, 100));
	O(getxattr("file", "trusted.x", value, 100));
	symlink("file", "link");
	O(lgetxattr("link", "user.two", value, 100));
	O(lsetxattr("link", "user.two", "v", 1, 0));
	O(llistxattr("link", value, 100));
	close(fd);
	end();
}

static void roots(void)
{
	char buffer[200];
	int outside;
	struct stat state, other;
	begin();
	mkdir("jail", 0755), mkdir("jail/inner", 0755), put("jail/file", "in"), put("secret", "out"), symlink("/file", "jail/abs"), symlink("../../secret", "jail/inner/up");
	outside = open(".", O_RDONLY);
	O(S(getcwd, buffer, 200));
	O(chroot("none"));
	O(chroot("secret"));
	O(chroot(""));
	O(chroot("jail"));
	O(chdir("/"));
	O(S(getcwd, buffer, 200));
	lists("/");
	holds("/file"), holds("abs"), holds("../../file"), holds("inner/up");
	O(open("/secret", O_RDONLY));
	O(open("/tmp", O_RDONLY));
	O(stat("/", &state));
	O(stat("/..", &other));
	V(state.st_ino == other.st_ino);
	O(chdir("inner"));
	O(S(getcwd, buffer, 200));
	printf("%s: %s\n", group_name, buffer);
	O(openat(outside, "secret", O_RDONLY) >= 0);
	O(fchdir(outside));
	O(open("secret", O_RDONLY) >= 0);
	O(open("..", O_RDONLY) >= 0);
	O(open("/file", O_RDONLY) >= 0);
	O(chdir("../.."));
	O(chroot("."));
	O(chdir(PLACE));
	O(S(getcwd, buffer, 200));
	holds(PLACE "/secret"), holds("jail/file");
	O(fchdir(99));
	O(fchdir(0));
	close(outside);
	end();
}

static void systems(void)
{
	struct statfs system;
	struct statvfs other;
	int fd;
	begin();
	fd = touch("file", "");
	O(statfs(".", &system));
	V(system.f_namelen);
	V(system.f_bsize);
	V(system.f_frsize);
	V(system.f_blocks > system.f_bfree);
	V(system.f_bfree >= system.f_bavail);
	O(fstatfs(fd, &system));
	O(statfs("none", &system));
	O(statfs("file/x", &system));
	O(fstatfs(99, &system));
	O(S(statfs, ".", 0));
	O(statvfs(".", &other));
	V(other.f_namemax);
	O(statfs("/proc", &system));
	V(system.f_type);
	O(statfs("/dev/shm", &system));
	V(system.f_type);
	O(statfs("/sys", &system));
	V(system.f_type);
	O(fsync(fd));
	O(fdatasync(fd));
	O(syncfs(fd));
	O(fsync(99));
	O(syncfs(99));
	O(sync_file_range(fd, 0, 0, 7));
	O(sync_file_range(fd, 0, 0, 8));
	sync();
	O(posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED));
	O(posix_fadvise(fd, 0, 0, 9));
	O(readahead(fd, 0, 4096));
	O(pathconf(".", _PC_NAME_MAX));
	O(pathconf(".", _PC_PATH_MAX));
	O(pathconf(".", _PC_PIPE_BUF));
	O(fpathconf(fd, _PC_LINK_MAX) > 0);
	close(fd);
	{
		unsigned state[64] = {0};
		put("file", "12345");
		O(S(statx, AT_FDCWD, "file", 0, 0xfff, &state));
		V(state[0] & 0x7ff);
		V(state[1]);
		V(state[4]);
		V(*(unsigned short *)&state[7]);
		V(*(unsigned long *)&state[10]);
		O(S(statx, AT_FDCWD, "none", 0, 0xfff, &state));
		O(S(statx, AT_FDCWD, "", AT_EMPTY_PATH, 0xfff, &state));
		O(S(statx, AT_FDCWD, "file", 0x2000, 0xfff, &state));
		V(*(unsigned short *)&state[7]);
		O(S(statx, AT_FDCWD, "file", 0x8000, 0xfff, &state));
		O(S(statx, AT_FDCWD, 0, 0, 0xfff, &state));
		O(S(statx, AT_FDCWD, "file", 0, 0xfff, 8));
	}
	end();
}

void tree_groups(void)
{
	if (group("sealed"))
		sealed();
	if (group("unnamed"))
		unnamed();
	if (group("vectors"))
		vectors();
	if (group("second_opens"))
		second_opens();
	if (group("holes"))
		holes();
	if (group("length_limits"))
		size_limits();
	if (group("renames"))
		renames();
	if (group("deep_names"))
		deep_names();
	if (group("listings"))
		listings();
	if (group("rights"))
		rights();
	if (group("stamps"))
		stamps();
	if (group("file_locks"))
		file_locks();
	if (group("copies"))
		copies();
	if (group("extended_attributes"))
		attributes();
	if (group("roots"))
		roots();
	if (group("systems"))
		systems();
}
