/* An image has one process: what `clone` answers to a request for another. Nothing of a child is linked. */
#include <errno.h>
#include <spawn.h>

int posix_spawn(pid_t *restrict res, const char *restrict path, const posix_spawn_file_actions_t *fa,
	const posix_spawnattr_t *restrict attr, char *const argv[restrict], char *const envp[restrict])
{
	return ENOSYS;
}
