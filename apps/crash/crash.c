/* Ends in the way its argument names: to see, and to test, what a crash report says. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int zero;

static int null_dereference(void) { return *(volatile int *)(long)zero; }

static void wild_jump(void) { ((void (*)(void))0x123456789000)(); }

static int stack_overflow(int depth) {
  volatile char frame[512];
  frame[0] = (char)depth;
  return stack_overflow(depth + 1) + frame[0];
}

static void *overflow_in_thread(void *depth) {
  return (void *)(long)stack_overflow((int)(long)depth);
}

static int thread_overflow(void) {
  pthread_t thread;
  if (pthread_create(&thread, 0, overflow_in_thread, 0)) return 1;
  return pthread_join(thread, 0);
}

static const char constant[] = "constant";

static void write_constant(void) { *(volatile char *)constant = 'C'; }

static void write_text(void) { *(volatile char *)(void *)write_constant = 0; }

static void run_data(void) {
  static unsigned char instructions[] = {0xc3};
  ((void (*)(void))(void *)instructions)();
}

static void run_heap(void) {
  unsigned char *instructions = malloc(16);
  instructions[0] = 0xc3;
  ((void (*)(void))(void *)instructions)();
}

static int division_by_zero(int value) { return value / zero; }

static void double_free(void) {
  char *volatile block = malloc(100);
  free(block);
  free(block);
}

/* The library OS panics in this function, which no program calls. */
void _Unwind_Resume(void *);

static void panic(void) { _Unwind_Resume(0); }

/* malloc answers NULL, and the program goes on. */
static int out_of_memory(void) {
  size_t megabytes = 0;
  while (malloc(1 << 20)) megabytes++;
  printf("malloc gave %zu MiB, then NULL\n", megabytes);
  return megabytes == 0;
}

/* As a server does that goes on in the background and takes every answer but 0 for a parent's. */
static void background(void) {
  if (fork() != 0) exit(0);
}

/* Notices that there is no second process, and says so. */
static int tried_forks(void) {
  if (fork() < 0) puts("fork failed");
  if (vfork() < 0) puts("vfork failed");
  if (syscall(SYS_clone, 0x800, 0, 0, 0, 0) < 0) puts("clone failed");
  return 0;
}

/* Asks, and does something else instead. */
static int went_on(void) {
  if (fork() < 0 && access("/", F_OK)) return 1;
  return 0;
}

/* Ends well, and says which environment it was given. */
static int environment(void) {
  for (char **variable = environ; *variable; variable++) puts(*variable);
  return 0;
}

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "";
  if (!strcmp(way, "null")) return null_dereference();
  if (!strcmp(way, "jump")) wild_jump();
  if (!strcmp(way, "stack")) return stack_overflow(0);
  if (!strcmp(way, "thread-stack")) return thread_overflow();
  if (!strcmp(way, "write-constant")) write_constant();
  if (!strcmp(way, "write-text")) write_text();
  if (!strcmp(way, "run-data")) run_data();
  if (!strcmp(way, "run-heap")) run_heap();
  if (!strcmp(way, "divide")) return division_by_zero(7);
  if (!strcmp(way, "abort")) abort();
  if (!strcmp(way, "double-free")) double_free();
  if (!strcmp(way, "panic")) panic();
  if (!strcmp(way, "memory")) return out_of_memory();
  if (!strcmp(way, "exit")) return 42;
  if (!strcmp(way, "environment")) return environment();
  if (!strcmp(way, "background")) background();
  if (!strcmp(way, "tried-forks")) return tried_forks();
  if (!strcmp(way, "went-on")) return went_on();
  puts("usage: crash null|jump|stack|thread-stack|write-constant|write-text|run-data|run-heap|divide|abort|double-free|panic|memory|exit|environment|background|tried-forks|went-on");
  return 2;
}
