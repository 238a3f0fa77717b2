// Package poweroff has the exit codes a guest reports and the ways to report them.
package poweroff

// Exit codes with a meaning of their own, as in container runtimes and POSIX shells.
const (
	// InitFailed says that the guest's init could not do its work.
	InitFailed = 125
	// NotExecutable says that the workload's program was found but could not be executed.
	NotExecutable = 126
	// NotFound says that the workload's program was not found.
	NotFound = 127
	// SignalBase plus n is the code of a workload that was killed by signal n.
	SignalBase = 128
)
