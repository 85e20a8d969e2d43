/* inotify: what is told of files and folders. */
#include "calls.h"
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>

#define PLACE "/tmp/calls-watches"

static int notes;

/* Prints the events there are; cookies are told by whether they repeat. */
static void told(const char *after)
{
	static char buffer[65536] __attribute__((aligned(8)));
	unsigned last = 0;
	long count = read(notes, buffer, sizeof buffer);
	printf("%s: after %s: %ld\n", group_name, after, count < 0 ? -errno : 0L);
	for (long at = 0; at < count;) {
		struct inotify_event *event = (void *)(buffer + at);
		printf("%s:   watch %d mask %x cookie %s name %s length %u\n", group_name, event->wd, event->mask,
			!event->cookie ? "none" : event->cookie == last ? "same" : "new", event->len ? event->name : "-", event->len);
		last = event->cookie;
		at += sizeof *event + event->len;
	}
}

/* A step and what is told of it. */
#define W(call) \
	do { \
		errno = 0; \
		long answer_ = (long)(call); \
		printf("%s: %s: %ld %d\n", group_name, #call, answer_, answer_ == -1 ? errno : 0); \
		told(#call); \
	} while (0)

static void clean(void)
{
	static const char *const names[] = {"/a", "/b", "/c", "/d/x", "/d/y", "/l", "/f", "/long-name-of-a-file-that-is-longer-than-a-block"};
	for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
		char path[200];
		sprintf(path, PLACE "%s", names[i]);
		unlink(path);
	}
	rmdir(PLACE "/d"), rmdir(PLACE "/e"), rmdir(PLACE);
}

static void watches(void)
{
	char buffer[100];
	int folder, file, fd, left;
	struct stat state;
	clean();
	mkdir(PLACE, 0755);
	O(inotify_init1(0x1));
	notes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	V(notes >= 0);
	V(fcntl(notes, F_GETFL));
	V(fcntl(notes, F_GETFD));
	O(fstat(notes, &state));
	V(state.st_mode & S_IFMT);
	O(read(notes, buffer, 100));
	O(read(notes, buffer, 0));
	O(write(notes, buffer, 1));
	O(lseek(notes, 0, SEEK_SET));
	O(inotify_add_watch(notes, PLACE "/none", IN_ALL_EVENTS));
	O(inotify_add_watch(notes, PLACE, 0));
	O(inotify_add_watch(99, PLACE, IN_CREATE));
	O(inotify_add_watch(0, PLACE, IN_CREATE));
	O(inotify_add_watch(notes, 0, IN_CREATE));
	O(inotify_add_watch(notes, "", IN_CREATE));
	O(inotify_add_watch(notes, PLACE, IN_ISDIR));
	O(inotify_rm_watch(notes, 99));
	O(inotify_rm_watch(99, 1));
	O(inotify_rm_watch(0, 1));
	folder = inotify_add_watch(notes, PLACE, IN_ALL_EVENTS);
	V(folder);
	O(inotify_add_watch(notes, PLACE, IN_ALL_EVENTS));
	O(inotify_add_watch(notes, PLACE "/.", IN_ALL_EVENTS | IN_MASK_CREATE));
	O(inotify_add_watch(notes, PLACE, IN_ALL_EVENTS | IN_MASK_CREATE | IN_MASK_ADD));
	told("nothing");
	W((fd = open(PLACE "/a", O_CREAT | O_RDWR, 0644)) >= 0);
	O(ioctl(notes, FIONREAD, &left));
	V(left);
	W(write(fd, "hello", 5));
	W(pwrite(fd, "x", 1, 3));
	W(read(fd, buffer, 0));
	W(pread(fd, buffer, 10, 0));
	W(read(fd, buffer, 10));
	W(read(fd, buffer, 10));
	W(ftruncate(fd, 3));
	W(ftruncate(fd, 3));
	W(fchmod(fd, 0600));
	W(fchown(fd, 0, 0));
	W(futimens(fd, 0));
	W(fsync(fd));
	W(fallocate(fd, 0, 0, 10));
	W(close(fd));
	W(close(open(PLACE "/a", O_RDONLY)));
	W(close(open(PLACE "/a", O_RDWR | O_TRUNC)));
	W(close(open(PLACE "/a", O_WRONLY)));
	W(close(open(PLACE "/a", O_PATH)));
	W(open(PLACE "/none", O_RDONLY));
	W(stat(PLACE "/a", &state));
	W(access(PLACE "/a", R_OK));
	W(truncate(PLACE "/a", 100));
	W(chmod(PLACE "/a", 0644));
	W(chown(PLACE "/a", 1, 1));
	W(utime(PLACE "/a", 0));
	W(utimensat(AT_FDCWD, PLACE "/a", (struct timespec[2]){{5, 0}, {0, UTIME_OMIT}}, 0));
	W(utimensat(AT_FDCWD, PLACE "/a", (struct timespec[2]){{0, UTIME_OMIT}, {5, 0}}, 0));
	W(chmod(PLACE, 0755));
	W(link(PLACE "/a", PLACE "/b"));
	W(unlink(PLACE "/b"));
	W(symlink("a", PLACE "/l"));
	W(readlink(PLACE "/l", buffer, 100));
	W(close(open(PLACE "/l", O_RDONLY)));
	W(unlink(PLACE "/l"));
	W(mkdir(PLACE "/d", 0755));
	W(rename(PLACE "/a", PLACE "/b"));
	W(rename(PLACE "/b", PLACE "/d/x"));
	W(rename(PLACE "/d/x", PLACE "/c"));
	W(mkfifo(PLACE "/f", 0644));
	W(unlink(PLACE "/f"));
	fd = open(PLACE, O_RDONLY);
	told("opening the folder");
	W(S(getdents64, fd, buffer, 100));
	W(close(fd));
	W(rename(PLACE "/c", PLACE "/long-name-of-a-file-that-is-longer-than-a-block"));
	W(rename(PLACE "/long-name-of-a-file-that-is-longer-than-a-block", PLACE "/c"));
	W(rmdir(PLACE "/d"));
	W(rmdir(PLACE "/d"));
	/* A file. */
	O(inotify_rm_watch(notes, folder));
	told("removing the watch");
	O(inotify_rm_watch(notes, folder));
	W(close(open(PLACE "/c", O_RDONLY)));
	file = inotify_add_watch(notes, PLACE "/c", IN_ALL_EVENTS);
	V(file);
	W((fd = open(PLACE "/c", O_RDWR)) >= 0);
	W(write(fd, "x", 1));
	W(link(PLACE "/c", PLACE "/b"));
	W(rename(PLACE "/b", PLACE "/a"));
	W(unlink(PLACE "/a"));
	W(unlink(PLACE "/c"));
	W(write(fd, "x", 1));
	W(close(fd));
	O(inotify_rm_watch(notes, file));
	/* Flags. */
	O(close(creat(PLACE "/a", 0644)));
	O(inotify_add_watch(notes, PLACE "/a", IN_OPEN | IN_ONLYDIR));
	O(inotify_add_watch(notes, PLACE, IN_OPEN | IN_ONLYDIR));
	O(inotify_rm_watch(notes, 3));
	told("one for folders");
	O(inotify_add_watch(notes, PLACE "/a", IN_OPEN | IN_ONESHOT));
	W(close(open(PLACE "/a", O_RDONLY)));
	W(close(open(PLACE "/a", O_RDONLY)));
	O(inotify_add_watch(notes, PLACE "/a", IN_OPEN));
	O(inotify_add_watch(notes, PLACE "/a", IN_MODIFY | IN_MASK_ADD));
	W(close(open(PLACE "/a", O_RDWR | O_TRUNC)));
	O(inotify_add_watch(notes, PLACE "/a", IN_ATTRIB));
	W(close(open(PLACE "/a", O_RDWR | O_TRUNC)));
	W(chmod(PLACE "/a", 0600));
	O(symlink("a", PLACE "/l"));
	O(inotify_add_watch(notes, PLACE "/l", IN_ALL_EVENTS | IN_DONT_FOLLOW));
	W(unlink(PLACE "/l"));
	O(unlink(PLACE "/a"));
	told("the end of a file");
	/* Moves between watched folders. */
	O(mkdir(PLACE "/d", 0755));
	O(close(creat(PLACE "/a", 0644)));
	V(inotify_add_watch(notes, PLACE, IN_MOVE | IN_MOVE_SELF | IN_DELETE_SELF | IN_DELETE) > 0);
	V(inotify_add_watch(notes, PLACE "/d", IN_MOVE | IN_MOVE_SELF | IN_DELETE_SELF | IN_CREATE) > 0);
	W(rename(PLACE "/a", PLACE "/d/x"));
	W(rename(PLACE "/d", PLACE "/e"));
	O(close(creat(PLACE "/b", 0644)));
	W(rename(PLACE "/b", PLACE "/e/x"));
	O(close(creat(PLACE "/b", 0644)));
	W(S(renameat2, AT_FDCWD, PLACE "/b", AT_FDCWD, PLACE "/e/x", 2));
	W(unlink(PLACE "/e/x"));
	W(unlink(PLACE "/b"));
	W(rmdir(PLACE "/e"));
	W(rmdir(PLACE));
	close(notes);
}

static void watch_waits(void)
{
	char buffer[4096] __attribute__((aligned(8)));
	int left, again, first, second, epoll = epoll_create1(0);
	struct epoll_event event = {EPOLLIN, {.u64 = 7}}, found[2] = {{0}};
	clean();
	mkdir(PLACE, 0755);
	notes = inotify_init1(IN_NONBLOCK);
	again = inotify_init();
	V(fcntl(again, F_GETFL));
	first = inotify_add_watch(notes, PLACE, IN_CREATE | IN_DELETE);
	V(first);
	second = inotify_add_watch(again, PLACE, IN_DELETE);
	V(second);
	struct pollfd entry = {notes, POLLIN | POLLOUT, 0};
	O(poll(&entry, 1, 0));
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, notes, &event));
	O(epoll_wait(epoll, found, 2, 0));
	O(close(creat(PLACE "/a", 0644)));
	O(poll(&entry, 1, 0));
	V(entry.revents);
	O(epoll_wait(epoll, found, 2, 0));
	V(found[0].events);
	O(ioctl(notes, FIONREAD, &left));
	V(left);
	O(read(notes, buffer, 15));
	O(read(notes, buffer, 16));
	O(read(notes, buffer, 31));
	O(close(creat(PLACE "/b", 0644)));
	O(close(creat(PLACE "/long-name-of-a-file-that-is-longer-than-a-block", 0644)));
	O(ioctl(notes, FIONREAD, &left));
	V(left);
	O(read(notes, buffer, 40));
	O(read(notes, buffer, 40));
	O(read(notes, buffer, 80));
	O(read(notes, buffer, 80));
	O(epoll_wait(epoll, found, 2, 0));
	O(unlink(PLACE "/a"));
	O(read(again, buffer, 100));
	/* Equal events in a row are one. */
	O(inotify_add_watch(notes, PLACE "/b", IN_MODIFY));
	int fd = open(PLACE "/b", O_WRONLY);
	for (int i = 0; i < 5; i++)
		write(fd, "x", 1);
	told("five writes");
	close(fd);
	/* More than the queue takes. */
	O(inotify_rm_watch(notes, 2));
	told("removing");
	O(inotify_add_watch(notes, PLACE, IN_CREATE | IN_DELETE));
	for (int i = 0; i < 16600; i++) {
		if (i % 2)
			unlink(PLACE "/c");
		else
			close(creat(PLACE "/c", 0644));
	}
	long count, events = 0, overflows = 0;
	while ((count = read(notes, buffer, sizeof buffer)) > 0)
		for (long at = 0; at < count;) {
			struct inotify_event *one = (void *)(buffer + at);
			events++;
			if (one->mask & IN_Q_OVERFLOW)
				overflows += one->wd;
			at += sizeof *one + one->len;
		}
	V(events);
	V(overflows);
	O(close(notes));
	O(unlink(PLACE "/b"));
	close(again), close(epoll);
	clean();
}

void watch_groups(void)
{
	if (group("watches"))
		watches();
	if (group("watch_waits"))
		watch_waits();
}
