/* Local datagrams and packets, descriptors and credentials passed over local sockets, and several messages by one call. */
#include "calls.h"
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define PLACE "/tmp/calls-messages"
#define SA(name) (struct sockaddr *)&(name)

static struct sockaddr_un path(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, PLACE "/%s", name);
	return address;
}

/* An abstract name; its length includes nothing after it. */
static struct sockaddr_un hidden(const char *name, socklen_t *bytes)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, name, strlen(name));
	*bytes = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
	return address;
}

/* What a name of a local socket is, without the digits that differ from run to run. */
static void show(const char *what, long answer, struct sockaddr_un *name, socklen_t bytes)
{
	if (answer == -1) {
		printf("%s: %s = error %d\n", group_name, what, errno);
		return;
	}
	printf("%s: %s = %ld, %d bytes, family %d, ", group_name, what, answer, (int)bytes, bytes >= 2 ? name->sun_family : -1);
	if (bytes <= 2)
		printf("no name\n");
	else if (!name->sun_path[0])
		printf("abstract, %d\n", (int)bytes - 3);
	else
		printf("%.*s\n", (int)bytes - 2, name->sun_path);
}

static void own_name(const char *what, int fd)
{
	struct sockaddr_un name = {0};
	socklen_t bytes = sizeof name;
	errno = 0;
	long answer = getsockname(fd, SA(name), &bytes);
	show(what, answer, &name, bytes);
}

static void peer_name(const char *what, int fd)
{
	struct sockaddr_un name = {0};
	socklen_t bytes = sizeof name;
	errno = 0;
	long answer = getpeername(fd, SA(name), &bytes);
	show(what, answer, &name, bytes);
}

static void from(const char *what, int fd, int flags)
{
	struct sockaddr_un name = {.sun_family = 99};
	socklen_t bytes = sizeof name;
	char buffer[64];
	errno = 0;
	long answer = recvfrom(fd, buffer, sizeof buffer, flags, SA(name), &bytes);
	show(what, answer, &name, bytes);
}

static int polled(int fd)
{
	struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t bytes = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) ? -errno : value;
}

static int pending(int fd, int request)
{
	int value = -1;
	return ioctl(fd, request, &value) ? -errno : value;
}

static int bound(int type, const char *name)
{
	struct sockaddr_un address = path(name);
	int fd = socket(AF_UNIX, type, 0);
	unlink(address.sun_path);
	if (bind(fd, SA(address), sizeof address))
		perror(name);
	return fd;
}

static void sorts(void)
{
	int fd, pair[2];
	for (int type = 0; type <= 11; type++) {
		errno = 0;
		fd = socket(AF_UNIX, type, 0);
		printf("%s: type %d = %d, is %d\n", group_name, type, fd < 0 ? -errno : 0, fd < 0 ? 0 : option(fd, SO_TYPE));
		close(fd);
		errno = 0;
		int answer = socketpair(AF_UNIX, type, 0, pair);
		printf("%s: pair %d = %d\n", group_name, type, answer ? -errno : 0);
		if (!answer)
			close(pair[0]), close(pair[1]);
	}
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	O(fcntl(fd, F_GETFL));
	O(fcntl(fd, F_GETFD));
	O(option(fd, SO_DOMAIN));
	O(option(fd, SO_PROTOCOL));
	O(option(fd, SO_ACCEPTCONN));
	O(option(fd, SO_ERROR));
	O(option(fd, SO_SNDBUF));
	O(option(fd, SO_RCVBUF));
	O(option(fd, SO_PASSCRED));
	V(polled(fd));
	O(listen(fd, 5));
	O(accept(fd, 0, 0));
	O(shutdown(fd, SHUT_RD));
	V(polled(fd));
	O(shutdown(fd, SHUT_RDWR));
	V(polled(fd));
	own_name("new", fd);
	peer_name("new peer", fd);
	close(fd);
	OK(close(socket(AF_UNIX, SOCK_DGRAM, 1)));
	O(socket(AF_UNIX, SOCK_SEQPACKET, 2));
	O(socketpair(AF_UNIX, SOCK_DGRAM, 0, 0));
}

