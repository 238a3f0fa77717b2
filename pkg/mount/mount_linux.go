package mount

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
	"github.com/krunbox/krunbox/pkg/op"
)

// Mount mounts a file system; mount(2) explains the fields. A missing mount point is created. It is
// no error if the same file system is mounted on the target already (EBUSY), unless its source is a
// device. As with mount(8), a device that can't be written is mounted read-only.
type Mount struct {
	Type, Source, Target string
	Flags                uintptr // MS_*
	Data                 string  // options of the file system, comma-separated
	// MemoryPercent, unless 0, limits the size of a tmpfs to a percentage of the memory that is free
	// when it is mounted. The kernel's limit is half of all memory, so two tmpfs could take all of it.
	MemoryPercent uint64
	After         Attrs // attributes to set after the mount
	// With Parents, Do creates missing parents of the mount point too.
	Parents bool
	// With Optional, Do does nothing if the mount point is missing and can't be created.
	Optional bool
	// With Once, Do does nothing if any file system is mounted on the target already; see Mounted.
	Once bool
	// With IfKnown, Do does nothing if the kernel has no file system of the type.
	IfKnown bool
	// Find, unless nil, finds the device that Source stands for.
	Find FindDevice
	// Wait is how long to wait for a missing device or virtiofs share.
	Wait time.Duration
	// Pause waits between two attempts. Its error ends the wait.
	Pause loop.Pause
}

func (m Mount) Describe() op.Description { return m.describe() }

// describe describes the mount with additional details.
func (m Mount) describe(more ...any) op.Description {
	options := optionText(m.Flags, m.Data, m.After.names()...)
	details := []any{"type", m.Type, "source", m.Source, "options", options}
	if m.MemoryPercent > 0 {
		details = append(details, "freeMemory", fmt.Sprintf("%d%%", m.MemoryPercent))
	}
	if m.Wait > 0 && (m.Type == "virtiofs" || m.hasDevice()) {
		details = append(details, "wait", m.Wait)
	}
	return op.Describe("mount", m.Target, append(details, more...)...)
}

func (m Mount) Do() error {
	if exists, err := m.exists(); exists || err != nil {
		return m.wrap(err)
	}
	return m.wrap(m.mount())
}

// exists reports whether Once is set and a file system is mounted on the target already. A proc file
// system of another PID namespace does not count.
func (m Mount) exists() (bool, error) {
	if !m.Once {
		return false, nil
	}
	mounted, err := Mounted(m.Target)
	if mounted && m.Type == "proc" {
		self, _ := os.Readlink(m.Target + "/self")
		mounted = self == strconv.Itoa(os.Getpid())
	}
	return mounted, err
}

// FindDevice returns the path of a block device, given by UUID=, LABEL=, PARTUUID= or PARTLABEL= and
// a value, as in fstab(5). It waits for a missing device until the timeout, or until pause fails.
type FindDevice func(name string, timeout time.Duration, pause loop.Pause) (path string, err error)

// namesDevice reports whether the source of a mount stands for a device to be found.
func namesDevice(source string) bool {
	kind, _, ok := strings.Cut(source, "=")
	return ok && slices.Contains([]string{"UUID", "LABEL", "PARTUUID", "PARTLABEL"}, kind)
}

// hasDevice reports whether the source is a device. The source of a virtiofs is the tag of a share.
func (m Mount) hasDevice() bool {
	return m.Find != nil || m.Type != "virtiofs" && strings.HasPrefix(m.Source, "/dev/")
}

// Shortest and longest pause between two attempts.
const (
	minPause = 5 * time.Millisecond
	maxPause = 100 * time.Millisecond
)

func (m Mount) mount() error {
	if m.Find != nil {
		path, err := m.Find(m.Source, m.Wait, m.Pause)
		if err != nil {
			return err
		}
		m.Source = path
	}
	err := m.attempt()
	start, pause := time.Now(), minPause
	for ; m.isLate(err) && time.Since(start) < m.Wait; pause = min(2*pause, maxPause) {
		if err := m.Pause.For(pause); err != nil {
			return err
		}
		err = m.attempt()
	}
	switch {
	case m.IfKnown && err == unix.ENODEV:
		return nil
	case err == unix.ENODEV:
		return fmt.Errorf("the kernel has no file system of that type: %w", err)
	case err == unix.EINVAL && m.Type == "virtiofs":
		return fmt.Errorf("the host shares nothing by that name, or options are wrong: %w", err)
	case err != nil && (err != unix.EBUSY || m.hasDevice()):
		return err
	}
	return m.After.apply(m.Target)
}

