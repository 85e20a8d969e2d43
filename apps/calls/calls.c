/* Runs the groups that the arguments name, or all. */
#include "calls.h"
#include <signal.h>

const char *group_name = "";
static char **wanted;

int group(const char *name)
{
	group_name = name;
	if (!wanted[0])
		return 1;
	for (char **each = wanted; *each; each++)
		if (!strcmp(*each, name))
			return 1;
	return 0;
}

int main(int count, char **arguments)
{
	(void)count;
	wanted = arguments + 1;
	setvbuf(stdout, 0, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	process_groups();
	clock_groups();
	option_groups();
	datagram_groups();
	local_groups();
	ready_groups();
	file_groups();
	proc_groups();
	float_groups();
	futex_groups();
	signal_file_groups();
	message_groups();
	internet_groups();
	rank_groups();
	moment_groups();
	queue_groups();
	pipe_groups();
	watch_groups();
	poll_groups();
	tree_groups();
	procfs_groups();
	/* Limits, once lowered, hold for all that follows. */
	limit_groups();
	/* The C library of Linux keeps a thread for timers, which others would count. */
	timer_groups();
	last_groups();
	return 0;
}
