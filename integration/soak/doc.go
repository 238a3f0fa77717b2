// Package soak boots guests again and again, each with faults of the host and a workload that are
// drawn from a seed, and checks what must hold in any case:
//
//   - the machine ends within its time
//   - the host has the workload's exit code, or one of krunbox's with a line that says why
//   - no stack trace, no panic of the kernel, no shell that nobody asked for
//   - file systems on disks need no recovery
//   - process 1 takes little memory
//
// A boot is a function of the seed and its number: NewPlan returns what it is made of and which
// outcomes are accepted, Machine.Boot carries it out, and Judge compares what was observed with the
// plan. NewPlan and Judge have no effects.
package soak
