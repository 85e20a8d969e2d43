/* strlen, 16 aligned bytes at a time with SSE2: an aligned block never reaches into another page, so
 * reading past the terminator within one is safe. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef char block __attribute__((vector_size(16), may_alias));

/* Bit k: byte k is the terminator. */
static inline unsigned terminators(const char *at)
{
	block zero = {0};
	return __builtin_ia32_pmovmskb128(*(const block *)at == zero);
}

size_t strlen(const char *text)
{
	const char *at = (const char *)((uintptr_t)text & -16);
	unsigned found = terminators(at) >> ((uintptr_t)text & 15);
	if (found)
		return __builtin_ctz(found);
	do {
		at += 16;
		found = terminators(at);
	} while (!found);
	return at + __builtin_ctz(found) - text;
}
