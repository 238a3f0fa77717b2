package system

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/sysfile"
)

const (
	hosts = "/etc/hosts"
	// memory is the file that is mounted there, in memory as all of /dev.
	memory = "/dev/.hosts"
)

// Hosts is the operation that gives a guest whose image has no /etc/hosts, or an empty one as exported images have, a file
// with localhost and the host's name, hosts(5).
//
// It is mounted, and not written: the root may be a directory of the host's that is the root of another guest tomorrow, with
// another name. What stays is an empty file, as container runtimes leave it.
type Hosts struct{ Hostname string }

func (h Hosts) Describe() op.Description {
	return op.Describe("mount hosts file", hosts, "hostname", h.Hostname, "if", "missing or empty")
}

// Do implements op.Op. A root that can't have the file is an error.
func (h Hosts) Do() error {
	// Made without a look: where it is missing, that is one request to the host less.
	err := makeEmpty(hosts)
	if err == unix.EEXIST {
		var st unix.Stat_t
		if err = unix.Stat(hosts, &st); err == nil && (st.Size > 0 || st.Mode&unix.S_IFMT != unix.S_IFREG) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("create %s: %w", hosts, err)
	}
	if err := sysfile.Write(memory, []byte(text(h.Hostname)), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(memory, hosts, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s on %s: %w", memory, hosts, err)
	}
	return nil
}

func makeEmpty(path string) error {
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_WRONLY | unix.O_CLOEXEC
	fd, err := unix.Open(path, flags, 0o644)
	if err == unix.ENOENT {
		if err = sysfile.MakeDirs(parent(path)); err == nil {
			fd, err = unix.Open(path, flags, 0o644)
		}
	}
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// text is the file for a host name. The host's own name has an address of its own: who asks for the name of 127.0.0.1 shall
// get localhost. A full name brings its first part as an alias; what is no name is left out.
func text(hostname string) string {
	const local = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"
	noName := func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }
	if hostname == "" || hostname == "localhost" || strings.ContainsFunc(hostname, noName) {
		return local
	}
	names := hostname
	if short, _, full := strings.Cut(hostname, "."); full && short != "" {
		names += " " + short
	}
	return local + "127.0.1.1\t" + names + "\n"
}
