/* Sockets of the Internet protocols: names, datagrams, what comes with them, and streams. */
#include "calls.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#define LOCAL htonl(INADDR_LOOPBACK)

/* <linux/netlink.h> and <linux/rtnetlink.h>, which images do not have. */
struct netlink_name { uint16_t family, pad; uint32_t port, groups; };
struct netlink_header { uint32_t length; uint16_t type, flags; uint32_t sequence, port; };
struct link_body { uint8_t family, pad; uint16_t type; int32_t index; uint32_t flags, change; };
struct address_body { uint8_t family, bits, flags, scope; uint32_t index; };
enum { NETLINK_NOTHING = 1, NETLINK_ERROR, NETLINK_DONE, NEW_LINK = 16, GET_LINK = 18, NEW_ADDRESS = 20, GET_ADDRESS = 22, GET_ROUTE = 26 };
enum { IS_REQUEST = 1, IS_MULTI = 2, IS_ACKNOWLEDGED = 4, IS_DUMP = 0x300 };

static struct sockaddr_in any(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET};
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = LOCAL};
}

static int named(int type, struct sockaddr_in *name)
{
	int fd = socket(AF_INET, type, 0);
	socklen_t bytes = sizeof *name;
	bind(fd, (struct sockaddr *)name, sizeof *name);
	getsockname(fd, (struct sockaddr *)name, &bytes);
	return fd;
}

static void show_name(const char *what, int fd, int peer)
{
	struct sockaddr_storage name;
	socklen_t bytes = sizeof name;
	memset(&name, 0x55, sizeof name);
	errno = 0;
	int answer = peer ? getpeername(fd, (struct sockaddr *)&name, &bytes) : getsockname(fd, (struct sockaddr *)&name, &bytes);
	char text[64] = "none";
	int port = 0;
	if (!answer && name.ss_family == AF_INET) {
		inet_ntop(AF_INET, &((struct sockaddr_in *)&name)->sin_addr, text, sizeof text);
		port = ((struct sockaddr_in *)&name)->sin_port != 0;
	} else if (!answer && name.ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&name)->sin6_addr, text, sizeof text);
		port = ((struct sockaddr_in6 *)&name)->sin6_port != 0;
	}
	printf("%s: name %s = %d %d, family %d, %s, port %d, %d bytes\n", group_name, what, answer, errno,
		answer ? 0 : name.ss_family, text, port, answer ? 0 : (int)bytes);
}

#define NAME(fd) show_name(#fd, fd, 0)
#define PEER(fd) show_name(#fd " peer", fd, 1)

