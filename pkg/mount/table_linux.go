package mount

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Mounted reports whether a file system is mounted on target. FUSE file systems do not count: for a
// directory that is a mount point on the host, virtiofs makes a mount point in the guest. Mounted
// triggers no automount. It asks a file server only if target is its mount point.
func Mounted(target string) (bool, error) {
	const flags = unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, target, flags, 0, &st)
	switch {
	case err == unix.ENOENT, err == unix.ENOTDIR:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look for a mount: %w", err)
	case st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0: // since Linux 5.8
		var fs unix.Statfs_t
		err := unix.Statfs(target, &fs)
		return err != nil || fs.Type != unix.FUSE_SUPER_MAGIC, nil
	}
	return false, nil
}

// Points returns the mount points at and below dir, which must not be "/", including those that other
// mounts cover. A mount point with several mounts is listed several times.
func Points(dir string) ([]string, error) {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the mount table: %w", err)
	}
	var points []string
	for _, m := range parseTable(table) {
		if within(m.Mountpoint, dir) {
			points = append(points, m.Mountpoint)
		}
	}
	return points, nil
}

// parseTable returns the mounts in the text of /proc/PID/mountinfo, proc_pid_mountinfo(5). It parses
// each line by itself: package mountinfo would return no mounts if it rejects one line.
func parseTable(table []byte) []*mountinfo.Info {
	var mounts []*mountinfo.Info
	for line := range bytes.Lines(table) {
		parsed, _ := mountinfo.GetMountsFromReader(bytes.NewReader(line), nil)
		mounts = append(mounts, parsed...)
	}
	return mounts
}

// onDisk reports whether a file system is left dirty if it is neither unmounted nor read-only when
// the machine ends.
func onDisk(m *mountinfo.Info) bool {
	switch m.FSType {
	case "btrfs", "bcachefs", "zfs": // on block devices, but with major number 0
		return true
	case "overlay": // its upper directory may be on a disk
		return true
	}
	return m.Major != 0
}

// writable reports whether a file system, and not only one mount of it, is writable.
func writable(m *mountinfo.Info) bool {
	first, _, _ := strings.Cut(m.VFSOptions, ",")
	return first != "ro"
}

// disks returns the mounts to unmount, which are all disks except the root, and all mounts below or
// over them. It also returns the disks that are writable. Both lists are in reverse order, so that a
// mount comes before the mount that it is on.
func disks(mounts []*mountinfo.Info) (unmount, dirty []*mountinfo.Info) {
	below := map[int]bool{} // IDs of mounts to unmount
	var points []string     // mount points of the disks so far
	for _, m := range mounts {
		if onDisk(m) && writable(m) {
			dirty = append(dirty, m)
		}
		if m.Mountpoint == "/" {
			continue
		}
		covers := func(disk string) bool { return within(disk, m.Mountpoint) }
		if onDisk(m) || below[m.Parent] || slices.ContainsFunc(points, covers) {
			below[m.ID] = true
			unmount = append(unmount, m)
		}
		if onDisk(m) {
			points = append(points, m.Mountpoint)
		}
	}
	slices.Reverse(unmount)
	slices.Reverse(dirty)
	return unmount, dirty
}

// within reports whether the path name is dir or below it. dir must not be "/".
func within(name, dir string) bool {
	rest, ok := strings.CutPrefix(name, dir)
	return ok && (rest == "" || rest[0] == '/')
}

// swapFiles returns the files, not the partitions, in the text of /proc/swaps. A file that is used
// for swapping keeps its file system busy.
func swapFiles(swaps string) []string {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var files []string
	for line := range strings.Lines(swaps) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[1] == "file" {
			files = append(files, unescape.Replace(fields[0]))
		}
	}
	return files
}

// OpenProc returns the root directory of a new proc file system that is mounted nowhere. Unlike
// /proc, no mount covers parts of it or makes them read-only. It needs CAP_SYS_ADMIN. The caller
// must close it.
func OpenProc() (*os.File, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open a proc file system: %w", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("create a proc file system: %w", err)
	}
	const attrs = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	dir, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, attrs)
	if err != nil {
		return nil, fmt.Errorf("mount a proc file system: %w", err)
	}
	return os.NewFile(uintptr(dir), "/proc"), nil
}

// maxProcFile bounds how many bytes of a file in /proc are read: enough for ten thousand mounts.
const maxProcFile = 16 << 20

// readAt returns the first maxProcFile bytes of the file name in dir.
func readAt(dir *os.File, name string) ([]byte, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxProcFile))
}

// Unwritten returns how much data file systems have to write to their devices, in KiB: Dirty and
// Writeback of proc_meminfo(5).
func Unwritten() (kib uint64, err error) {
	proc, err := OpenProc()
	if err != nil {
		return 0, err
	}
	defer proc.Close()
	info, err := readAt(proc, "meminfo")
	if err != nil {
		return 0, fmt.Errorf("read /proc/meminfo: %w", err)
	}
	for line := range strings.Lines(string(info)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "Dirty:" && fields[0] != "Writeback:" {
			continue
		}
		n, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/meminfo: %s %w", fields[0], err)
		}
		kib += n
	}
	return kib, nil
}
