// Microcode for the copy engine of GF100 (class 90B5).
//
// A Fermi copy engine is a small processor, the falcon, in front of a copy unit. The scheduler does
// not talk to the copy unit: it puts methods (a number and a data word) into a FIFO and asks for
// channel switches, and both arrive here as interrupts. This program keeps the state that methods
// set, and on EXEC turns it into register writes of the copy unit.
//
// What a reader new to falcons needs to know:
//   - Code and data are separate memories. D[..] is data memory (2 KiB), I[..] is the I/O space:
//     the engine's registers, each at the host's register offset << 6.
//   - r0..r15 are general registers. r0 is zero throughout this program, so that D[r0 + x] is a
//     plain variable.
//   - `add b32 r1 r2 4` works on 32 bits; b8 and b16 exist too. `and`, `mov` and the like have no
//     size. mulu multiplies the low 16 bits of its operands.
//   - The flag registers p0..p7 are for the program's own use; `sleep p0` sleeps while p0 is set.
//   - An interrupt pushes pc, clears the interrupt enables and jumps to iv0; `iret` restores them.
//     Registers are not saved. That suits this program: outside the handler it only sleeps.
//   - xdld and xdst move blocks between memory and D[..]; xdwait waits for them.
//
// Assemble with `nouveau firmware assemble`; docs of the syntax are those of FalconAssembler.

// ------------------------------------------------------------------------------------------------
// Registers of the falcon, as I/O addresses
// ------------------------------------------------------------------------------------------------
.equ io_intr_set        0x000 << 6      // raise an interrupt line
.equ io_intr_clear      0x004 << 6
.equ io_intr            0x008 << 6      // pending lines
.equ io_intr_enable     0x010 << 6
.equ io_intr_routing    0x01c << 6
.equ io_scratch0        0x040 << 6      // read by the driver after a dispatch error
.equ io_scratch1        0x044 << 6
.equ io_access          0x048 << 6      // opens the falcon for channel switches and methods
.equ io_channel_cur     0x050 << 6
.equ io_channel_next    0x054 << 6
.equ io_channel_cmd     0x058 << 6
.equ io_fifo_data       0x064 << 6
.equ io_fifo_cmd        0x068 << 6
.equ io_fifo_ack        0x074 << 6
.equ io_scratch3        0x084 << 6      // the driver leaves the engine's number (0 or 1) here
.equ io_trigger         0x088 << 6
.equ io_port7           0x61c << 6      // configuration of memory port 7

// Registers of the copy unit. Each of the pairs has the source's register first and the
// destination's one word later, which is 0x100 in I/O addresses.
.equ io_copy_ctrl       0x800 << 6
.equ io_copy_lines      0x804 << 6
.equ io_copy_address    0x808 << 6
.equ io_copy_bytes      0x810 << 6
.equ io_copy_config     0x818 << 6
.equ io_copy_block      0x820 << 6
.equ io_copy_pitch      0x828 << 6
.equ io_copy_swizzle    0x830 << 6
.equ io_copy_map        0x834 << 6
.equ io_copy_constant   0x844 << 6
.equ side               0x100           // from a source register to the destination's

// Interrupt lines
.equ line_fifo          1 << 2          // a method waits
.equ line_channel       1 << 3          // the scheduler wants another channel
.equ line_error         1 << 6          // ours to raise: tells the driver of a dispatch error

// Bits of the copy unit's CTRL
.equ ctrl_trigger       1 << 0
.equ ctrl_many_lines    1 << 6
.equ ctrl_src_blocks    1 << 7
.equ ctrl_swizzle       1 << 9
.equ ctrl_src_wide      1 << 17
.equ ctrl_ports         (1 << 26) | (2 << 29)   // read through port 1, write through port 2
// A query write: swizzle, and three bits that every known program sets with it.
.equ ctrl_query         0x12601

// Bits of EXEC's data
.equ exec_format        0
.equ exec_src_linear    4
.equ exec_dst_linear    8
.equ exec_query         12
.equ exec_query_short   13

