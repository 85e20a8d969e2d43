/* Checks the overlay's memory functions on the host, each against a loop of single bytes.
 *
 * Every buffer ends at a page that cannot be touched, and another one starts after such a page, so
 * that reading or writing outside is a crash. Compiled with the functions renamed (ours_*). */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

void *ours_memmove(void *, const void *, size_t);
void *ours_memcpy(void *, const void *, size_t);
void *ours_memset(void *, int, size_t);
int ours_memcmp(const void *, const void *, size_t);
size_t ours_strlen(const char *);
int ours_strcasecmp(const char *, const char *);

enum { PAGE = 4096, ROOM = 8 * PAGE };

/* ROOM bytes between two pages that cannot be touched. */
static unsigned char *fenced(void)
{
	unsigned char *all = mmap(0, ROOM + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED || mprotect(all + PAGE, ROOM, PROT_READ | PROT_WRITE))
		abort();
	return all + PAGE;
}

static void check(int holds, const char *what, size_t bytes, size_t to, size_t from)
{
	if (holds)
		return;
	printf("%s is wrong for %zu bytes, offsets %zu and %zu\n", what, bytes, to, from);
	exit(1);
}

static unsigned char *work, *expected, *other;

static void fill(unsigned char *buffer, unsigned seed)
{
	for (size_t i = 0; i < ROOM; i++)
		buffer[i] = (seed = seed * 1103515245 + 12345) >> 16;
}

/* Within one buffer: every overlap there is. */
static void moves(size_t bytes, size_t to, size_t from)
{
	fill(work, bytes + to);
	fill(expected, bytes + to);
	for (size_t i = 0; i < bytes; i++)
		expected[to + i] = work[from + i];
	check(ours_memmove(work + to, work + from, bytes) == work + to, "memmove's result", bytes, to, from);
	check(!memcmp(work, expected, ROOM), "memmove", bytes, to, from);
}

static void copies(size_t bytes, size_t to, size_t from)
{
	fill(work, 1);
	fill(expected, 1);
	for (size_t i = 0; i < bytes; i++)
		expected[to + i] = other[from + i];
	ours_memcpy(work + to, other + from, bytes);
	check(!memcmp(work, expected, ROOM), "memcpy", bytes, to, from);
}

static void sets(size_t bytes, size_t to)
{
	fill(work, 2);
	fill(expected, 2);
	for (size_t i = 0; i < bytes; i++)
		expected[to + i] = 0xa5;
	check(ours_memset(work + to, 0x1a5, bytes) == work + to, "memset's result", bytes, to, 0);
	check(!memcmp(work, expected, ROOM), "memset", bytes, to, 0);
}

static int sign(int value)
{
	return (value > 0) - (value < 0);
}

static void compares(size_t bytes, size_t left, size_t right)
{
	memcpy(work + left, other + right, bytes);
	check(ours_memcmp(work + left, other + right, bytes) == 0, "memcmp of equals", bytes, left, right);
	for (size_t i = 0; i < bytes; i += 1 + bytes / 37) {
		unsigned char before = work[left + i];
		work[left + i] ^= 0x80;
		int expect = work[left + i] > before ? 1 : -1;
		/* A later difference must not count. */
		unsigned char last = work[left + bytes - 1];
		if (i != bytes - 1)
			work[left + bytes - 1] ^= 0xff;
		check(sign(ours_memcmp(work + left, other + right, bytes)) == expect, "memcmp", bytes, left, right);
		work[left + bytes - 1] = last;
		work[left + i] = before;
	}
}

static void measures(size_t bytes, size_t at)
{
	memset(work, 0, ROOM);
	memset(work + at, 'x', bytes);
	check(ours_strlen((char *)work + at) == bytes, "strlen", bytes, at, 0);
}

/* Every pair of bytes, after equal ones of another case, at the very end of what can be read. */
static void ignores_case(void)
{
	char *left = (char *)work + ROOM - 4, *right = (char *)expected + ROOM - 4;
	for (int a = 0; a < 256; a++)
		for (int b = 0; b < 256; b++) {
			memcpy(left, (char[]){ 'g', 'E', a, 0 }, 4);
			memcpy(right, (char[]){ 'G', 'e', b, 0 }, 4);
			int is = ours_strcasecmp(left, right);
			check(sign(is) == sign(strcasecmp(left, right)), "strcasecmp", 3, a, b);
		}
	check(ours_strcasecmp(left + 3, right + 3) == 0, "strcasecmp of nothing", 0, 0, 0);
	check(ours_strcasecmp(left + 3, right) < 0, "strcasecmp with less", 0, 0, 0);
}

int main(void)
{
	static const size_t large[] = { 255, 256, 257, 511, 1023, 2047, 2048, 2049, 4095, 4096, 4097, 5000, 12345 };
	work = fenced();
	expected = fenced();
	other = fenced();
	fill(other, 3);
	for (size_t k = 0; k < 200 + sizeof(large) / sizeof(*large); k++) {
		size_t bytes = k < 200 ? k : large[k - 200];
		size_t end = ROOM - bytes;
		for (size_t offset = 0; offset < 18; offset++) {
			copies(bytes, offset, 17 - offset);
			copies(bytes, end - offset, end - 3);
			copies(bytes, end, end - offset);
			moves(bytes, 64, 64 + offset * 5);
			moves(bytes, 64 + offset * 5, 64);
			moves(bytes, offset, end);
			moves(bytes, end, end - offset);
			sets(bytes, offset);
			sets(bytes, end - offset);
			compares(bytes, offset, 3);
			compares(bytes, end - offset, end);
			measures(bytes, offset);
			if (bytes + offset < ROOM)
				measures(bytes, end - 1 - offset);
		}
	}
	ignores_case();
	puts("memmove, memcpy, memset, memcmp, strlen, strcasecmp: right");
	return 0;
}