// isLate reports whether err may mean that the source does not exist yet.
func (m Mount) isLate(err error) bool {
	if m.Type == "virtiofs" {
		return err == unix.EINVAL
	}
	missing := err == unix.ENOENT || err == unix.ENXIO || err == unix.ENOMEDIUM
	return missing && m.hasDevice()
}

// sized returns Data with the option size for MemoryPercent.
func (m Mount) sized(info unix.Sysinfo_t) string {
	if m.MemoryPercent == 0 || info.Freeram == 0 {
		return m.Data
	}
	size := info.Freeram * uint64(info.Unit) / 1024 * m.MemoryPercent / 100
	return strings.TrimPrefix(fmt.Sprintf("%s,size=%dk", m.Data, size), ",")
}

// attempt mounts the file system and, if necessary, creates the mount point.
func (m Mount) attempt() error {
	if m.hasDevice() {
		// For a missing device the kernel would print a message on the console, and fail with the
		// same error as for a missing mount point.
		if err := unix.Access(m.Source, unix.F_OK); err != nil {
			return err
		}
	}
	m.Data = m.sized(memory())
	// The mount point almost always exists. Trying first saves a request to the host.
	err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	if err == unix.ENOENT {
		if err := makePoint(m.Target, true, m.Parents); err != nil {
			if m.Optional {
				return nil
			}
			return err
		}
		err = unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data)
	}
	readOnly := m.Flags&unix.MS_RDONLY != 0
	if (err == unix.EROFS || err == unix.EACCES) && m.hasDevice() && !readOnly {
		err = unix.Mount(m.Source, m.Target, m.Type, m.Flags|unix.MS_RDONLY, m.Data)
	}
	return err
}

// wrap puts the mount before err, unless err is nil.
func (m Mount) wrap(err error) error {
	if err == nil {
		return nil
	}
	what := m.Type
	if m.Source != "" && m.Source != m.Type {
		what += " " + m.Source
	}
	return fmt.Errorf("mount %s on %s: %w", what, m.Target, err)
}

// makePoint creates a directory, or an empty file, to mount on.
func makePoint(target string, dir, parents bool) (err error) {
	defer op.Wrap(&err, "make the mount point")
	if parents {
		if err := os.MkdirAll(path.Dir(target), 0o755); err != nil {
			return err
		}
	}
	if dir {
		if err := os.Mkdir(target, 0o755); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	}
	f, err := os.OpenFile(target, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// Remount changes the options of the file system mounted on Target.
type Remount struct {
	Target string
	Flags  uintptr // MS_*
	Data   string  // options of the file system, comma-separated
}

func (r Remount) Describe() op.Description {
	return op.Describe("remount", r.Target, "options", optionText(r.Flags, r.Data))
}

func (r Remount) Do() (err error) {
	defer op.Wrap(&err, "remount %s", r.Target)
	return unix.Mount("", r.Target, "", r.Flags|unix.MS_REMOUNT, r.Data)
}

// Bind makes the file or directory Source visible at Target too. A missing mount point is created
// with its parents: a directory for a directory, else an empty file.
type Bind struct {
	Source, Target string
	Recursive      bool  // include the mounts below Source
	After          Attrs // attributes to set after the bind
	// With Lenient, Do does nothing if the source is missing.
	Lenient bool
}

func (b Bind) Describe() op.Description {
	return op.Describe("bind", b.Target, "source", b.Source,
		"options", optionText(b.flags(), "", b.After.names()...),
		"missing", op.If(b.Lenient, "ok"))
}

func (b Bind) flags() uintptr {
	if b.Recursive {
		return unix.MS_BIND | unix.MS_REC
	}
	return unix.MS_BIND
}

func (b Bind) Do() (err error) {
	defer op.Wrap(&err, "bind %s to %s", b.Source, b.Target)
	err = b.bind()
	if err == unix.ENOENT { // the source or the mount point is missing
		var st unix.Stat_t
		err = unix.Stat(b.Source, &st)
		if err == unix.ENOENT && b.Lenient {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look for the source in the guest: %w", err)
		}
		err = makePoint(b.Target, st.Mode&unix.S_IFMT == unix.S_IFDIR, true)
		if err == nil {
			err = b.bind()
		}
	}
	if err != nil {
		return err
	}
	return b.After.apply(b.Target)
}

func (b Bind) bind() error { return unix.Mount(b.Source, b.Target, "", b.flags(), "") }
