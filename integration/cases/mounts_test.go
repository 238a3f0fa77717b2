package cases

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// mountsGuest checks the file systems and the names in /dev that every workload gets.
var mountsGuest = inGuest("mounts", func(t *testing.T) {
	const restricted = "nosuid nodev noexec relatime"
	table := readMounts(t)
	wanted := []mountInfo{
		{"/", "virtiofs", "rw relatime"},
		{"/dev", "devtmpfs", "rw relatime"},
		{"/proc", "proc", "rw " + restricted},
		{"/sys", "sysfs", "rw " + restricted},
		{"/sys/fs/cgroup", "cgroup2", "rw " + restricted},
		{"/dev/pts", "devpts", "rw nosuid noexec relatime"},
		{"/dev/shm", "tmpfs", "rw nosuid noexec relatime"},
		{"/etc/hosts", "devtmpfs", "rw relatime"}, // because the image has no such file
	}
	if _, err := os.Stat("/run"); err == nil {
		wanted = append(wanted, mountInfo{"/run", "tmpfs", "rw nosuid nodev relatime"})
	}
	for _, want := range wanted {
		if !slices.Contains(table, want) {
			t.Errorf("no mount %v in %v", want, table)
		}
	}
	if len(table) != len(wanted) {
		t.Errorf("%d mounts, want %d: %v", len(table), len(wanted), table)
	}

	for path, want := range map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2",
	} {
		if got, err := os.Readlink(path); got != want {
			t.Errorf("readlink %s = %q, %v, want %q", path, got, err, want)
		}
	}
	for path, want := range map[string]os.FileMode{
		"/dev/shm":      os.ModeDir | os.ModeSticky | 0o777,
		"/dev/pts/ptmx": os.ModeDevice | os.ModeCharDevice | 0o666,
		"/dev/ptmx":     os.ModeDevice | os.ModeCharDevice | 0o666,
		"/dev/null":     os.ModeDevice | os.ModeCharDevice | 0o666,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("mode of %s = %v, %v, want %v", path, info.Mode(), err, want)
		}
	}
	if info, err := os.Stat("/dev/kvm"); err == nil && info.Mode().Perm() != 0o666 {
		t.Errorf("mode of /dev/kvm = %v, want 0666", info.Mode())
	}
	// A cgroup below the root can be created.
	if err := os.Mkdir("/sys/fs/cgroup/below", 0o755); err != nil {
		t.Error(err)
	}
})

// A mountInfo is a part of a line of /proc/self/mountinfo.
type mountInfo struct {
	point, fsType, options string
}

// readMounts returns the mounts, and checks that they are shared.
func readMounts(t *testing.T) []mountInfo {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var table []mountInfo
	for line := range strings.Lines(string(b)) {
		// A hyphen ends the optional fields, and the type follows. See proc_pid_mountinfo(5).
		head, tail, _ := strings.Cut(line, " - ")
		fields := strings.Fields(head)
		if !slices.ContainsFunc(fields[6:], func(f string) bool { return strings.HasPrefix(f, "shared:") }) {
			t.Errorf("mount %s is not shared: %s", fields[4], line)
		}
		point := strings.ReplaceAll(fields[4], `\040`, " ")
		table = append(table, mountInfo{point, strings.Fields(tail)[0], strings.ReplaceAll(fields[5], ",", " ")})
	}
	return table
}

// TestBaseMounts runs mountsGuest as the workload.
func TestBaseMounts(t *testing.T) {
	eachArch(t, func(t *testing.T, arch string) {
		cfg := withBusybox(t, arch)
		mountsGuest.addTo(t, &cfg)
		wantConsole(t, run(t, cfg, 0), passed)
	})
}

var tmpfsGuest = inGuest("tmpfs", func(t *testing.T) {
	table := readMounts(t)
	for _, want := range []mountInfo{
		{"/tmp", "tmpfs", "rw nosuid nodev noexec relatime"},
		{"/made/with parents", "tmpfs", "rw nosuid noatime"},
		{"/run", "tmpfs", "ro relatime"},
	} {
		if !slices.Contains(table, want) {
			t.Errorf("no mount %v in %v", want, table)
		}
	}
	if len(table) != 7+3 {
		t.Errorf("%d mounts, want 10: %v", len(table), table)
	}
	for path, want := range map[string]os.FileMode{"/made/with parents": 0o711, "/dev/shm": os.ModeSticky | 0o777} {
		if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeDir|want {
			t.Errorf("mode of %s = %v, %v, want %v", path, info.Mode(), err, os.ModeDir|want)
		}
	}
	for path, size := range map[string]int{"/made/with parents": 1 << 20, "/dev/shm": 2 << 20} {
		file := path + "/file"
		if err := os.WriteFile(file, make([]byte, size), 0o644); err != nil {
			t.Errorf("write %d bytes: %v", size, err)
		}
		if err := os.WriteFile(file, make([]byte, size+1), 0o644); err == nil {
			t.Errorf("write %d bytes to %s = nil, want an error: this exceeds the configured size",
				size+1, file)
		}
	}
})

// TestConfiguredMounts checks the mounts of a configuration as container engines write it.
func TestConfiguredMounts(t *testing.T) {
	t.Parallel()
	cfg := withBusybox(t, "amd64")
	tmpfsGuest.addTo(t, &cfg)
	cfg.GuestConfig = []byte(`{
		"process": {"args": ["` + tmpfsGuest.path() + `"]},
		"mounts": [
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
			{"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
			{"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
			{"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=2048k"]},
			{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rprivate", "relatime"]},
			{"destination": "/etc/hosts", "type": "bind", "source": "/var/lib/engine/hosts", "options": ["rbind", "rprivate"]},
			{"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
			{"destination": "/made/with parents", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noatime", "mode=711", "size=1m"]},
			{"destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": ["ro"]}
		],
		"linux": {"namespaces": [{"type": "mount"}]}
	}`)
	wantConsole(t, run(t, cfg, 0), passed)
}
