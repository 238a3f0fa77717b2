// Package bench measures init programs in virtual machines: how long they take from their own start to the first
// instruction of the workload, and what they cost while it runs. Host and guest are amd64.
//
// # Time
//
// The kernel starts a program of a few instructions, which takes the time, leaves it in its environment, and executes
// the init to be measured as the one-shot file /init.krun. The workload, as small, takes the time at its first
// instruction, then prints both. See testdata/stamp.
//
// So the boot of the kernel is not in the measured time, but loading the init and the workload is. With the workload
// itself as /init.krun there is no init at all: that is the floor, and what an init adds to it is what it takes.
//
// # Noise
//
// Each init is booted once in a round, one after the other, and rounds are repeated: what else happens on the host then
// hits all of them alike. Medians of the rounds are compared. A limit counts as broken only if the ratio of the medians
// and that of the least values are both beyond it: noise adds to a time, and never takes from it.
//
// QEMU's TCG is far slower than a processor, and slow in its own way: code that runs once must be translated first. The
// ratios mean more than the milliseconds.
//
// Counting instructions instead (Machine.CountInstructions) is repeatable to some 3 %, on a busy host too. It is the way
// to compare how much is copied, cleared and read. What it does not see is the price of translating, and of what the host does.
//
// Counting blocks (Machine.CountBlocks) comes closest to the time under emulation, and is repeatable to 3 % as well: a boot runs
// nothing often, so its time is that of translating each basic block, the kernel's too, once, some 7 µs. QEMU translates a
// block when it is to be executed for the first time, so what the kernel has done before an init asks for it does not count.
//
// # Memory
//
// In boots of their own, the workload is a shell that prints the status of process 1.
package bench