static void sockets(void)
{
	int fd;
	O(socket(AF_INET, 99, 0));
	O(socket(AF_INET, SOCK_STREAM, 99));
	O(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	O(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
	O(socket(AF_INET, SOCK_SEQPACKET, 0));
	O(socket(AF_INET, SOCK_RDM, 0));
	O(socket(AF_INET, 0, 0));
	O(socket(AF_INET, SOCK_STREAM, -1));
	O(socket(AF_INET, SOCK_STREAM, 256));
	O(socket(AF_INET, SOCK_STREAM, 262));
	O(socket(99, SOCK_STREAM, 0));
	O(socket(-1, SOCK_STREAM, 0));
	O(socket(AF_UNSPEC, SOCK_STREAM, 0));
	O(socket(AF_INET, SOCK_STREAM | 0x40000000, 0));
	O(socketpair(AF_INET, SOCK_STREAM, 0, &fd));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	O(fcntl(fd, F_GETFL));
	O(fcntl(fd, F_GETFD));
	NAME(fd);
	PEER(fd);
	O(listen(fd, 1));
	NAME(fd);
	O(accept(fd, 0, 0));
	O(S(accept4, fd, 0, 0, 1));
	O(connect(fd, (struct sockaddr *)&(struct sockaddr_in){.sin_family = AF_INET}, 16));
	O(shutdown(fd, 9));
	O(shutdown(fd, SHUT_WR));
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	O(send(fd, "x", 1, 0));
	O(recv(fd, &fd, 0, 0));
	{
		char byte;
		O(recv(fd, &byte, 1, 0));
	}
	O(shutdown(fd, SHUT_RD));
	O(accept(fd, 0, 0));
	O(lseek(fd, 0, SEEK_CUR));
	O(pread(fd, &fd, 1, 0));
	O(ftruncate(fd, 0));
	O(fsync(fd));
	close(fd);
	O(accept(0, 0, 0));
	O(bind(0, 0, 0));
	O(accept(99, 0, 0));
	O(listen(99, 1));
	O(getsockname(99, 0, 0));
	O(send(0, "x", 1, 0));
	O(recv(0, &fd, 1, 0));
}

static void binding(void)
{
	struct sockaddr_in name = loopback(0), other;
	int a = named(SOCK_STREAM, &name), b = socket(AF_INET, SOCK_STREAM, 0), c;
	O(bind(a, (struct sockaddr *)&name, sizeof name));
	O(bind(b, (struct sockaddr *)&name, sizeof name));
	O(bind(b, (struct sockaddr *)&name, 4));
	O(bind(b, (struct sockaddr *)&name, 15));
	O(bind(b, (struct sockaddr *)&name, 1000));
	O(bind(b, (struct sockaddr *)&name, -1));
	other = name, other.sin_family = AF_INET6;
	O(bind(b, (struct sockaddr *)&other, sizeof other));
	other.sin_family = AF_UNIX;
	O(bind(b, (struct sockaddr *)&other, sizeof other));
	other.sin_family = AF_UNSPEC;
	O(bind(b, (struct sockaddr *)&other, sizeof other));
	other = any(), other.sin_family = AF_UNSPEC;
	O(bind(b, (struct sockaddr *)&other, sizeof other));
	NAME(b);
	close(b);
	b = socket(AF_INET, SOCK_STREAM, 0);
	other = loopback(0), other.sin_addr.s_addr = inet_addr("203.0.113.9");
	O(bind(b, (struct sockaddr *)&other, sizeof other));
	O(bind(b, 0, 16));
	c = 1;
	O(setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &c, sizeof c));
	O(bind(b, (struct sockaddr *)&name, sizeof name));
	O(listen(a, 1));
	close(b);
	b = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &c, sizeof c);
	O(bind(b, (struct sockaddr *)&name, sizeof name));
	close(b);
	close(a);
	/* Both may have the name, and the first may listen. */
	name = loopback(0);
	a = socket(AF_INET, SOCK_STREAM, 0), b = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(a, SOL_SOCKET, SO_REUSEADDR, &c, sizeof c);
	setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &c, sizeof c);
	O(bind(a, (struct sockaddr *)&name, sizeof name));
	getsockname(a, (struct sockaddr *)&name, &(socklen_t){sizeof name});
	O(bind(b, (struct sockaddr *)&name, sizeof name));
	O(listen(a, 1));
	O(listen(b, 1));
	close(b);
	b = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &c, sizeof c);
	O(bind(b, (struct sockaddr *)&name, sizeof name));
	close(b);
	close(a);
	a = named(SOCK_DGRAM, &name);
	O(listen(a, 1));
	O(accept(a, 0, 0));
	NAME(a);
	PEER(a);
	close(a);
	for (int length = 0; length <= 20; length += 4) {
		struct sockaddr_in read;
		socklen_t bytes = length;
		name = loopback(0);
		a = named(SOCK_DGRAM, &name);
		memset(&read, 0x11, sizeof read);
		int answer = getsockname(a, (struct sockaddr *)&read, &bytes);
		printf("binding: getsockname with room for %d = %d, %d bytes, %x\n", length, answer, bytes, read.sin_addr.s_addr);
		close(a);
	}
	name = any();
	a = named(SOCK_DGRAM, &name);
	{
		socklen_t bytes = -1;
		O(getsockname(a, (struct sockaddr *)&name, &bytes));
		O(getsockname(a, 0, 0));
	}
	close(a);
}

/* Which versions of the Internet protocol a socket of IPv6 takes. */
static void versions(void)
{
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(9)}, own = {.sin6_family = AF_INET6};
	int one = 1, only;
	socklen_t bytes = sizeof only;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.sin6_addr);
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		int fd = socket(AF_INET6, type, 0);
		O(bind(fd, (struct sockaddr *)&own, sizeof own));
		O(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one));
		O(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &bytes));
		V(only);
		close(fd);
		fd = socket(AF_INET6, type, 0);
		O(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one));
		mapped.sin6_port = 0;
		O(bind(fd, (struct sockaddr *)&mapped, sizeof mapped));
		mapped.sin6_port = htons(9);
		O(connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
		O(sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&mapped, sizeof mapped));
		close(fd);
		/* An address of IPv6 leaves no other version. */
		fd = socket(AF_INET6, type, 0);
		own.sin6_addr = in6addr_loopback;
		O(bind(fd, (struct sockaddr *)&own, sizeof own));
		O(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &bytes));
		V(only);
		O(connect(fd, (struct sockaddr *)&mapped, sizeof mapped));
		own.sin6_addr = in6addr_any;
		close(fd);
	}
}

