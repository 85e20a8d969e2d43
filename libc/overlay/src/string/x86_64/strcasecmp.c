/* strcasecmp, without a call for each byte: Redis compares a command's name so for every request. Only ASCII has
 * cases in this library, whatever the locale. */

#include <locale.h>
#include <strings.h>

static inline int lower(unsigned char byte)
{
	return byte - 'A' < 26u ? byte | 32 : byte;
}

int strcasecmp(const char *left, const char *right)
{
	for (;; left++, right++) {
		int a = lower(*left), b = lower(*right);
		if (a != b || !a)
			return a - b;
	}
}

int strcasecmp_l(const char *left, const char *right, locale_t locale)
{
	(void)locale;
	return strcasecmp(left, right);
}