static void local_datagrams(void)
{
	struct sockaddr_un server = path("server"), client = path("client"), other = path("nothing"), name;
	socklen_t bytes;
	char buffer[100];
	int s = bound(SOCK_DGRAM, "server"), c = socket(AF_UNIX, SOCK_DGRAM, 0), o, stream;
	O(bind(s, SA(server), sizeof server));
	O(send(c, "x", 1, 0));
	O(write(c, "x", 1));
	O(sendto(c, "hello", 5, 0, SA(server), sizeof server));
	O(pending(s, FIONREAD));
	O(pending(c, FIONREAD));
	O(pending(c, TIOCOUTQ));
	V(polled(s));
	V(polled(c));
	from("unnamed", s, 0);
	O(pending(c, TIOCOUTQ));
	own_name("sender", c);
	unlink(client.sun_path);
	O(bind(c, SA(client), sizeof client));
	own_name("client", c);
	O(sendto(c, "named", 5, 0, SA(server), sizeof server));
	from("named", s, MSG_PEEK);
	from("named", s, 0);
	from("nothing", s, MSG_DONTWAIT);
	O(sendto(c, "x", 1, 0, SA(other), sizeof other));
	O(sendto(c, "x", 1, 0, SA(other), 2));
	O(sendto(c, "x", 1, 0, SA(other), 1));
	O(sendto(c, "x", 1, 0, SA(other), 120));
	strcpy(other.sun_path, "/dev/null");
	O(sendto(c, "x", 1, 0, SA(other), sizeof other));
	other.sun_family = AF_INET;
	O(sendto(c, "x", 1, 0, SA(other), sizeof other));
	other.sun_family = AF_UNSPEC;
	O(sendto(c, "x", 1, 0, SA(other), sizeof other));
	O(sendto(c, "x", 1, MSG_OOB, SA(server), sizeof server));
	O(recv(s, buffer, 1, MSG_OOB | MSG_DONTWAIT));
	O(recv(s, buffer, 1, MSG_ERRQUEUE | MSG_DONTWAIT));
	/* A socket of another kind has the name. */
	stream = bound(SOCK_STREAM, "stream");
	other = path("stream");
	O(sendto(c, "x", 1, 0, SA(other), sizeof other));
	O(connect(c, SA(other), sizeof other));
	O(listen(stream, 1));
	o = socket(AF_UNIX, SOCK_STREAM, 0);
	O(connect(o, SA(server), sizeof server));
	close(o);
	o = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	O(connect(o, SA(server), sizeof server));
	O(connect(o, SA(other), sizeof other));
	close(o);
	close(stream);
	/* Connected. */
	O(connect(c, SA(server), 1));
	O(connect(c, SA(server), 2));
	O(connect(c, SA(server), sizeof server));
	peer_name("connected", c);
	O(send(c, "one", 3, 0));
	O(write(c, "three", 5));
	O(send(c, "", 0, 0));
	O(pending(s, FIONREAD));
	O(recv(s, buffer, 2, 0));
	O(recv(s, buffer, 2, MSG_TRUNC));
	V(polled(s));
	O(pending(s, FIONREAD));
	O(recv(s, buffer, 100, 0));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	O(send(c, "", 0, 0));
	O(read(s, buffer, 100));
	O(send(c, "abc", 3, 0));
	O(read(s, buffer, 0));
	O(recv(s, buffer, 0, 0));
	O(recv(s, buffer, 10, MSG_DONTWAIT));
	O(sendto(s, "back", 4, 0, SA(client), sizeof client));
	from("back", c, 0);
	o = bound(SOCK_DGRAM, "stranger");
	O(sendto(o, "x", 1, 0, SA(client), sizeof client));
	O(connect(o, SA(client), sizeof client));
	O(sendto(c, "elsewhere", 9, 0, SA(server), sizeof server));
	name = path("stranger");
	O(sendto(c, "elsewhere", 9, 0, SA(name), sizeof name));
	from("elsewhere", o, MSG_DONTWAIT);
	O(connect(c, SA(name), sizeof name));
	peer_name("again", c);
	O(sendto(s, "x", 1, 0, SA(client), sizeof client));
	name.sun_family = AF_UNSPEC;
	O(connect(c, SA(name), sizeof name));
	peer_name("nobody", c);
	O(send(c, "x", 1, 0));
	O(connect(c, SA(server), sizeof server));
	/* The peer goes. */
	close(s);
	peer_name("gone", c);
	V(polled(c));
	O(recv(c, buffer, 1, MSG_DONTWAIT));
	O(send(c, "x", 1, 0));
	O(send(c, "x", 1, 0));
	peer_name("left", c);
	O(connect(c, SA(server), sizeof server));
	O(sendto(c, "x", 1, 0, SA(server), sizeof server));
	O(unlink(server.sun_path));
	O(sendto(c, "x", 1, 0, SA(server), sizeof server));
	/* To itself. */
	O(sendto(c, "self", 4, 0, SA(client), sizeof client));
	from("self", c, 0);
	O(connect(c, SA(client), sizeof client));
	O(send(c, "self", 4, 0));
	from("self", c, 0);
	close(o);
	close(c);
	unlink(client.sun_path), unlink(PLACE "/stranger"), unlink(PLACE "/stream");
	/* Names that no file has, of each kind its own. */
	name = hidden("calls-test", &bytes);
	s = socket(AF_UNIX, SOCK_DGRAM, 0), stream = socket(AF_UNIX, SOCK_STREAM, 0), c = socket(AF_UNIX, SOCK_DGRAM, 0);
	O(bind(s, SA(name), bytes));
	own_name("abstract", s);
	O(bind(c, SA(name), bytes));
	O(bind(stream, SA(name), bytes));
	O(sendto(c, "x", 1, 0, SA(name), bytes));
	O(sendto(c, "x", 1, 0, SA(name), bytes + 1));
	from("from unnamed", s, 0);
	O(bind(c, SA(name), 2));
	own_name("by itself", c);
	O(sendto(c, "x", 1, 0, SA(name), bytes));
	from("from one by itself", s, 0);
	O(listen(stream, 1));
	o = socket(AF_UNIX, SOCK_STREAM, 0);
	O(connect(o, SA(name), bytes));
	{
		int accepted = accept(stream, 0, 0);
		own_name("accepted", accepted);
		close(stream);
		stream = socket(AF_UNIX, SOCK_STREAM, 0);
		/* The connection is no owner of the name. */
		O(bind(stream, SA(name), bytes));
		close(accepted);
	}
	close(o), close(s), close(c), close(stream);
}

