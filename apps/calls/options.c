/* Options of sockets: what is taken, what is refused, and what reads back. */
#include "calls.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

static int fd;
static const char *kind;

/* Writes `value` to an option, and reads it before and after. */
static void both(const char *name, int level, int option, int value)
{
	int before = 123456, after = 123456;
	socklen_t bytes = sizeof before;
	errno = 0;
	int a = getsockopt(fd, level, option, &before, &bytes);
	int first = a ? errno : 0;
	errno = 0;
	int b = setsockopt(fd, level, option, &value, sizeof value);
	int second = b ? errno : 0;
	socklen_t again = sizeof after;
	errno = 0;
	int c = getsockopt(fd, level, option, &after, &again);
	printf("%s: %s %s: get %d %d (%d), set %d, get %d %d (%d)\n", group_name, kind, name, first, a ? 0 : before,
		a ? 0 : (int)bytes, second, c ? errno : 0, c ? 0 : after, c ? 0 : (int)again);
}

#define BOTH(level, option, value) both(#level " " #option " " #value, level, option, value)

static int length_of(int level, int option, int room)
{
	char value[256];
	socklen_t bytes = room;
	if (getsockopt(fd, level, option, value, &bytes))
		return -1;
	return bytes;
}

static int set_bytes(int level, int option, int value, int bytes)
{
	char room[64] = {0};
	memcpy(room, &value, sizeof value);
	return setsockopt(fd, level, option, room, bytes);
}