// Dispatch errors
.equ error_method       1               // no such method
.equ error_enum         2               // a value that has no meaning
.equ error_bits         3               // bits set that must be clear

// ------------------------------------------------------------------------------------------------
// Data. The first 256 bytes are the channel's state; a channel switch saves and loads them.
// ------------------------------------------------------------------------------------------------
.section data
state:
object:         .b32 0
query_high:     .b32 0
query_low:      .b32 0
query_counter:  .b32 0
// Two surfaces with the same fields.
source:
.skip 0x30
destination:
.skip 0x30
pixels:         .b32 0                  // of a line
line_count:     .b32 0
format:         .b32 0
constant0:      .b32 0
constant1:      .b32 0
.align 0x100

// Fields of a surface
.equ s_high     0x00
.equ s_low      0x04
.equ s_pitch    0x08
.equ s_tile     0x0c
.equ s_xsize    0x10
.equ s_ysize    0x14
.equ s_zsize    0x18
.equ s_zoff     0x1c
.equ s_xoff     0x20
.equ s_yoff     0x24

// Working space, without meaning between two methods.
map:            .skip 0x10              // the copy unit's swizzle map
columns:        .b32 0                  // blocks in a row of a surface
.align 0x10
instance_info:  .skip 0x10              // see swap_state; a 16-byte transfer wants the alignment

// The methods. A range holds the first and the last method number (byte offset / 4) and where its
// entries start. An entry holds the bits that the data may have, where the data goes, and whether
// that is a variable (0) or the address of a routine (1). Ranges are in rising order.
ranges:
.b16 0x000 0x000, e_name 0
.b16 0x040 0x040, e_nop 0
.b16 0x050 0x050, e_trigger 0
.b16 0x080 0x086, e_source 0
.b16 0x088 0x08e, e_destination 0
.b16 0x0c0 0x0c1, e_exec 0
.b16 0x0c3 0x0d0, e_copy 0
ranges_end:

e_name:         .b32 0xffffffff
                .b16 object 0
e_nop:          .b32 0xffffffff
                .b16 do_nothing 1
e_trigger:      .b32 0xffffffff
                .b16 do_trigger 1
e_source:       .b32 0x00000fff         // 0x200 tile mode
                .b16 source + s_tile 0
                .b32 0x0007ffff         // 0x204 width
                .b16 source + s_xsize 0
                .b32 0x00001fff         // 0x208 height
                .b16 source + s_ysize 0
                .b32 0x000007ff         // 0x20c depth
                .b16 source + s_zsize 0
                .b32 0x00000fff         // 0x210 first layer
                .b16 source + s_zoff 0
                .b32 0x0007ffff         // 0x214 first column
                .b16 source + s_xoff 0
                .b32 0x00001fff         // 0x218 first line
                .b16 source + s_yoff 0
e_destination:  .b32 0x00000fff         // 0x220, the same
                .b16 destination + s_tile 0
                .b32 0x0007ffff
                .b16 destination + s_xsize 0
                .b32 0x00001fff
                .b16 destination + s_ysize 0
                .b32 0x000007ff
                .b16 destination + s_zsize 0
                .b32 0x00000fff
                .b16 destination + s_zoff 0
                .b32 0x0007ffff
                .b16 destination + s_xoff 0
                .b32 0x00001fff
                .b16 destination + s_yoff 0
e_exec:         .b32 0xffffffff         // 0x300 EXEC
                .b16 do_exec 1
                .b32 0xffffffff         // 0x304 WRCACHE_FLUSH
                .b16 do_flush 1