static void local_limits(void)
{
	static char large[300000];
	struct sockaddr_un server = path("server");
	int s = bound(SOCK_DGRAM, "server"), c = socket(AF_UNIX, SOCK_DGRAM, 0), pair[2], count, size;
	struct timeval limit = {0, 50000};
	socklen_t bytes = sizeof size;
	for (count = 0; count < 1000 && sendto(c, "x", 1, MSG_DONTWAIT, SA(server), sizeof server) == 1; count++)
		;
	V(count);
	V(errno);
	V(polled(c));
	O(connect(c, SA(server), sizeof server));
	V(polled(c));
	O(setsockopt(c, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
	O(send(c, "x", 1, 0));
	O(recv(s, large, 1, 0));
	V(polled(c));
	O(send(c, "x", 1, 0));
	O(send(c, "x", 1, MSG_DONTWAIT));
	for (count = 0; recv(s, large, 1, MSG_DONTWAIT) == 1; count++)
		;
	V(count);
	O(send(c, large, 212992 - 32, MSG_DONTWAIT));
	O(recv(s, large, sizeof large, MSG_DONTWAIT));
	O(send(c, large, 212992 - 31, MSG_DONTWAIT));
	close(s), close(c);
	unlink(server.sun_path);
	for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
		static const int sizes[] = {1, 100, 1000, 4000, 20000, 100000};
		if (type == SOCK_RAW || type == SOCK_RDM || type == SOCK_STREAM)
			continue;
		for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair);
			for (count = 0; count < 5000 && send(pair[0], large, sizes[i], 0) == sizes[i]; count++)
				;
			printf("%s: type %d, %d bytes: %d before %d, poll %x, unsent %d\n", group_name, type, sizes[i], count, errno,
				polled(pair[0]), pending(pair[0], TIOCOUTQ));
			recv(pair[1], large, sizeof large, 0);
			printf("%s: poll %x\n", group_name, polled(pair[0]));
			close(pair[0]), close(pair[1]);
		}
	}
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	size = 10000;
	O(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size));
	O(getsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, &bytes));
	V(size);
	O(send(pair[0], large, 20000 - 32, MSG_DONTWAIT));
	O(send(pair[0], large, 20000 - 31, MSG_DONTWAIT));
	O(recv(pair[1], large, sizeof large, 0));
	close(pair[0]), close(pair[1]);
}

