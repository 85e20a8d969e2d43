/* Atomic operations where one processor runs one thread at a time: plain loads and stores.
 *
 * Replaces the header of locked instructions, which cost some 20 cycles each and guard against other
 * processors. An image has one; its threads give it away inside a system call and nowhere else, and
 * signals are delivered there too, so nothing comes between the load and the store of an operation. Memory
 * shared with the monitor is never worked on from here. Must never be used by code that a second
 * processor or an interrupt could run. */

/* The compiler, too, must not move accesses across an operation: locks are made of them. */
#define BARRIER() __asm__ __volatile__("" : : : "memory")

/* A new value for `*place`, computed from the one before, `before`, which is the result. */
#define REPLACE(type, place, value) do { \
	BARRIER(); \
	type before = *(place); \
	*(place) = (value); \
	BARRIER(); \
	return before; \
} while (0)

#define a_cas a_cas
static inline int a_cas(volatile int *place, int expected, int desired)
{
	BARRIER();
	int before = *place;
	if (before == expected)
		*place = desired;
	BARRIER();
	return before;
}

#define a_cas_p a_cas_p
static inline void *a_cas_p(volatile void *place, void *expected, void *desired)
{
	BARRIER();
	void *before = *(void *volatile *)place;
	if (before == expected)
		*(void *volatile *)place = desired;
	BARRIER();
	return before;
}

#define a_swap a_swap
static inline int a_swap(volatile int *place, int value)
{
	REPLACE(int, place, value);
}

#define a_fetch_add a_fetch_add
static inline int a_fetch_add(volatile int *place, int value)
{
	REPLACE(int, place, (int)((unsigned)before + (unsigned)value));
}

#define a_fetch_and a_fetch_and
static inline int a_fetch_and(volatile int *place, int value)
{
	REPLACE(int, place, before & value);
}

#define a_fetch_or a_fetch_or
static inline int a_fetch_or(volatile int *place, int value)
{
	REPLACE(int, place, before | value);
}

#define a_and_64 a_and_64
static inline void a_and_64(volatile uint64_t *place, uint64_t value)
{
	BARRIER();
	*place &= value;
	BARRIER();
}

#define a_or_64 a_or_64
static inline void a_or_64(volatile uint64_t *place, uint64_t value)
{
	BARRIER();
	*place |= value;
	BARRIER();
}

#define a_store a_store
static inline void a_store(volatile int *place, int value)
{
	BARRIER();
	*place = value;
	BARRIER();
}

#define a_barrier a_barrier
static inline void a_barrier(void)
{
	BARRIER();
}

#define a_crash a_crash
static inline void a_crash(void)
{
	__asm__ __volatile__("hlt" : : : "memory");
}

#define a_ctz_64 a_ctz_64
static inline int a_ctz_64(uint64_t word)
{
	return __builtin_ctzll(word);
}

#define a_clz_64 a_clz_64
static inline int a_clz_64(uint64_t word)
{
	return __builtin_clzll(word);
}

#undef REPLACE
#undef BARRIER
