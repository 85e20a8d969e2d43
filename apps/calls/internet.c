/* What sockets of the Internet protocols do at their edges: addresses of the loopback, ends of streams, names in use. */
#include "calls.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define SA(name) (struct sockaddr *)&(name)

static struct sockaddr_in at(const char *address, int port)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = port};
	inet_pton(AF_INET, address, &name.sin_addr);
	return name;
}

static struct sockaddr_in6 at6(const char *address, int port)
{
	struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_port = port};
	inet_pton(AF_INET6, address, &name.sin6_addr);
	return name;
}

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t bytes = sizeof name;
	return getsockname(fd, SA(name), &bytes) ? -1 : name.sin6_port;
}

static int polled(int fd)
{
	struct pollfd entry = {fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0};
	return poll(&entry, 1, 0) < 0 ? -1 : entry.revents;
}

static void own_name(const char *what, int fd, int peer)
{
	struct sockaddr_storage name = {0};
	socklen_t bytes = sizeof name;
	char text[64] = "";
	int answer = peer ? getpeername(fd, SA(name), &bytes) : getsockname(fd, SA(name), &bytes);
	if (name.ss_family == AF_INET)
		inet_ntop(AF_INET, &((struct sockaddr_in *)&name)->sin_addr, text, sizeof text);
	else if (name.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&name)->sin6_addr, text, sizeof text);
	printf("%s: %s = %d, %s\n", group_name, what, answer ? -errno : 0, text);
}

static int on(int fd, int level, int name)
{
	int one = 1;
	return setsockopt(fd, level, name, &one, sizeof one);
}

/* All of 127.0.0.0/8 is this machine. */
static void loopbacks(void)
{
	static const char *const addresses[] = {"127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0"};
	for (unsigned i = 0; i < 4; i++) {
		struct sockaddr_in name = at(addresses[i], 0);
		char byte;
		int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s;
		O(bind(l, SA(name), sizeof name));
		O(listen(l, 1));
		own_name("listener", l, 0);
		name = at(i == 3 ? "127.0.0.9" : addresses[i], port_of(l));
		O(connect(c, SA(name), sizeof name));
		s = accept(l, 0, 0);
		own_name("client", c, 0);
		own_name("client's peer", c, 1);
		own_name("served", s, 0);
		own_name("served's peer", s, 1);
		O(send(c, "x", 1, 0));
		O(recv(s, &byte, 1, 0));
		close(l), close(c), close(s);
	}
	{
		struct sockaddr_in name = at("127.0.0.1", 0), zero;
		int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
		bind(l, SA(name), sizeof name), listen(l, 1);
		zero = at("0.0.0.0", port_of(l));
		O(connect(c, SA(zero), sizeof zero));
		own_name("by zero", c, 1);
		close(c);
		c = socket(AF_INET, SOCK_STREAM, 0);
		name = at("127.0.0.7", 0);
		O(bind(c, SA(name), sizeof name));
		name = at("127.0.0.1", port_of(l));
		O(connect(c, SA(name), sizeof name));
		own_name("bound client", c, 0);
		close(c), close(l);
		name = at("192.0.2.1", 0);
		c = socket(AF_INET, SOCK_STREAM, 0);
		O(bind(c, SA(name), sizeof name));
		name = at("224.0.0.1", 0);
		name = at("255.255.255.255", htons(9));
		O(connect(c, SA(name), sizeof name));
		close(c);
		/* Ports of root. */
		c = socket(AF_INET, SOCK_STREAM, 0);
		name = at("127.0.0.1", htons(81));
		O(bind(c, SA(name), sizeof name));
		close(c);
		c = socket(AF_INET, SOCK_STREAM, 0);
		O(connect(c, SA(name), sizeof name));
		close(c);
	}
}

