/* The ring-0 stub: how an image starts on QEMU and Firecracker, and all that it ever does at CPL 0.
 *
 *   bespoke_pvh_entry   32-bit protected mode, ebx = start information (Xen's PVH boot protocol)
 *     -> long mode on boot tables that map all of the image, and the first 2 MiB, for everybody
 *     -> descriptors, task state, the hypervisor's clock
 *     -> CPL 3 at bespoke_pvh_user_entry, rdi = start information
 *   int 4, eax = operation
 *     0  wait: halts until an interrupt, any at all
 *     1  tables: loads the page tables of index rdi from the words at ROOTS, which flushes the TLB
 *     2  power off: shuts the machine down
 *     3  interrupts: opens them for the caller, from now on
 *   timer, while CPL 3 runs: on at bespoke_interrupt, where rip may be interrupted and that would change anything;
 *               else the image makes up for it
 *   exceptions: on at bespoke_interrupt, where the image handles any and rip may be interrupted; else all registers
 *               to FAULT, on at bespoke_pvh_user_fault on the rescue stack; a second one shuts the machine down
 *
 * Interrupts are open in "wait", and at CPL 3 once the image has asked for them. Everything the CPU reads on its way to CPL 0 lies from
 * 1 MiB on, where the body's own tables let nobody look; what is code or constant lies in the image's text,
 * which nobody may write. Names in capitals are constants of libos/src/platform/pvh/stub.rs. It must never trust a register
 * that comes through the gate. */

.pushsection .note.bespoke, "a", @note
.balign 4
.long 4, 8, {PHYS32_ENTRY}
.asciz "Xen"
.quad bespoke_pvh_entry
.popsection

.pushsection .text.bespoke_stub, "ax", @progbits

/* Addresses in a gate rise by SLOT_BYTES an entry, and may not carry out of their low 16 bits. */
.set SLOT_BYTES, 16
.set VECTORS, 35
.balign 1024
bespoke_stub_vectors:

.macro plain vector
    .balign 16
    push 0
    push \vector
    jmp fault
.endm
.macro coded vector
    .balign 16
    push \vector
    jmp fault
.endm
.macro goes to
    .balign 16
    jmp \to
.endm

plain 0
plain 1
plain 2
plain 3
.balign 16
    jmp gate
plain 5
plain 6
plain 7
coded 8
plain 9
coded 10
coded 11
coded 12
coded 13
coded 14
plain 15
plain 16
coded 17
plain 18
plain 19
plain 20
coded 21
plain 22
plain 23
plain 24
plain 25
plain 26
plain 27
plain 28
coded 29
coded 30
plain 31
goes tick
goes device
goes spurious

gate:
    cmp eax, 1
    jb 1f
    je 2f
    cmp eax, 3
    jne shut_down
    or dword ptr [rsp + 16], 0x200
    iretq
2:  and edi, 1
    mov rax, [{ROOTS} + rdi * 8]
    mov cr3, rax
    iretq
1:  btr dword ptr [{WOKEN}], 0
    jc 3f
    sti
    hlt
    cli
3:  iretq

/* On the stack: rip, cs, flags, rsp, ss. An interrupt that ended a halt: what it pushed is dropped, and the gate's own
 * frame is left. One of CPL 3 is ended here, and the next tick set. */
tick:
    test byte ptr [rsp + 8], 3
    jz wake
    push rax
    push rcx
    mov eax, {LOCAL}
    inc dword ptr [{TICKS}]
    mov ecx, [{TICK_COUNT}]
    mov [rax + {INITIAL_COUNT}], ecx
    mov dword ptr [rax + {END_OF_INTERRUPT}], 0
    mov rax, [BESPOKE_STATS + {READY}]
    or rax, [BESPOKE_STATS + {WAITS}]
    or rax, [BESPOKE_STATS + {TIMERS}]
    or rax, [BESPOKE_STATS + {HOST_SIGNALS}]
    jz 2f
    mov rcx, [rsp + 16]
    mov rax, rcx
    cmp rax, offset bespoke_shared_start
    jb 1f
    cmp rax, offset bespoke_shared_end
    jae 3f
    mov rax, [rsp + 40]
    mov rax, [rax]
3:  cmp rax, offset bespoke_interruptible_start
    jb 1f
    cmp rax, offset bespoke_interruptible_end
    jae 1f
    mov [BESPOKE_STATS + {INTERRUPT_RIP}], rcx
    mov qword ptr [BESPOKE_STATS + {INTERRUPT_VECTOR}], {VECTOR_TICK}
    mov qword ptr [rsp + 16], offset bespoke_interrupt
    jmp 2f
