/* Pipes and named pipes, and what moves bytes between descriptors. */
#include "calls.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>

#ifndef SPLICE_F_MOVE
#define SPLICE_F_MOVE 1
#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_MORE 4
#define SPLICE_F_GIFT 8
#endif

#define PLACE "/tmp/calls-pipes"
#define FIFO PLACE "/fifo"

static int ready(int fd, int events)
{
	struct pollfd entry = {fd, events, 0};
	return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

static void pause_ms(int ms)
{
	struct timespec time = {0, ms * 1000000L};
	nanosleep(&time, 0);
}

static void *open_later(void *flags)
{
	pause_ms(30);
	return (void *)(long)open(FIFO, (int)(long)flags);
}

static void *write_later(void *fd)
{
	pause_ms(30);
	return (void *)write((int)(long)fd, "later", 5);
}

static void *close_later(void *fd)
{
	pause_ms(30);
	return (void *)(long)close((int)(long)fd);
}

static void nothing(int signal)
{
	(void)signal;
}

static void fifos(void)
{
	struct stat state;
	char buffer[70000];
	int a, b, c, left;
	pthread_t thread;
	void *other;
	unlink(FIFO), unlink(PLACE "/second"), rmdir(PLACE);
	mkdir(PLACE, 0755);
	umask(022);
	O(mkfifo(FIFO, 0666));
	O(mkfifo(FIFO, 0666));
	O(mkfifo(PLACE "/none/fifo", 0666));
	O(mkfifo("", 0666));
	O(mkfifoat(AT_FDCWD, PLACE "/second", 0600));
	O(mknod(PLACE "/third", S_IFIFO | 0640, 0));
	O(stat(PLACE "/third", &state));
	V(state.st_mode);
	O(unlink(PLACE "/third"));
	O(stat(FIFO, &state));
	V(state.st_mode);
	V(state.st_size);
	V(state.st_nlink);
	V(S_ISFIFO(state.st_mode));
	O(open(FIFO, O_WRONLY | O_NONBLOCK));
	O(open(FIFO, O_RDONLY | O_DIRECTORY));
	O(open(FIFO, O_CREAT | O_EXCL | O_RDWR, 0644));
	O(truncate(FIFO, 0));
	a = open(FIFO, O_RDONLY | O_NONBLOCK);
	V(a >= 0);
	V(ready(a, POLLIN | POLLOUT));
	O(read(a, buffer, 10));
	O(write(a, "x", 1));
	O(lseek(a, 0, SEEK_SET));
	O(pread(a, buffer, 1, 0));
	O(ftruncate(a, 0));
	O(fsync(a));
	O(fstat(a, &state));
	V(state.st_mode);
	V(fcntl(a, F_GETFL));
	O(fcntl(a, F_GETPIPE_SZ));
	b = open(FIFO, O_WRONLY | O_NONBLOCK);
	V(b >= 0);
	V(ready(a, POLLIN));
	V(ready(b, POLLOUT));
	O(read(a, buffer, 10));
	O(read(b, buffer, 10));
	O(write(b, "hello", 5));
	V(ready(a, POLLIN));
	O(ioctl(a, FIONREAD, &left));
	V(left);
	O(ioctl(b, FIONREAD, &left));
	V(left);
	O(read(a, buffer, 2));
	O(write(b, " world", 6));
	O(read(a, buffer, 100));
	V(buffer[0]);
	O(write(b, buffer, sizeof buffer));
	V(ready(b, POLLOUT));
	O(write(b, buffer, 1));
	O(read(a, buffer, 4095));
	V(ready(b, POLLOUT));
	O(read(a, buffer, 1));
	V(ready(b, POLLOUT));
	O(write(b, buffer, 10));
	O(close(b));
	V(ready(a, POLLIN));
	left = 0;
	for (int count; (count = read(a, buffer, sizeof buffer)) > 0;)
		left += count;
	V(left);
	V(ready(a, POLLIN));
	O(read(a, buffer, 10));
	b = open(FIFO, O_WRONLY);
	c = open(FIFO, O_WRONLY);
	V(b >= 0 && c >= 0);
	V(ready(a, POLLIN));
	O(write(c, "c", 1));
	O(write(b, "b", 1));
	O(close(c));
	V(ready(a, POLLIN));
	O(read(a, buffer, 10));
	O(read(a, buffer, 10));
	O(close(b));
	O(read(a, buffer, 10));
	b = open(FIFO, O_WRONLY);
	O(close(a));
	V(ready(b, POLLOUT));
	O(write(b, "x", 1));
	O(close(b));
	a = open(FIFO, O_RDWR);
	V(a >= 0);
	V(ready(a, POLLIN | POLLOUT));
	O(write(a, "both", 4));
	V(ready(a, POLLIN | POLLOUT));
	b = open(FIFO, O_WRONLY | O_NONBLOCK);
	V(b >= 0);
	O(write(b, "more", 4));
	O(close(b));
	O(read(a, buffer, 100));
	O(close(a));
	a = open(FIFO, O_RDONLY | O_NONBLOCK);
	O(read(a, buffer, 100));
	O(close(a));
	/* Opening waits for the other end. */
	pthread_create(&thread, 0, open_later, (void *)(long)O_WRONLY);
	a = open(FIFO, O_RDONLY);
	V(a >= 0);
	pthread_join(thread, &other);
	b = (long)other;
	V(b >= 0);
	O(write(b, "met", 3));
	O(read(a, buffer, 10));
	pthread_create(&thread, 0, write_later, (void *)(long)b);
	O(read(a, buffer, 10));
	pthread_join(thread, &other);
	pthread_create(&thread, 0, close_later, (void *)(long)b);
	O(read(a, buffer, 10));
	pthread_join(thread, &other);
	close(a);
	pthread_create(&thread, 0, open_later, (void *)(long)O_RDONLY);
	b = open(FIFO, O_WRONLY);
	V(b >= 0);
	pthread_join(thread, &other);
	a = (long)other;
	V(a >= 0);
	O(unlink(FIFO));
	O(write(b, "still", 5));
	O(read(a, buffer, 10));
	O(fstat(a, &state));
	V(state.st_nlink);
	close(a), close(b);
	O(open(FIFO, O_RDONLY | O_NONBLOCK));
	{
		struct sigaction action = {.sa_handler = nothing};
		struct itimerval value = {{0, 0}, {0, 30000}};
		sigaction(SIGALRM, &action, 0);
		setitimer(ITIMER_REAL, &value, 0);
		O(open(PLACE "/second", O_RDONLY));
		O(open(PLACE "/second", O_WRONLY | O_NONBLOCK));
		signal(SIGALRM, SIG_DFL);
	}
	a = open(PLACE "/second", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	V(fcntl(a, F_GETFD));
	O(fcntl(a, F_SETFL, 0));
	b = open(PLACE "/second", O_WRONLY);
	{
		int epoll = epoll_create1(0);
		struct epoll_event event = {EPOLLIN | EPOLLRDHUP, {.u64 = 5}}, found[4] = {{0}};
		O(epoll_ctl(epoll, EPOLL_CTL_ADD, a, &event));
		O(epoll_wait(epoll, found, 4, 0));
		O(write(b, "x", 1));
		O(epoll_wait(epoll, found, 4, 0));
		V(found[0].events);
		O(close(b));
		O(epoll_wait(epoll, found, 4, 0));
		V(found[0].events);
		close(epoll);
	}
	close(a);
	a = open(PLACE "/second", O_PATH);
	V(a >= 0);
	O(read(a, buffer, 1));
	O(fstat(a, &state));
	V(state.st_mode);
	close(a);
	O(rename(PLACE "/second", FIFO));
	O(link(FIFO, PLACE "/second"));
	O(stat(FIFO, &state));
	V(state.st_nlink);
	a = open(FIFO, O_RDONLY | O_NONBLOCK);
	b = open(PLACE "/second", O_WRONLY | O_NONBLOCK);
	O(write(b, "link", 4));
	O(read(a, buffer, 10));
	close(a), close(b);
	O(access(FIFO, R_OK | W_OK));
	O(access(FIFO, X_OK));
	O(chmod(FIFO, 0777));
	O(mknod(PLACE "/regular", S_IFREG | 0644, 0));
	O(stat(PLACE "/regular", &state));
	V(state.st_mode);
	O(mknod(PLACE "/plain", 0644, 0));
	O(stat(PLACE "/plain", &state));
	V(state.st_mode);
	O(mknod(PLACE "/directory", S_IFDIR | 0644, 0));
	O(mknod(PLACE "/link", S_IFLNK | 0644, 0));
	O(mknod(PLACE "/socket", S_IFSOCK | 0644, 0));
	O(stat(PLACE "/socket", &state));
	V(state.st_mode);
	O(open(PLACE "/socket", O_RDONLY));
	O(unlink(PLACE "/socket"));
	O(unlink(PLACE "/plain"));
	O(unlink(PLACE "/regular"));
	O(unlink(PLACE "/second"));
	O(unlink(FIFO));
	O(rmdir(PLACE));
}

static void pipes(void)
{
	int ends[2], left;
	static char buffer[1 << 20];
	struct iovec spans[3] = {{buffer, 3}, {buffer + 3, 0}, {buffer + 3, 5}};
	O(pipe2(ends, 0x1));
	O(pipe(0));
	O(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
	V(fcntl(ends[0], F_GETFL));
	V(fcntl(ends[1], F_GETFL));
	V(fcntl(ends[0], F_GETFD));
	O(fcntl(ends[0], F_GETPIPE_SZ));
	O(fcntl(ends[0], F_SETPIPE_SZ, 4096));
	O(fcntl(ends[1], F_GETPIPE_SZ));
	O(write(ends[1], buffer, 5000));
	O(write(ends[1], buffer, 1));
	O(ioctl(ends[0], FIONREAD, &left));
	V(left);
	O(fcntl(ends[0], F_SETPIPE_SZ, 20000));
	O(write(ends[1], buffer, 40000));
	O(fcntl(ends[0], F_SETPIPE_SZ, 4096));
	O(fcntl(ends[0], F_GETPIPE_SZ));
	O(read(ends[0], buffer, 100000));
	O(fcntl(ends[0], F_SETPIPE_SZ, 0));
	O(fcntl(ends[0], F_SETPIPE_SZ, 1));
	O(fcntl(ends[0], F_SETPIPE_SZ, 1 << 20));
	O(write(ends[1], buffer, 1 << 20));
	O(write(ends[1], buffer, 1));
	O(ioctl(ends[0], FIONREAD, &left));
	V(left);
	O(fcntl(ends[0], F_SETPIPE_SZ, -1));
	O(writev(ends[1], spans, 3));
	O(read(ends[0], buffer, 1 << 20));
	O(writev(ends[1], spans, 3));
	O(readv(ends[0], spans, 3));
	O(readv(ends[0], spans, 3));
	O(fcntl(99, F_GETPIPE_SZ));
	O(read(ends[0], buffer, 0));
	O(write(ends[1], buffer, 0));
	O(lseek(ends[0], 0, SEEK_CUR));
	O(fchmod(ends[0], 0600));
	O(fsync(ends[0]));
	O(fdatasync(ends[1]));
	O(ftruncate(ends[1], 0));
	O(close(ends[0]));
	O(write(ends[1], buffer, 0));
	O(write(ends[1], buffer, 1));
	O(close(ends[1]));
	/* Packets. */
	O(pipe2(ends, O_DIRECT | O_NONBLOCK));
	V(fcntl(ends[1], F_GETFL));
	O(write(ends[1], "first", 5));
	O(write(ends[1], "second", 6));
	O(write(ends[1], "third", 5));
	O(ioctl(ends[0], FIONREAD, &left));
	V(left);
	O(read(ends[0], buffer, 100));
	O(read(ends[0], buffer, 3));
	O(read(ends[0], buffer, 100));
	O(read(ends[0], buffer, 100));
	O(write(ends[1], buffer, 5000));
	O(read(ends[0], buffer, 10000));
	O(read(ends[0], buffer, 10000));
	O(writev(ends[1], spans, 3));
	O(read(ends[0], buffer, 100));
	O(fcntl(ends[1], F_SETFL, O_NONBLOCK));
	O(write(ends[1], "a", 1));
	O(write(ends[1], "b", 1));
	O(read(ends[0], buffer, 100));
	close(ends[0]), close(ends[1]);
	/* Packets by fcntl. */
	pipe2(ends, O_NONBLOCK);
	O(fcntl(ends[1], F_SETFL, O_NONBLOCK | O_DIRECT));
	O(write(ends[1], "a", 1));
	O(write(ends[1], "b", 1));
	O(read(ends[0], buffer, 100));
	close(ends[0]), close(ends[1]);
}

static int file_of(const char *name, const char *text)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (write(fd, text, strlen(text)) < 0)
		return -1;
	lseek(fd, 0, SEEK_SET);
	return fd;
}

static void shows(int fd)
{
	char buffer[64] = {0};
	long count = pread(fd, buffer, 60, 0);
	printf("%s: holds %ld: %s\n", group_name, count, buffer);
}

static void splices(void)
{
	char buffer[70000];
	int a[2], b[2], pair[2], left;
	off_t offset, other;
	struct iovec spans[2] = {{"vector", 6}, {" two", 4}}, into[1] = {{buffer, 100}};
	int file = file_of("/tmp/calls-splice", "0123456789"), target = file_of("/tmp/calls-target", "abcdefghijklmnopq");
	pipe2(a, O_NONBLOCK), pipe2(b, O_NONBLOCK), socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	O(splice(file, 0, a[1], 0, 4, 0));
	O(lseek(file, 0, SEEK_CUR));
	offset = 7;
	O(splice(file, &offset, a[1], 0, 100, 0));
	V(offset);
	O(lseek(file, 0, SEEK_CUR));
	O(splice(file, &offset, a[1], 0, 100, 0));
	O(ioctl(a[0], FIONREAD, &left));
	V(left);
	O(tee(a[0], b[1], 5, 0));
	O(ioctl(a[0], FIONREAD, &left));
	V(left);
	O(ioctl(b[0], FIONREAD, &left));
	V(left);
	O(tee(a[0], a[1], 5, 0));
	O(tee(a[1], b[0], 5, 0));
	O(tee(file, b[1], 5, 0));
	O(tee(99, b[1], 5, 0));
	O(tee(a[0], b[1], 0, 0));
	O(tee(a[0], b[1], 5, 0x100));
	O(splice(b[0], 0, a[1], 0, 3, SPLICE_F_NONBLOCK));
	O(splice(b[0], 0, b[1], 0, 3, 0));
	O(splice(a[0], 0, target, 0, 4, SPLICE_F_MOVE));
	shows(target);
	O(lseek(target, 0, SEEK_CUR));
	other = 10;
	O(splice(a[0], 0, target, &other, 3, SPLICE_F_MORE));
	V(other);
	shows(target);
	O(splice(a[0], &other, target, 0, 3, 0));
	O(splice(file, 0, target, 0, 3, 0));
	O(splice(99, 0, a[1], 0, 3, 0));
	O(splice(a[0], 0, 99, 0, 3, 0));
	O(splice(a[1], 0, target, 0, 3, 0));
	O(splice(file, 0, a[0], 0, 3, 0));
	O(splice(file, 0, a[1], 0, 0, 0));
	O(splice(file, 0, a[1], 0, 3, 0x100));
	offset = -1;
	O(splice(file, &offset, a[1], 0, 3, 0));
	O(read(a[0], buffer, 100));
	O(read(b[0], buffer, 100));
	O(splice(a[0], 0, target, 0, 3, 0));
	O(splice(a[0], 0, b[1], 0, 3, SPLICE_F_NONBLOCK));
	O(tee(a[0], b[1], 3, SPLICE_F_NONBLOCK));
	O(write(a[1], "to a socket", 11));
	O(splice(a[0], 0, pair[0], 0, 100, 0));
	O(read(pair[1], buffer, 100));
	O(write(pair[1], "from a socket", 13));
	O(splice(pair[0], 0, a[1], 0, 100, 0));
	O(splice(pair[0], 0, a[1], 0, 100, SPLICE_F_NONBLOCK));
	O(read(a[0], buffer, 100));
	O(vmsplice(a[1], spans, 2, 0));
	O(read(a[0], buffer, 100));
	O(vmsplice(a[1], spans, 2, SPLICE_F_GIFT));
	O(vmsplice(a[0], into, 1, 0));
	O(vmsplice(file, spans, 2, 0));
	O(vmsplice(99, spans, 2, 0));
	O(vmsplice(a[1], spans, 0, 0));
	O(vmsplice(a[1], spans, 2000, 0));
	O(vmsplice(a[1], spans, 2, 0x100));
	O(write(a[1], "x", 1));
	O(close(a[1]));
	O(splice(a[0], 0, b[1], 0, 10, 0));
	O(splice(a[0], 0, b[1], 0, 10, 0));
	O(tee(a[0], b[1], 10, 0));
	O(close(b[0]));
	O(write(pair[1], "lost", 4));
	O(splice(pair[0], 0, b[1], 0, 10, 0));
	close(a[0]), close(b[1]);
	{
		int append = open("/tmp/calls-target", O_WRONLY | O_APPEND);
		int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDONLY);
		pipe2(a, O_NONBLOCK);
		O(write(a[1], "append", 6));
		O(splice(a[0], 0, append, 0, 10, 0));
		O(splice(a[0], 0, null, 0, 10, 0));
		O(splice(zero, 0, a[1], 0, 10, 0));
		O(read(a[0], buffer, 100));
		close(append), close(null), close(zero), close(a[0]), close(a[1]);
	}
	{
		int whole = open("/tmp/calls-splice", O_RDWR);
		ftruncate(whole, 200000);
		pipe2(a, O_NONBLOCK);
		O(splice(whole, 0, a[1], 0, 200000, 0));
		O(splice(whole, 0, a[1], 0, 200000, 0));
		O(splice(whole, 0, a[1], 0, 200000, SPLICE_F_NONBLOCK));
		O(lseek(whole, 0, SEEK_CUR));
		close(whole), close(a[0]), close(a[1]);
	}
	close(file), close(target), close(pair[0]), close(pair[1]);
	unlink("/tmp/calls-splice"), unlink("/tmp/calls-target");
}

static void sendfiles(void)
{
	char buffer[100];
	off_t offset;
	int pair[2], ends[2], null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), folder = open("/tmp", O_RDONLY);
	int file = file_of("/tmp/calls-send", "0123456789"), target = file_of("/tmp/calls-target", "");
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), pipe2(ends, O_NONBLOCK);
	O(sendfile(pair[0], file, 0, 4));
	O(read(pair[1], buffer, 100));
	O(lseek(file, 0, SEEK_CUR));
	offset = 8;
	O(sendfile(pair[0], file, &offset, 40));
	V(offset);
	O(sendfile(pair[0], file, &offset, 40));
	O(read(pair[1], buffer, 100));
	O(sendfile(ends[1], file, 0, 40));
	O(read(ends[0], buffer, 100));
	O(sendfile(ends[1], file, 0, 40));
	offset = 0;
	O(sendfile(target, file, &offset, 40));
	shows(target);
	O(sendfile(null, file, &offset, 40));
	offset = 2;
	O(sendfile(null, file, &offset, 40));
	V(offset);
	O(sendfile(file, ends[0], 0, 5));
	O(write(ends[1], "piped", 5));
	O(sendfile(target, ends[0], 0, 5));
	O(sendfile(pair[0], ends[0], 0, 5));
	O(sendfile(target, pair[1], 0, 5));
	O(sendfile(target, zero, 0, 5));
	O(sendfile(target, folder, 0, 5));
	O(sendfile(folder, file, 0, 5));
	offset = 0;
	O(sendfile(target, ends[0], &offset, 5));
	O(sendfile(ends[0], file, &offset, 5));
	offset = 3;
	O(lseek(target, 3, SEEK_SET));
	O(sendfile(target, file, &offset, 2));
	O(lseek(target, 0, SEEK_CUR));
	shows(target);
	offset = 0;
	O(sendfile(file, file, &offset, 5));
	shows(file);
	O(sendfile(99, 98, &offset, 5));
	O(sendfile(pair[0], file, (off_t *)8, 5));
	O(sendfile(pair[0], file, &offset, 0));
	close(pair[1]);
	offset = 0;
	O(sendfile(pair[0], file, &offset, 5));
	{
		int reads = open("/tmp/calls-send", O_RDONLY), writes = open("/tmp/calls-send", O_WRONLY);
		O(sendfile(reads, file, &offset, 5));
		O(sendfile(null, writes, &offset, 5));
		O(copy_file_range(writes, 0, target, 0, 5, 0));
		O(copy_file_range(file, 0, reads, 0, 5, 0));
		O(copy_file_range(file, 0, null, 0, 5, 0));
		O(copy_file_range(null, 0, file, 0, 5, 0));
		O(copy_file_range(ends[0], 0, target, 0, 5, 0));
		O(copy_file_range(folder, 0, target, 0, 5, 0));
		close(reads), close(writes);
	}
	{
		off_t from = 2, to = 20;
		O(copy_file_range(file, &from, target, &to, 5, 0));
		V(from);
		V(to);
		from = 100;
		O(copy_file_range(file, &from, target, &to, 5, 0));
		from = 0, to = 5;
		O(copy_file_range(file, &from, file, &to, 3, 0));
		shows(file);
		from = 0, to = 2;
		O(copy_file_range(file, &from, file, &to, 3, 0));
		from = -1;
		O(copy_file_range(file, &from, file, &to, 3, 0));
		O(copy_file_range(file, (off_t *)8, file, &to, 3, 0));
		O(lseek(file, 2, SEEK_SET));
		O(lseek(target, 0, SEEK_SET));
		O(copy_file_range(file, 0, target, 0, 3, 0));
		O(lseek(file, 0, SEEK_CUR));
		O(lseek(target, 0, SEEK_CUR));
		O(copy_file_range(file, 0, target, 0, 0, 0));
		O(copy_file_range(file, 0, target, 0, -1, 0));
	}
	close(file), close(target), close(null), close(zero), close(folder), close(pair[0]), close(ends[0]), close(ends[1]);
	unlink("/tmp/calls-send"), unlink("/tmp/calls-target");
}

void pipe_groups(void)
{
	if (group("fifos"))
		fifos();
	if (group("pipe_sizes"))
		pipes();
	if (group("splices"))
		splices();
	if (group("sendfiles"))
		sendfiles();
}
