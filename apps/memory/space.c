/* The address space: fixed addresses, reservations larger than the image, moves, aliases. Each line is what Linux tells. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096l
#define KIB 1024l
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* Free on Linux and in an image, whatever its memory. */
static char *const far = (char *)0x300000000000;
static const char *path = "/tmp/bespoke-memory-space";
static const char *group = "";

static const char *name_of(int error) {
  switch (error) {
    case EINVAL: return "EINVAL";
    case ENOMEM: return "ENOMEM";
    case EEXIST: return "EEXIST";
    case EFAULT: return "EFAULT";
    case EACCES: return "EACCES";
    case EPERM: return "EPERM";
    case EBADF: return "EBADF";
    case ENODEV: return "ENODEV";
    case EAGAIN: return "EAGAIN";
    default: return "another error";
  }
}

static void begin(const char *name) { group = name; }

static void tell(const char *what, long value) {
  if (value == -1) printf("%s: %s: %s\n", group, what, name_of(errno));
  else printf("%s: %s: %ld\n", group, what, value);
}

/* Whether a mapping is where it was asked for, or why not. */
static void tell_at(const char *what, char *got, char *wanted) {
  if (got == MAP_FAILED) printf("%s: %s: %s\n", group, what, name_of(errno));
  else printf("%s: %s: %s\n", group, what, got == wanted ? "there" : "elsewhere");
}

static sigjmp_buf back;
static volatile int fault_code;
static void *volatile fault_at;

static void on_fault(int signal, siginfo_t *info, void *context) {
  (void)context;
  fault_code = signal * 100 + info->si_code;
  fault_at = info->si_addr;
  siglongjmp(back, 1);
}

static void handle_faults(int on) {
  struct sigaction action = {0};
  if (on) {
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
  } else action.sa_handler = SIG_DFL;
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);
}

/* What reading and then writing a byte gives: its value, or the fault. */
static void probe(const char *what, char *at) {
  handle_faults(1);
  char text[2][64];
  for (int writes = 0; writes < 2; writes++) {
    if (sigsetjmp(back, 1) == 0) {
      int value = *(volatile char *)at;
      if (writes) *(volatile char *)at = (char)value;
      snprintf(text[writes], 64, "%d", value);
    } else
      snprintf(text[writes], 64, "fault %d%s", fault_code, fault_at == at ? "" : " elsewhere");
  }
  handle_faults(0);
  printf("%s: %s: reads %s, writes %s\n", group, what, text[0], text[1]);
}

static int file_of(long bytes) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  char page[PAGE];
  for (long at = 0; at < bytes; at += PAGE) {
    memset(page, 'a' + (int)(at / PAGE), PAGE);
    if (write(fd, page, bytes - at < PAGE ? bytes - at : PAGE) < 0) exit(1);
  }
  return fd;
}

