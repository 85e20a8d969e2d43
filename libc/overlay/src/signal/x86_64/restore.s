# void __restore_rt(void): where a kernel makes signal handlers return to.
#
# The library OS calls handlers as functions, and they return to it. sigaction() only takes the
# address of this symbol; nothing goes there.

.text
.global __restore_rt
.hidden __restore_rt
.type __restore_rt, @function
__restore_rt:
	.cfi_startproc
	ud2
	.cfi_endproc
.size __restore_rt, . - __restore_rt
