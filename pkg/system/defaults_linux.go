package system

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Defaults returns operations for settings that Linux distributions make at boot: permissions of
// device nodes, as in udev's rules, and kernel parameters. An operation fails if the kernel lacks its
// parameter.
func Defaults() []op.Op {
	return []op.Op{
		Chmod{"/dev/fuse", 0o666},
		Chmod{"/dev/net/tun", 0o666},
		Chmod{"/dev/kvm", 0o666},
		Chmod{"/dev/vsock", 0o666},
		Chmod{"/dev/vhost-vsock", 0o666},
		Chmod{"/dev/vhost-net", 0o666},
		Chmod{"/dev/dri/renderD*", 0o666},
		// udev gives these to the group audio, and logind to the user at the seat. A guest has no seat.
		Chmod{"/dev/snd/*", 0o666},

		// Every user may ping, and listen on port 80.
		Sysctl{"net.ipv4.ping_group_range", "0 2147483647"},
		Sysctl{"net.ipv4.ip_unprivileged_port_start", "0"},
		// Databases, editors and test runners need more than the kernel grants.
		Raise{"vm.max_map_count", 1 << 20},
		Raise{"fs.inotify.max_user_instances", 1024},
		Raise{"fs.inotify.max_user_watches", 1 << 19},
		Raise{"kernel.pid_max", 1 << 15}, // all that libkrun's kernel allows
		// Without overcommit, the kernel keeps this reserve from a process according to the size of its
		// address space. That of process 1 is large and mostly unused. The reserve for root remains.
		Sysctl{"vm.user_reserve_kbytes", "0"},
	}
}

// Chmod sets the permissions of a file or, if Path ends in "*", of all files in a directory whose
// paths begin with the text before "*". It does nothing if there is no such file.
type Chmod struct {
	Path string
	Mode uint32
}

func (c Chmod) Describe() op.Description {
	return op.Describe("chmod", c.Path, "mode", fmt.Sprintf("%#o", c.Mode), "missing", "ok")
}

func (c Chmod) Do() error {
	prefix, many := strings.CutSuffix(c.Path, "*")
	if !many {
		return c.set(c.Path)
	}
	dir, prefix := path.Split(prefix)
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd)
	var b [4096]byte // some hundred names; package os would sort them and look each one up
	n, err := unix.ReadDirent(fd, b[:])
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	_, _, names := unix.ParseDirent(b[:n], -1, nil)
	for _, name := range names {
		if strings.HasPrefix(name, prefix) {
			err = errors.Join(err, c.set(dir+name))
		}
	}
	return err
}

func (c Chmod) set(path string) error {
	if err := unix.Chmod(path, c.Mode); err != nil && err != unix.ENOENT {
		return fmt.Errorf("chmod %s: %w", path, err)
	}
	return nil
}

// Raise sets a kernel parameter that is a number, unless it has that value or a greater one.
type Raise struct {
	Name  string // as in Sysctl
	Value uint64
}

func (r Raise) Describe() op.Description {
	return op.Describe("sysctl", r.Name, "value", r.Value, "if", "lower")
}

func (r Raise) Do() (err error) {
	defer op.Wrap(&err, "raise sysctl %s to %d", r.Name, r.Value)
	fd, err := openSysctl(r.Name, unix.O_RDWR)
	readOnly := err == unix.EROFS
	if readOnly {
		fd, err = openSysctl(r.Name, unix.O_RDONLY)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b [32]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return err
	}
	text := strings.TrimSuffix(string(b[:n]), "\n")
	old, err := strconv.ParseUint(text, 10, 64)
	switch {
	case err != nil || old >= r.Value:
		return err
	case readOnly:
		return unix.EROFS
	}
	_, err = unix.Pwrite(fd, strconv.AppendUint(b[:0], r.Value, 10), 0)
	return err
}