static void fixed(void) {
  begin("fixed");
  char *at = mmap(far, 16 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
  tell_at("at a free address", at, far);
  tell("is zero", at[0] | at[16 * PAGE - 1]);
  memset(at, 1, 16 * PAGE);
  tell_at("again, noreplace", mmap(far, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), far);
  tell_at("noreplace over its end", mmap(far + 15 * PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), far);
  tell_at("noreplace behind it", mmap(far + 16 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), far + 16 * PAGE);
  tell_at("noreplace before it", mmap(far - PAGE, PAGE, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0), far - PAGE);
  probe("before it", far - PAGE);
  probe("behind it", far + 16 * PAGE);
  probe("beyond", far + 17 * PAGE);
  tell_at("over its middle", mmap(far + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), far + 4 * PAGE);
  printf("fixed: %d %d %d\n", far[3 * PAGE], far[4 * PAGE], far[5 * PAGE]);
  tell("munmap of a page", munmap(far + 6 * PAGE, PAGE));
  probe("the hole", far + 6 * PAGE);
  tell_at("into the hole", mmap(far + 6 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), far + 6 * PAGE);
  probe("which is new", far + 6 * PAGE);
  tell("mprotect", mprotect(far + 8 * PAGE, PAGE, PROT_READ));
  probe("to read", far + 8 * PAGE);
  tell("mprotect none", mprotect(far + 9 * PAGE, PAGE, PROT_NONE));
  probe("none", far + 9 * PAGE);
  tell("mprotect back", mprotect(far + 8 * PAGE, 2 * PAGE, RW));
  printf("fixed: %d %d\n", far[8 * PAGE], far[9 * PAGE]);
  tell("dontneed", madvise(far + 8 * PAGE, 2 * PAGE, MADV_DONTNEED));
  probe("dropped", far + 9 * PAGE);
  tell_at("crooked", mmap(far + 8, PAGE, RW, ANON | MAP_FIXED, -1, 0), far + 8);
  tell_at("crooked, noreplace", mmap(far + 8, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0), far + 8);
  tell_at("of no bytes", mmap(far, 0, RW, ANON | MAP_FIXED, -1, 0), far);
  tell_at("past the end of all", mmap((char *)((1l << 47) - PAGE), 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0), far);
  tell_at("at the last page", mmap((char *)((1l << 47) - PAGE), PAGE, RW, ANON | MAP_FIXED, -1, 0), far);
  tell_at("with more bytes than there are", mmap(far, 1l << 47, RW, ANON | MAP_FIXED, -1, 0), far);
  tell_at("beyond the half", mmap((char *)(1l << 50), PAGE, RW, ANON | MAP_FIXED, -1, 0), far);
  tell("munmap of all", munmap(far - PAGE, 18 * PAGE));
  probe("afterwards", far);
  tell("munmap again", munmap(far - PAGE, 18 * PAGE));

  begin("hint");
  char *hinted = far + GIB;
  at = mmap(hinted, 4 * PAGE, RW, ANON, -1, 0);
  tell_at("at a free address", at, hinted);
  at[0] = 1;
  char *second = mmap(hinted, 4 * PAGE, RW, ANON, -1, 0);
  tell_at("at a taken one", second, hinted);
  second[0] = 2;
  tell("each has its own", at[0] * 10 + second[0]);
  char *third = mmap(hinted + 4 * PAGE + 100, PAGE, RW, ANON, -1, 0);
  tell_at("rounded down", third, hinted + 4 * PAGE);
  munmap(at, 4 * PAGE);
  munmap(second, 4 * PAGE);
  munmap(third, PAGE);

  begin("fixed in memory");
  at = mmap(0, 16 * PAGE, RW, ANON, -1, 0);
  memset(at, 3, 16 * PAGE);
  munmap(at + 4 * PAGE, 8 * PAGE);
  tell_at("over a hole and what is beside it", mmap(at + 3 * PAGE, 10 * PAGE, RW, ANON | MAP_FIXED, -1, 0), at + 3 * PAGE);
  printf("fixed in memory: %d %d %d %d\n", at[2 * PAGE], at[3 * PAGE], at[8 * PAGE], at[13 * PAGE]);
  munmap(at, 16 * PAGE);
  for (int i = 0; i < 20; i++) {
    at = mmap(0, 4 * PAGE, RW, ANON, -1, 0);
    memset(at, 4, 4 * PAGE);
    munmap(at + PAGE, 2 * PAGE);
    if (mmap(at + PAGE, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0) != at + PAGE) tell("a hole is not filled", i);
    if (at[PAGE] | at[3 * PAGE - 1] || at[0] != 4) tell("it holds something", i);
    munmap(at, 4 * PAGE);
    if (mmap(at, 4 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) != at) tell("the old address is not free", i);
    if (at[0] | at[4 * PAGE - 1]) tell("it holds something", i);
    munmap(at, 4 * PAGE);
  }
  tell("holes were filled", 20);

  begin("fixed files");
  int fd = file_of(3 * PAGE + 10);
  tell_at("private", mmap(far, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), far);
  printf("fixed files: %c %c %c %d\n", far[0], far[2 * PAGE], far[3 * PAGE], far[3 * PAGE + 10]);
  far[0] = 'X';
  char byte = 0;
  pread(fd, &byte, 1, 0);
  printf("fixed files: the file has %c\n", byte);
  tell_at("to read, over it", mmap(far + PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, PAGE * 2), far + PAGE);
  probe("it", far + PAGE);
  tell("read into it", pread(fd, far + PAGE, 10, 0));
  tell("read beside it", pread(fd, far + 2 * PAGE, 10, 0));
  tell("write from it", pwrite(fd, far + PAGE, 10, 3 * PAGE));
  tell_at("noreplace", mmap(far, PAGE, RW, MAP_PRIVATE | MAP_FIXED_NOREPLACE, fd, 0), far);
  tell_at("anonymous over it", mmap(far, 2 * PAGE, RW, ANON | MAP_FIXED, -1, 0), far);
  printf("fixed files: %d %c\n", far[0], far[2 * PAGE]);
  munmap(far, 4 * PAGE);
  tell_at("past the end", mmap(far, 4 * PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd, 0), far);
  close(fd);
  munmap(far, 4 * PAGE);
}

static void reservations(void) {
  begin("reserved");
  char *at = mmap(0, GIB, PROT_NONE, ANON, -1, 0);
  tell("a GiB", at != MAP_FAILED);
  if (at == MAP_FAILED) return;
  probe("its start", at);
  probe("its end", at + GIB - 1);
  tell("commit", mprotect(at, 64 * KIB, RW));
  memset(at, 5, 64 * KIB);
  probe("committed", at + 64 * KIB - 1);
  probe("behind", at + 64 * KIB);
  tell("commit far away", mprotect(at + 700 * MIB, MIB, RW));
  memset(at + 700 * MIB, 6, MIB);
  tell_at("commit by mmap", mmap(at + 200 * MIB, 128 * KIB, RW, ANON | MAP_FIXED, -1, 0), at + 200 * MIB);
  memset(at + 200 * MIB, 7, 128 * KIB);
  printf("reserved: %d %d %d\n", at[0], at[700 * MIB + MIB - 1], at[200 * MIB]);
  tell("decommit", mprotect(at + 700 * MIB, MIB, PROT_NONE));
  probe("decommitted", at + 700 * MIB);
  tell("commit again", mprotect(at + 700 * MIB, MIB, RW));
  probe("kept", at + 700 * MIB);
  tell("drop", madvise(at + 700 * MIB, MIB, MADV_DONTNEED));
  probe("dropped", at + 700 * MIB);
  tell_at("give back by mmap", mmap(at + 200 * MIB, 128 * KIB, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE, -1, 0), at + 200 * MIB);
  probe("given back", at + 200 * MIB);
  tell("commit once more", mprotect(at + 200 * MIB, 128 * KIB, RW));
  probe("zero", at + 200 * MIB);
  /* In a circle, more than the image has in all. */
  for (long turn = 0; turn < 64; turn++) {
    char *part = at + 300 * MIB + turn * 4 * MIB;
    if (mprotect(part, 2 * MIB, RW)) tell("a commit in a circle fails", turn);
    memset(part, 8, 2 * MIB);
    if (turn % 2 ? madvise(part, 2 * MIB, MADV_DONTNEED) | mprotect(part, 2 * MIB, PROT_NONE)
                 : mmap(part, 2 * MIB, PROT_NONE, ANON | MAP_FIXED, -1, 0) != part)
      tell("a part is not given back", turn);
  }
  tell("in a circle", 64);
  int fd = file_of(PAGE);
  tell("read into a reserved page", pread(fd, at + 500 * MIB, 10, 0));
  tell("read into a committed one", pread(fd, at, 10, 0));
  tell("read past what is committed", pread(fd, at + 64 * KIB - 5, 10, 0));
  tell("write from a reserved page", pwrite(fd, at + 500 * MIB, 10, 0));
  tell("write from a committed one", pwrite(fd, at + 200 * MIB, 10, 0));
  struct iovec spans[2] = {{at, 5}, {at + 500 * MIB, 5}};
  tell("writev of both", writev(fd, spans, 2));
  printf("reserved: to the console: ");
  fflush(stdout);
  strcpy(at + PAGE - 3, "across pages\n");
  write(1, at + PAGE - 3, 13);
  tell("munmap of a part", munmap(at + 100 * MIB, 300 * MIB));
  probe("unmapped", at + 200 * MIB);
  tell("mprotect over the hole", mprotect(at + 99 * MIB, 2 * MIB, RW));
  tell("munmap", munmap(at, GIB));
  probe("gone", at);
  close(fd);

  begin("noreserve");
  at = mmap(0, 512 * MIB, RW, ANON | MAP_NORESERVE, -1, 0);
  tell("512 MiB", at != MAP_FAILED);
  if (at == MAP_FAILED) return;
  for (long offset = 0; offset < 512 * MIB; offset += 64 * MIB) {
    at[offset] += 1;
    at[offset + 30 * MIB] += 2;
  }
  long sum = 0;
  for (long offset = 0; offset < 512 * MIB; offset += 16 * MIB) sum += at[offset] + at[offset + 14 * MIB];
  tell("touched here and there", sum);
  fd = file_of(PAGE);
  tell("read into an untouched page", pread(fd, at + 5 * MIB, 100, 0));
  tell("write from an untouched page", pwrite(fd, at + 6 * MIB, 100, 0));
  tell("stat into one", fstat(fd, (void *)(at + 7 * MIB)));
  tell("a path in one", open(at + 8 * MIB, O_RDONLY));
  close(fd);
  tell("drop all", madvise(at, 512 * MIB, MADV_DONTNEED));
  tell("it is zero", at[0] + at[64 * MIB]);
  tell("read-only", mprotect(at, MIB, PROT_READ));
  probe("reads", at + 10 * PAGE);
  tell("munmap", munmap(at, 512 * MIB));

  begin("many");
  char *reserved[40];
  int made = 0;
  for (; made < 40; made++) {
    reserved[made] = mmap(0, 4 * GIB, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    if (reserved[made] == MAP_FAILED || mprotect(reserved[made] + GIB, PAGE, RW)) break;
    reserved[made][GIB] = (char)made;
  }
  tell("reservations of 4 GiB", made);
  long right = 0;
  for (int i = 0; i < made; i++) right += reserved[i][GIB] == (char)i;
  tell("hold what was written", right);
  for (int i = 0; i < made; i++) munmap(reserved[i], 4 * GIB);
}

static void moves(void) {
  begin("mremap");
  char *at = mmap(0, 4 * PAGE, RW, ANON, -1, 0);
  memset(at, 1, 4 * PAGE);
  tell_at("fixed", mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far), far);
  printf("mremap: %d %d\n", far[0], far[4 * PAGE - 1]);
  probe("the old place", at);
  tell_at("fixed, back", mremap(far, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at), at);
  printf("mremap: %d %d\n", at[0], at[4 * PAGE - 1]);
  tell_at("fixed and larger", mremap(at, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far), far);
  printf("mremap: %d %d\n", far[4 * PAGE - 1], far[8 * PAGE - 1]);
  tell_at("grown where it is", mremap(far, 8 * PAGE, 12 * PAGE, 0), far);
  far[11 * PAGE] = 2;
  mmap(far + 12 * PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
  tell_at("not where something is", mremap(far, 12 * PAGE, 13 * PAGE, 0), far);
  char *moved = mremap(far, 12 * PAGE, 20 * PAGE, MREMAP_MAYMOVE);
  printf("mremap: moved %d %d %d %d\n", moved != far, moved[0], moved[11 * PAGE], moved[19 * PAGE]);
  tell_at("shrunk", mremap(moved, 20 * PAGE, 2 * PAGE, 0), moved);
  probe("its end", moved + 2 * PAGE);
  tell_at("fixed and smaller", mremap(moved, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 12 * PAGE), far + 12 * PAGE);
  printf("mremap: over another %d\n", far[12 * PAGE]);
  probe("the rest of the old one", moved + PAGE);
  munmap(far, 20 * PAGE);
  at = mmap(far, 4 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
  memset(at, 3, 4 * PAGE);
  tell_at("fixed without maymove", mremap(at, PAGE, PAGE, MREMAP_FIXED, far + 8 * PAGE), far);
  tell_at("onto itself", mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far), far);
  tell_at("overlapping", mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 2 * PAGE), far);
  tell_at("to a crooked address", mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 8), far);
  tell_at("beyond all", mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (char *)(1l << 47)), far);
  tell_at("of what is not mapped", mremap(far + 8 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 16 * PAGE), far);
  tell_at("to no bytes", mremap(at, PAGE, 0, MREMAP_MAYMOVE), far);
  tell_at("of more than is mapped", mremap(at, 5 * PAGE, 6 * PAGE, MREMAP_MAYMOVE), far);
  tell_at("of a part, fixed", mremap(at + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 9 * PAGE), far + 9 * PAGE);
  probe("the part", far + 9 * PAGE);
  probe("the hole", at + PAGE);
  mprotect(at + 2 * PAGE, PAGE, PROT_READ);
  tell_at("grown over a change of rights", mremap(at + 2 * PAGE, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE), far);
  tell_at("read-only", mremap(at + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far + 30 * PAGE), far + 30 * PAGE);
  probe("stays so", far + 30 * PAGE);
  munmap(far, 40 * PAGE);

  begin("dontunmap");
  at = mmap(0, 4 * PAGE, RW, ANON, -1, 0);
  memset(at, 4, 4 * PAGE);
  /* The C libraries pass no address, and the kernel takes any for a hint. */
  moved = (char *)syscall(SYS_mremap, at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0);
  tell("moves", moved != MAP_FAILED && moved != at);
  if (moved != MAP_FAILED) {
    tell("the new one", moved[0] + moved[4 * PAGE - 1]);
    probe("the old one", at);
    munmap(moved, 4 * PAGE);
  }
  memset(at, 5, 4 * PAGE);
  tell_at("to an address", mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP | MREMAP_FIXED, far), far);
  probe("the new one", far);
  probe("the old one", at);
  tell_at("without maymove", mremap(at, PAGE, PAGE, MREMAP_DONTUNMAP), far);
  tell_at("with another size", mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP), far);
  munmap(at, 4 * PAGE);
  munmap(far, 4 * PAGE);
}

