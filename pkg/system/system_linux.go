package system

import (
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
)

// Domainname sets the NIS domain name, setdomainname(2).
type Domainname struct{ Name string }

func (d Domainname) Describe() op.Description { return op.Describe("set domain name", d.Name) }

func (d Domainname) Do() (err error) {
	defer op.Wrap(&err, "set domain name %q", d.Name)
	return unix.Setdomainname([]byte(d.Name))
}

// Sysctls returns operations that set kernel parameters, given by name, in the order of the names.
func Sysctls(values map[string]string) []op.Op {
	var ops []op.Op
	for _, name := range slices.Sorted(maps.Keys(values)) {
		ops = append(ops, Sysctl{name, values[name]})
	}
	return ops
}

// Sysctl sets a kernel parameter. Its name is written as for sysctl(8).
type Sysctl struct{ Name, Value string }

func (s Sysctl) Describe() op.Description { return op.Describe("sysctl", s.Name, "value", s.Value) }

func (s Sysctl) Do() (err error) {
	defer op.Wrap(&err, "set sysctl %s to %q", s.Name, s.Value)
	f, err := os.OpenFile("/proc/sys/"+sysctlPath(s.Name), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(s.Value)
	return err
}

// RaiseOpenFiles raises the sysctl fs.nr_open, the greatest limit RLIMIT_NOFILE that any process can
// have, to Limit or the greatest value that the kernel takes. It never lowers it.
type RaiseOpenFiles struct{ Limit uint64 }

func (r RaiseOpenFiles) Describe() op.Description {
	return op.Describe("sysctl", "fs.nr_open", "value", r.value(), "if", "lower")
}

func (r RaiseOpenFiles) value() string {
	return strconv.FormatUint(min(r.Limit, oci.MaxOpenFiles), 10)
}

func (r RaiseOpenFiles) Do() error {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return err
	}
	now, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err == nil && now >= r.Limit {
		return nil
	}
	return Sysctl{"fs.nr_open", r.value()}.Do()
}

// sysctlPath returns the path of a parameter below /proc/sys. As for sysctl(8), the first . or / in
// the name is the separator. If it is a dot, the other one stands for a dot in an interface's name.
// The path never leads out of /proc/sys.
func sysctlPath(name string) string {
	path := name
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		path = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	if slices.Contains(strings.Split(path, "/"), "..") {
		return "-" // no parameter has this name
	}
	return path
}
