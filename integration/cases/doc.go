// Package cases tests krunbox as the init of real guests. Each case boots one or more virtual
// machines as a libkrun host does, and checks what the host and the workload observe. The package
// contains only tests.
//
// Each case is in one file. Its host half is a Test function. It describes a machine, boots it with
// run, and checks the exit code, the console, the ports and the files of the root. The guest half
// is one of these:
//
//   - a shell script for busybox, see script
//   - Go code, see inGuest: the test binary is the guest's program, and the guest half is a test
//     that runs in the guest
//   - nothing but observer, which records the arguments, environment, limits and mounts of a
//     workload, among others, see observe
//
// A machine takes 1 to 2 s. The tests call t.Parallel; the flag -parallel of go test limits the
// number of machines that run at the same time. The product must have been built before: make
// build, make build GOARCH=arm64.
package cases
