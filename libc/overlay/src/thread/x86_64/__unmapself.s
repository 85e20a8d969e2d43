# void __unmapself(void *stack, size_t bytes): a detached thread ends and its stack goes with it.
#
# The library OS gives the stack to nobody before it has switched away from it.

.text
.global __unmapself
.hidden __unmapself
.type __unmapself, @function
__unmapself:
	.cfi_startproc
	and $-16, %rsp
	call bespoke_unmap_self
	.cfi_endproc
.size __unmapself, . - __unmapself
