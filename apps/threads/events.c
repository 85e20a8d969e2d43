/* Waiting on descriptors: pipes, sockets, events, timers, poll, select, epoll. */
#define _GNU_SOURCE
#include "check.h"

const struct part event_parts[] = {{0, 0}};
