/* The monitor's interface for freestanding test guests, in C, and a start that calls guest(). */
#include <stddef.h>
#include <stdint.h>
typedef uint64_t u64;
struct span { u64 start, bytes; };
struct boot {
  u64 magic;
  uint32_t version, platform, flags, terminals;
  uint16_t rows, columns;
  uint32_t argument_count, environment_count, export_count;
  struct span ram, stack;
  u64 total_bytes, physical_offset, tsc_khz, tsc_base, wall_ns;
  uint8_t seed[32];
  struct span arguments, environment, archive, exports;
};
struct stats {
  u64 magic;
  uint32_t version, component_count;
  u64 boot[16], pages[7], calls, unknown_calls, hypercalls, exported;
  char components[4096 - 16 - 16 * 8 - 7 * 8 - 4 * 8];
};
struct request { u64 operation, arguments[4]; int64_t result; } __attribute__((aligned(64)));
enum { EXIT = 1, WRITE, READ, PROTECT, GIVE_BACK, WAIT, FATAL };
extern struct boot *boot;
extern struct stats stats;
extern char rescue_stack[];
int guest(void);
void rescue(void);
int64_t call(u64 operation, u64 a, u64 b, u64 c, u64 d);
void exit_(int code) __attribute__((noreturn));
void put(const char *text);
void put_number(u64 value);
int64_t write_to(int fd, const void *bytes, u64 count);
