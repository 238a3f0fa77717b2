package mount_test

import (
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/mount"
)

func ExampleConfigured() {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid"}},
		{Destination: "/tmp", Type: "tmpfs", Options: []string{"size=64m", "nodev"}},
		{Destination: "/srv", Type: "bind", Source: "/data", Options: []string{"rbind", "ro"}},
	}
	for _, o := range mount.Configured(mounts, mount.Host{BlockRoot: true}) {
		fmt.Println(o.Describe())
	}
	// Output:
	// change mount /proc options=nosuid onError=warn
	// mount /tmp type=tmpfs source=tmpfs options=nodev,size=64m
	// bind /srv source=/data options=rbind,ro
}

func ExampleParseOptions() {
	flags, data := mount.ParseOptions("ro,noauto,size=64m")
	fmt.Printf("%#x %s\n", flags, data)
	// Output: 0x1 size=64m
}