static void local_packets(void)
{
	struct sockaddr_un server = path("packets"), client = path("client");
	int l = bound(SOCK_SEQPACKET, "packets"), c = socket(AF_UNIX, SOCK_SEQPACKET, 0), s, pair[2];
	char buffer[100];
	struct iovec spans[2] = {{buffer, 2}, {buffer + 50, 3}};
	struct msghdr message = {.msg_iov = spans, .msg_iovlen = 2};
	V(polled(l));
	V(polled(c));
	O(send(c, "x", 1, 0));
	O(recv(c, buffer, 1, MSG_DONTWAIT));
	O(read(c, buffer, 1));
	O(accept(l, 0, 0));
	O(connect(c, SA(server), sizeof server));
	O(listen(l, 1));
	O(option(l, SO_ACCEPTCONN));
	unlink(client.sun_path);
	O(bind(c, SA(client), sizeof client));
	O(connect(c, SA(server), sizeof server));
	O(connect(c, SA(server), sizeof server));
	V(polled(l));
	V(polled(c));
	O(send(c, "before", 6, 0));
	s = accept(l, 0, 0);
	V(s >= 0);
	own_name("accepted", s);
	peer_name("accepted peer", s);
	V(polled(s));
	from("before", s, 0);
	V(polled(s));
	O(send(c, "abc", 3, 0));
	O(send(c, "defgh", 5, MSG_EOR));
	O(write(c, "", 0));
	O(pending(s, FIONREAD));
	O(recvmsg(s, &message, 0));
	V(message.msg_flags);
	spans[1].iov_len = 1;
	O(recvmsg(s, &message, MSG_PEEK));
	V(message.msg_flags);
	O(recvmsg(s, &message, MSG_TRUNC));
	V(message.msg_flags);
	O(recv(s, buffer, 10, 0));
	O(recv(s, buffer, 10, MSG_DONTWAIT));
	O(sendto(c, "named", 5, 0, SA(server), sizeof server));
	O(recv(s, buffer, 10, MSG_WAITALL));
	O(writev(c, (struct iovec[]){{"12", 2}, {"345", 3}}, 2));
	O(readv(s, spans, 2));
	O(recv(s, buffer, 10, MSG_DONTWAIT));
	O(send(s, "to client", 9, 0));
	from("to client", c, 0);
	O(shutdown(c, SHUT_WR));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	V(polled(s));
	V(polled(c));
	O(recv(s, buffer, 10, 0));
	O(send(s, "still", 5, 0));
	O(recv(c, buffer, 10, 0));
	O(send(s, "unread", 6, 0));
	close(c);
	V(polled(s));
	O(option(s, SO_ERROR));
	O(recv(s, buffer, 10, 0));
	O(send(s, "x", 1, MSG_NOSIGNAL));
	close(s), close(l);
	unlink(server.sun_path), unlink(client.sun_path);
	for (int type = SOCK_DGRAM; type <= SOCK_SEQPACKET; type += SOCK_SEQPACKET - SOCK_DGRAM) {
		socketpair(AF_UNIX, type, 0, pair);
		own_name("pair", pair[0]);
		peer_name("pair peer", pair[0]);
		V(polled(pair[0]));
		O(send(pair[0], "one", 3, 0));
		O(send(pair[0], "two", 3, 0));
		from("pair", pair[1], 0);
		close(pair[0]);
		V(polled(pair[1]));
		O(recv(pair[1], buffer, 10, MSG_DONTWAIT));
		O(recv(pair[1], buffer, 10, MSG_DONTWAIT));
		O(send(pair[1], "x", 1, MSG_NOSIGNAL));
		O(send(pair[1], "x", 1, MSG_NOSIGNAL));
		V(polled(pair[1]));
		close(pair[1]);
		socketpair(AF_UNIX, type, 0, pair);
		O(send(pair[0], "left", 4, 0));
		close(pair[1]);
		V(polled(pair[0]));
		O(recv(pair[0], buffer, 10, MSG_DONTWAIT));
		O(recv(pair[0], buffer, 10, MSG_DONTWAIT));
		O(send(pair[0], "x", 1, MSG_NOSIGNAL));
		close(pair[0]);
		socketpair(AF_UNIX, type, 0, pair);
		O(send(pair[0], "left", 4, 0));
		O(shutdown(pair[1], SHUT_RD));
		V(polled(pair[1]));
		O(send(pair[0], "x", 1, MSG_NOSIGNAL));
		O(recv(pair[1], buffer, 10, 0));
		O(recv(pair[1], buffer, 10, 0));
		O(recv(pair[1], buffer, 10, MSG_DONTWAIT));
		O(read(pair[1], buffer, 10));
		close(pair[0]), close(pair[1]);
	}
}

/* Sends a byte and descriptors. */
static long pass(int fd, const int *fds, int count, int flags)
{
	union { char room[CMSG_SPACE(300 * sizeof(int))]; struct cmsghdr header; } control = {{0}};
	struct iovec span = {"p", 1};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	/* The C library of an image copies control messages, and not many. */
	return S(sendmsg, fd, &message, flags);
}

