/* Local sockets and pipes. */
#include "calls.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static void local_sockets(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "/tmp/calls-socket"}, other = name, read;
	socklen_t bytes;
	char buffer[100];
	int l = socket(AF_UNIX, SOCK_STREAM, 0), c, s, left, pair[2];
	O(socket(AF_UNIX, 99, 0));
	O(socket(AF_UNIX, SOCK_STREAM, 7));
	O(socket(AF_UNIX, SOCK_RAW, 99));
	O(socketpair(AF_UNIX, SOCK_STREAM, 7, pair));
	O(socketpair(AF_UNIX, SOCK_STREAM | 0x40000000, 0, pair));
	unlink(name.sun_path);
	O(listen(l, 1));
	bytes = sizeof read;
	O(getsockname(l, (struct sockaddr *)&read, &bytes));
	V(bytes);
	O(bind(l, (struct sockaddr *)&name, 2 + strlen(name.sun_path)));
	O(bind(l, (struct sockaddr *)&name, sizeof name));
	bytes = sizeof read;
	O(getsockname(l, (struct sockaddr *)&read, &bytes));
	V(bytes);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	O(bind(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(listen(l, 2));
	strcpy(other.sun_path, "/tmp/calls-nothing");
	O(connect(c, (struct sockaddr *)&other, sizeof other));
	strcpy(other.sun_path, "/dev/null");
	O(connect(c, (struct sockaddr *)&other, sizeof other));
	O(connect(c, (struct sockaddr *)&other, 2));
	O(connect(c, (struct sockaddr *)&other, 200));
	other.sun_family = AF_INET;
	O(connect(c, (struct sockaddr *)&other, sizeof other));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	O(recv(c, buffer, 1, 0));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(send(c, "0123456789", 10, 0));
	bytes = sizeof read;
	s = accept(l, (struct sockaddr *)&read, &bytes);
	V(bytes);
	V(read.sun_family);
	bytes = sizeof read;
	O(getpeername(c, (struct sockaddr *)&read, &bytes));
	V(bytes);
	bytes = sizeof read;
	O(getpeername(s, (struct sockaddr *)&read, &bytes));
	V(bytes);
	bytes = 5;
	O(getpeername(c, (struct sockaddr *)&read, &bytes));
	V(bytes);
	O(ioctl(s, FIONREAD, &left));
	V(left);
	O(recv(s, buffer, 4, MSG_PEEK));
	O(recv(s, buffer, 4, MSG_PEEK | MSG_TRUNC));
	O(recv(s, buffer, 4, MSG_TRUNC));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	O(recv(s, buffer, 100, MSG_OOB | MSG_DONTWAIT));
	O(recv(s, buffer, 0, MSG_DONTWAIT));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&name, sizeof name));
	O(shutdown(c, SHUT_WR));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	O(recv(s, buffer, 4, 0));
	O(send(s, "z", 1, 0));
	close(c);
	O(send(s, "z", 1, MSG_NOSIGNAL));
	O(recv(s, buffer, 4, 0));
	O(recv(s, buffer, 4, 0));
	close(s);
	close(l);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(open(name.sun_path, O_RDONLY));
	O(unlink(name.sun_path));
	close(c);
	c = socket(AF_UNIX, SOCK_STREAM, 0);
	O(bind(c, (struct sockaddr *)&(struct sockaddr_un){.sun_family = AF_UNIX}, 2));
	bytes = sizeof read;
	O(getsockname(c, (struct sockaddr *)&read, &bytes));
	V(bytes);
	close(c);
	O(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair));
	O(fcntl(pair[0], F_GETFL));
	bytes = sizeof read;
	O(getsockname(pair[0], (struct sockaddr *)&read, &bytes));
	V(bytes);
	O(getpeername(pair[0], (struct sockaddr *)&read, &bytes));
	V(bytes);
	{
		int value = 7;
		struct { struct cmsghdr header; int fd; } control = {{.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = 99}, 0};
		struct iovec span = {&value, 1};
		struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
		O(sendmsg(pair[0], &message, 0));
		control.header.cmsg_len = 3;
		O(sendmsg(pair[0], &message, 0));
		message.msg_iovlen = 2000;
		O(sendmsg(pair[0], &message, 0));
		O(recvmsg(pair[0], &message, 0));
	}
	close(pair[0]);
	close(pair[1]);
}

static void pipes(void)
{
	int fds[2], left, other[2];
	static char buffer[70000];
	O(pipe2(fds, 0x40000000));
	O(pipe2(fds, O_APPEND));
	O(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
	O(fcntl(fds[0], F_GETFL));
	O(fcntl(fds[1], F_GETFL));
	O(fcntl(fds[0], F_GETFD));
	O(fcntl(fds[0], F_GETPIPE_SZ));
	O(fcntl(fds[0], F_SETPIPE_SZ, 65536));
	O(read(fds[0], buffer, 10));
	O(write(fds[0], buffer, 10));
	O(read(fds[1], buffer, 10));
	O(write(fds[1], buffer, 70000));
	O(write(fds[1], buffer, 1));
	O(ioctl(fds[0], FIONREAD, &left));
	V(left);
	O(lseek(fds[0], 0, SEEK_SET));
	O(pread(fds[0], buffer, 1, 0));
	O(pwrite(fds[1], buffer, 1, 0));
	O(ftruncate(fds[1], 0));
	O(fsync(fds[0]));
	O(fallocate(fds[1], 0, 0, 10));
	O(posix_fadvise(fds[0], 0, 10, POSIX_FADV_NORMAL));
	O(sync_file_range(fds[0], 0, 10, 0));
	O(read(fds[0], buffer, 70000));
	O(pipe(other));
	O(splice(fds[0], 0, other[1], 0, 10, 0x100));
	O(tee(fds[0], other[1], 10, 0x100));
	O(fcntl(fds[0], F_SETFL, O_APPEND | O_NONBLOCK));
	O(fcntl(fds[0], F_GETFL));
	O(fcntl(fds[0], F_SETFL, O_DIRECT));
	close(fds[0]);
	O(write(fds[1], buffer, 1));
	close(fds[1]);
	O(close(fds[1]));
	close(other[0]), close(other[1]);
}

void local_groups(void)
{
	if (group("local_sockets"))
		local_sockets();
	if (group("pipes"))
		pipes();
}
