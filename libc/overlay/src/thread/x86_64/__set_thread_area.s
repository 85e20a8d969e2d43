# int __set_thread_area(void *thread_pointer): loads the FS base, through the library OS because
# not every machine lets CPL 3 do it.

.text
.global __set_thread_area
.hidden __set_thread_area
.type __set_thread_area, @function
__set_thread_area:
	.cfi_startproc
	jmp bespoke_set_thread_pointer
	.cfi_endproc
.size __set_thread_area, . - __set_thread_area
