package mount

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// growOption is the option of fstab(5) that asks for Grow, systemd.mount(5).
const growOption = "x-systemd.growfs"

// WantsGrowth reports whether mount options, comma-separated, include x-systemd.growfs.
func WantsGrowth(options string) bool {
	return slices.Contains(strings.Split(options, ","), growOption)
}

// Growth returns the operations that grow the file systems whose options include x-systemd.growfs,
// once they are mounted.
func Growth(mounts []specs.Mount) (ops []op.Op) {
	for _, m := range mounts {
		if slices.Contains(m.Options, growOption) {
			ops = append(ops, Grow{path.Clean("/" + m.Destination)})
		}
	}
	return ops
}

// Grow grows the file system mounted on Target to the size of its device: ext4, XFS or Btrfs. It
// does nothing if no file system is mounted there.
type Grow struct{ Target string }

func (g Grow) Describe() op.Description {
	return op.Describe("grow", g.Target, "to", "the size of its device")
}

func (g Grow) Do() (err error) {
	defer op.Wrap(&err, "grow the file system on %s", g.Target)
	fd, err := unix.Open(g.Target, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var dir unix.Statx_t
	err = unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS, &dir)
	if err != nil || dir.Attributes&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return err
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	switch fs.Type {
	case unix.BTRFS_SUPER_MAGIC:
		return ioctl(fd, btrfsResize, unsafe.Pointer(newBtrfsArgs("max")))
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC: // ext2 and ext3 have ext4's number
	default:
		return fmt.Errorf("its type %#x: %w", fs.Type, op.ErrUnsupported)
	}
	size, err := deviceSize(dir.Dev_major, dir.Dev_minor)
	if err != nil {
		return err
	}
	if fs.Type == unix.XFS_SUPER_MAGIC {
		return growXFS(fd, size)
	}
	blocks := size / uint64(fs.Bsize)
	return ioctl(fd, ext4Resize, unsafe.Pointer(&blocks))
}

// deviceSize returns the size of a block device in bytes.
func deviceSize(major, minor uint32) (uint64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/sys/dev/block/%d:%d/size", major, minor))
	if err != nil {
		return 0, err
	}
	sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 54)
	return sectors * 512, err
}

// growXFS grows an XFS file system to a size in bytes.
func growXFS(fd int, size uint64) error {
	var geometry xfsGeometry
	if err := ioctl(fd, xfsGetGeometry, unsafe.Pointer(&geometry)); err != nil {
		return err
	}
	grown := xfsGrowData{size / uint64(max(geometry.blockSize, 1)), geometry.maxInodePercent}
	if grown.blocks <= geometry.dataBlocks {
		return nil
	}
	return ioctl(fd, xfsGrow, unsafe.Pointer(&grown))
}

// Requests of ioctl(2) and their arguments, as in linux/ext4.h, linux/btrfs.h and xfs_fs.h of
// xfsprogs. They are the same on all architectures with a 64-bit address space.
const (
	ext4Resize     = 0x40086610 // EXT4_IOC_RESIZE_FS: the number of blocks, 64 bits
	xfsGetGeometry = 0x80705864 // XFS_IOC_FSGEOMETRY_V1
	xfsGrow        = 0x4010586e // XFS_IOC_FSGROWFSDATA
	btrfsResize    = 0x50009403 // BTRFS_IOC_RESIZE
)

type xfsGeometry struct {
	blockSize       uint32
	_               [6]uint32
	maxInodePercent uint32
	dataBlocks      uint64
	_               [9]uint64
}

type xfsGrowData struct {
	blocks          uint64
	maxInodePercent uint32
}

type btrfsArgs struct {
	_    int64
	name [4088]byte
}

func newBtrfsArgs(name string) *btrfsArgs {
	var args btrfsArgs
	copy(args.name[:], name)
	return &args
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}
