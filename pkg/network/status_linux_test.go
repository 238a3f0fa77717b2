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

// TestNoStatus reads a StatusFile that does not exist.
func TestNoStatus(t *testing.T) {
	if _, err := ReadStatus(filepath.Join(t.TempDir(), "status")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadStatus() of no file = %v, want ErrNotExist", err)
	}
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
