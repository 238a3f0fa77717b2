package guard

import (
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const alternatives = "in a mount namespace of its own, or with --force"

// inOwnNamespace reports whether this process and PID 1 are in different mount namespaces.
func inOwnNamespace() bool {
	var own, first unix.Stat_t
	return unix.Stat("/proc/self/ns/mnt", &own) == nil && unix.Stat("/proc/1/ns/mnt", &first) == nil &&
		(own.Dev != first.Dev || own.Ino != first.Ino)
}

// isGuest reports whether PID 1 is krunbox: it runs the same file as this process, or one with the
// name that libkrun hosts or package managers give it. It reads the link and does not open the
// file, because a host may serve init's file only once.
func isGuest() bool {
	first, err := os.Readlink("/proc/1/exe")
	if err != nil {
		return false
	}
	own, err := os.Readlink("/proc/self/exe")
	name := filepath.Base(strings.TrimSuffix(first, " (deleted)"))
	return err == nil && first == own || name == "krunbox" || strings.HasSuffix(name, "init.krun")
}
