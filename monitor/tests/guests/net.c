/* A host of the network: answers ARP, echoes UDP to port 7, refuses TCP. "quit" by UDP ends it. */
#include "net.h"
static uint8_t frame[MAX_FRAME];
static int same(const void *a, const void *b, u64 n) {
  for (const char *p = a, *q = b; n--;) if (*p++ != *q++) return 0;
  return 1;
}
static void swap(uint8_t *a, uint8_t *b, u64 n) {
  while (n--) { uint8_t t = a[n]; a[n] = b[n]; b[n] = t; }
}
static uint16_t checksum(const uint8_t *bytes, u64 n, uint32_t sum) {
  for (u64 i = 0; i < n; i += 2) sum += bytes[i] << 8 | (i + 1 < n ? bytes[i + 1] : 0);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum;
}
static void set16(uint8_t *at, uint16_t value) { at[0] = value >> 8; at[1] = value; }
static void reply(u64 bytes) {
  memcpy(frame, frame + 6, 6);
  memcpy(frame + 6, boot->net.mac, 6);
  link_send(frame, bytes);
}
static void arp(void) {
  if (frame[21] != 1 || !same(frame + 38, boot->net.address4, 4)) return;
  frame[21] = 2;
  memcpy(frame + 32, frame + 22, 10);
  memcpy(frame + 22, boot->net.mac, 6);
  memcpy(frame + 28, boot->net.address4, 4);
  reply(42);
}
/* Turns a SYN into the RST that refuses it. */
static void refuse(uint8_t *ip, uint8_t *tcp) {
  if (!(tcp[13] & 2) || tcp[13] & 0x10) return;
  swap(ip + 12, ip + 16, 4);
  swap(tcp, tcp + 2, 2);
  memcpy(tcp + 8, tcp + 4, 4);
  for (int i = 11; i >= 8 && !++tcp[i]; i--) {}
  memset(tcp + 4, 0, 4);
  tcp[12] = 5 << 4, tcp[13] = 0x14;
  memset(tcp + 14, 0, 6);
  set16(ip + 2, 40), set16(ip + 10, 0), set16(ip + 10, checksum(ip, 20, 0));
  set16(tcp + 16, checksum(tcp, 20, ~checksum(ip + 12, 8, 6 + 20) & 0xffff));
  reply(54);
}
/* Whether to go on. */
static int ip4(u64 bytes) {
  uint8_t *ip = frame + 14, *next = ip + 4 * (ip[0] & 15);
  if (!same(ip + 16, boot->net.address4, 4)) return 1;
  if (ip[9] == 6) refuse(ip, next);
  if (ip[9] != 17 || next[2] || next[3] != 7) return 1;
  int quit = same(next + 8, "quit", 4);
  swap(ip + 12, ip + 16, 4);
  swap(next, next + 2, 2);
  set16(next + 6, 0);
  reply(bytes);
  return !quit;
}
static int serve(void) {
  for (;;) {
    u64 bytes = link_receive(frame);
    if (!bytes) { call(WAIT, (u64)-1, WAIT_NET, 0, 0); continue; }
    if (frame[12] != 8) continue;
    if (frame[13] == 6) arp();
    if (frame[13] == 0 && !ip4(bytes)) return 0;
  }
}
static int is(const char *name) {
  const char *first = (const char *)boot->arguments.start;
  while (*first++) {}
  u64 n = 0;
  while (name[n]) n++;
  return same(first, name, n + 1);
}
static u64 tsc(void) {
  uint32_t low, high;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  return (u64)high << 32 | low;
}
static int wait_timer(void) {
  u64 start = tsc();
  if (call(WAIT, 20000000, 0, 0, 0)) return 1;
  return (tsc() - start) * 1000 / boot->tsc_khz < 20000;
}
static int wait_console(void) {
  char byte;
  put("ready\n");
  int64_t seen = call(WAIT, FOREVER, WAIT_CONSOLE | WAIT_NET, 0, 0);
  if (seen != WAIT_CONSOLE) return 1;
  return call(READ, 0, (u64)&byte, 1, 0) != 1 || byte != 'x';
}
/* The frame arrives during the first wait, which does not ask for it; the second must not sleep. */
static int wait_after(void) {
  put("ready\n");
  call(WAIT, 500000000, 0, 0, 0);
  if (call(WAIT, FOREVER, WAIT_NET, 0, 0) != WAIT_NET) return 1;
  return !link_receive(frame);
}
int guest(void) {
  if (is("wait-timer")) return wait_timer();
  if (boot->net.kind == NET_NONE) { put("no network\n"); return 0; }
  link_start();
  notifies = is("notify");
  if (notifies || is("serve")) return serve();
  if (is("wait-console")) return wait_console();
  if (is("wait-after")) return wait_after();
  if (is("closed-ring")) return virtio_closed_ring();
  if (is("other-descriptor")) return linux_call(0, boot->net.descriptor + 1, (u64)frame, 1, 0) ? 1 : 0;
  return 2;
}
