# A system call that is a cancellation point:
#   long __syscall_cp_asm(volatile int *cancel, long number, long a ... long f)
#
# musl decides by the program counter whether a cancelled call had begun. Inside the library OS a
# program counter says nothing, so the flag is read before the call, and the range __cp_begin to
# __cp_end, which the cancellation handler compares with, is empty. A call that waits comes back
# with EINTR, after which musl looks at the flag again.

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
	cmpl $0, (%rdi)
	jne __cp_cancel
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
__cp_begin:
__cp_end:
__cp_cancel:
	jmp __cancel
	.cfi_endproc
.size __syscall_cp_asm, . - __syscall_cp_asm