1:  bts dword ptr [BESPOKE_STATS + {HOST_SIGNALS} + 4], 31
    mov eax, {LOCAL}
    mov dword ptr [rax + {INITIAL_COUNT}], {RETRY_COUNT}
2:  pop rcx
    pop rax
    iretq

/* Of a device: the next wait must not sleep. */
device:
    test byte ptr [rsp + 8], 3
    jz wake
    push rax
    mov eax, {LOCAL}
    mov dword ptr [rax + {END_OF_INTERRUPT}], 0
    bts dword ptr [{WOKEN}], 0
    pop rax
    iretq

spurious:
    test byte ptr [rsp + 8], 3
    jz wake
    iretq

wake:
    mov esp, {STACK_TOP} - 40
    iretq

/* On the stack: vector, error code, rip, cs, flags, rsp, ss. */
fault:
    test byte ptr [rsp + 24], 3
    jz 4f
    cmp qword ptr [BESPOKE_STATS + {HANDLED}], 0
    je 4f
    push rax
    mov rax, [rsp + 24]
    /* Where there is no code: the library OS makes no wild jump. */
    cmp rax, offset bespoke_text_start
    jb 2f
    cmp rax, offset bespoke_text_end
    jae 2f
    cmp rax, offset bespoke_shared_start
    jb 3f
    cmp rax, offset bespoke_shared_end
    jae 1f
    mov rax, [rsp + 48]
    mov rax, [rax]
1:  cmp rax, offset bespoke_interruptible_start
    jb 3f
    cmp rax, offset bespoke_interruptible_end
    jae 3f
2:  mov rax, [rsp + 24]
    mov [BESPOKE_STATS + {INTERRUPT_RIP}], rax
    mov rax, [rsp + 8]
    mov [BESPOKE_STATS + {INTERRUPT_VECTOR}], rax
    mov rax, [rsp + 16]
    mov [BESPOKE_STATS + {INTERRUPT_ERROR}], rax
    mov rax, cr2
    mov [BESPOKE_STATS + {INTERRUPT_ADDRESS}], rax
    mov qword ptr [rsp + 24], offset bespoke_interrupt
    pop rax
    add esp, 16
    iretq
3:  pop rax
4:  bts dword ptr [{FAULTED}], 0
    jc shut_down
    mov [{FAULT} + {GENERAL}], rax
    mov [{FAULT} + {GENERAL} + 8], rdx
    mov [{FAULT} + {GENERAL} + 16], rcx
    mov [{FAULT} + {GENERAL} + 24], rbx
    mov [{FAULT} + {GENERAL} + 32], rsi
    mov [{FAULT} + {GENERAL} + 40], rdi
    mov [{FAULT} + {GENERAL} + 48], rbp
    mov [{FAULT} + {GENERAL} + 64], r8
    mov [{FAULT} + {GENERAL} + 72], r9
    mov [{FAULT} + {GENERAL} + 80], r10
    mov [{FAULT} + {GENERAL} + 88], r11
    mov [{FAULT} + {GENERAL} + 96], r12
    mov [{FAULT} + {GENERAL} + 104], r13
    mov [{FAULT} + {GENERAL} + 112], r14
    mov [{FAULT} + {GENERAL} + 120], r15
    pop qword ptr [{FAULT} + {VECTOR}]
    pop qword ptr [{FAULT} + {ERROR_CODE}]
    pop qword ptr [{FAULT} + {RIP}]
    pop rax
    pop qword ptr [{FAULT} + {FLAGS}]
    pop qword ptr [{FAULT} + {GENERAL} + 56]
    mov rax, cr2
    mov [{FAULT} + {ADDRESS}], rax
    mov eax, offset bespoke_rescue_stack_top
    mov ecx, offset bespoke_pvh_user_fault
    jmp drop

shut_down:
    lidt [bespoke_stub_nothing]
    int3

.code32
.globl bespoke_pvh_entry
bespoke_pvh_entry:
    cld
    mov ebp, ebx
    mov esp, {STACK_TOP}

    /* Boot tables: 2 MiB pages for everybody from 0 to the end of the image. */
    xor edx, edx
    mov dword ptr [{BOOT_TABLES}], {BOOT_TABLES} + 0x1007
    mov [{BOOT_TABLES} + 4], edx
    mov dword ptr [{BOOT_TABLES} + 0x1000], {BOOT_TABLES} + 0x2007
    mov [{BOOT_TABLES} + 0x1004], edx
    mov edi, {BOOT_TABLES} + 0x2000
    mov eax, 0xe7
