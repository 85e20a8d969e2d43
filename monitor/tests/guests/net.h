/* A link to the network, whichever kind the monitor gave: whole frames in and out, never blocking. */
#include "guest.h"
/* The largest frame, which an offloading link may deliver. */
enum { MAX_FRAME = 65536 + 64 };
void link_start(void);
/* Bytes of the next frame, 0: none yet. */
u64 link_receive(uint8_t *frame);
void link_send(const uint8_t *frame, u64 bytes);
void virtio_start(void);
u64 virtio_receive(uint8_t *frame);
void virtio_send(const uint8_t *frame, u64 bytes);
int virtio_closed_ring(void);
extern int notifies;