e_copy:         .b32 0x000000ff         // 0x30c
                .b16 source + s_high 0
                .b32 0xffffffff         // 0x310
                .b16 source + s_low 0
                .b32 0x000000ff         // 0x314
                .b16 destination + s_high 0
                .b32 0xffffffff         // 0x318
                .b16 destination + s_low 0
                .b32 0x0007ffff         // 0x31c
                .b16 source + s_pitch 0
                .b32 0x0007ffff         // 0x320
                .b16 destination + s_pitch 0
                .b32 0x0000ffff         // 0x324
                .b16 pixels 0
                .b32 0x00001fff         // 0x328
                .b16 line_count 0
                .b32 0x0333ffff         // 0x32c
                .b16 format 0
                .b32 0xffffffff         // 0x330
                .b16 constant0 0
                .b32 0xffffffff         // 0x334
                .b16 constant1 0
                .b32 0x000000ff         // 0x338
                .b16 query_high 0
                .b32 0xffffffff         // 0x33c
                .b16 query_low 0
                .b32 0xffffffff         // 0x340
                .b16 query_counter 0

// ------------------------------------------------------------------------------------------------
// Start. The processor starts at address 0 with nothing set up.
// ------------------------------------------------------------------------------------------------
.section code
start:
    clear b32 r0
    mov sp r0                           // the first push wraps to the top of data memory
    li r1 interrupt
    mov iv0 r1

    // Methods and channel switches go to our vector 0, every other line to the driver.
    li r1 io_intr_routing
    li r2 ~(line_fifo | line_channel) & 0xffff
    iowr I[r1] r2
    li r1 io_intr_enable
    li r2 0xffff
    iowr I[r1] r2
    bset flags ie0

    li r1 io_access
    li r2 3
    iowr I[r1] r2

    bset flags p0
idle:
    sleep p0
    bra idle

// ------------------------------------------------------------------------------------------------
// The interrupt handler. Both lines may be pending; the channel switch goes first.
// ------------------------------------------------------------------------------------------------
interrupt:
    li r1 io_intr
    iord r15 I[r1]                      // r15 survives both routines

    and r2 r15 line_channel
    bra e no_switch
    // Acknowledge before the work: the scheduler's next request must not be lost in our answer.
    li r1 io_intr_clear
    li r2 line_channel
    iowrs I[r1] r2
    call switch_channel
no_switch:
    // The FIFO's line is a level: it falls when the FIFO is empty and needs no acknowledgement.
    and r2 r15 line_fifo
    bra e no_method
    call dispatch
no_method:
    iret

// ------------------------------------------------------------------------------------------------
// Channel switch. The scheduler asks once for unloading and once more for loading.
// ------------------------------------------------------------------------------------------------
switch_channel:
    li r1 io_channel_cur
    iord r3 I[r1]
    xbit r2 r3 30                       // bit 30: there is a channel
    bra e switch_load

    bclr flags p1
    call swap_state
    bclr r3 30
    iowr I[r1] r3
    li r2 1                             // "unloaded"
    bra switch_done

switch_load:
    li r1 io_channel_next
    iord r3 I[r1]
    xbit r2 r3 30
    bra e switch_loaded                 // nothing to load: only answer
    bset flags p1
    call swap_state
switch_loaded:
    li r2 2                             // "loaded"
switch_done:
    li r1 io_channel_cmd
    iowr I[r1] r2
    ret

// Moves the state between D[0..255] and the channel's memory.
// In: p1 set to load and clear to store, r3 the channel word (instance address >> 12, bit 30).
// Changes r4 to r7.
//
// Where the state lives is written in the channel's instance block: 16 bytes for each copy engine
// at 0x230, of which the first eight are a virtual address. So port 7 points to video memory for
// the instance block first, and to the channel's own address space after that.
swap_state:
    li r4 0x7700                        // loads and stores through port 7
    mov xtargets r4

    li r7 io_port7
    li r4 0x114                         // video memory
    iowrs I[r7] r4
    shl b32 r4 r3 4                     // bases are addresses >> 8; this drops bit 30, too
    add b32 r4 2                        // + 0x200
    mov xdbase r4
    li r4 io_scratch3
    iord r4 I[r4]
    and r4 1                            // which copy engine we are
    shl b32 r4 4
    add b32 r4 0x30                     // 0x230 or 0x240
    li r5 instance_info | (2 << 16)     // 16 bytes
    xdld r4 r5
    xdwait

    iowrs I[r7] r0                      // the channel's address space
    li r5 instance_info
    ld b32 r4 D[r5 + 0]
    ld b32 r6 D[r5 + 4]
    shr b32 r4 8
    shl b32 r6 24
    or r4 r6
    mov xdbase r4
    li r4 state | (6 << 16)             // 256 bytes
    bra p1 swap_in
    xdst r0 r4
    bra swap_wait
