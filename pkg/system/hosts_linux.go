package system

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/imagefile"
	"github.com/krunbox/krunbox/pkg/op"
)

const (
	// HostsFile is the path of the hosts file, hosts(5).
	HostsFile = "/etc/hosts"
	// hostsSource is the file that is mounted on HostsFile. Like all files in /dev, it is in memory.
	hostsSource = "/dev/.hosts"
	maxHosts    = 1 << 20 // bytes
)

// Hosts provides a hosts file with localhost and the host name. If the image's file lacks the host
// name, Hosts adds a line to it. If the image's file is missing or empty, Hosts makes a new one. It
// fails if the file can be neither found nor created.
//
// The changed file is in memory and mounted on HostsFile. The image's file is not written, because
// the root may be a directory of the host, and later the root of a guest with another name. If the
// image has no file, Hosts leaves an empty one in the image, as container runtimes do.
type Hosts struct {
	Hostname string
	// Address returns the address for the name. Do calls it. An invalid address stands for 127.0.1.1:
	// the name of 127.0.0.1 must remain localhost.
	//
	// It should be the address at which other hosts reach this one, if there is one, as in containers.
	// Some servers announce the address of their own name (Java RMI, Kafka, Erlang), or listen on it
	// (Cassandra, Hadoop). Clients cannot reach them at a loopback address.
	Address func() netip.Addr
	// State is what earlier operations have done, and is updated by Do. With the same State, Do can be
	// called again for another name or address. Nil is for an operation that is carried out once.
	State *HostsState
}

// HostsState is what Hosts has done, perhaps in another process.
type HostsState struct {
	Mounted bool
	Line    string // the line that was added to the image's file, or ""
}

func (h Hosts) Describe() op.Description {
	return op.Describe("mount hosts file", HostsFile, "hostname", h.Hostname,
		"if", "missing, empty or without it")
}

func (h Hosts) Do() (err error) {
	address := netip.AddrFrom4([4]byte{127, 0, 1, 1})
	if a := h.Address(); a.IsValid() {
		address = a
	}
	state := cmp.Or(h.State, &HostsState{})
	image, err := h.image(state)
	if err != nil {
		return fmt.Errorf("read or create %s: %w", HostsFile, err)
	}
	before := strings.Replace(string(image), state.Line, "", 1)
	text := before
	if text == "" {
		text = localHosts
	}
	line := hostsLine(text, h.Hostname, address)
	if text += line; text == string(image) {
		return nil
	}
	if err := imagefile.Write(hostsSource, []byte(text), true); err != nil {
		return err
	}
	state.Line = line
	if state.Mounted {
		return nil
	}
	defer op.Wrap(&err, "mount %s on %s", hostsSource, HostsFile)
	err = unix.Mount(hostsSource, HostsFile, "", unix.MS_BIND, "")
	state.Mounted = err == nil
	return err
}

// image returns the contents of HostsFile. It creates an empty file if there is none.
func (h Hosts) image(state *HostsState) ([]byte, error) {
	// Creating the file without looking for it first saves a request to the host.
	err := createFile(HostsFile)
	if !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	if h.Hostname == "localhost" && state.Line == "" {
		if info, err := os.Stat(HostsFile); err == nil && info.Size() > 0 {
			return []byte(localHosts), nil // no need to read it: every hosts file has localhost
		}
	}
	return imagefile.Read(HostsFile, maxHosts)
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

// localHosts are the contents of a new hosts file, without the host name.
const localHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"

// hostsLine returns the line with address and hostname to add to a hosts file with the given text. It
// returns "" if the file has the name, or if hostname cannot be a name in the file. The first part of
// a name with dots becomes an alias.
func hostsLine(text, hostname string, address netip.Addr) string {
	invalid := func(r rune) bool { return r <= ' ' || r == '#' || r == 0x7f }
	if hostname == "" || strings.ContainsFunc(hostname, invalid) || hasHost(text, hostname) {
		return ""
	}
	names := hostname
	if short, _, full := strings.Cut(hostname, "."); full && short != "" {
		names += " " + short
	}
	if hostname == "localhost" {
		address = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	line := address.String() + "\t" + names + "\n"
	if !strings.HasSuffix(text, "\n") {
		return "\n" + line
	}
	return line
}

// hasHost reports whether the text of a hosts file has a line for a name.
func hasHost(text, name string) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for i, field := range strings.Fields(line) {
			if i > 0 && strings.EqualFold(field, name) {
				return true
			}
		}
	}
	return false
}
