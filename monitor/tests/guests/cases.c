/* One image, many ways to end: the first argument after the name says which. */
#include "guest.h"
static const char *argument(u64 n) {
  const char *at = (const char *)boot->arguments.start;
  while (n--) { while (*at) at++; at++; }
  return at;
}
static int same(const char *a, const char *b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}
static volatile u64 zero;
static volatile u64 *wild(u64 address) { return (volatile u64 *)address; }
static const u64 constant = 5;
static char code[64] __attribute__((aligned(4096))) = {0xc3};
extern char bespoke_entry[];
static char guarded[3 * 4096] __attribute__((aligned(4096)));

__attribute__((noinline)) int inner_null(void) { return *wild(8); }
__attribute__((noinline)) int outer_null(void) { return inner_null() + 1; }
__attribute__((noinline)) u64 recurse(u64 n) { volatile char pad[256]; pad[0] = n; return n ? recurse(n + 1) + pad[0] : 0; }

static u64 on_small_stack(void) {
  u64 r;
  call(PROTECT, (u64)guarded, 4096, 0, 0);
  __asm__ volatile("mov %%rsp, %%rbx\n lea %1, %%rsp\n mov $1, %%edi\n call recurse\n mov %%rbx, %%rsp"
                   : "=a"(r) : "m"(guarded[sizeof guarded]) : "rbx", "rdi", "rcx", "rdx", "rsi", "r8", "memory");
  return r;
}
static int echo(void) {
  static char buffer[4096];
  for (;;) {
    int64_t n = call(READ, 0, (u64)buffer, sizeof buffer, 0);
    if (n <= 0) return n;
    write_to(1, buffer, n);
  }
}
static int boot_facts(void) {
  u64 tsc;
  __asm__ volatile("rdtsc\n shl $32, %%rdx\n or %%rdx, %%rax" : "=a"(tsc) : : "rdx");
  uint16_t fcw; uint32_t mxcsr;
  __asm__ volatile("fnstcw %0\n stmxcsr %1" : "=m"(fcw), "=m"(mxcsr));
  if (boot->magic != 0x31454b4f50534542) return 1;
  if (boot->version != 8 || boot->platform > 2) return 2;
  if (boot->ram.start % 4096 || boot->ram.bytes % 4096 || !boot->ram.bytes) return 3;
  for (u64 i = 0; i < boot->ram.bytes; i += 65536) if (*wild(boot->ram.start + i)) return 4;
  *wild(boot->ram.start + boot->ram.bytes - 8) = 1;
  if (boot->archive.start % 16) return 5;
  if (tsc - boot->tsc_base > boot->tsc_khz * 1000) return 6;
  if (fcw != 0x37f || mxcsr != 0x1f80) return 7;
  u64 seed = 0;
  for (int i = 0; i < 32; i++) seed |= boot->seed[i];
  if (!seed) return 8;
  put("args "); put_number(boot->argument_count); put(" "); put(argument(2));
  put(" env "); put((const char *)boot->environment.start);
  put(" exports "); put_number(boot->export_count);
  put(" total "); put_number(boot->total_bytes);
  put(" archive "); put_number(boot->archive.bytes);
  put(" name "); put(boot->archive.bytes ? (const char *)boot->archive.start : "-"); put("\n");
  return 0;
}
static int wild_spans(void) {
  static struct span spans[2];
  static const u64 bad[] = {0, 8, 0x1000, 0x1ffff8, 1ull << 40, ~0ull - 4, 0x8000000000000000};
  for (unsigned i = 0; i < sizeof bad / 8; i++) {
    spans[0] = (struct span){bad[i], 16};
    if (call(WRITE, 1, (u64)spans, 1, 0) >= 0) return 1;
    if (call(WRITE, 1, bad[i], 1, 0) >= 0) return 2;
    if (call(READ, 0, bad[i], 16, 0) >= 0) return 3;
    if (boot->platform != 1) continue; /* The filter refuses these two: a crash report, not an error. */
    if (call(GIVE_BACK, bad[i] & ~4095ull, 4096, 0, 0) >= 0) return 4;
    if (bad[i] == 1ull << 40) continue; /* Pages may be shown here; where none is, nothing is protected. */
    if (call(PROTECT, bad[i] & ~4095ull, 4096, 0, 0) >= 0) return 5;
  }
  spans[0] = (struct span){(u64)code, ~0ull};
  if (call(WRITE, 1, (u64)spans, 1, 0) >= 0) return 6;
  if (call(WRITE, 1, (u64)spans, 1u << 20, 0) >= 0) return 7;
  if (call(READ, 0, (u64)&constant, 8, 0) >= 0) return 8;
  if (call(READ, 0, (u64)bespoke_entry, 8, 0) >= 0) return 9;
  call(PROTECT, (u64)guarded, 4096, 0, 0);
  if (write_to(1, guarded, 16) >= 0) return 11;
  if (call(READ, 0, (u64)guarded, 16, 0) >= 0) return 12;
  call(PROTECT, (u64)guarded, 4096, 1, 0);
  guarded[0] = 'k';
  return write_to(1, guarded, 1) == 1 ? 0 : 13;
}
/* The first access to the far end of memory, by one kind of instruction; then all of it must be there. */
static int touch(const char *kind) {
  char *far = (char *)((boot->ram.start + boot->ram.bytes - (1 << 20)) & ~4095ull);
  char *edge = far + 4096 - 4; /* over a page's end */
  u64 value = 0x1122334455667788;
  if (same(kind, "store")) *wild((u64)far) = value;
  if (same(kind, "load")) value += *wild((u64)far);
  if (same(kind, "unaligned")) *wild((u64)edge) = value;
  if (same(kind, "string")) {
    char *to = far; u64 n = 10000;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(7) : "memory");
    for (int i = 0; i < 10000; i++) if (far[i] != 7) return 1;
    if (far[10000]) return 2;
  }
  if (same(kind, "copy")) {
    char *to = far; const char *from = (const char *)bespoke_entry; u64 n = 16;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    for (int i = 0; i < 16; i++) if (far[i] != bespoke_entry[i]) return 3;
  }
  if (same(kind, "sse")) {
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n movdqu %%xmm0, (%0)" : : "r"(edge) : "xmm0", "memory");
    for (int i = 0; i < 16; i++) if (edge[i] != (char)0xff) return 4;
  }
  if (same(kind, "vector") ) {
    __asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n vmovdqu %%xmm0, (%0)" : : "r"(far) : "xmm0", "memory");
    for (int i = 0; i < 16; i++) if (far[i] != (char)0xff) return 5;
  }
  if (same(kind, "locked")) {
    u64 add = 5;
    __asm__ volatile("lock xaddq %0, (%1)" : "+r"(add) : "r"(far) : "memory");
    if (add || *wild((u64)far) != 5) return 6;
  }
  if (same(kind, "push")) {
    u64 back;
    __asm__ volatile("mov %%rsp, %%rbx\n lea 64(%1), %%rsp\n push %2\n pop %0\n mov %%rbx, %%rsp"
                     : "=&r"(back) : "r"(far), "r"(value) : "rbx", "memory");
    if (back != value) return 7;
  }
  if (same(kind, "call")) {
    struct span *span = (struct span *)far;
    if (call(READ, 0, (u64)far, 4, 0) != 4) return 8;
    if (far[0] != 'a' || far[3] != 'd') return 9;
    *span = (struct span){(u64)"", 0};
    if (call(WRITE, 1, (u64)span, 1, 0)) return 10;
  }
  if (same(kind, "store") && *wild((u64)far) != value) return 11;
  if (same(kind, "unaligned") && *wild((u64)edge) != value) return 12;
  if (same(kind, "load") && value != 0x1122334455667788) return 13;
  for (u64 at = boot->ram.start + 65536; at < (u64)far; at += 65536) { if (*wild(at)) return 14; *wild(at) = at; }
  for (u64 at = boot->ram.start + 65536; at < (u64)far; at += 65536) if (*wild(at) != at) return 15;
  return 0;
}
static int give_back(void) {
  char *start = (char *)((boot->ram.start + (1 << 21)) & ~((1ull << 21) - 1));
  u64 bytes = 64 << 20;
  for (u64 i = 0; i < bytes; i += 4096) start[i] = 1;
  put("full\n");
  char byte;
  call(READ, 0, (u64)&byte, 1, 0);
  if (call(GIVE_BACK, (u64)start, bytes, 0, 0)) return 1;
  put("back\n");
  call(READ, 0, (u64)&byte, 1, 0);
  for (u64 i = 0; i < bytes; i += 4096) if (start[i]) return 2;
  return 0;
}
static int64_t fatal(u64 kind, const char *text, u64 value) {
  u64 n = 0;
  while (text[n]) n++;
  return call(FATAL, kind, (u64)text, n, value);
}
static int exports(void) {
  int failed = write_to(100, "first", 5) != 5 || write_to(101, "second", 6) != 6;
  stats.exported = 3;
  return failed;
}
void rescue(void) {
  if (same(argument(1), "rescue-hangs")) for (;;);
  if (same(argument(1), "rescue-crashes")) { write_to(100, "half", 4); *wild(0) = 1; }
  exit_(exports());
}
int guest(void) {
  const char *which = argument(1);
  if (same(which, "hello")) { put("hello\n"); return 0; }
  if (same(which, "code")) return 42;
  if (same(which, "echo")) return echo();
  if (same(which, "boot")) return boot_facts();
  if (same(which, "stderr")) return write_to(2, "oops\n", 5) != 5;
  if (same(which, "closed-pipe")) { int64_t r; while ((r = write_to(1, code, 64)) > 0); return -r; }
  if (same(which, "bad-descriptor")) return write_to(3, "x", 1) >= 0 || write_to(100, "x", 1) >= 0;
  if (same(which, "wait")) { u64 n = stats.calls; return call(WAIT, 20000000, 0, 0, 0) != 0 || stats.calls != n + 1; }
  if (same(which, "wild-spans")) return wild_spans();
  if (same(which, "touch")) return touch(argument(2));
  if (same(which, "give-back")) return give_back();
  if (same(which, "exports")) return exports();
  if (same(which, "empty-export")) { stats.exported = 1; return 0; }
  if (same(which, "watch")) { for (int i = 0; i < 4; i++) call(WAIT, 1000000, 0, 0, 0); char b; call(READ, 0, (u64)&b, 1, 0); return 0; }
  if (same(which, "null")) return outer_null();
  if (same(which, "null-call")) ((void (*)(void))zero)();
  if (same(which, "wild-jump")) ((void (*)(void))0x123456789000)();
  if (same(which, "far-jump")) ((void (*)(void))0x8123456789000000)();
  if (same(which, "stack")) on_small_stack();
  if (same(which, "guard")) { call(PROTECT, (u64)guarded + 4096, 4096, 0, 0); __asm__ volatile("" : : : "memory"); guarded[5000] = 1; }
  if (same(which, "ram-guard")) { call(PROTECT, boot->ram.start + (8 << 20), 4096, 0, 0); *wild(boot->ram.start + (8 << 20) + 16) = 1; }
  if (same(which, "write-text")) *(volatile char *)bespoke_entry = 1;
  if (same(which, "write-constant")) *(volatile u64 *)&constant = 1;
  if (same(which, "execute-data")) ((void (*)(void))code)();
  if (same(which, "execute-ram")) { *wild(boot->ram.start) = 0xc3; ((void (*)(void))boot->ram.start)(); }
  if (same(which, "execute-big-ram")) { u64 at = boot->ram.start + (16 << 20); *wild(at) = 0xc3; ((void (*)(void))at)(); }
  if (same(which, "execute-constant")) ((void (*)(void))&constant)();
  if (same(which, "outside")) *wild(boot->ram.start + boot->ram.bytes) = 1;
  if (same(which, "tables")) { extern char bespoke_entry[]; *wild(boot->stack.start - 2 * 4096) = 1; }
  if (same(which, "stack-guard")) *wild(boot->stack.start - 8) = 1;
  if (same(which, "high")) *wild(0x700000000000) = 1;
  if (same(which, "non-canonical")) *wild(0x8000000000000000) = 1;
  if (same(which, "divide")) __asm__ volatile("xor %%edx, %%edx\n mov $1, %%eax\n idivl %0" : : "m"(zero) : "rax", "rdx");
  if (same(which, "illegal")) __asm__ volatile("ud2");
  if (same(which, "breakpoint")) __asm__ volatile("int3");
  if (same(which, "halt")) __asm__ volatile("hlt");
  if (same(which, "cli")) __asm__ volatile("cli");
  if (same(which, "port")) __asm__ volatile("outb %%al, $0x80" : : "a"(0));
  if (same(which, "alignment")) __asm__ volatile("pushf\n orl $0x40000, (%%rsp)\n popf\n movl 1(%0), %%eax" : : "r"(code) : "rax");
  if (same(which, "garbage-stack")) __asm__ volatile("mov $0x1234, %rsp\n mov $0x88, %rbp\n ud2");
  if (same(which, "no-stack")) __asm__ volatile("xor %esp, %esp\n push %rax");
  if (same(which, "loop-frames")) { static u64 loop[2]; loop[0] = (u64)loop; loop[1] = (u64)bespoke_entry + 8; __asm__ volatile("mov %0, %%rbp\n mov %0, %%rsp\n ud2" : : "r"(loop)); }
  if (same(which, "abort")) fatal(1, "abort called", 6);
  if (same(which, "segv-signal")) fatal(1, "raise", 11);
  if (same(which, "panic")) fatal(2, "library OS: state impossible", 0);
  if (same(which, "double-free")) fatal(3, "double free", (u64)code);
  if (same(which, "memory")) fatal(4, "heap does not fit", 64 << 20);
  if (same(which, "fatal-wild")) call(FATAL, 2, ~0ull - 3, 64, 0);
  if (same(which, "fatal-text")) fatal(2, "\033[2Jred", 0);
  if (same(which, "unknown-call")) call(9999, 0, 0, 0, 0);
  if (same(which, "bad-request")) {
    if (boot->platform == 1) __asm__ volatile("outl %%eax, %%dx" : : "a"(0xfffffff0u), "d"(0xb5));
    __asm__ volatile("int3" : : "a"(0x6c74616670736562ull), "b"(~0ull));
  }
  if (same(which, "narrow-port") && boot->platform == 1) __asm__ volatile("outb %%al, %%dx" : : "a"(1), "d"(0xb5));
  if (same(which, "in-port") && boot->platform == 1) __asm__ volatile("inl %%dx, %%eax" : : "d"(0xb5) : "rax");
  if (same(which, "rescue") || same(which, "rescue-hangs") || same(which, "rescue-crashes")) *wild(16) = 1;
  if (same(which, "kill-stats")) { call(GIVE_BACK, (u64)&stats, 4096, 0, 0); for (unsigned i = 0; i < 4096; i++) ((char *)&stats)[i] = 0xff; return 3; }
  if (same(which, "protect-stats")) return call(PROTECT, (u64)&stats, 4096, 0, 0) == 0;
  if (same(which, "open-file") && boot->platform == 2) call(257, -100, (u64)"/etc/passwd", 0, 0);
  if (same(which, "self-exec") && boot->platform == 2) {
    int64_t r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(10), "D"((u64)code & ~4095ull), "S"(4096), "d"(5) : "rcx", "r11", "memory");
  }
  return 77;
}