swap_in:
    xdld r0 r4
swap_wait:
    xdwait
    ret

// ------------------------------------------------------------------------------------------------
// One method from the FIFO.
//
// Routines get the data in r10 and answer with an error code in r12, zero for none. They may change
// every register but r0, r10, r11 and r15.
// ------------------------------------------------------------------------------------------------
dispatch:
    li r1 io_fifo_cmd
    iord r11 I[r1]                      // subchannel 13:11, method 10:0
    li r1 io_fifo_data
    iord r10 I[r1]
    li r1 0x7ff
    and r1 r11
    clear b32 r2                        // 16-bit loads leave the upper half alone
    clear b32 r3
    clear b32 r4
    li r5 ranges
find_range:
    li r6 ranges_end
    cmpu b32 r5 r6
    bra e no_method_there
    ld b16 r2 D[r5 + 0]
    ld b16 r3 D[r5 + 2]
    cmpu b32 r1 r2
    bra c no_method_there               // below this range, and above the last one
    cmpu b32 r1 r3
    bra be found_range
    add b32 r5 8
    bra find_range

found_range:
    ld b16 r4 D[r5 + 4]
    sub b32 r1 r2
    shl b32 r1 3                        // an entry has 8 bytes
    add b32 r4 r1
    ld b32 r5 D[r4 + 0]
    not b32 r5
    and r5 r10                          // sets z when no forbidden bit is there
    bra ne bad_bits
    ld b16 r2 D[r4 + 4]
    ld b16 r3 D[r4 + 6]
    cmpu b32 r3 0
    bra ne is_routine
    st b32 D[r2] r10
    bra method_done
is_routine:
    clear b32 r12
    call r2
    cmpu b32 r12 0
    bra e method_done
    bra report

no_method_there:
    li r12 error_method
    bra report
bad_bits:
    li r12 error_bits

// Tells the driver and waits until it has looked: the scratch registers hold one error only.
report:
    shl b32 r2 r11 16
    or r2 r12
    li r1 io_scratch0
    iowr I[r1] r2
    li r1 io_scratch1
    iowr I[r1] r10
    li r1 io_intr_set
    li r2 line_error
    iowrs I[r1] r2
    li r1 io_intr
report_wait:
    iord r2 I[r1]
    and r2 line_error
    bra ne report_wait

method_done:
    li r1 io_fifo_ack
    li r2 1
    iowrs I[r1] r2
    ret

do_nothing:
    ret

do_trigger:
    li r1 io_trigger
    li r2 1 << 17
    iowr I[r1] r2
    ret

do_flush:
    li r1 io_trigger
    li r2 1 << 16
    iowr I[r1] r2
    ret

// ------------------------------------------------------------------------------------------------
// EXEC: one copy, and a query write after it if asked for.
// ------------------------------------------------------------------------------------------------
do_exec:
    call wait_idle                      // the registers belong to a running copy until it is done
    li r13 ctrl_trigger | ctrl_many_lines | ctrl_ports     // r13 collects CTRL

    // Bytes of a pixel, r8 in the source and r9 in the destination; of a line, r6 and r7.
    xbit r1 r10 exec_format
    bra ne exec_with_format
    li r8 1
    li r9 1
    ld b32 r6 D[r0 + pixels]
    mov b32 r7 r6
    bra exec_lengths
exec_with_format:
    call set_format
    cmpu b32 r12 0
    bra ne exec_return
    li r1 ctrl_swizzle
    or r13 r1