/* The same pages of a file at several addresses. */
static void aliases(void) {
  begin("alias");
  int fd = file_of(4 * PAGE);
  char *one = mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  char *two = mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0);
  char *part = mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 2 * PAGE);
  tell("each has its address", one != two && part != one + 2 * PAGE && part != two + 2 * PAGE);
  one[0] = '1';
  two[2 * PAGE] = '2';
  char byte = 0;
  pread(fd, &byte, 1, 2 * PAGE);
  printf("alias: %c %c %c\n", two[0], part[0], byte);
  pwrite(fd, "w", 1, 2 * PAGE + 1);
  printf("alias: a write %c %c %c\n", one[2 * PAGE + 1], two[2 * PAGE + 1], part[1]);
  probe("the part", part);
  tell("mprotect of the second", mprotect(two, PAGE, PROT_NONE));
  probe("the second", two);
  probe("the first", one);
  tell("mprotect back", mprotect(two, PAGE, PROT_READ));
  probe("the second", two);
  tell("munmap of the first", munmap(one, 4 * PAGE));
  printf("alias: still there %c %c\n", two[0], part[1]);
  char *third = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, PAGE);
  third[PAGE] = '3';
  printf("alias: a third %c %c\n", two[2 * PAGE], part[0]);
  tell("cut", ftruncate(fd, 2 * PAGE + 100));
  printf("alias: cut %c %d\n", third[PAGE + 99], third[PAGE + 100]);
  tell("cut more", ftruncate(fd, PAGE));
  probe("past the end", third);
  probe("past the end, elsewhere", two + PAGE);
  probe("at the start", two);
  tell("grown again", ftruncate(fd, 4 * PAGE));
  probe("which is zero", third);
  probe("there, too", two + 3 * PAGE);
  third[0] = 'z';
  printf("alias: %c\n", two[PAGE]);
  munmap(third, 2 * PAGE);
  munmap(part, PAGE);
  munmap(two, 4 * PAGE);
  pread(fd, &byte, 1, PAGE);
  printf("alias: the file has %c\n", byte);

  begin("ring");
  char *ring = mmap(0, 8 * PAGE, PROT_NONE, ANON, -1, 0);
  tell_at("first half", mmap(ring, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0), ring);
  tell_at("second half", mmap(ring + 4 * PAGE, 4 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0), ring + 4 * PAGE);
  memcpy(ring + 4 * PAGE - 3, "around", 6);
  printf("ring: %.3s\n", ring);
  memset(ring, 'r', 4 * PAGE);
  printf("ring: %c %c\n", ring[4 * PAGE], ring[8 * PAGE - 1]);
  tell("read into it", pread(fd, ring + 3 * PAGE, 2 * PAGE, PAGE));
  tell("munmap of a half", munmap(ring, 4 * PAGE));
  printf("ring: %c\n", ring[5 * PAGE]);
  tell("munmap of the other", munmap(ring + 4 * PAGE, 4 * PAGE));

  begin("alias moved");
  one = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
  one[0] = 'm';
  tell_at("to an address", mremap(one, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, far), far);
  printf("alias moved: %c\n", far[0]);
  tell_at("grown there", mremap(far, 2 * PAGE, 4 * PAGE, 0), far);
  far[3 * PAGE] = 'n';
  pread(fd, &byte, 1, 3 * PAGE);
  printf("alias moved: %c\n", byte);
  tell_at("anonymous over it", mmap(far + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0), far + PAGE);
  printf("alias moved: %d %c\n", far[PAGE], far[0]);
  tell_at("the file over that", mmap(far + PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 0), far + PAGE);
  far[PAGE] = 'o';
  printf("alias moved: %c\n", far[0]);
  munmap(far, 4 * PAGE);
  for (int turn = 0; turn < 50; turn++) {
    one = mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0);
    two = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, PAGE);
    two[0] = (char)turn;
    if (one[PAGE] != (char)turn) tell("an alias shows something else", turn);
    munmap(turn % 2 ? one : two, turn % 2 ? 4 * PAGE : 2 * PAGE);
    munmap(turn % 2 ? two : one, turn % 2 ? 2 * PAGE : 4 * PAGE);
  }
  pread(fd, &byte, 1, PAGE);
  tell("in a circle", byte);
  close(fd);
  /* Pages that were shown twice are memory like others again. */
  char *plain = mmap(0, 8 * MIB, RW, ANON, -1, 0);
  long sum = 0;
  for (long at = 0; at < 8 * MIB; at += 64) sum += plain[at];
  tell("memory is zero", sum);
  memset(plain, 1, 8 * MIB);
  madvise(plain, 8 * MIB, MADV_DONTNEED);
  for (long at = 0; at < 8 * MIB; at += 64) sum += plain[at];
  tell("and again", sum);
  munmap(plain, 8 * MIB);
}

