# void __unmapself(void *stack, size_t bytes): a detached thread ends and its stack goes with it.
#
# Cannot be reached while __clone refuses to start threads; stops the image if it is.

.text
.global __unmapself
.hidden __unmapself
.type __unmapself, @function
__unmapself:
	.cfi_startproc
	ud2
	.cfi_endproc
.size __unmapself, . - __unmapself