exec_lengths:
    li r1 io_copy_bytes
    iowr I[r1] r6
    iowr I[r1 + side] r7

    push r9
    li r1 source
    mov b32 r2 r8
    clear b32 r3
    xbit r4 r10 exec_src_linear
    call set_surface
    pop r9
    cmpu b32 r12 0
    bra ne exec_return

    li r1 destination
    mov b32 r2 r9
    li r3 1
    xbit r4 r10 exec_dst_linear
    call set_surface
    cmpu b32 r12 0
    bra ne exec_return

    li r1 io_copy_lines
    ld b32 r2 D[r0 + line_count]
    iowr I[r1] r2
    li r1 io_copy_ctrl
    iowr I[r1] r13

    xbit r1 r10 exec_query
    bra e exec_return
    call write_query
exec_return:
    ret

// Waits until the copy unit takes new work.
wait_idle:
    li r1 io_copy_ctrl
wait_idle_again:
    iord r2 I[r1]
    and r2 1
    bra ne wait_idle_again
    ret

// ------------------------------------------------------------------------------------------------
// FORMAT: pixels of 1 to 4 components of 1 to 4 bytes, each destination component being a source
// component (0 to 3), a constant (4, 5) or zero (6 and up). The copy unit wants this byte by byte.
//
// Out: r8, r9 bytes of a pixel, r6, r7 bytes of a line, in source and destination; r12 an error.
// ------------------------------------------------------------------------------------------------
set_format:
    st b32 D[r0 + map + 0x0] r0
    st b32 D[r0 + map + 0x4] r0
    st b32 D[r0 + map + 0x8] r0
    st b32 D[r0 + map + 0xc] r0
    ld b32 r1 D[r0 + format]
    extr r2 r1 16..17
    add b32 r2 1                        // bytes of a component
    extr r8 r1 20..21
    add b32 r8 1                        // components of a source pixel
    extr r9 r1 24..25
    add b32 r9 1                        // components of a destination pixel

    bclr flags p3                       // p3: some source byte is used
    li r3 map                           // where the next map byte goes
    mov b32 r4 r9                       // components to do
format_component:
    and r5 r1 0xf
    shr b32 r1 4
    cmpu b32 r5 4
    bra c format_source
    bra e format_constant0
    cmpu b32 r5 5
    bra e format_constant1
    li r6 0x80                          // a zero byte; the same for each byte of the component
    clear b32 r7
    bra format_bytes
format_source:
    cmpu b32 r5 r8
    bra ae format_bad                   // the source has no such component; the unit would hang
    bset flags p3
    mulu r6 r5 r2
    li r7 1
    bra format_bytes
format_constant0:
    li r6 0x10
    li r7 1
    bra format_bytes
format_constant1:
    li r6 0x14
    li r7 1
format_bytes:
    mov b32 r14 r2
format_byte:
    st b8 D[r3] r6
    add b32 r3 1
    add b32 r6 r7                       // r7 is the step: 1, or 0 for zeros
    sub b32 r14 1
    bra ne format_byte
    sub b32 r4 1
    bra ne format_component

    mulu r8 r2                          // components become bytes
    mulu r9 r2
    ld b32 r1 D[r0 + pixels]
    mulu r7 r1 r9
    clear b32 r6                        // no source byte used: the unit must not be told to read
    bra !p3 format_no_source
    mulu r6 r1 r8
format_no_source:
    li r1 io_copy_swizzle
    sub b32 r2 r9 1
    shl b32 r2 8
    sub b32 r3 r8 1
    or r2 r3
    iowr I[r1] r2
    li r1 io_copy_map
    ld b32 r2 D[r0 + map + 0x0]
    iowr I[r1 + 0x000] r2
    ld b32 r2 D[r0 + map + 0x4]
    iowr I[r1 + 0x100] r2
    ld b32 r2 D[r0 + map + 0x8]
    iowr I[r1 + 0x200] r2
    ld b32 r2 D[r0 + map + 0xc]
    iowr I[r1 + 0x300] r2
    li r1 io_copy_constant
    ld b32 r2 D[r0 + constant0]
    iowr I[r1] r2
    ld b32 r2 D[r0 + constant1]
    iowr I[r1 + 0x100] r2
    ret
