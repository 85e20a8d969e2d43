/* Memory as the system calls show it: each line is one observation, the same on Linux and in an image. With an argument:
 * one access that must end in a signal. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define RW (PROT_READ | PROT_WRITE)
static const char *path = "/tmp/bespoke-memory-test";

static const char *name_of(int error) {
  switch (error) {
    case 0: return "ok";
    case EACCES: return "EACCES";
    case EBADF: return "EBADF";
    case EEXIST: return "EEXIST";
    case EFAULT: return "EFAULT";
    case EINVAL: return "EINVAL";
    case EISDIR: return "EISDIR";
    case ENODEV: return "ENODEV";
    case ENOMEM: return "ENOMEM";
    case EOVERFLOW: return "EOVERFLOW";
    default: return "other";
  }
}
static void tell(const char *what, long result) {
  if (result == -1) printf("%s: %s\n", what, name_of(errno));
  else printf("%s: %ld\n", what, result);
}
static void tell_mapped(const char *what, void *at, size_t bytes) {
  printf("%s: %s\n", what, at == MAP_FAILED ? name_of(errno) : "mapped");
  if (at != MAP_FAILED) munmap(at, bytes);
}
static char *map(size_t bytes) {
  char *at = mmap(0, bytes, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) { perror("mmap"); exit(1); }
  return at;
}
/* A file of `bytes` bytes, byte i being 'a' + i / PAGE. */
static int file_of(size_t bytes) {
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  for (size_t i = 0; i < bytes; i++) {
    char byte = 'a' + i / PAGE;
    if (write(fd, &byte, 1) != 1) { perror("write"); exit(1); }
  }
  return fd;
}
static char byte_at(int fd, off_t at) {
  char byte = '?';
  if (pread(fd, &byte, 1, at) != 1) return '!';
  return byte ? byte : '0';
}
static char shown(const char *at) { return *(volatile const char *)at ? *(volatile const char *)at : '0'; }

