# Answers for images what musl's makefile otherwise learns from its configure script.
ARCH = x86_64
CC = gcc
# The composition of the image defines the malloc family; none of musl's stands in the archive.
MALLOC_DIR = none
CFLAGS_C99FSE = -std=c99 -nostdinc -ffreestanding -fexcess-precision=standard -frounding-math
CFLAGS_MEMOPS = -fno-tree-loop-distribute-patterns
# For size, and for speed where calls are many, as musl's configure script chooses; locks are such a place too.
OPTIMIZE_GLOBS = internal/*.c string/*.c thread/*.c
# Static at a fixed address; a section per function, so that the linker drops what is not reached.
# The unwind tables go to the debug file, for backtraces.
CFLAGS_AUTO = -Os -pipe -g1 -fno-pic -fno-pie -fno-stack-protector -fno-strict-aliasing \
	-ffunction-sections -fdata-sections -fasynchronous-unwind-tables -Wa,--noexecstack -w -DBESPOKE_IN_LIBC

# Stacks of threads come from the `stack` component of the image, with guard pages that are kept
# (libos/src/threads/stacks.rs): these two files map and unmap nothing else.
obj/src/thread/pthread_create.o obj/src/thread/pthread_join.o: CFLAGS_AUTO += \
	-D__mmap=bespoke_stack_map -D__mprotect=bespoke_stack_protect -D__munmap=bespoke_stack_unmap

# Thread-local storage that finds no place in the data: asked for at the start, whatever else the program maps
# (libos/src/calls/mod.rs).
obj/src/env/__init_tls.o: CFLAGS_AUTO += -DSYS_mmap2=__NR_mmap

# GCC moves arithmetic behind the call that asks for its exceptions, in spite of `FENV_ACCESS`: fmaf lost the
# underflow (apps/calls/floats.c).
obj/src/math/%.o obj/src/complex/%.o obj/src/fenv/%.o: CFLAGS_AUTO += -fno-tree-sink
