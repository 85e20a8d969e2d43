/* What stays in a guest process besides the image: the last steps before it, and its signal handlers.
 *
 *   bespoke_resident_enter   makes the calls of the script, of which the last ones unmap all else and take on the
 *                            filter; clears the registers, enters the image
 *   bespoke_resident_fault   handler of faults: the image goes on at its interrupt entry if it handles this one; else
 *                            what happened goes to the control page, a byte to the parent, whose answer ends the
 *                            process or sends it to the image's rescue entry
 *   bespoke_resident_kick    handler of interrupts: the image goes on at its interrupt entry, if it may be interrupted
 *                            where it is, or steps to where it may be. In any case the signal has ended a sleep
 *   bespoke_resident_return  leaves every handler
 *
 * The code is copied to a page of its own, so all jumps are relative and all data lies at fixed addresses: names in
 * capitals are constants of resident.rs. It runs with the image's registers and thread pointer. It must never read
 * anything that the image could have written, for which it is not prepared. */

.pushsection .text.bespoke_resident, "ax", @progbits
.globl bespoke_resident_start, bespoke_resident_end
.globl bespoke_resident_enter, bespoke_resident_fault, bespoke_resident_kick, bespoke_resident_return
.balign 64
bespoke_resident_start:

bespoke_resident_enter:
    mov esp, {STACK_TOP}
    mov ebx, {ORDERS}
    mov r12, [rbx + {CALL_COUNT}]
    mov r13, [rbx + {CALLS}]
next_call:
    test r12, r12
    jz all_called
    mov rax, [r13 + 8]
    mov rdi, [r13 + 16]
    mov rsi, [r13 + 24]
    mov rdx, [r13 + 32]
    mov r10, [r13 + 40]
    mov r8, [r13 + 48]
    mov r9, [r13 + 56]
    syscall
    cmp rax, {LEAST_ERROR}
    jae not_entered
    add r13, {CALL_BYTES}
    dec r12
    jmp next_call
all_called:
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov rcx, [rbx + {ENTER_STAMP}]
    mov [rcx], rax
    cmp qword ptr [rbx + {XSAVE_MASK}], 0
    je no_xsave
    mov eax, [rbx + {XSAVE_MASK}]
    xor edx, edx
    xrstor64 [rbx + {XSAVE}]
    jmp vectors_clear
no_xsave:
    fxrstor64 [rbx + {XSAVE}]
vectors_clear:
    mov rdi, [rbx + {BOOT}]
    push {CLEAN_FLAGS}
    popfq
    mov eax, 0
    mov ebx, 0
    mov ecx, 0
    mov edx, 0
    mov esi, 0
    mov ebp, 0
    mov esp, 0
    mov r8d, 0
    mov r9d, 0
    mov r10d, 0
    mov r11d, 0
    mov r12d, 0
    mov r13d, 0
    mov r14d, 0
    mov r15d, 0
    jmp qword ptr ds:[{ORDERS} + {ENTRY}]

not_entered:
    neg eax
    mov ds:[{CONTROL} + {ERRNO}], eax
    mov rax, [r13]
    mov ds:[{CONTROL} + {FAILED_STEP}], eax
    mov edi, {NOT_STARTED}
    jmp end

/* Linux keeps the image's alignment-check flag in handlers. */
.macro allow_misalignment
    pushfq
    and dword ptr [rsp], {NO_ALIGNMENT_CHECK}
    popfq
.endm

/* As ImageNote::may_interrupt: goes to `yes`, or on. Shared code never touches the stack, so rsp leads to its return
 * address; without one there is nothing to go on with, and the fault here ends the process. */
.macro may_interrupt yes
    mov rax, [rdx + {UC_RIP}]
    cmp rax, ds:[{ORDERS} + {SHARED_START}]
    jb 1f
    cmp rax, ds:[{ORDERS} + {SHARED_END}]
    jae 1f
    mov rax, [rdx + {UC_RSP}]
    mov rax, [rax]
1:
    cmp rax, ds:[{ORDERS} + {INTERRUPTIBLE_START}]
    jb 2f
    cmp rax, ds:[{ORDERS} + {INTERRUPTIBLE_END}]
    jb \yes
2:
.endm

/* rdx = ucontext_t */
bespoke_resident_kick:
    allow_misalignment
    mov r8, ds:[{ORDERS} + {STATS}]
    mov ecx, {VECTOR_TICK}
    may_interrupt tick
    cmp qword ptr ds:[{ORDERS} + {INTERRUPT_ENTRY}], 0
    je not_wanted
    /* As StatsPage::wants_interrupt: the image makes up for it at its next system call. */
    mov rax, [r8 + {HOST_SIGNALS}]
    or rax, [r8 + {READY}]
    or rax, [r8 + {WAITS}]
    or rax, [r8 + {TIMERS}]
    jz not_wanted
    lock bts qword ptr [r8 + {HOST_SIGNALS}], {MISSED_BIT}
    jnc not_wanted
    /* It was set already, so there was no system call since the last miss: a thread that is nearly always inside a
     * heap, or a long call. Now and then it goes on by single instructions until it can be interrupted, which is when
     * it comes back to the application. */
    inc dword ptr ds:[{CONTROL} + {MISSES}]
    test dword ptr ds:[{CONTROL} + {MISSES}], {OTHER_MISSES}
    jnz not_wanted
    mov rax, [rdx + {UC_RIP}]
    cmp rax, ds:[{ORDERS} + {TEXT_START}]
    jb not_wanted
    cmp rax, ds:[{ORDERS} + {TEXT_END}]
    jae not_wanted
    mov dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], {MOST_STEPS}
    or dword ptr [rdx + {UC_FLAGS}], {TRAP_FLAG}
