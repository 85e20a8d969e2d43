/* The monitor's interface for freestanding test guests, in C, and a start that calls guest(). */
#include <stddef.h>
#include <stdint.h>
typedef uint64_t u64;
struct span { u64 start, bytes; };
struct net {
  uint32_t kind, descriptor, flags;
  uint16_t mtu;
  uint8_t mac[6], address4[4], gateway4[4], name_server4[4], address6[16], gateway6[16], prefix4, prefix6, reserved[6];
};
struct boot {
  u64 magic;
  uint32_t version, platform, flags, terminals;
  uint16_t rows, columns;
  uint32_t argument_count, environment_count, export_count;
  struct span ram, stack;
  u64 total_bytes, physical_offset, tsc_khz, tsc_base, wall_ns;
  uint8_t seed[32];
  struct span arguments, environment, archive, exports;
  struct net net;
  struct { u64 address, features; uint32_t kind, queue_entries; } devices[4];
  struct { u64 address; uint32_t slots, slot_bytes; } ring;
};
struct stats {
  u64 magic;
  uint32_t version, component_count;
  u64 boot[16], pages[7], calls, unknown_calls, hypercalls, exported;
  char components[8 * 120];
  u64 host_signals;
  char rest[4096 - 16 - 16 * 8 - 7 * 8 - 4 * 8 - 8 * 120 - 8];
};
struct request { u64 operation, arguments[4]; int64_t result; } __attribute__((aligned(64)));
enum { NET_NONE, NET_VIRTIO, NET_TAP, NET_STREAM };
enum { WAIT_NET = 1, WAIT_CONSOLE = 2 };
#define FOREVER (~0ull)
enum { EXIT = 1, WRITE, READ, PROTECT, GIVE_BACK, WAIT, FATAL };
extern struct boot *boot;
extern struct stats stats;
extern char rescue_stack[];
void *memset(void *to, int byte, size_t n);
void *memcpy(void *to, const void *from, size_t n);
int guest(void);
void rescue(void);
int64_t linux_call(long number, u64 a, u64 b, u64 c, u64 d);
int64_t call(u64 operation, u64 a, u64 b, u64 c, u64 d);
void exit_(int code) __attribute__((noreturn));
void put(const char *text);
void put_number(u64 value);
int64_t write_to(int fd, const void *bytes, u64 count);