/* Connecting without waiting: the first call after that learns of it. */
static void connecting(void)
{
	struct sockaddr_in name = loopback(0), peer;
	int l = named(SOCK_STREAM, &name), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), s, i;
	struct pollfd entry = {c, POLLOUT, 0};
	char byte[4] = "";
	socklen_t bytes = sizeof peer;
	O(listen(l, 1));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(poll(&entry, 1, 1000));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	s = accept(l, 0, 0);
	O(recv(s, byte, 0, MSG_DONTWAIT));
	O(getsockopt(c, SOL_SOCKET, SO_PEERNAME, &peer, &bytes));
	V(bytes);
	V(peer.sin_port == name.sin_port);
	bytes = sizeof peer + 1;
	O(getsockopt(c, SOL_SOCKET, SO_PEERNAME, &peer, &bytes));
	O(shutdown(s, SHUT_RD));
	O(send(c, "abc", 3, 0));
	usleep(20000);
	O(recv(s, byte, 4, MSG_DONTWAIT));
	O(recv(s, byte, 4, MSG_DONTWAIT));
	O(shutdown(s, SHUT_WR));
	usleep(20000);
	O(shutdown(c, SHUT_WR));
	usleep(20000);
	PEER(s);
	PEER(c);
	close(s), close(c), close(l);
	/* Datagrams that nobody has room for are lost; the sender goes on. */
	name = loopback(0);
	s = named(SOCK_DGRAM, &name), c = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	for (i = 0; i < 2000 && sendto(c, "x", 1, 0, (struct sockaddr *)&name, sizeof name) == 1; i++)
		;
	V(i);
	connect(c, (struct sockaddr *)&name, sizeof name);
	for (i = 0; i < 2000 && send(c, "x", 1, 0) == 1; i++)
		;
	V(i);
	{
		struct iovec span = {byte, 1};
		struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_namelen = 77};
		O(recvmsg(s, &message, 0));
		V(message.msg_namelen);
		O(S(recvmsg, 99, 0, 0));
		O(S(sendmsg, 99, 0, 0));
		message.msg_iovlen = 2000;
		O(S(recvmsg, s, &message, MSG_DONTWAIT));
		O(S(sendmsg, c, &message, MSG_DONTWAIT));
		message.msg_iovlen = 1, message.msg_namelen = -1;
		O(S(recvmsg, s, &message, MSG_DONTWAIT));
		O(S(sendmsg, c, &message, MSG_DONTWAIT));
		message.msg_name = &peer;
		O(S(recvmsg, s, &message, MSG_DONTWAIT));
		O(S(sendmsg, c, &message, MSG_DONTWAIT));
	}
	close(s), close(c);
}

static void connected(void)
{
	struct sockaddr_in server = loopback(0), name, other = loopback(0), from;
	socklen_t bytes;
	char buffer[100];
	int s = named(SOCK_DGRAM, &server), o = named(SOCK_DGRAM, &other), c = socket(AF_INET, SOCK_DGRAM, 0);
	NAME(c);
	O(connect(c, (struct sockaddr *)&server, sizeof server));
	NAME(c);
	PEER(c);
	O(send(c, "hello", 5, 0));
	bytes = sizeof from;
	O(recvfrom(s, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &bytes));
	V(bytes);
	O(sendto(s, "answer", 6, 0, (struct sockaddr *)&from, sizeof from));
	O(recv(c, buffer, sizeof buffer, 0));
	O(sendto(o, "stranger", 8, 0, (struct sockaddr *)&from, sizeof from));
	O(recv(c, buffer, sizeof buffer, MSG_DONTWAIT));
	O(sendto(c, "elsewhere", 9, 0, (struct sockaddr *)&other, sizeof other));
	O(recv(o, buffer, sizeof buffer, MSG_DONTWAIT));
	O(connect(c, (struct sockaddr *)&other, sizeof other));
	PEER(c);
	name = any(), name.sin_family = AF_UNSPEC;
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	PEER(c);
	NAME(c);
	O(send(c, "x", 1, 0));
	O(shutdown(c, SHUT_WR));
	close(c);
	/* The port that was bound stays when the peer goes. */
	name = any();
	c = named(SOCK_DGRAM, &name);
	NAME(c);
	O(connect(c, (struct sockaddr *)&server, sizeof server));
	NAME(c);
	name.sin_family = AF_UNSPEC;
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	NAME(c);
	close(c);
	/* Nobody listens there. */
	close(o);
	c = socket(AF_INET, SOCK_DGRAM, 0);
	O(connect(c, (struct sockaddr *)&other, sizeof other));
	O(send(c, "x", 1, 0));
	usleep(20000);
	{
		struct pollfd entry = {c, POLLIN | POLLOUT, 0};
		O(poll(&entry, 1, 0));
		V(entry.revents);
	}
	O(send(c, "x", 1, 0));
	usleep(20000);
	O(recv(c, buffer, sizeof buffer, MSG_DONTWAIT));
	O(recv(c, buffer, sizeof buffer, MSG_DONTWAIT));
	close(c);
	c = socket(AF_INET, SOCK_DGRAM, 0);
	name = any();
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	NAME(c);
	PEER(c);
	close(c);
	c = socket(AF_INET, SOCK_DGRAM, 0);
	server.sin_port = 0;
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&server, sizeof server));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&server, 4));
	O(connect(c, (struct sockaddr *)&server, 4));
	O(sendto(c, "x", 1, 0, 0, 0));
	NAME(c);
	close(c);
	close(s);
}

