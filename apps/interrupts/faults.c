/* Handlers of faults. */
#include "parts.h"

static sigjmp_buf back;
static char *page;

static char *new_page(int protection)
{
	return mmap(0, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static uintptr_t expected;

/* A compiler that knows the dividend does not divide. */
static void divide_by_zero(void)
{
	volatile int one = 1, zero = 0;
	printf("%d\n", one / zero);
}

static void leave(int signal, siginfo_t *info, void *context)
{
	ucontext_t *where = context;
	const char *at = "elsewhere";
	if ((uintptr_t)info->si_addr == expected)
		at = "where it was";
	else if ((uintptr_t)info->si_addr == (uintptr_t)where->uc_mcontext.gregs[REG_RIP])
		at = "at the instruction";
	printf("signal %d, number %d, code %#x, address %s, stack %d\n", signal, info->si_signo, info->si_code, at,
	       (uintptr_t)&where - where->uc_mcontext.gregs[REG_RSP] < 1 << 20 ||
		       where->uc_mcontext.gregs[REG_RSP] - (uintptr_t)&where < 1 << 20);
	siglongjmp(back, 1);
}

static void expect(uintptr_t address)
{
	expected = address;
}

void details(void)
{
	int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	for (int i = 0; i < 5; i++)
		handle(signals[i], leave, 0);
	for (volatile int i = 0; i < 6; i++) {
		if (sigsetjmp(back, 1))
			continue;
		switch (i) {
		case 0: expect(16); *(volatile int *)16 = 1; break;
		case 1: expect(-1); divide_by_zero(); break;
		case 2: expect(-1); __asm__ volatile("ud2"); break;
		case 3: expect(0); __asm__ volatile("int3"); break;
		case 4: expect(0); printf("%d\n", *(volatile int *)0x8000000000000000); break;
		case 5: expect(0x123456); ((void (*)(void))0x123456)(); break;
		}
		printf("nothing came of %d\n", i);
	}
}

/* A page that the program closed, read and written. */
void closed(void)
{
	handle(SIGSEGV, leave, 0);
	page = new_page(PROT_NONE);
	for (volatile int i = 0; i < 2; i++) {
		if (sigsetjmp(back, 1))
			continue;
		expect((uintptr_t)page + 4000);
		if (i)
			*(volatile char *)(page + 4000) = 1;
		else
			printf("%d\n", *(volatile char *)(page + 4000));
	}
	munmap(page, 4096);
}

static volatile int repairs;

static void repair(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	repairs++;
	mprotect((void *)((uintptr_t)info->si_addr & -4096), 4096, PROT_READ | PROT_WRITE);
}

/* The access is made once more when the handler returns. */
void repaired(void)
{
	handle(SIGSEGV, repair, 0);
	page = new_page(PROT_NONE);
	page[5] = 'x';
	printf("%c after %d\n", page[5], repairs);
	mprotect(page, 4096, PROT_NONE);
	printf("%d after %d\n", ((volatile char *)page)[6], repairs);
	munmap(page, 4096);
}

static void skip(int signal, siginfo_t *info, void *context)
{
	(void)info;
	ucontext_t *where = context;
	printf("signal %d, rbx %llx, r13 %llx\n", signal, where->uc_mcontext.gregs[REG_RBX],
	       where->uc_mcontext.gregs[REG_R13]);
	where->uc_mcontext.gregs[REG_RIP] += 2;
	where->uc_mcontext.gregs[REG_RCX] = 0x77;
	where->uc_mcontext.gregs[REG_R14] = 0x88;
}

/* All registers are the handler's to read and to change. */
void moved(void)
{
	uint64_t rcx, rbx, r13, r14;
	double before = 1.5, after;
	handle(SIGILL, skip, 0);
	__asm__ volatile("mov $0x1111, %%ebx\n mov $0x2222, %%r13d\n mov $1, %%ecx\n mov $2, %%r14d\n"
			 "movsd %5, %%xmm9\n ud2\n movsd %%xmm9, %4\n"
			 "mov %%rcx, %0\n mov %%rbx, %1\n mov %%r13, %2\n mov %%r14, %3"
			 : "=m"(rcx), "=m"(rbx), "=m"(r13), "=m"(r14), "=m"(after)
			 : "m"(before)
			 : "rax", "rbx", "rcx", "r13", "r14", "xmm9", "memory");
	printf("%lx %lx %lx %lx %.1f\n", (long)rcx, (long)rbx, (long)r13, (long)r14, after);
}

static void go_elsewhere(void)
{
	printf("elsewhere\n");
	siglongjmp(back, 2);
}

static void redirect(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	ucontext_t *where = context;
	where->uc_mcontext.gregs[REG_RIP] = (greg_t)go_elsewhere;
	where->uc_mcontext.gregs[REG_RSP] = (where->uc_mcontext.gregs[REG_RSP] - 1024) / 16 * 16 - 8;
}

void jumped(void)
{
	handle(SIGSEGV, redirect, SA_NODEFER);
	int how = sigsetjmp(back, 1);
	if (!how)
		*(volatile int *)24 = 1;
	printf("back by %d\n", how);
}

static void count_once(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	struct sigaction now;
	sigset_t mask;
	sigaction(signal, 0, &now);
	sigprocmask(0, 0, &mask);
	printf("default again %d, blocked %d\n", now.sa_handler == SIG_DFL, sigismember(&mask, signal));
	siglongjmp(back, 1);
}

void once(void)
{
	handle(SIGFPE, count_once, SA_RESETHAND | SA_NODEFER);
	if (!sigsetjmp(back, 1))
		divide_by_zero();
	handle(SIGFPE, count_once, 0);
	if (!sigsetjmp(back, 1))
		divide_by_zero();
	sigset_t mask;
	sigprocmask(0, 0, &mask);
	printf("blocked after it %d\n", sigismember(&mask, SIGFPE));
}

enum { STACK_BYTES = 64 << 10 };
static char *stack;

static void on_stack(int signal, siginfo_t *info, void *context)
{
	(void)info;
	ucontext_t *where = context;
	char here;
	stack_t now;
	sigaltstack(0, &now);
	stack_t other = { .ss_sp = stack, .ss_size = STACK_BYTES };
	int refused = sigaltstack(&other, 0);
	printf("signal %d, on it %d, flags %d, uc_stack %d, refused %d\n", signal,
	       &here > stack && &here < stack + STACK_BYTES, now.ss_flags,
	       where->uc_stack.ss_sp == stack && where->uc_stack.ss_size == STACK_BYTES, refused && errno == EPERM);
	if (signal == SIGSEGV)
		siglongjmp(back, 1);
}

static void take_stack(void)
{
	if (!stack)
		stack = malloc(STACK_BYTES);
	stack_t new = { .ss_sp = stack, .ss_size = STACK_BYTES };
	if (sigaltstack(&new, 0))
		perror("sigaltstack");
}

void alternate(void)
{
	stack_t now;
	sigaltstack(0, &now);
	printf("none: flags %d, size %zu\n", now.ss_flags, now.ss_size);
	stack_t small = { .ss_sp = page, .ss_size = 100 };
	int refused = sigaltstack(&small, 0);
	printf("too small: %d %d\n", refused, errno);
	take_stack();
	sigaltstack(0, &now);
	printf("set: flags %d, here %d\n", now.ss_flags, now.ss_sp == stack && now.ss_size == STACK_BYTES);
	handle(SIGUSR2, on_stack, SA_ONSTACK);
	raise(SIGUSR2);
	handle(SIGSEGV, on_stack, SA_ONSTACK);
	if (!sigsetjmp(back, 1))
		*(volatile int *)32 = 1;
	stack_t off = { .ss_flags = SS_DISABLE };
	sigaltstack(&off, 0);
	sigaltstack(0, &now);
	printf("off: flags %d\n", now.ss_flags);
}

static int descend(int depth)
{
	volatile char room[512];
	room[0] = depth;
	return descend(depth + 1) + room[0];
}

static void *overflow_thread(void *argument)
{
	(void)argument;
	take_stack();
	if (!sigsetjmp(back, 1))
		printf("%d\n", descend(0));
	printf("survived\n");
	return 0;
}

/* A stack that runs into its guard, of a thread and of the program. */
void overflow(void)
{
	handle(SIGSEGV, on_stack, SA_ONSTACK);
	pthread_t thread;
	pthread_create(&thread, 0, overflow_thread, 0);
	pthread_join(thread, 0);
	overflow_thread(0);
}

static void divide(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	printf("signal %d\n", signal);
	siglongjmp(back, signal);
}

static void fault_inside(int signal, siginfo_t *info, void *context)
{
	(void)info, (void)context;
	printf("signal %d, then\n", signal);
	divide_by_zero();
}

/* A fault in the handler of another one. */
void nested(void)
{
	handle(SIGSEGV, fault_inside, 0);
	handle(SIGFPE, divide, 0);
	int how = sigsetjmp(back, 1);
	if (!how)
		*(volatile int *)40 = 1;
	printf("back by %d\n", how);
	sigset_t mask;
	sigprocmask(0, 0, &mask);
	printf("blocked %d %d\n", sigismember(&mask, SIGSEGV), sigismember(&mask, SIGFPE));
}

static void disturb(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info;
	volatile double x = 3.5;
	unsigned mode = 0x3f80, now;
	__asm__ volatile("stmxcsr %0" : "=m"(now));
	printf("%.3f, rounding to nearest in it %d\n", x * 1.1, (now & 0x6000) == 0);
	__asm__ volatile("ldmxcsr %0\n std\n cld" : : "m"(mode));
	((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 2;
}

/* Rounding mode and vectors are the program's again after the handler. */
void states(void)
{
	handle(SIGILL, disturb, 0);
	unsigned mode = 0x7f80, after, usual = 0x1f80;
	__asm__ volatile("ldmxcsr %1\n ud2\n stmxcsr %0\n ldmxcsr %2" : "=m"(after) : "m"(mode), "m"(usual) : "memory");
	printf("%#x\n", after & 0xffc0);
}

/* What ends the program all the same. */
void blocked(void)
{
	sigset_t mask;
	handle(SIGSEGV, leave, 0);
	sigemptyset(&mask);
	sigaddset(&mask, SIGSEGV);
	sigprocmask(SIG_BLOCK, &mask, 0);
	*(volatile int *)48 = 1;
}

void plain(void)
{
	handle(SIGFPE, leave, 0);
	*(volatile int *)56 = 1;
}

static void leave_library(int signal, siginfo_t *info, void *context)
{
	(void)context;
	printf("signal %d, address %#lx\n", signal, (long)info->si_addr);
	siglongjmp(back, 1);
}

/* In the C library, and in what the library OS calls, too. */
void inside(void)
{
	char *volatile low = (char *)64;
	char room[64];
	handle(SIGSEGV, leave_library, 0);
	if (!sigsetjmp(back, 1))
		printf("%d\n", (int)strtol(low, 0, 10));
	if (!sigsetjmp(back, 1))
		printf("%zu\n", strlen(low));
	if (!sigsetjmp(back, 1))
		printf("%p\n", memcpy(room, low, 8));
	if (!sigsetjmp(back, 1))
		printf("%p\n", memset(low, 1, 8));
}
