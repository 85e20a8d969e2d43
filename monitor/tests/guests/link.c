/* Links by descriptor: a TAP device with its header, a stream with its lengths. */
#include "net.h"
enum { HEADER = 12, SYS_READ = 0, SYS_WRITE = 1, EAGAIN_ = 11 };
static uint8_t buffer[4 + HEADER + MAX_FRAME];
static u64 held;
static void fail(const char *what, int64_t result) { put(what); put_number(-result); put("\n"); exit_(3); }
void link_start(void) {
  held = 0;
  if (boot->net.kind == NET_VIRTIO) virtio_start();
}
static u64 tap_receive(uint8_t *frame) {
  int64_t got = linux_call(SYS_READ, boot->net.descriptor, (u64)buffer, sizeof buffer, 0);
  if (got == -EAGAIN_) return 0;
  if (got <= HEADER) fail("tap read ", got);
  memcpy(frame, buffer + HEADER, got - HEADER);
  return got - HEADER;
}
static u64 stream_receive(uint8_t *frame) {
  int64_t got = linux_call(SYS_READ, boot->net.descriptor, (u64)(buffer + held), sizeof buffer - held, 0);
  if (got == 0 || (got < 0 && got != -EAGAIN_)) fail("stream read ", got);
  if (got > 0) held += got;
  if (held < 4) return 0;
  u64 bytes = (u64)buffer[0] << 24 | buffer[1] << 16 | buffer[2] << 8 | buffer[3];
  if (bytes > MAX_FRAME) fail("stream frame of ", -(int64_t)bytes);
  if (held < 4 + bytes) return 0;
  memcpy(frame, buffer + 4, bytes);
  held -= 4 + bytes;
  memcpy(buffer, buffer + 4 + bytes, held);
  return bytes;
}
u64 link_receive(uint8_t *frame) {
  if (boot->net.kind == NET_VIRTIO) return virtio_receive(frame);
  return boot->net.kind == NET_TAP ? tap_receive(frame) : stream_receive(frame);
}
void link_send(const uint8_t *frame, u64 bytes) {
  static uint8_t out[HEADER + MAX_FRAME];
  if (boot->net.kind == NET_VIRTIO) return virtio_send(frame, bytes);
  u64 header = boot->net.kind == NET_TAP ? HEADER : 4;
  memset(out, 0, header);
  if (header == 4)
    for (int i = 0; i < 4; i++) out[i] = bytes >> (24 - 8 * i);
  memcpy(out + header, frame, bytes);
  int64_t sent = linux_call(SYS_WRITE, boot->net.descriptor, (u64)out, header + bytes, 0);
  if (sent != (int64_t)(header + bytes)) fail("write ", sent);
}