static void residence(void) {
  begin("mincore");
  unsigned char there[8];
  char *at = mmap(0, 8 * PAGE, RW, ANON, -1, 0);
  tell("untouched", mincore(at, 8 * PAGE, there));
  printf("mincore: %d %d\n", there[0] & 1, there[7] & 1);
  at[0] = at[3 * PAGE] = 1;
  mincore(at, 8 * PAGE, there);
  printf("mincore: touched %d %d %d %d\n", there[0] & 1, there[1] & 1, there[3] & 1, there[7] & 1);
  madvise(at, 4 * PAGE, MADV_DONTNEED);
  mincore(at, 8 * PAGE, there);
  printf("mincore: dropped %d %d\n", there[0] & 1, there[3] & 1);
  tell("of no bytes", mincore(at, 0, there));
  tell("crooked", mincore(at + 1, PAGE, there));
  tell("to a bad address", mincore(at, PAGE, (void *)8));
  munmap(at + PAGE, PAGE);
  tell("over a hole", mincore(at, 3 * PAGE, there));
  munmap(at, 8 * PAGE);
  at = mmap(far, 4 * PAGE, PROT_NONE, ANON | MAP_FIXED, -1, 0);
  tell("reserved", mincore(at, 4 * PAGE, there));
  printf("mincore: reserved %d\n", there[0] & 1);
  munmap(far, 4 * PAGE);
  tell("gone", mincore(at, PAGE, there));
  int fd = file_of(2 * PAGE);
  at = mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
  mincore(at, 2 * PAGE, there);
  printf("mincore: a file %d %d\n", there[0] & 1, there[1] & 1);
  munmap(at, 2 * PAGE);
  close(fd);
}

