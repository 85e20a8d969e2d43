/* What the parts of the test program share. A check that fails names itself and ends the program. */
#ifndef CHECK_H
#define CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
	do { \
		if (!(condition)) { \
			printf("%s:%d: %s (errno %d, %s)\n", __FILE__, __LINE__, #condition, errno, strerror(errno)); \
			exit(1); \
		} \
	} while (0)

struct part {
	const char *name;
	void (*run)(void);
};

extern const struct part event_parts[], console_part[], network_parts[];

#endif
