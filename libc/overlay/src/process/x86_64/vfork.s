# pid_t vfork(void): asks the library OS, which runs one process and says so (ENOSYS).

.text
.global vfork
.type vfork, @function
.hidden __syscall_ret
vfork:
	.cfi_startproc
	mov $58, %edi		# SYS_vfork
	push $0			# the call's seventh argument; aligns the stack as well
	.cfi_adjust_cfa_offset 8
	call bespoke_syscall
	add $8, %rsp
	.cfi_adjust_cfa_offset -8
	mov %rax, %rdi
	jmp __syscall_ret	# sets errno
	.cfi_endproc
.size vfork, . - vfork