/* What the list of mappings says of an address. */
static void show(const char *what, const void *at) {
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[4200];
  unsigned long start, end, offset, before = 0;
  int ordered = 1, found = 0;
  while (maps && fgets(line, sizeof line, maps)) {
    char rights[8], device[8], name[4200] = "";
    long inode;
    if (sscanf(line, "%lx-%lx %7s %lx %7s %ld %4000s", &start, &end, rights, &offset, device, &inode, name) < 6) {
      printf("maps: a line that cannot be read: %s", line);
      continue;
    }
    if (start < before || end <= start || line[strlen(line) - 1] != '\n') ordered = 0;
    before = end;
    if ((uintptr_t)at < start || (uintptr_t)at >= end) continue;
    found = 1;
    char *slash = strrchr(name, '/');
    int is_program = slash && strcmp(slash, "/bespoke-memory-space");
    printf("maps: %s: %s %s %s\n", what, rights, is_program ? "" : name, is_program || offset == 0 ? "" : "behind its start");
    if (*name && !is_program && strcspn(line, "[/") != 73) printf("maps: the name is in column %zu\n", strcspn(line, "[/"));
    if (slash && !is_program) printf("maps: a file: %d %d\n", inode > 0, strcmp(device, "00:00") != 0);
  }
  if (maps) fclose(maps);
  if (!found) printf("maps: %s: nowhere\n", what);
  if (!ordered) printf("maps: out of order\n");
}

