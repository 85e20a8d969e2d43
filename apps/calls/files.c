/* Files: flags that must be known, and what descriptors allow. */
#include "calls.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <utime.h>

/* <linux/fs.h>, which images do not have. */
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif
#ifndef RWF_HIPRI
#define RWF_HIPRI 1
#define RWF_APPEND 16
#endif

#define PLACE "/tmp/calls"

static void clean(void)
{
	unlink(PLACE "/a"), unlink(PLACE "/b"), unlink(PLACE "/c"), unlink(PLACE "/l"), rmdir(PLACE "/d"), rmdir(PLACE);
}

static void opens(void)
{
	struct stat state;
	int fd;
	clean();
	O(mkdir(PLACE, 0755));
	O(mkdir(PLACE, 0755));
	O(open(PLACE "/a", O_RDONLY));
	O(open(PLACE "/a", O_CREAT | O_EXCL | O_RDWR | O_DIRECTORY, 0644));
	O(open("", O_RDONLY));
	O(open(0, O_RDONLY));
	fd = open(PLACE "/a", O_CREAT | O_EXCL | O_RDWR, 0644);
	O(open(PLACE "/a", O_CREAT | O_EXCL, 0644));
	O(open(PLACE "/a", O_RDONLY | O_DIRECTORY));
	O(open(PLACE "/a/b", O_RDONLY));
	O(open(PLACE "/a/", O_RDONLY));
	O(open(PLACE, O_WRONLY));
	O(open(PLACE, O_RDONLY | O_CREAT, 0644));
	OK(close(open(PLACE, O_RDWR | O_TMPFILE, 0600)));
	O(open(PLACE, O_TMPFILE | O_RDONLY, 0600));
	O(fcntl(fd, F_GETFL));
	O(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK | O_NOATIME | O_SYNC | O_TRUNC));
	O(fcntl(fd, F_GETFL));
	O(fcntl(fd, F_SETFL, 0));
	O(fcntl(fd, F_GETFD));
	O(fcntl(fd, F_SETFD, 255));
	O(fcntl(fd, F_GETFD));
	O(fcntl(fd, 9999, 0));
	O(fcntl(fd, F_GETOWN));
	O(fcntl(fd, F_GETSIG));
	O(fcntl(fd, F_SETSIG, 99));
	O(fcntl(fd, F_GETLEASE));
	O(fcntl(fd, F_DUPFD, -1));
	O(fcntl(fd, F_GET_SEALS));
	O(fcntl(99, F_GETFL));
	O(dup(99));
	O(dup2(99, 5));
	O(dup2(fd, -1));
	O(S(dup3, fd, fd, 0));
	O(S(dup3, fd, 20, 1));
	O(close(20));
	O(S(close_range, 30, 20, 0));
	O(S(close_range, 500, 600, 1));
	O(S(close_range, 500, 600, 0));
	O(close(-1));
	O(fstat(99, &state));
	O(S(fstat, fd, 0));
	O(S(newfstatat, AT_FDCWD, PLACE "/a", &state, 1));
	O(S(newfstatat, fd, "", &state, 0));
	O(S(newfstatat, fd, "", &state, AT_EMPTY_PATH));
	O(S(newfstatat, 99, "a", &state, 0));
	O(S(newfstatat, fd, "a", &state, 0));
	O(S(newfstatat, AT_FDCWD, 0, &state, 0));
	O(access(PLACE "/a", 8));
	O(access(PLACE "/a", X_OK));
	O(access(PLACE, X_OK));
	O(S(faccessat2, AT_FDCWD, PLACE "/a", F_OK, 1));
	O(S(faccessat2, AT_FDCWD, PLACE "/a", F_OK, AT_EACCESS));
	O(S(faccessat2, fd, "", F_OK, AT_EMPTY_PATH));
	O(S(openat2, AT_FDCWD, PLACE "/a", &(unsigned long[3]){0, 0, 0}, 8));
	close(fd);
	fd = open(PLACE "/a", O_PATH);
	O(read(fd, &state, 1));
	O(S(fchmod, fd, 0644));
	O(fcntl(fd, F_GETFL));
	O(fcntl(fd, F_SETFL, 0));
	O(ioctl(fd, FIONREAD, &state));
	close(fd);
	fd = open(PLACE "/a", O_WRONLY | O_APPEND);
	O(read(fd, &state, 1));
	O(write(fd, "abc", 3));
	O(pwrite(fd, "def", 3, 0));
	O(lseek(fd, 0, SEEK_CUR));
	close(fd);
	fd = open(PLACE "/a", O_RDONLY | O_TRUNC);
	O(fstat(fd, &state));
	V(state.st_size);
	O(write(fd, "abc", 3));
	O(ftruncate(fd, 3));
	O(fallocate(fd, 0, 0, 3));
	O(fchmod(fd, 07644));
	O(fstat(fd, &state));
	V(state.st_mode);
	close(fd);
	fd = open(PLACE, O_RDONLY | O_DIRECTORY);
	O(read(fd, &state, 1));
	O(write(fd, &state, 1));
	O(lseek(fd, 0, SEEK_SET));
	O(ftruncate(fd, 0));
	O(fsync(fd));
	O(S(getdents64, fd, &state, 1));
	close(fd);
	fd = open(PLACE "/a", O_RDONLY);
	O(S(getdents64, fd, &state, 100));
	O(fchdir(fd));
	close(fd);
	O(fcntl(open(PLACE "/a", O_RDWR | 0x40000000), F_GETFL));
	fd = open(PLACE "/a", O_RDWR);
	O(fcntl(fd, F_SETFL, O_ASYNC));
	O(fcntl(fd, F_GETFL));
	O(S(sendfile, fd, fd, 0, -1L));
	close(fd);
	fd = open("/dev/full", O_WRONLY);
	O(write(fd, "", 0));
	close(fd);
	O(link("/dev/null", PLACE "/n"));
	O(rename("/dev/null", PLACE "/n"));
}

