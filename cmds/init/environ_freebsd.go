package main

import "github.com/krunbox/krunbox/pkg/bootparam"

// kernelEnviron returns the variables for init in the kernel environment.
func kernelEnviron() []string { return bootparam.Kenv(bootparam.KernelVariable) }
