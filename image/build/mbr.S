# image/build/mbr.S - boot sector of the protective MBR: where a machine starts in BIOS mode it says why nothing boots, on
# the screen (INT 10h) and on the first serial port (INT 14h), then stops.  At most 440 bytes.
        .code16
        .globl _start
_start:
        ljmp $0x7c0, $1f
1:      cli
        mov %cs, %ax
        mov %ax, %ds
        xor %ax, %ax
        mov %ax, %ss
        mov $0x7c00, %sp
        sti
        cld
        mov $0x00e3, %ax        # serial: initialise COM1, 9600 8N1
        xor %dx, %dx
        int $0x14
        mov $text, %si
2:      lodsb
        test %al, %al
        jz 4f
        push %ax
        mov $0x0e, %ah          # screen: teletype
        mov $0x0007, %bx
        int $0x10
        pop %ax
        mov $0x01, %ah          # serial: send; an absent port times out
        xor %dx, %dx
        int $0x14
        jmp 2b
4:      hlt
        jmp 4b
text:   .ascii "\r\nGatehouse starts by UEFI only, and this machine started in BIOS mode.\r\n"
        .ascii "Choose UEFI (OVMF, EFI, generation 2) as the firmware of the machine and\r\n"
        .asciz "start it again.  The disk is as it was.\r\n"