static void transfers(void)
{
	char buffer[64];
	off_t offset = 2, other = 0;
	struct iovec spans[2] = {{buffer, 3}, {buffer + 3, 4}};
	int fd = open(PLACE "/a", O_RDWR | O_TRUNC), out = open(PLACE "/b", O_RDWR | O_CREAT | O_TRUNC, 0644), ends[2];
	O(write(fd, "0123456789", 10));
	O(lseek(fd, -1, SEEK_SET));
	O(lseek(fd, 3, 99));
	O(lseek(fd, -20, SEEK_END));
	O(lseek(fd, 20, SEEK_END));
	O(lseek(fd, 0, SEEK_DATA));
	O(lseek(fd, 0, SEEK_HOLE));
	O(lseek(fd, 10, SEEK_DATA));
	O(lseek(fd, -1, SEEK_DATA));
	O(pread(fd, buffer, 5, -1));
	O(pread(fd, buffer, 5, 8));
	O(pread(fd, buffer, 5, 100));
	O(pread(fd, 0, 5, 0));
	O(pread(fd, 0, 0, 0));
	O(read(fd, buffer, -1));
	O(preadv(fd, spans, 2, 1));
	O(preadv(fd, spans, -1, 1));
	O(preadv(fd, spans, 2000, 1));
	O(preadv(fd, 0, 0, 1));
	O(readv(fd, 0, 1));
	O(readv(fd, spans, 0));
	O(S(preadv2, fd, spans, 2, 1, 0, 0));
	O(S(preadv2, fd, spans, 2, -1, -1, 0));
	O(S(preadv2, fd, spans, 2, 1, 0, 0x40000000));
	O(S(preadv2, fd, spans, 2, 1, 0, RWF_HIPRI));
	O(S(pwritev2, fd, spans, 2, 1, 0, 0x40000000));
	O(S(pwritev2, fd, spans, 1, 0, 0, RWF_APPEND));
	spans[0].iov_len = -1;
	O(readv(fd, spans, 2));
	spans[0].iov_len = 3;
	O(lseek(fd, 0, SEEK_SET));
	O(sendfile(out, fd, &offset, 5));
	V(offset);
	O(sendfile(out, fd, 0, 3));
	O(lseek(fd, 0, SEEK_CUR));
	O(sendfile(out, 99, 0, 3));
	O(sendfile(99, fd, 0, 3));
	offset = -1;
	O(sendfile(out, fd, &offset, 3));
	offset = 0;
	O(copy_file_range(fd, &offset, out, &other, 4, 1));
	O(copy_file_range(fd, &offset, out, &other, 4, 0));
	V(offset + other * 100);
	O(copy_file_range(fd, 0, fd, 0, 4, 0));
	O(copy_file_range(99, 0, out, 0, 4, 0));
	O(ftruncate(fd, -1));
	O(truncate(PLACE "/a", -1));
	O(truncate(PLACE, 0));
	O(fallocate(fd, 0, 0, 0));
	O(fallocate(fd, 0, -1, 10));
	O(fallocate(fd, 0x1000, 0, 10));
	O(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
	O(fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, 0, 10));
	O(fallocate(99, 0, 0, 10));
	O(posix_fadvise(fd, 0, 0, 99));
	O(posix_fadvise(99, 0, 0, 0));
	O(posix_fadvise(fd, 0, -1, 0));
	O(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	O(sync_file_range(fd, 0, 0, 8));
	O(sync_file_range(fd, -1, 0, 0));
	O(sync_file_range(fd, 0, -1, 0));
	O(sync_file_range(fd, 0, 10, 7));
	O(readahead(fd, 0, 10));
	O(readahead(99, 0, 10));
	O(fsync(99));
	O(fdatasync(fd));
	O(syncfs(fd));
	O(syncfs(99));
	O(flock(fd, 0));
	O(flock(fd, LOCK_SH | LOCK_EX));
	O(flock(fd, 64));
	O(flock(fd, LOCK_SH | 64));
	O(flock(fd, LOCK_EX | LOCK_NB));
	O(flock(out, LOCK_UN));
	O(flock(99, LOCK_SH));
	O(lockf(fd, F_TLOCK, 5));
	O(lockf(fd, F_TEST, 5));
	O(lockf(fd, F_ULOCK, 5));
	{
		int left = 99;
		unsigned int flags = 99;
		O(lseek(fd, 3, SEEK_SET));
		O(ioctl(fd, FIONREAD, &left));
		V(left);
		O(ioctl(fd, 0x12345, &left));
		O(ioctl(fd, FIOCLEX));
		O(fcntl(fd, F_GETFD));
		O(ioctl(fd, FIONCLEX));
		left = 1;
		O(ioctl(fd, FIOASYNC, &left));
		O(ioctl(99, FIONREAD, &left));
		(void)flags;
	}
	pipe(ends);
	O(splice(fd, 0, ends[1], 0, 5, 0x1000));
	O(S(vmsplice, ends[1], spans, 1, 0x1000));
	close(ends[0]), close(ends[1]);
	close(fd), close(out);
}

static void names(void)
{
	char target[100];
	struct stat state;
	clean();
	mkdir(PLACE, 0755);
	O(close(creat(PLACE "/a", 0600)));
	O(mkdir(PLACE "/d", 07777));
	O(stat(PLACE "/d", &state));
	V(state.st_mode);
	O(symlink("a", PLACE "/l"));
	O(symlink("a", PLACE "/l"));
	O(symlink("", PLACE "/m"));
	O(S(readlink, PLACE "/l", target, 0));
	O(readlink(PLACE "/l", target, 100));
	O(readlink(PLACE "/a", target, 100));
	O(readlink(PLACE, target, 100));
	O(lstat(PLACE "/l", &state));
	V(state.st_mode);
	V(state.st_size);
	O(link(PLACE "/a", PLACE "/b"));
	O(link(PLACE "/d", PLACE "/c"));
	O(S(linkat, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/c", 1));
	O(S(linkat, AT_FDCWD, PLACE "/l", AT_FDCWD, PLACE "/c", AT_SYMLINK_FOLLOW));
	O(stat(PLACE "/a", &state));
	V(state.st_nlink);
	O(S(renameat2, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/b", 8));
	O(S(renameat2, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/b", RENAME_NOREPLACE));
	O(S(renameat2, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/b", RENAME_NOREPLACE | RENAME_EXCHANGE));
	O(S(renameat2, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/d", RENAME_EXCHANGE));
	O(S(renameat2, AT_FDCWD, PLACE "/a", AT_FDCWD, PLACE "/d", RENAME_EXCHANGE));
	O(rename(PLACE "/a", PLACE "/d"));
	O(rename(PLACE "/d", PLACE "/a"));
	O(rename(PLACE "/d", PLACE "/d/e"));
	O(rename(PLACE "/z", PLACE "/y"));
	O(rename(PLACE "/.", PLACE "/y"));
	O(unlink(PLACE "/d"));
	O(rmdir(PLACE "/a"));
	O(rmdir(PLACE));
	O(rmdir(PLACE "/d/."));
	O(rmdir("/"));
	O(unlinkat(AT_FDCWD, PLACE "/d", 1));
	O(unlinkat(AT_FDCWD, PLACE "/d", AT_REMOVEDIR));
	O(unlink(PLACE "/c"));
	O(unlink(PLACE "/z"));
	O(chmod(PLACE "/a", 0123456));
	O(stat(PLACE "/a", &state));
	V(state.st_mode);
	O(S(fchmodat, AT_FDCWD, PLACE "/a", 0600));
	O(chmod(PLACE "/z", 0600));
	O(chown(PLACE "/a", 5, 6));
	O(stat(PLACE "/a", &state));
	V(state.st_uid * 10 + state.st_gid);
	O(chown(PLACE "/a", -1, -1));
	O(fchownat(AT_FDCWD, PLACE "/a", 0, 0, 1));
	O(fchownat(AT_FDCWD, PLACE "/a", 0, 0, AT_SYMLINK_NOFOLLOW));
	O(chown(PLACE "/z", 0, 0));
	O(mknod(PLACE "/n", S_IFDIR, 0));
	O(mknod(PLACE "/a", S_IFREG | 0600, 0));
	O(mknod(PLACE "/n", 0070000, 0));
	O(mknod(PLACE "/c", S_IFREG | 0600, 0));
	O(unlink(PLACE "/c"));
	O(mkdir("", 0755));
	O(mkdir(PLACE "/x/y", 0755));
	O(mkdir(PLACE "/a/y", 0755));
	O(mkdir(PLACE "/.", 0755));
	O(chdir(PLACE "/a"));
	O(chdir(PLACE "/z"));
	O(chdir(""));
	O(S(getcwd, target, 0));
	O(S(getcwd, target, 1));
	O(S(getcwd, 0, 100));
	O(S(chroot, PLACE "/z"));
	{
		char longest[5000];
		memset(longest, 'n', sizeof longest);
		longest[4999] = 0;
		O(open(longest, O_RDONLY));
		longest[300] = 0;
		O(open(longest, O_RDONLY));
		longest[255] = 0;
		O(open(longest, O_RDONLY));
	}
}

static void times(void)
{
	struct timespec both[2] = {{100, 5}, {200, 6}}, wrong[2] = {{0, -1}, {0, 0}}, omit[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	struct timeval old[2] = {{300, 1}, {400, 1000000}};
	struct stat state;
	int fd = open(PLACE "/a", O_RDWR | O_CREAT, 0644);
	O(S(utimensat, AT_FDCWD, PLACE "/a", both, 0));
	O(stat(PLACE "/a", &state));
	V(state.st_atim.tv_sec * 10 + state.st_atim.tv_nsec);
	V(state.st_mtim.tv_sec * 10 + state.st_mtim.tv_nsec);
	O(S(utimensat, AT_FDCWD, PLACE "/a", wrong, 0));
	O(S(utimensat, AT_FDCWD, PLACE "/a", both, 1));
	O(S(utimensat, AT_FDCWD, PLACE "/z", omit, 0));
	O(S(utimensat, AT_FDCWD, PLACE "/z", both, 0));
	O(S(utimensat, AT_FDCWD, 0, both, 0));
	O(S(utimensat, fd, 0, both, 0));
	O(S(utimensat, fd, 0, both, AT_SYMLINK_NOFOLLOW));
	O(S(utimensat, fd, "", both, AT_EMPTY_PATH));
	O(S(utimensat, 99, 0, both, 0));
	O(S(utimes, PLACE "/a", old));
	old[1].tv_usec = 2;
	O(S(utimes, PLACE "/a", old));
	O(S(futimesat, AT_FDCWD, PLACE "/a", old));
	O(S(utime, PLACE "/a", &(struct utimbuf){500, 600}));
	O(stat(PLACE "/a", &state));
	V(state.st_atime + state.st_mtime);
	O(S(utime, PLACE "/z", 0));
	close(fd);
}

static void states(void)
{
	unsigned state[64]; /* Older C libraries have no `struct statx`. */
	struct statfs system = { 0 };
	char value[100];
	int fd = open(PLACE "/a", O_RDWR | O_CREAT, 0644);
	O(S(statx, AT_FDCWD, PLACE "/a", 0, 0x7ff, &state));
	V((state[0] & 0x7ff) == 0x7ff);
	V(state[7] & 0xffff);
	O(S(statx, AT_FDCWD, PLACE "/a", 0, 0x80000000u, &state));
	O(S(statx, AT_FDCWD, PLACE "/a", 1, 0, &state));
	O(S(statx, AT_FDCWD, PLACE "/a", 0x6000, 0, &state));
	O(S(statx, fd, "", AT_EMPTY_PATH, 0, &state));
	O(S(statx, fd, "", 0, 0, &state));
	O(S(statx, 99, "", AT_EMPTY_PATH, 0, &state));
	O(S(statx, AT_FDCWD, PLACE "/a", 0, 0, 0));
	O(S(statfs, PLACE "/a", &system));
	V(system.f_namelen);
	V(system.f_bsize);
	O(S(statfs, PLACE "/z", &system));
	O(S(fstatfs, 99, &system));
	O(S(statfs, PLACE, 0));
	O(getxattr(PLACE "/a", "user.nothing", value, 100));
	O(listxattr(PLACE "/z", value, 100));
	O(S(inotify_init1, 0x40));
	O(S(signalfd4, -1, value, 4, 0));
	O(S(memfd_create, "x", 0x1000));
	O(S(fanotify_init, 0x80000000, 0));
	O(S(userfaultfd, 0x40000000));
	O(S(ustat, 0, 0));
	O(S(sysfs, 99, 0));
	O(S(quotactl, -1, 0, 0, 0));
	O(S(acct, PLACE "/z"));
	O(S(swapon, PLACE "/z", 0));
	O(S(mount, "none", PLACE "/z", "tmpfs", 0, 0));
	O(S(umount2, PLACE "/z", 0));
	O(S(pivot_root, PLACE "/z", PLACE "/z"));
	O(S(init_module, 0, 0, 0));
	O(S(reboot, 1, 2, 3, 0));
	O(S(sethostname, 0, -1));
	O(S(ioperm, -1, 1, 1));
	O(S(iopl, 4));
	O(S(syslog, 99, 0, 0));
	O(S(vhangup) == 7);
	O(S(ptrace, 99, 99999, 0, 0));
	O(S(kcmp, 99999, 99999, 0, 0, 0));
	O(S(process_vm_readv, 99999, 0, 0, 0, 0, 0));
	O(S(pidfd_open, 99999, 0));
	O(S(pidfd_open, 1, 0x40000000));
	O(S(setns, 99, 0));
	O(S(unshare, 0x1));
	O(S(bpf, 999, 0, 0));
	O(S(perf_event_open, 0, 0, 0, 0, 0));
	O(S(io_setup, 0, 0));
	O(S(io_destroy, 1));
	O(S(mq_open, 0, 0, 0, 0));
	O(S(shmget, 1, 0, 0));
	O(S(semget, 1, -1, 0));
	O(S(msgget, 12345, 0));
	O(S(add_key, 0, 0, 0, 0, 0));
	O(S(restart_syscall));
	O(S(rseq, 0, 0, 0, 0));
	O(S(get_robust_list, 99999, value, value));
	O(syscall(999));
	O(syscall(-1));
	close(fd);
	clean();
}

/* Mapping a file reads it, and a store into it is told in its times by the next msync. */
static void mapped_times(void)
{
	clean();
	mkdir(PLACE, 0755);
	int fd = open(PLACE "/a", O_RDWR | O_CREAT, 0644);
	struct timespec old[2] = { { 1000 }, { 2000 } };
	struct stat before, after;
	ftruncate(fd, 8192);
	O(futimens(fd, old));
	char *at = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	V(at != MAP_FAILED);
	fstat(fd, &before);
	V(before.st_atime > 1000);
	V(before.st_mtime);
	usleep(20000);
	at[5000] = 'x';
	O(msync(at, 8192, MS_SYNC));
	fstat(fd, &after);
	V(after.st_mtime > 2000);
	V(after.st_ctim.tv_sec > before.st_ctim.tv_sec || after.st_ctim.tv_nsec > before.st_ctim.tv_nsec);
	futimens(fd, old);
	O(mprotect(at, 8192, PROT_READ));
	O(msync(at, 4096, MS_ASYNC));
	fstat(fd, &after);
	V(after.st_mtime);
	char *copy = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	copy[0] = 'y';
	O(msync(copy, 4096, MS_SYNC));
	fstat(fd, &after);
	V(after.st_mtime);
	munmap(at, 8192), munmap(copy, 4096);
	close(fd);
	clean();
}

void file_groups(void)
{
	if (group("opens"))
		opens();
	if (group("transfers"))
		transfers();
	if (group("names"))
		names();
	if (group("file_times"))
		times();
	if (group("mapped_times"))
		mapped_times();
	if (group("states"))
		states();
}