static void families(void)
{
	struct sockaddr_in6 any6 = at6("::", 0), one6 = at6("::1", 0);
	struct sockaddr_in any4 = at("0.0.0.0", 0), one4 = at("127.0.0.1", 0);
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++) {
		int a = socket(AF_INET6, type, 0), b = socket(AF_INET, type, 0), c = socket(AF_INET6, type, 0), d = socket(AF_INET6, type, 0);
		any6.sin6_port = 0;
		O(bind(a, SA(any6), sizeof any6));
		any4.sin_port = one4.sin_port = one6.sin6_port = any6.sin6_port = port_of(a);
		O(bind(b, SA(any4), sizeof any4));
		O(bind(b, SA(one4), sizeof one4));
		O(bind(c, SA(one6), sizeof one6));
		O(on(c, IPPROTO_IPV6, IPV6_V6ONLY));
		O(bind(c, SA(any6), sizeof any6));
		close(a), close(b), close(c);
		a = socket(AF_INET6, type, 0), b = socket(AF_INET, type, 0);
		O(on(a, IPPROTO_IPV6, IPV6_V6ONLY));
		any6.sin6_port = 0;
		O(bind(a, SA(any6), sizeof any6));
		any4.sin_port = port_of(a);
		O(bind(b, SA(any4), sizeof any4));
		close(a), close(b), close(d);
	}
	{
		int l = socket(AF_INET6, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0), s;
		any6.sin6_port = 0;
		bind(l, SA(any6), sizeof any6), listen(l, 2);
		one4.sin_port = one6.sin6_port = port_of(l);
		O(connect(c, SA(one4), sizeof one4));
		s = accept(l, 0, 0);
		own_name("by IPv4", s, 0);
		own_name("by IPv4", s, 1);
		close(c), close(s);
		c = socket(AF_INET6, SOCK_STREAM, 0);
		O(connect(c, SA(one6), sizeof one6));
		s = accept(l, 0, 0);
		own_name("by IPv6", s, 0);
		own_name("by IPv6", s, 1);
		close(c), close(s), close(l);
	}
}

/* Names that others have. */
static void names_in_use(void)
{
	struct sockaddr_in name = at("127.0.0.1", 0), any = at("0.0.0.0", 0);
	static const struct { int address, port; } options[] = {{0, 0}, {1, 0}, {0, 1}, {1, 1}};
	for (int type = SOCK_STREAM; type <= SOCK_DGRAM; type++)
		for (int i = 0; i < 4; i++)
			for (int k = 0; k < 4; k++) {
				int a = socket(AF_INET, type, 0), b = socket(AF_INET, type, 0), first, second, third;
				if (options[i].address) on(a, SOL_SOCKET, SO_REUSEADDR);
				if (options[i].port) on(a, SOL_SOCKET, SO_REUSEPORT);
				if (options[k].address) on(b, SOL_SOCKET, SO_REUSEADDR);
				if (options[k].port) on(b, SOL_SOCKET, SO_REUSEPORT);
				name.sin_port = 0;
				bind(a, SA(name), sizeof name);
				name.sin_port = any.sin_port = port_of(a);
				errno = 0;
				first = bind(b, SA(name), sizeof name) ? errno : 0;
				close(b);
				b = socket(AF_INET, type, 0);
				if (options[k].address) on(b, SOL_SOCKET, SO_REUSEADDR);
				if (options[k].port) on(b, SOL_SOCKET, SO_REUSEPORT);
				if (type == SOCK_STREAM)
					listen(a, 1);
				second = bind(b, SA(name), sizeof name) ? errno : 0;
				third = type == SOCK_STREAM && listen(b, 1) ? errno : 0;
				close(b);
				b = socket(AF_INET, type, 0);
				if (options[k].address) on(b, SOL_SOCKET, SO_REUSEADDR);
				if (options[k].port) on(b, SOL_SOCKET, SO_REUSEPORT);
				printf("%s: type %d, %d%d and %d%d: %d, %d %d, any %d\n", group_name, type, options[i].address, options[i].port,
					options[k].address, options[k].port, first, second, third, bind(b, SA(any), sizeof any) ? errno : 0);
				close(a), close(b);
			}
}