format_bad:
    li r12 error_enum
    ret

// ------------------------------------------------------------------------------------------------
// Programs one surface. In: r1 its variables, r2 bytes of a pixel, r3 0 for the source and 1 for
// the destination, z clear when it is linear. Out: bits added to r13, r12 an error. Changes r1 to
// r9, r14.
// ------------------------------------------------------------------------------------------------
set_surface:
    bra e set_blocks

    shl b32 r3 8                        // 0 or `side`
    ld b32 r4 D[r1 + s_low]
    ld b32 r5 D[r1 + s_high]
    ld b32 r6 D[r1 + s_pitch]
    li r7 io_copy_pitch
    add b32 r7 r3
    iowr I[r7] r6
    clear b32 r6                        // no blocks
    bra set_address

// A block-linear surface is made of blocks of 2^tw bytes, 2^th lines and 2^td layers, each block
// being contiguous. The copy unit walks through a block and to the next ones by itself; it wants
// the first byte's address, the lines left in that block, and the distances.
set_blocks:
    ld b32 r4 D[r1 + s_tile]
    extr r5 r4 4..7
    extr r6 r4 8..11
    and r4 0xf
    cmpu b32 r5 5                       // up to 32 times 8 lines
    bra a blocks_bad
    cmpu b32 r6 5                       // up to 32 layers
    bra a blocks_bad
    add b32 r5 3                        // r5 = th: a block of height 0 has 8 lines

    li r7 ctrl_src_blocks
    shl b32 r7 r3                       // the destination's bit is the next one
    or r13 r7
    cmpu b32 r4 0xe
    bra e blocks_narrow
    cmpu b32 r4 0
    bra ne blocks_bad
    li r7 ctrl_src_wide
    shl b32 r7 r3
    or r13 r7
    li r4 6                             // r4 = tw: 64 bytes
    bra blocks_width_known
blocks_narrow:
    li r4 4                             // 16 bytes
blocks_width_known:
    shl b32 r3 8

    // Blocks in a row: the width in bytes, rounded up.
    ld b32 r7 D[r1 + s_xsize]
    mov b32 r8 r2
    call multiply
    li r8 1
    shl b32 r8 r4
    sub b32 r8 1
    add b32 r7 r8
    shr b32 r7 r4
    st b32 D[r0 + columns] r7

    // The distance from a row's first block to its last.
    add b32 r9 r4 r5
    add b32 r9 r6                       // r9 = ts, a block having 2^ts bytes
    push r9
    sub b32 r7 1
    shl b32 r7 r9
    li r8 io_copy_pitch
    add b32 r8 r3
    iowr I[r8] r7

    // Lines of a block, and those left from the first line on.
    li r7 1
    shl b32 r7 r5
    shl b32 r8 r7 12
    ld b32 r9 D[r1 + s_yoff]
    sub b32 r14 r7 1
    and r14 r9                          // the line inside its block
    sub b32 r7 r14
    or r8 r7
    li r7 io_copy_block
    add b32 r7 r3
    iowr I[r7] r8
    shl b32 r14 r4                      // its offset
    push r14

    // Which block: ((z / depth) * rows + y / height) * columns + x / width.
    ld b32 r7 D[r1 + s_ysize]
    li r8 1
    shl b32 r8 r5
    sub b32 r8 1
    add b32 r7 r8
    shr b32 r7 r5                       // rows
    ld b32 r8 D[r1 + s_zoff]
    shr b32 r8 r6
    call multiply
    ld b32 r8 D[r1 + s_yoff]
    shr b32 r8 r5
    add b32 r7 r8
    ld b32 r8 D[r0 + columns]
    call multiply
    push r7
    ld b32 r7 D[r1 + s_xoff]
    mov b32 r8 r2
    call multiply                       // r7 = x in bytes
    pop r8
    shr b32 r9 r7 r4
    add b32 r8 r9                       // r8 = the block's number

    // Where in the block: layer, line, byte.
    pop r14
    li r9 1
    shl b32 r9 r4
    sub b32 r9 1
    and r7 r9
    add b32 r7 r14
    li r9 1
    shl b32 r9 r6
    sub b32 r9 1
    ld b32 r14 D[r1 + s_zoff]
    and r9 r14
    add b32 r14 r4 r5
    shl b32 r9 r14
    add b32 r7 r9

    // r4, r5 = address; the block number is shifted into a 64-bit offset.
    li r2 1
    shl b32 r2 r5
    shl b32 r2 r6
    shr b32 r6 r2 2                     // block size for the configuration: quarter lines
    pop r9
    shl b32 r14 r8 r9
    add b32 r7 r14                      // no carry: the low ts bits of one are zero
    li r14 32
    sub b32 r14 r9
    shr b32 r8 r14
    ld b32 r4 D[r1 + s_low]
    ld b32 r5 D[r1 + s_high]
    add b32 r4 r7
    adc b32 r5 r8

