package mount

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// FreeMemory is the operation that frees the memory of each tmpfs, for the end of a machine. What is
// in use stays mounted. Where the workload has filled its memory with files, the kernel would panic
// when process 1 needs some, or read its program from the disk again and again.
type FreeMemory struct {
	// Shortage is for as long as there are other processes: there must be little memory, most of it
	// taken by files, and what is in use is unmounted too, lazily, so that it is freed when the last
	// process that has a file open ends.
	Shortage bool
}

func (f FreeMemory) Describe() op.Description {
	return op.Describe("unmount", "each tmpfs", "if", op.If(f.Shortage, "memory is short"))
}

// usualTmpfs are the file systems in memory that most machines have. They are known without the mount
// table, for which there may be no memory yet.
var usualTmpfs = [...]string{"/dev/shm", "/run", "/tmp"}

func (f FreeMemory) Do() error {
	flags := unix.UMOUNT_NOFOLLOW
	if f.Shortage {
		if !short(memory()) {
			return nil
		}
		flags |= unix.MNT_DETACH
	}
	for _, point := range usualTmpfs {
		for isTmpfs(point) && unix.Unmount(point, flags) == nil {
		}
	}
	if info := memory(); f.Shortage || info.Sharedram < info.Totalram/8 {
		return nil
	}
	proc, err := OpenProc()
	if err != nil {
		return err
	}
	defer proc.Close()
	table, err := readAt(proc, "self/mountinfo")
	if err != nil {
		return err
	}
	for _, m := range slices.Backward(parseTable(table)) {
		if m.FSType == "tmpfs" && m.Mountpoint != "/" {
			_ = unix.Unmount(m.Mountpoint, flags)
		}
	}
	return nil
}

func memory() (info unix.Sysinfo_t) {
	_ = unix.Sysinfo(&info)
	return info
}

// short reports whether there is little memory because files of tmpfs take it.
func short(info unix.Sysinfo_t) bool {
	return info.Freeram < info.Totalram/16 && info.Sharedram > info.Totalram/4
}

// isTmpfs reports whether a path is the root of a tmpfs.
func isTmpfs(path string) bool {
	mounted, _ := Mounted(path)
	var fs unix.Statfs_t
	return mounted && unix.Statfs(path, &fs) == nil && fs.Type == unix.TMPFS_MAGIC
}
