package probe

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mounts records the topmost mount of each mount point; see proc_pid_mountinfo(5).
func (s State) mounts() {
	b, err := os.ReadFile("/proc/self/mountinfo")
	s.put("mounts", err == nil, err)
	for line := range strings.Lines(string(b)) {
		head, tail, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " - ") // ends optional fields
		fields, super := strings.Fields(head), strings.Fields(tail)
		if len(fields) < 6 || len(super) < 2 {
			s["mounts"] = line
			continue
		}
		super = append(super, "")
		propagation := "private"
		for _, option := range fields[6:] {
			propagation, _, _ = strings.Cut(option, ":")
		}
		field := "mount " + fields[4] + " "
		s[field+"type"], s[field+"source"] = super[0], super[1]
		s[field+"options"] = sorted(strings.Split(fields[5], ","))
		s[field+"file system options"] = sorted(strings.Split(super[2], ","))
		s[field+"propagation"] = propagation
	}
}

// devices records the files in /dev, except those in file systems that are mounted within /dev.
func (s State) devices() {
	var dev unix.Stat_t
	if err := unix.Stat("/dev", &dev); err != nil {
		s.put("devices", "", err)
		return
	}
	err := filepath.WalkDir("/dev", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		field := "device " + path
		if target, err := os.Readlink(path); err == nil {
			s[field] = "link to " + target
		} else {
			s[field] = describe(&st)
		}
		if entry.IsDir() && st.Dev != dev.Dev {
			return filepath.SkipDir
		}
		return nil
	})
	s.put("devices", err == nil, err)
}

// interfaces records the network interfaces with flags and addresses.
func (s State) interfaces() {
	list, err := net.Interfaces()
	s.put("interfaces", err == nil, err)
	for _, i := range list {
		addrs, err := i.Addrs()
		s.put("interface "+i.Name, fmt.Sprint(i.Flags, " ", addrs), err)
	}
}