static void peeking(void)
{
	struct sockaddr_in server = loopback(0);
	char buffer[100];
	int s = named(SOCK_DGRAM, &server), c = socket(AF_INET, SOCK_DGRAM, 0), left;
	struct iovec span = {buffer, 4}, spans[3] = {{buffer, 3}, {buffer + 10, 0}, {buffer + 20, 50}};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1};
	connect(c, (struct sockaddr *)&server, sizeof server);
	O(send(c, "0123456789", 10, 0));
	O(ioctl(s, FIONREAD, &left));
	V(left);
	O(recv(s, buffer, 4, MSG_PEEK));
	O(recv(s, buffer, 4, MSG_PEEK | MSG_TRUNC));
	O(recv(s, 0, 0, MSG_PEEK | MSG_TRUNC));
	O(recvmsg(s, &message, MSG_PEEK));
	V(message.msg_flags);
	O(recvmsg(s, &message, MSG_PEEK | MSG_TRUNC));
	V(message.msg_flags);
	O(recv(s, buffer, 4, MSG_TRUNC));
	O(recv(s, buffer, 4, MSG_DONTWAIT));
	O(send(c, "0123456789", 10, 0));
	O(recv(s, buffer, 4, 0));
	O(send(c, "0123456789", 10, 0));
	O(recvmsg(s, &message, 0));
	V(message.msg_flags);
	V(message.msg_controllen);
	O(send(c, "0123456789", 10, 0));
	message.msg_iov = spans, message.msg_iovlen = 3;
	O(recvmsg(s, &message, MSG_TRUNC));
	V(message.msg_flags);
	O(send(c, "", 0, 0));
	O(ioctl(s, FIONREAD, &left));
	V(left);
	O(recv(s, buffer, 4, 0));
	O(write(c, "", 0));
	O(read(s, buffer, 4));
	O(write(c, "abc", 3));
	O(read(s, buffer, 0));
	O(read(s, buffer, 4));
	O(recv(s, buffer, 4, MSG_DONTWAIT));
	O(recv(s, buffer, 4, MSG_OOB | MSG_DONTWAIT));
	O(recv(s, buffer, 4, MSG_ERRQUEUE | MSG_DONTWAIT));
	O(send(c, "x", 1, MSG_OOB | MSG_DONTWAIT));
	O(send(c, "a", 1, MSG_MORE));
	O(send(c, "b", 1, 0));
	O(recv(s, buffer, 4, MSG_DONTWAIT));
	O(recv(s, buffer, 4, MSG_DONTWAIT));
	O(send(c, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM));
	O(recv(s, buffer, 4, MSG_WAITALL));
	O(send(c, "x", 1, MSG_DONTROUTE));
	O(recv(s, buffer, 4, MSG_DONTWAIT));
	{
		static char large[70000];
		O(send(c, large, 65508, 0));
		O(send(c, large, 70000, 0));
	}
	O(ioctl(s, FIONREAD, 0));
	O(ioctl(s, TIOCOUTQ, &left));
	V(left);
	O(ioctl(s, 0x1234, &left));
	O(shutdown(s, SHUT_RD));
	O(shutdown(c, SHUT_RD));
	O(recv(c, buffer, 4, 0));
	O(shutdown(c, SHUT_WR));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	O(shutdown(c, SHUT_RDWR));
	close(s);
	close(c);
}

static void receive_info(int s, const char *what)
{
	char buffer[100], control[256], source[64] = "", target[64] = "", local[64] = "";
	struct sockaddr_storage from;
	struct iovec span = {buffer, sizeof buffer};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
		.msg_name = &from, .msg_namelen = sizeof from};
	long count = recvmsg(s, &message, MSG_DONTWAIT);
	printf("%s: %s: recvmsg = %ld, flags %x, control %ld, name %d\n", group_name, what, count < 0 ? -errno : count,
		count < 0 ? 0 : message.msg_flags, count < 0 ? 0 : (long)message.msg_controllen, (int)message.msg_namelen);
	if (count < 0)
		return;
	for (struct cmsghdr *each = CMSG_FIRSTHDR(&message); each; each = CMSG_NXTHDR(&message, each)) {
		printf("%s: %s: control level %d type %d, %ld bytes\n", group_name, what, each->cmsg_level, each->cmsg_type,
			(long)each->cmsg_len);
		if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo *info = (void *)CMSG_DATA(each);
			inet_ntop(AF_INET, &info->ipi_addr, target, sizeof target);
			inet_ntop(AF_INET, &info->ipi_spec_dst, local, sizeof local);
			printf("%s: %s: to %s, local %s, interface %d\n", group_name, what, target, local, info->ipi_ifindex);
		} else if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo *info = (void *)CMSG_DATA(each);
			inet_ntop(AF_INET6, &info->ipi6_addr, target, sizeof target);
			printf("%s: %s: to %s, interface %d\n", group_name, what, target, info->ipi6_ifindex);
		} else if (each->cmsg_len == CMSG_LEN(sizeof(int))) {
			printf("%s: %s: value %d\n", group_name, what, *(int *)(void *)CMSG_DATA(each));
		}
	}
	if (from.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&from)->sin_addr, source, sizeof source);
	else
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&from)->sin6_addr, source, sizeof source);
	printf("%s: %s: from %s\n", group_name, what, source);
}

