/* memset with SSE2: stores from both ends that may overlap, 64 bytes at a time in between, and
 * `rep stosb` for what is long. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint16_t word2 __attribute__((may_alias, aligned(1)));
typedef uint32_t word4 __attribute__((may_alias, aligned(1)));
typedef uint64_t word8 __attribute__((may_alias, aligned(1)));
typedef long long block __attribute__((vector_size(16), may_alias, aligned(1)));
typedef long long aligned_block __attribute__((vector_size(16), may_alias));

#define STORE(type, at, value) (*(type *)(to + (at)) = (value))

/* From here on `rep stosb` beats the loop, its start-up cost included. */
#define STRING_STORE_BYTES 2048

void *memset(void *target, int value, size_t bytes)
{
	unsigned char *to = target;
	uint64_t word = (unsigned char)value * 0x0101010101010101u;
	if (bytes < 16) {
		if (bytes >= 8) {
			STORE(word8, 0, word);
			STORE(word8, bytes - 8, word);
		} else if (bytes >= 4) {
			STORE(word4, 0, word);
			STORE(word4, bytes - 4, word);
		} else if (bytes >= 2) {
			STORE(word2, 0, word);
			STORE(word2, bytes - 2, word);
		} else if (bytes) {
			*to = value;
		}
		return target;
	}
	block all = { (long long)word, (long long)word };
	STORE(block, 0, all);
	STORE(block, bytes - 16, all);
	if (bytes <= 32)
		return target;
	STORE(block, 16, all);
	STORE(block, bytes - 32, all);
	if (bytes <= 64)
		return target;
	STORE(block, 32, all);
	STORE(block, 48, all);
	STORE(block, bytes - 64, all);
	STORE(block, bytes - 48, all);
	if (bytes <= 128)
		return target;
	if (bytes >= STRING_STORE_BYTES) {
		__asm__ volatile ("rep stosb" : "+D"(to), "+c"(bytes) : "a"(value) : "memory");
		return target;
	}
	for (size_t at = 64 - ((uintptr_t)to & 15); at < bytes - 64; at += 64) {
		STORE(aligned_block, at, all);
		STORE(aligned_block, at + 16, all);
		STORE(aligned_block, at + 32, all);
		STORE(aligned_block, at + 48, all);
	}
	return target;
}
