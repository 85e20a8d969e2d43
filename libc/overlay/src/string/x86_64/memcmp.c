/* memcmp, 16 bytes at a time with SSE2, four times that while all is equal. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint32_t word4 __attribute__((may_alias, aligned(1)));
typedef uint64_t word8 __attribute__((may_alias, aligned(1)));
typedef char block __attribute__((vector_size(16), may_alias, aligned(1)));
typedef char plain_block __attribute__((vector_size(16)));

/* Bytes that are equal in both become 0xff. */
static inline plain_block equals(const unsigned char *left, const unsigned char *right)
{
	return *(const block *)left == *(const block *)right;
}

/* The result for two blocks whose bytes are not all equal. */
static inline int decide(const unsigned char *left, const unsigned char *right)
{
	unsigned at = __builtin_ctz(~__builtin_ia32_pmovmskb128(equals(left, right)));
	return left[at] - right[at];
}

static inline int all(plain_block equal)
{
	return __builtin_ia32_pmovmskb128(equal) == 0xffff;
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const unsigned char *left = a, *right = b;
	if (bytes >= 16) {
		const unsigned char *left_end = left + bytes - 16, *right_end = right + bytes - 16;
		while (left_end - left >= 64) {
			plain_block first = equals(left, right) & equals(left + 16, right + 16);
			plain_block second = equals(left + 32, right + 32) & equals(left + 48, right + 48);
			if (!all(first & second))
				break;
			left += 64;
			right += 64;
		}
		for (; left < left_end; left += 16, right += 16)
			if (!all(equals(left, right)))
				return decide(left, right);
		/* The last 16 bytes, some of them again. */
		return all(equals(left_end, right_end)) ? 0 : decide(left_end, right_end);
	}
	if (bytes >= 4) {
		/* Big-endian, words compare as their bytes do; the second one may repeat some. */
		uint64_t x, y;
		if (bytes >= 8) {
			x = __builtin_bswap64(*(const word8 *)left);
			y = __builtin_bswap64(*(const word8 *)right);
			if (x == y) {
				x = __builtin_bswap64(*(const word8 *)(left + bytes - 8));
				y = __builtin_bswap64(*(const word8 *)(right + bytes - 8));
			}
		} else {
			x = __builtin_bswap32(*(const word4 *)left);
			y = __builtin_bswap32(*(const word4 *)right);
			if (x == y) {
				x = __builtin_bswap32(*(const word4 *)(left + bytes - 4));
				y = __builtin_bswap32(*(const word4 *)(right + bytes - 4));
			}
		}
		return (x > y) - (x < y);
	}
	for (size_t at = 0; at < bytes; at++)
		if (left[at] != right[at])
			return left[at] - right[at];
	return 0;
}
