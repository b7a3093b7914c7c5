# A kernel that proves an accelerator: it does what a firmware does not and every 64-bit kernel must.
#
# Long mode with paging, interrupts of the timer taken out of `hlt`, and twenty million rounds of ordinary work, which
# cost 0.02 s where instructions run and a minute where each is emulated. Then it ends QEMU with status 33 through
# isa-debug-exit. Made into kernel.bin, which a test compares, by:
#
#     as --64 kernel.s -o kernel.o && objcopy -O binary -j .text kernel.o kernel.bin

.set BASE, 0x100000             # where the loader puts it
.set TABLES, 0x200000           # page tables: one page each for levels 4, 3 and 2
.set IDT, 0x210000
.set SCRATCH, 0x220000
.set STACK, 0x300000

.code32
start:
    .long 0x1BADB002            # multiboot: magic, flags (addresses follow), checksum
    .long 0x00010000
    .long -(0x1BADB002 + 0x00010000)
    .long BASE, BASE, 0, 0      # header, start, end (whole file), no bss
    .long BASE + (entry - start)

entry:
    cli
    cld
    mov $TABLES, %edi           # empty tables
    xor %eax, %eax
    mov $0xC00, %ecx
    rep stosl
    movl $(TABLES + 0x1003), TABLES
    movl $(TABLES + 0x2003), TABLES + 0x1000
    mov $(TABLES + 0x2000), %edi
    mov $0x83, %eax             # the first GiB in pages of 2 MiB, as it is
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov %cr4, %eax              # physical address extension
    or $0x20, %eax
    mov %eax, %cr4
    mov $TABLES, %eax
    mov %eax, %cr3
    mov $0xC0000080, %ecx       # EFER: long mode
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax              # paging
    or $0x80000001, %eax
    mov %eax, %cr0
    lgdt BASE + (gdtr - start)
    ljmp $8, $(BASE + (long - start))

.code64
long:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $STACK, %esp
    mov $IDT, %edi              # an IDT with one gate: vector 0x20
    xor %eax, %eax
    mov $0x400, %ecx
    rep stosl
    mov $(BASE + (tick - start)), %eax
    mov $(IDT + 0x200), %edi
    mov %ax, (%rdi)
    movw $8, 2(%rdi)
    movw $0x8E00, 4(%rdi)
    shr $16, %eax
    mov %ax, 6(%rdi)
    lidt BASE + (idtr - start)
    mov $0x11, %al              # interrupt controller: vectors from 0x20, only the timer
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $0x04, %al
    out %al, $0x21
    mov $0x01, %al
    out %al, $0x21
    mov $0xFE, %al
    out %al, $0x21
    mov $0xFF, %al
    out %al, $0xA1
    mov $0x34, %al              # timer: 1 kHz
    out %al, $0x43
    mov $0xA9, %al
    out %al, $0x40
    mov $0x04, %al
    out %al, $0x40
    xor %ebx, %ebx              # twenty ticks, each waking the processor
    sti
2:  hlt
    cmp $20, %ebx
    jb 2b
    mov $20000000, %ecx         # work
3:  mov %ecx, SCRATCH
    add %ecx, SCRATCH + 8
    dec %ecx
    jnz 3b
    mov $0x10, %al              # status 2 * 0x10 + 1
    out %al, $0xF4
4:  hlt
    jmp 4b

tick:
    inc %ebx
    mov $0x20, %al
    out %al, $0x20
    iretq

.balign 8
gdt:
    .quad 0
    .quad 0x00AF9A000000FFFF    # code, 64 bits
    .quad 0x00CF92000000FFFF    # data
gdtr:
    .word gdtr - gdt - 1
    .long BASE + (gdt - start)
idtr:
    .word 0xFFF
    .quad IDT
