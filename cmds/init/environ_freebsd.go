package main

import "github.com/krunbox/krunbox/pkg/bootparam"

// guestEnviron returns the environment of PID 1, and the variables for init in the kernel
// environment.
func guestEnviron(environ []string) []string {
	return append(environ, bootparam.Kenv(bootparam.KernelVariable)...)
}