/* A socket that connects to its own name. */
static void itself(void)
{
	struct sockaddr_in name = at("127.0.0.1", 0);
	char byte = 0;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bind(fd, SA(name), sizeof name);
	name.sin_port = port_of(fd);
	O(connect(fd, SA(name), sizeof name));
	O(send(fd, "x", 1, MSG_NOSIGNAL));
	O(recv(fd, &byte, 1, MSG_DONTWAIT));
	close(fd);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	name.sin_port = 0;
	bind(fd, SA(name), sizeof name);
	name.sin_port = port_of(fd);
	O(connect(fd, SA(name), sizeof name));
	O(send(fd, "x", 1, 0));
	O(recv(fd, &byte, 1, MSG_DONTWAIT));
	close(fd);
}

/* Ends of a stream, and what comes after them. */
static void ends(void)
{
	struct sockaddr_in name = at("127.0.0.1", 0);
	struct linger reset = {1, 0};
	char buffer[100];
	int l = socket(AF_INET, SOCK_STREAM, 0), c, s, value;
	socklen_t bytes = sizeof value;
	bind(l, SA(name), sizeof name), listen(l, 5);
	name.sin_port = port_of(l);
	V(polled(l));
	c = socket(AF_INET, SOCK_STREAM, 0);
	V(polled(c));
	connect(c, SA(name), sizeof name);
	V(polled(l));
	s = accept(l, 0, 0);
	V(polled(c));
	O(send(c, "last", 4, 0));
	O(shutdown(c, SHUT_WR));
	V(polled(c));
	usleep(1000);
	V(polled(s));
	O(recv(s, buffer, 100, 0));
	V(polled(s));
	O(recv(s, buffer, 100, 0));
	O(shutdown(s, SHUT_WR));
	usleep(1000);
	V(polled(s));
	V(polled(c));
	O(recv(c, buffer, 100, 0));
	O(send(c, "x", 1, MSG_NOSIGNAL));
	O(getsockopt(c, SOL_SOCKET, SO_ERROR, &value, &bytes));
	V(value);
	close(c), close(s);
	/* A reset. */
	c = socket(AF_INET, SOCK_STREAM, 0), connect(c, SA(name), sizeof name), s = accept(l, 0, 0);
	O(setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof reset));
	close(c);
	usleep(1000);
	V(polled(s));
	O(send(s, "x", 1, MSG_NOSIGNAL));
	O(recv(s, buffer, 1, 0));
	O(send(s, "x", 1, MSG_NOSIGNAL));
	close(s);
	c = socket(AF_INET, SOCK_STREAM, 0), connect(c, SA(name), sizeof name), s = accept(l, 0, 0);
	setsockopt(c, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
	O(send(c, "lost?", 5, 0));
	close(c);
	usleep(1000);
	O(getsockopt(s, SOL_SOCKET, SO_ERROR, &value, &bytes));
	V(value);
	O(getsockopt(s, SOL_SOCKET, SO_ERROR, &value, &bytes));
	V(value);
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	close(s);
	/* Shut down for reading. */
	c = socket(AF_INET, SOCK_STREAM, 0), connect(c, SA(name), sizeof name), s = accept(l, 0, 0);
	O(shutdown(s, SHUT_RD));
	V(polled(s));
	O(recv(s, buffer, 100, 0));
	O(send(c, "in spite", 8, 0));
	usleep(1000);
	O(recv(s, buffer, 100, 0));
	O(recv(s, buffer, 100, MSG_DONTWAIT));
	close(c), close(s);
	/* Not accepted yet. */
	c = socket(AF_INET, SOCK_STREAM, 0), connect(c, SA(name), sizeof name);
	O(send(c, "early", 5, 0));
	O(shutdown(c, SHUT_WR));
	s = accept(l, 0, 0);
	O(recv(s, buffer, 100, MSG_WAITALL));
	O(recv(s, buffer, 100, 0));
	close(c), close(s);
	/* Urgent data is not there, and that is told. */
	c = socket(AF_INET, SOCK_STREAM, 0), connect(c, SA(name), sizeof name), s = accept(l, 0, 0);
	O(ioctl(s, SIOCATMARK, &value));
	V(value);
	O(recv(s, buffer, 1, MSG_OOB | MSG_DONTWAIT));
	O(ioctl(c, TIOCOUTQ, &value));
	V(value);
	{
		struct tcp_info info = {0};
		socklen_t room = sizeof info;
		O(getsockopt(c, IPPROTO_TCP, TCP_INFO, &info, &room));
		V(info.tcpi_state);
		V(info.tcpi_snd_mss > 500);
		V(info.tcpi_rcv_mss > 0);
		V(info.tcpi_snd_cwnd > 0);
		V(info.tcpi_unacked);
	}
	close(c), close(s), close(l);
}