/* Sends a byte to `to` with one control message. */
static long send_control(int fd, void *to, int length, int level, int type, void *data, int bytes, int claimed)
{
	char control[256] = {0};
	struct iovec span = {"x", 1};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = control,
		.msg_controllen = CMSG_SPACE(bytes), .msg_name = to, .msg_namelen = length};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = level, header->cmsg_type = type, header->cmsg_len = claimed < 0 ? CMSG_LEN(bytes) : (size_t)claimed;
	memcpy(CMSG_DATA(header), data, bytes);
	return sendmsg(fd, &message, 0);
}

static void packet_info(void)
{
	struct sockaddr_in name = any(), to, client = loopback(0);
	int on = 1, off = 0, s = named(SOCK_DGRAM, &name), c = named(SOCK_DGRAM, &client);
	struct in_pktinfo info = {0};
	char control[8], buffer[100];
	struct iovec span = {buffer, sizeof buffer};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	to = loopback(name.sin_port);
	O(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	receive_info(s, "one");
	to.sin_addr.s_addr = inet_addr("127.0.0.1");
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	O(recvmsg(s, &message, 0));
	V(message.msg_flags);
	V(message.msg_controllen);
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	message.msg_controllen = 0;
	O(recvmsg(s, &message, 0));
	V(message.msg_flags);
	/* The answer comes from the address that is asked for. */
	info.ipi_spec_dst.s_addr = LOCAL;
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, -1));
	receive_info(c, "answer");
	info.ipi_ifindex = 1;
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, -1));
	receive_info(c, "answer by loopback");
	info.ipi_ifindex = 0, info.ipi_spec_dst.s_addr = 0;
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, -1));
	receive_info(c, "answer from anywhere");
	info.ipi_spec_dst.s_addr = inet_addr("203.0.113.9");
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, -1));
	info.ipi_spec_dst.s_addr = LOCAL;
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, 8, -1));
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, 4));
	O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, 200));
	O(send_control(s, &client, sizeof client, IPPROTO_IP, 99, &info, sizeof info, -1));
	O(send_control(s, &client, sizeof client, IPPROTO_TCP, 99, &info, sizeof info, -1));
	receive_info(c, "other level");
	O(send_control(s, &client, sizeof client, SOL_SOCKET, 99, &info, sizeof info, -1));
	{
		int ttl = 9, wrong = 300;
		O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl, -1));
		O(send_control(s, &client, sizeof client, IPPROTO_IP, IP_TTL, &wrong, sizeof wrong, -1));
	}
	while (recv(c, buffer, sizeof buffer, MSG_DONTWAIT) >= 0)
		;
	O(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &off, sizeof off));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	receive_info(s, "off");
	O(connect(s, (struct sockaddr *)&client, sizeof client));
	O(send_control(s, 0, 0, IPPROTO_IP, IP_PKTINFO, &info, sizeof info, -1));
	receive_info(c, "connected");
	close(s);
	close(c);
}

static void packet_info6(void)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6}, client = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT}, to;
	struct sockaddr_in four = loopback(0);
	socklen_t bytes = sizeof name;
	int on = 1, s = socket(AF_INET6, SOCK_DGRAM, 0), c = socket(AF_INET6, SOCK_DGRAM, 0), f;
	struct in6_pktinfo info = {.ipi6_addr = IN6ADDR_LOOPBACK_INIT};
	O(bind(s, (struct sockaddr *)&name, sizeof name));
	O(getsockname(s, (struct sockaddr *)&name, &bytes));
	O(bind(c, (struct sockaddr *)&client, sizeof client));
	O(getsockname(c, (struct sockaddr *)&client, &bytes));
	O(setsockopt(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on));
	to = client, to.sin6_port = name.sin6_port;
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
	receive_info(s, "six");
	O(send_control(s, &client, sizeof client, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info, -1));
	receive_info(c, "answer");
	inet_pton(AF_INET6, "2001:db8::9", &info.ipi6_addr);
	O(send_control(s, &client, sizeof client, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info, -1));
	O(send_control(s, &client, sizeof client, IPPROTO_IPV6, IPV6_PKTINFO, &info, 8, -1));
	O(send_control(s, &client, sizeof client, IPPROTO_IPV6, 99, &info, 8, -1));
	/* A datagram of IPv4 to a socket of both. */
	f = named(SOCK_DGRAM, &four);
	four = loopback(name.sin6_port);
	O(sendto(f, "x", 1, 0, (struct sockaddr *)&four, sizeof four));
	receive_info(s, "four");
	O(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
	O(sendto(f, "x", 1, 0, (struct sockaddr *)&four, sizeof four));
	receive_info(s, "four with both");
	NAME(s);
	close(f);
	close(s);
	close(c);
}

