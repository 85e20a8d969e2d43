/* A driver for virtio-net over MMIO, as small as one can be: two split queues, merged receive buffers, no
   offloads. `notifies`: tell of each frame sent; else the next wait takes it along. */
#include "net.h"
enum { ENTRIES = 256, BUFFER = 2048, HEADER = 12, RECEIVE = 0, TRANSMIT = 1 };
enum { STATUS = 0x70, QUEUE_SELECT = 0x30, QUEUE_SIZE = 0x38, QUEUE_READY = 0x44, NOTIFY = 0x50 };
enum { DESCRIPTORS = 0x80, AVAILABLE = 0x90, USED = 0xa0, FEATURES = 0x20, FEATURES_SELECT = 0x24 };
static struct __attribute__((aligned(4096))) queue {
  struct { u64 address; uint32_t bytes; uint16_t flags, next; } descriptors[ENTRIES];
  struct { uint16_t flags, index, ring[ENTRIES], used_event; } available;
  struct { uint16_t flags, index; struct { uint32_t id, bytes; } ring[ENTRIES]; uint16_t avail_event; } used __attribute__((aligned(4)));
  uint16_t seen;
} queues[2];
static uint8_t buffers[2][ENTRIES][BUFFER];
int notifies;
static volatile uint32_t *registers(void) { return (volatile uint32_t *)boot->devices[0].address; }
static void set(int at, uint32_t value) { registers()[at / 4] = value; }
static void set64(int at, const void *value) {
  u64 physical = (u64)value - boot->physical_offset;
  set(at, physical), set(at + 4, physical >> 32);
}
static void barrier(void) { __asm__ volatile("mfence" ::: "memory"); }
static uint16_t load(const uint16_t *at) { return *(const volatile uint16_t *)at; }
static void give(struct queue *queue, uint16_t id) {
  queue->available.ring[queue->available.index % ENTRIES] = id;
  barrier();
  queue->available.index++;
  barrier();
}
void virtio_start(void) {
  u64 wanted = 1ull << 32 | 1 << 29 | 1 << 15 | 1 << 5;
  if ((boot->devices[0].features & wanted) != wanted) exit_(20);
  set(STATUS, 0), set(STATUS, 1), set(STATUS, 3);
  set(FEATURES_SELECT, 0), set(FEATURES, wanted);
  set(FEATURES_SELECT, 1), set(FEATURES, wanted >> 32);
  set(STATUS, 11);
  for (int i = 0; i < 2; i++) {
    set(QUEUE_SELECT, i), set(QUEUE_SIZE, ENTRIES);
    set64(DESCRIPTORS, queues[i].descriptors), set64(AVAILABLE, &queues[i].available), set64(USED, &queues[i].used);
    for (int j = 0; j < ENTRIES; j++) {
      queues[i].descriptors[j].address = (u64)buffers[i][j] - boot->physical_offset;
      queues[i].descriptors[j].bytes = BUFFER;
      queues[i].descriptors[j].flags = i == RECEIVE ? 2 : 0;
      if (i == RECEIVE) give(&queues[i], j);
    }
    set(QUEUE_READY, 1);
  }
  set(STATUS, 15);
  if (registers()[STATUS / 4] != 15) exit_(21);
}
u64 virtio_receive(uint8_t *frame) {
  struct queue *queue = &queues[RECEIVE];
  queue->available.used_event = queue->seen;
  barrier();
  if (load(&queue->used.index) == queue->seen) return 0;
  uint16_t count = 1;
  u64 bytes = 0;
  for (uint16_t i = 0; i < count; i++) {
    uint32_t id = queue->used.ring[queue->seen % ENTRIES].id, got = queue->used.ring[queue->seen % ENTRIES].bytes;
    uint8_t *buffer = buffers[RECEIVE][id];
    u64 skip = 0;
    if (i == 0) { count = buffer[10] | buffer[11] << 8; skip = HEADER; }
    if (got <= skip || got > BUFFER || !count) exit_(22);
    memcpy(frame + bytes, buffer + skip, got - skip);
    bytes += got - skip;
    queue->seen++;
    give(queue, id);
  }
  return bytes;
}
/* A chain of as many buffers as the frame fills. */
void virtio_send(const uint8_t *frame, u64 bytes) {
  struct queue *queue = &queues[TRANSMIT];
  static uint16_t next, completed, in_flight;
  uint16_t count = (HEADER + bytes + BUFFER - 1) / BUFFER, first = next;
  for (;;) {
    for (; completed != load(&queue->used.index); completed++) {
      uint16_t id = queue->used.ring[completed % ENTRIES].id;
      do in_flight--; while (queue->descriptors[id].flags & 1 && (id = queue->descriptors[id].next, 1));
    }
    if (in_flight + count <= ENTRIES) break;
    /* All are on their way: the device takes them at a notification. */
    set(NOTIFY, TRANSMIT);
  }
  for (uint16_t i = 0; i < count; i++, in_flight++) {
    u64 skip = i ? 0 : HEADER, part = bytes < BUFFER - skip ? bytes : BUFFER - skip;
    if (skip) memset(buffers[TRANSMIT][next], 0, skip);
    memcpy(buffers[TRANSMIT][next] + skip, frame, part);
    frame += part, bytes -= part;
    queue->descriptors[next].bytes = skip + part;
    queue->descriptors[next].flags = i + 1 < count;
    next = queue->descriptors[next].next = (next + 1) % ENTRIES;
  }
  uint16_t before = queue->available.index;
  give(queue, first);
  if (notifies && load(&queue->used.avail_event) == before) set(NOTIFY, TRANSMIT);
}
/* A ring that the guest closes is the driver's fault, which the device reports; a reset mends it. */
int virtio_closed_ring(void) {
  enum { BROKEN = 0x40 };
  u64 page = (u64)&queues[TRANSMIT] & -4096ull, bytes = sizeof queues[TRANSMIT];
  if (call(PROTECT, page, bytes, 0, 0)) return 30;
  set(NOTIFY, TRANSMIT);
  if (registers()[STATUS / 4] != (15 | BROKEN)) return 31;
  if (call(PROTECT, page, bytes, 1, 0)) return 32;
  set(NOTIFY, TRANSMIT);
  call(WAIT, 0, WAIT_NET, 0, 0);
  if (registers()[STATUS / 4] != (15 | BROKEN)) return 33;
  memset(queues, 0, sizeof queues);
  virtio_start();
  return 0;
}
