# int __clone(int (*start)(void *), void *stack, int flags, void *argument,
#             pid_t *parent_tid, void *thread_pointer, pid_t *child_tid)
#
# The library OS starts the thread; it takes these very arguments (libos/src/calls/waiting.rs).

.text
.global __clone
.hidden __clone
.type __clone, @function
__clone:
	.cfi_startproc
	jmp bespoke_clone
	.cfi_endproc
.size __clone, . - __clone
