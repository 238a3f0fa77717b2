package mount

import (
	"slices"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// FreeMemory unmounts each tmpfs to free its memory when the machine ends. A tmpfs in use stays
// mounted. If the workload has filled the memory with files, the kernel could otherwise panic when
// process 1 needs memory, or read the program of process 1 from the disk again and again.
type FreeMemory struct {
	// Shortage is for the time when other processes still run. Do then acts only if memory is short
	// because of files in tmpfs. It unmounts a tmpfs in use too, lazily: the memory is freed when the
	// last process that has a file open ends.
	Shortage bool
}

func (f FreeMemory) Describe() op.Description {
	return op.Describe("unmount", "each tmpfs", "if", op.If(f.Shortage, "memory is short"))
}

// usualTmpfs are where most machines mount a tmpfs. They are unmounted first, because there may be
// too little memory to read the mount table.
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

// memory returns sizes of the machine's memory, sysinfo(2).
func memory() (info unix.Sysinfo_t) {
	_ = unix.Sysinfo(&info)
	return info
}

// short reports whether less than 1/16 of the memory is free and files of tmpfs take more than 1/4.
func short(info unix.Sysinfo_t) bool {
	return info.Freeram < info.Totalram/16 && info.Sharedram > info.Totalram/4
}

// isTmpfs reports whether a path is the mount point of a tmpfs.
func isTmpfs(path string) bool {
	mounted, _ := Mounted(path)
	var fs unix.Statfs_t
	return mounted && unix.Statfs(path, &fs) == nil && fs.Type == unix.TMPFS_MAGIC
}
