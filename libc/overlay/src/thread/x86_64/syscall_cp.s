# A system call that is a cancellation point:
#   long __syscall_cp_asm(volatile int *cancel, long number, long a ... long f)
#
# musl decides by the program counter whether a cancelled call had begun: a signal that comes between __cp_begin and
# __cp_end, where the flag was read and the call is not made yet, sends the thread to __cp_cancel. Inside the library
# OS a program counter says nothing: a call that waits comes back with EINTR, after which musl looks at the flag again.

.text
.global __syscall_cp_asm
.hidden __syscall_cp_asm
.type __syscall_cp_asm, @function
.global __cp_begin
.hidden __cp_begin
.global __cp_end
.hidden __cp_end
.global __cp_cancel
.hidden __cp_cancel
.hidden __cancel

__syscall_cp_asm:
	.cfi_startproc
__cp_begin:
	cmpl $0, (%rdi)
	jne 1f
	# Every argument moves one place forward; the last one takes the stack slot of the one before.
	mov %rsi, %rdi
	mov %rdx, %rsi
	mov %rcx, %rdx
	mov %r8, %rcx
	mov %r9, %r8
	mov 8(%rsp), %r9
	mov 16(%rsp), %rax
	mov %rax, 8(%rsp)
	jmp bespoke_syscall
__cp_end:
1:	jmp __cancel

# Asynchronous cancellation comes here from anywhere, with any alignment of the stack; from a call like the one
# above with that of a function's first instruction, and with somebody to return to.
__cp_cancel:
	lea 8(%rsp), %rax
	test $15, %al
	jz 1b
	and $-16, %rsp
	call __cancel
	hlt
	.cfi_endproc
.size __syscall_cp_asm, . - __syscall_cp_asm
