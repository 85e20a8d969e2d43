/* The call group of each system call that few programs make (libos/src/calls/groups).
 *
 * A function that makes one of these calls refers to its group by a relocation that changes nothing, where the call
 * is made. An image has the groups that its functions refer to. */

#define BESPOKE_REFER(group) __asm__ (".reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#define BESPOKE_CALL(group, name) __extension__ ({ BESPOKE_REFER(group); (long)__NR_##name; })

/* `syscall`: which calls it makes is not known here. */
#define BESPOKE_REFER_TO_ALL() do { \
	BESPOKE_REFER(extended); \
	BESPOKE_REFER(inotify); \
	BESPOKE_REFER(memfd); \
	BESPOKE_REFER(nodes); \
	BESPOKE_REFER(scheduling); \
	BESPOKE_REFER(sockets); \
	BESPOKE_REFER(splices); \
	BESPOKE_REFER(xattrs); \
} while (0)

#undef SYS_getcpu
#undef SYS_getpriority
#undef SYS_sched_get_priority_max
#undef SYS_sched_get_priority_min
#undef SYS_sched_getaffinity
#undef SYS_sched_getparam
#undef SYS_sched_getscheduler
#undef SYS_sched_rr_get_interval
#undef SYS_sched_setaffinity
#undef SYS_sched_setparam
#undef SYS_sched_setscheduler
#undef SYS_setpriority
#define SYS_getcpu BESPOKE_CALL(scheduling, getcpu)
#define SYS_getpriority BESPOKE_CALL(scheduling, getpriority)
#define SYS_sched_get_priority_max BESPOKE_CALL(scheduling, sched_get_priority_max)
#define SYS_sched_get_priority_min BESPOKE_CALL(scheduling, sched_get_priority_min)
#define SYS_sched_getaffinity BESPOKE_CALL(scheduling, sched_getaffinity)
#define SYS_sched_getparam BESPOKE_CALL(scheduling, sched_getparam)
#define SYS_sched_getscheduler BESPOKE_CALL(scheduling, sched_getscheduler)
#define SYS_sched_rr_get_interval BESPOKE_CALL(scheduling, sched_rr_get_interval)
#define SYS_sched_setaffinity BESPOKE_CALL(scheduling, sched_setaffinity)
#define SYS_sched_setparam BESPOKE_CALL(scheduling, sched_setparam)
#define SYS_sched_setscheduler BESPOKE_CALL(scheduling, sched_setscheduler)
#define SYS_setpriority BESPOKE_CALL(scheduling, setpriority)

#undef SYS_accept
#undef SYS_accept4
#undef SYS_bind
#undef SYS_connect
#undef SYS_getpeername
#undef SYS_getsockname
#undef SYS_getsockopt
#undef SYS_listen
#undef SYS_recvfrom
#undef SYS_recvmsg
#undef SYS_sendmsg
#undef SYS_sendto
#undef SYS_setsockopt
#undef SYS_shutdown
#undef SYS_socket
#undef SYS_socketpair
#define SYS_accept BESPOKE_CALL(sockets, accept)
#define SYS_accept4 BESPOKE_CALL(sockets, accept4)
#define SYS_bind BESPOKE_CALL(sockets, bind)
#define SYS_connect BESPOKE_CALL(sockets, connect)
#define SYS_getpeername BESPOKE_CALL(sockets, getpeername)
#define SYS_getsockname BESPOKE_CALL(sockets, getsockname)
#define SYS_getsockopt BESPOKE_CALL(sockets, getsockopt)
#define SYS_listen BESPOKE_CALL(sockets, listen)
#define SYS_recvfrom BESPOKE_CALL(sockets, recvfrom)
#define SYS_recvmsg BESPOKE_CALL(sockets, recvmsg)
#define SYS_sendmsg BESPOKE_CALL(sockets, sendmsg)
#define SYS_sendto BESPOKE_CALL(sockets, sendto)
#define SYS_setsockopt BESPOKE_CALL(sockets, setsockopt)
#define SYS_shutdown BESPOKE_CALL(sockets, shutdown)
#define SYS_socket BESPOKE_CALL(sockets, socket)
#define SYS_socketpair BESPOKE_CALL(sockets, socketpair)

#undef SYS_mknod
#undef SYS_mknodat
#define SYS_mknod BESPOKE_CALL(nodes, mknod)
#define SYS_mknodat BESPOKE_CALL(nodes, mknodat)

#undef SYS_inotify_add_watch
#undef SYS_inotify_init
#undef SYS_inotify_init1
#undef SYS_inotify_rm_watch
#define SYS_inotify_add_watch BESPOKE_CALL(inotify, inotify_add_watch)
#define SYS_inotify_init BESPOKE_CALL(inotify, inotify_init)
#define SYS_inotify_init1 BESPOKE_CALL(inotify, inotify_init1)
#define SYS_inotify_rm_watch BESPOKE_CALL(inotify, inotify_rm_watch)

#undef SYS_splice
#undef SYS_tee
#undef SYS_vmsplice
#define SYS_splice BESPOKE_CALL(splices, splice)
#define SYS_tee BESPOKE_CALL(splices, tee)
#define SYS_vmsplice BESPOKE_CALL(splices, vmsplice)

#undef SYS_memfd_create
#define SYS_memfd_create BESPOKE_CALL(memfd, memfd_create)

#undef SYS_chroot
#undef SYS_fchmodat2
#undef SYS_openat2
#undef SYS_preadv2
#undef SYS_pwritev2
#define SYS_chroot BESPOKE_CALL(extended, chroot)
#define SYS_fchmodat2 BESPOKE_CALL(extended, fchmodat2)
#define SYS_openat2 BESPOKE_CALL(extended, openat2)
#define SYS_preadv2 BESPOKE_CALL(extended, preadv2)
#define SYS_pwritev2 BESPOKE_CALL(extended, pwritev2)

#undef SYS_fgetxattr
#undef SYS_flistxattr
#undef SYS_fremovexattr
#undef SYS_fsetxattr
#undef SYS_getxattr
#undef SYS_lgetxattr
#undef SYS_listxattr
#undef SYS_llistxattr
#undef SYS_lremovexattr
#undef SYS_lsetxattr
#undef SYS_removexattr
#undef SYS_setxattr
#define SYS_fgetxattr BESPOKE_CALL(xattrs, fgetxattr)
#define SYS_flistxattr BESPOKE_CALL(xattrs, flistxattr)
#define SYS_fremovexattr BESPOKE_CALL(xattrs, fremovexattr)
#define SYS_fsetxattr BESPOKE_CALL(xattrs, fsetxattr)
#define SYS_getxattr BESPOKE_CALL(xattrs, getxattr)
#define SYS_lgetxattr BESPOKE_CALL(xattrs, lgetxattr)
#define SYS_listxattr BESPOKE_CALL(xattrs, listxattr)
#define SYS_llistxattr BESPOKE_CALL(xattrs, llistxattr)
#define SYS_lremovexattr BESPOKE_CALL(xattrs, lremovexattr)
#define SYS_lsetxattr BESPOKE_CALL(xattrs, lsetxattr)
#define SYS_removexattr BESPOKE_CALL(xattrs, removexattr)
#define SYS_setxattr BESPOKE_CALL(xattrs, setxattr)
