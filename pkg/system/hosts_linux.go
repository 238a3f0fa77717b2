package system

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

const (
	hostsFile = "/etc/hosts"
	// hostsSource is the file that is mounted there. Like all of /dev, it is in memory.
	hostsSource = "/dev/.hosts"
)

// Hosts provides a file /etc/hosts, hosts(5), with localhost and the host's name, if the image has
// none, or an empty one, as exported images do. It fails if the file can be neither found nor
// created.
//
// The file is mounted, not written, because the root may be a directory of the host, and the root
// of a guest with another name later. Like a container runtime, it leaves an empty file there.
type Hosts struct{ Hostname string }

func (h Hosts) Describe() op.Description {
	return op.Describe("mount hosts file", hostsFile, "hostname", h.Hostname,
		"if", "missing or empty")
}

func (h Hosts) Do() (err error) {
	// Creating the file without looking for it first saves a request to the host.
	err = createFile(hostsFile)
	if errors.Is(err, fs.ErrExist) {
		var info fs.FileInfo
		info, err = os.Stat(hostsFile)
		if err == nil && (info.Size() > 0 || !info.Mode().IsRegular()) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", hostsFile, err)
	}
	if err := os.WriteFile(hostsSource, []byte(hostsText(h.Hostname)), 0o644); err != nil {
		return err
	}
	defer op.Wrap(&err, "mount %s on %s", hostsSource, hostsFile)
	return unix.Mount(hostsSource, hostsFile, "", unix.MS_BIND, "")
}

// createFile creates an empty file and, if necessary, its directory. It fails with ErrExist if
// anything exists at the path.
func createFile(name string) error {
	const flags = os.O_CREATE | os.O_EXCL | os.O_WRONLY
	f, err := os.OpenFile(name, flags, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		f, err = os.OpenFile(name, flags, 0o644)
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// hostsText returns the contents of the file. The host's name gets an address of its own, so that
// the name of 127.0.0.1 remains localhost. The first part of a full name is added as an alias. A
// string that is not a name is left out.
func hostsText(hostname string) string {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	invalid := func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }
	if hostname == "" || hostname == "localhost" || strings.ContainsFunc(hostname, invalid) {
		return local
	}
	names := hostname
	if short, _, full := strings.Cut(hostname, "."); full && short != "" {
		names += " " + short
	}
	return local + "127.0.1.1\t" + names + "\n"
}
