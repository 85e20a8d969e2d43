/* The smallest C program: shows that an image starts, prints and ends. */
#include <stdio.h>

int main(void)
{
	puts("Hello from a Bespoke image.");
	return 0;
}
