package system

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Domainname sets the NIS domain name, setdomainname(2).
type Domainname struct{ Name string }

func (d Domainname) Describe() op.Description { return op.Describe("set domain name", d.Name) }

func (d Domainname) Do() (err error) {
	defer op.Wrap(&err, "set domain name %q", d.Name)
	return unix.Setdomainname([]byte(d.Name))
}

// Sysctls returns the operations that set kernel parameters, given by name, in the order of the
// names.
func Sysctls(values map[string]string) []op.Op {
	var ops []op.Op
	for _, name := range slices.Sorted(maps.Keys(values)) {
		ops = append(ops, Sysctl{name, values[name]})
	}
	return ops
}

// Sysctl sets a kernel parameter. Name is written as for sysctl(8), such as net.ipv4.ip_forward.
type Sysctl struct{ Name, Value string }

func (s Sysctl) Describe() op.Description { return op.Describe("sysctl", s.Name, "value", s.Value) }

func (s Sysctl) Do() (err error) {
	defer op.Wrap(&err, "set sysctl %s to %q", s.Name, s.Value)
	fd, err := openSysctl(s.Name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(s.Value))
	return err
}

func openSysctl(name string, mode int) (fd int, err error) {
	return unix.Open("/proc/sys/"+sysctlPath(name), mode|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

// sysctlPath returns the path of a parameter below /proc/sys. As in sysctl(8), the first dot or slash
// in the name is the separator. If that is a dot, a slash stands for a dot in the name of an
// interface. The path never leads out of /proc/sys.
func sysctlPath(name string) string {
	path := []byte(name)
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '.' {
		for i, c := range path {
			switch c {
			case '.':
				path[i] = '/'
			case '/':
				path[i] = '.'
			}
		}
	}
	if strings.Contains("/"+string(path)+"/", "/../") {
		return "-" // no parameter has this name
	}
	return string(path)
}