/* Connecting, waiting and not. */
static void connecting(void)
{
	struct sockaddr_in name = at("127.0.0.1", 0);
	int l = socket(AF_INET, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), value, s;
	socklen_t bytes = sizeof value;
	bind(l, SA(name), sizeof name);
	name.sin_port = port_of(l);
	O(connect(c, SA(name), sizeof name));
	usleep(1000);
	V(polled(c));
	O(getsockopt(c, SOL_SOCKET, SO_ERROR, &value, &bytes));
	V(value);
	O(connect(c, SA(name), sizeof name));
	close(c);
	listen(l, 1);
	c = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	O(connect(c, SA(name), sizeof name));
	usleep(1000);
	V(polled(c));
	O(getsockopt(c, SOL_SOCKET, SO_ERROR, &value, &bytes));
	V(value);
	O(connect(c, SA(name), sizeof name));
	O(connect(c, SA(name), sizeof name));
	s = S(accept4, l, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
	O(fcntl(s, F_GETFL));
	O(fcntl(s, F_GETFD));
	close(s);
	O(S(accept4, l, 0, 0, 0x40000000));
	O(fcntl(l, F_SETFL, O_NONBLOCK));
	O(accept(l, 0, 0));
	close(c), close(l);
	c = socket(AF_INET, SOCK_STREAM, 0);
	name.sin_port = 0;
	O(connect(c, SA(name), sizeof name));
	name.sin_family = AF_INET6;
	O(connect(c, SA(name), sizeof name));
	close(c);
}

/* Datagrams after an end. */
static void shut_datagrams(void)
{
	struct sockaddr_in name = at("127.0.0.1", 0);
	char buffer[10];
	int s = socket(AF_INET, SOCK_DGRAM, 0), c = socket(AF_INET, SOCK_DGRAM, 0);
	bind(s, SA(name), sizeof name);
	name.sin_port = port_of(s);
	O(connect(c, SA(name), sizeof name));
	O(send(c, "one", 3, 0));
	O(shutdown(s, SHUT_RD));
	V(polled(s));
	O(recv(s, buffer, 10, 0));
	O(recv(s, buffer, 10, 0));
	O(recv(s, buffer, 10, MSG_DONTWAIT));
	O(read(s, buffer, 10));
	O(send(c, "two", 3, 0));
	O(recv(s, buffer, 10, 0));
	O(shutdown(c, SHUT_WR));
	V(polled(c));
	O(send(c, "x", 1, 0));
	O(write(c, "x", 1));
	O(shutdown(c, SHUT_RD));
	V(polled(c));
	O(recv(c, buffer, 10, 0));
	O(shutdown(s, SHUT_RDWR));
	V(polled(s));
	O(sendto(s, "x", 1, 0, SA(name), sizeof name));
	close(s), close(c);
}

void internet_groups(void)
{
	if (group("loopbacks"))
		loopbacks();
	if (group("families"))
		families();
	if (group("names_in_use"))
		names_in_use();
	if (group("itself"))
		itself();
	if (group("ends"))
		ends();
	if (group("connecting"))
		connecting();
	if (group("shut_datagrams"))
		shut_datagrams();
}
