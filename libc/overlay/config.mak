# Answers for images what musl's makefile otherwise learns from its configure script.
ARCH = x86_64
CC = gcc
# The composition of the image defines the malloc family; none of musl's stands in the archive.
MALLOC_DIR = none
CFLAGS_C99FSE = -std=c99 -nostdinc -ffreestanding -fexcess-precision=standard -frounding-math
CFLAGS_MEMOPS = -fno-tree-loop-distribute-patterns
# Static at a fixed address; a section per function, so that the linker drops what is not reached.
# The unwind tables go to the debug file, for backtraces.
CFLAGS_AUTO = -O2 -pipe -g1 -fno-pic -fno-pie -fno-stack-protector -fno-strict-aliasing \
	-ffunction-sections -fdata-sections -fasynchronous-unwind-tables -Wa,--noexecstack -w
