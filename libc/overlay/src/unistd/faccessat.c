/* The library OS knows flags: no second process is needed that asks as another user. */
#include <fcntl.h>
#include <unistd.h>
#include "syscall.h"

int faccessat(int fd, const char *filename, int amode, int flag)
{
	return flag ? syscall(SYS_faccessat2, fd, filename, amode, flag) : syscall(SYS_faccessat, fd, filename, amode);
}
