package mount

import (
	"fmt"

	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Mounted reports whether target is a mount point of this mount namespace. It asks the kernel's table, because stat would
// trigger an automount, and can hang on a dead one.
func Mounted(target string) (bool, error) {
	table, err := sysfile.Read("/proc/self/mounts", maxTable)
	if err != nil {
		return false, fmt.Errorf("read the mount table: %w", err)
	}
	return inTable(table, target), nil
}
