// Package system sets machine-wide state: sysctls, device nodes, host name, NIS domain, /etc/hosts.
package system