not_wanted:
    ret

/* After each of those instructions. */
stepped:
    mov r8, ds:[{ORDERS} + {STATS}]
    mov ecx, {VECTOR_TICK}
    may_interrupt tick
    /* A call has made up for it meanwhile, or this leads nowhere. */
    bt qword ptr [r8 + {HOST_SIGNALS}], {MISSED_BIT}
    jnc walk_on
    dec dword ptr ds:[{CONTROL} + {SINGLE_STEPS}]
    jz walk_on
    ret
walk_on:
    mov dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], 0
    and dword ptr [rdx + {UC_FLAGS}], {NO_TRAP_FLAG}
    ret

tick:
    mov dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], 0
    and dword ptr [rdx + {UC_FLAGS}], {NO_TRAP_FLAG}
/* rcx = vector, rdx = ucontext_t, r8 = statistics page */
interrupt:
    mov rax, [rdx + {UC_RIP}]
    mov [r8 + {INTERRUPT_RIP}], rax
    mov [r8 + {INTERRUPT_VECTOR}], rcx
    mov rax, [rdx + {UC_ERROR}]
    mov [r8 + {INTERRUPT_ERROR}], rax
    mov rax, [rdx + {UC_CR2}]
    mov [r8 + {INTERRUPT_ADDRESS}], rax
    mov rax, ds:[{ORDERS} + {INTERRUPT_ENTRY}]
    mov [rdx + {UC_RIP}], rax
    ret

/* edi = signal, rsi = siginfo_t, rdx = ucontext_t */
bespoke_resident_fault:
    allow_misalignment
    cmp edi, {SIGTRAP}
    jne not_stepped
    cmp dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], 0
    je not_stepped
    cmp qword ptr [rdx + {UC_VECTOR}], {VECTOR_DEBUG}
    je stepped
not_stepped:
    cmp dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], 0
    je not_stepping
    mov dword ptr ds:[{CONTROL} + {SINGLE_STEPS}], 0
    and dword ptr [rdx + {UC_FLAGS}], {NO_TRAP_FLAG}
not_stepping:
    /* Does the image handle it? A page fault may become either signal of memory. */
    cmp qword ptr ds:[{ORDERS} + {INTERRUPT_ENTRY}], 0
    je report
    cmp edi, {SIGSYS}
    je report
    mov eax, {MEMORY_SIGNALS}
    cmp edi, {SIGSEGV}
    je has_signals
    cmp edi, {SIGBUS}
    je has_signals
    lea ecx, [rdi - 1]
    mov eax, 1
    shl rax, cl
has_signals:
    mov r8, ds:[{ORDERS} + {STATS}]
    test [r8 + {HANDLED}], rax
    jz report
    mov rcx, [rdx + {UC_VECTOR}]
    mov rax, [rdx + {UC_RIP}]
    cmp rax, ds:[{ORDERS} + {TEXT_START}]
    jb interrupt
    cmp rax, ds:[{ORDERS} + {TEXT_END}]
    jae interrupt
    /* In code, but not in that of the library OS, which has no handlers. */
    may_interrupt interrupt
report:
    mov ebx, {CONTROL}
    mov r12, rdx
    mov r13d, edi
    xor eax, eax
    cmp edi, {SIGSYS}
    jne not_refused
    mov eax, [rsi + {SI_SYSCALL}]
not_refused:
    mov [rbx + {REFUSED_CALL}], eax
    lea rsi, [r12 + {UC_REGISTERS}]
    lea rdi, [rbx + {SAVED}]
    mov ecx, {SAVED_COUNT}
    cld
    rep movsq
    cmp qword ptr ds:[{ORDERS} + {HAS_FSGSBASE}], 0
    je no_fs_base
    rdfsbase rax
    mov [rbx + {FS_BASE}], rax
no_fs_base:
    mov [rbx + {SIGNAL}], r13d
    push 0
    mov edi, {NOTICE}
    mov rsi, rsp
    mov edx, 1
    mov eax, {SYS_WRITE}
    syscall
    mov edi, {ANSWER}
    mov rsi, rsp
    mov edx, 1
    mov eax, {SYS_READ}
    syscall
    pop rcx
    cmp rax, 1
    jne give_up
    cmp cl, {RESCUE}
    jne give_up
    mov rax, ds:[{ORDERS} + {RESCUE_ENTRY}]
    mov [r12 + {UC_RIP}], rax
    mov rax, ds:[{ORDERS} + {RESCUE_STACK}]
    mov [r12 + {UC_RSP}], rax
    mov qword ptr [r12 + {UC_FLAGS}], {CLEAN_FLAGS}
    ret
bespoke_resident_return:
    mov eax, {SYS_RT_SIGRETURN}
    syscall

give_up:
    lea edi, [r13 + 128]
end:
    mov eax, {SYS_EXIT_GROUP}
    syscall
    ud2
bespoke_resident_end:
.popsection
