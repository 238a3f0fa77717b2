// Package bench measures init programs in virtual machines: what they take from their own start to
// the first instruction of the workload, and what they cost while it runs. Host and guest are
// amd64.
//
// # From the init to the workload
//
// The kernel starts a program of a few instructions, which reads the time stamp counter, leaves the
// value in its environment, and executes the init to be measured as the one-shot file /init.krun.
// The workload, as small, reads the counter at its first instruction, then prints both values. See
// testdata/stamp.
//
// So the boot of the kernel is not measured, but loading the init and the workload is. In the row
// "nothing" the workload itself is /init.krun. That row is the floor: the bars are about what an
// init adds to it.
//
// # Instructions
//
// With -icount, QEMU's time stamp counter counts the guest's instructions, the kernel's included.
// The number repeats to some 3 %; a difference of two, like what DHCP adds, to some 15 %. A busy
// host makes it greater, for the guest polls while it waits for an answer of the host.
//
// # Time and blocks
//
// Time under emulation has no bar. QEMU translates each block of instructions when the block runs
// for the first time, which takes some 7 µs, so code that runs once looks a hundred times dearer
// than on a processor.
//
// The number of these blocks explains most of that time, and repeats to 3 %. A plugin of QEMU
// counts them (Machine.Plugin). A block that the kernel ran before the init started does not count.
//
// # Memory
//
// In a boot of its own, the workload is a shell that prints the status of process 1.
//
// # Native starts
//
// The host starts krunbox, which lists its commands, and plain Go, which writes a line, in turns
// and on one processor. The time to the exit of each is measured. Both run as the user nobody and
// under the name krunbox, so that an init has no power over the host, and krunbox is no init.
//
// # Streams
//
// A workload writes 40 MB to its standard output for each of several sizes of writes, and reads as
// much from its standard input. The host measures how long that takes, under krunbox, which relays
// the bytes, and under the C init, which hands the port over. The kernel copies without the string
// instructions that QEMU emulates byte by byte.
//
// # Noise
//
// A round boots each init in turn: other load on the host then hits all of them alike. Noise adds
// to a figure, and never takes from it. So a bar is broken only if the medians of the rounds and
// the least values are both beyond it, and a bar on instructions only after three rounds.
package bench
