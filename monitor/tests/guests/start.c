/* Start, hypercalls on both platforms, and the note. */
#include "guest.h"
#ifndef NOTE_FLAGS
#define NOTE_FLAGS 0
#endif
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)
struct boot *boot;
struct stats stats __attribute__((aligned(4096))) = {.magic = 0x544154534b505342, .version = 8};
char start_stack[65536] __attribute__((aligned(4096)));
char rescue_stack[16384] __attribute__((aligned(4096)));
#ifdef KEEPS_REGISTERS
/* All but rdi, which has the boot information; and what a guest may not change without leaving its trace. */
u64 first_registers[16];
#define KEEP(register, n) " mov %" #register ", first_registers + 8 * " #n "\n"
#define REGISTERS KEEP(rax, 0) KEEP(rbx, 1) KEEP(rcx, 2) KEEP(rdx, 3) KEEP(rsi, 4) KEEP(rbp, 5) KEEP(rsp, 6) KEEP(r8, 7) \
  KEEP(r9, 8) KEEP(r10, 9) KEEP(r11, 10) KEEP(r12, 11) KEEP(r13, 12) KEEP(r14, 13) KEEP(r15, 14)
#else
#define REGISTERS
#endif
static struct request request;
__attribute__((weak)) void rescue(void) { exit_(99); }
__asm__(".section .note.bespoke,\"a\"\n.balign 4\n"
        ".long 8, 88, 1\n.asciz \"Bespoke\"\n.long 8, " TEXT(NOTE_FLAGS) "\n.quad stats, rescue_entry, rescue_stack + 16384, 8192, 0, 0, 0, 0, 0, 0\n"
        ".text\n.globl bespoke_entry\nbespoke_entry:\n" REGISTERS
        " lea start_stack + 65536, %rsp\n xor %ebp, %ebp\n"
        " rdtsc\n shl $32, %rdx\n or %rdx, %rax\n mov %rax, stats + 16 + 3 * 8\n mov %rdi, boot\n"
        " call guest\n mov %eax, %edi\n call exit_\n"
        "rescue_entry:\n xor %ebp, %ebp\n call rescue\n");
int64_t linux_call(long n, u64 a, u64 b, u64 c, u64 d) {
  int64_t r;
  register u64 r10 __asm__("r10") = d;
  __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10) : "rcx", "r11", "memory");
  return r;
}
int64_t call(u64 operation, u64 a, u64 b, u64 c, u64 d) {
  request = (struct request){operation, {a, b, c, d}, 0};
  stats.calls++;
  if (boot->platform == 1) {
    __asm__ volatile("outl %%eax, %%dx" : : "a"((uint32_t)(u64)&request), "d"(0xb5) : "memory");
    return request.result;
  }
  u64 time[2] = {a / 1000000000, a % 1000000000};
  struct { int fd; short events, seen; } polled[2] = {{b & WAIT_NET ? boot->net.descriptor : -1, 1, 0}, {b & WAIT_CONSOLE ? 0 : -1, 1, 0}};
  switch (operation) {
  case EXIT: return linux_call(231, a, 0, 0, 0);
  case WRITE: return linux_call(20, a, b, c, 0);
  case READ: return linux_call(0, a, b, c, 0);
  case PROTECT: return linux_call(10, a, b, c ? 3 : 0, 0);
  case GIVE_BACK: return linux_call(28, a, b, 4, 0);
  case WAIT:
    linux_call(271, (u64)polled, 2, a == (u64)-1 ? 0 : (u64)time, 0);
    return (polled[0].seen ? WAIT_NET : 0) | (polled[1].seen ? WAIT_CONSOLE : 0);
  case FATAL: __asm__ volatile("int3" : : "a"(0x6c74616670736562ull), "b"(&request)); return 0;
  }
  return linux_call(operation, a, b, c, d);
}
void exit_(int code) { for (;;) call(EXIT, code, 0, 0, 0); }
int64_t write_to(int fd, const void *bytes, u64 count) {
  static struct span span;
  span = (struct span){(u64)bytes, count};
  return call(WRITE, fd, (u64)&span, 1, 0);
}
void put(const char *text) {
  u64 n = 0;
  while (text[n]) n++;
  write_to(1, text, n);
}
void put_number(u64 value) {
  char digits[24], *at = digits + 23;
  *at = 0;
  do *--at = '0' + value % 10; while (value /= 10);
  put(at);
}
void *memset(void *to, int byte, size_t n) { for (char *p = to; n--;) *p++ = byte; return to; }
void *memcpy(void *to, const void *from, size_t n) { char *p = to; for (const char *q = from; n--;) *p++ = *q++; return to; }