/* Receives up to `room` bytes with control messages in `space` bytes, and says what came; the first descriptor. */
static int take(const char *what, int fd, int room, int space, int flags)
{
	static union { char room[4096]; struct cmsghdr header; } control;
	char buffer[64];
	int first = -1, last = -1, count = 0;
	struct iovec span = {buffer, room};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = space ? &control : 0, .msg_controllen = space};
	errno = 0;
	long got = recvmsg(fd, &message, flags);
	printf("%s: %s: recvmsg = %ld, flags %x, control %d\n", group_name, what, got < 0 ? -errno : got, got < 0 ? 0 : message.msg_flags,
		got < 0 ? 0 : (int)message.msg_controllen);
	if (got < 0)
		return -1;
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
		printf("%s: %s: level %d type %d, %d bytes\n", group_name, what, each->cmsg_level, each->cmsg_type, (int)each->cmsg_len);
		if (each->cmsg_type == SCM_CREDENTIALS && each->cmsg_len >= CMSG_LEN(12)) {
			struct ucred *who = (void *)CMSG_DATA(each);
			printf("%s: %s: own process %d, user %d, group %d\n", group_name, what, who->pid == getpid(), who->uid, who->gid);
		}
		if (each->cmsg_type == SCM_RIGHTS) {
			int *fds = (void *)CMSG_DATA(each);
			for (count = 0; CMSG_LEN((count + 1) * sizeof(int)) <= each->cmsg_len; count++) {
				if (first < 0)
					first = fds[count];
				else
					last = fds[count], close(last);
			}
			printf("%s: %s: %d descriptors, close on exec %d\n", group_name, what, count, first < 0 ? -1 : fcntl(first, F_GETFD));
		}
	}
	return first;
}

static void passing(void)
{
	char buffer[100] = "";
	int fds[300], pair[2], pipes[2], got, file, other[2];
	for (int i = 0; i < 3; i++) {
		static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
		printf("%s: type %d\n", group_name, types[i]);
		socketpair(AF_UNIX, types[i], 0, pair);
		file = open(PLACE "/passed", O_CREAT | O_TRUNC | O_RDWR, 0600);
		write(file, "0123456789", 10);
		lseek(file, 3, SEEK_SET);
		O(pass(pair[0], &file, 1, 0));
		/* It outlives its sender's descriptor. */
		close(file);
		got = take("file", pair[1], 10, 100, 0);
		O(read(got, buffer, 3));
		V(!memcmp(buffer, "345", 3));
		close(got);
		/* The position is shared. */
		file = open(PLACE "/passed", O_RDONLY);
		O(pass(pair[0], &file, 1, 0));
		got = take("shared", pair[1], 10, 100, MSG_CMSG_CLOEXEC);
		O(read(file, buffer, 4));
		O(lseek(got, 0, SEEK_CUR));
		close(got);
		O(fcntl(file, F_GETFD));
		/* Several, more than there is room for, and none. */
		fds[0] = fds[1] = fds[2] = file;
		O(pass(pair[0], fds, 3, 0));
		close(take("three", pair[1], 10, 100, 0));
		O(pass(pair[0], fds, 3, 0));
		close(take("room for two", pair[1], 10, CMSG_LEN(2 * sizeof(int)), 0));
		O(pass(pair[0], fds, 3, 0));
		take("room for a header", pair[1], 10, CMSG_LEN(0), 0);
		O(pass(pair[0], fds, 3, 0));
		take("no room", pair[1], 10, 0, 0);
		O(pass(pair[0], fds, 0, 0));
		take("none", pair[1], 10, 100, 0);
		O(pass(pair[0], fds, 1, 0));
		O(recv(pair[1], buffer, 10, 0));
		O(pass(pair[0], fds, 1, 0));
		O(read(pair[1], buffer, 10));
		/* Looked at, they come twice. */
		O(pass(pair[0], fds, 1, 0));
		close(take("peek", pair[1], 10, 100, MSG_PEEK));
		close(take("after peek", pair[1], 10, 100, 0));
		for (int k = 0; k < 300; k++)
			fds[k] = file;
		O(pass(pair[0], fds, 253, 0));
		O(recv(pair[1], buffer, 10, 0));
		O(pass(pair[0], fds, 254, 0));
		fds[0] = 99;
		O(pass(pair[0], fds, 1, 0));
		fds[0] = -1;
		O(pass(pair[0], fds, 1, 0));
		fds[0] = file, fds[1] = 98;
		O(pass(pair[0], fds, 2, 0));
		O(recv(pair[1], buffer, 10, MSG_DONTWAIT));
		close(file);
		/* The end of a pipe that only a message holds. */
		pipe(pipes);
		O(pass(pair[0], &pipes[1], 1, 0));
		close(pipes[1]);
		V(polled(pipes[0]));
		got = take("pipe", pair[1], 10, 100, 0);
		O(write(got, "x", 1));
		O(read(pipes[0], buffer, 10));
		close(got);
		O(read(pipes[0], buffer, 10));
		close(pipes[0]);
		/* A message that is never received. */
		pipe(pipes);
		O(pass(pair[0], &pipes[1], 1, 0));
		close(pipes[1]);
		V(polled(pipes[0]));
		close(pair[1]);
		V(polled(pipes[0]));
		close(pipes[0]), close(pair[0]);
		/* A pair whose ends are in each other's queues. */
		socketpair(AF_UNIX, types[i], 0, pair);
		pipe(pipes);
		O(pass(pair[0], &pipes[1], 1, 0));
		O(pass(pair[0], &pair[0], 1, 0));
		O(pass(pair[0], &pair[1], 1, 0));
		O(pass(pair[1], &pair[0], 1, 0));
		close(pair[0]), close(pair[1]), close(pipes[1]);
		/* Linux finds that in its own time. */
		for (int k = 0; k < 200 && !(polled(pipes[0]) & POLLHUP); k++) {
			socketpair(AF_UNIX, SOCK_STREAM, 0, other);
			close(other[0]), close(other[1]);
			usleep(5000);
		}
		V(polled(pipes[0]));
		close(pipes[0]);
		/* A socket over a socket over a socket. */
		socketpair(AF_UNIX, types[i], 0, pair);
		socketpair(AF_UNIX, types[i], 0, other);
		O(pass(other[0], &pair[1], 1, 0));
		O(send(pair[0], "inner", 5, 0));
		close(pair[1]);
		got = take("socket", other[1], 10, 100, 0);
		O(recv(got, buffer, 10, 0));
		close(got), close(pair[0]), close(other[0]), close(other[1]);
	}
	/* Bytes before, with, and after descriptors. */
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	file = open("/dev/null", O_RDONLY);
	O(send(pair[0], "before", 6, 0));
	O(pass(pair[0], &file, 1, 0));
	O(send(pair[0], "after", 5, 0));
	O(pass(pair[0], &file, 1, 0));
	got = take("part", pair[1], 3, 100, 0);
	V(got);
	close(take("up to them", pair[1], 50, 100, 0));
	close(take("after them", pair[1], 50, 100, 0));
	O(recv(pair[1], buffer, 50, MSG_DONTWAIT));
	O(pass(pair[0], &file, 1, 0));
	O(pass(pair[0], &file, 1, 0));
	O(recv(pair[1], buffer, 50, MSG_DONTWAIT));
	O(recv(pair[1], buffer, 50, MSG_WAITALL | MSG_DONTWAIT));
	close(file);
	close(pair[0]), close(pair[1]);
	unlink(PLACE "/passed");
	/* Not over the Internet. */
	{
		int s = socket(AF_INET, SOCK_DGRAM, 0);
		O(pass(s, fds, 1, 0));
		close(s);
	}
}