static void listing(void) {
  begin("maps");
  static int data = 1, zero;
  int local;
  show("text", (void *)(uintptr_t)&tell);
  show("constants", "a constant");
  show("data", &data);
  show("zero data", &zero);
  show("the stack", &local);
  void *block = malloc(100);
  free(block);
  char *at = mmap(far, 8 * PAGE, RW, ANON | MAP_FIXED, -1, 0);
  show("beyond", at);
  mprotect(at + PAGE, PAGE, PROT_READ);
  mprotect(at + 2 * PAGE, PAGE, PROT_NONE);
  munmap(at + 3 * PAGE, PAGE);
  show("to read", at + PAGE);
  show("none", at + 2 * PAGE);
  show("a hole", at + 3 * PAGE);
  show("behind it", at + 4 * PAGE);
  munmap(far, 8 * PAGE);
  show("gone", far);
  at = mmap(0, 4 * PAGE, PROT_READ, ANON, -1, 0);
  show("anonymous", at);
  munmap(at, 4 * PAGE);
  show("unmapped", at);
  at = mmap(0, 4 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  munmap(at, 4 * PAGE);
  int fd = file_of(3 * PAGE);
  at = mmap(0, 3 * PAGE, RW, MAP_SHARED, fd, 0);
  show("a file", at);
  mprotect(at + PAGE, PAGE, PROT_READ);
  show("a file to read", at + PAGE);
  munmap(at, 3 * PAGE);
  close(fd);
  char *end = (char *)((syscall(SYS_brk, 0) + PAGE - 1) & -PAGE);
  syscall(SYS_brk, end + 2 * PAGE);
  show("the break", end);
  show("null", 0);
  FILE *sizes = fopen("/proc/self/statm", "r");
  long size = 0, resident = 0, shared = 0, text = 0, library = 0, data_pages = 0, dirty = 0;
  int fields = sizes ? fscanf(sizes, "%ld %ld %ld %ld %ld %ld %ld", &size, &resident, &shared, &text, &library, &data_pages, &dirty) : 0;
  if (sizes) fclose(sizes);
  printf("statm: %d fields, size %d, resident %d, text %d, data %d\n", fields, size >= resident, resident > 0, text > 0, data_pages > 0);
  at = mmap(far, 64 * MIB, PROT_NONE, ANON | MAP_FIXED, -1, 0);
  sizes = fopen("/proc/self/statm", "r");
  long larger = 0;
  if (sizes) fscanf(sizes, "%ld", &larger), fclose(sizes);
  printf("statm: grows with a reservation %ld\n", larger - size);
  munmap(far, 64 * MIB);
  pthread_attr_t attributes;
  void *stack = 0;
  size_t bytes = 0;
  printf("stack of the main thread: %d", pthread_getattr_np(pthread_self(), &attributes));
  pthread_attr_getstack(&attributes, &stack, &bytes);
  printf(" %d %d\n", (char *)stack <= (char *)&local && (char *)&local < (char *)stack + bytes, bytes >= 64 * KIB);
}

static long deep(long bytes) {
  volatile char room[1024];
  room[0] = (char)bytes;
  if (bytes <= 1024) return room[0];
  return deep(bytes - sizeof room - 64) + room[0];
}

/* As deep, with a system call at every level. */
static long deep_calls(long bytes) {
  volatile char room[700];
  room[0] = (char)bytes;
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  if (bytes <= 1024) return room[0];
  return deep_calls(bytes - sizeof room - 64) + room[0];
}

static void *use(void *bytes) {
  deep((long)bytes);
  return (void *)1;
}

static void *use_calls(void *bytes) {
  deep_calls((long)bytes);
  return (void *)1;
}

static void stacks(void) {
  begin("stacks");
  pthread_attr_t attributes;
  for (long bytes = 64 * KIB; bytes <= MIB; bytes *= 2) {
    pthread_t thread;
    void *result = 0;
    size_t told = 0;
    pthread_attr_init(&attributes);
    int error = pthread_attr_setstacksize(&attributes, bytes);
    pthread_attr_getstacksize(&attributes, &told);
    printf("stacks: %ld: %d, told %zu\n", bytes, error, told);
    error = pthread_create(&thread, &attributes, use, (void *)(bytes - 24 * KIB));
    if (!error) pthread_join(thread, &result);
    printf("stacks: %ld: created %d, used %d\n", bytes, error, result != 0);
  }
  pthread_t threads[8];
  void *result;
  int used = 0;
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], &attributes, use, (void *)(MIB - 24 * KIB));
  for (int i = 0; i < 8; i++) used += !pthread_join(threads[i], &result) && result;
  tell("eight of 1 MiB, all used", used);
  used = 0;
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], &attributes, use_calls, (void *)(MIB - 48 * KIB));
  for (int i = 0; i < 8; i++) used += !pthread_join(threads[i], &result) && result;
  tell("all used with calls", used);
  pthread_t many[200];
  int made = 0;
  while (made < 200 && !pthread_create(&many[made], 0, use, (void *)(4 * KIB))) made++;
  for (int i = 0; i < made; i++) pthread_join(many[i], &result);
  tell("two hundred by default", made);
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, use, (void *)(900 * KIB));
  used = 0;
  for (int i = 0; i < 8; i++) used += !pthread_join(threads[i], &result) && result;
  tell("eight by default, all used", used);
}

int space(void) {
  /* First those of whose munmaps an image must close each: it closes no more than 128 at once. */
  residence();
  moves();
  listing();
  fixed();
  reservations();
  aliases();
  stacks();
  unlink(path);
  return 0;
}
