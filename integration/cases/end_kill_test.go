package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/krunbox/krunbox/integration/diskimage"
	"github.com/krunbox/krunbox/integration/vm"
)

// killAt boots a machine and kills it when text appears on its console.
func killAt(t *testing.T, cfg vm.Config, text string) {
	t.Helper()
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	cfg.Console = when{text, kill, new(strings.Builder)}
	if result, err := vm.Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatalf("Run() = %v, want it canceled when the console shows %q; console: %s",
			err, text, result.Console)
	}
}

// kept returns the contents of the file that a boot writes. It fills several blocks, all different.
func kept(boot int) []byte {
	var b bytes.Buffer
	for i := range 2000 {
		fmt.Fprintf(&b, "boot %d line %d\n", boot, i)
	}
	return b.Bytes()
}

func keptPath(boot int) string { return fmt.Sprintf("/kept/%d", boot) }

// killedGuest is the workload of the boot whose number is its argument. It checks the files of
// earlier boots, and writes and syncs another one.
var killedGuest = inGuest("killed", func(t *testing.T) {
	boot, err := strconv.Atoi(os.Args[1])
	if err != nil {
		t.Fatal(err)
	}
	for i := range boot {
		if got, err := os.ReadFile(keptPath(i)); err != nil || !bytes.Equal(got, kept(i)) {
			t.Errorf("contents of %s = %d bytes, %v, want those that the boot wrote",
				keptPath(i), len(got), err)
		}
	}
	f, err := os.Create(keptPath(boot))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(kept(boot)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	// Leave work for the shutdown: old and new files that are not synced.
	for i := range 50 {
		if err := os.WriteFile(fmt.Sprintf("/tmp/%d", i), kept(boot)[:100*i], 0o644); err != nil {
			t.Fatal(err)
		}
	}
})

// TestKilledInShutdown boots an image 20 times. It kills each guest but the first at a random time
// between the end of the workload and the end of the machine. Each boot must find the files that
// earlier boots have written and synced.
func TestKilledInShutdown(t *testing.T) {
	t.Parallel()
	const boots = 20
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	disk := diskRoot(t, "amd64", diskimage.FileSystem{Type: "ext4"}, "", func(dir string) error {
		return errors.Join(os.Mkdir(dir+"/kept", 0o755), killedGuest.install(t, "amd64", dir))
	})

	var shutdown time.Duration // duration of an undisturbed shutdown
	killed := 0
	for boot := range boots {
		ctx, kill := context.WithCancel(t.Context())
		defer kill()
		var reported time.Time
		cfg := withDisk(t, "amd64", disk)
		cfg.Args = []string{killedGuest.path(), strconv.Itoa(boot)}
		cfg.OnExitCode = func(int) {
			reported = time.Now()
			if boot > 0 {
				time.AfterFunc(time.Duration(random.Int64N(int64(shutdown))), kill)
			}
		}
		result, err := vm.Run(ctx, cfg)
		if boot == 0 {
			shutdown = time.Since(reported)
			t.Logf("an undisturbed shutdown takes %v", shutdown)
		}
		if err != nil {
			killed++
		}
		if err != nil && (boot == 0 || !errors.Is(err, context.Canceled)) || result.ExitCode != 0 || console(result) != passed {
			t.Fatalf("boot %d: exit code %d, %v; console:\n%s", boot, result.ExitCode, err, result.Console)
		}
	}
	t.Logf("%d of %d guests were killed before they ended", killed, boots-1)
	if killed == 0 {
		t.Error("no guest was killed")
	}
	if err := diskimage.Recover(disk); err != nil {
		t.Error(err)
	}
	wantClean(t, disk, "ext4")
	for boot := range boots {
		wantFile(t, disk, "ext4", keptPath(boot), string(kept(boot)))
	}
}