1:  mov [edi], eax
    mov [edi + 4], edx
    add edi, 8
    add eax, 0x200000
    cmp eax, offset bespoke_image_end
    jb 1b
    mov [edi], eax
    mov [edi + 4], edx
    mov eax, {BOOT_TABLES}
    mov cr3, eax

    /* PAE, SSE; FSGSBASE and XSAVE where the CPU has them. */
    mov esi, 0x620
    mov eax, 7
    xor ecx, ecx
    cpuid
    and ebx, 1
    shl ebx, 16
    or esi, ebx
    mov eax, 1
    cpuid
    shr ecx, 26
    and ecx, 1
    shl ecx, 18
    or esi, ecx
    mov cr4, esi

    /* Long mode and no-execute pages. */
    mov ecx, 0xc0000080
    mov eax, 0x900
    xor edx, edx
    wrmsr
    mov eax, 0x80050033
    mov cr0, eax

    mov esi, offset bespoke_stub_descriptors
    mov edi, {DESCRIPTORS}
    mov ecx, 20
    rep movsd
    lgdt [bespoke_stub_descriptor_limit]
    push {KERNEL_CODE}
    mov eax, offset .Lbespoke_long_mode
    push eax
    retf

.code64
.Lbespoke_long_mode:
    /* x87, SSE, AVX and AVX-512 state, as far as there is any. */
    mov rax, cr4
    bt eax, 18
    jnc 3f
    mov eax, 0xd
    xor ecx, ecx
    cpuid
    and eax, 0xe7
    xor edx, edx
    xor ecx, ecx
    xsetbv

3:  /* Task state: the stack of CPL 0, and a bitmap that opens the ports below PORTS. */
    mov edi, {TASK_STATE}
    xor eax, eax
    mov ecx, ({TASK_STATE_BYTES} - 1) / 8
    rep stosq
    mov byte ptr [{TASK_STATE} + {TASK_STATE_BYTES} - 1], 0xff
    mov dword ptr [{TASK_STATE} + 4], {STACK_TOP}
    mov word ptr [{TASK_STATE} + 102], 104
    mov eax, {TASK_SELECTOR}
    ltr ax
    mov eax, {KERNEL_DATA}
    mov ss, eax

    /* Interrupt gates, all for CPL 0 but the body's own. */
    mov eax, offset bespoke_stub_vectors
    movzx edx, ax
    shr eax, 16
    shl rax, 48
    or rdx, rax
    mov rax, 0x8e0000000000 + {KERNEL_CODE} * 0x10000
    or rdx, rax
    mov edi, {GATES}
    xor eax, eax
    mov ecx, VECTORS
4:  mov [rdi], rdx
    mov [rdi + 8], rax
    add rdi, 16
    add rdx, SLOT_BYTES
    dec ecx
    jnz 4b
    or byte ptr [{GATES} + {GATE} * 16 + 5], 0x60
    /* Breakpoints, too, are for everybody. */
    or byte ptr [{GATES} + 3 * 16 + 5], 0x60
    lidt [bespoke_stub_gate_limit]
    mov [{FAULTED}], eax
    mov [{WOKEN}], eax
    mov [{WALL_CLOCK}], rax
    mov [{SYSTEM_CLOCK}], rax
    mov [{SYSTEM_CLOCK} + 24], rax

    /* KVM's clocks, which know the counter's frequency and the time of day. */
    mov eax, 0x40000000
    cpuid
    cmp ebx, 0x4b4d564b
    jne 5f
    mov eax, 0x40000001
    cpuid
    bt eax, 3
    jnc 5f
    xor edx, edx
    mov ecx, 0x4b564d00
    mov eax, {WALL_CLOCK}
    wrmsr
    mov ecx, 0x4b564d01
    mov eax, {SYSTEM_CLOCK} + 1
    wrmsr

5:  mov edi, ebp
    xor eax, eax
    mov ecx, offset bespoke_pvh_user_entry

/* To CPL 3 at rcx, stack rax. */
drop:
    push {USER_DATA}
    push rax
    push 2
    push {USER_CODE}
    push rcx
    iretq

.balign 8
bespoke_stub_descriptors:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0
    .quad 0
    .quad 0x00cff3000000ffff
    .quad 0x00affb000000ffff
    .quad 0
    .quad ({TASK_STATE_BYTES} - 1) + (({TASK_STATE} & 0xffffff) << 16) + (0x89 << 40)
    .quad 0
.balign 8
bespoke_stub_descriptor_limit:
    .word 79
    .long {DESCRIPTORS}, 0
bespoke_stub_gate_limit:
    .word VECTORS * 16 - 1
    .quad {GATES}
bespoke_stub_nothing:
    .word 0
    .quad 0
.popsection
