#include "parts.h"

static const struct part {
	const char *name;
	void (*run)(void);
	int ends;
} parts[] = {
	{ "sleeper", sleeper }, { "flag", flag }, { "fair", fair }, { "cancel", cancel }, { "kill", kill_thread },
	{ "alarms", alarms }, { "cpu-timers", cpu_timers }, { "registers", registers },
	{ "calls", calls }, { "heap", heap }, { "locks", locks }, { "receiver", receiver },
	{ "details", details }, { "closed", closed }, { "repaired", repaired }, { "ticked", ticked }, { "outside", outside }, { "twice", twice }, { "moved", moved }, { "jumped", jumped }, { "once", once },
	{ "alternate", alternate }, { "overflow", overflow }, { "nested", nested }, { "states", states }, { "inside", inside },
	{ "queued", queued }, { "raised", raised }, { "full", full }, { "limited", limited }, { "ignored", ignored }, { "late", late },
	{ "terminated", terminated, 1 }, { "spinning", spinning, 1 }, { "blocked", blocked, 1 }, { "plain", plain, 1 },
};

void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	sigaction(signal, &action, 0);
}

/* The named parts, or all that do not end the program. */
int main(int count, char **names)
{
	setvbuf(stdout, 0, _IOLBF, 0);
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
		int wanted = count == 1 && !parts[i].ends;
		for (int j = 1; j < count; j++)
			wanted |= !strcmp(names[j], parts[i].name);
		if (!wanted)
			continue;
		printf("%s:\n", parts[i].name);
		parts[i].run();
	}
	return 0;
}