static void streams(void)
{
	struct sockaddr_in name = loopback(0), from;
	socklen_t bytes = sizeof from;
	char buffer[100] = "", control[64];
	int l = named(SOCK_STREAM, &name), c = socket(AF_INET, SOCK_STREAM, 0), s, left;
	struct iovec span = {buffer, 4};
	struct msghdr message = {.msg_iov = &span, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control, .msg_name = &from, .msg_namelen = 16};
	O(listen(l, 3));
	O(ioctl(l, FIONREAD, &left));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(listen(c, 1));
	O(bind(c, (struct sockaddr *)&name, sizeof name));
	s = accept(l, (struct sockaddr *)&from, &bytes);
	V(bytes);
	NAME(c);
	PEER(c);
	NAME(s);
	PEER(s);
	PEER(l);
	O(send(c, "0123456789", 10, 0));
	O(ioctl(s, FIONREAD, &left));
	V(left);
	O(recv(s, buffer, 4, MSG_PEEK));
	O(recv(s, buffer, 4, MSG_PEEK | MSG_TRUNC));
	O(recv(s, 0, 4, MSG_TRUNC));
	O(ioctl(s, FIONREAD, &left));
	V(left);
	O(recvmsg(s, &message, 0));
	V(message.msg_flags);
	V(message.msg_namelen);
	V(message.msg_controllen);
	O(recv(s, buffer, 0, MSG_DONTWAIT));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	O(recv(s, buffer, 100, MSG_OOB | MSG_DONTWAIT));
	O(send(c, "x", 0, 0));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&name, sizeof name));
	O(sendto(c, "x", 1, 0, (struct sockaddr *)&name, 2));
	O(recv(s, buffer, 2, MSG_WAITALL));
	O(ioctl(c, TIOCOUTQ, &left));
	O(send(c, "x", 1, MSG_MORE));
	O(send(c, "y", 1, 0));
	O(recv(s, buffer, 2, MSG_WAITALL));
	{
		struct tcp_info info;
		socklen_t room = sizeof info;
		O(getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &room));
		V(info.tcpi_state);
		V(room >= 104);
	}
	O(shutdown(c, SHUT_WR));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	O(recv(s, buffer, 4, 0));
	O(recv(s, buffer, 4, 0));
	O(send(s, "last", 4, 0));
	O(shutdown(s, SHUT_RDWR));
	O(recv(c, buffer, 4, 0));
	O(recv(c, buffer, 4, 0));
	O(shutdown(c, SHUT_RDWR));
	close(s);
	close(c);
	c = socket(AF_INET, SOCK_STREAM, 0);
	close(l);
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	PEER(c);
	close(c);
	c = socket(AF_INET, SOCK_STREAM, 0);
	name.sin_family = AF_UNSPEC;
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	O(connect(c, (struct sockaddr *)&name, 1));
	O(connect(c, (struct sockaddr *)&name, 300));
	O(connect(c, 0, 16));
	name = loopback(0);
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	close(c);
}

static void many_messages(void)
{
	struct sockaddr_in server = loopback(0);
	char buffer[4][10];
	int s = named(SOCK_DGRAM, &server), c = socket(AF_INET, SOCK_DGRAM, 0);
	struct iovec out[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, in[4];
	struct mmsghdr send[3] = {0}, receive[4] = {0};
	connect(c, (struct sockaddr *)&server, sizeof server);
	for (int i = 0; i < 3; i++)
		send[i].msg_hdr.msg_iov = &out[i], send[i].msg_hdr.msg_iovlen = 1;
	for (int i = 0; i < 4; i++)
		in[i] = (struct iovec){buffer[i], 10}, receive[i].msg_hdr.msg_iov = &in[i], receive[i].msg_hdr.msg_iovlen = 1;
	O(sendmmsg(c, send, 3, 0));
	V(send[0].msg_len + send[1].msg_len * 10 + send[2].msg_len * 100);
	O(sendmmsg(c, send, 0, 0));
	O(recvmmsg(s, receive, 4, MSG_DONTWAIT, 0));
	V(receive[0].msg_len + receive[1].msg_len * 10 + receive[2].msg_len * 100);
	O(recvmmsg(s, receive, 4, MSG_DONTWAIT, 0));
	close(s);
	close(c);
}

/* What `ioctl` tells of the loopback. */
static void ask_interface(int s, const char *how)
{
	static const struct { const char *name; unsigned long number; } requests[] = {
		{"INDEX", SIOCGIFINDEX}, {"FLAGS", SIOCGIFFLAGS}, {"MTU", SIOCGIFMTU}, {"HWADDR", SIOCGIFHWADDR}, {"ADDR", SIOCGIFADDR},
		{"NETMASK", SIOCGIFNETMASK}, {"BRDADDR", SIOCGIFBRDADDR}, {"DSTADDR", SIOCGIFDSTADDR}, {"METRIC", SIOCGIFMETRIC},
		{"TXQLEN", SIOCGIFTXQLEN}};
	struct ifreq request;
	struct ifconf all;
	for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++)
		for (int known = 1; known >= 0; known--) {
			memset(&request, 0, sizeof request);
			strcpy(request.ifr_name, known ? "lo" : "nothing");
			errno = 0;
			int answer = ioctl(s, requests[i].number, &request);
			printf("%s: %s %s %s = %d %d:", group_name, how, requests[i].name, request.ifr_name, answer, errno);
			for (int k = 0; !answer && k < 16; k++)
				printf(" %02x", ((unsigned char *)&request.ifr_ifru)[k]);
			printf("\n");
		}
	memset(&request, 0, sizeof request);
	request.ifr_ifindex = 1;
	O(ioctl(s, SIOCGIFNAME, &request));
	printf("%s: %s interface 1 is %s\n", group_name, how, request.ifr_name);
	request.ifr_ifindex = 9999;
	O(ioctl(s, SIOCGIFNAME, &request));
	all.ifc_len = sizeof request, all.ifc_req = &request;
	O(ioctl(s, SIOCGIFCONF, &all));
	V(all.ifc_len);
	printf("%s: %s first is %s, family %d, %x\n", group_name, how, request.ifr_name, request.ifr_addr.sa_family,
		((struct sockaddr_in *)&request.ifr_addr)->sin_addr.s_addr);
	all.ifc_len = 39;
	O(ioctl(s, SIOCGIFCONF, &all));
	V(all.ifc_len);
}