static long introduce(int fd, int pid, int user, int group, int length)
{
	union { char room[CMSG_SPACE(12)]; struct cmsghdr header; } control = {{0}};
	struct ucred who = {pid, user, group};
	struct iovec span = {"c", 1};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(12)};
	control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(length), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
	memcpy(CMSG_DATA(&control.header), &who, 12);
	return sendmsg(fd, &message, 0);
}

static void show_peer(int fd)
{
	struct ucred who;
	socklen_t bytes = sizeof who;
	int answer = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes);
	printf("%s: peer = %d, %d bytes, own process %d, none %d, user %d, group %d\n", group_name, answer, bytes, who.pid == getpid(),
		who.pid == 0, (int)who.uid, (int)who.gid);
}

static void credentials(void)
{
	int pair[2], on = 1, off = 0, s, c, l;
	for (int i = 0; i < 3; i++) {
		static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
		printf("%s: type %d\n", group_name, types[i]);
		socketpair(AF_UNIX, types[i], 0, pair);
		show_peer(pair[0]);
		O(send(pair[0], "x", 1, 0));
		take("not asked", pair[1], 10, 100, 0);
		O(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
		O(option(pair[1], SO_PASSCRED));
		O(send(pair[0], "x", 1, 0));
		take("asked", pair[1], 10, 100, 0);
		O(send(pair[0], "x", 1, 0));
		take("no room", pair[1], 10, 0, 0);
		O(send(pair[0], "x", 1, 0));
		take("little room", pair[1], 10, 20, 0);
		O(introduce(pair[0], getpid(), 0, 0, 12));
		take("said", pair[1], 10, 100, 0);
		O(introduce(pair[0], getpid(), 0, 0, 8));
		O(introduce(pair[0], 999999999, 0, 0, 12));
		O(introduce(pair[0], getpid(), -1, 0, 12));
		O(introduce(pair[0], getpid(), 7, 8, 12));
		take("another user", pair[1], 10, 100, 0);
		O(pass(pair[0], &pair[0], 1, 0));
		close(take("with descriptor", pair[1], 10, 100, 0));
		O(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &off, sizeof off));
		O(introduce(pair[0], getpid(), 0, 0, 12));
		take("off", pair[1], 10, 100, 0);
		O(recv(pair[1], &s, 1, MSG_DONTWAIT));
		own_name("asked", pair[1]);
		close(pair[0]), close(pair[1]);
	}
	l = bound(SOCK_STREAM, "who"), c = socket(AF_UNIX, SOCK_STREAM, 0);
	show_peer(l);
	show_peer(c);
	listen(l, 1);
	show_peer(l);
	{
		struct sockaddr_un name = path("who");
		O(connect(c, SA(name), sizeof name));
	}
	show_peer(c);
	s = accept(l, 0, 0);
	show_peer(s);
	from("nothing sent", s, MSG_DONTWAIT);
	O(send(s, "x", 1, 0));
	from("stream of a named one", c, 0);
	O(send(c, "x", 1, 0));
	from("stream of an unnamed one", s, 0);
	close(c);
	show_peer(s);
	close(s), close(l);
	c = socket(AF_UNIX, SOCK_DGRAM, 0), l = bound(SOCK_DGRAM, "whom");
	show_peer(c);
	{
		struct sockaddr_un name = path("whom");
		O(setsockopt(c, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
		O(connect(c, SA(name), sizeof name));
	}
	own_name("named by itself", c);
	show_peer(c);
	close(c), close(l);
	unlink(PLACE "/who"), unlink(PLACE "/whom");
}

static void *send_later(void *fd)
{
	usleep(30000);
	send((int)(intptr_t)fd, "late", 4, 0);
	usleep(30000);
	send((int)(intptr_t)fd, "later", 5, 0);
	return 0;
}

static void *receive_later(void *fd)
{
	char buffer[10];
	usleep(30000);
	recv((int)(intptr_t)fd, buffer, 10, 0);
	return 0;
}

static void *shut_later(void *fd)
{
	usleep(30000);
	shutdown((int)(intptr_t)fd, SHUT_RD);
	return 0;
}

/* Calls that wait for another thread. */
static void waits(void)
{
	struct sockaddr_un server = path("server");
	char buffer[10];
	int s = bound(SOCK_DGRAM, "server"), c = socket(AF_UNIX, SOCK_DGRAM, 0), epoll = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET};
	pthread_t thread;
	connect(c, SA(server), sizeof server);
	pthread_create(&thread, 0, send_later, (void *)(intptr_t)c);
	O(recv(s, buffer, 10, 0));
	O(read(s, buffer, 10));
	pthread_join(thread, 0);
	while (send(c, "x", 1, MSG_DONTWAIT) == 1)
		;
	O(epoll_ctl(epoll, EPOLL_CTL_ADD, c, &event));
	O(epoll_wait(epoll, &event, 1, 0));
	pthread_create(&thread, 0, receive_later, (void *)(intptr_t)s);
	O(send(c, "waits", 5, 0));
	pthread_join(thread, 0);
	pthread_create(&thread, 0, receive_later, (void *)(intptr_t)s);
	O(poll(&(struct pollfd){c, POLLOUT, 0}, 1, 1000));
	pthread_join(thread, 0);
	O(epoll_wait(epoll, &event, 1, 0));
	while (recv(s, buffer, 10, MSG_DONTWAIT) > 0)
		;
	pthread_create(&thread, 0, shut_later, (void *)(intptr_t)s);
	O(recv(s, buffer, 10, 0));
	pthread_join(thread, 0);
	/* A time limit is that of one call, even of one that did not wait for it. */
	{
		struct timeval limit = {0, 20000};
		int pair[2], other[2];
		socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), socketpair(AF_UNIX, SOCK_STREAM, 0, other);
		O(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
		O(setsockopt(other[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
		O(recv(pair[0], buffer, 10, MSG_DONTWAIT));
		O(recv(other[0], buffer, 10, MSG_DONTWAIT));
		pthread_create(&thread, 0, send_later, (void *)(intptr_t)pair[0]);
		O(recv(pair[1], buffer, 10, 0));
		O(recv(pair[1], buffer, 10, 0));
		pthread_join(thread, 0);
		O(recv(pair[0], buffer, 10, 0));
		close(pair[0]), close(pair[1]), close(other[0]), close(other[1]);
	}
	close(s), close(c), close(epoll);
	unlink(server.sun_path);
}

static void several(void)
{
	char bytes[8][16];
	struct sockaddr_un names[8];
	struct mmsghdr many[8] = {0};
	struct iovec spans[8];
	struct timespec time = {0, 50000000}, wrong = {0, 2000000000};
	int pair[2], count;
	pthread_t thread;
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	for (int i = 0; i < 8; i++) {
		memset(bytes[i], 'a' + i, 16);
		spans[i] = (struct iovec){bytes[i], i + 1};
		many[i].msg_hdr = (struct msghdr){.msg_iov = &spans[i], .msg_iovlen = 1};
	}
	O(S(sendmmsg, pair[0], many, 4, 0));
	for (int i = 0; i < 5; i++)
		printf("%s: sent %d\n", group_name, many[i].msg_len);
	for (int i = 0; i < 8; i++) {
		spans[i].iov_len = 3;
		many[i].msg_hdr.msg_name = &names[i], many[i].msg_hdr.msg_namelen = sizeof names[i];
		many[i].msg_len = 77;
	}
	O(recvmmsg(pair[1], many, 8, MSG_DONTWAIT, 0));
	for (int i = 0; i < 5; i++)
		printf("%s: received %d, flags %x, name %d\n", group_name, many[i].msg_len, many[i].msg_hdr.msg_flags, many[i].msg_hdr.msg_namelen);
	O(recvmmsg(pair[1], many, 8, MSG_DONTWAIT, 0));
	O(recvmmsg(pair[1], many, 0, MSG_DONTWAIT, 0));
	O(S(sendmmsg, pair[0], many, 0, 0));
	O(S(sendmmsg, 99, many, 1, 0));
	O(recvmmsg(99, many, 1, 0, 0));
	O(recvmmsg(0, many, 1, 0, 0));
	O(S(sendmmsg, 0, many, 1, 0));
	O(recvmmsg(pair[1], many, 8, MSG_DONTWAIT, &wrong));
	O(S(recvmmsg, pair[1], many, 8, MSG_DONTWAIT, 8));
	O(S(recvmmsg, pair[1], 8, 8, MSG_DONTWAIT, 0));
	for (int i = 0; i < 3; i++)
		send(pair[0], "x", 1, 0);
	O(recvmmsg(pair[1], many, 2, 0, 0));
	O(recvmmsg(pair[1], many, 8, MSG_WAITFORONE, 0));
	pthread_create(&thread, 0, send_later, (void *)(intptr_t)pair[0]);
	O(recvmmsg(pair[1], many, 8, MSG_WAITFORONE, 0));
	V(many[0].msg_len);
	pthread_join(thread, 0);
	O(recvmmsg(pair[1], many, 1, 0, 0));
	pthread_create(&thread, 0, send_later, (void *)(intptr_t)pair[0]);
	O(recvmmsg(pair[1], many, 2, 0, 0));
	V(many[1].msg_len);
	pthread_join(thread, 0);
	/* Time is looked at when a message has come. */
	pthread_create(&thread, 0, send_later, (void *)(intptr_t)pair[0]);
	O(recvmmsg(pair[1], many, 8, 0, &time));
	V(time.tv_sec * 1000000000 + time.tv_nsec);
	pthread_join(thread, 0);
	/* A message in the middle fails. */
	for (int i = 0; i < 8; i++)
		many[i].msg_hdr.msg_name = 0, many[i].msg_hdr.msg_namelen = 0;
	many[2].msg_hdr.msg_iov = (void *)8;
	O(S(sendmmsg, pair[0], many, 4, 0));
	for (count = 0; recv(pair[1], bytes[0], 10, MSG_DONTWAIT) >= 0; count++)
		;
	V(count);
	many[0].msg_hdr.msg_iov = (void *)8;
	O(S(sendmmsg, pair[0], many, 4, 0));
	many[0].msg_hdr.msg_iov = spans;
	/* Until there is no room. */
	for (int i = 0; i < 8; i++)
		many[i].msg_hdr.msg_iov = &spans[i], spans[i] = (struct iovec){(void *)"0123456789", 10};
	for (count = 0; (int)S(sendmmsg, pair[0], many, 8, MSG_DONTWAIT) == 8; count++)
		;
	V(count);
	close(pair[0]), close(pair[1]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	O(S(sendmmsg, pair[0], many, 3, 0));
	O(recvmmsg(pair[1], many, 3, MSG_DONTWAIT, 0));
	V(many[0].msg_len);
	close(pair[0]);
	O(recvmmsg(pair[1], many, 3, MSG_DONTWAIT, 0));
	close(pair[1]);
}

void message_groups(void)
{
	mkdir(PLACE, 0700);
	if (group("sorts"))
		sorts();
	if (group("local_datagrams"))
		local_datagrams();
	if (group("local_limits"))
		local_limits();
	if (group("local_packets"))
		local_packets();
	if (group("passing"))
		passing();
	if (group("credentials"))
		credentials();
	if (group("waits"))
		waits();
	if (group("several"))
		several();
	rmdir(PLACE);
}
