package system

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/internal/nstest"
)

func TestChmod(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"renderD128", "renderD129", "card0"} {
		put(t, dir+"/"+name, "")
	}
	mode := func(name string) os.FileMode {
		info, err := os.Stat(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	for _, path := range []string{"/renderD*", "/none", "/none/*", "/none*"} {
		if err := (Chmod{dir + path, 0o666}).Do(); err != nil {
			t.Error(err)
		}
	}
	if a, b, c := mode("renderD128"), mode("renderD129"), mode("card0"); a != 0o666 || b != 0o666 || c != 0o600 {
		t.Errorf("permissions = %v, %v, %v, want 0666, 0666, 0600", a, b, c)
	}
	if err := (Chmod{dir + "/card*", 0o640}).Do(); err != nil || mode("card0") != 0o640 {
		t.Errorf("permissions after another operation = %v, %v, want 0640", mode("card0"), err)
	}
	err := Chmod{dir + "/card0/x", 0o666}.Do()
	if !errors.Is(err, unix.ENOTDIR) || !strings.HasPrefix(err.Error(), "chmod "+dir+"/card0/x: ") {
		t.Errorf("below a file = %v, want ENOTDIR", err)
	}
}

// The parameters are of the network namespace, so that the test changes nothing else.
func TestRaiseInNamespace(t *testing.T) {
	nstest.Run(t, func(t *testing.T, _ string) {
		const name = "net.ipv4.tcp_fin_timeout"
		for _, c := range []struct{ old, value, want uint64 }{{60, 70, 70}, {70, 70, 70}, {70, 8, 70}} {
			err := Raise{name, c.value}.Do()
			text, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_fin_timeout")
			if got := strings.TrimSpace(string(text)); err != nil || got != "70" {
				t.Errorf("raise %d to %d: %v, %s, want %d", c.old, c.value, err, got, c.want)
			}
		}
		const ports = "net.ipv4.ip_local_port_range"
		for name, want := range map[string]string{"net.none": "no such file", ports: "invalid syntax"} {
			err := Raise{name, 5}.Do()
			if prefix := "raise sysctl " + name + " to 5: "; err == nil ||
				!strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), want) {
				t.Errorf("Do() = %v, want %s%s", err, prefix, want)
			}
		}
	})
}

// Each default is for another object.
func TestDefaults(t *testing.T) {
	seen := map[string]bool{}
	for _, operation := range Defaults() {
		d := operation.Describe()
		if seen[d.Object] || d.Object == "" {
			t.Errorf("two operations for %q", d.Object)
		}
		seen[d.Object] = true
	}
}
