/* The call group of each system call that few programs make (libos/src/calls/groups).
 *
 * A function that makes one of these calls refers to its group by a relocation that changes nothing, where the call
 * is made. An image has the groups that its functions refer to. */

#define BESPOKE_REFER(group) __asm__ (".reloc ., R_X86_64_NONE, bespoke_calls_" #group)
#define BESPOKE_CALL(group, name) __extension__ ({ BESPOKE_REFER(group); (long)__NR_##name; })

/* `syscall`: which calls it makes is not known here. */
#define BESPOKE_REFER_TO_ALL() do { \
	BESPOKE_REFER(attributes); \
	BESPOKE_REFER(clock_setting); \
	BESPOKE_REFER(locks); \
	BESPOKE_REFER(queues); \
	BESPOKE_REFER(scheduling); \
	BESPOKE_REFER(signal_files); \
	BESPOKE_REFER(sockets); \
	BESPOKE_REFER(timers); \
} while (0)

#undef SYS_get_robust_list
#define SYS_get_robust_list BESPOKE_CALL(locks, get_robust_list)

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
#undef SYS_ioprio_get
#undef SYS_ioprio_set
#undef SYS_sched_getattr
#undef SYS_sched_setattr
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
#define SYS_ioprio_get BESPOKE_CALL(scheduling, ioprio_get)
#define SYS_ioprio_set BESPOKE_CALL(scheduling, ioprio_set)
#define SYS_sched_getattr BESPOKE_CALL(scheduling, sched_getattr)
#define SYS_sched_setattr BESPOKE_CALL(scheduling, sched_setattr)

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

#undef SYS_timer_create
#undef SYS_timer_delete
#undef SYS_timer_getoverrun
#undef SYS_timer_gettime
#undef SYS_timer_settime
#define SYS_timer_create BESPOKE_CALL(timers, timer_create)
#define SYS_timer_delete BESPOKE_CALL(timers, timer_delete)
#define SYS_timer_getoverrun BESPOKE_CALL(timers, timer_getoverrun)
#define SYS_timer_gettime BESPOKE_CALL(timers, timer_gettime)
#define SYS_timer_settime BESPOKE_CALL(timers, timer_settime)

#undef SYS_signalfd
#undef SYS_signalfd4
#define SYS_signalfd BESPOKE_CALL(signal_files, signalfd)
#define SYS_signalfd4 BESPOKE_CALL(signal_files, signalfd4)

#undef SYS_personality
#undef SYS_prctl
#undef SYS_setdomainname
#undef SYS_sethostname
#define SYS_personality BESPOKE_CALL(attributes, personality)
#define SYS_prctl BESPOKE_CALL(attributes, prctl)
#define SYS_setdomainname BESPOKE_CALL(attributes, setdomainname)
#define SYS_sethostname BESPOKE_CALL(attributes, sethostname)

#undef SYS_adjtimex
#undef SYS_clock_adjtime
#undef SYS_clock_settime
#undef SYS_settimeofday
#define SYS_adjtimex BESPOKE_CALL(clock_setting, adjtimex)
#define SYS_clock_adjtime BESPOKE_CALL(clock_setting, clock_adjtime)
#define SYS_clock_settime BESPOKE_CALL(clock_setting, clock_settime)
#define SYS_settimeofday BESPOKE_CALL(clock_setting, settimeofday)

#undef SYS_mq_getsetattr
#undef SYS_mq_notify
#undef SYS_mq_open
#undef SYS_mq_timedreceive
#undef SYS_mq_timedsend
#undef SYS_mq_unlink
#define SYS_mq_getsetattr BESPOKE_CALL(queues, mq_getsetattr)
#define SYS_mq_notify BESPOKE_CALL(queues, mq_notify)
#define SYS_mq_open BESPOKE_CALL(queues, mq_open)
#define SYS_mq_timedreceive BESPOKE_CALL(queues, mq_timedreceive)
#define SYS_mq_timedsend BESPOKE_CALL(queues, mq_timedsend)
#define SYS_mq_unlink BESPOKE_CALL(queues, mq_unlink)
