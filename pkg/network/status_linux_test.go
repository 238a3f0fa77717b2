package network

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/dhcp4"
	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/krunbox/krunbox/pkg/loop"
)

// TestParseStatus parses what AppendJSON returns, and what it does not.
func TestParseStatus(t *testing.T) {
	all := []Fields{
		{
			{"interface", "eth0"},
			{"state", "BO\"UN\nD"},
			{"dns", []string{"192.0.2.1", "192.0.2.2"}},
			{"lease", Lifetime(time.Hour)},
			{"rebind", Lifetime(dhcp4.Infinite)},
			{"mtu", 1500},
		},
		{{"interface", "eth1"}},
	}
	text := jsonio.Append(nil, jsonio.List[Fields](all))
	const want = `[{"interface": "eth0", "state": "BO\"UN\nD", "dns": ["192.0.2.1", "192.0.2.2"], ` +
		`"lease": 3600, "rebind": "infinite", "mtu": 1500}, {"interface": "eth1"}]`
	if string(text) != want || !json.Valid(text) {
		t.Errorf("AppendJSON() = %s, want %s", text, want)
	}
	if got, err := parseStatus(text); err != nil || !reflect.DeepEqual(got, all) {
		t.Errorf("parseStatus(%s) = %v, %v, want %v", text, got, err, all)
	}
	withMoment := jsonio.Append(nil, jsonio.List[Fields]{{{"leaseEndsNs", Moment(7)}}})
	got, err := parseStatus(withMoment)
	if want := []Fields{{{"leaseEnds", Moment(7)}}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("parseStatus(%s) = %v, %v, want %v", withMoment, got, err, want)
	}
	for _, bad := range []string{"", "[", "{}", "[3]", "[[]]", `[{"a"}]`, `[{"a": {}}]`, `[{"a": true}]`,
		`[{"a": [1]}]`, `[{"a": 1.5}]`, `[{"a": 1e99}]`, want[:40], want[1:]} {
		if got, err := parseStatus([]byte(bad)); err == nil {
			t.Errorf("parseStatus(%s) = %v, want an error", bad, got)
		}
	}
}

