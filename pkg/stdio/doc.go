// Package stdio sets up the standard streams of a guest: on Linux the virtio ports on which a
// libkrun host serves those of the workload, or the console; on FreeBSD the console.
package stdio
