/* The network from within: what a test outside asks for, this side serves. */
#define _GNU_SOURCE
#include "check.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PORT 7

/* A socket of both families on the port. */
static int both(int type)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	int socket_ = socket(AF_INET6, type, 0), off = 0;
	CHECK(socket_ >= 0);
	CHECK(setsockopt(socket_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0);
	CHECK(bind(socket_, (struct sockaddr *)&any, sizeof any) == 0);
	return socket_;
}

/* The family a peer came by, whatever socket it came to. */
static char family(const struct sockaddr_in6 *peer)
{
	return IN6_IS_ADDR_V4MAPPED(&peer->sin6_addr) ? '4' : '6';
}

/* Answers what comes, by TCP and UDP, IPv4 and IPv6, with the protocol and the family in front; "end" ends it. */
static void echo(void)
{
	int listener = both(SOCK_STREAM), datagrams = both(SOCK_DGRAM);
	static char line[2 + 60000];
	CHECK(listen(listener, 8) == 0);
	for (;;) {
		struct sockaddr_in6 peer;
		socklen_t length = sizeof peer;
		struct pollfd polled[] = {{.fd = listener, .events = POLLIN}, {.fd = datagrams, .events = POLLIN}};
		CHECK(poll(polled, 2, -1) > 0);
		if (polled[0].revents) {
			int client = accept(listener, (struct sockaddr *)&peer, &length);
			ssize_t got = read(client, line + 2, sizeof line - 2);
			CHECK(client >= 0 && got >= 0);
			line[0] = 't', line[1] = family(&peer);
			CHECK(write(client, line, got + 2) == got + 2 && close(client) == 0);
		}
		if (polled[1].revents) {
			ssize_t got = recvfrom(datagrams, line + 2, sizeof line - 2, 0, (struct sockaddr *)&peer, &length);
			CHECK(got >= 0);
			line[0] = 'u', line[1] = family(&peer);
			CHECK(sendto(datagrams, line, got + 2, 0, (struct sockaddr *)&peer, length) == got + 2);
			if (got == 3 && !memcmp(line + 2, "end", 3))
				return;
		}
	}
}

static void look_up(const char *name, int family)
{
	struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *found = 0;
	int error = getaddrinfo(name, 0, &hints, &found);
	printf("%s: %s", name, error ? gai_strerror(error) : "found");
	for (struct addrinfo *entry = error ? 0 : found; entry; entry = entry->ai_next) {
		char text[64];
		CHECK(getnameinfo(entry->ai_addr, entry->ai_addrlen, text, sizeof text, 0, 0, NI_NUMERICHOST) == 0);
		printf(" %s", text);
	}
	printf("\n");
	if (!error)
		freeaddrinfo(found);
}

/* Asks the name server for names that the test's server knows, and one that it does not. */
static void names(void)
{
	look_up("four.test", AF_INET);
	look_up("six.test", AF_INET6);
	look_up("both.test", AF_UNSPEC);
	look_up("absent.test", AF_INET);
}

/* Connects and sends outwards: to the machine that runs this, at the port of the variable PORT. */
static void reach(void)
{
	struct sockaddr_in machine = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
	struct timeval patience = {.tv_sec = 2};
	char word[8] = "";
	int stream = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0);
	machine.sin_addr.s_addr = inet_addr("10.0.2.2");
	CHECK(connect(stream, (struct sockaddr *)&machine, sizeof machine) == 0);
	CHECK(write(stream, "stream", 6) == 6 && shutdown(stream, SHUT_WR) == 0);
	CHECK(recv(stream, word, 6, MSG_WAITALL) == 6 && !memcmp(word, "STREAM", 6) && read(stream, word, 1) == 0);
	CHECK(setsockopt(datagrams, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0);
	CHECK(connect(datagrams, (struct sockaddr *)&machine, sizeof machine) == 0);
	CHECK(send(datagrams, "packet", 6, 0) == 6);
	CHECK(recv(datagrams, word, 6, 0) == 6 && !memcmp(word, "PACKET", 6));
	/* Nobody listens there. */
	machine.sin_port = htons(1);
	close(stream);
	stream = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(connect(stream, (struct sockaddr *)&machine, sizeof machine) == -1 && errno == ECONNREFUSED);
}

const struct part network_parts[] = {{"echo", echo}, {"names", names}, {"reach", reach}, {0, 0}};