static void show_address(const struct sockaddr *address, char *text)
{
	if (!address)
		strcpy(text, "none");
	else if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)address)->sin_addr, text, 64);
	else if (address->sa_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)address)->sin6_addr, text, 64);
	else
		sprintf(text, "family %d", address->sa_family);
}

static void interfaces(void)
{
	struct ifreq request = {0};
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	strcpy(request.ifr_name, "lo");
	O(ioctl(s, SIOCGIFINDEX, &request));
	V(request.ifr_ifindex);
	strcpy(request.ifr_name, "nothing");
	O(ioctl(s, SIOCGIFINDEX, &request));
	O(if_nametoindex("lo"));
	O(if_nametoindex("nothing"));
	ask_interface(s, "inet");
	close(s);
	s = socket(AF_UNIX, SOCK_DGRAM, 0);
	ask_interface(s, "unix");
	close(s);
	{
		char name[IF_NAMESIZE] = "";
		V(if_indextoname(1, name) == name);
		printf("%s: index 1 is %s\n", group_name, name);
		V(if_indextoname(99, name) == 0);
		V(errno);
	}
	{
		struct if_nameindex *all = if_nameindex();
		V(all != 0);
		for (struct if_nameindex *each = all; each && each->if_index; each++)
			if (!strcmp(each->if_name, "lo"))
				printf("%s: lo has index %d\n", group_name, each->if_index);
		if_freenameindex(all);
	}
	{
		struct ifaddrs *all = 0;
		O(getifaddrs(&all));
		for (struct ifaddrs *each = all; each; each = each->ifa_next) {
			char own[64] = "", mask[64] = "", other[64] = "";
			if (strcmp(each->ifa_name, "lo"))
				continue;
			show_address(each->ifa_addr, own), show_address(each->ifa_netmask, mask), show_address(each->ifa_dstaddr, other);
			printf("%s: lo %s, mask %s, other %s, flags %x\n", group_name, own, mask, other, each->ifa_flags);
		}
		freeifaddrs(all);
	}
}

/* A request of netlink, and what its answers are about the loopback. */
static void ask(int fd, const char *what, int type, int flags, int family, int index)
{
	struct { struct netlink_header header; struct link_body body; } request = {
		{sizeof request, type, flags, 77, 0}, {.family = family, .index = index}};
	static union { char room[16384]; struct netlink_header header; } answer;
	errno = 0;
	long sent = send(fd, &request, sizeof request, 0);
	printf("%s: %s: sent %ld\n", group_name, what, sent);
	for (int done = 0; !done;) {
		long got = recv(fd, &answer, sizeof answer, MSG_DONTWAIT);
		if (got <= 0)
			break;
		for (long at = 0; at + 16 <= got;) {
			struct netlink_header *each = (void *)(answer.room + at);
			void *data = each + 1;
			at += (each->length + 3) & ~3;
			if (each->type == NETLINK_DONE || each->type == NETLINK_ERROR) {
				printf("%s: %s: type %d, flags %d, sequence %d, value %d\n", group_name, what, each->type,
					each->flags & IS_MULTI, each->sequence, *(int *)data);
				done = 1;
			} else if (each->type == NEW_LINK) {
				struct link_body *link = data;
				if (link->index == 1)
					printf("%s: %s: link type %d, flags %x, multi %d, own %d\n", group_name, what, link->type,
						link->flags, each->flags & IS_MULTI, each->port == (unsigned)getpid());
				done = !(each->flags & IS_MULTI);
			} else if (each->type == NEW_ADDRESS) {
				struct address_body *address = data;
				if (address->index == 1)
					printf("%s: %s: address of family %d, %d bits, scope %d\n", group_name, what, address->family,
						address->bits, address->scope);
			}
		}
	}
}

