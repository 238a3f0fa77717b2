// Package bench measures init programs in virtual machines: how long they take from their own start to the first
// instruction of the workload, and what they cost while it runs.
//
// # Time
//
// The kernel starts a program of a few instructions, which takes the time (CLOCK_BOOTTIME), leaves it in its
// environment, and executes the init to be measured as the one-shot file /init.krun. The workload, as small, takes the
// time at its first instruction, then prints both. See testdata/stamp.
//
// So the kernel's own boot is not in the measured time, but the loading of the init and of the workload are. With the
// workload itself as /init.krun there is no init at all: this is the floor, and what an init takes is what it adds.
//
// Machines of one round are booted one after the other, one for each init, and rounds are repeated: what else happens on
// the host then hits all inits alike. The median of the rounds is compared. TCG, QEMU's interpreter, is some ten times
// slower than a processor, and slow in its own way: code that runs once has to be translated first. So the ratios are
// more meaningful than the milliseconds.
//
// # Memory
//
// In a boot of its own, the workload is a shell that prints the status of process 1.
package bench
