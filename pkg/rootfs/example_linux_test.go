package rootfs_test

import (
	"fmt"
	"time"

	"github.com/krunbox/krunbox/pkg/rootfs"
)

// A read-only file system as root, with changes in memory.
func ExamplePlan() {
	var original rootfs.OriginalRoot
	cfg := rootfs.Config{Device: "LABEL=root", Overlay: "tmpfs", Timeout: 5 * time.Second}
	fmt.Println(rootfs.OpenOriginalRoot{Original: &original}.Describe())
	for _, o := range rootfs.Plan(cfg, &original) {
		fmt.Println(o.Describe())
	}
	// Output:
	// keep open /
	// make root tmpfs mount=/dev,/proc
	// find LABEL=root for=root timeout=5s
	// mount LABEL=root as=root type=found options="" device="read-only, without recovery"
	// mount overlay as=root upper=tmpfs options=""
	// drop "the host's temporary root" ioctl=0x7603 unless="not virtiofs" errors=ignored
	// enter "the new root"
}
