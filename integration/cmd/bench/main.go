package main

import (
	"context"
	"fmt"
	"os"

	"github.com/krunbox/krunbox/integration/bench"
	"github.com/krunbox/krunbox/integration/guestkernel"
	"github.com/krunbox/krunbox/integration/guestroot"
)

func main() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "bench")
	defer os.RemoveAll(dir)
	p, err := bench.Build(ctx, dir)
	fmt.Println(p, err)
	root := dir + "/root"
	fmt.Println(guestroot.Create(ctx, "amd64", root))
	c, err := guestkernel.PeerInit(ctx)
	m := bench.Machine{Programs: p, Root: root, CountInstructions: len(os.Args) > 1}
	inits := []bench.Init{{Name: "krunbox", Path: "../build/init.krun"}, {Name: "c", Path: c}, {Name: "plain", Path: p.Plain}, {Name: "nothing", Path: p.Finish}}
	for range 5 {
		for _, i := range inits {
			fmt.Print(i.Name, " ")
			fmt.Println(m.Time(ctx, i))
		}
	}
	for _, i := range inits[:3] {
		fmt.Println(m.Memory(ctx, i))
	}
}
