/* Atomic operations of a machine with one processor: single instructions without a lock prefix.
 *
 * Replaces the header of locked instructions, which cost some 20 cycles each and guard against other processors.
 * An image has one; but a timer may take it from a thread between any two instructions of the C library, and a
 * signal may be delivered there (libos/src/interrupt). So each operation reads and writes its word in one
 * instruction. `xchg` locks by itself and is not used. Memory shared with the monitor is never worked on from here. */

/* The value that was there, whether or not it was the expected one. */
#define COMPARE_AND_EXCHANGE(place, expected, desired) \
	__asm__ __volatile__("cmpxchg %2, %1" \
		: "+a"(expected), "+m"(*(place)) : "r"(desired) : "memory", "cc")

#define a_cas a_cas
static inline int a_cas(volatile int *place, int expected, int desired)
{
	COMPARE_AND_EXCHANGE(place, expected, desired);
	return expected;
}

#define a_cas_p a_cas_p
static inline void *a_cas_p(volatile void *place, void *expected, void *desired)
{
	COMPARE_AND_EXCHANGE((void *volatile *)place, expected, desired);
	return expected;
}

#define a_swap a_swap
static inline int a_swap(volatile int *place, int value)
{
	int before;
	do before = *place;
	while (a_cas(place, before, value) != before);
	return before;
}

#define a_fetch_add a_fetch_add
static inline int a_fetch_add(volatile int *place, int value)
{
	__asm__ __volatile__("xadd %0, %1" : "+r"(value), "+m"(*place) : : "memory", "cc");
	return value;
}

/* One instruction whose result nobody reads. */
#define CHANGE(instruction, place, value) \
	__asm__ __volatile__(instruction : "+m"(*(place)) : "er"(value) : "memory", "cc")

#define a_and a_and
static inline void a_and(volatile int *place, int value)
{
	CHANGE("andl %1, %0", place, value);
}

#define a_or a_or
static inline void a_or(volatile int *place, int value)
{
	CHANGE("orl %1, %0", place, value);
}

#define a_and_64 a_and_64
static inline void a_and_64(volatile uint64_t *place, uint64_t value)
{
	CHANGE("andq %1, %0", place, value);
}

#define a_or_64 a_or_64
static inline void a_or_64(volatile uint64_t *place, uint64_t value)
{
	CHANGE("orq %1, %0", place, value);
}

#define a_inc a_inc
static inline void a_inc(volatile int *place)
{
	CHANGE("addl %1, %0", place, 1);
}

#define a_dec a_dec
static inline void a_dec(volatile int *place)
{
	CHANGE("subl %1, %0", place, 1);
}

/* The compiler, too, must not move accesses across an operation: locks are made of them. */
#define a_barrier a_barrier
static inline void a_barrier(void)
{
	__asm__ __volatile__("" : : : "memory");
}

#define a_store a_store
static inline void a_store(volatile int *place, int value)
{
	a_barrier();
	*place = value;
	a_barrier();
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

#undef COMPARE_AND_EXCHANGE
#undef CHANGE
