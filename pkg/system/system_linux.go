// Package system has the operations that set up what is the whole guest's and no process's: kernel parameters, device
// files, the domain name, /etc/hosts.
package system

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

// Domainname is the operation that sets the NIS domain name, setdomainname(2).
type Domainname struct{ Name string }

func (d Domainname) Describe() op.Description {
	return op.Describe("set domain name", d.Name)
}

func (d Domainname) Do() error {
	if err := unix.Setdomainname([]byte(d.Name)); err != nil {
		return fmt.Errorf("set domain name %q: %w", d.Name, err)
	}
	return nil
}

// Sysctl is the operation that sets a kernel parameter, sysctl(8).
type Sysctl struct{ Name, Value string }

func (s Sysctl) Describe() op.Description {
	return op.Describe("sysctl", s.Name, "value", s.Value)
}

func (s Sysctl) Do() error {
	path := "/proc/sys/" + sysctlPath(s.Name)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		_, err = unix.Write(fd, []byte(s.Value))
		unix.Close(fd)
	}
	if err != nil {
		return fmt.Errorf("set sysctl %s to %q: %w", s.Name, s.Value, err)
	}
	return nil
}

// sysctlPath is the path of a parameter below /proc/sys. As with sysctl(8), the first separator says which of . and / the
// name has for separators; the other one is then a dot in the name of an interface.
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
	for part := range strings.SplitSeq(string(path), "/") {
		if part == ".." {
			return "-" // there is no such parameter, and nothing else is meant
		}
	}
	return string(path)
}

// Device is the operation that makes a device file, an entry of linux.devices of the OCI runtime specification. One that is
// there already, as devtmpfs has them, gets the permissions and the owner that are asked for.
type Device struct {
	Path         string
	Type         byte // 'c' and 'u' for a character device, 'b' for a block device, 'p' for a FIFO
	Major, Minor uint32
	FileMode     *uint32 // permission bits; nil: 0666 for a new file
	UID, GID     *uint32 // nil: 0 for a new file
}

func (d Device) Describe() op.Description {
	attrs := []op.Detail{op.A("type", string(rune(d.Type)))}
	if d.Type != 'p' {
		attrs = append(attrs, op.A("number", utoa(d.Major)+":"+utoa(d.Minor)))
	}
	if d.FileMode != nil {
		attrs = append(attrs, op.A("mode", "0"+strconv.FormatUint(uint64(*d.FileMode), 8)))
	}
	if d.UID != nil {
		attrs = append(attrs, op.A("uid", utoa(*d.UID)))
	}
	if d.GID != nil {
		attrs = append(attrs, op.A("gid", utoa(*d.GID)))
	}
	return op.Description{Verb: "make device", Object: d.Path, Details: attrs}
}

// Do implements op.Op. Missing directories are made. Another file in its place is an error.
func (d Device) Do() error {
	var kind uint32
	switch d.Type {
	case 'b':
		kind = unix.S_IFBLK
	case 'c', 'u':
		kind = unix.S_IFCHR
	case 'p':
		kind = unix.S_IFIFO
	}
	number := unix.Mkdev(d.Major, d.Minor)
	err := unix.Mknod(d.Path, kind|0o666, int(number))
	if err == unix.ENOENT {
		if err = sysfile.MakeDirs(parent(d.Path)); err == nil {
			err = unix.Mknod(d.Path, kind|0o666, int(number))
		}
	}
	made := err == nil
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err = unix.Stat(d.Path, &st); err == nil && (st.Mode&unix.S_IFMT != kind || kind != unix.S_IFIFO && st.Rdev != number) {
			err = unix.EEXIST
		}
	}
	if err == nil && (made || d.FileMode != nil) {
		mode := uint32(0o666) // whatever the umask is
		if d.FileMode != nil {
			mode = *d.FileMode & 0o7777
		}
		err = unix.Chmod(d.Path, mode)
	}
	if err == nil && (d.UID != nil || d.GID != nil) {
		err = unix.Chown(d.Path, owner(d.UID), owner(d.GID))
	}
	if err != nil {
		return fmt.Errorf("make device %s: %w", d.Path, err)
	}
	return nil
}

// owner is an ID for chown(2), where -1 leaves it as it is.
func owner(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

// parent is the directory of a file.
func parent(path string) string {
	return path[:max(0, strings.LastIndexByte(path, '/'))]
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
