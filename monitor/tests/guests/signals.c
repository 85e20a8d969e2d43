/* Takes signals of the host, or leaves them alone. */
#include "guest.h"
int guest(void) {
  const char *name = (const char *)boot->arguments.start;
  while (*name++) {}
  put("ready\n");
  if (*name == 'r') {
    char byte;
    /* A read is interrupted, too. */
    if (call(READ, 0, (u64)&byte, 1, 0) != -4) return 1;
  }
  for (;;) {
    u64 seen = *name == 'd' ? 0 : __atomic_exchange_n(&stats.host_signals, 0, __ATOMIC_SEQ_CST);
    if (seen) put_number(seen), exit_(7);
    call(WAIT, FOREVER, 0, 0, 0);
  }
}
