package image_test

import (
	"context"
	"log"

	"github.com/krunbox/krunbox/multicall/image"
)

func ExampleBuild() {
	err := image.Build(context.Background(), image.Options{
		Output:       "build/krunbox.cpio.gz",
		Commands:     []string{"default", "tcpdump"},
		Files:        []image.File{{Source: "overlay", Target: "/"}},
		Kernel:       "debian",
		KernelOutput: "build/vmlinuz",
	})
	if err != nil {
		log.Fatal(err)
	}
}