// r4 and r5 the address, r6 the block size, r3 the side.
set_address:
    li r7 io_copy_address
    add b32 r7 r3
    iowr I[r7] r4
    and r5 0xff
    shl b32 r5 16
    or r5 r6
    li r7 io_copy_config
    add b32 r7 r3
    iowr I[r7] r5
    ret
blocks_bad:
    li r12 error_enum
    ret

// r7 = r7 * r8, 32 bits. Changes r9 and r14.
multiply:
    shr b32 r9 r7 16
    mulu r9 r8
    shr b32 r14 r8 16
    mulu r14 r7
    add b32 r9 r14
    shl b32 r9 16
    mulu r7 r8
    add b32 r7 r9
    ret

// ------------------------------------------------------------------------------------------------
// The query: the counter at its address, which tells that the copy is done, and unless it is a
// short one before that the time, 8 bytes further on. Both are copies that read nothing: the
// swizzle makes their bytes from constants. Copies run in order, so the query's writes follow the
// data.
// ------------------------------------------------------------------------------------------------
write_query:
    xbit r1 r10 exec_query_short
    bra ne query_counter_only
    call wait_idle
    ld b32 r4 D[r0 + query_low]
    ld b32 r5 D[r0 + query_high]
    add b32 r4 4
    adc b32 r5 0
    li r6 12                            // a zero word and the time's two words
    li r7 0x10b00                       // 12 bytes in one step, constants from the timer
    li r8 0x80808080
    call query_registers
    li r2 0x13121110
    iowr I[r1 + 0x100] r2
    li r2 0x17161514
    iowr I[r1 + 0x200] r2
    li r1 io_copy_ctrl
    li r2 ctrl_query
    iowr I[r1] r2
query_counter_only:
    call wait_idle
    ld b32 r4 D[r0 + query_low]
    ld b32 r5 D[r0 + query_high]
    li r6 4
    li r7 0x300                         // 4 bytes in one step, constants from registers
    li r8 0x13121110
    call query_registers
    li r1 io_copy_constant
    ld b32 r2 D[r0 + query_counter]
    iowr I[r1] r2
    li r1 io_copy_ctrl
    li r2 ctrl_query
    iowr I[r1] r2
    ret

// r4 and r5 the address, r6 bytes, r7 swizzle control, r8 the map's first word.
// Leaves the map's I/O address in r1.
query_registers:
    li r1 io_copy_address + side
    iowr I[r1] r4
    li r1 io_copy_config + side
    and r5 0xff
    shl b32 r5 16
    iowr I[r1] r5
    li r1 io_copy_bytes
    iowr I[r1] r0                       // nothing is read
    iowr I[r1 + side] r6
    li r1 io_copy_swizzle
    iowr I[r1] r7
    li r1 io_copy_map
    iowr I[r1] r8
    ret

.align 0x100