static void shared_files(void) {
  int fd = file_of(3 * PAGE + 10);
  char *first = mmap(0, 3 * PAGE + 10, RW, MAP_SHARED, fd, 0);
  char *second = mmap(0, 2 * PAGE, PROT_READ, MAP_SHARED, fd, PAGE);
  printf("first %c%c%c%c, second %c%c\n", shown(first), shown(first + PAGE), shown(first + 2 * PAGE), shown(first + 3 * PAGE),
         shown(second), shown(second + PAGE));
  pwrite(fd, "WWWW", 4, 2 * PAGE - 2);
  printf("pwrite shows: %c%c second %c\n", shown(first + 2 * PAGE - 1), shown(first + 2 * PAGE), shown(second + PAGE));
  first[PAGE + 5] = 'S';
  printf("store shows: read %c second %c\n", byte_at(fd, PAGE + 5), shown(second + 5));
  printf("past the end within the page: %c\n", shown(first + 3 * PAGE + 10));
  lseek(fd, 0, SEEK_END);
  write(fd, "GROWN", 5);
  printf("append shows: %.5s\n", first + 3 * PAGE + 10);
  ftruncate(fd, PAGE + 4);
  printf("truncated: %c then %c\n", shown(first + PAGE + 3), shown(first + PAGE + 5));
  ftruncate(fd, 3 * PAGE);
  printf("grown again: %c %c\n", shown(first + PAGE + 5), shown(first + 2 * PAGE));
  first[2 * PAGE + 1] = 'N';
  printf("store after growth: %c\n", byte_at(fd, 2 * PAGE + 1));
  tell("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * PAGE, PAGE));
  printf("punched: %c\n", shown(first + 2 * PAGE + 1));
  tell("fallocate", fallocate(fd, 0, 3 * PAGE, PAGE));
  printf("fallocated: %c\n", shown(first + 3 * PAGE));
  tell("msync", msync(first, 2 * PAGE, MS_SYNC));
  tell("msync async", msync(first, PAGE, MS_ASYNC | MS_INVALIDATE));
  tell("munmap of the middle", munmap(first + 2 * PAGE, PAGE));
  first[0] = 'F';
  first[3 * PAGE] = 'L';
  printf("the ends stay: %c %c, second %c\n", byte_at(fd, 0), byte_at(fd, 3 * PAGE), shown(second + PAGE));
  unlink(path);
  close(fd);
  first[1] = 'U';
  printf("after unlink and close: %c %c\n", shown(first + 1), shown(second + PAGE));
  munmap(first, 2 * PAGE);
  munmap(first + 3 * PAGE, PAGE);
  printf("second alone: %c\n", shown(second + PAGE));
  munmap(second, 2 * PAGE);

  fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  char *regions[4];
  for (int i = 0; i < 4; i++) {
    ftruncate(fd, (i + 1) * 8 * PAGE);
    regions[i] = mmap(0, 8 * PAGE, RW, MAP_SHARED, fd, i * 8 * PAGE);
    memset(regions[i], '0' + i, 8 * PAGE);
  }
  for (int i = 0; i < 4; i++) printf("region %d: %c %c\n", i, byte_at(fd, i * 8 * PAGE), byte_at(fd, (i + 1) * 8 * PAGE - 1));
  for (int i = 0; i < 4; i++) munmap(regions[i], 8 * PAGE);
  printf("after munmap: %c%c%c%c\n", byte_at(fd, 0), byte_at(fd, 8 * PAGE), byte_at(fd, 16 * PAGE), byte_at(fd, 24 * PAGE));
  char *grown = mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0);
  grown = mremap(grown, PAGE, 32 * PAGE, MREMAP_MAYMOVE);
  printf("mremap: %c %c\n", shown(grown), shown(grown + 32 * PAGE - 1));
  pwrite(fd, "P", 1, 31 * PAGE);
  printf("mremap then pwrite: %c\n", shown(grown + 31 * PAGE));
  grown = mremap(grown, 32 * PAGE, 2 * PAGE, 0);
  printf("shrunk: %c\n", shown(grown + 2 * PAGE - 1));
  munmap(grown, 2 * PAGE);
  char *hole = map(8 * PAGE);
  memset(hole, 'h', 8 * PAGE);
  char *fixed = mmap(hole + 2 * PAGE, 2 * PAGE, RW, MAP_SHARED | MAP_FIXED, fd, 8 * PAGE);
  printf("fixed: %d %c %c %c\n", fixed == hole + 2 * PAGE, shown(fixed - 1), shown(fixed), shown(fixed + 2 * PAGE));
  fixed[0] = 'X';
  printf("fixed store: %c\n", byte_at(fd, 8 * PAGE));
  mmap(fixed, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("anonymous over it: %c %c, file %c\n", shown(fixed), shown(fixed + PAGE), byte_at(fd, 8 * PAGE));
  munmap(hole, 8 * PAGE);
  char *private = mmap(0, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
  private[0] = 'p';
  printf("private: %c, file %c\n", shown(private), byte_at(fd, 0));
  munmap(private, 2 * PAGE);
  char *advised = mmap(0, 2 * PAGE, RW, MAP_SHARED, fd, 0);
  tell("dontneed of a file", madvise(advised, PAGE, MADV_DONTNEED));
  printf("keeps it: %c\n", shown(advised));
  tell("remove", madvise(advised, PAGE, MADV_REMOVE));
  printf("clears it: %c %c\n", shown(advised), byte_at(fd, 0));
  tell("free of a file", madvise(advised, PAGE, MADV_FREE));
  char *copy = mmap(0, PAGE, RW, MAP_PRIVATE, fd, 0);
  tell("free of a copy", madvise(copy, PAGE, MADV_FREE));
  munmap(copy, PAGE);
  char *together = mmap(0, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memset(together, 't', 2 * PAGE);
  tell("dontneed of shared memory", madvise(together, PAGE, MADV_DONTNEED));
  tell("free of it", madvise(together, PAGE, MADV_FREE));
  printf("keeps it: %c\n", shown(together));
  tell("remove of it", madvise(together, PAGE, MADV_REMOVE));
  printf("clears it: %c %c\n", shown(together), shown(together + PAGE));
  together = mremap(together, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  printf("moved: %c %c\n", shown(together), shown(together + PAGE));
  munmap(together, 64 * PAGE);
  munmap(advised, 2 * PAGE);
  close(fd);

  int reading = open(path, O_RDONLY), writing = open(path, O_WRONLY), directory = open("/tmp", O_RDONLY), null = open("/dev/null", O_RDWR);
  int zero = open("/dev/zero", O_RDWR), pipes[2];
  pipe(pipes);
  tell_mapped("shared to read", mmap(0, PAGE, PROT_READ, MAP_SHARED, reading, 0), PAGE);
  tell_mapped("shared to write of a reader", mmap(0, PAGE, RW, MAP_SHARED, reading, 0), PAGE);
  tell_mapped("private to write of a reader", mmap(0, PAGE, RW, MAP_PRIVATE, reading, 0), PAGE);
  tell_mapped("of a writer", mmap(0, PAGE, PROT_WRITE, MAP_SHARED, writing, 0), PAGE);
  tell_mapped("of a directory", mmap(0, PAGE, PROT_READ, MAP_SHARED, directory, 0), PAGE);
  tell_mapped("of /dev/null", mmap(0, PAGE, PROT_READ, MAP_SHARED, null, 0), PAGE);
  tell_mapped("of /dev/zero", mmap(0, PAGE, RW, MAP_PRIVATE, zero, 0), PAGE);
  tell_mapped("of a pipe", mmap(0, PAGE, PROT_READ, MAP_SHARED, pipes[0], 0), PAGE);
  tell_mapped("of nothing open", mmap(0, PAGE, PROT_READ, MAP_SHARED, 999, 0), PAGE);
  tell_mapped("no bytes", mmap(0, 0, PROT_READ, MAP_SHARED, reading, 0), PAGE);
  tell_mapped("crooked offset", mmap(0, PAGE, PROT_READ, MAP_SHARED, reading, 100), PAGE);
  tell_mapped("neither shared nor private", mmap(0, PAGE, PROT_READ, 0, reading, 0), PAGE);
  tell_mapped("anonymous, neither", mmap(0, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), PAGE);
  char *view = mmap(0, PAGE, PROT_READ, MAP_SHARED, reading, 0);
  tell("mprotect of a reader to write", mprotect(view, PAGE, RW));
  tell("read into a mapping to read", read(reading, view, 10));
  munmap(view, PAGE);
}

/* First, while the pages behind the break are free: it grows in place. */
static void program_break(void) {
  char *start = (char *)((syscall(SYS_brk, 0) + PAGE - 1) & -PAGE);
  syscall(SYS_brk, start + 3 * PAGE);
  memset(start, 'K', 3 * PAGE);
  tell("mprotect of the break", mprotect(start + 2 * PAGE, PAGE, PROT_READ));
  syscall(SYS_brk, start + 2 * PAGE);
  char *last = (char *)syscall(SYS_brk, start + 3 * PAGE);
  printf("the break: %ld %c %c\n", (long)(last - start), shown(last - PAGE - 1), shown(last - 1));
  last[-1] = 'k';
}

static void protection(void) {
  char *at = map(4 * PAGE);
  memset(at, 'A', 4 * PAGE);
  tell("none", mprotect(at, PAGE, PROT_NONE));
  tell("dontneed of none", madvise(at, PAGE, MADV_DONTNEED));
  mprotect(at, PAGE, RW);
  printf("reads: %c\n", shown(at));
  memset(at, 'B', PAGE);
  mprotect(at, PAGE, PROT_READ);
  printf("readable: %c\n", shown(at));
  tell("free of read-only", madvise(at, PAGE, MADV_DONTNEED));
  printf("reads: %c\n", shown(at));
  mprotect(at + PAGE, PAGE, PROT_NONE);
  int fd = file_of(3 * PAGE);
  tell("read into none", pread(fd, at + PAGE, 10, 0));
  tell("read into read-only", pread(fd, at, 10, 0));
  tell("write from none", pwrite(fd, at + PAGE, 10, 0));
  tell("write from read-only", pwrite(fd, at, 10, 0));
  mprotect(at, PAGE, RW);
  tell("read up to none", pread(fd, at + PAGE - 100, 200, 0));
  tell("write up to none", pwrite(fd, at + PAGE - 100, 200, 0));
  struct iovec spans[2] = {{at, 50}, {at + PAGE, 50}};
  tell("writev up to none", writev(fd, spans, 2));
  lseek(fd, 0, SEEK_SET);
  tell("readv up to none", readv(fd, spans, 2));
  tell("mremap of part none", (long)mremap(at, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE));
  char *fixed = mmap(at + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("fixed over none: %d %c %c\n", fixed == at + PAGE, shown(fixed), shown(at + 2 * PAGE));
  char *closed = map(2 * PAGE);
  memset(closed, 'C', 2 * PAGE);
  mprotect(closed, 2 * PAGE, PROT_NONE);
  char *moved = mremap(closed, 2 * PAGE, 64 * PAGE, MREMAP_MAYMOVE);
  mprotect(moved, 64 * PAGE, PROT_READ);
  printf("moved while closed: %c %c %c\n", shown(moved), shown(moved + PAGE), shown(moved + 2 * PAGE));
  munmap(moved, 64 * PAGE);
  tell("munmap in part", munmap(at + PAGE, PAGE));
  tell("again", munmap(at + PAGE, PAGE));
  tell("mprotect over a hole", mprotect(at, 3 * PAGE, PROT_READ));
  tell("write up to the hole", pwrite(fd, at + PAGE - 10, 20, 0));
  tell("msync of a hole", msync(at + PAGE, PAGE, MS_SYNC));
  tell("madvise of a hole", madvise(at, 3 * PAGE, MADV_NORMAL));
  tell("munlock of a hole", munlock(at, 3 * PAGE));
  mprotect(at, PAGE, PROT_NONE);
  tell("mlock of none", mlock(at, PAGE));
  tell("munlock of none", munlock(at, PAGE));
  tell("mlock2 of none", syscall(SYS_mlock2, at, PAGE, 1));
  mprotect(at, PAGE, PROT_READ);
  tell("mlock of read-only", mlock(at, PAGE));
  tell("mlock of a hole", mlock(at, 3 * PAGE));
  char *back = mmap(at + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  printf("the hole filled: %d %c\n", back == at + PAGE, shown(back));
  tell("noreplace", (long)mmap(at, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  tell("madvise 999", madvise(at, PAGE, 999));
  tell("madvise crooked", madvise(at + 1, PAGE, MADV_NORMAL));
  tell("madvise of nothing", madvise(at, 0, MADV_NORMAL));
  tell("msync both", msync(at, PAGE, MS_SYNC | MS_ASYNC));
  tell("msync unknown", msync(at, PAGE, 64));
  tell("msync crooked", msync(at + 8, PAGE, MS_SYNC));
  tell("msync of nothing", msync(at, 0, MS_SYNC));
  tell("msync with no flag", msync(at, PAGE, 0));
  tell("mprotect crooked", syscall(SYS_mprotect, at + 8, PAGE, PROT_READ));
  tell("mprotect unknown", mprotect(at, PAGE, 0x800));
  tell("munmap beyond all", munmap((void *)(1ul << 62), PAGE));
  tell("munmap at the end", munmap((void *)((1ul << 47) - PAGE), 2 * PAGE));
  tell("munmap crooked", munmap(at + 8, PAGE));
  tell("munmap of no bytes", munmap(at, 0));
  tell("mremap of nothing", (long)mremap(at, 0, PAGE, 0));
  tell("mremap unknown", (long)mremap(at, PAGE, PAGE, 64));
  unsigned char there[4] = {0};
  tell("mincore", mincore(at, 2 * PAGE, there));
  tell("mincore crooked", mincore(at + 8, PAGE, there));
  tell("mincore to nowhere", mincore(at, PAGE, (void *)-1));
  tell("mlock2", syscall(SYS_mlock2, at, PAGE, 8));
  tell("mlockall", mlockall(64));
  munmap(at, 4 * PAGE);
  char *block;
  if (posix_memalign((void **)&block, PAGE, 2 * PAGE)) exit(1);
  memset(block, 'M', 2 * PAGE);
  tell("mprotect of a block", mprotect(block, PAGE, PROT_READ));
  tell("read into it", pread(fd, block, 10, 0));
  tell("read behind it", pread(fd, block + PAGE, 10, 0));
  tell("open again", mprotect(block, PAGE, RW));
  block[0] = 'm';
  free(block);
  close(fd);
}

static void pointers(void) {
  char *bad = (char *)-1, *low = (char *)8, *far = (char *)0x700000000000;
  char *hole = map(2 * PAGE);
  munmap(hole + PAGE, PAGE);
  int fd = file_of(PAGE), null = open("/dev/null", O_RDWR), epoll = epoll_create1(0), pair[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  char *wild[] = {bad, low, far, hole + PAGE};
  for (int i = 0; i < 4; i++) {
    void *p = wild[i];
    printf("pointer %d\n", i);
    tell("read", pread(fd, p, 10, 0));
    tell("write", pwrite(fd, p, 10, 0));
    tell("write to null", write(null, p, 10));
    tell("read at the end", pread(fd, p, 10, PAGE));
    tell("read of nothing open", read(999, p, 10));
    tell("open", open(p, O_RDONLY));
    tell("stat", syscall(SYS_stat, p, hole));
    tell("stat to it", syscall(SYS_stat, "/", p));
    tell("fstat to it", syscall(SYS_fstat, fd, p));
    tell("getcwd", syscall(SYS_getcwd, p, 100));
    tell("pipe", syscall(SYS_pipe, p));
    tell("poll", syscall(SYS_poll, p, 1, 0));
    tell("nanosleep", syscall(SYS_nanosleep, p, 0));
    tell("clock_gettime", syscall(SYS_clock_gettime, CLOCK_MONOTONIC, p));
    tell("gettimeofday", syscall(SYS_gettimeofday, p, 0));
    tell("rt_sigaction", syscall(SYS_rt_sigaction, SIGUSR1, p, 0, 8));
    tell("rt_sigaction old", syscall(SYS_rt_sigaction, SIGUSR1, 0, p, 8));
    tell("rt_sigprocmask", syscall(SYS_rt_sigprocmask, SIG_BLOCK, p, 0, 8));
    tell("rt_sigprocmask old", syscall(SYS_rt_sigprocmask, SIG_BLOCK, 0, p, 8));
    tell("rt_sigpending", syscall(SYS_rt_sigpending, p, 8));
    tell("epoll_pwait", syscall(SYS_epoll_pwait, epoll, hole, 1, 0, p, 8));
    tell("epoll_pwait2", syscall(SYS_epoll_pwait2, epoll, hole, 1, hole + 16, p, 8));
    tell("epoll_ctl", syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, pair[0], p));
    tell("ppoll", syscall(SYS_ppoll, 0, 0, hole + 16, p, 8));
    tell("futex", syscall(SYS_futex, (uintptr_t)p & ~3ul, 0, 0, 0, 0, 0));
    tell("getrandom", syscall(SYS_getrandom, p, 10, 0));
    tell("uname", syscall(SYS_uname, p));
    tell("getrlimit", syscall(SYS_getrlimit, RLIMIT_NOFILE, p));
    tell("getrusage", syscall(SYS_getrusage, RUSAGE_SELF, p));
    tell("sysinfo", syscall(SYS_sysinfo, p));
    tell("times", syscall(SYS_times, p) == -1 ? -1 : 0);
    tell("setitimer", syscall(SYS_setitimer, ITIMER_REAL, p, 0));
    tell("send", send(pair[0], p, 10, 0));
    tell("bind", bind(pair[0], p, 16));
    tell("getsockname", syscall(SYS_getsockname, pair[0], p, p));
    tell("sendmsg", syscall(SYS_sendmsg, pair[0], p, 0));
    tell("readv", syscall(SYS_readv, fd, p, 1));
    tell("prctl", syscall(SYS_prctl, 15, p));
    tell("getdents", syscall(SYS_getdents64, open("/", O_RDONLY | O_DIRECTORY), p, 100));
  }
  /* Longer than what is there. */
  static char data[100];
  long far_too_long = pwrite(fd, data, 1 << 30, 0);
  printf("write from data: %s\n", far_too_long > 0 && far_too_long < 64 << 20 ? "in part" : "else");
  tell("write up to the hole", pwrite(fd, hole + 100, 1 << 20, 0));
  int ends[2];
  pipe2(ends, O_NONBLOCK);
  char *longer = map(4 * PAGE);
  munmap(longer + 3 * PAGE, PAGE);
  struct iovec parts[2] = {{hole, PAGE}, {longer + 2 * PAGE + 100, PAGE}};
  tell("write of a pipe up to the hole", write(ends[1], hole + PAGE - 6, 100));
  tell("writev of it", writev(ends[1], parts + 1, 1));
  tell("which is empty", read(ends[0], longer, 3 * PAGE));
  tell("write of pages up to the hole", write(ends[1], longer + 100, 3 * PAGE));
  tell("which holds", read(ends[0], longer, 3 * PAGE));
  tell("writev up to the hole", writev(ends[1], parts, 2));
  tell("which holds", read(ends[0], longer, 3 * PAGE));
  tell("write to null up to the hole", write(null, hole + PAGE - 6, 100));
  tell("write to null behind the hole", write(null, hole + PAGE, 100));
  munmap(longer, 3 * PAGE);
  close(ends[0]);
  close(ends[1]);
  tell("getrandom up to the hole", syscall(SYS_getrandom, hole + PAGE - 96, 200, 0));
  tell("wake at the hole", syscall(SYS_futex, hole + PAGE, 1 | 128, 1, 0, 0, 0));
  tell("wake a shared word there", syscall(SYS_futex, hole + PAGE, 1, 1, 0, 0, 0));
  tell("wake beyond all", syscall(SYS_futex, 1ul << 62, 1 | 128, 1, 0, 0, 0));
  printf("platform %s, hardware %d, stack of a handler %d\n", (char *)getauxval(AT_PLATFORM), getauxval(AT_HWCAP) != 0,
         getauxval(51) > 1000);
  memset(hole, 'x', PAGE);
  tell("a path up to the hole", open(hole + PAGE - 10, O_RDONLY));
  tell("to a constant", pread(fd, (char *)"constant", 4, 0));
  tell("from a constant", pwrite(fd, "constant", 4, 0));
  ftruncate(fd, 10);
  tell("read of less than the buffer is said to hold", pread(fd, hole + PAGE - 10, PAGE, 0));
  struct rlimit limit;
  getrlimit(RLIMIT_AS, &limit);
  limit.rlim_cur = 512 << 20;
  tell("limit of addresses", setrlimit(RLIMIT_AS, &limit));
  tell_mapped("more than it", mmap(0, 600 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_AS, &limit);
  getrlimit(RLIMIT_DATA, &limit);
  limit.rlim_cur = 64 << 10;
  tell("limit of data", setrlimit(RLIMIT_DATA, &limit));
  tell_mapped("more than it", mmap(0, 1 << 20, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
  tell_mapped("not of data", mmap(0, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 1 << 20);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_DATA, &limit);
}

/* One access that ends in a signal, at the address that is printed. */
static int fault(const char *kind) {
  char *at = map(16 * PAGE), *hit = at + 4 * PAGE + 16;
  memset(at, 1, 16 * PAGE);
  int fd = file_of(PAGE + 10);
  static char own[2 * PAGE] __attribute__((aligned(PAGE)));
  if (strstr(kind, "none")) mprotect(at + 4 * PAGE, PAGE, PROT_NONE);
  if (strstr(kind, "read-only")) mprotect(at + 4 * PAGE, PAGE, PROT_READ);
  if (strstr(kind, "unmapped")) munmap(at + 4 * PAGE, PAGE);
  if (strstr(kind, "whole")) munmap(at, 16 * PAGE);
  if (strstr(kind, "end-shared")) hit = (char *)mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0) + 2 * PAGE + 16;
  if (strstr(kind, "end-private")) hit = (char *)mmap(0, 4 * PAGE, RW, MAP_PRIVATE, fd, 0) + 2 * PAGE + 16;
  if (strstr(kind, "cut-shared")) { hit = (char *)mmap(0, 4 * PAGE, RW, MAP_SHARED, fd, 0) + PAGE + 16; *hit = 1; ftruncate(fd, PAGE); }
  if (strstr(kind, "view")) hit = (char *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0) + 16;
  if (strstr(kind, "reserved")) hit = (char *)mmap(0, 1 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + (700 << 20) + 16;
  if (strstr(kind, "second")) {
    mmap(0, PAGE, RW, MAP_SHARED, fd, 0);
    hit = (char *)mmap(0, PAGE, PROT_READ, MAP_SHARED, fd, 0) + 16;
  }
  if (strstr(kind, "gone")) { hit = mmap(0, PAGE, RW, MAP_SHARED, fd, 0); munmap(hit, PAGE); byte_at(fd, PAGE); hit += 16; }
  if (strstr(kind, "lost")) { hit = (char *)mmap(0, PAGE, RW, MAP_SHARED, fd, 0) + 16; *hit = 1; close(fd); munmap(hit - 16, PAGE); }
  if (strstr(kind, "break")) {
    char *end = (char *)((syscall(SYS_brk, 0) + PAGE - 1) & -PAGE);
    syscall(SYS_brk, end + 3 * PAGE);
    hit = end + 2 * PAGE + 16;
    *hit = 1;
    syscall(SYS_brk, end + 2 * PAGE);
  }
  if (strstr(kind, "moved")) {
    /* A page behind it that is mapped keeps it from growing in place. */
    mprotect(at + 5 * PAGE, PAGE, PROT_NONE);
    if (mremap(at + 4 * PAGE, PAGE, 64 * PAGE, MREMAP_MAYMOVE) == at + 4 * PAGE) return 1;
  }
  if (strstr(kind, "data")) { hit = own + PAGE + 16; mprotect(own + PAGE, PAGE, PROT_READ); }
  printf("touches %p\n", (void *)hit);
  fflush(stdout);
  if (strstr(kind, "load")) return *(volatile char *)hit;
  if (strstr(kind, "store")) *(volatile char *)hit = 1;
  if (strstr(kind, "vector")) __asm__ volatile("movups %%xmm0, (%0)" : : "r"(hit) : "memory");
  if (strstr(kind, "string")) { void *to = hit; size_t n = 9; __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(0) : "memory"); }
  if (strstr(kind, "direct")) *(volatile int *)(own + PAGE + 16) = 7;
  return 0;
}

/* munmap and mmap in a loop, for measuring. */
static int loop(size_t bytes, int count) {
  struct timespec a, b;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (int i = 0; i < count; i++) {
    char *at = map(bytes);
    at[0] = 1;
    munmap(at, bytes);
  }
  clock_gettime(CLOCK_MONOTONIC, &b);
  printf("%zu bytes: %.0f ns a round\n", bytes, ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / count);
  return 0;
}

/* space.c */
int space(void);

int main(int count, char **arguments) {
  static char buffer[BUFSIZ];
  setvbuf(stdout, buffer, _IOLBF, sizeof buffer);
  if (count > 2 && !strcmp(arguments[1], "loop")) return loop(atol(arguments[2]), atoi(arguments[3]));
  if (count > 1 && !strcmp(arguments[1], "space")) return space();
  if (count > 1) return fault(arguments[1]);
  program_break();
  shared_files();
  protection();
  pointers();
  unlink(path);
  return 0;
}