static void netlink(void)
{
	struct netlink_name name = {.family = AF_NETLINK}, other = {.family = AF_NETLINK};
	socklen_t bytes = sizeof other;
	char buffer[64];
	int s = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	O(socket(AF_NETLINK, SOCK_STREAM, 0));
	O(socket(AF_NETLINK, SOCK_SEQPACKET, 0));
	O(socket(AF_NETLINK, SOCK_RAW, 99));
	O(socket(AF_NETLINK, SOCK_RAW, -1));
	V(s >= 0);
	O(bind(s, (struct sockaddr *)&name, 4));
	O(bind(s, (struct sockaddr *)&name, sizeof name));
	O(getsockname(s, (struct sockaddr *)&other, &bytes));
	V(bytes);
	V(other.family);
	V(other.port == (unsigned)getpid());
	O(listen(s, 1));
	O(accept(s, 0, 0));
	O(recv(s, buffer, sizeof buffer, MSG_DONTWAIT));
	{
		struct pollfd entry = {s, POLLIN | POLLOUT, 0};
		O(poll(&entry, 1, 0));
		V(entry.revents);
	}
	ask(s, "links", GET_LINK, IS_REQUEST | IS_DUMP, AF_UNSPEC, 0);
	ask(s, "loopback", GET_LINK, IS_REQUEST, AF_UNSPEC, 1);
	ask(s, "no link", GET_LINK, IS_REQUEST, AF_UNSPEC, 9999);
	ask(s, "addresses", GET_ADDRESS, IS_REQUEST | IS_DUMP, AF_UNSPEC, 0);
	ask(s, "addresses of IPv4", GET_ADDRESS, IS_REQUEST | IS_DUMP, AF_INET, 0);
	ask(s, "routes", GET_ROUTE, IS_REQUEST | IS_DUMP, AF_INET, 0);
	ask(s, "unknown", 999, IS_REQUEST | IS_ACKNOWLEDGED, AF_UNSPEC, 0);
	ask(s, "nothing", NETLINK_NOTHING, IS_REQUEST | IS_ACKNOWLEDGED, AF_UNSPEC, 0);
	O(send(s, buffer, 3, 0));
	O(recv(s, buffer, sizeof buffer, MSG_DONTWAIT));
	close(s);
}

static int timed_out(long answer)
{
	return answer == -1 && errno == EAGAIN;
}

/* Waits that a time limit ends, whichever call waits. */
static void time_limits(void)
{
	struct sockaddr_in name = loopback(0), server = loopback(0);
	struct timeval limit = {0, 50000}, read_back;
	struct iovec span = {&limit, 1};
	static char block[300000];
	char byte;
	socklen_t bytes = sizeof read_back;
	int l = named(SOCK_STREAM, &name), u = named(SOCK_DGRAM, &server), c = socket(AF_INET, SOCK_STREAM, 0), s, pair[2], i;
	O(listen(l, 1));
	O(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	V(timed_out(accept(l, 0, 0)));
	O(connect(c, (struct sockaddr *)&name, sizeof name));
	s = accept(l, 0, 0);
	O(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	O(setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
	V(timed_out(recv(s, &byte, 1, 0)));
	V(timed_out(read(s, &byte, 1)));
	V(timed_out(readv(s, &span, 1)));
	O(send(c, "x", 1, 0));
	O(recv(s, block, 10, MSG_WAITALL));
	for (i = 0; i < 100 && write(s, block, sizeof block) > 0; i++)
		;
	V(i < 100);
	V(timed_out(write(s, block, sizeof block)));
	V(timed_out(send(s, block, sizeof block, 0)));
	O(setsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	O(getsockopt(u, SOL_SOCKET, SO_RCVTIMEO, &read_back, &bytes));
	V(read_back.tv_usec / 10000);
	V(timed_out(recv(u, &byte, 1, 0)));
	V(timed_out(read(u, &byte, 1)));
	close(s), close(c), close(l), close(u);
	O(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	O(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	O(setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
	V(timed_out(read(pair[0], &byte, 1)));
	V(timed_out(recv(pair[0], &byte, 1, 0)));
	for (i = 0; i < 100 && write(pair[0], block, sizeof block) > 0; i++)
		;
	V(timed_out(write(pair[0], block, sizeof block)));
	close(pair[0]), close(pair[1]);
}

void datagram_groups(void)
{
	if (group("time_limits"))
		time_limits();
	if (group("sockets"))
		sockets();
	if (group("binding"))
		binding();
	if (group("versions"))
		versions();
	if (group("connecting"))
		connecting();
	if (group("connected"))
		connected();
	if (group("peeking"))
		peeking();
	if (group("packet_info"))
		packet_info();
	if (group("packet_info6"))
		packet_info6();
	if (group("streams"))
		streams();
	if (group("many_messages"))
		many_messages();
	if (group("interfaces"))
		interfaces();
	if (group("netlink"))
		netlink();
}