func FuzzParseStatus(f *testing.F) {
	f.Add([]byte(`[{"interface": "eth0", "dns": ["a"], "lease": 3, "mtu": 1, "leaseEndsNs": 4}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := parseStatus(b)
		if err != nil {
			return
		}
		if text := jsonio.Append(nil, jsonio.List[Fields](all)); !json.Valid(text) {
			t.Errorf("AppendJSON(parseStatus(%q)) = %s", b, text)
		}
	})
}

// TestReplaceFile replaces whatever is there, and only that.
func TestReplaceFile(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "status"), filepath.Join(dir, "other")
	if _, err := ReadStatus(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadStatus() of no file = %v, want ErrNotExist", err)
	}
	if err := os.WriteFile(other, []byte("untouched"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, plant := range map[string]func(string) error{
		"nothing": func(string) error { return nil },
		"a FIFO":  func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a link":  func(path string) error { return os.Symlink(other, path) },
		"a file":  func(path string) error { return os.WriteFile(path, []byte("["), 0o600) },
	} {
		for _, planted := range []string{path, path + ".new"} {
			_ = os.Remove(path)
			if err := plant(planted); err != nil {
				t.Fatal(err)
			}
			replaceFile(path, []byte("[]\n"))
			text, err := os.ReadFile(path)
			if err != nil || string(text) != "[]\n" {
				t.Errorf("with %s at %s: %q, %v, want []", name, planted, text, err)
			}
			if info, err := os.Lstat(path); err != nil || info.Mode() != 0o644 {
				t.Errorf("with %s at %s: %v, %v, want -rw-r--r--", name, planted, info, err)
			}
		}
	}
	if text, err := os.ReadFile(other); err != nil || string(text) != "untouched" {
		t.Errorf("the file that a link led to has %q, %v", text, err)
	}
	// A directory with something in it stays. That is an older status, or none.
	if err := errors.Join(os.Remove(path), os.MkdirAll(path+"/sub", 0o700)); err != nil {
		t.Fatal(err)
	}
	replaceFile(path, []byte("[]\n"))
	if names, err := filepath.Glob(dir + "/*"); err != nil || len(names) != 2 {
		t.Errorf("files: %v, %v, want %s and %s", names, err, other, path)
	}
}

// TestReplaceFileInNamespace has a file system with room for half of the text.
func TestReplaceFileInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		const dir = "/dev" // in this namespace
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
			t.Fatal(err)
		}
		path := dir + "/status"
		if !replaceFile(path, []byte("[]\n")) {
			t.Error("replaceFile() of three bytes fails")
		}
		if replaceFile(path, make([]byte, 16<<10)) {
			t.Error("replaceFile() of more than there is room for succeeds")
		}
		text, err := os.ReadFile(path)
		if names, _ := filepath.Glob(dir + "/*"); err != nil || string(text) != "[]\n" || len(names) != 1 {
			t.Errorf("the file has %q, %v, want its old contents and no other file: %q", text, err, names)
		}
	})
}

// statusField returns a field of the first interface in a StatusFile, or nil.
func statusField(t *testing.T, path, name string) any {
	t.Helper()
	all, err := ReadStatus(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(all) == 0 {
		t.Fatalf("ReadStatus() = %v, %v", all, err)
	}
	k := slices.IndexFunc(all[0], func(f Field) bool { return f.Name == name })
	if k < 0 {
		return nil
	}
	return all[0][k].Value
}

// TestStatusFileInNamespace follows a lease from before it is there until it is lost.
func TestStatusFileInNamespace(t *testing.T) {
	inNamespaces(t, func(t *testing.T) {
		const path = "/dev/status"
		h := newHost(t, "eth0", 2)
		h.seconds = 4
		h.silent = true
		r := newRig(t, Config{Interfaces: []string{"eth0"}, IPv4: true, StatusFile: path}, h).start()
		has := func(name string, want any) func() bool {
			return func() bool { return reflect.DeepEqual(statusField(t, path, name), want) }
		}
		r.until("no answer", has("state", "no DHCP server answered"))
		h.silent = false
		r.until("BOUND", has("state", "BOUND"))
		want(t, "address", []string{statusField(t, path, "address").(string)}, "10.0.2.15/24")
		renewal := statusField(t, path, "nextRenewal").(Moment)
		ends := statusField(t, path, "leaseEnds").(Moment)
		if now := Moment(loop.Now()); renewal <= now || ends <= renewal || ends > now+Moment(4*time.Second) {
			t.Errorf("now %d, renewal %d, end %d, want them in this order within 4 s", now, renewal, ends)
		}
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		r.n.changed = true
		r.n.Run()
		if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("without a change the file was written again (%v)", err)
		}
		h.dns = "10.0.2.4"
		r.until("renewed", has("dns", []string{"10.0.2.4"}))
		if later := statusField(t, path, "leaseEnds").(Moment); later <= ends {
			t.Errorf("after the renewal the lease ends at %d, want later than %d", later, ends)
		}
		h.silent = true
		r.until("RENEWING", has("state", "RENEWING"))
		r.until("lost", has("address", nil))
		r.unplug(h)
		r.until("not connected", has("state", "not connected"))
	})
}

// TestStatusFileIsBounded has more interfaces than the file has room for.
func TestStatusFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	n := New(Config{StatusFile: path})
	lease := &dhcp4.Lease{Search: []string{strings.Repeat("a", 1000)}}
	for range 100 {
		i := n.add("eth0")
		i.link.Index, i.link.Carrier = 1, true
		i.v4.lease = lease
		i.v4.client = dhcp4.NewClient(dhcp4.Config{})
	}
	n.changed = true
	n.save()
	all, err := ReadStatus(path)
	if err != nil || len(all) < 40 || len(all) > 64 {
		t.Errorf("ReadStatus() = %d interfaces, %v, want 40 to 64", len(all), err)
	}
}