static void socket_level(void)
{
	BOTH(SOL_SOCKET, SO_TYPE, 1);
	BOTH(SOL_SOCKET, SO_DOMAIN, 1);
	BOTH(SOL_SOCKET, SO_PROTOCOL, 1);
	BOTH(SOL_SOCKET, SO_ACCEPTCONN, 1);
	BOTH(SOL_SOCKET, SO_ERROR, 1);
	BOTH(SOL_SOCKET, SO_DEBUG, 1);
	BOTH(SOL_SOCKET, SO_REUSEADDR, 5);
	BOTH(SOL_SOCKET, SO_REUSEADDR, 0);
	BOTH(SOL_SOCKET, SO_DONTROUTE, 1);
	BOTH(SOL_SOCKET, SO_BROADCAST, 3);
	BOTH(SOL_SOCKET, SO_KEEPALIVE, 7);
	BOTH(SOL_SOCKET, SO_OOBINLINE, 1);
	BOTH(SOL_SOCKET, SO_NO_CHECK, 1);
	BOTH(SOL_SOCKET, SO_PRIORITY, 4);
	BOTH(SOL_SOCKET, SO_PRIORITY, 6);
	BOTH(SOL_SOCKET, SO_PRIORITY, 0);
	BOTH(SOL_SOCKET, SO_PASSCRED, 1);
	BOTH(SOL_SOCKET, SO_PASSCRED, 0);
	BOTH(SOL_SOCKET, SO_PASSSEC, 0);
	BOTH(SOL_SOCKET, SO_TIMESTAMP, 1);
	BOTH(SOL_SOCKET, SO_TIMESTAMP, 0);
	BOTH(SOL_SOCKET, SO_TIMESTAMPNS, 0);
	BOTH(SOL_SOCKET, SO_TIMESTAMPING, 0);
	BOTH(SOL_SOCKET, SO_RCVLOWAT, 100);
	BOTH(SOL_SOCKET, SO_RCVLOWAT, 0);
	BOTH(SOL_SOCKET, SO_RCVLOWAT, 1);
	BOTH(SOL_SOCKET, SO_SNDLOWAT, 5);
	BOTH(SOL_SOCKET, SO_MARK, 3);
	BOTH(SOL_SOCKET, SO_MARK, 0);
	BOTH(SOL_SOCKET, SO_RXQ_OVFL, 1);
	BOTH(SOL_SOCKET, SO_RXQ_OVFL, 0);
	BOTH(SOL_SOCKET, SO_WIFI_STATUS, 0);
	BOTH(SOL_SOCKET, SO_PEEK_OFF, -1);
	BOTH(SOL_SOCKET, SO_NOFCS, 0);
	BOTH(SOL_SOCKET, SO_LOCK_FILTER, 0);
	BOTH(SOL_SOCKET, SO_SELECT_ERR_QUEUE, 0);
	BOTH(SOL_SOCKET, SO_BUSY_POLL, 0);
	BOTH(SOL_SOCKET, SO_MAX_PACING_RATE, -1);
	BOTH(SOL_SOCKET, SO_REUSEPORT, 4);
	BOTH(SOL_SOCKET, SO_REUSEPORT, 0);
	BOTH(SOL_SOCKET, SO_ZEROCOPY, 2);
	BOTH(SOL_SOCKET, SO_INCOMING_CPU, 0);
	BOTH(SOL_SOCKET, SO_SNDBUF, 20000);
	BOTH(SOL_SOCKET, SO_SNDBUF, 0);
	BOTH(SOL_SOCKET, SO_SNDBUF, 10000);
	BOTH(SOL_SOCKET, SO_RCVBUF, 20000);
	BOTH(SOL_SOCKET, SO_RCVBUF, 0);
	BOTH(SOL_SOCKET, SO_RCVBUF, 10000);
	BOTH(SOL_SOCKET, SO_DETACH_FILTER, 0);
	BOTH(SOL_SOCKET, SO_DETACH_BPF, 0);
	BOTH(SOL_SOCKET, 99, 1);
	BOTH(SOL_SOCKET, 90, 1);
	BOTH(SOL_SOCKET, 1000, 1);
	BOTH(SOL_SOCKET, -1, 1);
	O(length_of(SOL_SOCKET, SO_TIMESTAMPING, 64));
	O(length_of(SOL_SOCKET, SO_TIMESTAMPING, 4));
	O(length_of(SOL_SOCKET, SO_MAX_PACING_RATE, 64));
	O(length_of(SOL_SOCKET, SO_MAX_PACING_RATE, 4));
	O(length_of(SOL_SOCKET, SO_RCVBUFFORCE, 4));
	O(length_of(SOL_SOCKET, SO_SNDBUFFORCE, 4));
	O(set_bytes(SOL_SOCKET, SO_REUSEADDR, 1, 2));
	O(set_bytes(SOL_SOCKET, SO_REUSEADDR, 1, 8));
	O(set_bytes(SOL_SOCKET, SO_REUSEADDR, 0, 4));
	O(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 0, 4));
	O(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 0, 0));
	O(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 0, -1));
	O(set_bytes(SOL_SOCKET, 99, 1, 2));
	O(length_of(SOL_SOCKET, SO_TYPE, 2));
	O(length_of(SOL_SOCKET, SO_TYPE, 0));
	O(length_of(SOL_SOCKET, SO_TYPE, -1));
	O(length_of(SOL_SOCKET, SO_TYPE, 8));
	O(length_of(SOL_SOCKET, SO_LINGER, 8));
	O(length_of(SOL_SOCKET, SO_LINGER, 4));
	O(length_of(SOL_SOCKET, SO_RCVTIMEO, 16));
	O(length_of(SOL_SOCKET, SO_RCVTIMEO, 32));
	O(length_of(SOL_SOCKET, 99, 4));
	O(getsockopt(fd, SOL_SOCKET, SO_TYPE, 0, 0));
	{
		struct linger linger = {1, 30}, read = {9, 9};
		socklen_t bytes = sizeof read;
		O(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
		O(getsockopt(fd, SOL_SOCKET, SO_LINGER, &read, &bytes));
		V(read.l_onoff * 1000 + read.l_linger);
		linger = (struct linger){0, 30};
		O(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
		O(getsockopt(fd, SOL_SOCKET, SO_LINGER, &read, &bytes));
		V(read.l_onoff * 1000 + read.l_linger);
		linger = (struct linger){7, 5};
		O(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
		O(getsockopt(fd, SOL_SOCKET, SO_LINGER, &read, &bytes));
		V(read.l_onoff * 1000 + read.l_linger);
		O(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, 4));
		linger = (struct linger){0, 0};
		O(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	}
	{
		struct timeval time = {1, 500000}, read = {9, 9};
		socklen_t bytes = sizeof read;
		O(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
		O(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read, &bytes));
		V(read.tv_sec * 1000000 + read.tv_usec);
		time = (struct timeval){-1, 0};
		O(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
		O(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &read, &bytes));
		V(read.tv_sec * 1000000 + read.tv_usec);
		time = (struct timeval){0, 1000000};
		O(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
		time = (struct timeval){0, 0};
		O(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time));
		O(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, 8));
		O(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
	}
}

static void tcp_level(void)
{
	BOTH(IPPROTO_TCP, TCP_NODELAY, 5);
	BOTH(IPPROTO_TCP, TCP_NODELAY, 0);
	BOTH(IPPROTO_TCP, TCP_CORK, 1);
	BOTH(IPPROTO_TCP, TCP_CORK, 0);
	BOTH(IPPROTO_TCP, TCP_KEEPIDLE, 60);
	BOTH(IPPROTO_TCP, TCP_KEEPIDLE, 0);
	BOTH(IPPROTO_TCP, TCP_KEEPIDLE, 40000);
	BOTH(IPPROTO_TCP, TCP_KEEPINTVL, 10);
	BOTH(IPPROTO_TCP, TCP_KEEPINTVL, 0);
	BOTH(IPPROTO_TCP, TCP_KEEPCNT, 3);
	BOTH(IPPROTO_TCP, TCP_KEEPCNT, 128);
	BOTH(IPPROTO_TCP, TCP_SYNCNT, 3);
	BOTH(IPPROTO_TCP, TCP_SYNCNT, 0);
	BOTH(IPPROTO_TCP, TCP_SYNCNT, 128);
	BOTH(IPPROTO_TCP, TCP_LINGER2, 10);
	BOTH(IPPROTO_TCP, TCP_LINGER2, -1);
	BOTH(IPPROTO_TCP, TCP_DEFER_ACCEPT, 10);
	BOTH(IPPROTO_TCP, TCP_DEFER_ACCEPT, 1);
	BOTH(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
	BOTH(IPPROTO_TCP, TCP_WINDOW_CLAMP, 0);
	BOTH(IPPROTO_TCP, TCP_QUICKACK, 1);
	BOTH(IPPROTO_TCP, TCP_USER_TIMEOUT, 5000);
	BOTH(IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
	BOTH(IPPROTO_TCP, TCP_USER_TIMEOUT, 0);
	BOTH(IPPROTO_TCP, TCP_MAXSEG, 1);
	BOTH(IPPROTO_TCP, TCP_MAXSEG, 1000);
	BOTH(IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16384);
	BOTH(IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, 1);
	BOTH(IPPROTO_TCP, TCP_SAVE_SYN, 1);
	BOTH(IPPROTO_TCP, TCP_REPAIR, 9);
	BOTH(IPPROTO_TCP, TCP_INFO, 1);
	BOTH(IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 0);
	BOTH(IPPROTO_TCP, TCP_FASTOPEN, -1);
	BOTH(IPPROTO_TCP, TCP_TIMESTAMP, 0);
	BOTH(IPPROTO_TCP, TCP_INQ, 1);
	BOTH(IPPROTO_TCP, TCP_INQ, 0);
	BOTH(IPPROTO_TCP, 99, 1);
	BOTH(IPPROTO_TCP, 1000, 1);
	O(set_bytes(IPPROTO_TCP, TCP_NODELAY, 1, 2));
	O(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7));
	O(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	{
		char name[32] = {0};
		socklen_t bytes = sizeof name;
		O(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &bytes));
		printf("%s: congestion control %s, %d bytes\n", group_name, name, (int)bytes);
	}
}

static void ip_level(void)
{
	BOTH(IPPROTO_IP, IP_TOS, 0x10);
	BOTH(IPPROTO_IP, IP_TOS, 0);
	BOTH(IPPROTO_IP, IP_TTL, 33);
	BOTH(IPPROTO_IP, IP_TTL, 0);
	BOTH(IPPROTO_IP, IP_TTL, 256);
	BOTH(IPPROTO_IP, IP_TTL, -1);
	BOTH(IPPROTO_IP, IP_HDRINCL, 1);
	BOTH(IPPROTO_IP, IP_RECVTOS, 1);
	BOTH(IPPROTO_IP, IP_RECVTOS, 0);
	BOTH(IPPROTO_IP, IP_RECVTTL, 1);
	BOTH(IPPROTO_IP, IP_RECVTTL, 0);
	BOTH(IPPROTO_IP, IP_PKTINFO, 3);
	BOTH(IPPROTO_IP, IP_PKTINFO, 0);
	BOTH(IPPROTO_IP, IP_MTU_DISCOVER, 0);
	BOTH(IPPROTO_IP, IP_MTU_DISCOVER, 2);
	BOTH(IPPROTO_IP, IP_MTU_DISCOVER, 9);
	BOTH(IPPROTO_IP, IP_MTU_DISCOVER, 1);
	BOTH(IPPROTO_IP, IP_RECVERR, 1);
	BOTH(IPPROTO_IP, IP_RECVERR, 0);
	BOTH(IPPROTO_IP, IP_FREEBIND, 1);
	BOTH(IPPROTO_IP, IP_FREEBIND, 0);
	BOTH(IPPROTO_IP, IP_TRANSPARENT, 0);
	BOTH(IPPROTO_IP, IP_MTU, 1);
	BOTH(IPPROTO_IP, IP_MULTICAST_TTL, 3);
	BOTH(IPPROTO_IP, IP_MULTICAST_TTL, 256);
	BOTH(IPPROTO_IP, IP_MULTICAST_LOOP, 0);
	BOTH(IPPROTO_IP, IP_MULTICAST_LOOP, 1);
	BOTH(IPPROTO_IP, IP_MULTICAST_ALL, 1);
	BOTH(IPPROTO_IP, IP_RECVORIGDSTADDR, 0);
	BOTH(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	BOTH(IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 0);
	BOTH(IPPROTO_IP, IP_UNICAST_IF, 0);
	BOTH(IPPROTO_IP, IP_MINTTL, 1);
	BOTH(IPPROTO_IP, IP_MINTTL, 256);
	BOTH(IPPROTO_IP, IP_NODEFRAG, 1);
	BOTH(IPPROTO_IP, IP_PASSSEC, 0);
	BOTH(IPPROTO_IP, IP_RETOPTS, 0);
	BOTH(IPPROTO_IP, 99, 1);
	BOTH(IPPROTO_IP, 1000, 1);
	{
		struct ip_mreq request = {{0}, {0}};
		O(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
		O(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &request, sizeof request));
		O(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, 2));
	}
}

static void ipv6_level(void)
{
	BOTH(IPPROTO_IPV6, IPV6_V6ONLY, 1);
	BOTH(IPPROTO_IPV6, IPV6_V6ONLY, 0);
	BOTH(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
	BOTH(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 256);
	BOTH(IPPROTO_IPV6, IPV6_UNICAST_HOPS, -1);
	BOTH(IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 5);
	BOTH(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
	BOTH(IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
	BOTH(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
	BOTH(IPPROTO_IPV6, IPV6_RECVPKTINFO, 0);
	BOTH(IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 0);
	BOTH(IPPROTO_IPV6, IPV6_RECVTCLASS, 0);
	BOTH(IPPROTO_IPV6, IPV6_TCLASS, 0x20);
	BOTH(IPPROTO_IPV6, IPV6_TCLASS, 256);
	BOTH(IPPROTO_IPV6, IPV6_TCLASS, 0);
	BOTH(IPPROTO_IPV6, IPV6_MTU_DISCOVER, 1);
	BOTH(IPPROTO_IPV6, IPV6_RECVERR, 0);
	BOTH(IPPROTO_IPV6, IPV6_FREEBIND, 0);
	BOTH(IPPROTO_IPV6, IPV6_DONTFRAG, 0);
	BOTH(IPPROTO_IPV6, 999, 1);
}

static void other_levels(void)
{
	BOTH(9999, 1, 1);
	BOTH(IPPROTO_SCTP, 1, 1);
	BOTH(SOL_NETLINK, 1, 1);
	BOTH(IPPROTO_ICMP, 1, 1);
}

static void tcp_options(void)
{
	kind = "tcp", fd = socket(AF_INET, SOCK_STREAM, 0);
	socket_level();
	tcp_level();
	ip_level();
	other_levels();
	BOTH(IPPROTO_UDP, UDP_CORK, 1);
	BOTH(IPPROTO_IPV6, IPV6_V6ONLY, 1);
	BOTH(IPPROTO_IPV6, IPV6_UNICAST_HOPS, 5);
	close(fd);
}

static void udp_options(void)
{
	kind = "udp", fd = socket(AF_INET, SOCK_DGRAM, 0);
	socket_level();
	ip_level();
	other_levels();
	BOTH(IPPROTO_TCP, TCP_NODELAY, 1);
	BOTH(IPPROTO_UDP, UDP_CORK, 1);
	BOTH(IPPROTO_UDP, UDP_CORK, 0);
	BOTH(IPPROTO_UDP, UDP_SEGMENT, 0);
	BOTH(IPPROTO_UDP, UDP_GRO, 0);
	BOTH(IPPROTO_UDP, UDP_ENCAP, 0);
	BOTH(IPPROTO_UDP, 77, 1);
	BOTH(IPPROTO_IPV6, IPV6_V6ONLY, 1);
	close(fd);
}

static void tcp6_options(void)
{
	kind = "tcp6", fd = socket(AF_INET6, SOCK_STREAM, 0);
	BOTH(SOL_SOCKET, SO_DOMAIN, 1);
	ipv6_level();
	ip_level();
	BOTH(IPPROTO_TCP, TCP_NODELAY, 1);
	BOTH(SOL_SOCKET, SO_REUSEADDR, 1);
	BOTH(SOL_SOCKET, 99, 1);
	close(fd);
	kind = "udp6", fd = socket(AF_INET6, SOCK_DGRAM, 0);
	ipv6_level();
	BOTH(SOL_SOCKET, SO_DOMAIN, 1);
	BOTH(SOL_SOCKET, SO_PROTOCOL, 1);
	close(fd);
}

static void unix_options(void)
{
	int pair[2];
	struct ucred peer = {9, 9, 9};
	socklen_t bytes = sizeof peer;
	kind = "unix", fd = socket(AF_UNIX, SOCK_STREAM, 0);
	socket_level();
	other_levels();
	BOTH(IPPROTO_TCP, TCP_NODELAY, 1);
	BOTH(IPPROTO_IP, IP_TTL, 1);
	O(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes));
	V(peer.pid);
	V((int)peer.uid);
	V((int)peer.gid);
	close(fd);
	O(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	O(getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &bytes));
	V(peer.pid == getpid());
	V(peer.uid);
	close(pair[0]);
	close(pair[1]);
}

/* What a listener's options do to what it accepts, and errors that are read. */
static void inherited(void)
{
	struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t bytes = sizeof name;
	int listener = socket(AF_INET, SOCK_STREAM, 0), client, served, refused;
	O(bind(listener, (struct sockaddr *)&name, sizeof name));
	O(getsockname(listener, (struct sockaddr *)&name, &bytes));
	kind = "listener", fd = listener;
	BOTH(IPPROTO_TCP, TCP_NODELAY, 1);
	BOTH(SOL_SOCKET, SO_KEEPALIVE, 1);
	BOTH(IPPROTO_IP, IP_TOS, 8);
	BOTH(IPPROTO_IP, IP_TTL, 33);
	BOTH(IPPROTO_TCP, TCP_KEEPIDLE, 77);
	BOTH(IPPROTO_TCP, TCP_DEFER_ACCEPT, 0);
	O(listen(listener, 5));
	BOTH(SOL_SOCKET, SO_ACCEPTCONN, 0);
	BOTH(SOL_SOCKET, SO_REUSEADDR, 1);
	client = socket(AF_INET, SOCK_STREAM, 0);
	O(connect(client, (struct sockaddr *)&name, sizeof name));
	served = accept(listener, 0, 0);
	kind = "accepted", fd = served;
	BOTH(SOL_SOCKET, SO_ACCEPTCONN, 0);
	BOTH(SOL_SOCKET, SO_TYPE, 0);
	BOTH(SOL_SOCKET, SO_KEEPALIVE, 0);
	BOTH(SOL_SOCKET, SO_REUSEADDR, 1);
	BOTH(IPPROTO_TCP, TCP_NODELAY, 0);
	BOTH(IPPROTO_TCP, TCP_KEEPIDLE, 60);
	BOTH(IPPROTO_IP, IP_TTL, 64);
	BOTH(IPPROTO_IP, IP_TOS, 0);
	V(fcntl(served, 3, 0));
	close(served);
	close(client);
	close(listener);
	refused = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	kind = "refused", fd = refused;
	connect(refused, (struct sockaddr *)&name, sizeof name);
	usleep(20000);
	BOTH(SOL_SOCKET, SO_ERROR, 0);
	BOTH(SOL_SOCKET, SO_ERROR, 0);
	close(refused);
}

void option_groups(void)
{
	if (group("tcp_options"))
		tcp_options();
	if (group("udp_options"))
		udp_options();
	if (group("tcp6_options"))
		tcp6_options();
	if (group("unix_options"))
		unix_options();
	if (group("inherited"))
		inherited();
}
