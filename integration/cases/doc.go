// Package cases tests krunbox as the init of real guests: each case boots virtual machines with it, as a libkrun host does,
// and looks at what the host and what the workload see. It is tests only.
//
// A case is one file. Its host half is a Test function: it describes a machine, boots it by run, and checks the exit code,
// the console, the ports, and the files of the root. Its guest half, where it has one, is
//
//   - a shell script for busybox, see script;
//   - or Go, see inGuest: the test binary is the program, and the guest half a test that runs in the guest;
//   - or nothing but what observe takes down: arguments, environment, limits, mounts ... of a workload.
//
// A machine takes 1 to 2 s; tests call t.Parallel, and as many machines run at a time as go test's -parallel says.
// The product must have been built: make build, make build GOARCH=arm64.
package cases
